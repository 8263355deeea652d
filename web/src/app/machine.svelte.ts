/** One paired machine as the page sees it: presence, link, sessions, and the sessions in view. */

import { SvelteMap } from "svelte/reactivity";
import {
  AhpClient,
  ROOT,
  RpcError,
  SESSION_ALREADY_EXISTS,
  SESSION_NOT_FOUND,
  type State,
} from "../ahp/client";
import type {
  Action,
  ChatState,
  RootState,
  SessionState,
  SessionSummary,
  TerminalState,
} from "../ahp/types";
import { MAX_OUT_BYTES } from "../link/channel";
import { MachineLink, type MachineState, type Opener } from "../link/machine";
import type { KeyPair } from "../link/noise";
import type { MachinePresence } from "../link/relay";
import type { Database, PairedMachine } from "./database";
import { askForCommands, type Command } from "./commands";
import { Outbox, type EntryKind } from "./outbox.svelte";
import { chatUri, idOf, needsSomeone, sessionUri } from "./session";
import { texts } from "./texts";

/** Finished turns that are shown at once; older ones come on demand. */
const TURNS = 20;
/** The whole of it is written, so not with every word; what ends is written at once. */
const CACHE_EVERY_MS = 5_000;
const PAGE = 100;

/** A session in view. */
export class SessionView {
  session = $state.raw<SessionState>();
  chat = $state.raw<ChatState>();
  readonly terminals = new SvelteMap<string, TerminalState>();
  /** The machine says that it does not exist; nobody learns more. */
  gone = $state(false);
  /** What is shown comes from this device, not yet from the machine. */
  stale = $state(true);
  loadingOlder = $state(false);
  /** What did not work, in words. */
  trouble = $state("");

  constructor(readonly id: string) {}
}

/** What a machine needs of the page. */
export interface MachineNeeds {
  /** Tells that a session needs somebody. */
  announce(summary: SessionSummary): void;
  /** What was being typed for a session that is gone; it is no draft any more. */
  takeDraft(session: string): Promise<string | undefined>;
}

export class Machine {
  name = $state("");
  presence = $state.raw<MachinePresence>();
  /** The relay does not list it any more: it left, or lets this device in no more. */
  gone = $state(false);
  link = $state.raw<MachineState>({ kind: "offline" });
  root = $state.raw<RootState>();
  /** Whether it has slash commands; not known before it was asked. */
  offersCommands = $state<boolean>();
  readonly sessions = new SvelteMap<string, SessionSummary>();
  readonly views = new SvelteMap<string, SessionView>();
  readonly outbox: Outbox;
  private readonly client: AhpClient;
  private readonly transport: MachineLink;
  private readonly cacheTimers = new Map<string, ReturnType<typeof setTimeout>>();
  private readonly cachedAt = new Map<string, number>();

  constructor(
    readonly paired: PairedMachine,
    own: KeyPair,
    deviceName: string,
    relay: Opener,
    private readonly database: Database,
    private readonly needs: MachineNeeds,
  ) {
    this.name = paired.name;
    const listener = {
      state: (channel: string, state: State | undefined) => this.stateChanged(channel, state),
      sessionAdded: (summary: SessionSummary) => {
        this.putSummary(summary);
        this.heal(idOf(summary.resource));
      },
      sessionRemoved: (session: string) => this.removeSession(session),
      sessionChanged: (session: string, changes: Partial<SessionSummary>) => {
        const before = this.sessions.get(idOf(session));
        if (before) this.putSummary({ ...before, ...changes });
      },
      closed: (reason: string) => this.transport.farewell(reason),
    };
    const clientId = `web-${crypto.randomUUID()}`;
    this.client = new AhpClient(clientId, deviceName, listener, MAX_OUT_BYTES);
    this.outbox = new Outbox(paired.machineId, database, this.client, () => navigator.onLine);
    this.transport = new MachineLink(paired, own, deviceName, relay, {
      state: (state) => {
        this.link = state;
      },
      connected: async (pipe) => {
        // It may be another daemon than before.
        this.offersCommands = undefined;
        await this.client.connected(pipe);
        for (const view of this.views.values()) if (!view.gone) view.stale = false;
        void this.outbox.flush();
        await this.list();
      },
      disconnected: () => {
        this.client.disconnected();
        for (const view of this.views.values()) view.stale = true;
      },
      message: (message) => this.client.receive(message),
    });
  }

  get id(): string {
    return this.paired.machineId;
  }

  get online(): boolean {
    return this.link.kind === "online";
  }

  /** Paints what this device remembers, then sends what it still owes. */
  async restore(): Promise<void> {
    const typed = this.outbox.read();
    const kept = await this.database.openAll<SessionSummary>("cache", `list/${this.id}/`);
    for (const { value } of kept) {
      const id = idOf(value.resource);
      if (!this.sessions.has(id)) this.sessions.set(id, value);
    }
    await this.outbox.restore(await typed, (session) => this.sessions.has(session));
  }

