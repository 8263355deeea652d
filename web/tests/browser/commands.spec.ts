import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test } from "./world";

const model = scenario({ hello: [say("Hello.")], "/bin": [say("That is for the agent.")] });

test("commands are offered, picked and carried out", async ({ page, start }) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { button, field, state, timeline } = phone(page);
  await expect(state).toHaveText(texts.states.idle!);

  // One thumb: the button, what is offered, what follows it.
  await button(texts.commands).click();
  const offered = page.getByRole("listbox", { name: texts.commands });
  await expect(offered.getByRole("option", { name: /^\/mode NAME/ })).toBeVisible();
  const undo = offered.getByRole("option", { name: /^\/undo/ });
  await expect(undo).toHaveAttribute("aria-disabled", "true");
  await expect(undo).toContainText("works only at the machine itself");
  // It cannot be chosen by force either.
  await undo.click({ force: true });
  await expect(field).toHaveValue("/");
  await offered.getByRole("option", { name: /^\/rename TITLE/ }).click();
  await expect(field).toHaveValue("/rename ");
  await expect(field).toBeFocused();
  await field.pressSequentially("A better name");
  await expect(offered).toBeHidden();
  await button(texts.sendPrompt).click();
  await expect(page.getByRole("heading", { level: 1, name: "A better name" })).toBeVisible();
  await world.wait(terminal, "A better name");

  // A keyboard: what fits, up and down, Escape, Enter.
  await field.pressSequentially("/");
  const marked = offered.getByRole("option", { selected: true });
  const first = await marked.textContent();
  await field.press("ArrowDown");
  await expect(marked).not.toHaveText(first!);
  await field.press("ArrowUp");
  await expect(marked).toHaveText(first!);
  // In the list itself the keys mean the same.
  await field.press("Shift+Tab");
  await expect(offered).toBeFocused();
  await offered.press("ArrowDown");
  await expect(marked).not.toHaveText(first!);
  await offered.press("Escape");
  await expect(offered).toBeHidden();
  await expect(field).toBeFocused();
  await field.fill("/mo");
  await expect(offered.getByRole("option")).toHaveCount(1);
  await field.press("Enter");
  await expect(field).toHaveValue("/mode ");
  // Only the first word is a command.
  await field.pressSequentially("plan");
  await expect(offered).toBeHidden();
  await button(texts.sendPrompt).click();
  await expect(page.getByLabel("Mode")).toHaveValue("plan");

  await field.fill("/ren");
  await expect(marked).toContainText("/rename");
  await field.press("Tab");
  await expect(field).toHaveValue("/rename ");

  // What nobody offers is for the agent, and more than one line is no command.
  await field.fill("/bin does what?");
  await expect(offered).toBeHidden();
  await button(texts.sendPrompt).click();
  await expect(timeline).toContainText("That is for the agent.");
  await field.fill("/mode\nplan");
  await expect(offered).toBeHidden();
});
