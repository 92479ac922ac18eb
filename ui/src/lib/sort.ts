/** The order of a folder's entries: folders first, names as people count ("file 9" before "file 10"). */

import type { Entry } from "../api/types";

export type SortKey = "name" | "size" | "modified";

export interface Sort {
  key: SortKey;
  descending: boolean;
}

const COLLATOR = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

export function sortEntries(entries: readonly Entry[], sort: Sort): Entry[] {
  const sign = sort.descending ? -1 : 1;
  // Times are parsed once per entry, not once per comparison: a folder may have 50,000.
  const keyed = entries.map((entry) => ({ entry, value: sort.key === "modified" ? instant(entry) : entry.size }));
  keyed.sort((a, b) => {
    const kinds = rank(a.entry) - rank(b.entry);
    if (kinds !== 0) return kinds;
    const values = sort.key === "name" ? 0 : a.value - b.value;
    return values !== 0 ? sign * values : (sort.key === "name" ? sign : 1) * byName(a.entry, b.entry);
  });
  return keyed.map(({ entry }) => entry);
}

/** What a click on a column's head makes of the order. Size and time begin with the most: that is what is looked for. */
export function nextSort(sort: Sort, key: SortKey): Sort {
  return sort.key === key ? { key, descending: !sort.descending } : { key, descending: key !== "name" };
}

function rank(entry: Entry): number {
  return entry.type === "dir" ? 0 : 1;
}

function byName(a: Entry, b: Entry): number {
  // The path breaks ties ("A" and "a", or two names that show alike), so that the order is the same each time.
  return COLLATOR.compare(a.name, b.name) || (a.path < b.path ? -1 : a.path > b.path ? 1 : 0);
}

function instant(entry: Entry): number {
  const at = Date.parse(entry.modified);
  return Number.isNaN(at) ? 0 : at;
}