  /** What the relay says of it, which is nothing before its list came. */
  present(presence: MachinePresence | undefined, relayOnline: boolean, isListed: boolean): void {
    if (isListed) this.gone = !presence;
    if (isListed || presence) this.presence = presence;
    if (presence?.name) this.name = presence.name;
    this.transport.want(relayOnline && this.presence?.online === true);
  }

  nudge(): void {
    this.transport.nudge();
    void this.outbox.flush();
  }

  stop(): void {
    this.transport.stop();
  }

  private async list(): Promise<void> {
    const there = new Set<string>();
    let cursor: string | undefined;
    do {
      const page = (await this.client.call("listSessions", {
        channel: ROOT,
        limit: PAGE,
        ...(cursor === undefined ? {} : { cursor }),
      })) as { items: SessionSummary[]; nextCursor?: string };
      for (const summary of page.items) {
        there.add(idOf(summary.resource));
        this.putSummary(summary);
      }
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    for (const id of [...this.sessions.keys()]) if (!there.has(id)) this.forget(id);
    for (const id of there) this.heal(id);
  }

  private putSummary(summary: SessionSummary): void {
    const id = idOf(summary.resource);
    const before = this.sessions.get(id);
    this.sessions.set(id, summary);
    this.cacheLater(`list/${this.id}/${id}`);
    if (before && needsSomeone(summary) && !needsSomeone(before)) this.needs.announce(summary);
  }

  private removeSession(session: string): void {
    this.forget(idOf(session));
    const view = this.views.get(idOf(session));
    if (view) view.gone = true;
  }

  private forget(id: string): void {
    this.sessions.delete(id);
    void this.database.remove("cache", `list/${this.id}/${id}`);
    void this.database.remove("cache", `chat/${this.id}/${id}`);
    void this.keepTyped(id);
  }

  /** What was being typed for a session that is gone is kept until somebody has seen that. */
  private async keepTyped(session: string): Promise<void> {
    const text = await this.needs.takeDraft(session);
    if (!text) return;
    const id = `draft-${crypto.randomUUID()}`;
    const action = { type: "none" };
    const entry = { id, session, channel: chatUri(session), action, label: text, at: Date.now() };
    await this.outbox.lose({ ...entry, kind: "prompt" }, texts.sessionGone);
  }

  // --- sessions in view

  /** Follows a session; shows at once what is remembered of it. */
  view(id: string): SessionView {
    const known = this.views.get(id);
    if (known) return known;
    const view = new SessionView(id);
    this.views.set(id, view);
    void this.follow(view);
    return view;
  }

  /** A view of what was gone and is there again is followed again. */
  private heal(id: string): void {
    const view = this.views.get(id);
    if (!view?.gone) return;
    view.gone = false;
    void this.follow(view);
  }

  private async follow(view: SessionView): Promise<void> {
    // It is only a copy: what cannot be read is not there.
    const kept = await this.database
      .open<{ session: SessionState; chat: ChatState }>("cache", `chat/${this.id}/${view.id}`)
      .catch(() => undefined);
    // Somebody may have left it meanwhile, and nobody would end what is followed now.
    if (this.views.get(view.id) !== view) return;
    if (kept && !view.chat) {
      view.session = kept.session;
      view.chat = kept.chat;
    }
    try {
      // Both at once: without a connection both wait for it.
      await Promise.all([
        this.client.subscribe(sessionUri(view.id)),
        this.client.subscribe(chatUri(view.id), TURNS),
      ]);
      view.stale = false;
    } catch (error) {
      // With a connection this is the machine's answer. Without one, it is asked again on connecting.
      if (!this.online || !(error instanceof RpcError) || error.code === 0) return;
      if (error.code !== SESSION_NOT_FOUND) {
        view.trouble = error.message;
        return;
      }
      view.gone = true;
      void this.keepTyped(view.id);
    }
  }

  leave(id: string): void {
    const view = this.views.get(id);
    if (!view) return;
    const copy = `chat/${this.id}/${id}`;
    if (this.cacheTimers.has(copy)) this.cacheNow(copy);
    this.views.delete(id);
    for (const terminal of view.terminals.keys()) this.client.unsubscribe(terminal);
    this.client.unsubscribe(chatUri(id));
    this.client.unsubscribe(sessionUri(id));
  }

  /** Follows the live output of a command. */
  async watch(view: SessionView, terminal: string): Promise<void> {
    if (!terminal.startsWith(`ahp-terminal:/${view.id}/`)) return;
    await this.client.subscribe(terminal).catch(() => undefined);
  }

  unwatch(view: SessionView, terminal: string): void {
    this.client.unsubscribe(terminal);
    view.terminals.delete(terminal);
  }

  async older(view: SessionView): Promise<void> {
    const cursor = view.chat?.turnsNextCursor;
    if (cursor === undefined || view.loadingOlder) return;
    view.loadingOlder = true;
    try {
      await this.client.call("fetchTurns", { channel: chatUri(view.id), cursor });
    } catch {
      // The button stays, so that it can be asked for again.
    } finally {
      view.loadingOlder = false;
    }
  }

  /** Reads content that the session refers to. Throws with words. */
  async read(session: string, uri: string): Promise<{ data: string; encoding: string }> {
    return (await this.client.call("resourceRead", { channel: sessionUri(session), uri })) as {
      data: string;
      encoding: string;
    };
  }

  /** Why an action could never be sent; nothing when it can. */
  refusal(session: string, action: Action): string | undefined {
    return this.client.fits(chatUri(session), action) ? undefined : texts.tooLong;
  }

  /**
   * Asks for something in a chat; what becomes of it is in the outbox and in the states. Says why,
   * when it could never be sent.
   */
  submit(
    session: string,
    id: string,
    action: Action,
    kind: EntryKind,
    label: string,
  ): string | undefined {
    const refusal = this.refusal(session, action);
    const channel = chatUri(session);
    if (refusal === undefined) {
      void this.outbox.put({ id, session, channel, action, kind, label, at: Date.now() });
    }
    return refusal;
  }

  /**
   * Asks for what has no id, as a mode or a name: only over a connection that is there, and never
   * twice. Resolves with words when it was refused, or when nobody knows.
   */
  async attempt(session: string, action: Action): Promise<string | undefined> {
    const outcome = await this.client.attempt(sessionUri(session), action);
    if (outcome.kind === "applied") return undefined;
    return outcome.kind === "rejected" ? outcome.reason : texts.unknownOutcome;
  }

  /** Makes a session. The same id again is the same session, whatever became of the first answer. */
  async create(id: string, folder: string, mode: string): Promise<void> {
    try {
      await this.client.call("createSession", {
        channel: sessionUri(id),
        workingDirectories: [folder],
        ...(mode ? { config: { mode } } : {}),
      });
    } catch (error) {
      if (!(error instanceof RpcError) || error.code !== SESSION_ALREADY_EXISTS) throw error;
    }
  }

  /** The commands that fit what is typed; none where the machine knows none. */
  async commands(session: string, text: string): Promise<Command[]> {
    if (!this.online || this.offersCommands === false) return [];
    const found = await askForCommands(
      (method, params) => this.client.call(method, params),
      chatUri(session),
      text,
    );
    // An empty answer may come from a lost connection; it says nothing about the machine.
    if (found === undefined) this.offersCommands = false;
    else if (found.length > 0) this.offersCommands = true;
    return found ?? [];
  }

  private stateChanged(channel: string, state: State | undefined): void {
    if (channel === ROOT) {
      this.root = state as RootState | undefined;
      return;
    }
    if (channel.startsWith("ahp-terminal:")) {
      const view = this.views.get(channel.split("/")[1] ?? "");
      if (state) view?.terminals.set(channel, state as TerminalState);
      else view?.terminals.delete(channel);
      return;
    }
    const view = this.views.get(idOf(channel));
    if (!view) return;
    if (!state) {
      view.gone = true;
      return;
    }
    const wasRunning = view.chat?.activeTurn !== undefined;
    if (channel.startsWith("ahp-chat:")) view.chat = state as ChatState;
    else view.session = state as SessionState;
    if (!view.chat || !view.session) return;
    const copy = `chat/${this.id}/${view.id}`;
    if (wasRunning && view.chat.activeTurn === undefined) this.cacheNow(copy);
    else this.cacheLater(copy);
  }

  // --- the copy on this device

  /** At once when it was not kept lately, so that a reload finds what was just seen. */
  private cacheLater(key: string): void {
    if (this.cacheTimers.has(key)) return;
    const wait = (this.cachedAt.get(key) ?? 0) + CACHE_EVERY_MS - Date.now();
    this.cacheTimers.set(
      key,
      setTimeout(() => this.cacheNow(key), Math.max(0, wait)),
    );
  }

  private cacheNow(key: string): void {
    clearTimeout(this.cacheTimers.get(key));
    this.cacheTimers.delete(key);
    this.cachedAt.set(key, Date.now());
    void this.cache(key).catch(() => undefined);
  }

  /** Keeps what is due: the page may be about to go. */
  keepCopies(): void {
    for (const key of [...this.cacheTimers.keys()]) this.cacheNow(key);
  }

  private async cache(key: string): Promise<void> {
    const id = key.slice(key.lastIndexOf("/") + 1);
    if (key.startsWith("list/")) {
      const summary = this.sessions.get(id);
      if (summary) await this.database.seal("cache", key, summary);
      return;
    }
    const view = this.views.get(id);
    if (!view?.chat || !view.session || view.gone) return;
    const { session, chat } = view;
    // Older turns were asked for once and can be asked for again.
    const kept = { session, chat: { ...chat, turns: chat.turns.slice(-TURNS) } };
    await this.database.seal("cache", key, kept);
  }
}
