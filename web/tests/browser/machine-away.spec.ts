import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test, tool, waitFor, type World } from "./world";

const model = scenario({
  long: [say("Working on it."), waitFor("never-comes")],
  // What the machine says to the agent when a turn goes on.
  interrupted: [tool("shell", { command: "echo once >> counted" }), say("Counted after all.")],
  count: [tool("shell", { command: "echo once >> counted" }), say("Counted.")],
});

/** A session at which nobody looks but the phone: a terminal would start the daemon again. */
async function begin(world: World, prompt: string) {
  const begun = await world.begin(prompt);
  await world.keys(begun.terminal, "\x04");
  await world.wait(begun.terminal, "etached");
  return begun;
}

test("a machine that disappears is named, keeps what was shown, and returns", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await begin(world, "the long work");
  await world.pair(page, session);
  const { approve, button, field, permission, prompts, send, timeline, type } = phone(page);
  await expect(timeline).toContainText("Working on it.");

  await world.killDaemon();
  await expect(phone(page).says(/is offline since/)).toBeVisible();
  await expect(timeline).toContainText("Working on it.");
  await send("count this", texts.sendQueue);
  await expect(phone(page).pending).toContainText(texts.undelivered);
  await type("half a tho");
  await page.reload();
  await expect(phone(page).says(/is offline since/)).toBeVisible();
  await expect(timeline).toContainText("Working on it.");
  await expect(field).toHaveValue("half a tho");

  await world.startDaemon();
  await expect(phone(page).says(/is offline since/)).toBeHidden();
  // The turn that was cut off says so; nothing of it runs again by itself.
  await expect(timeline.getByText(texts.turnFailed)).toBeVisible();
  await expect(phone(page).pending).toBeHidden();
  await expect(permission).toContainText("echo once");
  await expect(prompts("count this")).toHaveCount(1);
  await approve();
  await expect(timeline).toContainText("Counted.");
  expect(await world.read("counted")).toBe("once\n");
  await expect(field).toHaveValue("half a tho");
  await expect(button(texts.cancelTurn)).toBeHidden();
});

test("a turn that the machine lost goes on when it is asked to", async ({ page, start }) => {
  const world = await start(model);
  const { session } = await begin(world, "count this");
  await world.pair(page, session);
  const { approve, button, permission, timeline } = phone(page);
  await expect(permission).toBeVisible();
  await world.killDaemon();
  await world.startDaemon();
  await button(texts.continueTurn).click();
  await expect(button(texts.continueTurn)).toBeHidden();
  await expect(permission).toContainText("echo once");
  await approve();
  await expect(timeline).toContainText("Counted after all.");
  await expect(button(texts.continueTurn)).toBeHidden();
  expect(await world.read("counted")).toBe("once\n");
});
