import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { texts } from "../../src/app/texts";
import { OtherBuild } from "./build";
import { expect, installed, phone, say, scenario, test, tool, waitFor, type World } from "./world";

/** Axe finds nothing, by day and by night, and a thumb can hit everything. */
async function clean(page: Page, screen: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).analyze();
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)}`);
    expect(found, `${screen}, ${colorScheme}`).toEqual([]);
  }
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, textarea, summary, nav a, [role=option]")]
      .filter((element) => element.checkVisibility())
      // Of a choice, the whole row is to be hit.
      .map((element) => element.closest("label") ?? element)
      .filter((element) => element.getBoundingClientRect().height < 43.5)
      .map((element) => element.outerHTML.slice(0, 120)),
  );
  expect(small, `${screen}: what a thumb can hit`).toEqual([]);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(wide, `${screen}: wider than the screen`).toBeLessThanOrEqual(0);
}

const card = (page: Page) => page.getByTestId("question");
const markdown = [
  "# A title",
  "Some **text** with a [link](https://example.org/) and `code`.",
  "```ts\n// Greets.\nexport const greet = (name: string) => `Hello, ${name}` + 1;\n```",
  "| a | b |\n|---|---|\n| 1 | 2 |",
  "> quoted",
  "- [x] done\n- [ ] open",
].join("\n\n");

const everything = scenario({
  everything: [
    { think: "Let me *think*." },
    say(markdown),
    tool("update_todo", {
      items: [
        { content: "Look around", status: "completed" },
        { content: "Change it", status: "in_progress" },
        { content: "Test it", status: "pending" },
      ],
    }),
    tool("shell", {
      command: "touch begun; echo one; until [ -f go ]; do sleep 0.05; done; echo two",
    }),
    tool("edit", { path: "greeting.sh", old: "Helo", new: "Hello" }),
    tool("ask_user", { question: "Which tests?", choices: ["All", "None"], default: "All" }),
    tool("ask_user", { question: "Which systems?", choices: ["Linux", "macOS"], multiple: true }),
    tool("ask_user", { question: "What is it called?" }),
    tool("ask_user", { question: "How many?", answer: "integer", min: 1, max: 5 }),
    tool("ask_user", { question: "Really?", answer: "yes_no" }),
    say("Everything is done."),
  ],
  plan: [tool("exit_plan_mode", { plan: "# The plan\n\n1. Look\n2. Leap" }), say("Planned.")],
  wrong: [{ fail: { kind: "rate-limit", message: "Too many requests", hint: "Wait a little" } }],
  wait: [waitFor("never"), say("Not reached.")],
  ask: [
    waitFor("first"),
    tool("shell", { command: "touch one" }),
    waitFor("second"),
    tool("shell", { command: "touch two" }),
    say("Both."),
  ],
  hello: [say("Hello.")],
});

