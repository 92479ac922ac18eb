/** The table of a folder's entries. However many there are, only those in view are drawn. */

import {
  type KeyboardEvent,
  type MouseEvent,
  type UIEvent,
  useEffect,
  useId,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import type { Entry } from "../../api/types";
import type { Selection } from "../../lib/selection";
import type { Sort, SortKey } from "../../lib/sort";
import { scrollToShow, windowOf } from "../../lib/window";
import { Icon } from "../../parts/icons";
import { HEAD_PX, Row, useRowHeight } from "./row";

interface Props {
  label: string;
  rows: Entry[];
  selection: Selection;
  sort: Sort | null;
  showFolder: boolean;
  folderHref: (entry: Entry) => string;
  onSort: (key: SortKey) => void;
  onClick: (entry: Entry, event: MouseEvent) => void;
  onToggle: (entry: Entry) => void;
  onToggleAll: () => void;
  onOpen: (entry: Entry) => void;
  onKey: (event: KeyboardEvent, pageRows: number) => void;
}

export function FileTable(props: Props) {
  const { rows, selection } = props;
  const id = useId();
  const rowHeight = useRowHeight();
  const { box, view, onScroll } = useView(props.label);
  const active = selection.active === null ? -1 : rows.findIndex((row) => row.path === selection.active);
  useLayoutEffect(() => {
    const scroller = box.current;
    if (active < 0 || !scroller) return;
    scroller.scrollTop = scrollToShow(active, scroller.scrollTop, scroller.clientHeight, rowHeight, HEAD_PX);
  }, [active, rowHeight, box]);
  const { first, end } = windowOf(view.top, view.height, rowHeight, rows.length);
  const drawn = rows.slice(first, end);
  return (
    <div
      ref={box}
      className="grid"
      role="grid"
      aria-label={props.label}
      aria-multiselectable="true"
      aria-rowcount={rows.length + 1}
      aria-activedescendant={active >= first && active < end ? `${id}-${active}` : undefined}
      tabIndex={0}
      onScroll={onScroll}
      onKeyDown={(event) => {
        // Keys on the heads' buttons and checkboxes are theirs.
        if (event.target === box.current) props.onKey(event, Math.max(1, Math.floor(view.height / rowHeight) - 1));
      }}
    >
      <Head {...props} />
      <div role="rowgroup" className="grid-body" style={{ height: rows.length * rowHeight }}>
        {drawn.map((entry, at) => (
          <Row
            key={entry.path}
            id={`${id}-${first + at}`}
            entry={entry}
            index={first + at}
            top={(first + at) * rowHeight}
            selected={selection.selected.has(entry.path)}
            active={entry.path === selection.active}
            {...props}
          />
        ))}
      </div>
    </div>
  );
}

/** What part of the table is in view, as the box is scrolled or becomes larger. */
function useView(place: string) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const scroller = box.current;
    if (!scroller) return;
    const watch = new ResizeObserver(() => setView({ top: scroller.scrollTop, height: scroller.clientHeight }));
    watch.observe(scroller);
    return () => watch.disconnect();
  }, []);
  // Another folder begins at its top.
  // biome-ignore lint/correctness/useExhaustiveDependencies: to be run when the place changes
  useLayoutEffect(() => {
    if (box.current) box.current.scrollTop = 0;
  }, [place]);
  const onScroll = (event: UIEvent<HTMLElement>) =>
    setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight });
  return { box, view, onScroll };
}

function Head({ rows, selection, sort, onSort, onToggleAll }: Props) {
  const every = rows.length > 0 && selection.selected.size === rows.length;
  return (
    <div role="rowgroup" className="grid-head">
      <div role="row" aria-rowindex={1} className="grid-row">
        <div role="columnheader" className="cell col-check">
          <input
            type="checkbox"
            aria-label="Select all"
            checked={every}
            ref={(input) => {
              if (input) input.indeterminate = !every && selection.selected.size > 0;
            }}
            onChange={onToggleAll}
          />
        </div>
        <HeadCell column="name" label="Name" sort={sort} onSort={onSort} />
        <HeadCell column="size" label="Size" sort={sort} onSort={onSort} />
        <HeadCell column="modified" label="Changed" sort={sort} onSort={onSort} />
      </div>
    </div>
  );
}

interface HeadCellProps {
  column: SortKey;
  label: string;
  sort: Sort | null;
  onSort: (key: SortKey) => void;
}

function HeadCell({ column, label, sort, onSort }: HeadCellProps) {
  const here = sort?.key === column;
  return (
    <div
      role="columnheader"
      className={`cell col-${column}`}
      aria-sort={here ? (sort.descending ? "descending" : "ascending") : undefined}
    >
      {sort ? (
        <button type="button" className={here ? "sort on" : "sort"} onClick={() => onSort(column)}>
          {label}
          <span className={here && !sort.descending ? "turn" : ""}>{here && <Icon name="chevron" />}</span>
        </button>
      ) : (
        label
      )}
    </div>
  );
}
