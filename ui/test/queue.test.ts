import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/errors";
import { besides } from "../src/upload/besides";
import { type TransportEvents, totals, type Upload, UploadQueue } from "../src/upload/queue";

interface Started {
  upload: Upload;
  events: TransportEvents;
  stopped: "no" | "kept" | "discarded";
}

function setUp() {
  const started: Started[] = [];
  const queue = new UploadQueue((upload, events) => {
    const one: Started = { upload, events, stopped: "no" };
    started.push(one);
    return {
      stop(discard) {
        one.stopped = discard ? "discarded" : "kept";
      },
    };
  });
  const add = (...names: string[]) =>
    queue.add(names.map((name) => ({ ws: "w", fs: "f", path: name, file: new File(["12345678"], name) })));
  const states = () => {
    vi.advanceTimersByTime(100);
    return queue.snapshot().map((upload) => upload.state);
  };
  return { queue, started, add, states, last: () => started.at(-1) as Started };
}

const offline = () => new ApiError(0, "Offline", "");

describe("the upload queue", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("sends three files at once, and the next when one has arrived", () => {
    const { add, started, states } = setUp();
    add("a", "b", "c", "d", "e");
    expect(states()).toEqual(["running", "running", "running", "queued", "queued"]);
    started[1]?.events.done();
    expect(states()).toEqual(["running", "done", "running", "running", "queued"]);
    expect(started.map((one) => one.upload.path)).toEqual(["a", "b", "c", "d"]);
  });

  it("keeps what was sent when paused, and goes on there", () => {
    const { queue, add, started, states, last } = setUp();
    add("a");
    last().events.begun("id-1");
    last().events.progress(4);
    queue.pause(1);
    expect(last().stopped).toBe("kept");
    expect(states()).toEqual(["paused"]);
    queue.resume(1);
    expect(started).toHaveLength(2);
    expect(last().upload).toMatchObject({ serverId: "id-1", sent: 4 });
  });

  it("does not hear a transport that was stopped", () => {
    const { queue, add, started, states } = setUp();
    add("a");
    queue.pause(1);
    started[0]?.events.done();
    started[0]?.events.failed(offline());
    expect(states()).toEqual(["paused"]);
  });

  it("goes on by itself after a lost connection, waiting longer each time", () => {
    const { add, started, states, last } = setUp();
    add("a");
    last().events.failed(offline());
    expect(states()).toEqual(["waiting"]);
    vi.advanceTimersByTime(1000);
    expect(started).toHaveLength(2);
    last().events.failed(offline());
    vi.advanceTimersByTime(1500);
    expect(started).toHaveLength(2);
    vi.advanceTimersByTime(600);
    expect(started).toHaveLength(3);
  });

  it("begins with a short wait again once bytes have flowed", () => {
    const { add, started, last } = setUp();
    add("a");
    for (let tries = 0; tries < 4; tries += 1) {
      last().events.failed(offline());
      vi.advanceTimersByTime(30_000);
    }
    last().events.progress(1);
    last().events.failed(offline());
    vi.advanceTimersByTime(1000);
    expect(started).toHaveLength(6);
  });

  it("is woken when the connection is back", () => {
    const { queue, add, states, last } = setUp();
    add("a");
    last().events.failed(offline());
    queue.wake();
    expect(states()).toEqual(["running"]);
  });

  it("does not try again what cannot succeed, but lets others go on", () => {
    const { add, started, states } = setUp();
    add("a", "b", "c", "d");
    started[0]?.events.failed(new ApiError(507, "QuotaExceeded", ""));
    expect(states()).toEqual(["failed", "running", "running", "running"]);
    vi.advanceTimersByTime(120_000);
    expect(started).toHaveLength(4);
  });

  it("uploads anew over what is there, or beside it", () => {
    const { queue, add, last } = setUp();
    add("a");
    last().events.begun("id-1");
    last().events.failed(new ApiError(409, "Exists", ""));
    queue.again(1, { overwrite: true });
    expect(last().upload).toMatchObject({ overwrite: true, serverId: null, sent: 0, path: "a" });
  });

  it("throws away what the server has when cancelled, also if nothing runs", () => {
    const { queue, add, started, states, last } = setUp();
    add("a");
    last().events.begun("id-1");
    queue.pause(1);
    queue.cancel(1);
    expect(started).toHaveLength(2);
    expect(last().stopped).toBe("discarded");
    expect(states()).toEqual(["cancelled"]);
  });

  it("pauses, resumes and cancels everything", () => {
    const { queue, add, states } = setUp();
    add("a", "b", "c", "d");
    queue.pauseAll();
    expect(states()).toEqual(["paused", "paused", "paused", "paused"]);
    queue.resumeAll();
    expect(states().filter((state) => state === "running")).toHaveLength(3);
    queue.cancelAll();
    expect(new Set(states())).toEqual(new Set(["cancelled"]));
    queue.clearEnded();
    expect(states()).toEqual([]);
  });

  it("tells the page ten times a second, however much happens", () => {
    const { queue, add, last } = setUp();
    const told = vi.fn();
    queue.subscribe(told);
    add("a");
    for (let sent = 0; sent < 8; sent += 1) last().events.progress(sent);
    vi.advanceTimersByTime(100);
    expect(told).toHaveBeenCalledTimes(1);
    expect(queue.snapshot()[0]?.sent).toBe(7);
  });

  it("adds up without what was cancelled", () => {
    const { queue, add, states, started } = setUp();
    add("a", "b", "c");
    started[0]?.events.done();
    queue.cancel(2);
    states();
    expect(totals(queue.snapshot())).toMatchObject({ files: 2, done: 1, active: 1, size: 16, sent: 8 });
  });
});

describe("a name beside one that is taken", () => {
  it("keeps the suffix and counts on", () => {
    expect(besides("notes.txt")).toBe("notes (2).txt");
    expect(besides("notes (2).txt")).toBe("notes (3).txt");
    expect(besides("Makefile")).toBe("Makefile (2)");
    expect(besides(".env")).toBe(".env (2)");
  });
});
