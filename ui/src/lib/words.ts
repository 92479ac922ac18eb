/** What is said of a file system beside its figures. */

import type { FileSystem, Usage } from "../api/types";
import { bytes } from "./format";

/** What is wrong with it, and why its files cannot be reached, as the operator says it. */
export function trouble(fs: Pick<FileSystem, "message" | "files" | "filesMessage">): string {
  const why = fs.filesMessage ? `: ${fs.filesMessage}` : ".";
  const files = fs.files === "Ready" ? "" : `Its files cannot be shown here now${why}`;
  return [fs.message, files].filter(Boolean).join(" ");
}

/** Of what size and use are, where that is more than the file system: one on a share is shown with the share's. */
export function ofWhat(fs: Pick<FileSystem, "usageOf" | "capacity" | "used">): string {
  const known = fs.capacity !== null || fs.used !== null;
  return known && fs.usageOf === "Share" ? "of the share" : "";
}

/**
 * How much of a file system is used, and how much of that is the trash. Where the server that the chart installs keeps it, its files'
 * own answer is of the whole disk: the list's figures are the file system's.
 */
export function space(
  fs: Pick<FileSystem, "kind" | "usageOf" | "capacity" | "used"> | undefined,
  usage?: Usage,
): string {
  const figures = fs?.kind === "managed" ? fs : fs && usage;
  // Until a share was looked at, nobody knows whether its figures are the file system's own.
  if (!figures || (fs?.kind === "nfs" && fs.used === null)) return "";
  const used = `${bytes(figures.used)} of ${fs?.usageOf === "Share" ? "the share's " : ""}${bytes(figures.capacity)} used`;
  const trash = usage?.trash.bytes ?? 0;
  if (trash === 0) return used;
  // What the list has may be some minutes old.
  return `${used}, ${bytes(trash)} ${(figures.used ?? 0) >= trash ? "of it " : ""}in the trash`;
}
