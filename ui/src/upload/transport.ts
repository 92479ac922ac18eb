/** Sends one upload by tus. The queue decides when to try again, so tus itself never does. */

import { DetailedError, Upload as Tus, type UploadOptions } from "tus-js-client";
import { ApiError, errorOf } from "../api/errors";
import { Files } from "../api/files";
import type { Gateway } from "../api/gateway";
import type { UploadMemory } from "./memory";
import type { Transport, Upload } from "./queue";

/** Up to here a file goes along with the request that begins it: thousands of small files take half the round trips. */
const WITH_CREATION_BYTES = 4 * 1024 * 1024;

/** What is used of tus. */
export type Sender = Pick<Tus, "url" | "start" | "abort">;
export type MakeSender = (file: File, options: UploadOptions) => Sender;

export function tusTransport(
  gateway: Gateway,
  memory: UploadMemory,
  make: MakeSender = (file, options) => new Tus(file, options),
): Transport {
  return (upload, events) => {
    let isStarted = false;
    let isUnwanted = false;
    const discardOnServer = (id: string) => {
      memory.forget(id);
      // Expires by itself if this request is lost.
      void new Files(gateway, upload.ws, upload.fs).discardUpload(id).catch(() => {});
    };
    const tus = make(upload.file, {
      ...optionsOf(gateway, upload),
      onUploadUrlAvailable: () => {
        const id = serverId(tus.url);
        if (!id) return;
        if (isUnwanted) {
          void tus.abort(false).catch(() => {});
          return discardOnServer(id);
        }
        memory.remember(id, upload.file);
        events.begun(id);
      },
      onProgress: (sent: number) => events.progress(sent),
      onSuccess: () => {
        const id = serverId(tus.url);
        if (id) memory.forget(id);
        events.done();
      },
      onError: (error: Error) => {
        const found = apiError(error);
        if (found.code === "Unauthenticated") gateway.onLoginEnded();
        events.failed(found);
      },
    });
    // A tick later: the queue has to know what runs before it hears of it.
    const timer = setTimeout(() => {
      isStarted = true;
      tus.start();
    });
    return {
      stop(discard) {
        clearTimeout(timer);
        const id = serverId(tus.url) ?? upload.serverId;
        // It is being begun, and nobody knows its id yet: broken off now, the server would keep an upload that nobody can
        // name. It is let begin and thrown away; whoever goes on begins another one, of which nothing was sent either.
        if (isStarted && !id && !bringsContent(upload)) {
          isUnwanted = true;
          return;
        }
        void tus.abort(false).catch(() => {});
        if (discard && id) discardOnServer(id);
      },
    };
  };
}

/** Whether the request that begins it has all of it. */
function bringsContent(upload: Upload): boolean {
  return upload.size <= WITH_CREATION_BYTES;
}

function optionsOf(gateway: Gateway, upload: Upload): UploadOptions {
  const endpoint = new Files(gateway, upload.ws, upload.fs).uploadsUrl();
  return {
    endpoint,
    uploadUrl: upload.serverId ? `${endpoint}/${encodeURIComponent(upload.serverId)}` : null,
    retryDelays: null,
    storeFingerprintForResuming: false,
    uploadDataDuringCreation: bringsContent(upload),
    // Read anew at each try: a new login brings a new csrf word.
    headers: gateway.guard(),
    metadata: metadata(upload),
  };
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
