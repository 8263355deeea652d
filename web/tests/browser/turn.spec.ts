import { texts } from "../../src/app/texts";
import { expect, phone, responses, say, test, tool, waitFor } from "./world";

const model = responses({
  long: [
    { steps: [say("Working on it."), waitFor("go-on"), tool("view", { path: "README.md" })] },
    { when: { steered: "faster" }, steps: [say("Faster it is.")] },
    { steps: [say("Done, slowly.")] },
  ],
  next: [{ steps: [say("The next thing is done.")] }],
  never: [{ steps: [say("That was not wanted.")] }],
  wait: [{ steps: [say("Waiting for ever."), waitFor("never-comes")] }],
});

test("a running turn is steered, gets a queue, gives back, and is stopped", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("the long work");
  await world.pair(page, session);
  const { button, field, prompts, send, state, timeline } = phone(page);
  await expect(timeline).toContainText("Working on it.");
  await expect(state).toHaveText(texts.states.working!);

  await send("faster please", texts.sendSteer);
  await expect(page.getByText(texts.steering)).toBeVisible();
  await send("the next thing", texts.sendQueue);
  await send("never this", texts.sendQueue);
  const queued = page.getByRole("listitem").filter({ hasText: texts.queued });
  await expect(queued).toHaveCount(2);
  await world.wait(terminal, "never this");

  // What is taken back can be changed and sent anew.
  await queued.filter({ hasText: "never this" }).getByText(texts.takeBack).click();
  await expect(field).toHaveValue("never this");
  await expect(queued).toHaveCount(1);
  await field.fill("");

  await world.write("go-on", "");
  await expect(timeline).toContainText("Faster it is.");
  await expect(timeline).toContainText("The next thing is done.");
  await world.wait(terminal, "The next thing is done.");
  await expect(prompts("the next thing")).toHaveCount(1);
  await expect(prompts("never this")).toHaveCount(0);

  await send("wait for me");
  await expect(timeline).toContainText("Waiting for ever.");
  await button(texts.cancelTurn).click();
  await expect(timeline.getByText(texts.cancelled)).toBeVisible();
  await expect(state).toHaveText(texts.states.idle!);
  await expect(button(texts.cancelTurn)).toBeHidden();

  // Both screens tell the same, in the same order.
  const told = ["Faster it is.", "the next thing", "The next thing is done.", "wait for me"];
  told.push("Waiting for ever.");
  const inOrder = (text: string) => told.map((part) => text.indexOf(part));
  for (const text of [await timeline.innerText(), await world.wait(terminal, told.at(-1)!)]) {
    const places = inOrder(text);
    expect(places, text).toEqual([...places].sort((a, b) => a - b));
    expect(places, text).not.toContain(-1);
  }
});
