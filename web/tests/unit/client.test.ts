import { describe, expect, it } from "vitest";
import { AhpClient, ROOT, SESSION_NOT_FOUND, type Outcome } from "../../src/ahp/client";
import type { ChatState } from "../../src/ahp/types";

const CHAT = "ahp-chat:/1";

interface Sent {
  id?: number;
  method: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  params: any;
}

function start(maxBytes?: number) {
  const sent: Sent[] = [];
  const states: [string, unknown][] = [];
  const client = new AhpClient(
    "c",
    "phone",
    {
      state: (channel, state) => states.push([channel, state]),
      sessionAdded: () => undefined,
      sessionRemoved: () => undefined,
      sessionChanged: () => undefined,
      closed: () => undefined,
    },
    maxBytes,
  );
  const pipe = { send: (message: string) => void sent.push(JSON.parse(message) as Sent) };
  const answer = async (result: object) => {
    const id = sent.findLast((message) => message.id !== undefined)!.id;
    client.receive(JSON.stringify({ jsonrpc: "2.0", id, result }));
    // Lets what waited for it go on.
    await new Promise((resolve) => setImmediate(resolve));
  };
  const refuse = (code: number) => {
    const id = sent.findLast((message) => message.id !== undefined)!.id;
    client.receive(JSON.stringify({ jsonrpc: "2.0", id, error: { code, message: "no" } }));
  };
  const action = (action: object, more: object = {}) =>
    client.receive(
      JSON.stringify({
        jsonrpc: "2.0",
        method: "action",
        params: { channel: CHAT, action, serverSeq: 9, ...more },
      }),
    );
  return { client, pipe, sent, states, answer, refuse, action };
}

const chat = (): ChatState => ({
  resource: CHAT,
  title: "",
  status: 1,
  modifiedAt: "2026-01-01T00:00:00.000Z",
  turns: [],
});

async function connected(maxBytes?: number) {
  const all = start(maxBytes);
  const done = all.client.connected(all.pipe);
  await all.answer({
    serverSeq: 3,
    snapshots: [{ resource: ROOT, state: { agents: [] }, fromSeq: 3 }],
  });
  await done;
  const subscribed = all.client.subscribe(CHAT, 20);
  await all.answer({ snapshot: { resource: CHAT, state: chat(), fromSeq: 4 } });
  await subscribed;
  return all;
}

describe("an action on a channel that nobody follows", () => {
  it("is sent after following it, so that its outcome is heard", async () => {
    const { client, sent, answer, action } = await connected();
    const channel = "ahp-chat:/2";
    const outcomes: Outcome[] = [];
    const sending = client.dispatch(channel, { type: "chat/draftChanged" });
    void sending.then((outcome) => outcomes.push(outcome));
    expect(sent.slice(-2).map(({ method }) => method)).toEqual(["subscribe", "dispatchAction"]);
    expect(sent.at(-2)!.params.channel).toBe(channel);
    await answer({ snapshot: { resource: channel, state: { ...chat() }, fromSeq: 5 } });
    const { clientSeq } = sent.at(-1)!.params;
    action({ type: "chat/draftChanged" }, { channel, origin: { clientId: "c", clientSeq } });
    await sending;
    expect(outcomes).toEqual([{ kind: "applied" }]);
  });
});

