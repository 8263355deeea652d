import type { Page } from "@playwright/test";
import { expect, phone, say, scenario, test, tool, waitFor, type World } from "./world";

/** What is seen; the list of sessions is there, hidden, behind a session. */
const seen = (page: Page, words: string | RegExp) =>
  page.getByText(words).filter({ visible: true });
const button = (page: Page, name: string | RegExp) =>
  page.getByRole("button", { name, exact: typeof name === "string" });
const message = (page: Page) => page.getByRole("textbox", { name: /Message|Steer/ });

async function send(page: Page, text: string): Promise<void> {
  await message(page).fill(text);
  await page.getByRole("button", { name: /^Send/ }).click();
}

test("a command is followed while it runs, and says how it ended", async ({ page, start }) => {
  const command =
    "touch begun; echo first; until [ -f go ]; do sleep 0.05; done; echo second; exit 3";
  const world = await start(scenario({ run: [tool("shell", { command }), say("It failed.")] }));
  const { session } = await world.begin("run it");
  await world.pair(page, session);
  await page.getByTestId("permission").getByRole("button").first().click();
  const log = page.getByRole("log");
  await expect(log.getByText("first", { exact: true })).toBeVisible();
  await expect(log.getByText("Running", { exact: true })).toBeVisible();
  await world.write("go", "");
  await expect(log.getByText("It failed.")).toBeVisible();
  await expect(log.getByText("first", { exact: true })).toBeHidden();
  await log.getByText("touch begun").first().click();
  await expect(log.getByText(/first\s+second/)).toBeVisible();
  await expect(log.getByText("exit 3", { exact: true })).toBeVisible();
  await expect(log.getByText(/^Allowed once · /)).toBeVisible();
});

test("a long output is read to its end, a part at a time", async ({ page, start }) => {
  const command = "echo the-beginning; yes | head -c 9M; echo the-end";
  const world = await start(scenario({ print: [tool("shell", { command }), say("Printed.")] }));
  const { terminal, session } = await world.begin("print it");
  await world.wait(terminal, "the-end");
  await world.keys(terminal, "1");
  await world.wait(terminal, "Printed.");
  await world.pair(page, session);
  const log = page.getByRole("log");
  await log.locator(".call summary").click();
  await button(page, "Load the first part of 9 MB").click();
  const text = log.locator(".inside .text");
  await expect(text).toContainText("the-beginning");
  await expect(text).not.toContainText("the-end");
  const more = page.getByRole("button", { name: /^Show more/ });
  for (let part = 2; part <= 10 && (await more.isVisible()); part += 1) {
    const pieces = await text.locator("pre").count();
    await more.click();
    await expect.poll(() => text.locator("pre").count()).toBeGreaterThan(pieces);
  }
  await expect(more).toBeHidden();
  await expect(text.locator("pre").last()).toContainText("the-end");
});

test("steps, thoughts and tokens are shown", async ({ page, start }) => {
  const items = [
    { content: "Look around", status: "completed" },
    { content: "Change it", status: "in_progress" },
  ];
  const world = await start({
    prompts: [
      {
        match: "work",
        responses: [
          {
            steps: [{ think: "Where to begin?" }, tool("update_todo", { items })],
            usage: { input_tokens: 1000, output_tokens: 200 },
          },
          { steps: [say("Worked.")], usage: { input_tokens: 1100, output_tokens: 100 } },
        ],
      },
    ],
  });
  const { session } = await world.begin("work");
  await world.pair(page, session);
  await expect(page.getByText("Worked.")).toBeVisible();
  const todos = page.getByText("To do: 1 of 2 done · Change it");
  await todos.click();
  await expect(page.getByRole("listitem").filter({ hasText: "Look around" })).toBeVisible();
  await expect(page.getByText("Where to begin?")).toBeHidden();
  await page.getByText("Thinking").click();
  await expect(page.getByText("Where to begin?")).toBeVisible();
  await expect(page.getByText("2.4k tokens")).toBeVisible();
  await button(page, /Details/).click();
  await expect(page.getByRole("group", { name: "Details" })).toContainText("2.4k");
});

