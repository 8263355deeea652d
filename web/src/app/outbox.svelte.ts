/**
 * What was asked for and is not yet known to have happened.
 *
 * An entry is kept while it is sent, at once, and leaves when the machine has said what became of it,
 * so neither a reload nor a lost connection loses it, and the ids inside make sending it twice
 * harmless.
 */

import { SvelteMap } from "svelte/reactivity";
import type { AhpClient } from "../ahp/client";
import type { Action } from "../ahp/types";
import type { Database } from "./database";

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
}

export class Outbox {
  items = $state.raw<OutboxItem[]>([]);
  /** What was chosen on this page and counted, by id. */
  readonly accepted = new SvelteMap<string, string>();
  /** Entries that are being kept. */
  private readonly keeping = new Map<string, Promise<unknown>>();

  constructor(
    private readonly machineId: string,
    private readonly database: Database,
    private readonly client: AhpClient,
  ) {}

  /** Sends again what an earlier page left. */
  async restore(): Promise<void> {
    const kept = await this.database.openAll<OutboxItem>("outbox", `${this.machineId}/`);
    const entries = kept.map(({ value }) => value).sort((a, b) => a.at - b.at);
    this.items = [...entries, ...this.items];
    for (const entry of entries) if (entry.rejected === undefined) this.send(entry);
  }

  async put(entry: Entry): Promise<void> {
    this.items = [...this.items.filter((other) => other.id !== entry.id), entry];
    // Nobody's tap waits for a disk. Without room to keep it, it goes out while the page lives.
    const kept = this.database.seal("outbox", this.key(entry.id), entry).catch(() => undefined);
    this.keeping.set(entry.id, kept);
    this.send(entry);
    await kept;
  }

  async dismiss(id: string): Promise<void> {
    this.items = this.items.filter((item) => item.id !== id);
    // Its answer may come before it is kept.
    await this.keeping.get(id);
    this.keeping.delete(id);
    await this.database.remove("outbox", this.key(id));
  }

  of(session: string): OutboxItem[] {
    return this.items.filter((item) => item.session === session);
  }

  private key(id: string): string {
    return `${this.machineId}/${id}`;
  }

  private send(entry: Entry): void {
    void this.client.dispatch(entry.channel, entry.action).then(async (outcome) => {
      if (outcome.kind === "applied") {
        if (entry.kind === "answer") this.accepted.set(entry.id, entry.label);
        await this.dismiss(entry.id);
        return;
      }
      const item = { ...entry, rejected: outcome.reason };
      this.items = this.items.map((other) => (other.id === entry.id ? item : other));
      await this.keeping.get(entry.id);
      await this.database.seal("outbox", this.key(entry.id), item);
    });
  }
}
