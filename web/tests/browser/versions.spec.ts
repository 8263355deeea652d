import { texts } from "../../src/app/texts";
import { BUILD, NEWER, OtherBuild } from "./build";
import { machineSays, newerRelay, pageSays } from "./newer";
import { expect, installed, phone, say, scenario, test, think, tool } from "./world";

/* eslint-disable @typescript-eslint/no-explicit-any -- Messages of every shape. */

const model = scenario({
  work: [
    think("I think of it."),
    say("I begin."),
    tool("update_todo", { items: [{ content: "Do it", status: "in_progress" }] }),
    tool("shell", { command: "echo once >> counted" }),
    say("It is done."),
  ],
});

test("this page understands a newer machine and a newer relay as far as it goes", async ({
  page,
  context,
  start,
}) => {
  await newerRelay(page);
  await machineSays(context, (message) => {
    if (message.jsonrpc !== "2.0") return;
    const visit = (value: any, key: string) => {
      if (Array.isArray(value)) for (const item of value) visit(item, key);
      else if (value && typeof value === "object") {
        for (const [key, inner] of Object.entries(value)) visit(inner, key);
        if (Array.isArray(value.responseParts)) {
          value.responseParts.unshift({ kind: "hologram", id: "h", depth: 3 });
        }
        if (key === "toolCall" || key === "action" || key === "result") {
          value.content?.push?.({ type: "smell", notes: ["rose"] });
          value.options?.push?.({ id: "allow-for-an-hour", label: "For an hour", kind: "approve" });
        }
        if (Array.isArray(value.enum) && value.enum.includes("autopilot")) value.enum.push("night");
        if (value["copilot.state"] === "idle") value["copilot.state"] = "dreaming";
        // A map of strings stays one.
        if (key !== "values") value.later = { more: [1, { deep: true }] };
      }
    };
    const { action } = message.params ?? {};
    if (action?.type === "chat/reasoning") action.type = "chat/telepathy";
    if (message.method === "root/sessionSummaryChanged") message.method = "root/sessionDreamt";
    visit(message, "");
  });

  const world = await start(model);
  const { session } = await world.begin("the work");
  await world.pair(page, session);
  const { approve, permission, prompts, send, state, timeline } = phone(page);
  await expect(timeline).toContainText("I begin.");
  await expect(permission).toContainText("echo once");
  await permission.getByRole("button", { name: "For an hour" }).click();
  // What this machine does not know after all, it refuses in words; the rest can still be chosen.
  await permission.getByRole("button", { name: texts.dismiss }).click();
  await approve();
  await expect(timeline).toContainText("It is done.");
  await expect(state).toHaveText("dreaming");
  await expect(page.getByText(texts.todos(0, 1, undefined))).toBeVisible();

  await page.reload();
  await expect(timeline).toContainText("It is done.");
  await send("the work again");
  await approve();
  await expect(timeline.getByText("It is done.")).toHaveCount(2);
  await expect(prompts("the work again")).toHaveCount(1);
  expect(await world.read("counted")).toBe("once\nonce\n");
});

test("a newer page is understood by this machine, which refuses in words what it does not know", async ({
  page,
  context,
  start,
}) => {
  await pageSays(context, (message) => {
    if (Array.isArray(message.protocols)) message.protocols.unshift(7);
    if (message.jsonrpc !== "2.0") return;
    if (message.method === "initialize") message.params.protocolVersions.unshift("3.0.0");
    message.params.later = { x: 1 };
    const { action } = message.params;
    if (action) action.later = true;
    if (action?.kind === "queued") action.type = "chat/telepathy";
  });
  const world = await start(model);
  const { session } = await world.begin("the work");
  await world.pair(page, session);
  const { approve, field, permission, send, timeline } = phone(page);
  await expect(permission).toContainText("echo once");
  await send("an unknown wish", texts.sendQueue);
  const refused = page.getByRole("listitem").filter({ hasText: "an unknown wish" });
  await expect(refused).toContainText(texts.rejected);
  await refused.getByRole("button", { name: texts.takeBack }).click();
  await expect(refused).toBeHidden();
  await expect(field).toHaveValue("an unknown wish");
  await approve();
  await expect(timeline).toContainText("It is done.");
  await send("the work again");
  await expect(permission).toContainText("echo once");
});

