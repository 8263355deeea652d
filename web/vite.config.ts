import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { build, defineConfig, type Plugin } from "vite";

const packageJson = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8")) as {
  version: string;
};
const BUILD = JSON.stringify(packageJson.version);

/** All the JavaScript of the page that a browser may load, compressed as gzip does at its best. */
const BUDGET_BYTES = 100_000;

/**
 * Puts a compressed copy beside every text, which is what browsers are given. Ends a build whose
 * JavaScript is more than phones are asked to load.
 */
function compress(outDir: string): void {
  let scripts = 0;
  for (const name of readdirSync(outDir, { recursive: true, encoding: "utf8" })) {
    if (!/\.(js|css|html|svg|webmanifest)$/.test(name)) continue;
    const compressed = gzipSync(readFileSync(join(outDir, name)), { level: 9 });
    writeFileSync(join(outDir, `${name}.gz`), compressed);
    if (name.endsWith(".js")) scripts += compressed.length;
  }
  const words = `JavaScript: ${scripts} bytes compressed of ${BUDGET_BYTES} that it may have`;
  if (scripts > BUDGET_BYTES) throw new Error(`${words}; make it smaller before it ships`);
  console.log(words);
}

/** Builds the service worker last, with the hash of every file it may serve. */
function worker(): Plugin {
  let outDir = "";
  return {
    name: "service-worker",
    apply: "build",
    configResolved(config) {
      outDir = config.build.outDir;
    },
    async closeBundle() {
      const hashes: Record<string, string> = {};
      for (const entry of readdirSync(outDir, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || entry.name === "worker.js") continue;
        const file = join(entry.parentPath, entry.name);
        const path = `/${relative(outDir, file)}`;
        const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
        hashes[path === "/index.html" ? "/" : path] = hash;
      }
      await build({
        configFile: false,
        logLevel: "warn",
        define: { __BUILD__: BUILD, __FILES__: JSON.stringify(hashes) },
        build: {
          outDir,
          emptyOutDir: false,
          copyPublicDir: false,
          rollupOptions: { input: "src/worker.ts", output: { entryFileNames: "worker.js" } },
        },
      });
      compress(outDir);
    },
  };
}

export default defineConfig({
  plugins: [svelte(), worker()],
  define: { __BUILD__: BUILD },
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: false,
  },
});
