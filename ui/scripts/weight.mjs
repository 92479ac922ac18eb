// The pages' weight as a browser loads them: every file of dist, compressed. More than the limit fails the build,
// since these pages are opened over slow links too, and weight comes back one dependency at a time.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 300_000;
const dist = new URL("../dist/", import.meta.url).pathname;

let total = 0;
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = join(entry.parentPath, entry.name);
  const size = gzipSync(readFileSync(file), { level: 9 }).length;
  total += size;
  console.log(`${String(size).padStart(8)}  ${file.slice(dist.length)}`);
}
console.log(`${String(total).padStart(8)}  of ${LIMIT_BYTES} bytes, compressed`);
if (total > LIMIT_BYTES) {
  console.error("The pages are too heavy.");
  process.exit(1);
}
