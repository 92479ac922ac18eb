import { describe, expect, it } from "vitest";
import { collectChosen, collectDropped, type DroppedEntry } from "../src/upload/collect";
import { browserMemory, continues, leftOver, mismatch } from "../src/upload/memory";
import type { Upload } from "../src/upload/queue";

function storage(): Storage {
  const kept = new Map<string, string>();
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  } as unknown as Storage;
}

const upload = { id: "u1", path: "data/big%20file.bin", size: 3, offset: 1, expiresAt: "", created: "" };
const file = (name: string, text: string, lastModified = 1000) => new File([text], name, { lastModified });

describe("an unfinished upload", () => {
  it("is continued only with the file it began with", () => {
    const memory = browserMemory(storage());
    memory.remember("u1", file("big file.bin", "abc"));
    expect(mismatch(upload, file("big file.bin", "abc"), memory)).toBeNull();
    expect(mismatch(upload, file("other.bin", "abc"), memory)).toContain("name");
    expect(mismatch(upload, file("big file.bin", "abcd"), memory)).toContain("size");
    expect(mismatch(upload, file("big file.bin", "xyz", 2000), memory)).toContain("changed");
  });

  it("of another browser is taken at its name and size when chosen, and never by itself", () => {
    const memory = browserMemory(storage());
    const chosen = file("big file.bin", "abc");
    expect(mismatch(upload, chosen, memory)).toBeNull();
    expect(continues([upload], "data/big%20file.bin", chosen, memory)).toBeNull();
  });

  it("is found again when the same folder is dropped once more", () => {
    const memory = browserMemory(storage());
    const chosen = file("big file.bin", "abc");
    memory.remember("u1", chosen);
    expect(continues([upload], "data/big%20file.bin", chosen, memory)).toBe(upload);
    expect(continues([upload], "elsewhere/big%20file.bin", chosen, memory)).toBeNull();
    memory.forget("u1");
    expect(continues([upload], "data/big%20file.bin", chosen, memory)).toBeNull();
  });

  it("is left over only if no upload of the queue is it, or just begins it", () => {
    const queued = (change: Partial<Upload>) => [{ ws: "w", fs: "f", path: "x", serverId: null, ...change } as Upload];
    const here = { ws: "w", fs: "f" };
    expect(leftOver([upload], queued({}), here)).toEqual([upload]);
    expect(leftOver([upload], queued({ serverId: "u1" }), here)).toEqual([]);
    expect(leftOver([upload], queued({ path: "data/big%20file.bin", state: "running" }), here)).toEqual([]);
    expect(leftOver([upload], queued({ path: "data/big%20file.bin", state: "failed" }), here)).toEqual([upload]);
    expect(leftOver([upload], queued({ path: "data/big%20file.bin", state: "running", fs: "g" }), here)).toEqual([
      upload,
    ]);
  });

  it("does not need a storage that may be written", () => {
    const full = {
      getItem: () => null,
      setItem: () => {
        throw new Error("full");
      },
      removeItem: () => {},
    };
    const memory = browserMemory(full as unknown as Storage);
    memory.remember("u1", file("a", "b"));
    expect(memory.modified("u1")).toBeNull();
  });
});

const dropped = (name: string) => ({
  isFile: true,
  isDirectory: false,
  name,
  file: (done: (f: File) => void) => done(file(name, "x")),
});

/** As a browser does: at most a hundred entries at a time. */
function folder(name: string, children: DroppedEntry[]) {
  const createReader = () => {
    let at = 0;
    return {
      readEntries(done: (entries: DroppedEntry[]) => void) {
        const some = children.slice(at, at + 100);
        at += 100;
        done(some);
      },
    };
  };
  return { isFile: false, isDirectory: true, name, createReader };
}

describe("what is dropped or chosen", () => {
  it("is taken with all folders, empty ones too, parents first", async () => {
    const tree = folder("top", [dropped("a b"), folder("sub", [folder("empty", []), dropped("c")])]);
    const found = await collectDropped([tree, dropped("single")], "here");
    expect(found.folders).toEqual(["here/top", "here/top/sub", "here/top/sub/empty"]);
    expect(found.files.map((one) => one.path)).toEqual(["here/top/a%20b", "here/top/sub/c", "here/single"]);
  });

  it("is whole also where a folder has more than a browser gives at once", async () => {
    const many = Array.from({ length: 250 }, (_, at) => dropped(`f${at}`));
    const found = await collectDropped([folder("many", many)], "");
    expect(found.files).toHaveLength(250);
  });

  it("keeps the way below a chosen folder", () => {
    const one = file("c.txt", "x");
    Object.defineProperty(one, "webkitRelativePath", { value: "top/sub dir/c.txt" });
    expect(collectChosen([one], "")).toEqual({
      folders: ["top", "top/sub%20dir"],
      files: [{ path: "top/sub%20dir/c.txt", file: one }],
    });
  });
});
