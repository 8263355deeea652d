/**
 * An AHP client over any ordered pipe of whole messages: requests, subscriptions, echoes, and the
 * way back after the pipe broke.
 *
 * States live here and are reduced here, and listeners are told. What was dispatched and not echoed
 * when the pipe broke is sent again; the ids inside actions make that harmless. What has no id is
 * sent once, over a pipe that is there. A rejected action is never applied. What the pipe cannot
 * carry is rejected here, for a pipe that breaks on it would break again and again.
 */

import { texts } from "../app/texts";
import { utf8 } from "../link/bytes";
import { reduceChat, reduceRoot, reduceSession, reduceTerminal } from "./reducers";
import type {
  Action,
  ActionEnvelope,
  ChatState,
  RootState,
  SessionState,
  SessionSummary,
  Snapshot,
  TerminalState,
} from "./types";

export const ROOT = "ahp-root://";
const PROTOCOL_VERSIONS = ["1.0.0"];

export type State = RootState | SessionState | ChatState | TerminalState;

export interface Pipe {
  send(message: string): void;
}

/** What became of an action. */
export type Outcome =
  | { kind: "applied" }
  /** `again`: it had been sent before, and may have had its effect then. */
  | { kind: "rejected"; reason: string; again?: true }
  /** The pipe broke before the host said anything, and it is not sent twice. */
  | { kind: "unknown" };

/** Codes of errors, as the protocol has them. */
export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;
export const SESSION_NOT_FOUND = -32001;
export const SESSION_ALREADY_EXISTS = -32003;

