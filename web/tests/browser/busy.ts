/** Whether a page answers: the longest time for which nobody could do anything on it. */

import type { BrowserContext, Page } from "@playwright/test";

export async function watchBlocks(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    const all: number[] = [];
    Object.assign(window, { blocks: all });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) all.push(entry.duration);
    }).observe({ type: "longtask", buffered: true });
  });
}

/** In milliseconds, since the page was loaded. */
export function longestBlock(page: Page): Promise<number> {
  return page.evaluate(() =>
    Math.max(0, ...(window as unknown as { blocks: number[] }).blocks.map(Math.round)),
  );
}
