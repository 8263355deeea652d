import { texts } from "../../src/app/texts";
import {
  expect,
  installed,
  keptIn,
  phone,
  remembersEnd,
  say,
  scenario,
  test,
  tool,
  waitFor,
} from "./world";

const model = scenario({
  hello: [say("Hello to you.")],
  count: [tool("shell", { command: "echo once >> counted" }), say("Counted.")],
  slow: [waitFor("go"), say("Slowly done.")],
});

test("what is typed and sent offline survives a reload and arrives exactly once", async ({
  page,
  context,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { approve, field, permission, prompts, send, timeline, type } = phone(page);
  await expect(timeline).toContainText("Hello to you.");
  await page.evaluate(installed);
  await remembersEnd(page, session);

  await context.setOffline(true);
  await page.reload();
  await expect(phone(page).says(texts.offlineDevice)).toBeVisible();
  // What was last seen is there without anybody to ask.
  await expect(timeline).toContainText("Hello to you.");
  await send("count this");
  await expect(phone(page).pending).toContainText(texts.undelivered);
  await type("and half a tho");

  await page.reload();
  await expect(phone(page).pending).toContainText(texts.undelivered);
  await expect(page.getByText("count this")).toBeVisible();
  await expect(field).toHaveValue("and half a tho");

  await context.setOffline(false);
  await expect(permission).toContainText("echo once");
  await expect(prompts("count this")).toHaveCount(1);
  await expect(phone(page).pending).toBeHidden();
  await approve();
  await expect(timeline).toContainText("Counted.");
  await world.wait(terminal, "Counted.");

  // Nothing is left that could be sent once more.
  await page.reload();
  await expect(timeline).toContainText("Counted.");
  await expect(prompts("count this")).toHaveCount(1);
  await expect(permission).toBeHidden();
  expect(await world.read("counted")).toBe("once\n");
  await expect(field).toHaveValue("and half a tho");
});

test("what is sent and tapped while the relay is away arrives exactly once, also after a reload", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("count one");
  await world.pair(page, session);
  const { approve, permission, prompts, send, timeline } = phone(page);
  await expect(permission).toContainText("echo once");
  await page.evaluate(installed);

  await world.stopRelay();
  await expect(phone(page).says("cannot be reached since")).toBeVisible();
  await approve();
  await expect(page.getByText(texts.tapQueued)).toBeVisible();
  await send("count two", texts.sendQueue);
  await expect(phone(page).pending).toContainText(texts.undelivered);
  await page.reload();
  await expect(page.getByText(texts.tapQueued)).toBeVisible();
  await expect(page.getByText("count two")).toBeVisible();

  await world.startRelay();
  await expect(timeline).toContainText("Counted.");
  await expect(prompts("count two")).toHaveCount(1);
  await expect(permission).toBeVisible();
  await approve();
  await expect(timeline.getByText("Counted.")).toHaveCount(2);
  await world.wait(terminal, "count two");
  expect(await world.read("counted")).toBe("once\nonce\n");

  // Answered at the machine while the tap was under way: the first answer counts, and is told.
  await send("count three");
  await expect(permission).toBeVisible();
  await world.wait(terminal, "count three");
  await world.stopRelay();
  await expect(phone(page).says("cannot be reached since")).toBeVisible();
  await approve();
  await world.keys(terminal, "1");
  await expect.poll(() => world.read("counted")).toBe("once\nonce\nonce\n");
  await world.startRelay();
  await expect(timeline.getByText("Counted.")).toHaveCount(3);
  await expect(permission).toBeHidden();
  expect(await world.read("counted")).toBe("once\nonce\nonce\n");
});

test("a session that is first opened while the relay is away comes with the relay", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("hello");
  await world.pair(page);
  const link = page.getByRole("navigation").getByRole("link");
  await expect(link).toHaveCount(1);
  await world.stopRelay();
  await expect(phone(page).says("cannot be reached since")).toBeVisible();
  await link.click();
  await expect(page).toHaveURL(new RegExp(session));
  await world.startRelay();
  await expect(phone(page).timeline).toContainText("Hello to you.");
});

