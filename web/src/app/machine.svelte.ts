/** One paired machine as the page sees it: presence, link, sessions, and the sessions in view. */

import { SvelteMap } from "svelte/reactivity";
import { AhpClient, ROOT, RpcError, type State } from "../ahp/client";
import type {
  Action,
  ChatState,
  RootState,
  SessionState,
  SessionSummary,
  TerminalState,
} from "../ahp/types";
import { MachineLink, type MachineState, type Opener } from "../link/machine";
import type { KeyPair } from "../link/noise";
import type { MachinePresence } from "../link/relay";
import type { Database, PairedMachine } from "./database";
import { askForCommands, type Command } from "./commands";
import { Outbox, type EntryKind } from "./outbox.svelte";
import { chatUri, idOf, needsSomeone, sessionUri } from "./session";

/** Finished turns that are shown at once; older ones come on demand. */
const TURNS = 20;
const CACHE_EVERY_MS = 1_000;
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

  constructor(readonly id: string) {}
}

export class Machine {
  name = $state("");
  presence = $state.raw<MachinePresence>();
  link = $state.raw<MachineState>({ kind: "offline" });
  root = $state.raw<RootState>();
  notice = $state("");
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
    private readonly announce: (summary: SessionSummary) => void,
  ) {
    this.name = paired.name;
    this.client = new AhpClient(`web-${crypto.randomUUID()}`, deviceName, {
      state: (channel, state) => this.stateChanged(channel, state),
      sessionAdded: (summary) => this.putSummary(summary),
      sessionRemoved: (session) => this.removeSession(session),
      sessionChanged: (session, changes) => {
        const before = this.sessions.get(idOf(session));
        if (before) this.putSummary({ ...before, ...changes });
      },
      closed: (reason) => this.transport.farewell(reason),
    });
    this.outbox = new Outbox(paired.machineId, database, this.client);
    this.transport = new MachineLink(paired, own, deviceName, relay, {
      state: (state) => {
        this.link = state;
      },
      connected: async (pipe) => {
        // It may be another daemon than before.
        this.offersCommands = undefined;
        await this.client.connected(pipe);
        for (const view of this.views.values()) if (!view.gone) view.stale = false;
        await this.list();
      },
      disconnected: () => {
        this.client.disconnected();
        for (const view of this.views.values()) view.stale = true;
      },
      message: (message) => this.client.receive(message),
      notice: (message) => {
        this.notice = message;
      },
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
    const kept = await this.database.openAll<SessionSummary>("cache", `list/${this.id}/`);
    for (const { value } of kept) {
      const id = idOf(value.resource);
      if (!this.sessions.has(id)) this.sessions.set(id, value);
    }
    await this.outbox.restore();
  }

  present(presence: MachinePresence | undefined, relayOnline: boolean): void {
    if (presence) {
      this.presence = presence;
      if (presence.name) this.name = presence.name;
    }
    this.transport.want(relayOnline && this.presence?.online === true);
  }

  nudge(): void {
    this.transport.nudge();
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
  }

  private putSummary(summary: SessionSummary): void {
    const id = idOf(summary.resource);
    const before = this.sessions.get(id);
    this.sessions.set(id, summary);
    this.cacheLater(`list/${this.id}/${id}`);
    if (before && needsSomeone(summary) && !needsSomeone(before)) this.announce(summary);
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

  private async follow(view: SessionView): Promise<void> {
    const kept = await this.database.open<{ session: SessionState; chat: ChatState }>(
      "cache",
      `chat/${this.id}/${view.id}`,
    );
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
      if (this.online && error instanceof RpcError && error.code !== 0) view.gone = true;
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

  /** Asks for something; what becomes of it is in the outbox and in the states. */
  async submit(session: string, id: string, action: Action, kind: EntryKind, label: string) {
    const channel = action.type.startsWith("session/") ? sessionUri(session) : chatUri(session);
    await this.outbox.put({ id, session, channel, action, kind, label, at: Date.now() });
  }

  async create(folder: string, mode: string): Promise<string> {
    const id = crypto.randomUUID();
    await this.client.call("createSession", {
      channel: sessionUri(id),
      workingDirectories: [folder],
      ...(mode ? { config: { mode } } : {}),
    });
    return id;
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
    if (channel.startsWith("ahp-chat:")) view.chat = state as ChatState;
    else view.session = state as SessionState;
    if (view.chat && view.session) this.cacheLater(`chat/${this.id}/${view.id}`);
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
