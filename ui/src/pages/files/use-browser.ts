/** The state behind the table: order, selection, and what clicks, keys and buttons do with them. */

import { type KeyboardEvent, type MouseEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Entry, Rights } from "../../api/types";
import { parent } from "../../lib/paths";
import { all, click, NOTHING, none, retain, type Selection, toggle } from "../../lib/selection";
import { nextSort, type Sort, type SortKey, sortEntries } from "../../lib/sort";
import { href } from "../../route";
import type { Actions } from "./actions";
import { askedBy } from "./keys";
import type { Opened } from "./overlays";
import type { Commands } from "./toolbar";

interface Given {
  ws: string;
  fs: string;
  path: string;
  entries: Entry[];
  rights: Rights;
  actions: Actions;
  open: (opened: Opened) => void;
}

export function useBrowser(given: Given) {
  const { entries, path } = given;
  const [sort, setSort] = useState<Sort>({ key: "name", descending: false });
  const rows = useMemo(() => sortEntries(entries, sort), [entries, sort]);
  const names = useMemo(() => rows.map((row) => row.path), [rows]);
  const [selection, select] = useSelection(path, names);
  const chosen = useMemo(() => rows.filter((row) => selection.selected.has(row.path)), [rows, selection.selected]);
  const open = (entry: Entry) => {
    if (entry.type === "dir") go(given, entry.path);
    else if (entry.type === "file") given.open({ kind: "preview", entry });
  };
  const commands = commandsOf(given, chosen, () => select(none(selection)));
  const onKey = (event: KeyboardEvent, pageRows: number) => {
    const asked = askedBy(event, selection, names, pageRows);
    if (!asked) return;
    event.preventDefault();
    if (asked.kind === "select") return select(asked.selection);
    if (asked.kind === "up") return path === "" ? undefined : go(given, parent(path));
    const active = rows.find((row) => row.path === selection.active);
    if (asked.kind === "open") return active ? open(active) : undefined;
    if (asked.kind === "rename") return chosen.length === 1 ? commands.rename() : undefined;
    if (asked.kind === "remove") return commands.remove();
    if (given.rights.delete && chosen.length > 0) given.open({ kind: "forGood", entries: chosen });
  };
  const handlers = {
    onKey,
    onOpen: open,
    onSort: (key: SortKey) => setSort(nextSort(sort, key)),
    onToggle: (entry: Entry) => select(toggle(selection, entry.path)),
    onToggleAll: () => select(selection.selected.size === names.length ? none(selection) : all(selection, names)),
    onClick: (entry: Entry, event: MouseEvent) =>
      select(click(selection, names, entry.path, { shift: event.shiftKey, ctrl: event.ctrlKey || event.metaKey })),
  };
  return { rows, sort, selection, select, chosen, commands, handlers };
}

function useSelection(path: string, names: string[]) {
  const [selection, select] = useState<Selection>(NOTHING);
  const before = useRef<{ path: string; names: string[] }>({ path, names });
  useEffect(() => {
    const last = before.current;
    before.current = { path, names };
    if (last.path !== path) select(NOTHING);
    else if (last.names !== names) select((now) => retain(now, last.names, names));
  }, [path, names]);
  return [selection, select] as const;
}

function go(place: { ws: string; fs: string }, path: string): void {
  window.location.hash = href({ page: "files", ws: place.ws, fs: place.fs, path });
}

function commandsOf({ rights, actions, open, path }: Given, chosen: Entry[], clear: () => void): Commands {
  const moves = rights.write && rights.delete;
  return {
    clear,
    newFolder: () => open({ kind: "folder" }),
    newFile: () => open({ kind: "file" }),
    rename: () => {
      const [entry] = chosen;
      if (moves && entry) open({ kind: "rename", entry });
    },
    move: () => {
      if (moves && chosen.length > 0) open({ kind: "move", entries: chosen });
    },
    remove: () => {
      if (rights.delete && chosen.length > 0) void actions.remove(chosen);
    },
    download: () => actions.download(chosen),
    downloadAll: () => actions.download([{ path, type: "dir" }]),
  };
}
