/** One row of the table: a place of fixed height, so that where it lies follows from its number. */

import { type MouseEvent, useSyncExternalStore } from "react";
import type { Entry } from "../../api/types";
import { bytes, time } from "../../lib/format";
import { shownLast } from "../../lib/names";
import { lastSegment, parent } from "../../lib/paths";
import { Icon, type IconName } from "../../parts/icons";
import { Name, PathText } from "../../parts/name";
import { isImage } from "./preview";

export const HEAD_PX = 40;
const ROW_PX = 40;
/** On a narrow page size and time stand below the name. */
const NARROW_ROW_PX = 58;
export const NARROW = "(max-width: 640px)";

export function useRowHeight(): number {
  const narrow = useSyncExternalStore(
    (changed) => {
      const media = window.matchMedia(NARROW);
      media.addEventListener("change", changed);
      return () => media.removeEventListener("change", changed);
    },
    () => window.matchMedia(NARROW).matches,
  );
  return narrow ? NARROW_ROW_PX : ROW_PX;
}

interface Props {
  id: string;
  entry: Entry;
  index: number;
  top: number;
  selected: boolean;
  active: boolean;
  showFolder: boolean;
  folderHref: (entry: Entry) => string;
  onClick: (entry: Entry, event: MouseEvent) => void;
  onToggle: (entry: Entry) => void;
  onOpen: (entry: Entry) => void;
}

export function Row(props: Props) {
  const { entry, selected } = props;
  const size = entry.type === "file" ? bytes(entry.size) : "";
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the focus and handles the keys
    <div
      id={props.id}
      role="row"
      aria-rowindex={props.index + 2}
      aria-selected={selected}
      className={`grid-row${selected ? " selected" : ""}${props.active ? " active" : ""}`}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={(event) => props.onClick(entry, event)}
      onDoubleClick={() => props.onOpen(entry)}
    >
      <div role="gridcell" className="cell col-check">
        <input
          type="checkbox"
          tabIndex={-1}
          aria-label={`Select ${shownLast(entry.path)}`}
          checked={selected}
          onClick={(event) => event.stopPropagation()}
          onChange={() => props.onToggle(entry)}
        />
      </div>
      <div role="gridcell" className="cell name-cell">
        <Icon name={iconOf(entry)} />
        <div className="name-box">
          <Title {...props} />
          {props.showFolder && (
            <small>
              in <PathText path={parent(entry.path)} />
            </small>
          )}
          <small className="narrow-only">{[size, time(entry.modified)].filter(Boolean).join(", ")}</small>
        </div>
      </div>
      <div role="gridcell" className="cell col-size">
        {size}
      </div>
      <div role="gridcell" className="cell col-modified">
        {time(entry.modified)}
      </div>
    </div>
  );
}

/** The name opens: a folder as a link, so that it can be opened in another tab too. */
function Title({ entry, folderHref, onOpen }: Props) {
  const name = <Name segment={lastSegment(entry.path)} />;
  if (entry.type === "dir") {
    return (
      <a href={folderHref(entry)} tabIndex={-1} onClick={(event) => event.stopPropagation()}>
        {name}
      </a>
    );
  }
  if (entry.type !== "file") {
    return (
      <span>
        {name} <span className="tag">{entry.type === "symlink" ? "link" : "special"}</span>
      </span>
    );
  }
  const open = (event: MouseEvent) => {
    event.stopPropagation();
    onOpen(entry);
  };
  return (
    <button
      type="button"
      className="open"
      tabIndex={-1}
      onClick={open}
      onDoubleClick={(event) => event.stopPropagation()}
    >
      {name}
    </button>
  );
}

function iconOf(entry: Entry): IconName {
  if (entry.type === "dir") return "folder";
  if (entry.type === "symlink") return "link";
  if (entry.type === "other") return "other";
  return isImage(entry.path) ? "image" : "file";
}
