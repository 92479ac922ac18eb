/** Imports that pretend: objects arrive by the clock. The bucket's name decides how it goes, so that a test can ask. */

import { randomUUID } from "node:crypto";
import { empty, Fail, json, jsonBody, type Request } from "./http";
import { decodePath, node, type Tree } from "./tree";

const OBJECTS = 40;
const OBJECT_BYTES = 3_000_000;

interface Wish {
  provider: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  endpoint?: string;
  prefix?: string;
  destination: string;
}

interface Running {
  id: string;
  wish: Wish;
  state: string;
  done: number;
  startedAt: number;
  endedAt: number | null;
  message: string | null;
  field: string | null;
  timer: ReturnType<typeof setInterval> | null;
}

export class Imports {
  private readonly imports = new Map<string, Running>();

  constructor(
    private readonly tree: Tree,
    /** Milliseconds per object. */
    public pace = 120,
  ) {}

  async answer(id: string | undefined, verb: string | undefined, request: Request): Promise<void> {
    if (id === undefined) {
      if (request.method === "GET") return json(request, [...this.imports.values()].map(view));
      return json(request, view(this.begin(await jsonBody<Wish>(request))), 201);
    }
    const found = this.imports.get(id);
    if (!found) throw new Fail("NotFound", "There is no such import.");
    if (verb === "resume") {
      this.check({ ...found.wish, ...(await jsonBody<Partial<Wish>>(request)) });
      this.run(found);
      return json(request, view(found));
    }
    if (request.method === "GET") return json(request, view(found));
    if (found.endedAt === null) this.end(found, "cancelled", null);
    else this.imports.delete(id);
    empty(request);
  }

  /** As a restart of the file service does: the keys are gone. */
  interrupt(): void {
    for (const one of this.imports.values()) {
      if (one.endedAt === null) this.end(one, "interrupted", "The file service was restarted; enter the keys again.");
    }
  }

  close(): void {
    for (const one of this.imports.values()) if (one.timer) clearInterval(one.timer);
  }

  private check(wish: Wish): void {
    for (const field of ["bucket", "accessKeyId", "secretAccessKey"] as const) {
      if (!wish[field]) throw new Fail("BadRequest", "This must be given.", field);
    }
    if (wish.provider === "r2" && !wish.endpoint) throw new Fail("BadRequest", "R2 needs its endpoint.", "endpoint");
    if (wish.bucket === "missing") {
      throw new Fail("BadRequest", "There is no bucket of this name; correct the bucket.", "bucket");
    }
    if (wish.secretAccessKey === "wrong") {
      throw new Fail("BadRequest", "The secret does not belong to the access key id.", "secretAccessKey");
    }
  }

  private begin(wish: Wish): Running {
    this.check(wish);
    decodePath(wish.destination);
    const started: Running = {
      id: randomUUID(),
      wish,
      state: "listing",
      done: 0,
      startedAt: Date.now(),
      endedAt: null,
      message: null,
      field: null,
      timer: null,
    };
    this.imports.set(started.id, started);
    this.run(started);
    return started;
  }

  private run(one: Running): void {
    one.state = "running";
    one.endedAt = null;
    one.message = null;
    one.timer = setInterval(() => {
      one.done += 1;
      const path = [...decodePath(one.wish.destination), `object-${one.done}.bin`];
      this.tree.put(path, node("file", Buffer.from(`object ${one.done}`)), { parents: true, overwrite: true });
      if (one.done >= OBJECTS) this.end(one, "done", null);
    }, this.pace);
  }

  private end(one: Running, state: string, message: string | null): void {
    if (one.timer) clearInterval(one.timer);
    Object.assign(one, { state, message, endedAt: Date.now(), timer: null });
  }
}

function view(one: Running) {
  const failed =
    one.state === "done" && one.wish.bucket === "partly" ? [{ key: "../up", reason: "no valid path" }] : [];
  const rate = one.endedAt === null ? (one.done * OBJECT_BYTES * 1000) / Math.max(1, Date.now() - one.startedAt) : null;
  return {
    id: one.id,
    provider: one.wish.provider,
    bucket: one.wish.bucket,
    prefix: one.wish.prefix ?? null,
    endpoint: one.wish.endpoint ?? null,
    destination: one.wish.destination,
    state: one.state,
    objects: { total: OBJECTS, done: one.done - failed.length, skipped: 0, failed: failed.length },
    bytes: { total: OBJECTS * OBJECT_BYTES, done: one.done * OBJECT_BYTES },
    bySize: 2,
    rate,
    etaSeconds: rate ? ((OBJECTS - one.done) * OBJECT_BYTES) / rate : null,
    failures: failed,
    message: one.message,
    field: one.field,
    startedAt: new Date(one.startedAt).toISOString(),
    endedAt: one.endedAt === null ? null : new Date(one.endedAt).toISOString(),
    startedBy: "ada",
  };
}
