// Files stay short enough to be read at once (functions are biome's part).
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const LIMIT_LINES = 300;
const root = new URL("..", import.meta.url).pathname;

let long = 0;
for (const folder of ["src", "mock", "browser", "test", "scripts"]) {
  for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(ts|tsx|mjs|css)$/.test(entry.name)) continue;
    const file = join(entry.parentPath, entry.name);
    const lines = readFileSync(file, "utf8").split("\n").length - 1;
    if (lines > LIMIT_LINES) {
      console.error(`${file.slice(root.length)}: ${lines} lines, more than ${LIMIT_LINES}`);
      long += 1;
    }
  }
}
process.exit(long === 0 ? 0 : 1);
