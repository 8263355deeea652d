import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { defineConfig } from "@playwright/test";

/**
 * The system's Chromium; Playwright's own is not downloaded. `cargo xtask` names it, and installs one
 * where there is none.
 */
function chromium(): string {
  const named = process.env.COPILOT_TEST_CHROMIUM;
  if (named) return named;
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here.
      }
    }
  }
  throw new Error(
    "There is no Chromium on PATH. Install one, or name it in COPILOT_TEST_CHROMIUM.",
  );
}

export default defineConfig({
  testDir: "tests/browser",
  outputDir: "test-results",
  // Both ends of a link wait up to 30 s between two attempts.
  timeout: 180_000,
  expect: { timeout: 45_000 },
  /** More than the whole suite takes on two slow cores: what comes later never comes. */
  globalTimeout: (process.env.COPILOT_TEST_LONG === "1" ? 90 : 30) * 60_000,
  fullyParallel: true,
  workers: 2,
  retries: 0,
  forbidOnly: true,
  reporter: "list",
  use: {
    viewport: { width: 390, height: 844 },
    hasTouch: true,
    isMobile: true,
    launchOptions: {
      executablePath: chromium(),
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
    actionTimeout: 45_000,
    screenshot: "only-on-failure",
    trace: "off",
  },
});
