import { texts } from "../../src/app/texts";
import { expect, installed, phone, responses, say, test, think, tool, waitFor } from "./world";

const model = responses({
  everything: [
    { steps: [think("Where to begin?"), say("I begin."), waitFor("go-on")].concat(touch("one")) },
    { steps: [tool("ask_user", { question: "Which tests?", choices: ["All", "None"] })] },
    { steps: [say("That was it.")] },
  ],
  after: [{ steps: [say("After all of it.")] }],
  change: [
    { steps: [tool("edit", { path: "greeting.txt", old: "Helo", new: "Hello" })] },
    { steps: [say("Changed.")] },
  ],
});

function touch(file: string) {
  return [tool("shell", { command: `echo once >> ${file}` })];
}

test("a reload in the middle of everything loses nothing and doubles nothing", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("do everything");
  await world.pair(page, session);
  const { button, field, permission, prompts, question, send, state, tap, timeline, type } =
    phone(page);

  // While the agent works, with a message that waits to join and one that waits for the end.
  await expect(timeline).toContainText("I begin.");
  await send("also this", texts.sendSteer);
  await send("after that", texts.sendQueue);
  await type("half a tho");
  const waiting = page.getByRole("listitem");
  await expect(waiting).toHaveCount(2);
  await page.reload();
  await expect(waiting).toHaveCount(2);
  await expect(field).toHaveValue("half a tho");
  await expect(timeline).toContainText("I begin.");
  await expect(state).toHaveText(texts.states.working!);

  // While a permission waits, and in the very moment of the tap.
  await world.write("go-on", "");
  await expect(permission).toContainText("echo once");
  await page.reload();
  await expect(permission).toContainText("echo once");
  await tap(permission.getByText("Yes, once"), () => permission.isHidden());
  await page.reload();
  await expect(question).toContainText("Which tests?");
  await expect(permission).toBeHidden();
  expect(await world.read("one")).toBe("once\n");

  // While a question waits, and in the moment of its answer.
  await page.reload();
  await tap(question.getByRole("button", { name: "All" }), () => question.isHidden());
  await page.reload();
  await expect(timeline).toContainText("That was it.");
  await expect(timeline.getByText("also this", { exact: true })).toHaveCount(1);
  await expect(timeline).toContainText("After all of it.");
  await expect(prompts("after that")).toHaveCount(1);
  await expect(waiting).toHaveCount(0);
  await expect(field).toHaveValue("half a tho");

  // Right after a prompt was sent.
  await field.fill("after a reload");
  await tap(button(texts.sendPrompt), () => prompts("after a reload").isVisible());
  await page.reload();
  await expect(prompts("after a reload")).toHaveCount(1);
  await expect(timeline.getByText("After all of it.")).toHaveCount(2);
  await page.reload();
  await expect(timeline.getByText("After all of it.")).toHaveCount(2);
  await expect(prompts("after a reload")).toHaveCount(1);
});

test("a change that waits is read again after a reload, and not allowed before it is there", async ({
  page,
  start,
}) => {
  const world = await start(model);
  await world.write("greeting.txt", "Helo\n");
  const { session } = await world.begin("change it");
  await world.pair(page, session);
  const { permission, timeline } = phone(page);
  const once = permission.getByRole("button", { name: "Yes, once" });
  const deny = permission.getByRole("button", { name: "No", exact: true });
  await expect(permission.locator("pre .added")).toHaveText("+ Hello");
  await expect(once).toHaveAttribute("aria-disabled", "false");
  await page.evaluate(installed);

  // From what this device remembers, without anybody to ask for the change.
  await world.stopRelay();
  await page.reload();
  await expect(permission).toContainText("greeting.txt");
  await expect(permission).toContainText(texts.unseen);
  await expect(once).toHaveAttribute("aria-disabled", "true");
  await expect(deny).toHaveAttribute("aria-disabled", "false");
  await once.click({ force: true });
  await expect(page.getByText(texts.tapQueued)).toBeHidden();

  await world.startRelay();
  await expect(permission.locator("pre .added")).toHaveText("+ Hello");
  await page.reload();
  await expect(permission.locator("pre .added")).toHaveText("+ Hello");
  await once.click();
  await expect(timeline).toContainText("Changed.");
  expect(await world.read("greeting.txt")).toBe("Hello\n");
});
