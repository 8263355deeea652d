/**
 * What was asked for and is not yet known to have happened.
 *
 * An entry is kept while it is sent, at once, and leaves when the machine has said what became of it,
 * so neither a reload nor a lost connection loses it, and the ids inside make sending it twice
 * harmless. What waits for a connection is this device's alone and can be taken back; that it goes
 * out is written down first. Ids are those of one session: another one may have the same.
 */

import { SvelteMap, SvelteSet } from "svelte/reactivity";
import type { AhpClient, Outcome } from "../ahp/client";
import type { Action, ChatState } from "../ahp/types";
import type { Database } from "./database";
import { isDone } from "./session";

export type EntryKind = "prompt" | "steer" | "queue" | "answer" | "other";

export interface Entry {
  /** The id inside the action: of the turn, the message, the call or the request. */
  id: string;
  session: string;
  channel: string;
  action: Action;
  kind: EntryKind;
  /** What a person typed or chose. */
  label: string;
  at: number;
}

export interface OutboxItem extends Entry {
  /** Why it was refused, when it was. */
  rejected?: string;
  /** It waits for a connection, and was never given to one. */
  unsent?: true;
}

/** What names an entry: ids are those of one session. */
type Name = Pick<Entry, "session" | "id">;

const keyOf = ({ session, id }: Name): string => `${session}/${id}`;
const waits = (item: OutboxItem): boolean => item.unsent === true && item.rejected === undefined;

/**
 * How what is typed now is sent, after those `items` of its session that have not arrived. A second
 * turn would be refused, and so would a second message that joins one; a queued message begins at
 * once where nothing runs.
 */
export function sendAs(
  items: OutboxItem[],
  running: boolean,
  steeringWaits: boolean,
): "prompt" | "steering" | "queued" {
  const first: EntryKind[] = running ? ["prompt", "steer"] : ["prompt", "steer", "queue"];
  const isFirst = (item: OutboxItem) => item.rejected === undefined && first.includes(item.kind);
  if (steeringWaits || items.some(isFirst)) return "queued";
  return running ? "steering" : "prompt";
}

type Kept = { key: string; value: OutboxItem };

export class Outbox {
  items = $state.raw<OutboxItem[]>([]);
  /** What was chosen on this page and counted. */
  private readonly accepted = new SvelteMap<string, string>();
  /** Entries that are being kept; whether they could be. */
  private readonly keeping = new Map<string, Promise<boolean>>();
  /** Entries that would be there again after a reload. */
  private readonly kept = new SvelteSet<string>();
  private flushing = false;

  constructor(
    private readonly machineId: string,
    private readonly database: Database,
    private readonly client: AhpClient,
    /** Whether the device has a network at all. A connection outlives it for a while. */
    private readonly isOnline: () => boolean,
  ) {}

  /** What is kept, for `restore`. */
  read(): Promise<Kept[]> {
    return this.database.openAll<OutboxItem>("outbox", `${this.machineId}/`);
  }

  /** Sends again what an earlier page left. */
  async restore(kept: Kept[], isKnown: (session: string) => boolean): Promise<void> {
    const items: OutboxItem[] = [];
    for (const { key, value } of kept) {
      // A tap that came too late was told of; one on a session that is gone is nobody's any more.
      const known = isKnown(value.session);
      const over = value.kind === "answer" ? known : value.kind === "other" && !known;
      // Modes and names have no ids. Earlier versions kept them, and would have set them once more.
      const nameless = value.action.type.startsWith("session/");
      if (nameless || (over && value.rejected !== undefined)) {
        await this.database.remove("outbox", key);
        continue;
      }
      // Earlier versions kept it without its session.
      if (key !== this.path(value)) {
        await this.database.seal("outbox", this.path(value), value);
        await this.database.remove("outbox", key);
      }
      this.keeping.set(keyOf(value), Promise.resolve(true));
      this.kept.add(keyOf(value));
      if (!this.find(value.session, value.id)) items.push(value);
    }
    items.sort((a, b) => a.at - b.at);
    this.items = [...items, ...this.items];
    for (const item of items) {
      if (item.rejected === undefined && !item.unsent) this.send(item, true);
    }
    await this.flush();
  }

  async put(entry: Entry): Promise<void> {
    // What waits goes first, also what is being written down before it goes.
    const goes = this.isConnected() && !this.flushing && !this.items.some(waits);
    const item: OutboxItem = goes ? entry : { ...entry, unsent: true };
    this.items = [...this.items.filter((other) => keyOf(other) !== keyOf(entry)), item];
    // Nobody's tap waits for a disk. Without room to keep it, it goes out while the page lives.
    const kept = this.keep(item);
    if (!item.unsent) this.send(item, false);
    await kept;
    await this.flush();
  }

