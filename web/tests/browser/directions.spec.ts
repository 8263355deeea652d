import { texts } from "../../src/app/texts";
import { EMOJI, RTL } from "./looks";
import { expect, phone, say, scenario, test, waitFor } from "./world";

const model = scenario({
  talk: [say(`${RTL}\n\n${EMOJI}\n\n> ${RTL}\n\n- ${EMOJI} ${RTL}`), waitFor("never-comes")],
});

test("right-to-left text and emoji are whole and in their direction; motion stops when it is asked to", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin(`talk ${RTL} ${EMOJI}`);
  await world.pair(page, session);
  const { field, timeline, send } = phone(page);
  const said = timeline.locator(".markdown").first();
  await expect(said).toContainText(RTL);
  await expect(said).toContainText(EMOJI);
  await expect(timeline.locator(".prompt").first()).toContainText(`talk ${RTL} ${EMOJI}`);
  await expect(said).toHaveCSS("direction", "rtl");
  expect(await page.evaluate(() => document.body.innerText)).not.toContain("⟨U+");

  // What a person types reads from the right as well, and arrives as it was typed.
  await field.fill(RTL);
  await expect(field).toHaveCSS("direction", "rtl");
  await send(`${RTL} ${EMOJI}`, texts.sendQueue);
  await expect(page.getByRole("listitem").filter({ hasText: texts.queued })).toContainText(EMOJI);
  await world.wait(terminal, "שלום");

  // A command is no prose: what could make it look like another one is marked.
  const running = () => document.getAnimations().filter((a) => a.playState === "running").length;
  const list = async () => {
    await page.goto(`${world.url}/`);
    await expect(page.getByText(texts.states.working!)).toBeVisible();
  };
  await list();
  await expect.poll(() => page.evaluate(running)).toBeGreaterThan(0);
  await page.emulateMedia({ reducedMotion: "reduce" });
  await expect.poll(() => page.evaluate(running)).toBe(0);
  await page.goBack();
  await expect(timeline).toContainText(EMOJI);
  expect(await page.evaluate(running)).toBe(0);
});
