import { longestTask } from "./busy";
import { HUGE } from "./payloads";
import { expect, phone, say, scenario, test, tool } from "./world";

// The agent says megabytes, piece by piece.
const LONG = process.env.COPILOT_TEST_LONG === "1";
test.setTimeout(LONG ? 600_000 : 120_000);
const PATIENCE = { timeout: LONG ? 500_000 : 90_000 };

const LINE = "one endless line";
const { [LINE]: line, ...nested } = HUGE;

for (const [what, texts] of Object.entries({ [LINE]: [line!], nested: Object.values(nested) })) {
  test(`huge text keeps nobody from using the page: ${what}`, async ({ page, browser, start }) => {
    const steps = texts.flatMap((text, i) => [
      say(text),
      tool("update_todo", { items: [{ content: `part ${i}`, status: "completed" }] }),
    ]);
    const model = scenario({ hello: [say("Hello.")], huge: [...steps, say("All is said.")] });
    const world = await start(model);
    const { session } = await world.begin("hello");
    await world.pair(page, session);
    const { field, send, timeline } = phone(page);
    const streaming = await longestTask(browser, page, async () => {
      await send("huge");
      // Typing goes on while all of it streams in.
      await field.pressSequentially("one can type ");
      await expect(timeline.getByText("All is said.")).toBeAttached(PATIENCE);
      await expect(field).toHaveValue("one can type ");
    });
    expect(streaming).toBeLessThan(1_000);

    // The same when all of it comes at once.
    const atOnce = await longestTask(browser, page, async () => {
      await page.reload();
      await expect(timeline.getByText("All is said.")).toBeAttached();
      await field.pressSequentially("and read");
      await expect(field).toHaveValue("one can type and read");
      await timeline.evaluate((element) => element.scrollTo(0, 0));
      await expect(timeline.locator(".prompt").first()).toBeInViewport();
    });
    expect(atOnce).toBeLessThan(1_000);
  });
}
