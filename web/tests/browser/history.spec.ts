import { texts } from "../../src/app/texts";
import { expect, phone, say, scenario, test, tool } from "./world";

// Playwright switches the back and forward cache off; people have it.
test.use({
  launchOptions: async ({ launchOptions }, use) => {
    await use({ ...launchOptions, ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  },
});

const model = scenario({
  hello: [say("Hello to you.")],
  ask: [tool("shell", { command: "touch asked" }), say("Asked.")],
});

test("a page that one comes back to is up to date and works", async ({ page, start }) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { approve, button, permission, timeline } = phone(page);
  await expect(timeline).toContainText("Hello to you.");

  // A page that a worker takes over meanwhile is not kept.
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await page.evaluate(() => {
    addEventListener("pageshow", ({ persisted }: Event & { persisted?: boolean }) => {
      document.body.dataset.persisted = String(persisted);
    });
  });
  await page.goto(`${world.url}/icon.svg`);
  await world.keys(terminal, "ask me\r");
  await world.wait(terminal, "touch asked");
  await page.goBack({ waitUntil: "commit" });
  await expect.poll(() => page.evaluate(() => document.body.dataset.persisted)).toBe("true");
  await expect(permission).toContainText("touch asked");
  await approve();
  await expect(timeline).toContainText("Asked.");

  // Away and back within the page.
  await button(texts.back).click();
  const link = page.getByRole("navigation").getByRole("link");
  await link.click();
  await expect(timeline).toContainText("Asked.");
  await page.evaluate(() => history.back());
  await expect(link).toBeVisible();
  await page.evaluate(() => history.forward());
  await expect(timeline).toContainText("Asked.");
});

test("a page that slept knows what it missed as soon as it is looked at", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { terminal, session } = await world.begin("hello");
  await world.pair(page, session);
  const { permission, timeline } = phone(page);
  await expect(timeline).toContainText("Hello to you.");

  // As a phone does it: no timer runs, and the socket dies without a word.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  await world.stopRelay();
  await world.startRelay();
  await world.keys(terminal, "ask me\r");
  await world.wait(terminal, "touch asked");
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await expect(permission).toContainText("touch asked");
});
