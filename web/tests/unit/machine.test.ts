import { beforeEach, describe, expect, it, vi } from "vitest";
import { SESSION_NOT_FOUND } from "../../src/ahp/client";
import type { Database } from "../../src/app/database";
import { Machine } from "../../src/app/machine.svelte";
import type { MachineEvents } from "../../src/link/machine";

const link = vi.hoisted(() => ({ events: undefined as unknown, wanted: false }));
vi.mock("../../src/link/machine", () => ({
  MachineLink: class {
    constructor(...all: unknown[]) {
      link.events = all.at(-1);
    }
    want(wanted: boolean) {
      link.wanted = wanted;
    }
  },
}));
beforeEach(() => vi.stubGlobal("navigator", { onLine: true }));

interface Sent {
  id?: number;
  method: string;
  params: { channel: string };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const summary = { resource: "ahp-session:/1", title: "", modifiedAt: "" };

/** A machine that is connected; `answers` is what it says to a method. */
async function connected(database: object = {}) {
  const sent: Sent[] = [];
  const answers: Record<string, (channel: string) => object> = {
    initialize: () => ({ result: { serverSeq: 1, snapshots: [] } }),
    listSessions: () => ({ result: { items: [summary] } }),
    subscribe: (channel) => ({
      result: { snapshot: { resource: channel, state: { turns: [] }, fromSeq: 2 } },
    }),
  };
  const machine = new Machine(
    { machineId: "m", machineKey: new Uint8Array(), name: "", pairedAt: "" },
    {} as never,
    "phone",
    {} as never,
    {
      open: () => Promise.resolve(undefined),
      seal: () => Promise.resolve(),
      remove: () => Promise.resolve(),
      ...database,
    } as unknown as Database,
    { announce: () => undefined, takeDraft: () => Promise.resolve(undefined) },
  );
  const events = link.events as MachineEvents;
  const tell = (message: object) => events.message(JSON.stringify(message));
  events.state({ kind: "online" });
  await events.connected({
    send: (text) => {
      const message = JSON.parse(text) as Sent;
      sent.push(message);
      const { id, method, params } = message;
      if (id !== undefined) tell({ id, ...answers[method]!(params.channel) });
    },
  });
  const added = () => tell({ method: "root/sessionAdded", params: { summary } });
  const methods = () => sent.map(({ method, params }) => `${method} ${params.channel}`);
  return { machine, answers, added, sent, methods, events };
}

const NOT_FOUND = () => ({ error: { code: SESSION_NOT_FOUND, message: "there is none" } });

describe("a session that is opened", () => {
  it("comes from the machine where its copy cannot be read", async () => {
    const { machine } = await connected({ open: () => Promise.reject(new Error("lost")) });
    const view = machine.view("1");
    await settled();
    expect(view.chat).toBeDefined();
    expect(view.stale).toBe(false);
  });

  it("is not followed when it was left before its copy was read", async () => {
    const { machine, methods } = await connected();
    machine.view("1");
    machine.leave("1");
    await settled();
    expect(methods().filter((method) => method.startsWith("subscribe"))).toEqual([]);
  });

  it("is not gone because the machine failed, and says how", async () => {
    const { machine, answers } = await connected();
    answers.subscribe = () => ({ error: { code: -32603, message: "it is too large" } });
    const view = machine.view("1");
    await settled();
    expect(view.gone).toBe(false);
    expect(view.trouble).toBe("it is too large");
  });
});

describe("a session that was gone", () => {
  async function gone() {
    const all = await connected();
    const { subscribe } = all.answers;
    all.answers.subscribe = NOT_FOUND;
    const view = all.machine.view("1");
    await settled();
    expect(view.gone).toBe(true);
    all.answers.subscribe = subscribe!;
    return { ...all, view };
  }

  it("is followed again when the machine says that it is there", async () => {
    const { view, added } = await gone();
    added();
    await settled();
    expect(view.gone).toBe(false);
    expect(view.chat).toBeDefined();
  });

  it("is followed again when it is in the list of the next connection", async () => {
    const { view, answers, events, sent } = await gone();
    answers.reconnect = () => ({ result: { type: "replay", actions: [], missing: [] } });
    events.disconnected();
    await events.connected({
      send: (text) => {
        const { id, method, params } = JSON.parse(text) as Sent;
        sent.push({ method, params });
        events.message(JSON.stringify({ id, ...answers[method]!(params.channel) }));
      },
    });
    await settled();
    expect(view.gone).toBe(false);
    expect(view.stale).toBe(false);
  });

  it("stays gone where it is still not there, and is not asked for again and again", async () => {
    const { view, answers, added, methods } = await gone();
    answers.subscribe = NOT_FOUND;
    const before = methods().length;
    added();
    await settled();
    expect(view.gone).toBe(true);
    expect(methods().slice(before)).toEqual(["subscribe ahp-session:/1", "subscribe ahp-chat:/1"]);
  });
});

it("what was sent before a session was left is heard of", async () => {
  const { machine, methods, events, sent } = await connected();
  machine.view("1");
  await settled();
  const action = { type: "chat/turnStarted", turnId: "t" };
  machine.submit("1", "t", action, "prompt", "hello");
  machine.leave("1");
  expect(methods()).not.toContain("unsubscribe ahp-chat:/1");
  const { clientSeq } = sent.find(({ method }) => method === "dispatchAction")!
    .params as unknown as { clientSeq: number };
  const origin = {
    clientId: (sent[0]!.params as unknown as { clientId: string }).clientId,
    clientSeq,
  };
  const params = { channel: "ahp-chat:/1", action, origin, serverSeq: 3 };
  events.message(JSON.stringify({ method: "action", params }));
  await settled();
  expect(machine.outbox.items).toEqual([]);
  expect(methods()).toContain("unsubscribe ahp-chat:/1");
});

describe("a machine", () => {
  const presence = { machineId: "m", name: "vm", online: true, since: "" };

  it("is gone when the relay's list is without it, and comes back with it", async () => {
    const { machine } = await connected();
    machine.present(undefined, true, false);
    expect(machine.gone).toBe(false);
    machine.present(presence, true, true);
    expect([machine.gone, machine.presence, link.wanted]).toEqual([false, presence, true]);
    // The relay is away: what was last known of it stays.
    machine.present(presence, false, false);
    expect([machine.gone, machine.presence, link.wanted]).toEqual([false, presence, false]);
    machine.present(undefined, true, true);
    expect([machine.gone, machine.presence, link.wanted]).toEqual([true, undefined, false]);
    machine.present(presence, true, true);
    expect([machine.gone, link.wanted]).toEqual([false, true]);
  });
});
