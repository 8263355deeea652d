import { look, model } from "./looks";
import { test } from "./world";

/** CSS pixels; a zoom of 200 % halves them. */
const SIZES = [
  { what: "320 px wide", width: 320, height: 568 },
  { what: "1,600 px wide", width: 1600, height: 900 },
  { what: "1,280 × 900 at a zoom of 200 %", width: 640, height: 450, deviceScaleFactor: 2 },
];

for (const { what, width, height, deviceScaleFactor = 1 } of SIZES) {
  test.describe(what, () => {
    test.use({
      viewport: { width, height },
      deviceScaleFactor,
      isMobile: width < 600,
      hasTouch: width < 600,
    });
    test("nothing is cut and nothing scrolls sideways", async ({ page, start }) => {
      const world = await start(model);
      const { session } = await world.begin("everything");
      await world.pair(page, session);
      await look(page, world, session);
    });
  });
}
