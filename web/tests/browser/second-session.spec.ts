import { texts } from "../../src/app/texts";
import { machineSays } from "./newer";
import { expect, phone, say, scenario, test, tool } from "./world";

const model = scenario({
  first: [say("The first one is done.")],
  second: [tool("shell", { command: "touch second" }), say("The second one is done.")],
});

test("a second session is started in a folder that is trusted", async ({ page, start }) => {
  const world = await start(model);
  const { session } = await world.begin("the first thing");
  await world.pair(page, session);
  const { approve, button, timeline, prompts } = phone(page);
  await expect(timeline).toContainText("The first one is done.");

  await button(texts.back).click();
  await button(texts.newSession).click();
  await page.getByRole("textbox", { name: texts.firstPrompt }).fill("the second thing");
  await button(texts.start).click();
  await approve();
  await expect(timeline).toContainText("The second one is done.");
  await expect(prompts("the second thing")).toHaveCount(1);
  expect(await world.read("second")).toBe("");

  await button(texts.back).click();
  const list = page.getByRole("navigation", { name: texts.sessions });
  await expect(list.getByRole("link")).toHaveCount(2);
  await list.getByRole("link").filter({ hasText: "the first thing" }).click();
  await expect(timeline).toContainText("The first one is done.");
  await expect(timeline).not.toContainText("The second one");

  // The machine knows it as a session like any other.
  const { stdout } = await world.copilot("sessions", "list", "--all", "--json");
  expect(stdout).toContain("the second thing");
});

test("a session whose answer was lost is not made twice", async ({ page, context, start }) => {
  // The first answer to the wish for a session does not get through.
  await machineSays(context, (message) => {
    const lost = window as unknown as { lost?: boolean };
    if (message.id === undefined || message.result !== null || lost.lost) return;
    lost.lost = true;
    delete message.result;
    message.error = { code: -32000, message: "It got lost." };
  });
  const world = await start(model);
  const { session } = await world.begin("the first thing");
  await world.pair(page, session);
  const { approve, button, timeline } = phone(page);
  await expect(timeline).toContainText("The first one is done.");
  await button(texts.back).click();
  await button(texts.newSession).click();
  await page.getByRole("textbox", { name: texts.firstPrompt }).fill("the second thing");
  await button(texts.start).click();
  await expect(page.getByRole("alert")).toHaveText("It got lost.");
  await button(texts.start).click();
  await approve();
  await expect(timeline).toContainText("The second one is done.");
  const { stdout } = await world.copilot("sessions", "list", "--all", "--json");
  expect(JSON.parse(stdout)).toHaveLength(2);
});
