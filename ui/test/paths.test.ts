import { describe, expect, it } from "vitest";
import { nameParts, shownName, visibleText } from "../src/lib/names";
import {
  canonical,
  decodeBytes,
  editableName,
  encodeName,
  inputFromPath,
  isWithin,
  join,
  nameProblem,
  parent,
  pathFromInput,
  pathProblem,
} from "../src/lib/paths";

const bytes = (segment: string) => [...decodeBytes(segment)];

describe("paths", () => {
  it("keeps bytes that are no UTF-8 through decoding and spelling", () => {
    expect(bytes("a%FF%E9b")).toEqual([0x61, 0xff, 0xe9, 0x62]);
    expect(canonical("x/%ff%e9")).toBe("x/%FF%E9");
  });

  it("encodes what somebody typed byte by byte, once", () => {
    expect(encodeName("50% ä/b?#")).toBe("50%25%20%C3%A4%2Fb%3F%23");
    expect(bytes(encodeName("%2e%2e"))).toEqual([...new TextEncoder().encode("%2e%2e")]);
  });

  it("survives half a surrogate pair, which has no bytes", () => {
    expect(encodeName("a\ud800b")).toBe("a%EF%BF%BDb");
    expect(encodeName("\udc00")).toBe("%EF%BF%BD");
    expect(encodeName("😀")).toBe("%F0%9F%98%80");
  });

  it("takes a stray percent sign for itself", () => {
    expect(new TextDecoder().decode(decodeBytes("100%"))).toBe("100%");
    expect(new TextDecoder().decode(decodeBytes("%zz%4"))).toBe("%zz%4");
  });

  it("compares two spellings of the same path as one", () => {
    expect(canonical("a%28b/%41")).toBe(canonical("a(b/A"));
    expect(canonical("//a///b/")).toBe("a/b");
  });

  it("joins, and finds the parent, from the root on", () => {
    expect(join("", "a")).toBe("a");
    expect(join("a", "b")).toBe("a/b");
    expect(parent("a/b")).toBe("a");
    expect(parent("a")).toBe("");
  });

  it("tells a folder's inside from a neighbour with a longer name", () => {
    expect(isWithin("a/b", "a")).toBe(true);
    expect(isWithin("a", "a")).toBe(true);
    expect(isWithin("ab", "a")).toBe(false);
    expect(isWithin("anything", "")).toBe(true);
  });

  it("goes from a typed path to an encoded one and back", () => {
    expect(pathFromInput(" /data/new set/ ")).toBe("data/new%20set");
    expect(inputFromPath("data/new%20set")).toBe("/data/new set");
    expect(inputFromPath("")).toBe("/");
    expect(editableName("caf%C3%A9")).toBe("café");
  });

  it("says why a name cannot be", () => {
    expect(nameProblem("a/b")).toContain("/");
    expect(nameProblem("..")).not.toBeNull();
    expect(nameProblem("")).not.toBeNull();
    expect(nameProblem("ä".repeat(128))).toContain("256 bytes");
    expect(nameProblem("ä".repeat(127))).toBeNull();
    expect(nameProblem("back\\slash")).toBeNull();
    expect(pathProblem("/a/../b")).not.toBeNull();
    expect(pathProblem("/a/b")).toBeNull();
  });
});

describe("names as they are shown", () => {
  it("leaves ordinary names of any language alone", () => {
    for (const name of ["notes.txt", "naïve 研究", "שלום", "👩‍💻.md"]) {
      expect(nameParts(encodeName(name))).toEqual([{ text: name, odd: false }]);
    }
  });

  it("shows a mark that turns the reading direction", () => {
    expect(shownName(encodeName("invoice\u202etxt.exe"))).toBe("invoice<U+202E>txt.exe");
    expect(nameParts(encodeName("a\u2067b"))[1]).toEqual({ text: "<U+2067>", odd: true });
  });

  it("shows line breaks, escapes and other control characters", () => {
    expect(shownName("a%0Ab%09c%1B%7F")).toBe("a\\nb\\tc\\x1B\\x7F");
    expect(shownName("%C2%85")).toBe("\\x85");
  });

  it("shows bytes that are no text as bytes, and the text around them as text", () => {
    expect(nameParts("caf%E9%FF.txt")).toEqual([
      { text: "caf", odd: false },
      { text: "\\xE9\\xFF", odd: true },
      { text: ".txt", odd: false },
    ]);
    expect(shownName("%C3%A9%C3")).toBe("é\\xC3");
  });

  it("shows spaces at the ends, where they are overlooked", () => {
    expect(shownName("%20a%20b%20")).toBe("\u00b7a b\u00b7");
  });

  it("keeps a text's lines and shows what would mislead in them", () => {
    expect(visibleText("a\r\n\tb\u202e\n")).toBe("a\n\tb<U+202E>\n");
  });
});