export class RpcError extends Error {
  override name = "RpcError";
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Listener {
  /** A state is new. `undefined`: the channel is gone. */
  state(channel: string, state: State | undefined): void;
  sessionAdded(summary: SessionSummary): void;
  sessionRemoved(session: string): void;
  sessionChanged(session: string, changes: Partial<SessionSummary>): void;
  /** The host says goodbye. */
  closed(reason: string): void;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

interface Dispatched {
  channel: string;
  action: Action;
  /** It has no id: a second one would be another one. */
  once?: true;
  /** It was given to a pipe, this one or an earlier one. */
  sent?: true;
  /** It was given to an earlier pipe. */
  again?: true;
  resolve(outcome: Outcome): void;
}

interface Subscription {
  turns?: number;
  state?: State;
  /** Nobody looks: it is there to hear what becomes of what was sent, and ends with the last of it. */
  forEchoes?: true;
}

export class AhpClient {
  private pipe: Pipe | undefined;
  /** Every subscription is up to date, and actions go out. */
  private ready = false;
  private nextId = 1;
  private nextSeq = 1;
  private lastSeq: number | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private readonly dispatched = new Map<number, Dispatched>();
  private readonly subscriptions = new Map<string, Subscription>();

  constructor(
    readonly clientId: string,
    private readonly title: string,
    private readonly listener: Listener,
    /** The longest message that a pipe carries. */
    private readonly maxBytes = Infinity,
  ) {}

  get isReady(): boolean {
    return this.ready;
  }

  /**
   * A pipe is there. Resolves when every subscription is up to date again: the host replays what was
   * missed, or sends the states anew.
   */
  async connected(pipe: Pipe): Promise<void> {
    this.pipe = pipe;
    if (this.lastSeq === undefined) await this.initialize();
    else await this.reconnect();
    if (this.pipe !== pipe) return;
    this.ready = true;
    const waiting = [...this.dispatched.values()];
    this.dispatched.clear();
    for (const sending of waiting) {
      if (sending.once) this.settle(sending, { kind: "unknown" });
      else this.send(sending.sent ? { ...sending, again: true } : sending);
    }
  }

  /** The pipe is gone. Requests fail; actions wait for the next pipe. */
  disconnected(): void {
    this.pipe = undefined;
    this.ready = false;
    for (const waiting of this.waiting.values()) {
      waiting.reject(new RpcError(0, texts.connectionLost));
    }
    this.waiting.clear();
  }

  private async initialize(): Promise<void> {
    const result = (await this.call("initialize", {
      channel: ROOT,
      protocolVersions: PROTOCOL_VERSIONS,
      clientId: this.clientId,
      clientInfo: { name: "copilot-web", title: this.title, version: __BUILD__ },
      initialSubscriptions: [ROOT],
    })) as { serverSeq: number; snapshots: Snapshot<State>[] };
    this.lastSeq = result.serverSeq;
    if (!this.subscriptions.has(ROOT)) this.subscriptions.set(ROOT, {});
    for (const snapshot of result.snapshots) this.put(snapshot.resource, snapshot.state);
    const others = [...this.subscriptions.keys()].filter((channel) => channel !== ROOT);
    await Promise.all(others.map((channel) => this.resubscribe(channel)));
  }

  private async reconnect(): Promise<void> {
    const asked = [...this.subscriptions.keys()];
    const result = (await this.call("reconnect", {
      channel: ROOT,
      _meta: { "copilot.clientTitle": this.title },
      clientId: this.clientId,
      lastSeenServerSeq: this.lastSeq,
      subscriptions: asked,
    })) as
      | { type: "replay"; actions: ActionEnvelope[]; missing: string[] }
      | { type: "snapshot"; snapshots: Snapshot<State>[] };
    if (result.type === "replay") {
      for (const envelope of result.actions) this.apply(envelope);
      // What the host does not hold in memory it may still have; what was first wanted without a
      // connection has no state to which a replay could add.
      const missing = new Set(result.missing);
      const anew = [...this.subscriptions].filter(
        ([channel, { state }]) => missing.has(channel) || state === undefined,
      );
      await Promise.all(anew.map(([channel]) => this.resubscribe(channel)));
      return;
    }
    const there = new Set<string>();
    for (const snapshot of result.snapshots) {
      there.add(snapshot.resource);
      this.lastSeq = Math.max(this.lastSeq ?? 0, snapshot.fromSeq);
      this.put(snapshot.resource, snapshot.state);
    }
    // What was first wanted meanwhile has an answer of its own.
    const gone = asked.filter((channel) => this.subscriptions.has(channel) && !there.has(channel));
    for (const channel of gone) this.drop(channel);
  }

  private async resubscribe(channel: string): Promise<void> {
    const subscription = this.subscriptions.get(channel);
    try {
      await this.ask(channel, subscription?.turns);
    } catch (error) {
      if (!this.pipe || !(error instanceof RpcError)) throw error;
      if (isNotFound(error)) this.drop(channel);
      // What was missed is missing: nothing is added to it, and the next connection asks again.
      else delete subscription?.state;
    }
  }

  /** Follows a channel. Its state comes to the listener before this resolves. */
  async subscribe(channel: string, turns?: number): Promise<void> {
    const subscription: Subscription = this.subscriptions.get(channel) ?? {};
    if (turns !== undefined) subscription.turns = turns;
    delete subscription.forEchoes;
    this.subscriptions.set(channel, subscription);
    await this.ask(channel, turns);
  }

  /** Whoever looks stays who looks. */
  private async ask(channel: string, turns?: number): Promise<void> {
    try {
      const result = (await this.call("subscribe", {
        channel,
        ...(turns === undefined ? {} : { view: { turns } }),
      })) as { snapshot?: Snapshot<State> };
      if (result.snapshot) {
        this.lastSeq = Math.max(this.lastSeq ?? 0, result.snapshot.fromSeq);
        this.put(channel, result.snapshot.state);
      }
    } catch (error) {
      // It will not come by itself. What failed otherwise is asked for again by the next pipe.
      if (isNotFound(error)) this.subscriptions.delete(channel);
      throw error;
    }
  }

  /** Looks no longer; what was sent there is still heard of. */
  unsubscribe(channel: string): void {
    const subscription = this.subscriptions.get(channel);
    if (!subscription) return;
    subscription.forEchoes = true;
    this.release(channel);
  }

  /** Ends what nobody looks at when nothing that was sent there is open. */
  private release(channel: string): void {
    if (!this.subscriptions.get(channel)?.forEchoes) return;
    if ([...this.dispatched.values()].some((sending) => sending.channel === channel)) return;
    this.subscriptions.delete(channel);
    this.notify("unsubscribe", { channel });
  }

  state<S extends State>(channel: string): S | undefined {
    return this.subscriptions.get(channel)?.state as S | undefined;
  }

  /**
   * Asks for an action; resolves when the host has said what became of it, however long it takes.
   * `again`: an earlier page may have sent it.
   */
  dispatch(channel: string, action: Action, again = false): Promise<Outcome> {
    return new Promise((resolve) =>
      this.send({ channel, action, resolve, ...(again ? { again } : {}) }),
    );
  }

  /** Asks for an action that has no id: now or not at all, and never twice. */
  attempt(channel: string, action: Action): Promise<Outcome> {
    if (!this.ready) {
      return Promise.resolve({ kind: "rejected", reason: texts.machineNotConnected });
    }
    return new Promise((resolve) => this.send({ channel, action, resolve, once: true }));
  }

  /** Whether an action is short enough to be sent. */
  fits(channel: string, action: Action): boolean {
    return this.carries(dispatched(channel, Number.MAX_SAFE_INTEGER, action));
  }

  private carries(message: string): boolean {
    // No character has more than three bytes for each of its units.
    return 3 * message.length <= this.maxBytes || utf8(message).length <= this.maxBytes;
  }

  private send(sending: Dispatched): void {
    const { channel, action, resolve } = sending;
    const message = dispatched(channel, this.nextSeq, action);
    if (!this.carries(message)) {
      resolve({ kind: "rejected", reason: texts.tooLong });
      return;
    }
    // Only who follows a channel hears what became of an action there.
    if (!this.subscriptions.has(channel)) {
      this.subscriptions.set(channel, { turns: 1, forEchoes: true });
      void this.ask(channel, 1).catch(() => undefined);
    }
    this.dispatched.set(this.nextSeq++, this.ready ? { ...sending, sent: true } : sending);
    if (this.ready) this.pipe?.send(message);
  }

  call(method: string, params: object): Promise<unknown> {
    const pipe = this.pipe;
    if (!pipe) return Promise.reject(new RpcError(0, texts.machineNotConnected));
    const id = this.nextId++;
    const message = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    if (!this.carries(message)) {
      return Promise.reject(new RpcError(INVALID_REQUEST, texts.tooLong));
    }
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      pipe.send(message);
    });
  }

