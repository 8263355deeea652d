import { defineConfig } from "@playwright/test";
import suites from "./playwright.config";

/** `cargo xtask bench page`: figures, one a line. Nothing is asserted. */
export default defineConfig({
  ...suites,
  testDir: "tests/bench",
  testMatch: "*.bench.ts",
  timeout: 20 * 60_000,
  globalTimeout: 30 * 60_000,
  workers: 1,
  reporter: "./tests/demo/plain.ts",
  use: { ...suites.use!, screenshot: "off" },
});
