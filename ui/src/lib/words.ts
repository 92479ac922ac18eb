/** What is said of a file system beside its figures. */

import type { FileSystem } from "../api/types";

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
