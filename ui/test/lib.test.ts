import { describe, expect, it } from "vitest";
import type { Entry } from "../src/api/types";
import { bytes, count, duration, percent, time } from "../src/lib/format";
import { nextSort, sortEntries } from "../src/lib/sort";
import { scrollToShow, windowOf } from "../src/lib/window";

function entry(name: string, more: Partial<Entry> = {}): Entry {
  const rest = { modified: "2026-01-01T00:00:00Z", mode: "0644", uid: 0, gid: 0, etag: "" };
  return { name, path: encodeURIComponent(name), type: "file", size: 0, ...rest, ...more };
}

const names = (entries: Entry[]) => entries.map((one) => one.name);

describe("format", () => {
  it("gives bytes three digits that count", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(999)).toBe("999 B");
    expect(bytes(1024)).toBe("1.00 KiB");
    expect(bytes(1_048_575)).toBe("1.00 MiB");
    expect(bytes(15.5 * 1024 ** 3)).toBe("15.5 GiB");
    expect(bytes(null)).toBe("unknown");
  });

  it("gives durations in the unit one would say", () => {
    expect(duration(0.4)).toBe("0 s");
    expect(duration(89)).toBe("89 s");
    expect(duration(180)).toBe("3 min");
    expect(duration(2 * 3600 + 300)).toBe("2 h 5 min");
    expect(duration(3 * 86400)).toBe("3 d");
    expect(duration(Number.POSITIVE_INFINITY)).toBe("");
  });

  it("says 100 % only when it is all", () => {
    expect(percent(999_999, 1_000_000)).toBe(99);
    expect(percent(5, 5)).toBe(100);
    expect(percent(0, 0)).toBe(100);
    expect(percent(1, null)).toBeNull();
  });

  it("knows one from many, and no time from a time", () => {
    expect(count(1, "file")).toBe("1 file");
    expect(count(10_000, "file")).toBe("10,000 files");
    expect(time("nonsense")).toBe("");
    expect(time("2026-01-02T03:04:05.123456789Z")).toContain("2026");
  });
});

describe("sorting", () => {
  const mixed = [entry("file 10"), entry("b", { type: "dir" }), entry("file 9"), entry("A", { type: "dir" })];

  it("puts folders first and counts as people do", () => {
    expect(names(sortEntries(mixed, { key: "name", descending: false }))).toEqual(["A", "b", "file 9", "file 10"]);
    expect(names(sortEntries(mixed, { key: "name", descending: true }))).toEqual(["b", "A", "file 10", "file 9"]);
  });

  it("orders by size, equal sizes by name", () => {
    const sized = [entry("c", { size: 5 }), entry("b", { size: 9 }), entry("a", { size: 5 })];
    expect(names(sortEntries(sized, { key: "size", descending: true }))).toEqual(["b", "a", "c"]);
    expect(names(sortEntries(sized, { key: "size", descending: false }))).toEqual(["a", "c", "b"]);
  });

  it("orders by time whatever the number of digits behind the second", () => {
    const timed = [
      entry("whole", { modified: "2026-01-01T00:00:00Z" }),
      entry("later", { modified: "2026-01-01T00:00:00.5Z" }),
      entry("zone", { modified: "2026-01-01T03:00:00+02:00" }),
    ];
    expect(names(sortEntries(timed, { key: "modified", descending: false }))).toEqual(["whole", "later", "zone"]);
  });

  it("gives names that compare alike the same order each time", () => {
    const alike = [entry("a", { path: "a" }), entry("A", { path: "A" })];
    const sort = { key: "name" as const, descending: false };
    expect(names(sortEntries(alike, sort))).toEqual(names(sortEntries([...alike].reverse(), sort)));
  });

  it("turns round at the second click, and begins with the largest", () => {
    const byName = { key: "name" as const, descending: false };
    expect(nextSort(byName, "name")).toEqual({ key: "name", descending: true });
    expect(nextSort(byName, "size")).toEqual({ key: "size", descending: true });
  });
});

describe("the window of a long table", () => {
  it("draws a few dozen rows of ten thousand", () => {
    const { first, end } = windowOf(200_000, 600, 40, 10_000);
    expect(first).toBe(4990);
    expect(end).toBe(5025);
  });

  it("stays within the table at both ends, also of one that shrank", () => {
    expect(windowOf(-50, 600, 40, 5)).toEqual({ first: 0, end: 5 });
    expect(windowOf(400_000, 600, 40, 3)).toEqual({ first: 3, end: 3 });
  });

  it("scrolls only as far as the row needs", () => {
    expect(scrollToShow(5, 0, 600, 40, 40)).toBe(0);
    expect(scrollToShow(0, 300, 600, 40, 40)).toBe(0);
    expect(scrollToShow(20, 0, 600, 40, 40)).toBe(280);
  });
});