describe("a channel that nobody looks at any more", () => {
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const left = (sent: Sent[]) =>
    sent.filter(({ method }) => method === "unsubscribe").map(({ params }) => params.channel);

  it("is followed until the last of what was sent there was answered", async () => {
    const { client, sent, action } = await connected();
    const outcomes = [client.dispatch(CHAT, prompt), client.dispatch(CHAT, prompt)];
    // Who hears of it still finds the state.
    const found = outcomes.map((outcome) => outcome.then(() => client.state(CHAT)));
    const seqs = sent.slice(-2).map(({ params }) => params.clientSeq as number);
    client.unsubscribe(CHAT);
    for (const clientSeq of seqs) {
      await settled();
      expect(left(sent)).toEqual([]);
      action(prompt, { origin: { clientId: "c", clientSeq } });
    }
    expect(await Promise.all(outcomes)).toEqual([{ kind: "applied" }, { kind: "applied" }]);
    for (const state of found) expect(await state).toBeDefined();
    await settled();
    expect(left(sent)).toEqual([CHAT]);
    expect(client.state(CHAT)).toBeUndefined();
  });

  it("is left at once where nothing is under way", async () => {
    const { client, sent } = await connected();
    client.unsubscribe(CHAT);
    client.unsubscribe(CHAT);
    expect(left(sent)).toEqual([CHAT]);
  });

  it("stays when somebody looks again", async () => {
    const { client, sent, answer, action } = await connected();
    const outcome = client.dispatch(CHAT, prompt);
    const { clientSeq } = sent.at(-1)!.params;
    client.unsubscribe(CHAT);
    const again = client.subscribe(CHAT, 20);
    await answer({ snapshot: { resource: CHAT, state: chat(), fromSeq: 5 } });
    await again;
    action(prompt, { origin: { clientId: "c", clientSeq } });
    await outcome;
    await settled();
    expect(left(sent)).toEqual([]);
  });

  it("is left when it was followed only to send something there", async () => {
    const { client, sent, answer, action } = await connected();
    const channel = "ahp-chat:/2";
    const outcome = client.dispatch(channel, prompt);
    const { clientSeq } = sent.at(-1)!.params;
    await answer({ snapshot: { resource: channel, state: chat(), fromSeq: 5 } });
    action(prompt, { channel, origin: { clientId: "c", clientSeq }, rejectionReason: "no" });
    await outcome;
    await settled();
    expect(left(sent)).toEqual([channel]);
  });

  it("is left when nobody will ever know", async () => {
    const { client, pipe, sent, answer } = await connected();
    const outcome = client.attempt(CHAT, { type: "session/configChanged" });
    client.unsubscribe(CHAT);
    client.disconnected();
    const back = client.connected(pipe);
    await answer({ type: "replay", actions: [], missing: [] });
    await back;
    expect(await outcome).toEqual({ kind: "unknown" });
    await settled();
    expect(left(sent)).toEqual([CHAT]);
  });
});

const prompt = {
  type: "chat/turnStarted",
  turnId: "t",
  startedAt: "2026-01-01T00:00:01.000Z",
  message: { text: "hi", origin: { kind: "user" } },
};

