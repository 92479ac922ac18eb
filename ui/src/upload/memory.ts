/**
 * What this browser remembers of the uploads it began: when the file was last changed. The server knows an unfinished
 * upload's path and size; with the time it is fairly certain that a file chosen after a reload is the same.
 */

import type { UnfinishedUpload } from "../api/types";
import { canonical, encodeName, lastSegment } from "../lib/paths";
import type { Upload } from "./queue";

export interface UploadMemory {
  remember(id: string, file: File): void;
  forget(id: string): void;
  /** Milliseconds of the file's last change; null if this browser did not begin the upload. */
  modified(id: string): number | null;
}

const PREFIX = "wfs-upload:";

export function browserMemory(storage: Storage): UploadMemory {
  return {
    remember: (id, file) => attempt(() => storage.setItem(PREFIX + id, String(file.lastModified))),
    forget: (id) => attempt(() => storage.removeItem(PREFIX + id)),
    modified(id) {
      const text = attempt(() => storage.getItem(PREFIX + id));
      return text ? Number(text) : null;
    },
  };
}

/** Storage may be full or forbidden; then uploads are continued by name and size alone. */
function attempt<T>(act: () => T): T | null {
  try {
    return act();
  } catch {
    return null;
  }
}

/** Why the file is not the one the upload was begun with, as a sentence; null if it may be continued. */
export function mismatch(upload: UnfinishedUpload, file: File, memory: UploadMemory): string | null {
  const name = lastSegment(canonical(upload.path));
  if (canonical(encodeName(file.name)) !== name) return "This file has another name than the one whose upload began.";
  if (file.size !== upload.size) return `This file has another size (${file.size} bytes instead of ${upload.size}).`;
  const modified = memory.modified(upload.id);
  if (modified !== null && modified !== file.lastModified) {
    return "This file was changed since its upload began; discard the unfinished upload and upload it anew.";
  }
  return null;
}

/**
 * The unfinished upload that a newly chosen file continues, if there is one beyond doubt: same path and size, and begun
 * in this browser with a file last changed at the same time.
 */
export function continues(
  unfinished: readonly UnfinishedUpload[],
  path: string,
  file: File,
  memory: UploadMemory,
): UnfinishedUpload | null {
  const wanted = canonical(path);
  const same = (upload: UnfinishedUpload) =>
    canonical(upload.path) === wanted && upload.size === file.size && memory.modified(upload.id) === file.lastModified;
  return unfinished.find(same) ?? null;
}

/** The unfinished uploads of a file system that the queue has nothing to do with. */
export function leftOver(
  unfinished: readonly UnfinishedUpload[],
  uploads: readonly Upload[],
  { ws, fs }: Pick<Upload, "ws" | "fs">,
): UnfinishedUpload[] {
  const known = new Set(uploads.map((upload) => upload.serverId));
  // The server lists an upload before whoever begins it has heard its id.
  const begins = uploads.filter((upload) => upload.serverId === null && !["done", "failed"].includes(upload.state));
  const paths = new Set(
    begins.filter((upload) => upload.ws === ws && upload.fs === fs).map(({ path }) => canonical(path)),
  );
  return unfinished.filter((upload) => !known.has(upload.id) && !paths.has(canonical(upload.path)));
}
