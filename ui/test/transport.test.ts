import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Gateway } from "../src/api/gateway";
import { browserMemory } from "../src/upload/memory";
import type { TransportEvents, Upload } from "../src/upload/queue";
import { tusTransport } from "../src/upload/transport";

// What the pages run: node's own would ask by another way.
vi.mock("tus-js-client", async () => await import("../node_modules/tus-js-client/lib.esm/browser/index.js" as string));

/** A request as tus makes them; the test answers it. */
class Asked {
  status = 0;
  responseText = "";
  aborted = false;
  method = "";
  url = "";
  onload = () => {};
  onerror = () => {};
  readonly upload = { onprogress: null };
  private headers: Record<string, string> = {};

  open(method: string, url: string) {
    [this.method, this.url] = [method, url];
  }

  setRequestHeader() {}

  send() {
    asked.push(this);
  }

  abort() {
    // As the standard has it: what was answered cannot be read any more.
    [this.aborted, this.status, this.headers] = [true, 0, {}];
  }

  getResponseHeader(name: string) {
    return this.headers[name] ?? null;
  }

  async answer(status: number, headers: Record<string, string>) {
    if (this.aborted) return;
    [this.status, this.headers] = [status, headers];
    this.onload();
    await vi.advanceTimersByTimeAsync(0);
  }
}

let asked: Asked[] = [];
let left: { id: string; path: string; size: number }[] = [];
let discarded: string[] = [];

async function answers(url: string, { method }: { method: string }): Promise<Response> {
  if (method !== "DELETE") return new Response(JSON.stringify(left));
  discarded.push(url.split("/").at(-1) as string);
  return new Response(null, { status: 204 });
}

beforeEach(() => {
  vi.useFakeTimers();
  [asked, left, discarded] = [[], [], []];
  vi.stubGlobal("XMLHttpRequest", Asked);
  vi.stubGlobal("window", { location: { href: "https://gateway/" } });
  vi.stubGlobal("fetch", answers);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function begin(size: number) {
  const kept = new Map<string, string>();
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
    removeItem: (key: string) => kept.delete(key),
  };
  const file = new File([new Uint8Array(size)], "a", { lastModified: 1000 });
  const upload = { id: 1, ws: "w", fs: "f", path: "a", file, size, sent: 0, overwrite: false, serverId: null };
  const events: TransportEvents = { begun: vi.fn(), progress: vi.fn(), done: vi.fn(), failed: vi.fn() };
  const memory = browserMemory(storage as unknown as Storage);
  const running = tusTransport(new Gateway(), memory)(upload as unknown as Upload, events);
  await vi.advanceTimersByTimeAsync(0);
  return { running, events, memory };
}

const LARGE = 5 * 1024 * 1024;
const SMALL = 1000;
const created = (offset: number) => ({ Location: "uploads/id-1", "Upload-Offset": String(offset) });
const requests = () => asked.map((one) => one.method);

describe("an upload that is stopped while it is being begun", () => {
  it("waits for its id, and sends nothing more", async () => {
    const { running, memory } = await begin(LARGE);
    const stopped = running.stop(false);
    await asked[0]?.answer(201, created(0));
    expect(await stopped).toEqual({ serverId: "id-1", arrived: false });
    expect(requests()).toEqual(["POST"]);
    expect(memory.modified("id-1")).toBe(1000);
    expect(discarded).toEqual([]);
  });

  it("is thrown away by its id when cancelled", async () => {
    const { running, memory } = await begin(LARGE);
    const stopped = running.stop(true);
    expect(discarded).toEqual([]);
    await asked[0]?.answer(201, created(0));
    expect(await stopped).toMatchObject({ arrived: false });
    expect(discarded).toEqual(["id-1"]);
    expect(requests()).toEqual(["POST"]);
    expect(memory.modified("id-1")).toBeNull();
  });

  it("has arrived if the whole file went along, and goes on if a part of it did", async () => {
    const whole = await begin(SMALL);
    const first = whole.running.stop(false);
    await asked[0]?.answer(201, created(SMALL));
    expect(await first).toEqual({ serverId: "id-1", arrived: true });
    const part = await begin(SMALL);
    const second = part.running.stop(false);
    await asked[1]?.answer(201, created(SMALL - 1));
    expect(await second).toEqual({ serverId: "id-1", arrived: false });
    expect(requests()).toEqual(["POST", "POST"]);
  });

  it("is not let arrive when cancelled: what the server keeps of it is found and thrown away, and nothing else", async () => {
    left = [
      { id: "id-1", path: "a", size: SMALL },
      { id: "id-2", path: "b", size: SMALL },
      { id: "id-3", path: "a", size: SMALL + 1 },
    ];
    const { running } = await begin(SMALL);
    expect(await running.stop(true)).toEqual({ serverId: null, arrived: false });
    expect(asked[0]?.aborted).toBe(true);
    expect(discarded).toEqual(["id-1"]);
  });

  it("does not wait forever for an answer", async () => {
    const { running } = await begin(LARGE);
    const stopped = running.stop(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await stopped).toEqual({ serverId: null, arrived: false });
    expect(asked[0]?.aborted).toBe(true);
  });

  it("ends as well if it could not be begun", async () => {
    const { running } = await begin(LARGE);
    const stopped = running.stop(true);
    await asked[0]?.answer(409, {});
    expect(await stopped).toEqual({ serverId: null, arrived: false });
    expect(discarded).toEqual([]);
  });
});

describe("an upload that is stopped later", () => {
  it("is cut off at once, and thrown away when cancelled", async () => {
    const { running } = await begin(LARGE);
    await asked[0]?.answer(201, created(0));
    expect(requests()).toEqual(["POST", "PATCH"]);
    const stopped = running.stop(true);
    expect(asked[1]?.aborted).toBe(true);
    expect(await stopped).toEqual({ serverId: "id-1", arrived: false });
    expect(discarded).toEqual(["id-1"]);
  });
});
