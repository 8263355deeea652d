import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { texts } from "../../src/app/texts";
import { deviceTicket, Relay, type RelayState } from "../../src/link/relay";

const BASE = new URL("https://relay.example/");

class Socket {
  static readonly OPEN = 1;
  static all: Socket[] = [];
  readyState = 1;
  closed = false;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  onopen: (() => void) | null = null;

  constructor() {
    Socket.all.push(this);
  }
  send() {}
  close() {
    this.closed = true;
  }
  hello() {
    this.onmessage?.({ data: JSON.stringify({ type: "hello", protocol: 1 }) });
  }
}

/** Requests for tickets that have no answer yet. */
let asked: { answer(body: string, status?: number): void; signal: AbortSignal | null }[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  Socket.all = [];
  asked = [];
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("fetch", (_url: URL, { signal = null }: RequestInit) => {
    return new Promise<Response>((resolve, reject) => {
      asked.push({
        signal,
        answer: (body, status = 200) => resolve(new Response(body, { status })),
      });
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
    });
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const TICKET = JSON.stringify({ ticket: "t" });
const settled = () => vi.advanceTimersByTimeAsync(0);

function start() {
  const states: RelayState[] = [];
  const none = () => undefined;
  const relay = new Relay(BASE, (state) => states.push(state), {
    machines: none,
    presence: none,
    machineRemoved: none,
  });
  relay.start();
  return { relay, states };
}

describe("an attempt to connect", () => {
  it("ends when the relay says no hello", async () => {
    const { states } = start();
    asked[0]!.answer(TICKET);
    await settled();
    expect(Socket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(Socket.all[0]!.closed).toBe(true);
    expect(states.at(-1)).toMatchObject({ kind: "connecting", why: texts.relaySilent });
  });

  it("goes on after a hello in time", async () => {
    const { states } = start();
    asked[0]!.answer(TICKET);
    await settled();
    Socket.all[0]!.hello();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(Socket.all[0]!.closed).toBe(false);
    expect(states.at(-1)).toEqual({ kind: "online" });
  });

  it("that is under way does not replace a socket that is ready", async () => {
    const { relay, states } = start();
    asked[0]!.answer(TICKET);
    await settled();
    relay.nudge();
    Socket.all[0]!.hello();
    asked[1]!.answer(TICKET);
    await settled();
    expect(Socket.all).toHaveLength(1);
    expect(Socket.all[0]!.closed).toBe(false);
    expect(states.at(-1)).toEqual({ kind: "online" });
  });

  it("waits longer each time, also a long time after the last one that lived", async () => {
    vi.spyOn(Math, "random").mockReturnValue(1);
    const { states } = start();
    asked[0]!.answer(TICKET);
    await settled();
    Socket.all[0]!.hello();
    await vi.advanceTimersByTimeAsync(1_000);
    Socket.all[0]!.onclose!();
    let before = asked.length;
    for (let away = 0; away < 300; away += 1) {
      for (; before < asked.length; before += 1) asked[before]!.answer("away", 502);
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(states.at(-1)).toMatchObject({ kind: "connecting" });
    // 0, 0.5, 1, 2, 4, 8, 16, and every 30 s from then on.
    expect(asked.length).toBeLessThan(20);
  });

  it("that waits for its time does not replace a socket that is ready", async () => {
    const { relay, states } = start();
    asked[0]!.answer(TICKET);
    await settled();
    relay.nudge();
    // The first time it tries again at once, the second time it waits.
    vi.spyOn(Math, "random").mockReturnValue(1);
    for (const attempt of [1, 2]) {
      asked[attempt]!.answer("{");
      await settled();
    }
    Socket.all[0]!.hello();
    await vi.advanceTimersByTimeAsync(25_000);
    expect(asked).toHaveLength(3);
    expect(states.at(-1)).toEqual({ kind: "online" });
  });
});

describe("asking for a ticket", () => {
  it("has an end", () => {
    const deadline = vi.spyOn(AbortSignal, "timeout");
    void deviceTicket(BASE).catch(() => undefined);
    expect(deadline).toHaveBeenCalledWith(10_000);
    expect(asked[0]!.signal).toBe(deadline.mock.results[0]!.value);
  });

  it("believes only the relay itself that it does not know this device", async () => {
    const unauthorized = JSON.stringify({ error: { code: "unauthorized", message: "Who?" } });
    const answers: [string, number, boolean][] = [
      [unauthorized, 401, true],
      [unauthorized, 403, false],
      ["<p>Log in first</p>", 401, false],
      ["<p>Forbidden</p>", 403, false],
    ];
    for (const [body, status, isUnknown] of answers) {
      const ticket = deviceTicket(BASE);
      asked.at(-1)!.answer(body, status);
      if (isUnknown) await expect(ticket).resolves.toBeUndefined();
      else await expect(ticket).rejects.toThrow();
    }
  });

  it("does not take half an answer for a relay that does not know this device", async () => {
    const ticket = deviceTicket(BASE);
    asked[0]!.answer('{"tick');
    await expect(ticket).rejects.toThrow(texts.relaySilent);
  });
});
