import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test, tool } from "./world";

const model = scenario({
  count: [tool("shell", { command: "echo once >> counted" }), say("Counted.")],
});

test("two tabs of one device show the same, and what either sends counts once", async ({
  page,
  context,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("count one");
  await world.pair(page, session);
  await expect(page).toHaveURL(new RegExp(session));
  const second = await context.newPage();
  await second.goto(page.url());
  const [one, two] = [phone(page), phone(second)];
  const both = [one, two];

  for (const tab of both) await expect(tab.permission).toContainText("echo once");
  await two.approve();
  for (const tab of both) {
    await expect(tab.timeline).toContainText("Counted.");
    await expect(tab.permission).toBeHidden();
  }

  await one.send("count two");
  for (const tab of both) await expect(tab.permission).toBeVisible();
  // Both at once: one of them is first, and neither says that something went wrong.
  const taps = await Promise.all(
    both.map((tab) => tab.permission.getByRole("button").first().elementHandle()),
  );
  await Promise.all(taps.map((button) => button!.evaluate((it) => (it as HTMLElement).click())));
  for (const tab of both) await expect(tab.timeline.getByText("Counted.")).toHaveCount(2);
  expect(await world.read("counted")).toBe("once\nonce\n");

  for (const tab of both) await tab.idle();

  // What one tab still owes, the other one finds on disk and sends as well.
  await world.stopRelay();
  for (const tab of [page, second]) {
    await expect(phone(tab).says("cannot be reached since")).toBeVisible();
  }
  await one.send("count three");
  await expect(one.pending).toContainText(texts.undelivered);
  await second.reload();
  await expect(two.pending).toContainText(texts.undelivered);
  await world.startRelay();
  for (const tab of both) {
    await expect(tab.permission).toBeVisible();
    await expect(tab.prompts("count three")).toHaveCount(1);
  }
  await one.approve();
  for (const tab of both) await expect(tab.timeline.getByText("Counted.")).toHaveCount(3);
  for (const tab of both) await expect(tab.pending).toBeHidden();
  expect(await world.read("counted")).toBe("once\nonce\nonce\n");

  // One tab may go, the other goes on.
  await page.close();
  await two.send("count four");
  await expect(two.permission).toBeVisible();
});
