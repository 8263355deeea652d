import { defineConfig } from "@playwright/test";
import suites from "./playwright.config";

/** `cargo xtask demo --remote`: one person's day with the page, told in plain lines. */
export default defineConfig({
  ...suites,
  testDir: "tests/demo",
  timeout: 5 * 60_000,
  globalTimeout: 6 * 60_000,
  workers: 1,
  reporter: "./tests/demo/plain.ts",
  use: {
    ...suites.use!,
    // As sharp as on a phone: people look at the pictures.
    deviceScaleFactor: 2,
    // Shorter than the whole, so that there is time to say what was seen.
    actionTimeout: 20_000,
    navigationTimeout: 20_000,
    screenshot: "off",
  },
});
