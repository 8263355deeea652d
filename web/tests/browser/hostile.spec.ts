import type { BrowserContext, Page } from "@playwright/test";
import { texts } from "../../src/app/texts";
import { machineSays } from "./newer";
import { PAYLOADS } from "./payloads";
import { expect, phone, responses, say, test, think, tool } from "./world";

const ALL = Object.values(PAYLOADS).flat();
/** For a place that shows plain text, all of it at once. */
const TOGETHER = ALL.join("\n");

/** Fails a test when anything of a payload runs. What loads fails every test anyway. */
async function tripwire(context: BrowserContext): Promise<string[]> {
  const tripped: string[] = [];
  await context.exposeBinding("tripped", (_, what?: string) => tripped.push(what ?? "it ran"));
  await context.addInitScript(() => {
    const { tripped } = window as unknown as { tripped(what: string): void };
    for (const name of ["alert", "confirm", "prompt", "print", "open"]) {
      Object.assign(window, { [name]: () => tripped(name) });
    }
  });
  context.on("dialog", (dialog) => {
    tripped.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return tripped;
}

/** Markup that is not the page's own, found in the page. */
function foreign(): string[] {
  const found: string[] = [];
  const own =
    /^(A|BLOCKQUOTE|BR|CODE|DEL|EM|H[1-6]|HR|LI|OL|P|PRE|STRONG|TABLE|TBODY|TD|TH|THEAD|TR|UL)$/;
  for (const element of document.querySelectorAll(".markup *")) {
    const what = element.outerHTML.slice(0, 200);
    if (!own.test(element.tagName)) found.push(`an element: ${what}`);
    for (const { name, value } of element.attributes) {
      const link = name === "href" && /^(https?:\/\/|mailto:)/i.test(value);
      if (!link && !["target", "rel", "title", "align", "start"].includes(name)) {
        found.push(`an attribute: ${what}`);
      }
    }
    if (element.tagName === "A" && element.hasAttribute("href")) {
      const safe = element.getAttribute("rel")?.includes("noopener");
      if (!safe || element.getAttribute("target") !== "_blank") found.push(`a link: ${what}`);
    }
  }
  const never =
    "#app :is(script, style, link, iframe, object, embed, base, meta, form[action], video, audio, math, template, dialog, [onerror], [onload], [onclick], [srcdoc], [formaction])";
  for (const element of document.querySelectorAll(never)) found.push(element.outerHTML);
  for (const image of document.querySelectorAll("#app img:not([src='/icon.svg'])")) {
    found.push(image.outerHTML);
  }
  return found;
}

/** Points at and taps whatever could be a trap, and sees that the page is still the page. */
async function provoke(page: Page, url: string): Promise<void> {
  await page.evaluate(() => {
    for (const element of document.querySelectorAll(".markup *")) {
      for (const type of ["pointerover", "mouseover", "mouseenter", "focus", "pointerdown"]) {
        element.dispatchEvent(new Event(type, { bubbles: true }));
      }
      // A tap on what leads away would open it; only the others must do nothing.
      if (element instanceof HTMLElement && !element.closest("a[href]")) element.click();
    }
  });
  expect(await page.evaluate(foreign)).toEqual([]);
  expect(page.url()).toBe(url);
  expect(page.frames()).toHaveLength(1);
}

test("nothing runs, loads or becomes markup, wherever it is written", async ({
  page,
  context,
  start,
}) => {
  const tripped = await tripwire(context);
  const world = await start(
    responses({
      words: ALL.map((payload) => ({
        steps: [
          think(payload),
          say(payload),
          tool("update_todo", { items: [{ content: payload, status: "pending" }] }),
        ],
      })).concat({ steps: [say("All is said.")] }),
      places: [
        ask({ question: TOGETHER, choices: ALL.slice(0, 20) }),
        ask({ question: "<b>One</b>", choices: ["<img src=x onerror=tripped()>", "constructor"] }),
        ask({ question: TOGETHER.slice(0, 900), default: '"><img src=x onerror=tripped()>' }),
        {
          steps: [
            tool("create", { path: "<img src=x onerror=tripped()>.html", content: TOGETHER }),
          ],
        },
        { steps: [tool("create", { path: "exe\u202egpj.\u001b[31msh", content: "x\n" })] },
        {
          steps: [
            tool("shell", { command: `cat *.html; : '<img src=x onerror=tripped()>\u202e'` }),
          ],
        },
        { steps: [tool("grep", { pattern: "<script>" })] },
        { steps: [tool("fetch", { url: "https://evil.invalid/<script>tripped()</script>" })] },
        { steps: [tool("no_such_tool<img src=x onerror=tripped()>", { x: TOGETHER })] },
        { steps: [say("All was shown.")] },
      ],
      plan: [
        { steps: [tool("exit_plan_mode", { plan: TOGETHER, summary: TOGETHER.slice(0, 500) })] },
      ],
      fail: [{ steps: [{ fail: { kind: "model", message: TOGETHER, hint: "<b>x</b>" } }] }],
    }),
  );
  const { session } = await world.begin("words <img src=x onerror=tripped()>");
  await world.copilot(
    "sessions",
    "rename",
    session,
    "<svg onload=tripped()>\u202e</title><script>",
  );
  await world.pair(page, session);
  await expect(page).toHaveURL(new RegExp(session));
  const url = page.url();
  const { button, permission, question, send, timeline } = phone(page);

  await expect(timeline.getByText("All is said.")).toBeAttached();
  await provoke(page, url);
  await page.evaluate(() => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
  await provoke(page, url);
  await expect(page).toHaveTitle(/<svg onload=tripped\(\)>⟨U\+202E⟩/);

  // Every place that shows something else than the agent's words.
  await send(`places ${TOGETHER}`);
  for (let asked = 0; asked < 3; asked += 1) {
    await expect(question).toBeVisible();
    await provoke(page, url);
    await button(texts.decline).click();
    await expect(question.getByText(texts.tapSending)).toBeHidden();
  }
  while (!(await timeline.getByText("All was shown.").isVisible())) {
    await expect(permission.or(timeline.getByText("All was shown.")).first()).toBeVisible();
    if (!(await permission.isVisible())) continue;
    await provoke(page, url);
    const card = await permission.innerText();
    expect(card).not.toMatch(/[\u202e\u001b]/);
    const heading = await permission.locator("h2").getAttribute("id");
    await permission.getByRole("button").first().click();
    // Its words change with the tap; it is gone when the machine has said so.
    await expect(page.locator(`[id="${heading}"]`)).toHaveCount(0);
  }
  await provoke(page, url);

  await page.getByRole("combobox", { name: texts.mode }).selectOption("plan");
  await send("a plan");
  await expect(question).toBeVisible();
  await provoke(page, url);
  await button(texts.cancelTurn).click();
  await expect(question).toBeHidden();
  await send("fail");
  await expect(timeline.getByRole("alert")).toBeVisible();
  await provoke(page, url);

  // What was kept of it is as harmless when it is painted anew, and in the list.
  await page.reload();
  await expect(timeline.getByRole("alert")).toBeVisible();
  await provoke(page, url);
  await page.goto(`${world.url}/`);
  await expect(page.getByRole("navigation").getByRole("link")).toContainText(
    "<svg onload=tripped()>",
  );
  await provoke(page, `${world.url}/`);
  expect(tripped).toEqual([]);
});

test("commands that an agent announces are text, whatever they are called", async ({
  page,
  context,
  start,
}) => {
  const tripped = await tripwire(context);
  await context.addInitScript((names) => Object.assign(window, { names }), ALL);
  // As a machine would pass them on that looks at nothing.
  await machineSays(context, (message) => {
    const items = message.result?.items;
    if (!Array.isArray(items) || !items[0]?.attachment) return;
    const { names } = window as unknown as { names: string[] };
    for (const name of names.concat(names[0]!)) {
      const _meta = { "copilot.command": { description: name } };
      const attachment = { type: "simple", label: `/${name}`, _meta };
      items.push({ insertText: `/${name} `, rangeStart: 0, rangeEnd: 1, attachment });
    }
  });
  const world = await start(responses({ hello: [{ steps: [say("Hello.")] }] }));
  const { session } = await world.begin("hello");
  await world.pair(page, session);
  await expect(page).toHaveURL(new RegExp(session));
  const url = page.url();
  const { button, field } = phone(page);
  await button(texts.commands).click();
  const offered = page.getByRole("listbox", { name: texts.commands });
  await expect(offered.getByRole("option")).not.toHaveCount(0);
  expect(await offered.getByRole("option").count()).toBeGreaterThan(ALL.length);
  expect(await offered.innerText()).not.toMatch(/[\u202e\u001b]/);
  await provoke(page, url);
  const script = PAYLOADS.scripts![0]!;
  await offered.getByRole("option").filter({ hasText: script }).first().click();
  await expect(field).toHaveValue(`/${script} `);
  await provoke(page, url);
  expect(tripped).toEqual([]);
});

const ask = (input: object) => ({ steps: [tool("ask_user", input)] });
