import { texts } from "../../src/app/texts";
import { longestTask } from "./busy";
import { expect, phone, test } from "./world";

/**
 * Turns that autopilot makes by itself, which is how a daemon's store is filled fastest. All 5,000
 * take minutes; the ordinary run looks at fewer.
 */
const LONG = process.env.COPILOT_TEST_LONG === "1";
const PROMPTS = LONG ? 5 : 1;
const TURNS_OF_A_PROMPT = LONG ? 1_000 : 200;
const TURNS = PROMPTS * TURNS_OF_A_PROMPT;

test.setTimeout(LONG ? 1_800_000 : 120_000);

test(`a session of ${TURNS} turns is there at once, and older turns come when they are asked for`, async ({
  page,
  browser,
  start,
}) => {
  const world = await start({
    prompts: [],
    fallback: [{ steps: [{ say: "A **turn** with a `word` of code." }] }],
  });
  await world.settings({ autopilot: { maxContinuations: TURNS_OF_A_PROMPT - 1 } });
  const { terminal, session } = await world.begin("go 1", "--mode", "autopilot");
  // What the terminal shows of the end of one prompt is there while the next one runs.
  const state = async () => {
    const { stdout } = await world.copilot("sessions", "list", "--json");
    return (JSON.parse(stdout) as { state: string }[])[0]?.state;
  };
  for (let prompt = 1; prompt <= PROMPTS; prompt += 1) {
    if (prompt > 1) await world.keys(terminal, `go ${prompt}\r`);
    await expect.poll(state).toBe("working");
    await expect.poll(state, { timeout: LONG ? 300_000 : 90_000 }).toBe("idle");
  }
  const { stdout } = await world.copilot("sessions", "export", session, "--format", "json");
  expect((JSON.parse(stdout) as { turns: unknown[] }).turns).toHaveLength(TURNS);

  const longest = await longestTask(browser, page, async () => {
    await world.pair(page, session);
    const { button, field, send, timeline } = phone(page);
    const shown = timeline.getByRole("article");
    await expect(shown.last()).toContainText("A turn with a word of code.");
    const first = await shown.count();
    expect(first).toBeLessThan(50);

    // Older ones on demand, without a jump of what one reads.
    for (let page = 1; page <= 3; page += 1) {
      const before = await shown.count();
      await button(texts.olderTurns).click();
      await expect.poll(() => shown.count()).toBeGreaterThan(before);
    }
    await send("one more");
    await expect(timeline.getByText("one more")).toBeVisible();
    await field.fill("half a tho");
    await expect.poll(() => page.evaluate(drafts)).toBe(1);

    // From what this device remembers, and from the machine again.
    await page.reload();
    await expect(field).toHaveValue("half a tho");
    await expect(shown.last()).toContainText("A turn with a word of code.");
    // Not all of them; how many more the session makes by itself meanwhile is not known.
    await expect(button(texts.olderTurns)).toBeVisible();
  });
  expect(longest).toBeLessThan(1_000);
});

/** How many drafts this device keeps: the page is busy, and keeps what is typed when it can. */
async function drafts(): Promise<number> {
  const [{ name } = {}] = await indexedDB.databases();
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(name!);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
  return new Promise((resolve, reject) => {
    const request = db.transaction("drafts").objectStore("drafts").count();
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
    db.close();
  });
}