test("what was typed offline can be taken back, also after a reload, and never arrives", async ({
  page,
  context,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { button, field, idle, pending, prompts, says, send, timeline } = phone(page);
  await expect(timeline).toContainText("Hello to you.");
  await idle();
  await page.evaluate(installed);

  await context.setOffline(true);
  await expect(says(texts.offlineDevice)).toBeVisible();
  await send("hello one");
  await send("hello two");
  await expect(pending.getByText(texts.undelivered)).toHaveCount(2);
  // What was sent is not also there as being typed.
  await expect.poll(() => keptIn(page, "drafts")).toEqual([]);
  await page.reload();
  const [one, two] = ["hello one", "hello two"].map((text) =>
    pending.getByRole("listitem").filter({ hasText: text }),
  );
  await one!.getByRole("button", { name: texts.takeBack }).click();
  await expect(one!).toBeHidden();
  await expect(field).toHaveValue("hello one");
  // What is being typed stays below what is taken back.
  await two!.getByRole("button", { name: texts.takeBack }).click();
  await expect(field).toHaveValue("hello two\n\nhello one");
  await expect(pending).toBeHidden();
  await send("hello three");
  await context.setOffline(false);
  await expect(prompts("hello three")).toHaveCount(1);
  await expect(timeline.getByText("Hello to you.")).toHaveCount(2);
  await world.wait(terminal, "hello three");
  await expect(timeline.getByRole("article")).toHaveCount(2);
  await expect(button(texts.takeBack)).toHaveCount(0);
});

test("what is typed offline one after the other arrives in that order, and nothing is refused", async ({
  page,
  context,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("hello");
  await world.pair(page, session);
  const { idle, pending, prompts, says, send, timeline } = phone(page);
  await expect(timeline).toContainText("Hello to you.");
  await idle();
  await context.setOffline(true);
  await expect(says(texts.offlineDevice)).toBeVisible();
  for (const prompt of ["hello one", "hello two", "hello three"]) await send(prompt);
  await expect(pending.getByText(texts.undelivered)).toHaveCount(3);
  await context.setOffline(false);
  await expect(timeline.getByText("Hello to you.")).toHaveCount(4);
  await expect(pending).toBeHidden();
  for (const prompt of ["hello one", "hello two", "hello three"]) {
    await expect(prompts(prompt)).toHaveCount(1);
  }
  const order = await page.locator("article .prompt").allInnerTexts();
  expect(order.map((text) => text.match(/one|two|three/)?.[0]).slice(1)).toEqual([
    "one",
    "two",
    "three",
  ]);
});

test("a tap while the relay is away can be taken back, and another answer given", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("count one");
  await world.pair(page, session);
  const { approve, permission } = phone(page);
  await expect(permission).toContainText("echo once");
  await world.stopRelay();
  await expect(phone(page).says("cannot be reached since")).toBeVisible();
  await approve();
  await expect(page.getByText(texts.tapQueued)).toBeVisible();
  await permission.getByRole("button", { name: texts.takeBack }).click();
  await expect(page.getByText(texts.tapQueued)).toBeHidden();
  await permission.getByRole("button", { name: "No", exact: true }).click();
  await world.startRelay();
  await expect(permission).toBeHidden();
  await world.wait(terminal, "Counted.");
  expect(await world.read("counted")).toBeNull();
});

test("what is too long is refused in words before it is sent, and what comes after it arrives", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("hello");
  await world.pair(page, session);
  const { button, field, idle, pending, send, timeline } = phone(page);
  await expect(timeline).toContainText("Hello to you.");
  await idle();
  // As it would be pasted; typing so much takes its time.
  const length = await field.evaluate((element) => {
    const area = element as HTMLTextAreaElement;
    area.value = `${"too long".repeat(1_000)}\n`.repeat(140);
    area.dispatchEvent(new Event("input", { bubbles: true }));
    return area.value.length;
  });
  await button(texts.sendPrompt).click();
  await expect(page.getByRole("alert").getByText(texts.tooLong)).toBeVisible();
  await expect(pending).toBeHidden();
  const kept = await field.evaluate((element) => (element as HTMLTextAreaElement).value.length);
  expect(kept).toBe(length);
  await send("hello again");
  await expect(timeline.getByText("Hello to you.")).toHaveCount(2);
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("what was typed for a session that is gone can be copied and let go", async ({
  page,
  context,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("be slow");
  await world.pair(page, session);
  const { button, field, pending, says, send, state, type } = phone(page);
  await expect(state).toHaveText(texts.states.working!);
  await expect(button(texts.cancelTurn)).toBeVisible();
  await page.evaluate(installed);
  await context.setOffline(true);
  await expect(says(texts.offlineDevice)).toBeVisible();
  await send("a long story", texts.sendQueue);
  await expect(pending).toContainText(texts.undelivered);
  await type("half a tho");
  await page.reload();
  await expect(field).toHaveValue("half a tho");
  await world.keys(terminal, "\x04");
  await world.wait(terminal, "etached");
  await world.copilot("sessions", "delete", session);
  await context.setOffline(false);

  await expect(page.getByRole("alert").getByText(texts.sessionGone)).toBeVisible();
  const lost = page.getByRole("region", { name: texts.lost }).filter({ visible: true });
  const item = (text: string) => lost.getByRole("listitem").filter({ hasText: text });
  await expect(item("a long story")).toBeVisible();
  await expect(item("half a tho")).toBeVisible();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await item("a long story").getByRole("button", { name: texts.copy }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("a long story");
  await item("a long story").getByRole("button", { name: texts.dismiss }).click();
  await expect(item("a long story")).toBeHidden();

  // The other one is found in the list as well, until somebody lets it go.
  await button(texts.back).click();
  await page.reload();
  await expect(item("half a tho")).toBeVisible();
  await item("half a tho").getByRole("button", { name: texts.dismiss }).click();
  await expect(lost).toBeHidden();
  await expect.poll(() => keptIn(page, "outbox")).toEqual([]);
  await page.reload();
  await expect(page.getByText(texts.noSessions)).toBeVisible();
  await expect(lost).toBeHidden();
});
