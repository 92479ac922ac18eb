/** Sends one upload by tus. The queue decides when to try again, so tus itself never does. */

import { DetailedError, Upload as Tus } from "tus-js-client";
import { ApiError, errorOf } from "../api/errors";
import { Files } from "../api/files";
import type { Gateway } from "../api/gateway";
import type { UploadMemory } from "./memory";
import type { Transport, TransportEvents, Upload } from "./queue";

/** Up to here a file goes along with the request that begins it: thousands of small files take half the round trips. */
const WITH_CREATION_BYTES = 4 * 1024 * 1024;

export function tusTransport(gateway: Gateway, memory: UploadMemory): Transport {
  return (upload, events) => {
    const tus = tusOf(gateway, memory, upload, events);
    // A tick later: the queue has to know what runs before it hears of it.
    const timer = setTimeout(() => tus.start());
    return {
      stop(discard) {
        clearTimeout(timer);
        const id = serverId(tus.url) ?? upload.serverId;
        void tus.abort(false).catch(() => {});
        if (!discard || !id) return;
        memory.forget(id);
        // Expires by itself if this request is lost.
        void new Files(gateway, upload.ws, upload.fs).discardUpload(id).catch(() => {});
      },
    };
  };
}

function tusOf(gateway: Gateway, memory: UploadMemory, upload: Upload, events: TransportEvents): Tus {
  const endpoint = new Files(gateway, upload.ws, upload.fs).uploadsUrl();
  const tus: Tus = new Tus(upload.file, {
    endpoint,
    uploadUrl: upload.serverId ? `${endpoint}/${encodeURIComponent(upload.serverId)}` : null,
    retryDelays: null,
    storeFingerprintForResuming: false,
    uploadDataDuringCreation: upload.size <= WITH_CREATION_BYTES,
    // Read anew at each try: a new login brings a new csrf word.
    headers: gateway.guard(),
    metadata: metadata(upload),
    onUploadUrlAvailable: () => {
      const id = serverId(tus.url);
      if (!id) return;
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
  return tus;
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
