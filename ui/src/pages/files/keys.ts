/** The table's keys, as in the file managers people know. Pure: which key asks for what. */

import { all, none, type Selection, step, toggle } from "../../lib/selection";

export interface Pressed {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

export type Asked =
  | { kind: "select"; selection: Selection }
  | { kind: "open" | "rename" | "remove" | "removeForGood" | "up" }
  | null;

export function askedBy(pressed: Pressed, selection: Selection, rows: readonly string[], pageRows: number): Asked {
  const keys = { shift: pressed.shiftKey, ctrl: pressed.ctrlKey || pressed.metaKey };
  const moved = (by: number): Asked => ({ kind: "select", selection: step(selection, rows, by, keys) });
  if (pressed.altKey) return pressed.key === "ArrowUp" ? { kind: "up" } : null;
  switch (pressed.key) {
    case "ArrowDown":
      return moved(1);
    case "ArrowUp":
      return moved(-1);
    case "PageDown":
      return moved(pageRows);
    case "PageUp":
      return moved(-pageRows);
    case "Home":
      return moved(-rows.length);
    case "End":
      // From nowhere, step begins at the first row: the last is meant.
      return selection.active === null ? moved(-1) : moved(rows.length);
    case "a":
      return keys.ctrl ? { kind: "select", selection: all(selection, rows) } : null;
    case " ":
      return selection.active === null ? null : { kind: "select", selection: toggle(selection, selection.active) };
    case "Escape":
      return { kind: "select", selection: none(selection) };
    case "Enter":
      return { kind: "open" };
    case "F2":
      return { kind: "rename" };
    case "Delete":
      return { kind: keys.shift ? "removeForGood" : "remove" };
    case "Backspace":
      return { kind: "up" };
    default:
      return null;
  }
}
