/**
 * Whether a page answers: the longest time for which nobody could do anything on it.
 *
 * It is the time that the main thread itself worked at one task, not the time that passed: on a
 * machine with more to do than cores, that is mostly about the others.
 */

import type { Browser, Page } from "@playwright/test";

interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  /** Microseconds: when, how long, and how long the thread worked meanwhile. */
  ts: number;
  dur?: number;
  tdur?: number;
  args: { name?: string; chrome_mojo_event_info?: { mojo_interface_tag?: string } };
}

/** The longest task of the page's main thread meanwhile, in milliseconds of its own time. */
export async function longestTask(
  browser: Browser,
  page: Page,
  meanwhile: () => Promise<void>,
): Promise<number> {
  await browser.startTracing(page, { categories: ["toplevel"] });
  await meanwhile();
  const trace = JSON.parse((await browser.stopTracing()).toString()) as {
    traceEvents: TraceEvent[];
  };
  const longest = tasksOf(trace.traceEvents).reduce((most, task) => Math.max(most, task));
  return Math.round(longest / 1_000);
}

function tasksOf(events: TraceEvent[]): number[] {
  const thread = ({ pid, tid }: TraceEvent) => `${pid}/${tid}`;
  const main = new Set(
    events
      .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
      .map(thread),
  );
  const onMain = events.filter((event) => main.has(thread(event)));
  // What a test asks the page for, such as the text of 40,000 lines, is not the page's work.
  const asked = onMain.filter(
    ({ args }) => args.chrome_mojo_event_info?.mojo_interface_tag === "blink.mojom.DevToolsSession",
  );
  const tasks = onMain
    .filter(({ name }) => name.endsWith("RunTask"))
    .flatMap((task) => {
      const { ts, dur, tdur } = task;
      if (dur === undefined || tdur === undefined) return [];
      // Few tasks are long, and only those are worth a look.
      const test =
        dur > 50_000 &&
        asked.some((it) => thread(it) === thread(task) && it.ts >= ts && it.ts < ts + dur);
      return test ? [] : [tdur];
    });
  if (tasks.length === 0) throw new Error("Chromium does not say how long its threads work.");
  return tasks;
}
