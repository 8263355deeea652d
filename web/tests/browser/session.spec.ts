import { expect, phone, say, scenario, test, tool } from "./world";

const model = scenario({
  typo: [
    say("I will look at **the folder**."),
    tool("shell", { command: "touch made-it" }),
    tool("ask_user", { question: "Which tests?", choices: ["All", "None"] }),
    say("Everything is done."),
  ],
  more: [say("Here is more.")],
});

test("a permission and a question are answered on the phone, and a prompt is sent", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("fix the typo");
  await world.pair(page, session);

  const permission = page.getByTestId("permission");
  await expect(permission).toContainText("touch made-it");
  await permission.getByRole("button").first().click();

  const question = page.getByTestId("question");
  await expect(question).toContainText("Which tests?");
  await question.getByRole("button", { name: "All" }).click();
  await expect(page.getByText("Everything is done.")).toBeVisible();
  await world.wait(terminal, "Everything is done.");
  expect(await world.read("made-it")).toBe("");

  await page.getByRole("textbox").fill("more please");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByText("Here is more.")).toBeVisible();
  await world.wait(terminal, "Here is more.");
});

test("what the terminal answers is gone from the phone", async ({ page, start }) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("fix the typo");
  await world.pair(page, session);
  await expect(page.getByTestId("permission")).toBeVisible();
  await world.wait(terminal, "touch made-it");
  await world.keys(terminal, "1");
  await expect(page.getByTestId("permission")).toBeHidden();
  await expect(page.getByTestId("question")).toBeVisible();
});

test("a reload keeps what was typed, and shows the session again", async ({ page, start }) => {
  const world = await start(model);
  const { session } = await world.begin("fix the typo");
  await world.pair(page, session);
  await phone(page).type("half a tho");
  await expect(page.getByTestId("permission")).toBeVisible();
  await page.reload();
  await expect(page.getByRole("textbox")).toHaveValue("half a tho");
  await expect(page.getByTestId("permission")).toContainText("touch made-it");
});

test("a relay that goes away is named, and what was tapped meanwhile counts", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("fix the typo");
  await world.pair(page, session);
  await expect(page.getByTestId("permission")).toBeVisible();
  await world.stopRelay();
  await expect(page.getByRole("region").getByText("cannot be reached since")).toBeVisible();
  await page.getByTestId("permission").getByRole("button").first().click();
  await expect(page.getByText("Will be sent when the machine is back")).toBeVisible();
  await world.startRelay();
  await expect(page.getByTestId("question")).toBeVisible();
});
