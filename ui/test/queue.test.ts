import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, errorOf } from "../src/api/errors";
import { type Stopped, type TransportEvents, type Upload, UploadQueue } from "../src/upload/queue";
import { totals } from "../src/upload/totals";

interface Started {
  upload: Upload;
  events: TransportEvents;
  stopped: "no" | "kept" | "discarded";
  /** Tells what became of its last request, where `slow` keeps that back. */
  settle(stopped: Partial<Stopped>): Promise<void>;
}

/** With `slow`, a transport that was stopped has ended only when the test says so. */
function setUp({ slow = false } = {}) {
  const started: Started[] = [];
  const queue = new UploadQueue((upload, events) => {
    let ended: (stopped: Stopped) => void = () => {};
    const stopped = new Promise<Stopped>((done) => {
      ended = done;
    });
    const settle = async (what: Partial<Stopped>) => {
      ended({ serverId: upload.serverId, arrived: false, ...what });
      await stopped;
    };
    const began = (serverId: string) => {
      if (!slow) one.id = serverId;
      events.begun(serverId);
    };
    const one = {
      upload,
      events: { ...events, begun: began },
      stopped: "no",
      settle,
      id: upload.serverId,
    } as Started & {
      id: string | null;
    };
    started.push(one);
    return {
      stop(discard) {
        one.stopped = discard ? "discarded" : "kept";
        if (!slow) void settle({ serverId: one.id });
        return stopped;
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

const settled = () => vi.advanceTimersByTimeAsync(0);
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

  it("keeps what was sent when paused, and goes on there", async () => {
    const { queue, add, started, states, last } = setUp();
    add("a");
    last().events.begun("id-1");
    last().events.progress(4);
    queue.pause(1);
    expect(last().stopped).toBe("kept");
    expect(states()).toEqual(["paused"]);
    queue.resume(1);
    await settled();
    expect(started).toHaveLength(2);
    expect(last().upload).toMatchObject({ serverId: "id-1", sent: 4 });
  });

  it("does not begin again before the last request of it has ended, and goes on with the id that it brought", async () => {
    const { queue, add, started, states, last } = setUp({ slow: true });
    add("a");
    queue.pause(1);
    queue.resume(1);
    expect(states()).toEqual(["queued"]);
    expect(started).toHaveLength(1);
    await last().settle({ serverId: "id-1" });
    expect(states()).toEqual(["running"]);
    expect(last().upload).toMatchObject({ serverId: "id-1" });
  });

  it("throws away what a request begins that was on the way when its upload was paused, then cancelled", async () => {
    const { queue, add, started, states, last } = setUp({ slow: true });
    add("a");
    queue.pause(1);
    queue.cancel(1);
    queue.clearEnded();
    await last().settle({ serverId: "id-1" });
    expect(started).toHaveLength(2);
    expect(last()).toMatchObject({ stopped: "discarded", upload: { serverId: "id-1" } });
    await last().settle({});
    expect(started).toHaveLength(2);
    expect(states()).toEqual([]);
  });

  it("says of a file that it has arrived, also if that was only heard after it was stopped", async () => {
    const { queue, add, states, started } = setUp({ slow: true });
    const ended = vi.fn();
    queue.onEnded = ended;
    add("a", "b");
    queue.pause(1);
    queue.pause(2);
    queue.cancel(2);
    await started[0]?.settle({ serverId: "id-1", arrived: true });
    await started[1]?.settle({ serverId: "id-2", arrived: true });
    expect(states()).toEqual(["done", "done"]);
    expect(ended).toHaveBeenCalledTimes(2);
    expect(started).toHaveLength(2);
  });

  it("goes on by itself where the server has not noticed yet that an earlier request was given up", () => {
    const { add, started, states, last } = setUp();
    add("a");
    last().events.failed(
      errorOf(409, JSON.stringify({ code: "Conflict", message: "another request writes this upload" })),
    );
    expect(states()).toEqual(["waiting"]);
    vi.advanceTimersByTime(1000);
    last().events.failed(errorOf(423, ""));
    expect(states()).toEqual(["waiting"]);
    vi.advanceTimersByTime(2000);
    expect(started).toHaveLength(3);
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

  it("uploads anew over what is there, or beside it", async () => {
    const { queue, add, last } = setUp();
    add("a");
    last().events.begun("id-1");
    last().events.failed(new ApiError(409, "Exists", ""));
    queue.again(1, { overwrite: true });
    await vi.advanceTimersByTimeAsync(0);
    expect(last().upload).toMatchObject({ overwrite: true, serverId: null, sent: 0, path: "a" });
  });

  it("throws away what the server has when cancelled, also if nothing runs", async () => {
    const { queue, add, started, states, last } = setUp();
    add("a");
    last().events.begun("id-1");
    queue.pause(1);
    await settled();
    queue.cancel(1);
    expect(started).toHaveLength(2);
    expect(last().stopped).toBe("discarded");
    expect(states()).toEqual(["cancelled"]);
  });

  it("pauses, resumes and cancels everything", async () => {
    const { queue, add, states } = setUp();
    add("a", "b", "c", "d");
    queue.pauseAll();
    expect(states()).toEqual(["paused", "paused", "paused", "paused"]);
    queue.resumeAll();
    await settled();
    expect(states().filter((state) => state === "running")).toHaveLength(3);
    queue.cancelAll();
    expect(new Set(states())).toEqual(new Set(["cancelled"]));
    queue.clearEnded();
    expect(states()).toEqual([]);
  });

  it("waits longer each time also where each try says where it goes on, and then fails", () => {
    const { add, started, last } = setUp();
    add("a");
    last().events.progress(4);
    last().events.failed(offline());
    vi.advanceTimersByTime(1000);
    last().events.progress(4);
    last().events.failed(offline());
    vi.advanceTimersByTime(1500);
    expect(started).toHaveLength(2);
    vi.advanceTimersByTime(600);
    expect(started).toHaveLength(3);
  });

  it("says that the page is still needed, paused or not, until every upload has ended", () => {
    const { queue, add, started } = setUp();
    expect(queue.unfinished()).toBe(false);
    add("a", "b");
    started[0]?.events.done();
    expect(queue.unfinished()).toBe(true);
    queue.pause(2);
    expect(queue.unfinished()).toBe(true);
    queue.cancel(2);
    expect(queue.unfinished()).toBe(false);
  });

  it("throws away what the server has of an upload that goes another way, and then begins anew", async () => {
    const { queue, add, started, last } = setUp({ slow: true });
    add("a");
    last().events.begun("id-1");
    last().events.failed(new ApiError(409, "Exists", ""));
    queue.again(1, { path: "b" });
    expect(started.map((one) => one.stopped)).toEqual(["no", "discarded"]);
    expect(started[1]?.upload.serverId).toBe("id-1");
    await started[1]?.settle({});
    expect(started).toHaveLength(3);
    expect(started[2]?.upload).toMatchObject({ path: "b", serverId: null, sent: 0 });
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
