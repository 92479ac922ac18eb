import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Gateway } from "../src/api/gateway";
import { browserMemory } from "../src/upload/memory";
import type { Upload } from "../src/upload/queue";
import { type Sender, tusTransport } from "../src/upload/transport";

const MIB = 1024 * 1024;

/** An upload that tus has in hand, as far as the test lets it. */
function begin(size: number, serverId: string | null = null) {
  const requests: string[] = [];
  vi.stubGlobal("window", { location: { href: "https://gateway/" } });
  vi.stubGlobal("fetch", async (url: string, asking: RequestInit) => {
    requests.push(`${asking.method} ${url.split("/").slice(-2).join("/")}`);
    return new Response(null, { status: 204 });
  });
  const kept = new Map<string, string>();
  const memory = browserMemory({
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  } as unknown as Storage);
  const did: string[] = [];
  const heard: string[] = [];
  let available = () => {};
  const sender: Sender = {
    url: null,
    start: () => void did.push("start"),
    abort: async () => void did.push("abort"),
  };
  const file = { name: "a", size, lastModified: 7 } as File;
  const upload = { id: 1, ws: "w", fs: "f", path: "a", file, size, sent: 0, serverId } as Upload;
  const running = tusTransport(new Gateway(), memory, (_, options) => {
    available = options.onUploadUrlAvailable as () => void;
    return sender;
  })(upload, {
    begun: (id) => void heard.push(id),
    progress() {},
    done() {},
    failed() {},
  });
  const answer = (id: string) => {
    sender.url = `/uploads/${id}`;
    available();
  };
  return { running, answer, did, heard, requests, kept };
}

describe("the transport of an upload", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it.each([false, true])(
    "that is stopped while it is begun leaves nothing on the server (cancelled: %s)",
    async (discard) => {
      const { running, answer, did, heard, requests, kept } = begin(100 * MIB);
      vi.runAllTimers();
      running.stop(discard);
      expect(did).toEqual(["start"]);
      answer("u1");
      expect(did).toEqual(["start", "abort"]);
      await vi.waitFor(() => expect(requests).toEqual(["DELETE uploads/u1"]));
      expect([heard, kept.size]).toEqual([[], 0]);
    },
  );

  it("that is stopped later is kept where it is paused, and thrown away where it is cancelled", async () => {
    for (const discard of [false, true]) {
      const { running, answer, did, heard, requests } = begin(100 * MIB);
      vi.runAllTimers();
      answer("u1");
      running.stop(discard);
      expect([did, heard]).toEqual([["start", "abort"], ["u1"]]);
      await vi.waitFor(() => expect(requests).toEqual(discard ? ["DELETE uploads/u1"] : []));
    }
  });

  it("that was never started, or whose content goes along, is broken off at once", () => {
    const early = begin(100 * MIB);
    early.running.stop(true);
    vi.runAllTimers();
    expect(early.did).toEqual(["abort"]);
    const small = begin(MIB);
    vi.runAllTimers();
    small.running.stop(true);
    expect(small.did).toEqual(["start", "abort"]);
  });
});