test("what became of a tap is said, whoever was first", async ({ page, start }) => {
  const world = await start(
    scenario({
      three: [
        tool("shell", { command: "touch one" }),
        tool("shell", { command: "touch two" }),
        tool("shell", { command: "touch three" }),
        say("All asked."),
      ],
    }),
  );
  const { terminal, session } = await world.begin("three things");
  await world.pair(page, session);
  const permission = page.getByTestId("permission");
  const outcome = page.getByTestId("outcome");
  await expect(permission).toContainText("touch one");
  await permission.getByRole("button", { name: "Yes, once" }).click();
  await expect(outcome).toHaveText(/Accepted: Yes, once/);
  await outcome.getByRole("button").click();
  await expect(outcome).toHaveCount(0);

  await expect(permission).toContainText("touch two");
  await world.wait(terminal, "touch two");
  await world.keys(terminal, "1");
  await expect(outcome).toHaveText(/Already answered: Allowed once · terminal/);
  await outcome.getByRole("button").click();
  await expect(outcome).toHaveCount(0);

  // A tap that comes too late, because there was no way to send it.
  await expect(permission).toContainText("touch three");
  await world.stopRelay();
  await expect(seen(page, "cannot be reached since")).toBeVisible();
  await permission.getByRole("button", { name: "No", exact: true }).click();
  await expect(page.getByText("Will be sent when the machine is back")).toBeVisible();
  await world.wait(terminal, "touch three");
  await world.keys(terminal, "1");
  await world.wait(terminal, "All asked.");
  await world.startRelay();
  await expect(outcome).toHaveText(/Already answered: Allowed once · terminal/);
  await expect(page.getByText("All asked.")).toBeVisible();
  expect(await world.read("three")).toBe("");
});

test("what is typed says how far it is, and can be taken back", async ({
  page,
  context,
  start,
}) => {
  const world = await start(
    scenario({
      "be slow": [waitFor("go"), say("Slowly done.")],
      "and then": [waitFor("on"), say("Then done.")],
    }),
  );
  const { session } = await world.begin("be slow");
  await world.pair(page, session);
  await expect(page.getByTestId("session-state")).toHaveText("Working");
  await message(page).fill("never mind");
  await button(page, "Queue").click();
  const pending = page.getByRole("list", { name: "Not started yet" });
  await expect(pending).toContainText("Queued");
  await pending.getByRole("button", { name: "Take back" }).click();
  await expect(pending).toBeHidden();
  await expect(message(page)).toHaveValue("never mind");

  await context.setOffline(true);
  await expect(seen(page, "This device is offline.")).toBeVisible();
  await message(page).fill("and then that");
  await button(page, "Queue").click();
  await expect(pending).toContainText("Waiting to be sent");
  await context.setOffline(false);
  await expect(pending).toContainText("Queued");
  await world.write("go", "");
  await expect(page.getByText("Slowly done.")).toBeVisible();
  await expect(pending).toBeHidden();
  await expect(page.getByText(/^Started \d\d:\d\d$/)).toBeVisible();
  await world.write("on", "");
  await expect(page.getByText("Then done.")).toBeVisible();
});

async function another(world: World, mode: string, prompt: string, shown: string) {
  const terminal = await world.terminal("--remote", "--mode", mode, "-i", prompt);
  await world.wait(terminal, shown);
}

test("the list is narrowed by state and by words, and those who wait come first", async ({
  page,
  start,
}) => {
  const world = await start(
    scenario({
      hello: [say("Hello.")],
      wrong: [{ fail: { kind: "rate-limit", message: "Too many requests" } }],
      wait: [waitFor("never")],
      ask: [tool("shell", { command: "touch it" })],
    }),
  );
  const { terminal } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  await another(world, "interactive", "it goes wrong", "Too many requests");
  await another(world, "interactive", "wait for ever", "wait for ever");
  await another(world, "interactive", "ask me", "touch it");
  await world.pair(page);
  const titles = page.getByRole("navigation").locator(".title");
  await expect(titles).toHaveText(["ask me", "wait for ever", "it goes wrong", "say hello"]);
  await expect(page).toHaveTitle("(1) Copilot");
  for (const [filter, expected] of [
    ["Needs you", ["ask me"]],
    ["Running", ["wait for ever"]],
    ["Errors", ["it goes wrong"]],
    ["Stored", []],
    ["All", ["ask me", "wait for ever", "it goes wrong", "say hello"]],
  ] as const) {
    await button(page, filter).click();
    await expect(titles).toHaveText([...expected]);
  }
  await page.getByRole("searchbox").fill("EVER wait");
  await expect(titles).toHaveText(["wait for ever"]);
});

