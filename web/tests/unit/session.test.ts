import { describe, expect, it } from "vitest";
import type { ChatState, SessionState, SessionSummary } from "../../src/ahp/types";
import { FILTERS, leftOutOf, passes, plansOf } from "../../src/app/session";

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
