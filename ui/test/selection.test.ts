import { describe, expect, it } from "vitest";
import { all, click, NOTHING, none, retain, type Selection, step, toggle } from "../src/lib/selection";
import { type Asked, askedBy } from "../src/pages/files/keys";

const ROWS = ["a", "b", "c", "d", "e"];
const PLAIN = { shift: false, ctrl: false };
const SHIFT = { shift: true, ctrl: false };
const CTRL = { shift: false, ctrl: true };

const chosen = (state: Selection) => [...state.selected].sort().join("");

describe("selection", () => {
  it("by a click is that row alone", () => {
    const state = click(click(NOTHING, ROWS, "a", PLAIN), ROWS, "c", PLAIN);
    expect(chosen(state)).toBe("c");
  });

  it("by ctrl+click adds and takes away", () => {
    const two = click(click(NOTHING, ROWS, "a", PLAIN), ROWS, "c", CTRL);
    expect(chosen(two)).toBe("ac");
    expect(chosen(click(two, ROWS, "a", CTRL))).toBe("c");
  });

  it("by shift+click is the range from where it began, in both directions", () => {
    const from = click(NOTHING, ROWS, "c", PLAIN);
    const down = click(from, ROWS, "e", SHIFT);
    expect(chosen(down)).toBe("cde");
    expect(chosen(click(down, ROWS, "a", SHIFT))).toBe("abc");
  });

  it("by arrows moves, and grows and shrinks with shift", () => {
    let state = step(NOTHING, ROWS, 1, PLAIN);
    expect(chosen(state)).toBe("a");
    state = step(state, ROWS, 1, SHIFT);
    state = step(state, ROWS, 1, SHIFT);
    expect(chosen(state)).toBe("abc");
    state = step(state, ROWS, -1, SHIFT);
    expect(chosen(state)).toBe("ab");
    expect(step(state, ROWS, 99, PLAIN).active).toBe("e");
    expect(step(state, ROWS, -99, PLAIN).active).toBe("a");
  });

  it("keeps what is selected while ctrl+arrows look for more", () => {
    let state = click(NOTHING, ROWS, "a", PLAIN);
    state = step(step(state, ROWS, 1, CTRL), ROWS, 1, CTRL);
    expect(chosen(state)).toBe("a");
    expect(chosen(toggle(state, state.active as string))).toBe("ac");
  });

  it("of everything and of nothing", () => {
    expect(chosen(all(NOTHING, ROWS))).toBe("abcde");
    expect(chosen(none(all(NOTHING, ROWS)))).toBe("");
  });

  it("loses what is gone and stays near where it was", () => {
    const state = click(click(NOTHING, ROWS, "b", PLAIN), ROWS, "c", CTRL);
    const after = retain(state, ROWS, ["a", "b", "d", "e"]);
    expect(chosen(after)).toBe("b");
    expect(after.active).toBe("d");
    expect(retain(state, ROWS, ["a"]).active).toBe("a");
    expect(retain(state, ROWS, []).active).toBeNull();
  });

  it("is the same object when nothing of it changed, so that nothing is drawn anew", () => {
    const state = click(NOTHING, ROWS, "b", PLAIN);
    expect(retain(state, ROWS, [...ROWS, "f"])).toBe(state);
  });
});

describe("keys", () => {
  const press = (key: string, keys: Partial<Parameters<typeof askedBy>[0]> = {}, state: Selection = NOTHING): Asked => {
    const none = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false };
    return askedBy({ key, ...none, ...keys }, state, ROWS, 3);
  };
  const selected = (asked: Asked) => (asked?.kind === "select" ? chosen(asked.selection) : asked?.kind);

  it("do what file managers do", () => {
    expect(press("Enter")).toEqual({ kind: "open" });
    expect(press("F2")).toEqual({ kind: "rename" });
    expect(press("Delete")).toEqual({ kind: "remove" });
    expect(press("Delete", { shiftKey: true })).toEqual({ kind: "removeForGood" });
    expect(press("Backspace")).toEqual({ kind: "up" });
    expect(press("ArrowUp", { altKey: true })).toEqual({ kind: "up" });
    expect(selected(press("a", { ctrlKey: true }))).toBe("abcde");
    expect(selected(press("a", { metaKey: true }))).toBe("abcde");
  });

  it("reach both ends and whole pages", () => {
    const at = click(NOTHING, ROWS, "b", PLAIN);
    expect(selected(press("End", {}, at))).toBe("e");
    expect(selected(press("Home", { shiftKey: true }, at))).toBe("ab");
    expect(selected(press("PageDown", {}, at))).toBe("e");
    expect(selected(press("End"))).toBe("e");
    expect(selected(press("Home"))).toBe("a");
  });

  it("leave letters and the browser's own keys alone", () => {
    expect(press("a")).toBeNull();
    expect(press("Tab")).toBeNull();
    expect(press("ArrowLeft", { altKey: true })).toBeNull();
  });
});