  private notify(method: string, params: object): void {
    this.pipe?.send(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }

  /** One whole message from the host. What cannot be read is skipped: a newer host may say more. */
  receive(message: string): void {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    let parsed: any;
    try {
      parsed = JSON.parse(message);
    } catch {
      return;
    }
    if (parsed?.id !== undefined && parsed.method === undefined) {
      const waiting = this.waiting.get(parsed.id);
      this.waiting.delete(parsed.id);
      if (parsed.error) {
        waiting?.reject(new RpcError(Number(parsed.error.code), String(parsed.error.message)));
      } else waiting?.resolve(parsed.result);
      return;
    }
    const { params } = parsed ?? {};
    switch (parsed?.method) {
      case "action":
        this.apply(params as ActionEnvelope);
        break;
      case "root/sessionAdded":
        this.listener.sessionAdded(params.summary);
        break;
      case "root/sessionRemoved":
        this.listener.sessionRemoved(params.session);
        break;
      case "root/sessionSummaryChanged":
        this.listener.sessionChanged(params.session, params.changes);
        break;
      case "copilot/closed":
        this.listener.closed(String(params?.reason ?? ""));
        break;
    }
  }

  private apply(envelope: ActionEnvelope): void {
    const { channel, action, serverSeq, origin, rejectionReason } = envelope;
    if (typeof serverSeq === "number") this.lastSeq = Math.max(this.lastSeq ?? 0, serverSeq);
    if (origin?.clientId === this.clientId) {
      const own = this.dispatched.get(origin.clientSeq);
      this.dispatched.delete(origin.clientSeq);
      // An input that already took effect took effect.
      const rejected = rejectionReason !== undefined && !rejectionReason.startsWith("duplicate:");
      if (own) {
        this.settle(
          own,
          rejected
            ? { kind: "rejected", reason: rejectionReason, ...(own.again ? { again: true } : {}) }
            : { kind: "applied" },
        );
      }
    }
    if (rejectionReason !== undefined) return;
    const subscription = this.subscriptions.get(channel);
    if (!subscription?.state) return;
    const next = reduce(channel, subscription.state, action);
    if (next === subscription.state) return;
    subscription.state = next;
    this.listener.state(channel, next);
  }

  private settle(sending: Dispatched, outcome: Outcome): void {
    sending.resolve(outcome);
    // After whoever hears of it has looked at the state.
    queueMicrotask(() => this.release(sending.channel));
  }

  private put(channel: string, state: unknown): void {
    const subscription = this.subscriptions.get(channel);
    if (!subscription) return;
    subscription.state = state as State;
    this.listener.state(channel, subscription.state);
  }

  private drop(channel: string): void {
    this.subscriptions.delete(channel);
    this.listener.state(channel, undefined);
  }
}

const isNotFound = (error: unknown): boolean =>
  error instanceof RpcError && error.code === SESSION_NOT_FOUND;

const dispatched = (channel: string, clientSeq: number, action: Action): string =>
  JSON.stringify({
    jsonrpc: "2.0",
    method: "dispatchAction",
    params: { channel, clientSeq, action },
  });

function reduce(channel: string, state: State, action: Action): State {
  if (channel.startsWith("ahp-chat:")) return reduceChat(state as ChatState, action);
  if (channel.startsWith("ahp-session:")) return reduceSession(state as SessionState, action);
  if (channel.startsWith("ahp-terminal:")) return reduceTerminal(state as TerminalState, action);
  if (channel === ROOT) return reduceRoot(state as RootState, action);
  return state;
}
