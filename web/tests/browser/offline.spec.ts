import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test, tool } from "./world";

const model = scenario({
  hello: [say("Hello to you.")],
  count: [tool("shell", { command: "echo once >> counted" }), say("Counted.")],
});

/** Until the service worker can serve the page without a network. */
const installed = () => navigator.serviceWorker.ready.then(() => undefined);

test("what is typed and sent offline survives a reload and arrives exactly once", async ({
  page,
  context,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { approve, field, permission, prompts, send, timeline } = phone(page);
  await expect(timeline).toContainText("Hello to you.");
  await page.evaluate(installed);

  await context.setOffline(true);
  await page.reload();
  await expect(phone(page).says(texts.offlineDevice)).toBeVisible();
  // What was last seen is there without anybody to ask.
  await expect(timeline).toContainText("Hello to you.");
  await send("count this");
  await expect(phone(page).pending).toContainText(texts.undelivered);
  await field.fill("and half a tho");

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
