import { describe, expect, it } from "vitest";
import type { ChatState, SessionState, SessionSummary } from "../../src/ahp/types";
import { FILTERS, isDone, leftOutOf, passes, plansOf } from "../../src/app/session";

const summary = (state: string) =>
  ({ _meta: { "copilot.state": state } }) as unknown as SessionSummary;

it.each([
  ["starting", ["all", "running"]],
  ["working", ["all", "running"]],
  ["needs-permission", ["all", "needs"]],
  ["needs-answer", ["all", "needs"]],
  ["plan-ready", ["all", "needs"]],
  ["error", ["all", "error"]],
  ["stored", ["all", "stored"]],
  ["idle", ["all"]],
  ["of a later version", ["all"]],
])("a session that is %s is found under %j", (state, filters) => {
  expect(FILTERS.filter((filter) => passes(summary(state), filter))).toEqual(filters);
});

describe("what a machine says beside the protocol is taken only in its shape", () => {
  it("plans", () => {
    const plan = { version: 1, name: "plan-1.md", uri: "copilot-content:/a/b", size: 5 };
    const state = (plans: unknown) =>
      ({ _meta: { "copilot.plans": plans } }) as unknown as SessionState;
    expect(plansOf(state([plan, null, { uri: 3 }]))).toEqual([plan]);
    expect(plansOf(state("x"))).toEqual([]);
  });

  it("what is left out", () => {
    const chat = (leftOut: unknown) =>
      ({ _meta: { "copilot.leftOut": leftOut } }) as unknown as ChatState;
    expect(leftOutOf(chat({ turns: 2, limitBytes: 60 }))).toEqual({ turns: 2, limitBytes: 60 });
    expect(leftOutOf(chat({ turns: "2" }))).toBeUndefined();
    expect(leftOutOf(undefined)).toBeUndefined();
  });
});

describe("what was asked for is so already, whatever the machine refuses", () => {
  const chat = (more: object) => ({ turns: [], ...more }) as unknown as ChatState;
  const cancel = { type: "chat/turnCancelled", turnId: "t" };
  const remove = { type: "chat/pendingMessageRemoved", id: "p", kind: "queued" };
  const resume = { type: "chat/turnResume", turnId: "t" };
  const failed = chat({ turns: [{ id: "t", state: "error" }] });

  it.each([
    ["a cancel while the turn runs", cancel, chat({ activeTurn: { id: "t" } }), true, false],
    ["a cancel when the turn has ended", cancel, chat({}), false, true],
    ["a cancel when another turn runs", cancel, chat({ activeTurn: { id: "u" } }), false, true],
    ["a first take-back that comes too late", remove, chat({}), false, false],
    ["a repeated take-back", remove, chat({}), true, true],
    ["of what waits", remove, chat({ queuedMessages: [{ id: "p" }] }), true, false],
    ["of what joins the turn", remove, chat({ steeringMessage: { id: "p" } }), true, false],
    ["of what began", remove, chat({ activeTurn: { id: "p" } }), true, false],
    ["of what ended", remove, chat({ turns: [{ id: "p" }] }), true, false],
    ["a repeated resume", resume, chat({ turns: [{ id: "t", state: "complete" }] }), true, true],
    ["a resume that did not happen", resume, failed, true, false],
    ["where nothing is known", cancel, undefined, true, false],
    ["an answer", { type: "chat/toolCallConfirmed" }, chat({}), true, false],
  ])("%s", (_what, action, state, again, done) => {
    expect(isDone(action, state, again)).toBe(done);
  });
});
