/**
 * The queue of uploads: what runs, what waits, and what becomes of each. It knows no tus and no page: bytes go through a
 * transport, and whoever shows it subscribes. An upload whose connection is lost waits and goes on by itself.
 */

import { type ApiError, mayPass } from "../api/errors";

export type UploadState = "queued" | "running" | "waiting" | "paused" | "done" | "failed" | "cancelled";

export interface Upload {
  id: number;
  ws: string;
  fs: string;
  path: string;
  file: File;
  size: number;
  sent: number;
  state: UploadState;
  /** Bytes per second, of late. */
  rate: number;
  error: ApiError | null;
  overwrite: boolean;
  /** The server's id of an upload that was begun; with it, it goes on where it stopped. */
  serverId: string | null;
}

export interface TransportEvents {
  begun(serverId: string): void;
  progress(sent: number): void;
  done(): void;
  failed(error: ApiError): void;
}

export interface Running {
  /** Stops sending. With `discard` the server throws away what it has. Ends when nothing of it is on the way any more. */
  stop(discard: boolean): Promise<Stopped>;
}

/** What became of an upload that was stopped. */
export interface Stopped {
  /** The server's id, if it gave one: also one that it gave after the stop. */
  serverId: string | null;
  /** It was too late: the file is there. */
  arrived: boolean;
}

export type Transport = (upload: Upload, events: TransportEvents) => Running;

export type NewUpload = Pick<Upload, "ws" | "fs" | "path" | "file"> &
  Partial<Pick<Upload, "serverId" | "overwrite" | "sent">>;

const AT_ONCE = 3;
const NOTIFY_MS = 100;
const WAIT_MS_MAX = 30_000;

export class UploadQueue {
  private readonly uploads = new Map<number, Upload>();
  private readonly running = new Map<number, Running>();
  /** Those that were stopped and of whose last request nothing is known yet: none of them begins again before that. */
  private readonly stopping = new Set<number>();
  private readonly waits = new Map<number, { timer: ReturnType<typeof setTimeout>; tries: number }>();
  private readonly meters = new Map<number, { at: number; sent: number }>();
  private readonly listeners = new Set<() => void>();
  private shown: readonly Upload[] = [];
  private notifying: ReturnType<typeof setTimeout> | null = null;
  private lastId = 0;
  /** Called for each upload that has ended: its file has arrived, or it was cancelled, perhaps too late for the server. */
  onEnded: (upload: Upload) => void = () => {};

