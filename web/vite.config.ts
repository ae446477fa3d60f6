/// <reference types="vitest/config" />
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Most that the whole bundle may weigh, as sent. */
const MAX_KILOBYTES = 600;
const OUT = process.env["PULSE_WEB_OUT"] ?? "dist";

export default defineConfig({
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    // The first that know light-dark(), which names every colour once.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The page's policy allows no data: sources.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1_000,
  },
  plugins: [packed()],
  // `npm run dev` beside a running `pulse demo`.
  server: { proxy: { "^/(pulse\\.v1\\.|health)": process.env["PULSE_URL"] ?? "http://127.0.0.1:50051" } },
  test: { include: ["test/**/*.test.ts"] },
});

/** Packs every text file beside itself, says what the bundle weighs, and refuses one that is too heavy. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      let total = 0;
      for (const name of readdirSync(OUT, { recursive: true, encoding: "utf8" })) {
        if (!/\.(js|css|html|svg)$/.test(name)) continue;
        const file = join(OUT, name);
        const bytes = gzipSync(readFileSync(file), { level: 9 });
        writeFileSync(`${file}.gz`, bytes);
        total += bytes.length;
      }
      const kilobytes = Math.ceil(total / 1024);
      console.log(`bundle: ${kilobytes} KiB gzipped, of at most ${MAX_KILOBYTES}`);
      if (kilobytes > MAX_KILOBYTES) throw new Error(`the bundle has ${kilobytes} KiB, more than ${MAX_KILOBYTES}`);
    },
  };
}
