import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test, tool } from "./world";
import { longestTask } from "./busy";

const LINES = 20_000;
/** All lines are made a part at a time, which may take; nothing else may. */
const ALL_MADE = { timeout: 60_000 };
const lines = (word: string) =>
  Array.from({ length: LINES }, (_, i) => `${word} of line ${i + 1}`).join("\n") + "\n";
/** 50 kB that a person must be able to read to the end. */
const COMMAND = `cat > /dev/null <<'END'\n${"a line of what goes in\n".repeat(2_200)}END\ntouch the-end`;

test("a diff of 20,000 lines and a command of 50 kB are shown in full, and the page stays usable", async ({
  page,
  browser,
  start,
}) => {
  const world = await start(
    scenario({
      big: [
        tool("shell", { command: COMMAND }),
        tool("create", { path: "big.txt", content: lines("one") }),
        say("Made."),
        tool("edit", { path: "big.txt", old: lines("one"), new: lines("two") }),
        say("Changed."),
      ],
    }),
  );
  const { terminal, session } = await world.begin("make it big");
  await world.pair(page, session);
  const { approve, field, permission, timeline } = phone(page);
  const first = permission.getByText("Yes, once");
  const last = permission.locator("pre span.added").last();

  const longest = await longestTask(browser, page, async () => {
    await expect(permission).toContainText("a line of what goes in");
    await expect(permission).toContainText("touch the-end");
    await expect(first).toBeInViewport({ ratio: 1 });
    await approve();

    await expect(permission).toContainText("one of line 1");
    await expect(permission).toContainText(`+${LINES}`);
    await expect(first).toBeInViewport({ ratio: 1 });
    // All of it, as far as a phone can be expected to show unasked.
    await expect(last).toHaveText(`+ one of line ${LINES}`, ALL_MADE);
    await last.scrollIntoViewIfNeeded();
    await field.fill("the page answers");
    await expect(field).toHaveValue("the page answers");
    await approve();
    await expect(timeline).toContainText("Made.");

    await expect(permission).toContainText(`+${LINES}-${LINES}`);
    await permission.getByText(texts.showDiff(2 * LINES)).click();
    await expect(last).toHaveText(`+ two of line ${LINES}`, ALL_MADE);
    await last.scrollIntoViewIfNeeded();
    await approve();
    await expect(timeline).toContainText("Changed.");
    await world.wait(terminal, "Changed.");
    expect(await world.read("big.txt")).toBe(lines("two"));

    // The change can be looked at afterwards, and the page can be loaded with all of it.
    await timeline.locator(".call summary").last().click();
    await expect(timeline).toContainText("one of line 1");
    await page.reload();
    await expect(timeline).toContainText("Changed.");
  });
  expect(longest).toBeLessThan(1_000);
});