describe("an AHP client", () => {
  it("applies what the host says, and not what it rejects", async () => {
    const { client, action } = await connected();
    action(prompt, { rejectionReason: "no" });
    expect(client.state<ChatState>(CHAT)?.activeTurn).toBeUndefined();
    action(prompt);
    expect(client.state<ChatState>(CHAT)?.activeTurn?.id).toBe("t");
  });

  it("tells what became of each action", async () => {
    const { client, action, sent } = await connected();
    const outcomes: Outcome[] = [];
    for (const rejectionReason of [undefined, "already answered by terminal", "duplicate: done"]) {
      const outcome = client.dispatch(CHAT, prompt);
      const { clientSeq } = sent.at(-1)!.params;
      action(prompt, { origin: { clientId: "c", clientSeq }, rejectionReason });
      outcomes.push(await outcome);
    }
    expect(outcomes).toEqual([
      { kind: "applied" },
      { kind: "rejected", reason: "already answered by terminal" },
      { kind: "applied" },
    ]);
  });

  it("sends again after a reconnect what was not echoed", async () => {
    const { client, pipe, sent, answer, action } = await connected();
    const outcome = client.dispatch(CHAT, prompt);
    client.disconnected();
    const offline = client.dispatch(CHAT, { ...prompt, turnId: "t2" });
    sent.length = 0;
    const back = client.connected(pipe);
    expect(sent[0]?.params).toMatchObject({ lastSeenServerSeq: 4, subscriptions: [ROOT, CHAT] });
    await answer({ type: "replay", actions: [], missing: [] });
    await back;
    const again = sent.filter((message) => message.method === "dispatchAction");
    expect(again.map((message) => message.params.action.turnId)).toEqual(["t", "t2"]);
    for (const { params } of again) {
      action(params.action, { origin: { clientId: "c", clientSeq: params.clientSeq } });
    }
    expect(await Promise.all([outcome, offline])).toEqual([
      { kind: "applied" },
      { kind: "applied" },
    ]);
  });

  it("does not send again what the replay shows to have happened", async () => {
    const { client, pipe, sent, answer } = await connected();
    const outcome = client.dispatch(CHAT, prompt);
    const { clientSeq } = sent.at(-1)!.params;
    client.disconnected();
    sent.length = 0;
    const back = client.connected(pipe);
    const origin = { clientId: "c", clientSeq };
    await answer({
      type: "replay",
      actions: [{ channel: CHAT, action: prompt, serverSeq: 5, origin }],
      missing: [],
    });
    await back;
    expect(await outcome).toEqual({ kind: "applied" });
    expect(sent.some((message) => message.method === "dispatchAction")).toBe(false);
  });

  it("takes snapshots where the host has no replay, and forgets what is gone", async () => {
    const { client, pipe, answer, states } = await connected();
    client.disconnected();
    const back = client.connected(pipe);
    await answer({
      type: "snapshot",
      snapshots: [{ resource: ROOT, state: { agents: [] }, fromSeq: 40 }],
    });
    await back;
    expect(client.state(CHAT)).toBeUndefined();
    expect(states.at(-1)).toEqual([CHAT, undefined]);
  });

  it("asks anew for what a replay cannot resume, and for what was first wanted without a pipe", async () => {
    const { client, pipe, sent, answer } = await connected();
    client.disconnected();
    const first = client.subscribe("ahp-chat:/2", 20);
    await expect(first).rejects.toThrow("not connected");
    sent.length = 0;
    const back = client.connected(pipe);
    await answer({ type: "replay", actions: [], missing: [CHAT] });
    expect(sent.slice(1).map(({ method, params }) => [method, params])).toEqual([
      ["subscribe", { channel: CHAT, view: { turns: 20 } }],
      ["subscribe", { channel: "ahp-chat:/2", view: { turns: 20 } }],
    ]);
    const state = { ...chat(), title: "anew" };
    for (const { id, params } of sent.slice(1)) {
      const snapshot = { resource: params.channel, state, fromSeq: 8 };
      client.receive(JSON.stringify({ jsonrpc: "2.0", id, result: { snapshot } }));
    }
    await back;
    expect(client.state(CHAT)).toEqual(state);
    expect(client.state("ahp-chat:/2")).toEqual(state);
  });

  it("keeps what was first wanted while it was reconnecting", async () => {
    const { client, pipe, sent, answer, states } = await connected();
    client.disconnected();
    const back = client.connected(pipe);
    const { id } = sent.at(-1)!;
    const channel = "ahp-chat:/2";
    const wanted = client.subscribe(channel, 20);
    client.receive(JSON.stringify({ id, result: { type: "snapshot", snapshots: [] } }));
    await back;
    expect(states.filter(([, state]) => state === undefined)).toEqual([
      [ROOT, undefined],
      [CHAT, undefined],
    ]);
    await answer({ snapshot: { resource: channel, state: chat(), fromSeq: 8 } });
    await wanted;
    expect(client.state(channel)).toEqual(chat());
  });

  it("drops only what the host says is not there", async () => {
    for (const [code, isGone] of [
      [SESSION_NOT_FOUND, true],
      [-32603, false],
    ] as const) {
      const { client, pipe, sent, answer, refuse, states } = await connected();
      client.disconnected();
      const back = client.connected(pipe);
      await answer({ type: "replay", actions: [], missing: [CHAT] });
      refuse(code);
      await back;
      expect(states.some(([channel, state]) => channel === CHAT && !state)).toBe(isGone);
      // What was missed is missing: it comes whole with the next connection.
      expect(client.state(CHAT)).toBeUndefined();
      client.disconnected();
      void client.connected(pipe);
      expect(sent.at(-1)!.params.subscriptions).toEqual(isGone ? [ROOT] : [ROOT, CHAT]);
    }
  });

  it("says of what it had sent before that it may be its own effect", async () => {
    const { client, pipe, sent, answer, action } = await connected();
    const outcome = client.dispatch(CHAT, prompt);
    const earlier = client.dispatch(CHAT, { ...prompt, turnId: "t2" }, true);
    client.disconnected();
    const back = client.connected(pipe);
    await answer({ type: "replay", actions: [], missing: [] });
    await back;
    for (const { method, params } of sent.slice(-2)) {
      expect(method).toBe("dispatchAction");
      const origin = { clientId: "c", clientSeq: params.clientSeq };
      action(params.action, { origin, rejectionReason: "no" });
    }
    const rejected = { kind: "rejected", reason: "no", again: true };
    expect(await Promise.all([outcome, earlier])).toEqual([rejected, rejected]);
  });

  it("sends nothing before it is up to date", async () => {
    const { client, pipe, sent, answer } = await connected();
    client.disconnected();
    const back = client.connected(pipe);
    void client.dispatch(CHAT, prompt);
    expect(sent.at(-1)!.method).toBe("reconnect");
    await answer({ type: "replay", actions: [], missing: [] });
    await back;
    expect(sent.filter(({ method }) => method === "dispatchAction")).toHaveLength(1);
  });

  it("survives what it cannot read", async () => {
    const { client } = await connected();
    for (const odd of ["", "{", "null", "[]", '{"method":"new/thing"}', '{"id":99,"result":1}']) {
      client.receive(odd);
    }
    expect(client.state(CHAT)).toEqual(chat());
  });
});

