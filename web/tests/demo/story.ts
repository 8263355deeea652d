/** Tells what happens in plain lines, takes the pictures, and says what was seen when it ends badly. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";

export class Story {
  private chapter = 0;
  private pictures = 0;

  constructor(
    private readonly page: Page,
    readonly folder: string,
    /** What is on the terminal's screen; nothing before there is one. */
    private readonly terminal: () => Promise<string>,
  ) {
    mkdirSync(folder, { recursive: true });
  }

  /** One step. If it is off, the story ends with what was seen. */
  async step(text: string, body: () => Promise<void>): Promise<void> {
    this.chapter += 1;
    this.pictures = 0;
    console.log(`==> ${text}`);
    try {
      await body();
    } catch (error) {
      await this.seen();
      throw readable(error);
    }
  }

  say(text: string): void {
    for (const line of text.split("\n")) console.log(`    ${line}`);
  }

  /** The page as it is now, light and dark. */
  async picture(name: string): Promise<void> {
    this.pictures += 1;
    const number = `${String(this.chapter).padStart(2, "0")}${"abcdef"[this.pictures - 1] ?? ""}`;
    await this.take(`${number}-${name}`);
  }

  private async take(name: string): Promise<void> {
    for (const colorScheme of ["light", "dark"] as const) {
      await this.page.emulateMedia({ colorScheme });
      await this.page.screenshot({
        path: join(this.folder, `${name}-${colorScheme}.png`),
        animations: "disabled",
      });
    }
    await this.page.emulateMedia({ colorScheme: "light" });
  }

  private async seen(): Promise<void> {
    console.log("==> this step is off; on the page is");
    const shown = this.page.locator("body").ariaSnapshot();
    this.say(await shown.catch((error: unknown) => `nothing (${String(error)})`));
    const screen = await this.terminal().catch(() => undefined);
    if (screen !== undefined) {
      console.log("==> on the terminal's screen is");
      this.say(screen.trimEnd());
    }
    await this.take("off").catch(() => undefined);
    console.log(`==> and its picture is in ${this.folder}`);
  }
}

/** A terminal's error says its screen, and then every byte that made it, which nobody reads. */
function readable(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const [words, bytes] = error.message.split("--- last bytes");
  if (bytes === undefined) return error;
  const places = error.stack?.split("\n").filter((line) => /^ {4}at .*\.ts:/.test(line)) ?? [];
  return Object.assign(new Error(words), { stack: [words, ...places].join("\n") });
}
