/**
 * Which rows are selected, as pure steps: the table's keys and clicks, without a browser. Rows are named by their paths,
 * so a selection survives sorting and loading anew.
 */

export interface Selection {
  selected: ReadonlySet<string>;
  /** Where a range begins. */
  anchor: string | null;
  /** The row the keyboard is at. */
  active: string | null;
}

export const NOTHING: Selection = { selected: new Set(), anchor: null, active: null };

export function only(row: string): Selection {
  return { selected: new Set([row]), anchor: row, active: row };
}

export interface Modifiers {
  shift: boolean;
  ctrl: boolean;
}

export function click(state: Selection, rows: readonly string[], row: string, keys: Modifiers): Selection {
  if (keys.shift && state.anchor !== null) return range(state, rows, row, keys.ctrl);
  if (keys.ctrl) return toggle(state, row);
  return only(row);
}

/** A checkbox, ctrl+click, or the space bar. */
export function toggle(state: Selection, row: string): Selection {
  const selected = new Set(state.selected);
  if (!selected.delete(row)) selected.add(row);
  return { selected, anchor: row, active: row };
}

/** Arrow, page and Home/End keys. With ctrl only the active row moves, so that rows far apart can be picked. */
export function step(state: Selection, rows: readonly string[], by: number, keys: Modifiers): Selection {
  if (rows.length === 0) return state;
  const at = state.active === null ? -1 : rows.indexOf(state.active);
  const to = at < 0 ? (by < 0 ? rows.length - 1 : 0) : Math.min(rows.length - 1, Math.max(0, at + by));
  const row = rows[to] as string;
  if (keys.shift) return range({ ...state, anchor: state.anchor ?? state.active ?? row }, rows, row, false);
  if (keys.ctrl) return { ...state, active: row };
  return only(row);
}

export function all(state: Selection, rows: readonly string[]): Selection {
  return { ...state, selected: new Set(rows) };
}

export function none(state: Selection): Selection {
  return { ...state, selected: new Set() };
}

/** After the folder was read again: what is gone is no longer selected, and the keyboard stays near where it was. */
export function retain(state: Selection, before: readonly string[], rows: readonly string[]): Selection {
  const there = new Set(rows);
  const selected = new Set([...state.selected].filter((row) => there.has(row)));
  const keep = (row: string | null) => (row !== null && there.has(row) ? row : null);
  let active = keep(state.active);
  if (active === null && state.active !== null && rows.length > 0) {
    const at = before.indexOf(state.active);
    active = rows[Math.min(Math.max(at, 0), rows.length - 1)] as string;
  }
  const same = selected.size === state.selected.size && active === state.active;
  return same ? state : { selected, active, anchor: keep(state.anchor) ?? active };
}

function range(state: Selection, rows: readonly string[], row: string, add: boolean): Selection {
  const from = rows.indexOf(state.anchor ?? row);
  const to = rows.indexOf(row);
  if (from < 0 || to < 0) return only(row);
  const span = rows.slice(Math.min(from, to), Math.max(from, to) + 1);
  return { selected: new Set(add ? [...state.selected, ...span] : span), anchor: state.anchor ?? row, active: row };
}
