import { readdirSync, readFileSync } from "node:fs";
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

/** The name that an action of the host's sources has on the wire: `ChatDelta`, `chat/delta`. */
function onTheWire(variant: string): string {
  const [, scope = "", first = "", rest = ""] = /^([A-Z][a-z]+)([A-Z])(\w*)$/.exec(variant) ?? [];
  return `${scope.toLowerCase()}/${first.toLowerCase()}${rest}`;
}

it("the fixtures have every action that the host's sources name", () => {
  const sources = new URL("../../../copilotd/src/", import.meta.url);
  const named = new Set<string>();
  for (const file of readdirSync(sources, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".rs")) continue;
    const text = readFileSync(new URL(file, sources), "utf8");
    for (const [, variant] of text.matchAll(/StateAction::([A-Z]\w+)/g)) named.add(variant!);
  }
  named.delete("Unknown");
  expect(named.size).toBeGreaterThan(30);
  const covered = new Set(cases.flatMap((one) => one.actions.map(({ type }) => type)));
  expect([...named].map(onTheWire).filter((type) => !covered.has(type))).toEqual([]);
});
