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
    // From nowhere, step begins at the end that it comes from: here the other one is meant.
    case "Home":
      return moved(selection.active === null ? 1 : -rows.length);
    case "End":
      return moved(selection.active === null ? -1 : rows.length);
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
