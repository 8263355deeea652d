import { look, model } from "./looks";
import { expect, test } from "./world";

// The size that a person chose for letters in the browser.
test.use({
  launchOptions: async ({ launchOptions }, use) => {
    const args = [...(launchOptions.args ?? []), "--blink-settings=defaultFontSize=32"];
    await use({ ...launchOptions, args });
  },
});

test("letters of twice the size are shown on a phone, and nothing is cut", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("everything");
  await world.pair(page, session);
  const size = () => parseFloat(getComputedStyle(document.body).fontSize);
  expect(await page.evaluate(size)).toBe(32);
  await look(page, world, session);
});
