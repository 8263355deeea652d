import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test, tool } from "./world";

const model = scenario({
  plan: [
    say("I looked around."),
    tool("exit_plan_mode", { plan: "# Make it\n\n1. touch done", summary: "Makes it" }),
    tool("shell", { command: "touch done" }),
    say("It is made."),
  ],
  hello: [say("Hello to you.")],
});

test("the mode is switched on the phone, and a plan is accepted there", async ({ page, start }) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { field, state, question, permission, timeline, approve, send } = phone(page);
  await expect(timeline).toContainText("Hello to you.");

  const mode = page.getByRole("combobox", { name: texts.mode });
  await mode.selectOption("plan");
  await world.wait(terminal, "plan mode");
  await expect(mode).toHaveValue("plan");

  await send("plan it");
  await expect(question).toContainText("touch done");
  await expect(state).toHaveText(texts.states["plan-ready"]!);
  await world.wait(terminal, "Carry out this plan?");
  await field.fill("a thought for later");
  await question.getByRole("button").first().click();

  await expect(permission).toContainText("touch done");
  await expect(mode).toHaveValue("interactive");
  await approve();
  await expect(timeline).toContainText("It is made.");
  await world.wait(terminal, "It is made.");
  expect(await world.read("done")).toBe("");
  await expect(field).toHaveValue("a thought for later");
});

test("changes to a plan are suggested in words", async ({ page, start }) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("plan it", "--mode", "plan");
  await world.pair(page, session);
  const { question, timeline } = phone(page);
  await expect(question).toContainText("touch done");
  await question.getByRole("button", { name: /suggest/i }).click();
  await question.getByRole("textbox").fill("touch two files");
  await question.getByRole("button", { name: texts.send, exact: true }).click();
  await world.wait(terminal, "touch two files");
  await expect(timeline).toContainText("It is made.");
  await expect(page.getByRole("combobox", { name: texts.mode })).toHaveValue("plan");
  expect(await world.read("done")).toBeNull();
});
