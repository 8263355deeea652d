/** What does not fit on a page, as words for a test's failure. */

import type { Page } from "@playwright/test";

/**
 * Elements beyond the window's sides and outside of anything that scrolls, and text that is cut off
 * without a way to see the rest. Runs in the page.
 */
function misfits(): string[] {
  const found: string[] = [];
  const width = document.documentElement.clientWidth;
  const named = (element: Element) =>
    `<${element.tagName.toLowerCase()} class="${element.className}"> ${element.textContent?.slice(0, 60)}`;
  if (document.scrollingElement!.scrollWidth > width) found.push("the page scrolls sideways");
  for (const element of document.body.querySelectorAll<HTMLElement>("*")) {
    if (!element.checkVisibility() || element.closest(".hidden-visually, svg")) continue;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    const scrolls = (other: Element | null): boolean =>
      other !== null &&
      (["auto", "scroll", "hidden"].includes(getComputedStyle(other).overflowX) ||
        scrolls(other.parentElement));
    if ((box.left < -0.5 || box.right > width + 0.5) && !scrolls(element.parentElement)) {
      found.push(`beyond the window: ${named(element)}`);
    }
    const cuts = ["hidden", "clip"].includes(style.overflowX) && style.textOverflow !== "ellipsis";
    if (cuts && element.scrollWidth > element.clientWidth + 1) found.push(`cut: ${named(element)}`);
  }
  for (const control of document.body.querySelectorAll("button, input, select, textarea, a")) {
    if (!control.checkVisibility()) continue;
    if (control instanceof HTMLButtonElement && control.scrollWidth > control.clientWidth + 1) {
      found.push(`a button's words are cut: ${named(control)}`);
    }
  }
  return found;
}

export const misfitsOf = (page: Page): Promise<string[]> => page.evaluate(misfits);
