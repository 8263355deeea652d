import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { reduceChat, reduceRoot, reduceSession, reduceTerminal } from "../../src/ahp/reducers";
import type { Action } from "../../src/ahp/types";

interface Case {
  name: string;
  scope: "root" | "session" | "chat" | "terminal";
  state: object;
  actions: Action[];
  states: object[];
}

const { cases } = JSON.parse(
  readFileSync(new URL("../fixtures/reducers.json", import.meta.url), "utf8"),
) as { cases: Case[] };

// eslint-disable-next-line @typescript-eslint/no-explicit-any
const reducers: Record<Case["scope"], (state: any, action: Action) => object> = {
  root: reduceRoot,
  session: reduceSession,
  chat: reduceChat,
  terminal: reduceTerminal,
};

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}

describe("the page reduces as the protocol's own reducers do", () => {
  it.each(cases.map((one) => [one.name, one] as const))("%s", (_name, one) => {
    let state = frozen(one.state);
    one.actions.forEach((action, step) => {
      // Frozen: a reducer that changed what it was given would throw.
      state = frozen(reducers[one.scope](state, frozen(action)));
      expect(state, `after ${step}: ${action.type}`).toEqual(one.states[step]);
    });
  });
});

describe("what the page does not know", () => {
  it("changes nothing", () => {
    const chat = { turns: [] };
    const odd = { type: "chat/fromTheFuture", turns: [1] };
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    expect(reduceChat(chat as any, odd)).toBe(chat);
  });
});