  constructor(private readonly transport: Transport) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): readonly Upload[] => this.shown;

  add(uploads: NewUpload[]): void {
    for (const upload of uploads) {
      this.lastId += 1;
      const blank = { sent: 0, state: "queued" as const, rate: 0, error: null, overwrite: false, serverId: null };
      this.uploads.set(this.lastId, { ...blank, ...upload, id: this.lastId, size: upload.file.size });
    }
    this.pump();
  }

  pause(id: number): void {
    if (!this.is(id, "queued", "running", "waiting")) return;
    this.halt(id, false);
    this.change(id, { state: "paused", rate: 0 });
    this.pump();
  }

  resume(id: number): void {
    if (!this.is(id, "paused", "waiting", "failed")) return;
    this.halt(id, false);
    this.change(id, { state: "queued", error: null });
    this.pump();
  }

  cancel(id: number): void {
    if (!this.is(id, "queued", "running", "waiting", "paused", "failed")) return;
    this.halt(id, true);
    this.change(id, { state: "cancelled", rate: 0 });
    this.pump();
  }

  /** After "already exists": the same file over what is there, or beside it under another name. */
  again(id: number, change: { overwrite?: boolean; path?: string }): void {
    if (!this.is(id, "failed")) return;
    // Under another name, or with another wish, it is another upload: nobody would end the one that failed.
    this.halt(id, true);
    this.change(id, { ...change, state: "queued", error: null, sent: 0, serverId: null });
    this.pump();
  }

  pauseAll(): void {
    for (const upload of this.all("queued", "running", "waiting")) this.pause(upload.id);
  }

  resumeAll(): void {
    for (const upload of this.all("paused")) this.resume(upload.id);
  }

  cancelAll(): void {
    for (const upload of this.all("queued", "running", "waiting", "paused")) this.cancel(upload.id);
  }

  /** The connection is back, or somebody has logged in again: what waits need not wait longer. */
  wake(): void {
    for (const upload of this.all("waiting")) this.resume(upload.id);
  }

  clearEnded(): void {
    for (const upload of this.all("done", "cancelled", "failed")) this.uploads.delete(upload.id);
    this.notify();
  }

  /** Whether something would be lost with the page. */
  unfinished(): boolean {
    return this.all("queued", "running", "waiting", "paused").length > 0;
  }

  private all(...states: UploadState[]): Upload[] {
    return [...this.uploads.values()].filter((upload) => states.includes(upload.state));
  }

  private is(id: number, ...states: UploadState[]): boolean {
    const upload = this.uploads.get(id);
    return upload !== undefined && states.includes(upload.state);
  }

  private pump(): void {
    for (const upload of this.uploads.values()) {
      if (this.running.size >= AT_ONCE) break;
      if (upload.state === "queued" && !this.stopping.has(upload.id)) this.start(upload);
    }
    this.notify();
  }

  private start(upload: Upload): void {
    const { id } = upload;
    this.change(id, { state: "running" });
    this.meters.set(id, { at: Date.now(), sent: upload.sent });
    // A transport that was stopped may still speak once more; only the one that runs is heard.
    const heard = () => this.running.get(id) === running;
    const running: Running = this.transport(this.uploads.get(id) as Upload, {
      begun: (serverId) => heard() && this.change(id, { serverId }),
      progress: (sent) => heard() && this.progress(id, sent),
      done: () => heard() && this.finish(id),
      failed: (error) => heard() && this.fail(id, error),
    });
    this.running.set(id, running);
  }

  private progress(id: number, sent: number): void {
    // Where it goes on is told before anything flows.
    if (sent > (this.uploads.get(id)?.sent ?? 0)) this.forgive(id);
    const meter = this.meters.get(id);
    const now = Date.now();
    if (meter && now - meter.at >= 500) {
      const fresh = Math.max(0, sent - meter.sent) / ((now - meter.at) / 1000);
      const before = this.uploads.get(id)?.rate ?? 0;
      this.meters.set(id, { at: now, sent });
      this.change(id, { sent, rate: before === 0 ? fresh : before * 0.7 + fresh * 0.3 });
    } else {
      this.change(id, { sent });
    }
  }

  private finish(id: number): void {
    this.running.delete(id);
    this.forgive(id);
    this.change(id, { state: "done", sent: this.uploads.get(id)?.size ?? 0, rate: 0 });
    this.onEnded(this.uploads.get(id) as Upload);
    this.pump();
  }

  private fail(id: number, error: ApiError): void {
    this.running.delete(id);
    if (mayPass(error)) {
      const tries = (this.waits.get(id)?.tries ?? 0) + 1;
      const timer = setTimeout(() => this.resume(id), Math.min(WAIT_MS_MAX, 1000 * 2 ** (tries - 1)));
      this.waits.set(id, { timer, tries });
      this.change(id, { state: "waiting", error, rate: 0 });
    } else {
      // The server no longer has what was sent: going on there cannot work, beginning anew can.
      const lost = error.code === "Gone" || error.code === "NotFound" ? { serverId: null, sent: 0 } : {};
      this.change(id, { ...lost, state: "failed", error, rate: 0 });
    }
    this.pump();
  }

  private halt(id: number, discard: boolean): void {
    const running = this.running.get(id);
    this.running.delete(id);
    const wait = this.waits.get(id);
    if (wait) clearTimeout(wait.timer);
    if (discard) this.waits.delete(id);
    // What is stopping already is looked at again when it has stopped.
    if (this.stopping.has(id)) return;
    const upload = this.uploads.get(id);
    if (!upload) return;
    if (running) this.stop(upload, running, discard);
    // Nothing runs, but the server may hold bytes of it: the transport is asked to throw those away.
    else if (discard && upload.serverId) this.stop(upload, this.transport(upload, SILENT), true);
  }

  private stop(upload: Upload, running: Running, discard: boolean): void {
    this.stopping.add(upload.id);
    void running.stop(discard).then((stopped) => {
      this.stopping.delete(upload.id);
      this.stopped(upload, stopped, discard);
      this.pump();
    });
  }

  /** An upload may be cancelled, or taken off the list, between the stop and what the server says to its last request. */
  private stopped(upload: Upload, { serverId, arrived }: Stopped, discarded: boolean): void {
    const { id } = upload;
    const now = this.uploads.get(id);
    if (arrived) {
      if (now) this.finish(id);
      return;
    }
    if (now) this.change(id, { serverId: discarded ? null : serverId });
    if (now && now.state !== "cancelled") return;
    if (discarded || !serverId) this.onEnded(now ?? upload);
    else this.stop({ ...upload, serverId }, this.transport({ ...upload, serverId }, SILENT), true);
  }

  /** Bytes flow again: the next loss begins with a short wait. */
  private forgive(id: number): void {
    const wait = this.waits.get(id);
    if (wait) clearTimeout(wait.timer);
    this.waits.delete(id);
  }

  private change(id: number, change: Partial<Upload>): void {
    const upload = this.uploads.get(id);
    if (!upload) return;
    this.uploads.set(id, { ...upload, ...change });
    this.notify();
  }

  /** Progress of many files comes many times a second; the page is told ten times. */
  private notify(): void {
    this.notifying ??= setTimeout(() => {
      this.notifying = null;
      this.shown = [...this.uploads.values()];
      for (const listener of this.listeners) listener();
    }, NOTIFY_MS);
  }
}

const SILENT: TransportEvents = { begun() {}, progress() {}, done() {}, failed() {} };
