/**
 * tus 1.0 over the tree, with faults that a test may ask for: a slow line, one that breaks, a slow begin. As before the real file
 * API, a later request of an upload takes over from an earlier one, whose caller is gone but whose bytes may still be on the way.
 */

import { randomUUID } from "node:crypto";
import { empty, Fail, json, type Request } from "./http";
import { decodePath, encodePath, node, type Tree } from "./tree";

export interface Faults {
  /** Uploads are read no faster than this; 0: as they come. */
  bytesPerSecond: number;
  /** Breaks the connection this many times, each after `breakAfterBytes` of a request. */
  breaks: number;
  breakAfterBytes: number;
  /** An upload is begun at once, and who asked for it hears so after this time. */
  beginMs: number;
}

interface Unfinished {
  id: string;
  path: string[];
  size: number;
  parts: Buffer[];
  offset: number;
  modified: number | undefined;
  overwrite: boolean;
  created: number;
  /** Ends when nobody writes it any more. */
  free: Promise<void>;
  /** Tells whoever writes it to end. */
  letGo: () => void;
}

export class Uploads {
  private readonly uploads = new Map<string, Unfinished>();
  /** Remembered for callers who did not hear that all has arrived. */
  private readonly finished = new Map<string, Unfinished>();
  /** How many were begun since the start. */
  begun = 0;

  constructor(
    private readonly tree: Tree,
    private readonly faults: Faults,
  ) {}

  async answer(id: string | undefined, request: Request): Promise<void> {
    request.answer.setHeader("Tus-Resumable", "1.0.0");
    if (id === undefined && request.method === "GET") return json(request, [...this.uploads.values()].map(listed));
    if (id === undefined && request.method === "POST") return this.create(request);
    const upload = this.uploads.get(id ?? "") ?? this.finished.get(id ?? "");
    if (!upload) throw new Fail("NotFound", "This upload has expired or never was.");
    await this.held(upload, () => this.work(upload, request));
  }

  private async work(upload: Unfinished, request: Request): Promise<void> {
    if (request.method === "HEAD") {
      this.finish(upload);
      return empty(request, 200, state(upload));
    }
    if (request.method === "DELETE") {
      this.uploads.delete(upload.id);
      this.finished.delete(upload.id);
      return empty(request);
    }
    if (request.method !== "PATCH") throw new Fail("NotFound", "There is no such route.");
    if (Number(request.incoming.headers["upload-offset"]) !== upload.offset) {
      throw new Fail("Conflict", "the upload has another offset: ask for it, and go on from there");
    }
    await this.receive(upload, request, 204);
  }

  /** Works on an upload alone. */
  private async held(upload: Unfinished, work: () => Promise<void>): Promise<void> {
    const before = upload.free;
    upload.letGo();
    let free = () => {};
    upload.free = new Promise((done) => {
      free = done;
    });
    try {
      await before;
      await work();
    } finally {
      upload.letGo = () => {};
      free();
    }
  }

  private async create(request: Request): Promise<void> {
    const metadata = parse(String(request.incoming.headers["upload-metadata"] ?? ""));
    const path = decodePath(metadata.path ?? "");
    const upload: Unfinished = {
      id: randomUUID(),
      path,
      size: Number(request.incoming.headers["upload-length"]),
      parts: [],
      offset: 0,
      modified: metadata.modified ? Date.parse(metadata.modified) : undefined,
      overwrite: metadata.overwrite === "true",
      created: Date.now(),
      free: Promise.resolve(),
      letGo: () => {},
    };
    const folder = this.tree.folder(path.slice(0, -1), true);
    if (folder.children.has(path.at(-1) as string) && !upload.overwrite) {
      throw new Fail("Exists", "There is already something with this name.");
    }
    this.uploads.set(upload.id, upload);
    this.begun += 1;
    if (this.faults.beginMs > 0) await new Promise((done) => setTimeout(done, this.faults.beginMs));
    request.answer.setHeader("Location", `uploads/${upload.id}`);
    await this.held(upload, () => this.receive(upload, request, 201));
  }

  private async receive(upload: Unfinished, request: Request, status: number): Promise<void> {
    upload.letGo = () => request.incoming.destroy();
    let received = 0;
    for await (const part of request.incoming) {
      const chunk = part as Buffer;
      upload.parts.push(chunk);
      upload.offset += chunk.length;
      received += chunk.length;
      if (this.faults.breaks > 0 && received >= this.faults.breakAfterBytes) {
        this.faults.breaks -= 1;
        request.incoming.socket.destroy();
        return;
      }
      const { bytesPerSecond } = this.faults;
      if (bytesPerSecond > 0) await new Promise((done) => setTimeout(done, (chunk.length / bytesPerSecond) * 1000));
    }
    this.finish(upload);
    empty(request, status, state(upload));
  }

  private finish(upload: Unfinished): void {
    if (upload.offset < upload.size || !this.uploads.delete(upload.id)) return;
    const file = node("file", Buffer.concat(upload.parts), upload.modified);
    this.tree.put(upload.path, file, { parents: true, overwrite: upload.overwrite });
    this.finished.set(upload.id, upload);
  }
}

function state(upload: Unfinished): Record<string, string> {
  return { "Upload-Offset": String(upload.offset), "Upload-Length": String(upload.size), "Cache-Control": "no-store" };
}

function listed(upload: Unfinished) {
  return {
    id: upload.id,
    path: encodePath(upload.path),
    size: upload.size,
    offset: upload.offset,
    created: new Date(upload.created).toISOString(),
    expiresAt: new Date(upload.created + 7 * 86_400_000).toISOString(),
  };
}

function parse(metadata: string): Record<string, string> {
  const pairs = metadata.split(",").map((pair) => pair.trim().split(" ", 2));
  return Object.fromEntries(pairs.map(([key = "", value = ""]) => [key, Buffer.from(value, "base64").toString()]));
}