test("welcome and pairing", async ({ page, start }) => {
  const world = await start(everything);
  await page.goto(world.url);
  await expect(page.getByRole("heading", { name: "Your sessions, in your pocket" })).toBeVisible();
  await clean(page, "welcome");
  await page.getByRole("textbox", { name: "Pairing link" }).fill("https://example.org/");
  await page.getByRole("button", { name: "Open" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await clean(page, "welcome with a link that is none");

  const { pairing, link } = await world.pairing();
  await page.goto(link);
  await expect(page.getByLabel("Name of this device")).toBeVisible();
  await clean(page, "pairing");
  await page.getByRole("button", { name: "Pair", exact: true }).click();
  const code = page.getByTestId("pairing-code");
  await expect(code).toBeVisible();
  await clean(page, "pairing with a code");
  await world.code(pairing, (await code.innerText()).replace(/\s/g, ""));
  await expect(page.getByRole("heading", { name: "Sessions" })).toBeVisible();
  await expect(page.getByText("No session is shared with this device.")).toBeVisible();
  await clean(page, "no sessions");

  await page.goto(link);
  await page.getByRole("button", { name: "Pair", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Pairing did not work" })).toBeVisible();
  await clean(page, "pairing that did not work");
});

test("a session with everything in it", async ({ page, start }) => {
  test.setTimeout(240_000);
  const world = await start(everything);
  await world.write("greeting.sh", "echo Helo\n");
  const { session } = await world.begin("show everything");
  await world.pair(page, session);

  const permission = page.getByTestId("permission");
  await expect(permission).toContainText("until [ -f go ]");
  await clean(page, "a permission");
  await permission.getByRole("button", { name: /tell the agent/ }).click();
  await expect(permission.getByRole("textbox")).toBeFocused();
  await clean(page, "a denial with words");
  await permission.getByRole("button", { name: "Cancel" }).click();
  await permission.getByRole("button").first().click();
  await expect(page.getByTestId("outcome")).toContainText("Accepted");
  await expect(page.getByRole("log").getByText("one", { exact: true })).toBeVisible();
  await clean(page, "a running turn");
  await page.getByRole("textbox").fill("wait for me");
  await page.getByRole("button", { name: "Queue" }).click();
  await expect(page.getByText("Queued")).toBeVisible();
  await clean(page, "a queued message");
  await page.getByRole("button", { name: "Take back" }).click();
  await expect(page.getByText("Queued")).toBeHidden();
  await world.write("go", "");

  await expect(permission).toContainText("greeting.sh");
  await expect(permission.locator(".added").last()).toContainText("Hello");
  await clean(page, "a change");
  await permission.getByRole("button").first().click();

  await expect(card(page)).toContainText("Which tests?");
  await clean(page, "a choice");
  await card(page).getByRole("button", { name: "None" }).click();
  await expect(card(page)).toContainText("Which systems?");
  await clean(page, "several choices");
  await card(page).getByRole("checkbox", { name: "Linux" }).check();
  await card(page).getByRole("button", { name: "Send" }).click();
  await expect(card(page)).toContainText("What is it called?");
  await clean(page, "words");
  await card(page).getByRole("textbox").fill("Ada");
  await card(page).getByRole("button", { name: "Send" }).click();
  await expect(card(page)).toContainText("How many?");
  await card(page).getByRole("textbox").fill("9");
  await card(page).getByRole("button", { name: "Send" }).click();
  await expect(card(page).getByRole("alert")).toHaveText("From 1 to 5");
  await clean(page, "a number that does not fit");
  await card(page).getByRole("textbox").fill("3");
  await card(page).getByRole("button", { name: "Send" }).click();
  await expect(card(page)).toContainText("Really?");
  await clean(page, "yes or no");
  await card(page).getByRole("radio", { name: "Yes" }).check();
  await card(page).getByRole("button", { name: "Send" }).click();

  await expect(page.getByText("Everything is done.")).toBeVisible();
  for (const fold of await page.locator("[role=log] summary").all()) await fold.click();
  await page.getByText("To do: 1 of 3 done").click();
  await clean(page, "everything unfolded");
  await page.getByRole("button", { name: /Details/ }).click();
  await expect(page.getByRole("group", { name: "Details" })).toContainText("Folder");
  await clean(page, "the details");
});

test("a plan", async ({ page, start }) => {
  const world = await start(everything);
  const terminal = await world.terminal("--remote", "--mode", "plan", "-i", "plan it");
  await world.wait(terminal, "trust");
  await world.keys(terminal, "2");
  await world.pair(page, await world.session());
  await expect(card(page)).toContainText("The plan");
  await clean(page, "a plan");
  await card(page)
    .getByRole("button", { name: /Suggest/ })
    .click();
  await expect(card(page).getByRole("textbox", { name: "What should change?" })).toBeFocused();
  await clean(page, "words about a plan");
});

/** Opens a session in a terminal, in the folder that is trusted by now. */
async function another(
  world: World,
  prompt: string,
  shown: string,
  mode = "interactive",
): Promise<number> {
  const terminal = await world.terminal("--remote", "--mode", mode, "-i", prompt);
  await world.wait(terminal, shown);
  return terminal;
}

/** Leaves a session alone: a terminal that stays would start the daemon again by itself. */
async function leave(world: World, terminal: number): Promise<void> {
  await world.keys(terminal, "\u0004");
  await world.wait(terminal, "goes on");
}

test("the list with every group, its filters, settings and a new session", async ({
  page,
  start,
}) => {
  const world = await start(everything);
  const { terminal } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  await leave(world, terminal);
  await leave(world, await another(world, "it goes wrong", "Too many requests"));
  await world.stopDaemon();
  await world.startDaemon();
  await world.pair(page);
  await another(world, "wait for ever", "wait for ever");
  await another(world, "plan it", "Accept", "plan");
  const list = page.getByRole("navigation");
  for (const state of ["Plan ready", "Working", "Error", "Stored"]) {
    await expect(list.getByText(state, { exact: true })).toBeVisible();
  }
  await clean(page, "the list");
  await page.getByRole("searchbox").fill("nothing like this");
  await expect(page.getByText("Nothing matches.")).toBeVisible();
  await clean(page, "a search without a result");
  await page.getByRole("searchbox").fill("");

  await page.getByRole("button", { name: "Settings" }).click();
  await expect(page.getByText("Connected")).toBeVisible();
  await clean(page, "settings");
  await page.getByRole("button", { name: "Forget this device" }).click();
  await clean(page, "the question whether to forget");
  await page.getByRole("button", { name: "Back" }).click();
  await page.getByRole("button", { name: "New session" }).click();
  await expect(page.getByLabel("Folder")).toBeVisible();
  await clean(page, "a new session");
});

test("what speaks of a connection that is not there", async ({ page, context, start }) => {
  const world = await start(everything);
  const { terminal, session } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  await world.pair(page, session);
  await expect(page.getByText("Hello.")).toBeVisible();
  await phone(page).idle();

  await context.setOffline(true);
  const said = (words: string | RegExp) => page.getByText(words).filter({ visible: true });
  await expect(said("This device is offline.")).toBeVisible();
  await page.getByRole("textbox").fill("say hello again");
  await page.getByRole("button", { name: "Send" }).click();
  await clean(page, "offline");
  await context.setOffline(false);
  await expect(said("This device is offline.")).toBeHidden();

  await leave(world, terminal);
  await world.killDaemon();
  await expect(said(/is offline since/)).toBeVisible();
  await clean(page, "a machine that is away");
  await page.getByRole("button", { name: "Back" }).click();
  await expect(said(/Offline · /)).toBeVisible();
  await clean(page, "the list of a machine that is away");
  await world.startDaemon();
  await expect(said(/is offline since/)).toBeHidden();

  await world.stopRelay();
  await expect(said("cannot be reached since")).toBeVisible();
  await clean(page, "a relay that is away");
  await world.startRelay();
});

test("somebody who does not look hears that they are needed, each time", async ({
  page,
  start,
}) => {
  const world = await start(everything);
  const { session } = await world.begin("ask me twice");
  await world.pair(page, session);
  const alarm = page.getByTestId("alarm");
  await expect(page.getByTestId("session-state")).toHaveText("Working");
  await expect(alarm).toHaveAttribute("aria-live", "assertive");
  await expect(alarm).toHaveText("");
  await world.write("first", "");
  await expect(alarm).toHaveText("ask me twice needs you");
  // The words are the same again; they must be said again.
  const first = await alarm.locator("span").elementHandle();
  await page.getByTestId("permission").getByRole("button").first().click();
  await expect(page.getByTestId("outcome").locator("xpath=..")).toHaveRole("status");
  await world.write("second", "");
  await expect(page.getByTestId("permission")).toContainText("touch two");
  await expect.poll(() => first!.evaluate((element) => element.isConnected)).toBe(false);
  await expect(alarm).toHaveText("ask me twice needs you");
  await page.getByTestId("permission").getByRole("button").first().click();
  await expect(page.getByTestId("news")).toHaveText("ask me twice: the turn has ended");
});

test("commands, and a new version of the page", async ({ page, start }) => {
  const world = await start(everything);
  const { terminal, session } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  const relay = await OtherBuild.before(world.url);
  try {
    await world.pair(page, session, relay.url);
    await page.getByRole("button", { name: texts.commands, exact: true }).click();
    await expect(page.getByRole("listbox", { name: texts.commands })).toBeVisible();
    await clean(page, "commands");
    await page.evaluate(installed);
    relay.serving = "newer";
    await page.reload();
    await expect(page.getByText(texts.newVersion)).toBeVisible();
    await clean(page, "a new version");
  } finally {
    relay.end();
  }
});

test("what is said once is said again, and is not left behind", async ({
  page,
  context,
  start,
}) => {
  const world = await start(everything);
  const { terminal, session } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  await world.pair(page, session);
  await expect(page.getByText("Hello.")).toBeVisible();
  await phone(page).idle();
  await context.setOffline(true);
  await expect(phone(page).says(texts.offlineDevice)).toBeVisible();
  const news = page.getByTestId("news");
  await page.getByRole("textbox").fill("one");
  await page.getByRole("button", { name: texts.sendPrompt, exact: true }).click();
  await expect(news).toHaveText(texts.undelivered);
  const first = await news.locator("span").elementHandle();
  await page.getByRole("textbox").fill("two");
  await page.getByRole("button", { name: texts.sendPrompt, exact: true }).click();
  await expect.poll(() => first!.evaluate((element) => element.isConnected)).toBe(false);
  await expect(news).toHaveText(texts.undelivered);
  await expect(news).toHaveText("");
});

test("with less motion nothing moves", async ({ page, start }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  const world = await start(everything);
  const { session } = await world.begin("wait for ever");
  await world.pair(page, session);
  await expect(page.getByTestId("session-state")).toHaveText("Working");
  expect(await page.evaluate(() => document.getAnimations().length)).toBe(0);
});