describe("what has no id", () => {
  const mode = { type: "session/configChanged", config: { mode: "autopilot" } };

  it("is sent once, and nobody knows what became of it when the connection is lost", async () => {
    const { client, pipe, sent, answer } = await connected();
    const outcome = client.attempt(CHAT, mode);
    expect(sent.at(-1)!.params.action).toEqual(mode);
    client.disconnected();
    sent.length = 0;
    const back = client.connected(pipe);
    await answer({ type: "replay", actions: [], missing: [] });
    await back;
    expect(await outcome).toEqual({ kind: "unknown" });
    expect(sent.some(({ method }) => method === "dispatchAction")).toBe(false);
  });

  it("has happened when the replay shows it", async () => {
    const { client, pipe, sent, answer } = await connected();
    const outcome = client.attempt(CHAT, mode);
    const origin = { clientId: "c", clientSeq: sent.at(-1)!.params.clientSeq };
    client.disconnected();
    const back = client.connected(pipe);
    const actions = [{ channel: CHAT, action: mode, serverSeq: 5, origin }];
    await answer({ type: "replay", actions, missing: [] });
    await back;
    expect(await outcome).toEqual({ kind: "applied" });
  });

  it("is not for later", async () => {
    const { client, sent } = start();
    expect(await client.attempt(CHAT, mode)).toMatchObject({ kind: "rejected" });
    expect(sent).toEqual([]);
  });
});

describe("what a pipe cannot carry", () => {
  const MAX = 4_000;
  const long = (text: string) => ({ ...prompt, message: { ...prompt.message, text } });

  it("is refused in words, and the pipe stays", async () => {
    const { client, sent } = await connected(MAX);
    const before = sent.length;
    const rejected = { kind: "rejected", reason: expect.stringContaining("too long") as string };
    expect(await client.dispatch(CHAT, long("x".repeat(MAX)))).toEqual(rejected);
    // Bytes count, and so does what JSON makes of a character.
    expect(await client.dispatch(CHAT, long("ä".repeat(MAX / 2)))).toEqual(rejected);
    expect(await client.dispatch(CHAT, long("\n".repeat(MAX / 2)))).toEqual(rejected);
    await expect(client.call("completions", { text: "x".repeat(MAX) })).rejects.toThrow("too long");
    expect(sent).toHaveLength(before);
    void client.dispatch(CHAT, long("x".repeat(MAX / 2)));
    expect(sent).toHaveLength(before + 1);
  });

  it("is refused at once where there is no pipe", async () => {
    const { client } = start(MAX);
    expect(client.fits(CHAT, long("x".repeat(MAX)))).toBe(false);
    expect(client.fits(CHAT, long("x".repeat(MAX / 2)))).toBe(true);
    expect(await client.dispatch(CHAT, long("x".repeat(MAX)))).toMatchObject({ kind: "rejected" });
  });
});
