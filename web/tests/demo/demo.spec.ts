/**
 * `cargo xtask demo --remote`: a session in a real terminal, and a phone that watches and steers it.
 * Every step is checked; the first that is off ends it.
 */

import { join } from "node:path";
import { texts } from "../../src/app/texts";
import { expect, test } from "../browser/world";
import { model } from "./model";
import { Story } from "./story";
import { ofPage, ofTerminal } from "./transcript";

const PHONE = "Ada's phone";

test("a phone watches and steers a session", async ({ page, start }) => {
  const folder = process.env.COPILOT_DEMO_PICTURES ?? join("test-results", "demo-remote");
  const world = await start(model);
  let terminal: number | undefined;
  const screen = async () => (terminal === undefined ? "" : world.screen(terminal));
  const shows = (text: string) => world.wait(terminal!, text);
  const story = new Story(page, folder, screen);

  const state = page.getByTestId("session-state");
  const permission = page.getByTestId("permission");
  const question = page.getByTestId("question");
  const { states } = texts;
  const composer = page.getByRole("textbox", {
    name: new RegExp(`^(${texts.promptPlaceholder}|${texts.steerPlaceholder})$`),
  });
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  const mode = page.getByRole("combobox", { name: texts.mode });
  /** The last turn on the page. */
  const last = page.getByRole("article").last();
  const prompt = async (text: string) => {
    await composer.fill(text);
    await button(texts.sendPrompt).tap();
    await expect(last).toContainText(text);
  };

  let session = "";
  await story.step(
    "a session starts in a terminal, in a folder that is trusted there",
    async () => {
      // Without a relay that it has joined, a machine starts one of its own.
      await world.copilot("logout");
      terminal = await world.terminal("--remote", "-i", "greet everybody");
      await shows("Do you trust");
      await world.keys(terminal, "2");
      session = await world.session();
      await shows("First I look around.");
      await shows("#pair=");
    },
  );

  await story.step("the phone opens the link that the terminal shows, and pairs", async () => {
    // It is longer than a line.
    const shown = /https?:\S+#pair=[\w-]+(?:\n[\w-]+$)*/m.exec(await screen())![0];
    const link = shown.replace(/\n/g, "");
    story.say(`through the machine's own relay, ${new URL(link).origin}`);
    await page.goto(link);
    await page.getByRole("textbox").fill(PHONE);
    await story.picture("name");
    await button(texts.pairStart).tap();
    const code = (await page.getByTestId("pairing-code").innerText()).replace(/\s/g, "");
    expect(code).toMatch(/^\d{6}$/);
    await story.picture("code");
    await shows(`${PHONE} shows a code`);
    story.say(`the phone shows ${code}, and it is typed in the terminal`);
    await world.keys(terminal!, `${code}\r`);
    await expect(page.getByRole("heading", { name: "greet everybody" })).toBeVisible();
    // The terminal goes on showing the session's own link; Ctrl+E makes room for the session.
    await shows("On a paired device:");
    await world.keys(terminal!, "\x05");
  });

  await story.step("the phone sees the running session", async () => {
    await expect(state).toHaveText(states.working!);
    await expect(last).toContainText("First I look around.");
    await story.picture("session");
    await button(texts.back).tap();
    const entry = page.getByRole("link", { name: "greet everybody" });
    await expect(entry).toContainText(states.working!);
    await story.picture("sessions");
    await entry.tap();
    await expect(last).toContainText("First I look around.");
  });

  await story.step("the phone approves a command", async () => {
    await world.write("demo/paired", "");
    await expect(permission).toContainText("echo 'Hello' > greeting.txt");
    await expect(state).toHaveText(states["needs-permission"]!);
    await story.picture("permission");
    await permission.getByRole("button", { name: "Yes, once" }).tap();
    await expect(permission).toBeHidden();
    await expect(question).toBeVisible();
    expect(await world.read("greeting.txt")).toBe("Hello\n");
    await shows(`answered by ${PHONE}: allow-once`);
    story.say(`the command ran; the terminal shows: answered by ${PHONE}: allow-once`);
  });

  await story.step("the phone answers a question", async () => {
    await expect(question).toContainText("In which colour should it be shown?");
    await expect(state).toHaveText(states["needs-answer"]!);
    await story.picture("question");
    await question.getByRole("button", { name: "Blue" }).tap();
    await expect(last).toContainText("The greeting is written.");
    await expect(state).toHaveText(states.idle!);
    await shows(`answered by ${PHONE}: Blue`);
    story.say(`the terminal shows: answered by ${PHONE}: Blue`);
    await story.picture("answered");
  });

  await story.step("the phone switches to plan mode", async () => {
    await mode.selectOption("plan");
    await expect(mode).toHaveValue("plan");
    await shows("plan");
    await story.picture("mode");
  });

  await story.step("the phone sends a prompt, and accepts the plan that comes of it", async () => {
    await prompt("sign the greeting");
    await expect(question).toContainText("Put everybody's name below it.");
    await expect(state).toHaveText(states["plan-ready"]!);
    await shows("Sign the greeting");
    await story.picture("plan");
    await question
      .getByRole("button", { name: /Accept|Yes/ })
      .first()
      .tap();
    await expect(mode).toHaveValue("interactive");
    story.say("the plan is accepted, and the mode is interactive again");
    await expect(permission).toContainText("greeting.txt");
    await expect(permission).toContainText("Grace");
    await story.picture("change");
    await permission.getByRole("button", { name: "Yes, once" }).tap();
    await expect(last).toContainText("The greeting is signed, as planned.");
    expect(await world.read("greeting.txt")).toBe("Hello\n\nAda\nGrace\n");
    await shows("The greeting is signed, as planned.");
  });

  await story.step("the phone sends another prompt, and steers while the agent works", async () => {
    await prompt("check it once more");
    await expect.poll(() => world.read("demo/checking")).not.toBeNull();
    await composer.fill("mind the spelling");
    await button(texts.sendSteer).tap();
    await expect(page.getByText(texts.steering)).toBeVisible();
    await story.picture("steering");
    await world.write("demo/steered", "");
    await expect(last).toContainText("The spelling is right too.");
    await shows("The spelling is right too.");
    story.say("the agent heard it within the turn");
    await story.picture("steered");
  });

  await story.step("the phone queues two more, and takes one back", async () => {
    for (const text of ["polish the letters", "thank everybody"]) {
      await composer.fill(text);
      await button(texts.sendQueue).tap();
      await expect(page.getByRole("listitem").filter({ hasText: text })).toContainText(
        texts.queued,
      );
    }
    await shows("thank everybody");
    await story.picture("queued");
    const first = page.getByRole("listitem").filter({ hasText: "polish the letters" });
    await first.getByRole("button", { name: texts.takeBack }).tap();
    await expect(first).toBeHidden();
    await expect(composer).toHaveValue("polish the letters");
    await story.picture("taken-back");
    await composer.fill("");
    await world.write("demo/queued", "");
    await expect(last).toContainText("Thank you all.");
    await expect(state).toHaveText(states.idle!);
    await expect(page.getByRole("article").filter({ hasText: "polish" })).toHaveCount(0);
    story.say("the other one ran when the turn had ended");
    await story.picture("ran");
  });

  await story.step("the phone sends one that never ends, and cancels it", async () => {
    await prompt("wait for ever");
    await expect.poll(() => world.read("demo/waiting")).not.toBeNull();
    await expect(state).toHaveText(states.working!);
    await story.picture("waiting");
    await button(texts.cancelTurn).tap();
    await expect(last.getByText(texts.cancelled)).toBeInViewport();
    await expect(state).toHaveText(states.idle!);
    await shows("cancelled");
    await story.picture("cancelled");
  });

  const agree = async (id: string) => {
    const shown = ofTerminal((await world.copilot("sessions", "show", id)).stdout);
    expect(shown.length).toBeGreaterThan(1);
    expect(await ofPage(page)).toEqual(shown);
    story.say(shown.join("\n"));
  };
  await story.step("the transcripts of the terminal and of the page agree", async () => {
    await agree(session);
  });

  await story.step(
    "the phone starts a second session, and the terminal attaches to it",
    async () => {
      await button(texts.back).tap();
      await button(texts.newSession).tap();
      await expect(page.getByRole("combobox", { name: texts.folder })).toContainText("project");
      await page.getByRole("textbox").fill("introduce yourself");
      await story.picture("new");
      await button(texts.start).tap();
      await expect(last).toContainText("Hello, this is a second session.");
      await expect(state).toHaveText(states.idle!);
      await expect(page.getByText(texts.undelivered)).toBeHidden();
      await story.picture("session");
      const second = new URL(page.url()).hash.split("s=")[1]!;
      expect(second).not.toBe(session);
      terminal = await world.terminal("attach", second);
      await shows("Hello, this is a second session.");
      await agree(second);
      await button(texts.back).tap();
      await expect(page.getByRole("link", { name: "introduce yourself" })).toBeVisible();
      await expect(page.getByRole("link", { name: "greet everybody" })).toBeVisible();
      await story.picture("sessions");
    },
  );

  console.log("==> the remote demo is complete");
  story.say(`its pictures are in ${folder}`);
});
