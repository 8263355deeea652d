/**
 * Ten minutes of an agent that never stops talking, in one page: `cargo xtask bench page-long`.
 *
 * What is measured is the private memory of the process that renders the page, as the kernel counts
 * it: that is what a phone takes away from a page that has too much, and it has everything in it,
 * the nodes and their layout as well as what the scripts hold. `measureUserAgentSpecificMemory`
 * counts less and is there only for pages that are isolated from other origins.
 */

import { readFileSync } from "node:fs";
import { expect, say, scenario, test, tool } from "../browser/world";
import { figure, mib, title } from "./figures";
import { Local } from "./local";

const MINUTES = 10;
const SAMPLE_EVERY_MS = 1_000;

/** About 250 words as an agent writes them, a thing of each kind. */
const PARAGRAPH =
  "The quick agent reads what the lazy dog wrote, and says **what** it thinks of it. ";
const TEXT = `## What I found

${PARAGRAPH.repeat(5)}

* the first of three things, with \`code\` in it
* the second, with [a link](https://example.com/)
* the third

| file | lines |
|---|---|
| \`src/main.rs\` | 120 |
| \`src/lib.rs\` | 48 |

\`\`\`rust
fn main() {
    // Says hello, as programs do.
    let greeting = "Hello, world";
    for _ in 0..3 {
        println!("{greeting}");
    }
}
\`\`\`

${PARAGRAPH.repeat(5)}
`;

/** Bytes that this process shares with nobody. */
function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = rollup.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm);
  return [...kib].reduce((sum, [, value]) => sum + Number(value), 0) * 1024;
}

test("ten minutes of streaming", async ({ page, start, browser }) => {
  const round = Array.from({ length: 10 }, () => [
    say(TEXT),
    tool("shell", { command: "seq 1 300" }),
    tool("view", { path: "README.md" }),
  ]).flat();
  const world = await start({
    ...scenario({ hello: [say("Hello.")], talk: [...round, say("That is all.")] }),
    pace_ms: 30,
  });
  const terminal = await world.terminal("--remote", "--allow-all-tools", "-i", "hello");
  await world.wait(terminal, "trust");
  await world.keys(terminal, "2");
  const session = await world.session();
  await world.pair(page, session);
  await expect(page.getByTestId("session-state")).toHaveText("Idle");
  const { stdout } = await world.copilot("daemon", "status", "--json");
  const { socket } = JSON.parse(stdout) as { socket: string };
  const local = await Local.attach(socket, session);

  // Of the processes that render, the one that works most while the agent talks.
  const devtools = await browser.newBrowserCDPSession();
  const renderers = async () => {
    const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
    const all = processInfo.filter(({ type }) => type === "renderer");
    return new Map(all.map(({ id, cpuTime }) => [id, cpuTime]));
  };
  const before = await renderers();
  local.prompt(session, "talk");
  await local.until(({ action }) => action.type === "chat/turnComplete");
  const worked = [...(await renderers())].map(([id, time]) => ({
    id,
    time: time - (before.get(id) ?? 0),
  }));
  const { id: pid, time } = worked.toSorted((a, b) => b.time - a.time)[0]!;
  title(`the page's process worked ${time.toFixed(1)} s in the first turn, of ${worked.length}`);

  const begin = Date.now();
  const samples = [privateBytes(pid)];
  const timer = setInterval(() => samples.push(privateBytes(pid)), SAMPLE_EVERY_MS);
  title(`${MINUTES} minutes of streaming: private memory of the process that renders the page`);
  let turns = 0;
  while (Date.now() - begin < MINUTES * 60_000) {
    const after = local.seen.length;
    local.prompt(session, "talk");
    await local.until(({ action }) => action.type === "chat/turnComplete", after);
    turns += 1;
    const minutes = ((Date.now() - begin) / 60_000).toFixed(1);
    figure(`after ${minutes} minutes and ${turns} turns`, mib(privateBytes(pid)));
  }
  clearInterval(timer);
  await expect(page.getByRole("article").last()).toContainText("That is all.");
  const own = await page.context().newCDPSession(page);
  await own.send("HeapProfiler.collectGarbage");
  const { usedSize } = await own.send("Runtime.getHeapUsage");
  figure("at the beginning", mib(samples[0]!));
  figure("at most", mib(Math.max(...samples)));
  figure("at the end", mib(privateBytes(pid)));
  figure("what its scripts hold at the end, in it", mib(usedSize));
  figure("seen", `${local.seen.length} actions`);
  local.end();
});
