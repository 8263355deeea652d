/**
 * The sealed way to one machine: opens a channel, shakes hands, and carries AHP, again and again.
 *
 * Wants one thing (a working channel while the relay and the machine are there) and moves towards it
 * from whatever state it is in, so that no order of events can leave it standing still.
 */

import type { Pipe } from "../ahp/client";
import { texts } from "../app/texts";
import { Backoff } from "./backoff";
import { text, utf8, type Bytes } from "./bytes";
import {
  AHP,
  CONTROL,
  KIND_HANDSHAKE,
  KIND_REFUSAL,
  KIND_TRANSPORT,
  SealedChannel,
  type SealedMessage,
} from "./channel";
import type { KeyPair } from "./noise";
import { RelayError, type Channel, type ChannelEvents } from "./relay";

const HANDSHAKE_WITHIN_MS = 15_000;

export type MachineState =
  | { kind: "offline" }
  | { kind: "connecting"; why?: string }
  | { kind: "online" }
  /** The machine does not trust this device (any more). */
  | { kind: "revoked"; message: string };

export interface MachineEvents {
  state(state: MachineState): void;
  /** A channel is open; `pipe` sends whole AHP messages. */
  connected(pipe: Pipe): Promise<void>;
  disconnected(): void;
  message(message: string): void;
}

export interface Opener {
  open(machineId: string, events: ChannelEvents): Promise<Channel>;
}

export class MachineLink {
  private state: MachineState = { kind: "offline" };
  private wanted = false;
  private channel: Channel | undefined;
  private readonly backoff = new Backoff();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  private openedAt = 0;

  constructor(
    private readonly machine: { machineId: string; machineKey: Bytes },
    private readonly own: KeyPair,
    private readonly deviceName: string,
    private readonly relay: Opener,
    private readonly events: MachineEvents,
  ) {}

  /** Whether relay and machine are there. */
  want(wanted: boolean): void {
    if (wanted && !this.wanted) this.backoff.reset();
    this.wanted = wanted;
    if (wanted) {
      if (this.state.kind === "offline") void this.connect();
    } else if (this.state.kind !== "revoked") {
      this.drop("offline");
      this.set({ kind: "offline" });
    }
  }

  /** Tries at once if it is waiting. */
  nudge(): void {
    if (this.wanted && this.timer !== undefined) {
      this.backoff.reset();
      void this.connect();
    }
  }

  /** The machine said why it ends the connection, in words. */
  farewell(why: string): void {
    if (this.state.kind === "online") this.retry(why);
  }

  stop(): void {
    this.wanted = false;
    this.drop("page closed");
  }

  private set(state: MachineState): void {
    this.state = state;
    this.events.state(state);
  }

  private drop(reason: string): void {
    this.attempt += 1;
    clearTimeout(this.timer);
    this.timer = undefined;
    const channel = this.channel;
    this.channel = undefined;
    channel?.close(reason);
    if (this.state.kind === "online") this.events.disconnected();
  }

  private async connect(why?: string): Promise<void> {
    this.drop("again");
    const attempt = this.attempt;
    this.set({ kind: "connecting", ...(why === undefined ? {} : { why }) });
    const late = setTimeout(() => {
      if (attempt === this.attempt && this.state.kind === "connecting") {
        this.retry(texts.machineSilent);
      }
    }, HANDSHAKE_WITHIN_MS);
    try {
      const sealed = await SealedChannel.connect(this.machine, this.own, this.deviceName);
      const inbox = new Inbox(
        (frame) => this.frame(attempt, sealed, frame),
        (error) => {
          if (attempt === this.attempt) this.retry(words(error));
        },
      );
      const channel = await this.relay.open(this.machine.machineId, {
        frame: (payload) => inbox.put(payload),
        closed: (_reason, message) => {
          // What the machine said before, such as why, is heard first.
          inbox.end(() => {
            if (attempt === this.attempt) this.retry(message || texts.channelClosed);
          });
        },
      });
      if (attempt !== this.attempt) {
        channel.close("too late");
        return;
      }
      this.channel = channel;
      this.openedAt = Date.now();
      channel.send(sealed.opening);
    } catch (error) {
      if (attempt === this.attempt) this.retry(words(error));
    } finally {
      if (attempt !== this.attempt) clearTimeout(late);
    }
  }

  private async frame(attempt: number, sealed: SealedChannel, frame: Bytes): Promise<void> {
    if (attempt !== this.attempt) return;
    const channel = this.channel;
    const payload = frame.slice(1);
    if (frame[0] === KIND_HANDSHAKE) {
      await sealed.accept(payload);
      if (attempt !== this.attempt || !channel) return;
      this.set({ kind: "online" });
      const pipe: Pipe = {
        send: (message) => {
          sealed
            .seal(AHP, utf8(message), (out) => channel.send(out))
            .catch((error: unknown) => {
              if (attempt === this.attempt) this.retry(words(error));
            });
        },
      };
      // Not awaited: the answers come through this very queue.
      this.events.connected(pipe).catch((error: unknown) => {
        if (attempt === this.attempt) this.retry(words(error));
      });
    } else if (frame[0] === KIND_TRANSPORT) {
      const message = await sealed.unseal(payload);
      if (message && attempt === this.attempt) this.message(message);
    } else if (frame[0] === KIND_REFUSAL) {
      // Not authenticated: whoever said it, it only ends this attempt.
      throw new RelayError("refused", refusalWords(payload));
    }
    channel?.done(frame.length);
  }

  private message(message: SealedMessage): void {
    if (message.type === AHP) this.events.message(text(message.bytes));
    else if (message.type === CONTROL) {
      const control = JSON.parse(text(message.bytes)) as { type?: string; message?: string };
      if (control.type === "revoked") {
        this.wanted = false;
        this.drop("revoked");
        this.set({ kind: "revoked", message: String(control.message ?? "") });
      }
    }
  }

  private retry(why: string): void {
    const lived = this.state.kind === "online" ? Date.now() - this.openedAt : 0;
    this.drop("again");
    if (!this.wanted) {
      if (this.state.kind !== "revoked") this.set({ kind: "offline" });
      return;
    }
    this.set({ kind: "connecting", why });
    this.timer = setTimeout(() => void this.connect(why), this.backoff.next(lived));
  }
}

/** Works frames off one after the other; the first failure ends it. */
export class Inbox {
  private tail: Promise<void> = Promise.resolve();
  private failed = false;

  constructor(
    private readonly work: (frame: Bytes) => Promise<void>,
    private readonly onError: (error: unknown) => void,
  ) {}

  put(frame: Bytes): void {
    this.tail = this.tail.then(async () => {
      if (this.failed) return;
      try {
        await this.work(frame);
      } catch (error) {
        this.failed = true;
        this.onError(error);
      }
    });
  }

  /** Calls `then` when all that came was worked off, and what waited for it has gone on. */
  end(then: () => void): void {
    this.tail = this.tail.then(() => void setTimeout(then));
  }
}

const MAX_REFUSAL = 500;

export function refusalWords(payload: Bytes): string {
  try {
    return text(payload).slice(0, MAX_REFUSAL);
  } catch {
    return texts.refusedByEither;
  }
}

function words(error: unknown): string {
  return error instanceof Error && error.message ? error.message : texts.connectionBroke;
}
