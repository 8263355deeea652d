/**
 * What a person feels on the phone, in real Chromium over the real parts: `cargo xtask bench page`.
 *
 * Two clocks are compared, that of the browser and that of this program. Both count from the same
 * clock of this machine; how far they are apart is measured and printed first. A browser tells
 * time in steps of 0.1 ms.
 */

import { watch as watchFolder } from "node:fs";
import { gzipSync } from "node:zlib";
import type { BrowserContext, Page } from "@playwright/test";
import { expect, say, scenario, test, tool, type World } from "../browser/world";
import { few, figure, kb, ms, times, title } from "./figures";
import { Local, now } from "./local";

/** A session on a paired page, and a client beside the daemon that follows it too. */
async function watched(page: Page, world: World, prompt: string) {
  const { session } = await world.begin(prompt);
  await world.pair(page, session);
  await expect(page.getByTestId("session-state")).toHaveText("Idle");
  const { stdout } = await world.copilot("daemon", "status", "--json");
  const { socket } = JSON.parse(stdout) as { socket: string };
  return { session, local: await Local.attach(socket, session) };
}

/**
 * Notes in the page when each of some texts first came into the DOM, in their order. A mutation
 * observer runs in the same task as the change, before anything is drawn.
 */
async function note(page: Page, where: string, texts: string[]): Promise<() => Promise<number[]>> {
  await page.evaluate(
    ([where, texts]) => {
      const times: number[] = [];
      const look = () => {
        const found = [...document.querySelectorAll(where)].map((element) => element.textContent);
        while (
          times.length < texts.length &&
          found.some((t) => t!.includes(texts[times.length]!))
        ) {
          times.push(performance.timeOrigin + performance.now());
        }
      };
      const observer = new MutationObserver(look);
      observer.observe(document.body, { childList: true, characterData: true, subtree: true });
      Object.assign(window, { noted: times });
    },
    [where, texts] as const,
  );
  return async () => {
    await page.waitForFunction(
      (count) => (window as unknown as { noted: number[] }).noted.length >= count,
      texts.length,
      { timeout: 300_000 },
    );
    return page.evaluate(() => (window as unknown as { noted: number[] }).noted);
  };
}

test("the clocks", async ({ page }) => {
  let best = { round: Infinity, apart: 0 };
  for (let i = 0; i < 200; i += 1) {
    const before = now();
    const there = await page.evaluate(() => performance.timeOrigin + performance.now());
    const after = now();
    if (after - before < best.round) {
      best = { round: after - before, apart: there - (before + after) / 2 };
    }
  }
  title("clocks");
  figure(
    "browser and measuring program apart",
    `${ms(best.apart)}, give or take ${ms(best.round / 2)}`,
  );
});

test("an action in the daemon until the DOM has changed", async ({ page, start }) => {
  const words = Array.from({ length: 400 }, (_, i) => `w${i}.`);
  const world = await start({
    ...scenario({ hello: [say("Hello.")], talk: [say(words.join(" "))] }),
    pace_ms: 25,
  });
  const { session, local } = await watched(page, world, "hello");
  title("action in the daemon → change in the DOM");

  const shown = await note(page, ".markdown", words);
  const begin = local.seen.length;
  const turn = local.prompt(session, "talk");
  await local.until(({ action }) => action.type === "chat/turnComplete" && action.turnId === turn);
  const inDom = await shown();
  // When each word was complete in what the daemon published.
  let text = "";
  const published: number[] = [];
  for (const { at, action } of local.seen.slice(begin)) {
    if (action.type === "chat/responsePart") {
      text += (action.part as { content?: string }).content ?? "";
    } else if (action.type === "chat/delta") text += String(action.content);
    while (published.length < words.length && text.includes(words[published.length]!)) {
      published.push(at);
    }
  }
  times(
    "a word of a text that streams in, 40 a second",
    inDom.map((at, i) => at - published[i]!),
  );

  const titles = Array.from({ length: 300 }, (_, i) => `Title number ${i}.`);
  const named = await note(page, "h1", titles);
  const echoed: number[] = [];
  for (const wanted of titles) {
    const after = local.seen.length;
    local.dispatch(`ahp-session:/${session}`, { type: "session/titleChanged", title: wanted });
    echoed.push((await local.until(({ action }) => action.title === wanted, after)).at);
    await page.waitForFunction(
      (wanted) => [...document.querySelectorAll("h1")].some((h) => h.textContent.trim() === wanted),
      wanted,
    );
  }
  times(
    "a new title of a session",
    (await named()).map((at, i) => at - echoed[i]!),
  );
  local.end();
});

