// Compresses every file of dist, as the gateway sends it to browsers, and weighs them. More than the limit fails the build,
// since these pages are opened over slow links too, and weight comes back one dependency at a time.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT_BYTES = 300_000;
const dist = new URL("../dist/", import.meta.url).pathname;

let total = 0;
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || /\.(br|gz)$/.test(entry.name)) continue;
  const file = join(entry.parentPath, entry.name);
  const content = readFileSync(file);
  const zipped = gzipSync(content, { level: 9 });
  writeFileSync(`${file}.gz`, zipped);
  writeFileSync(`${file}.br`, brotliCompressSync(content));
  total += zipped.length;
  console.log(`${String(zipped.length).padStart(8)}  ${file.slice(dist.length)}`);
}
console.log(`${String(total).padStart(8)}  of ${LIMIT_BYTES} bytes, compressed`);
if (total > LIMIT_BYTES) {
  console.error("The pages are too heavy.");
  process.exit(1);
}