  /** Keeps what was typed for a session that is gone, until somebody has seen that. */
  async lose(entry: Entry, why: string): Promise<void> {
    const item = { ...entry, rejected: why };
    this.items = [...this.items, item];
    await this.keep(item);
  }

  /** A connection is there: what waits for one goes out, the oldest first. */
  async flush(): Promise<void> {
    if (this.flushing) return;
    this.flushing = true;
    try {
      for (;;) {
        const item = this.items.find(waits);
        if (!item || !this.isConnected()) return;
        const { unsent: _, ...entry } = item;
        this.replace(item, entry);
        // Another tab took it back, or saw it arrive.
        if ((await this.onDisk(item)) === undefined) {
          this.items = this.items.filter((other) => other !== entry);
          this.leave(keyOf(item));
          continue;
        }
        // Written down first: what may have arrived is not taken back, not even after a reload.
        await this.keep(entry);
        this.send(entry, false);
      }
    } finally {
      this.flushing = false;
    }
  }

  /** Forgets what was refused or not sent. Says whether it did: what is under way stays. */
  async takeBack(name: Name): Promise<boolean> {
    const item = this.find(name.session, name.id);
    if (!item || (item.rejected === undefined && !item.unsent)) return false;
    // Another tab of this device may have sent it, and it may go out right now.
    if (waits(item) && !(await this.onDisk(item))?.unsent) return false;
    if (!this.items.includes(item)) return false;
    void this.dismiss(item);
    return true;
  }

  async dismiss(name: Name): Promise<void> {
    const key = keyOf(name);
    this.items = this.items.filter((item) => keyOf(item) !== key);
    // Its answer may come before it is kept.
    await this.keeping.get(key);
    this.leave(key);
    await this.database.remove("outbox", this.path(name));
  }

  of(session: string): OutboxItem[] {
    return this.items.filter((item) => item.session === session);
  }

  find(session: string, id: string): OutboxItem | undefined {
    return this.items.find((item) => item.session === session && item.id === id);
  }

  /** Whether it outlives this page; that takes a moment, or room that is not there. */
  isKept(name: Name): boolean {
    return this.kept.has(keyOf(name));
  }

  /** What was chosen here about a request, when it counted. */
  acceptedFor(session: string, id: string): string | undefined {
    return this.accepted.get(keyOf({ session, id }));
  }

  private isConnected(): boolean {
    return this.client.isReady && this.isOnline();
  }

  private path(name: Name): string {
    return `${this.machineId}/${keyOf(name)}`;
  }

  private keep(item: OutboxItem): Promise<boolean> {
    const key = keyOf(item);
    const kept = this.database.seal("outbox", this.path(item), item).then(
      () => {
        if (this.keeping.get(key) === kept) this.kept.add(key);
        return true;
      },
      () => false,
    );
    this.keeping.set(key, kept);
    return kept;
  }

  private leave(key: string): void {
    this.keeping.delete(key);
    this.kept.delete(key);
  }

  /** As it is kept now, for all tabs; as it is here where it could not be kept. */
  private async onDisk(item: OutboxItem): Promise<OutboxItem | undefined> {
    if (!(await this.keeping.get(keyOf(item)))) return item;
    return this.database.open<OutboxItem>("outbox", this.path(item)).catch(() => item);
  }

  private replace(item: OutboxItem, next: OutboxItem): void {
    this.items = this.items.map((other) => (other === item ? next : other));
  }

  private send(item: OutboxItem, again: boolean): void {
    void this.client
      .dispatch(item.channel, item.action, again)
      .then((outcome) => this.settle(item, outcome));
  }

  private async settle(item: OutboxItem, outcome: Outcome): Promise<void> {
    const chat = this.client.state<ChatState>(item.channel);
    const done = outcome.kind !== "rejected" || isDone(item.action, chat, outcome.again === true);
    if (done) {
      if (item.kind === "answer") this.accepted.set(keyOf(item), item.label);
      // Something newer may have its place.
      if (this.items.includes(item)) await this.dismiss(item);
      return;
    }
    const refused = { ...item, rejected: outcome.reason };
    if (!this.items.includes(item)) return;
    this.replace(item, refused);
    await this.keeping.get(keyOf(item));
    await this.keep(refused);
  }
}