test("older turns come on demand, and what is read stays where it is", async ({ page, start }) => {
  const world = await start(scenario({ "turn (\\d+)": [say("So be it.")] }));
  const { terminal, session } = await world.begin("turn 0");
  await world.wait(terminal, "So be it.");
  for (let turn = 1; turn <= 24; turn += 1) await world.copilot("send", session, `turn ${turn}`);
  await world.wait(terminal, "turn 24");
  await world.pair(page, session);
  const log = page.getByRole("log");
  await expect(log.getByText("turn 24", { exact: true })).toBeInViewport();
  await expect(log.getByText("turn 2", { exact: true })).toHaveCount(0);
  await log.hover();
  await log.evaluate((element) => element.scrollTo(0, 0));
  const first = log.getByRole("article").first();
  const anchor = await first.elementHandle();
  const top = () => anchor!.evaluate((element) => element.getBoundingClientRect().top);
  const before = await top();
  await button(page, "Show earlier").click();
  await expect(log.getByText("turn 0", { exact: true })).toHaveCount(1);
  await expect.poll(async () => Math.abs((await top()) - before)).toBeLessThan(60);
  await expect(button(page, "Show earlier")).toHaveCount(0);
});

test("a stored session goes on with the next message", async ({ page, start }) => {
  const world = await start(scenario({ hello: [say("Hello.")], more: [say("More.")] }));
  const { terminal, session } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  await world.keys(terminal, "\u0004");
  await world.wait(terminal, "goes on");
  await world.stopDaemon();
  await world.startDaemon();
  await world.pair(page, session);
  await expect(page.getByTestId("session-state")).toHaveText("Stored");
  await expect(page.getByText("This session is stored.")).toBeVisible();
  await send(page, "more please");
  await expect(page.getByText("More.")).toBeVisible();
  await expect(page.getByTestId("session-state")).toHaveText("Idle");
  await expect(page.getByText("This session is stored.")).toBeHidden();
});

test("a session is started, in a mode, where one may be, and renamed", async ({ page, start }) => {
  const world = await start(scenario({ hello: [say("Hello.")], plan: [say("I only think.")] }));
  const { terminal } = await world.begin("say hello");
  await world.wait(terminal, "Hello.");
  await world.pair(page);
  await button(page, "New session").click();
  await expect(page.getByLabel("Folder")).toHaveValue(/^file:\/\/\/.*\/project$/);
  await page.getByLabel("Mode").selectOption("plan");
  await phone(page).type("plan something", page.getByLabel("What should be done?"));
  await page.reload();
  await expect(page.getByLabel("What should be done?")).toHaveValue("plan something");
  await page.getByLabel("Mode").selectOption("plan");
  await button(page, "Start").click();
  await expect(page.getByText("I only think.")).toBeVisible();
  await expect(page.getByRole("combobox", { name: "Mode" })).toHaveValue("plan");

  await button(page, /Details/).click();
  await page.getByLabel("Name of the session").fill("Thinking aloud");
  await button(page, "Rename").click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Thinking aloud");
  const listed = await world.copilot("sessions", "list", "--json");
  expect(listed.stdout).toContain("Thinking aloud");
  await button(page, "Back").click();
  await expect(page.getByRole("link", { name: /Thinking aloud/ })).toBeVisible();
});

test("a plan is read in full, answered with words, kept, and carried out", async ({
  page,
  start,
}) => {
  const long = `# A long plan\n\n${"One step after another.\n\n".repeat(500)}The last step.`;
  const world = await start({
    prompts: [
      {
        match: "plan",
        responses: [
          { steps: [tool("exit_plan_mode", { plan: long })] },
          { steps: [tool("exit_plan_mode", { plan: "# A short plan\n\nDo it." })] },
          { steps: [say("Carried out.")] },
        ],
      },
    ],
  });
  const terminal = await world.terminal("--remote", "--mode", "plan", "-i", "plan it");
  await world.wait(terminal, "trust");
  await world.keys(terminal, "2");
  await world.pair(page, await world.session());
  const card = page.getByTestId("question");
  await expect(card).toContainText("A long plan");
  await expect(card).toContainText("The last step.");
  await card.getByRole("button", { name: /Suggest/ }).click();
  await card.getByRole("textbox").fill("Shorter, please");
  await card.getByRole("button", { name: "Send" }).click();
  await expect(card).toContainText("A short plan");
  await expect(page.getByTestId("outcome")).toHaveText(/Accepted: Shorter, please/);
  await card.getByRole("button", { name: "Accept, and go on in autopilot" }).click();
  await expect(page.getByText("Carried out.")).toBeVisible();
  await expect(page.getByRole("combobox", { name: "Mode" })).toHaveValue("autopilot");
  await button(page, /Details/).click();
  await page.getByText(/^Plan 1 \(\d+ kB\)$/).click();
  await expect(page.getByRole("group", { name: "Details" })).toContainText("The last step.");
});

