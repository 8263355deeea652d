/** What was said and done in a session, as its two screens show it, in one form to be compared. */

import type { Page } from "@playwright/test";
import { saidBy } from "../../src/app/session";
import { texts } from "../../src/app/texts";

/** An answer as the page says it: a terminal names the choice, the page says what it means. */
function inWords(answer: string): string {
  const at = answer.lastIndexOf(": ");
  return at < 0 ? answer : squeezed(saidBy(answer.slice(0, at), answer.slice(at + 2)));
}

/** For instance `said: The greeting is written.` */
export type Transcript = string[];

/** How the page says that a turn did not come to its own end. */
const ENDS: string[] = [texts.cancelled, texts.turnFailed];

const squeezed = (text: string): string => text.replace(/\s+/g, " ").trim();

/** From what a terminal shows: `copilot sessions show` draws a conversation as `copilot attach` does. */
export function ofTerminal(shown: string): Transcript {
  const entries: Transcript = [];
  let said: string[] = [];
  let thought: string[] = [];
  const flush = () => {
    if (said.length > 0) entries.push(`said: ${squeezed(said.join(" "))}`);
    if (thought.length > 0) entries.push(`thought: ${squeezed(thought.join(" "))}`);
    said = [];
    thought = [];
  };
  // What is above the first prompt is about the session.
  const begin = shown.indexOf("❯ ");
  for (const line of (begin < 0 ? "" : shown.slice(begin)).split("\n")) {
    const [, mark, rest] = /^(❯|\?|┊|ℹ|⊘|[✓✗●]) (.*)$/.exec(line) ?? [];
    if (mark !== "┊" && thought.length > 0) flush();
    if (mark === "┊") {
      if (said.length > 0) flush();
      thought.push(rest!);
    } else if (mark === "❯") {
      flush();
      entries.push(`asked for: ${squeezed(rest!)}`);
    } else if (mark === "?") flush();
    else if (mark === "ℹ") {
      flush();
      entries.push(`told: ${squeezed(rest!)}`);
    } else if (mark === "⊘") {
      flush();
      // What comes behind it is how long it took.
      entries.push(`ended: ${rest!.split(" · ")[0]!.toLowerCase()}`);
    } else if (mark !== undefined) {
      flush();
      // The name of a tool comes before what it does.
      entries.push(`did: ${squeezed(rest!.replace(/^\S+ /, ""))}`);
    } else if (line.startsWith("  ")) {
      flush();
      const answer = /^ {2}│ answered by (.*)$/.exec(line);
      if (answer) entries.push(`answered: ${inWords(squeezed(answer[1]!))}`);
    } else if (line.trim() === "") flush();
    else said.push(line);
  }
  flush();
  return entries;
}

/** From what the page shows. */
export async function ofPage(page: Page): Promise<Transcript> {
  const entries = await page.evaluate((ends) => {
    const text = (element: Element | null | undefined) => element?.textContent ?? "";
    const blocks = (element: Element | null | undefined) =>
      [...(element?.querySelectorAll(":scope .markup > *") ?? [])].map((block) => text(block));
    return [...document.querySelectorAll("article")].flatMap((article) =>
      [...article.children].flatMap((part): [string, string][] => {
        if (part.matches(".prompt")) return [["asked for", text(part.querySelector(".wrap"))]];
        if (part.matches(".reasoning")) return blocks(part).map((block) => ["thought", block]);
        if (part.matches(".markdown")) return blocks(part).map((block) => ["said", block]);
        if (part.matches(".call")) return [["did", text(part.querySelector(".label"))]];
        if (part.matches(".answered")) return [["answered", text(part.querySelector(".quiet"))]];
        if (part.matches(".notice")) return [["told", text(part)]];
        // A turn that came to its own end says only when it was and how long it took.
        if (part.matches(".end")) {
          const words = [...part.querySelectorAll("span")].map(text);
          return words
            .filter((word) => ends.includes(word))
            .map((word) => ["ended", word.toLowerCase()]);
        }
        return [];
      }),
    );
  }, ENDS);
  return entries.map(([kind, words]) => `${kind}: ${squeezed(words)}`);
}
