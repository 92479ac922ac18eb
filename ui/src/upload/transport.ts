/** Sends one upload by tus. The queue decides when to try again, so tus itself never does. */

import { DetailedError, Upload as Tus } from "tus-js-client";
import { ApiError, errorOf } from "../api/errors";
import { Files } from "../api/files";
import type { Gateway } from "../api/gateway";
import { canonical } from "../lib/paths";
import type { UploadMemory } from "./memory";
import type { Running, Stopped, Transport, TransportEvents, Upload } from "./queue";

/** Up to here a file goes along with the request that begins it: thousands of small files take half the round trips. */
const WITH_CREATION_BYTES = 4 * 1024 * 1024;
/** An upload that is stopped waits so long for the answer to the request that begins it. */
const ANSWER_MS_MAX = 10_000;

export function tusTransport(gateway: Gateway, memory: UploadMemory): Transport {
  return (upload, events) => new Sending(gateway, memory, upload, events);
}

class Sending implements Running {
  private readonly files: Files;
  private readonly tus: Tus;
  private readonly timer: ReturnType<typeof setTimeout>;
  private readonly withCreation: boolean;
  /** A request is on the way that begins the upload: nothing but its answer tells the id. */
  private beginning = false;
  private isStopped = false;
  private arrived = false;
  private settle = () => {};
  /** Ends when it is known what became of the request that begins the upload. */
  private readonly begun = new Promise<void>((done) => {
    this.settle = done;
  });

  constructor(
    private readonly gateway: Gateway,
    private readonly memory: UploadMemory,
    private readonly upload: Upload,
    private readonly events: TransportEvents,
  ) {
    this.files = new Files(gateway, upload.ws, upload.fs);
    this.withCreation = upload.size <= WITH_CREATION_BYTES;
    this.tus = this.make();
    // A tick later: the queue has to know what runs before it hears of it.
    this.timer = setTimeout(() => this.tus.start());
  }

  async stop(discard: boolean): Promise<Stopped> {
    clearTimeout(this.timer);
    this.isStopped = true;
    // Cut off, the request that begins an upload would leave one behind whose id nobody knows.
    if (this.beginning && !(discard && this.withCreation)) await Promise.race([this.begun, later(ANSWER_MS_MAX)]);
    const unheard = this.beginning;
    void this.tus.abort(false).catch(() => {});
    const id = serverId(this.tus.url) ?? this.upload.serverId;
    // These expire by themselves if the requests are lost.
    if (discard && unheard && this.withCreation) await this.discardUnheard().catch(() => {});
    else if (discard && id && !this.arrived) await this.discard(id).catch(() => {});
    return { serverId: id, arrived: this.arrived };
  }

  private async discard(id: string): Promise<void> {
    this.memory.forget(id);
    await this.files.discardUpload(id);
  }

  /**
   * A file that goes along with the request that begins it is not let arrive because somebody cancels it. What the server keeps of it
   * is found by path and size: at worst another browser's, of the same file, which then begins anew with its few bytes.
   */
  private async discardUnheard(): Promise<void> {
    for (const left of await this.files.unfinished()) {
      const same = canonical(left.path) === canonical(this.upload.path) && left.size === this.upload.size;
      if (same && this.memory.modified(left.id) === null) await this.discard(left.id);
    }
  }

  private make(): Tus {
    const { gateway, upload, events } = this;
    const endpoint = this.files.uploadsUrl();
    return new Tus(upload.file, {
      endpoint,
      uploadUrl: upload.serverId ? `${endpoint}/${encodeURIComponent(upload.serverId)}` : null,
      retryDelays: null,
      storeFingerprintForResuming: false,
      uploadDataDuringCreation: this.withCreation,
      // Read anew at each try: a new login brings a new csrf word.
      headers: gateway.guard(),
      metadata: metadata(upload),
      onBeforeRequest: (request) => {
        if (request.getMethod() === "POST") this.beginning = true;
      },
      onUploadUrlAvailable: () => this.heard(),
      onProgress: (sent: number) => events.progress(sent),
      // Not before: while the answer is read, to abort would lose how much of the file came along.
      onChunkComplete: () => this.isStopped && void this.tus.abort(false).catch(() => {}),
      onSuccess: () => {
        const id = serverId(this.tus.url);
        if (id) this.memory.forget(id);
        this.arrived = true;
        this.settle();
        events.done();
      },
      onError: (error: Error) => {
        this.beginning = false;
        this.settle();
        const found = apiError(error);
        if (found.code === "Unauthenticated") gateway.onLoginEnded();
        events.failed(found);
      },
    });
  }

  /** The server has told the id. */
  private heard(): void {
    const id = serverId(this.tus.url);
    if (!id) return;
    this.memory.remember(id, this.upload.file);
    this.events.begun(id);
    if (this.isStopped && !(this.beginning && this.withCreation)) void this.tus.abort(false).catch(() => {});
    this.beginning = false;
    // What tus makes of this answer is done in the same turn.
    setTimeout(() => this.settle());
  }
}

function later(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

function metadata(upload: Upload): Record<string, string> {
  const known: Record<string, string> = { path: upload.path };
  if (upload.file.lastModified > 0) known.modified = new Date(upload.file.lastModified).toISOString();
  if (upload.overwrite) known.overwrite = "true";
  return known;
}

function serverId(url: string | null): string | null {
  const id = url?.match(/\/uploads\/([^/?]+)$/)?.[1];
  return id ? decodeURIComponent(id) : null;
}

function apiError(error: Error): ApiError {
  if (!(error instanceof DetailedError)) {
    // The browser could not read the file: it was moved, changed or is no longer permitted.
    return new ApiError(400, "Unreadable", `The file cannot be read: ${error.message}`);
  }
  const response = error.originalResponse;
  // Status 0 is the browser's word for a request that ended without an answer.
  return response ? errorOf(response.getStatus(), response.getBody()) : new ApiError(0, "Offline", "");
}