test("a long command is seen in full before it can be allowed", async ({ page, start }) => {
  const command = `touch made-it # ${"a very long remark, ".repeat(1500)} the end of it`;
  const world = await start(scenario({ run: [tool("shell", { command }), say("Ran.")] }));
  const { session } = await world.begin("run it");
  await world.pair(page, session);
  const permission = page.getByTestId("permission");
  await expect(permission.locator("pre")).toContainText("the end of it");
  await permission.getByRole("button").first().click();
  await expect(page.getByText("Ran.")).toBeVisible();
  expect(await world.read("made-it")).toBe("");
});

test("the end is followed until somebody reads further up", async ({ page, start }) => {
  const world = await start(
    scenario({
      long: [
        { say: "A line of many.\n\n", repeat: 60 },
        waitFor("go"),
        { say: "One more line.\n\n", repeat: 30 },
        say("The end."),
        waitFor("on"),
        say("The very end."),
      ],
    }),
  );
  const { session } = await world.begin("be long");
  await world.pair(page, session);
  const log = page.getByRole("log");
  await expect(log.getByText("A line of many.").last()).toBeInViewport();
  await log.evaluate((element) => element.scrollTo(0, 200));
  await expect(button(page, "Go to the end")).toBeVisible();
  const place = await log.evaluate((element) => element.scrollTop);
  await world.write("go", "");
  await expect(log.getByText("The end.")).toHaveCount(1);
  expect(await log.evaluate((element) => element.scrollTop)).toBe(place);
  await button(page, "Go to the end").click();
  await expect(log.getByText("The end.")).toBeInViewport();
  await world.write("on", "");
  await expect(log.getByText("The very end.")).toBeInViewport();
});

test("code has colours, and everything of a page that is an app is offered", async ({
  page,
  start,
}) => {
  const world = await start(scenario({ code: [say("```ts\nconst a = 1;\n```\n")] }));
  const { session } = await world.begin("show code");
  const { link } = await world.pairing();
  await page.goto(world.url);
  // An app on a home screen has no address bar.
  await page.getByLabel("Pairing link").fill(link);
  await button(page, "Open").click();
  await expect(page.getByLabel("Name of this device")).toBeVisible();
  await world.pair(page, session);
  await expect(page.locator("code .keyword")).toHaveText("const");

  await button(page, "Back").click();
  await expect(page.getByRole("region", { name: "Install as an app" })).toBeHidden();
  await page.evaluate(() => {
    const offer = new Event("beforeinstallprompt", { cancelable: true });
    const asked = () => {
      document.documentElement.dataset.asked = "yes";
      return Promise.resolve();
    };
    dispatchEvent(Object.assign(offer, { prompt: asked }));
  });
  await button(page, "Not now").click();
  await expect(button(page, "Install as an app")).toBeHidden();
  await button(page, "Settings").click();
  await button(page, "Install as an app").click();
  await expect(page.locator("html")).toHaveAttribute("data-asked", "yes");
});

test("a device that is forgotten keeps nothing", async ({ page, start }) => {
  const world = await start(scenario({ hello: [say("A secret.")] }));
  const { terminal, session } = await world.begin("say hello");
  await world.wait(terminal, "A secret.");
  await world.pair(page, session);
  await expect(page.getByText("A secret.")).toBeVisible();
  await message(page).fill("half a thought");
  const address = page.url();
  await button(page, "Back").click();
  await button(page, "Settings").click();
  await button(page, "Forget this device").click();
  await expect(page.getByRole("alert")).toContainText("must be paired again");
  await page.evaluate(() => (document.documentElement.dataset.before = "yes"));
  await button(page, "Forget this device").click();
  // It is loaded anew when everything is forgotten.
  await expect(page.locator("html")).not.toHaveAttribute("data-before");
  await expect(page.getByRole("heading", { name: "Your sessions, in your pocket" })).toBeVisible();
  await page.goto(address);
  await expect(page.getByRole("heading", { name: "Your sessions, in your pocket" })).toBeVisible();
  const kept = await page.evaluate(async () => {
    const open = indexedDB.open("copilot");
    await new Promise((resolve) => (open.onsuccess = resolve));
    const database = open.result;
    const stores = ["machines", "outbox", "drafts", "cache"];
    const transaction = database.transaction(stores);
    return Promise.all(
      stores.map(
        (store) =>
          new Promise<number>((resolve) => {
            const count = transaction.objectStore(store).count();
            count.onsuccess = () => resolve(count.result);
          }),
      ),
    );
  });
  expect(kept).toEqual([0, 0, 0, 0]);
});
