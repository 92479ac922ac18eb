import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  // Relative, so that the gateway may serve the pages below a prefix.
  base: "./",
  plugins: [react()],
  build: {
    target: "es2022",
    // These know light-dark(); for older ones it would be written out into something far larger.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The policy allows no data: URL, so nothing is inlined into the style sheet.
    assetsInlineLimit: 0,
    // The polyfill would fetch with credentials of its own; browsers that run es2022 preload modules by themselves.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: { "/wfs": { target: process.env.WSFS_UI_URL ?? "http://localhost:8484", secure: false } },
  },
});
