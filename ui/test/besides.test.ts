import { describe, expect, it } from "vitest";
import { editableName, lastSegment, parent } from "../src/lib/paths";
import { besides, pathBesides } from "../src/upload/besides";

describe("a name beside one that is taken", () => {
  it("keeps the suffix and counts on", () => {
    expect(besides("notes.txt")).toBe("notes (2).txt");
    expect(besides("notes (2).txt")).toBe("notes (3).txt");
    expect(besides("Makefile")).toBe("Makefile (2)");
    expect(besides(".env")).toBe(".env (2)");
  });

  it("is another one each time, in the same folder", () => {
    const second = pathBesides("a%20b/caf%C3%A9.txt");
    expect(editableName(lastSegment(second))).toBe("café (2).txt");
    expect(editableName(lastSegment(pathBesides(second)))).toBe("café (3).txt");
    expect(parent(second)).toBe("a%20b");
  });
});
