/** The mock's file system: a tree in memory. Names are bytes, kept as latin1 strings (one character per byte). */

import { randomUUID } from "node:crypto";
import { Fail } from "./http";

export interface Node {
  type: "file" | "dir" | "symlink" | "other";
  data: Buffer;
  children: Map<string, Node>;
  modified: number;
  mode: string;
  ino: number;
}

export interface Trashed {
  id: string;
  path: string[];
  node: Node;
  deletedAt: number;
}

let inode = 100;

export function node(type: Node["type"], data: Buffer = Buffer.alloc(0), modified = Date.now()): Node {
  inode += 1;
  return { type, data, children: new Map(), modified, mode: type === "dir" ? "0755" : "0644", ino: inode };
}

export class Tree {
  readonly root = node("dir");
  readonly trash = new Map<string, Trashed>();

  find(path: string[]): Node {
    let at = this.root;
    for (const name of path) {
      const next = at.children.get(name);
      if (!next) throw new Fail("NotFound", "There is no such file or folder.");
      at = next;
    }
    return at;
  }

  folder(path: string[], makeParents = false): Node {
    let at = this.root;
    for (const name of path) {
      let next = at.children.get(name);
      if (!next) {
        if (!makeParents) throw new Fail("NotFound", "The folder is not there.");
        next = node("dir");
        at.children.set(name, next);
      }
      if (next.type !== "dir") throw new Fail("NotDirectory", "A part of the path is a file.");
      at = next;
    }
    return at;
  }

  put(path: string[], what: Node, options: { parents?: boolean; overwrite?: boolean }): Node {
    const name = path.at(-1);
    if (name === undefined) throw new Fail("BadPath", "The root cannot be replaced.");
    const folder = this.folder(path.slice(0, -1), options.parents);
    const there = folder.children.get(name);
    if (there && !options.overwrite) throw new Fail("Exists", "There is already something with this name.");
    if (there?.type === "dir") throw new Fail("IsDirectory", "There is a folder with this name.");
    folder.children.set(name, what);
    folder.modified = Date.now();
    return what;
  }

  take(path: string[]): Node {
    const found = this.find(path);
    const folder = this.folder(path.slice(0, -1));
    folder.children.delete(path.at(-1) as string);
    return found;
  }

  discard(path: string[]): string {
    const id = randomUUID();
    this.trash.set(id, { id, path, node: this.take(path), deletedAt: Date.now() });
    return id;
  }
}

/** A path of a URL: each segment decoded once, to bytes. */
export function decodePath(text: string): string[] {
  const names = text.split("/").filter((segment) => segment !== "");
  return names.map((segment) => {
    const latin = Buffer.from(segment, "utf8").toString("latin1");
    const name = latin.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    if (name === "." || name === ".." || name.includes("\0") || name.length > 255) {
      throw new Fail("BadPath", "This is no name of a file.");
    }
    return name;
  });
}

export function encodePath(path: string[]): string {
  const segment = (name: string) =>
    name.replace(/[^A-Za-z0-9._~-]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
  return path.map(segment).join("/");
}

/** The name as JSON has it: UTF-8, U+FFFD for what is none. */
export function shown(name: string): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** Text as the bytes of a name. */
export function bytesOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

export function entry(path: string[], at: Node) {
  const hex = (value: number) => value.toString(16);
  return {
    name: shown(path.at(-1) ?? ""),
    path: encodePath(path),
    type: at.type,
    size: at.type === "dir" ? 4096 : at.data.length,
    modified: new Date(at.modified).toISOString(),
    mode: at.mode,
    uid: 1000,
    gid: 1000,
    etag: `"${hex(at.ino)}-${hex(at.data.length)}-${hex(at.modified)}-${hex(at.modified)}"`,
  };
}

export function sizeOf(at: Node): number {
  let total = at.data.length;
  for (const child of at.children.values()) total += sizeOf(child);
  return total;
}
