import { defineConfig } from "vitest/config";

// One browser and one gateway for all flows, one flow after the other: they share the file system's tree.
export default defineConfig({
  test: {
    include: ["browser/**/*.flow.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
