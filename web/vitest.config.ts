import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [svelte()],
  define: { __BUILD__: '"test"' },
  test: { include: ["tests/unit/**/*.test.ts"], environment: "node", testTimeout: 120_000 },
});