test("a tap on Approve until the agent goes on", async ({ page, start }) => {
  const rounds = 100;
  const calls = Array.from({ length: rounds }, (_, i) =>
    tool("create", { path: `file-${i}`, content: "" }),
  );
  const world = await start(scenario({ hello: [say("Hello.")], work: [...calls, say("Done.")] }));
  const { session, local } = await watched(page, world, "hello");
  title("tap on Approve → the agent goes on");
  await page.evaluate(() => {
    const taps: [number, number][] = [];
    // When the finger left the screen, and when the browser told the page: it waits for a frame.
    const heard = (event: MouseEvent) =>
      taps.push([
        performance.timeOrigin + event.timeStamp,
        performance.timeOrigin + performance.now(),
      ]);
    addEventListener("click", heard, true);
    Object.assign(window, { taps });
  });
  // What the agent does next: it makes the file, beside its place at first.
  const { stdout } = await world.copilot("sessions", "list", "--json");
  const [listed] = JSON.parse(stdout) as { folder: string }[];
  const begun = new Map<string, number>();
  const watching = watchFolder(listed!.folder, (_, name) => {
    const file = name?.match(/^\.?(file-\d+)(?:\.|$)/)?.[1];
    if (file !== undefined && !begun.has(file)) begun.set(file, now());
  });
  local.prompt(session, "work");
  const confirmed: number[] = [];
  const written: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const card = page.getByTestId("permission").filter({ hasText: `file-${round}` });
    const after = local.seen.length;
    await card.getByRole("button").first().tap();
    confirmed.push(
      (await local.until(({ action }) => action.type === "chat/toolCallConfirmed", after)).at,
    );
    written.push(
      (await local.until(({ action }) => action.type === "chat/toolCallComplete", after)).at,
    );
  }
  watching.close();
  const goesOn = Array.from({ length: rounds }, (_, i) => begun.get(`file-${i}`)!);
  const taps = await page.evaluate(() => (window as unknown as { taps: [number, number][] }).taps);
  const since = (which: 0 | 1, ends: number[]) => taps.map((tap, i) => ends[i]! - tap[which]);
  times(
    "from the finger to the page, in the browser",
    taps.map(([finger, page]) => page - finger),
  );
  times("from the page until the daemon has taken the answer", since(1, confirmed));
  times("from the page until the agent goes on", since(1, goesOn));
  times("from the finger until the agent goes on", since(0, goesOn));
  times("from the page until the agent has written the file and says so", since(1, written));
  local.end();
});

/** When a page was first painted, and when it showed this text. */
async function paints(context: BrowserContext, url: string, text: string, slow = false) {
  const page = await context.newPage();
  if (slow) {
    const devtools = await context.newCDPSession(page);
    await devtools.send("Emulation.setCPUThrottlingRate", { rate: 4 });
    await devtools.send("Network.emulateNetworkConditions", {
      offline: false,
      latency: 150,
      downloadThroughput: (1.6 * 1024 * 1024) / 8,
      uploadThroughput: (750 * 1024) / 8,
    });
  }
  await page.addInitScript((text) => {
    const shown = new Promise<number>((resolve) => {
      const look = () => {
        if (!document.body?.textContent.includes(text)) return;
        observer.disconnect();
        // The frame after the one that draws it begins when that one is done.
        requestAnimationFrame(() => requestAnimationFrame((time) => resolve(time)));
      };
      const observer = new MutationObserver(look);
      observer.observe(document, { childList: true, characterData: true, subtree: true });
    });
    Object.assign(window, { shown });
  }, text);
  await page.goto(url);
  const shown = await page.evaluate(() => (window as unknown as { shown: Promise<number> }).shown);
  // What was painted is told a little later.
  const first = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        new PerformanceObserver((list) => {
          const paint = list.getEntriesByName("first-contentful-paint")[0];
          if (paint) resolve(paint.startTime);
        }).observe({ type: "paint", buffered: true });
      }),
  );
  await page.close();
  return { first, shown };
}

test("from opening the page to its first paint", async ({ page, start, browser }) => {
  const rounds = 20;
  const text = "This is what was said last.";
  const world = await start(scenario({ hello: [say(text)] }));
  const { local } = await watched(page, world, "hello");
  local.end();
  await expect(page.getByText(text)).toBeVisible();
  await page.evaluate(() => navigator.serviceWorker.ready);
  // What is shown is kept a second later.
  await page.reload();
  await expect(page.getByText(text)).toBeVisible();
  await page.evaluate(() => caches.keys());
  const url = page.url();
  const context = page.context();
  title("opening the page");

  const measure = async (what: string, round: () => Promise<{ first: number; shown: number }>) => {
    const all = [];
    for (let i = 0; i < rounds; i += 1) all.push(await round());
    few(
      `${what}, first contentful paint`,
      all.map(({ first }) => first),
    );
    few(
      `${what}, what matters is shown`,
      all.map(({ shown }) => shown),
    );
  };
  await measure("a session from the cache", () => paints(context, url, text));
  await world.stopRelay();
  await measure("the same without a relay", () => paints(context, url, text));
  await world.startRelay();

  const fresh = async (slow: boolean) => {
    const context = await browser.newContext();
    const result = await paints(context, world.url, "copilot devices pair", slow);
    await context.close();
    return result;
  };
  await measure("the first visit of a browser", () => fresh(false));
  await measure("the same with a processor 4 times slower, 1.6 Mbit/s and 150 ms", () =>
    fresh(true),
  );
});

test("the size of the page", async ({ start }) => {
  const world = await start(scenario({}));
  const get = async (path: string) =>
    Buffer.from(await (await fetch(new URL(path, world.url))).arrayBuffer());
  const worker = await get("/worker.js");
  // The worker names every file of the page.
  const paths = new Set(worker.toString().match(/\/assets\/[^"'`]+\.js(?=["'`])/g));
  const files = [worker, ...(await Promise.all([...paths].map(get)))];
  const sum = (all: Buffer[]) => all.reduce((bytes, file) => bytes + file.length, 0);
  title("size");
  figure(
    "JavaScript",
    `${kb(sum(files.map((file) => gzipSync(file, { level: 9 }))))} compressed with gzip, ` +
      `${kb(sum(files))} without, ${files.length} files`,
  );
});
