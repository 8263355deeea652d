import { describe, expect, it } from "vitest";
import type { ChatState, FileEdit, SessionState, SessionSummary } from "../../src/ahp/types";
import { besideEdits, FILTERS, isDone, leftOutOf, passes, plansOf } from "../../src/app/session";

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

describe("what is allowed beside the edits that are shown", () => {
  const edit = (before: string | undefined, after: string | undefined): FileEdit => {
    const side = (uri: string) => ({ uri, content: { uri: "copilot-content:/s/c" } });
    return {
      ...(before ? { before: side(before) } : {}),
      ...(after ? { after: side(after) } : {}),
    };
  };
  const one = edit("file:///r/a%20b.rs", "file:///r/a%20b.rs");
  const made = edit(undefined, "file:///r/new.rs");

  it.each([
    ["nothing where each line is the path of an edit", "/r/a b.rs\n/r/new.rs", [one, made], ""],
    ["a path that no edit has", "/r/a b.rs\n/home/me/.bashrc", [one], undefined],
    ["a command before the paths", "rm -r x\n/r/a b.rs", [one], undefined],
    ["a path that only begins like that of an edit", "/r/new.rs~", [made], undefined],
    ["a path that is written otherwise", "/r/x/../new.rs", [made], undefined],
    [
      "a name with a line break, which is written out",
      "/r/a\\nb",
      [edit("file:///r/a%0Ab", undefined)],
      undefined,
    ],
    ["an input where no edit is shown", '{"path": "a"}', [], undefined],
  ])("is %s", (_, input, edits, shown = input) => {
    expect(besideEdits(input, "", edits)).toBe(shown);
  });

  it("is also what only the subject names", () => {
    expect(besideEdits("/r/new.rs", "/r/new.rs\n/home/me/.bashrc", [made])).toBe(
      "/home/me/.bashrc",
    );
    expect(besideEdits("/r/a b.rs\n/x", "/r/a b.rs\n/x\n/y", [one])).toBe("/r/a b.rs\n/x\n/y");
  });

  it("knows both names of what moves", () => {
    const moved = edit("file:///r/old.rs", "file:///r/new.rs");
    expect(besideEdits("/r/old.rs\n/r/new.rs", "", [moved])).toBe("");
  });
});