test("an older machine that says less is shown as far as it goes", async ({
  page,
  context,
  start,
}) => {
  await machineSays(context, (message) => {
    if (message.jsonrpc !== "2.0") return;
    const visit = (value: any) => {
      if (Array.isArray(value)) value.forEach(visit);
      else if (value && typeof value === "object") {
        for (const name of ["_meta", "config", "usage", "activity", "diff", "project"]) {
          delete value[name];
        }
        Object.values(value).forEach(visit);
      }
    };
    visit(message);
  });
  const world = await start(model);
  const { session } = await world.begin("the work");
  await world.pair(page, session);
  const { approve, button, permission, timeline } = phone(page);
  await expect(permission).toContainText("echo once");
  await approve();
  await expect(timeline).toContainText("It is done.");
  await button(texts.back).click();
  await expect(page.getByRole("navigation").getByRole("link")).toHaveCount(1);
});

test("ends that have no version in common say so in words", async ({ page, context, start }) => {
  const world = await start(model);
  await world.begin("the work");
  await world.pair(page);
  await expect(page.getByRole("navigation").getByRole("link")).toHaveCount(1);

  const status = page.getByRole("status");
  const later = await context.newPage();
  await later.addInitScript(() => {
    const { parse } = JSON;
    JSON.parse = (text: string) => {
      const value = parse(text);
      if (value?.machine && value.protocol === 1) value.protocol = 2;
      return value;
    };
  });
  await later.goto(world.url);
  await expect(later.getByRole("status")).toContainText("speaks a newer protocol than this page");

  await page.addInitScript(() => {
    const { stringify } = JSON;
    JSON.stringify = (value: any) =>
      stringify(value?.method === "initialize" ? older(value) : value);
    const older = (value: any) => ({
      ...value,
      params: { ...value.params, protocolVersions: ["0.1.0"] },
    });
  });
  await page.reload();
  await expect(status).toContainText(/this host speaks AHP 1\.0\.0.*, not 0\.1\.0/);
  // What is remembered can be looked at meanwhile.
  await expect(page.getByRole("navigation").getByRole("link")).toHaveCount(1);
});

test("a link of a later time leads as far as it can, and a broken one does no harm", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("the work");
  await world.pair(page, session);
  await expect(page).toHaveURL(new RegExp(session));
  const link = page.url();
  const { permission } = phone(page);
  await expect(permission).toBeVisible();

  // A link only changes the fragment; so it is opened anew as well.
  const open = async (fragment: string) => {
    await page.goto("about:blank");
    await page.goto(`${world.url}/${fragment}`);
  };
  await open(`${new URL(link).hash}&turn=7&v=2&m2=x`);
  await expect(permission).toBeVisible();
  for (const fragment of ["#later=1", "#%E0%A4%A", "#m=1&s=2", "#m", "#s=__proto__", "#/#/"]) {
    await open(fragment);
    await expect(page.getByRole("navigation").getByRole("link")).toHaveCount(1);
  }
  for (const fragment of ["#pair=", "#pair=Agdsa", "#pair=%00", `#pair=${"A".repeat(9_000)}`]) {
    await open(fragment);
    await expect(page.getByRole("alert")).toContainText(texts.pairBadLink);
  }
});

test("the code that is installed goes on running until somebody takes the newer one", async ({
  page,
  start,
}) => {
  const world = await start(model);
  const { session } = await world.begin("the work");
  const relay = await OtherBuild.before(world.url);
  try {
    await world.pair(page, session, relay.url);
    const { button, permission } = phone(page);
    await expect(permission).toContainText("echo once");
    await page.evaluate(installed);
    const runs = (build: string) => page.getByText(texts.version(build), { exact: true });
    const banner = page.getByText(texts.newVersion);
    await page.goto(`${relay.url}/#settings`);
    await page.reload();
    await expect(runs(BUILD)).toBeVisible();
    expect(await page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);

    // Other code under the old names: nobody runs it, with a worker or without.
    relay.serving = "tampered";
    await page.reload();
    await expect(runs(BUILD)).toBeVisible();
    const [asset] = await page.evaluate(() => [...document.scripts].map(({ src }) => src));
    const served = await page.evaluate((src) => fetch(src!).then((it) => it.text()), asset);
    expect(served).toContain(BUILD);
    expect(served).not.toContain(NEWER);
    await expect(banner).toBeHidden();

    // A new build is fetched, offered, and waits, however often the page is loaded.
    relay.serving = "newer";
    for (let load = 1; load <= 2; load += 1) {
      await page.reload();
      await expect(banner).toBeVisible();
      await expect(runs(BUILD)).toBeVisible();
    }
    await button(texts.newVersionUse).click();
    await expect(runs(NEWER)).toBeVisible();
    await expect(banner).toBeHidden();
    await page.reload();
    await expect(runs(NEWER)).toBeVisible();
    await expect(banner).toBeHidden();

    // It is the same device, and goes on where it was.
    await page.goto(`${relay.url}/`);
    await page.getByRole("navigation").getByRole("link").click();
    await expect(permission).toContainText("echo once");
  } finally {
    relay.end();
  }
});
