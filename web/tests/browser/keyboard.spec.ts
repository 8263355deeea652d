import type { Locator, Page } from "@playwright/test";
import { expect, say, scenario, test, tool, waitFor } from "./world";

// A keyboard is at a desk: there Enter sends, and nothing is touched.
test.use({ hasTouch: false, isMobile: false });

const model = scenario({
  "fix the typo": [
    tool("shell", { command: "touch made-it" }),
    tool("shell", { command: "touch unwanted" }),
    tool("ask_user", { question: "Which tests?", choices: ["All", "None"] }),
    tool("ask_user", { question: "Which systems?", choices: ["Linux", "macOS"], multiple: true }),
    say("Everything is done."),
  ],
  "plan it": [tool("exit_plan_mode", { plan: "# The plan\n\n1. Look" }), say("Carried out.")],
  "take long": [
    { write_file: "long" },
    waitFor("go"),
    tool("shell", { command: "echo on the way" }),
    { write_file: "longer" },
    waitFor("never"),
  ],
  "second thing": [say("The second thing is done.")],
});

/** Goes on with Tab until something has the focus, as a person does. */
async function reach(page: Page, target: Locator): Promise<void> {
  await expect(target).toBeVisible();
  const has = () => target.evaluate((element) => element === document.activeElement);
  for (let steps = 0; steps < 60; steps += 1) {
    if (await has()) {
      const outline = await target.evaluate((element) => {
        const own = getComputedStyle(element).outlineStyle;
        // The text field is marked by the frame around it.
        return element.matches("textarea") ? "frame" : own;
      });
      expect(outline, "the focus can be seen").not.toBe("none");
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab does not lead to ${target}`);
}

async function press(page: Page, target: Locator, key = "Enter"): Promise<void> {
  await reach(page, target);
  // What comes right after a tap takes no yes at first.
  await expect(target).toBeEnabled();
  await page.keyboard.press(key);
}

/** Whatever went away, the focus is somewhere. */
const kept = (page: Page) =>
  expect
    .poll(() => page.evaluate(() => document.activeElement?.tagName), "the focus is not lost")
    .not.toBe("BODY");

const button = (page: Page, name: string | RegExp) =>
  page.getByRole("button", { name, exact: typeof name === "string" });

test("everything is done with a keyboard alone", async ({ page, start }) => {
  const world = await start(model);
  const { session } = await world.begin("fix the typo");

  // Pairs.
  const { pairing, link } = await world.pairing(session);
  await page.goto(link);
  await reach(page, page.getByLabel("Name of this device"));
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("Ada's desk");
  await page.keyboard.press("Enter");
  const code = page.getByTestId("pairing-code");
  await world.code(pairing, (await code.innerText()).replace(/\s/g, ""));

  // Approves, and denies with words.
  const permission = page.getByTestId("permission");
  await expect(permission).toContainText("touch made-it");
  await press(page, permission.getByRole("button", { name: "Yes, once" }));
  await expect(permission).toContainText("touch unwanted");
  await kept(page);
  await press(page, permission.getByRole("button", { name: /tell the agent/ }));
  await expect(permission.getByRole("textbox")).toBeFocused();
  await page.keyboard.type("leave it");
  await press(page, permission.getByRole("button", { name: "Deny and say this" }));

  // Answers: one choice, several.
  const question = page.getByTestId("question");
  await expect(question).toContainText("Which tests?");
  await kept(page);
  await press(page, question.getByRole("button", { name: "None" }));
  await expect(question).toContainText("Which systems?");
  await kept(page);
  await press(page, question.getByRole("checkbox", { name: "macOS" }), "Space");
  await press(page, question.getByRole("button", { name: "Send" }));
  await expect(page.getByText("Everything is done.")).toBeVisible();
  await kept(page);
  expect(await world.read("made-it")).toBe("");
  expect(await world.read("unwanted")).toBeNull();

  // Switches the mode, prompts, accepts a plan.
  const mode = page.getByLabel("Mode");
  await press(page, mode, "P");
  await expect(mode).toHaveValue("plan");
  const text = page.getByRole("textbox", { name: "Message" });
  await reach(page, text);
  await page.keyboard.type("plan it");
  await page.keyboard.press("Enter");
  await expect(question).toContainText("The plan");
  await press(page, question.getByRole("button", { name: "Accept, and go on interactively" }));
  await expect(page.getByText("Carried out.")).toBeVisible();
  await expect(mode).toHaveValue("interactive");
  await kept(page);

  // Queues, takes back, steers, cancels.
  await reach(page, text);
  await page.keyboard.type("take long");
  await page.keyboard.press("Enter");
  const steer = page.getByRole("textbox", { name: "Steer this turn" });
  await reach(page, steer);
  await page.keyboard.type("second thing");
  await press(page, button(page, "Queue"));
  await expect(page.getByText("Queued")).toBeVisible();
  await kept(page);
  await press(page, button(page, "Take back"));
  await expect(page.getByText("Queued")).toBeHidden();
  await expect(steer).toHaveValue("second thing");
  await expect(steer).toBeFocused();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("mind the gap");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Delivered, joins this turn")).toBeVisible();
  await world.write("go", "");
  await expect(page.getByText("Delivered, joins this turn")).toBeHidden();
  await press(page, button(page, "Stop"));
  await expect(page.getByText("Cancelled", { exact: true })).toBeVisible();
  await expect(page.getByTestId("session-state")).toHaveText("Idle");
  await kept(page);

  // Renames, and goes back to the list.
  await press(page, button(page, /Details/));
  await reach(page, page.getByLabel("Name of the session"));
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("The typo");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "The typo" })).toBeVisible();
  await press(page, button(page, "Back"));
  const list = page.getByRole("navigation");
  await expect(page.getByRole("heading", { level: 1, name: "Sessions" })).toBeFocused();

  // Starts another one.
  await press(page, button(page, "New session"));
  await reach(page, page.getByLabel("What should be done?"));
  await page.keyboard.type("second thing");
  await press(page, button(page, "Start"));
  await expect(page.getByText("The second thing is done.")).toBeVisible();
  await press(page, button(page, "Back"));
  await press(page, list.getByRole("link", { name: /The typo/ }));
  await expect(page.getByText("Everything is done.")).toBeVisible();

  // Forgets this device.
  await press(page, button(page, "Back"));
  await press(page, button(page, "Settings"));
  await press(page, button(page, "Forget this device"));
  await press(page, button(page, "Forget this device"));
  await expect(page.getByRole("heading", { name: "Your sessions, in your pocket" })).toBeVisible();
});

test("scrolling and unfolding need no pointer", async ({ page, start }) => {
  const world = await start(
    scenario({
      long: [
        { think: "Deep thoughts." },
        say("```\ncode\n```\n\n"),
        { say: "A line of many.\n\n", repeat: 80 },
        say("The end."),
      ],
    }),
  );
  const { session } = await world.begin("be long");
  await world.pair(page, session);
  const log = page.getByRole("log");
  await expect(log.getByText("The end.")).toBeInViewport();
  await reach(page, log);
  await page.keyboard.press("Home");
  await expect(log.getByText("The end.")).not.toBeInViewport();
  await reach(page, log.locator("summary").first());
  await expect(log.getByText("Deep thoughts.")).toBeHidden();
  await page.keyboard.press("Enter");
  await expect(log.getByText("Deep thoughts.")).toBeVisible();
  await press(page, button(page, "Go to the end"));
  await expect(log.getByText("The end.")).toBeInViewport();
  await kept(page);
});
