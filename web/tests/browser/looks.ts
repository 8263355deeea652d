/** A session with one of everything that takes room, and a look at every screen of it. */

import type { Page } from "@playwright/test";
import { texts } from "../../src/app/texts";
import { misfitsOf } from "./layout";
import { expect, phone, say, scenario, tool, waitFor, type World } from "./world";

export const RTL = "שלום עולם, زه متن راست به چپ می\u200cخواهم";
export const EMOJI = "👩‍👩‍👧‍👦 👩🏽‍💻 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ 🇩🇪";
const LONG = "Donaudampfschifffahrtsgesellschaftskapitän".repeat(8);
const CODE = `let answer = "${"forty-two ".repeat(30)}";`;
const TABLE = `| a | b | c | d |\n|-|-|-|-|\n| ${"cell ".repeat(30)} | ${LONG} | x | y |`;

export const model = scenario({
  everything: [
    say(
      `# A heading\n\nText with \`code\`, **strong** and a [link](https://example.invalid/${LONG}).\n\n${LONG}\n\n${TABLE}\n\n\`\`\`rust\n${CODE}\n\`\`\`\n\n> quoted ${LONG}\n\n1. one\n2. two\n   - inside`,
    ),
    tool("update_todo", {
      items: [
        { content: `Read ${LONG}`, status: "completed" },
        { content: RTL, status: "pending" },
      ],
    }),
    tool("shell", { command: `echo ${LONG}; touch 'a file'` }),
    tool("create", { path: `${"folder/".repeat(12)}file.txt`, content: `one\n${LONG}\n` }),
    tool("ask_user", { question: `Which of these? ${LONG}`, choices: ["All", LONG, RTL] }),
    say("Everything is done."),
    waitFor("never-comes"),
  ],
});

/** Looks at every screen at this size; what is wanted there must be in sight without scrolling. */
export async function look(page: Page, world: World, session: string) {
  const { field, permission, question, timeline } = phone(page);
  const misfits = async (where: string) =>
    (await misfitsOf(page)).map((misfit) => `${where}: ${misfit}`);
  const all: string[] = [];

  await expect(permission).toContainText("touch");
  all.push(...(await misfits("a command")));
  await expect(field).toBeInViewport({ ratio: 1 });
  await expect(permission.getByText("Yes, once")).toBeInViewport({ ratio: 1 });
  await page.getByText(texts.todos(1, 2, undefined)).click();
  all.push(...(await misfits("the list of steps")));
  await page.getByText(texts.todos(1, 2, undefined)).click();
  await permission.getByText("Yes, once").click();
  await expect(permission).toContainText("file.txt");
  await expect(permission).toContainText("Donau");
  all.push(...(await misfits("a change")));
  await expect(permission.getByText("Yes, once")).toBeInViewport({ ratio: 1 });
  await permission.getByText("Yes, once").click();
  await expect(question).toContainText("Which of these?");
  all.push(...(await misfits("a question")));
  await question.getByRole("button", { name: "All", exact: true }).click();
  await expect(timeline).toContainText("Everything is done.");
  for (const call of await timeline.locator(".call summary").all()) await call.click();
  await page.getByRole("textbox").first().fill(LONG);
  all.push(...(await misfits("the timeline")));
  await field.fill("");
  await phone(page).send(LONG, texts.sendQueue);
  await expect(page.getByText(texts.queued)).toBeVisible();
  all.push(...(await misfits("the queue")));

  for (const [fragment, seen] of [
    ["", texts.search],
    ["#new", texts.firstPrompt],
    ["#settings", texts.deviceName],
  ] as const) {
    await page.goto(`${world.url}/${fragment}`);
    await expect(page.getByLabel(seen, { exact: true }).first()).toBeVisible();
    all.push(...(await misfits(fragment || "the list")));
  }
  expect(all).toEqual([]);
  expect(session).not.toBe("");
}
