/** What the queue holds, in numbers. */

import type { Upload } from "./queue";

export interface Totals {
  files: number;
  done: number;
  active: number;
  failed: number;
  paused: number;
  waiting: number;
  size: number;
  sent: number;
  rate: number;
}

/** Cancelled uploads count for nothing. */
export function totals(uploads: readonly Upload[]): Totals {
  const sum = { files: 0, done: 0, active: 0, failed: 0, paused: 0, waiting: 0, size: 0, sent: 0, rate: 0 };
  for (const upload of uploads) {
    if (upload.state === "cancelled") continue;
    sum.files += 1;
    sum.size += upload.size;
    sum.sent += upload.sent;
    sum.rate += upload.rate;
    if (upload.state === "done") sum.done += 1;
    else if (upload.state === "failed") sum.failed += 1;
    else if (upload.state === "paused") sum.paused += 1;
    else if (upload.state === "waiting") sum.waiting += 1;
    else sum.active += 1;
  }
  return sum;
}
