/**
 * The link to the relay: one websocket that carries all channels of this page.
 *
 * Owns tickets, heartbeats, credit, and reconnecting for ever. Everything that comes from the relay
 * is hostile until a sealed channel has opened it: shapes are checked, sizes are bounded, and its
 * words are shown as the relay's.
 */

import { texts } from "../app/texts";
import { Backoff } from "./backoff";
import { concat, readU32, u32, type Bytes } from "./bytes";

const PROTOCOL = 1;
const PONG_WITHIN_MS = 10_000;
/** A network that swallows everything must not hold up an attempt for ever. */
const TICKET_WITHIN_MS = 10_000;
const HELLO_WITHIN_MS = 10_000;
const DEFAULT_HEARTBEAT_MS = 30_000;
const DEFAULT_WINDOW = 1024 * 1024;
/** Credit goes back in steps, not for every frame. */
const RETURN_CREDIT_AT = 128 * 1024;

export interface MachinePresence {
  machineId: string;
  name: string;
  online: boolean;
  /** RFC 3339, when it came or went. */
  since: string;
}

export type RelayState =
  | { kind: "connecting"; since: number; why?: string }
  | { kind: "online" }
  /** The relay does not know this device (any more). */
  | { kind: "unknown-device" }
  | { kind: "stopped" };

/** A channel was refused or closed; the message is for people. */
export class RelayError extends Error {
  override name = "RelayError";
  constructor(
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

export interface ChannelEvents {
  frame(payload: Bytes): void;
  closed(reason: string, message: string): void;
}

/** A pipe to one machine. It carries whole frames, in order, and tells when it ends. */
export class Channel {
  private credit: number;
  private owed = 0;
  private waiting: Bytes[] = [];
  private open = true;

  constructor(
    private readonly socket: LinkSocket,
    readonly id: number,
    windowBytes: number,
    readonly events: ChannelEvents,
  ) {
    this.credit = windowBytes;
  }

  /** Sends when there is credit for it; what waits meanwhile is bounded by what people type. */
  send(payload: Bytes): void {
    if (!this.open) return;
    this.waiting.push(payload);
    this.flush();
  }

  private flush(): void {
    while (this.waiting.length > 0 && this.credit >= this.waiting[0]!.length) {
      const payload = this.waiting.shift()!;
      this.credit -= payload.length;
      this.socket.sendBinary(concat(u32(this.id), payload));
    }
  }

  granted(bytes: number): void {
    this.credit += bytes;
    this.flush();
  }

  /** Says that so much of what came has been worked off. */
  done(bytes: number): void {
    this.owed += bytes;
    if (this.owed < RETURN_CREDIT_AT || !this.open) return;
    this.socket.send({ type: "window", channel: this.id, bytes: this.owed });
    this.owed = 0;
  }

  close(reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.socket.forget(this.id);
    this.socket.send({ type: "channel-close", channel: this.id, reason });
  }

  ended(reason: string, message: string): void {
    if (!this.open) return;
    this.open = false;
    this.events.closed(reason, message);
  }
}

interface Opening {
  events: ChannelEvents;
  resolve(channel: Channel): void;
  reject(error: Error): void;
}

export interface SocketEvents {
  ready(): void;
  presence(machine: MachinePresence): void;
  machines(machines: MachinePresence[]): void;
  machineRemoved(machineId: string): void;
  /** `deviceId`: whom it is for. */
  claim(claim: string, deviceId: unknown): void;
  ended(why: string): void;
}

/** One websocket, from its ticket to its end. */
export class LinkSocket {
  private readonly socket: WebSocket;
  private readonly channels = new Map<number, Channel>();
  private readonly openings = new Map<number, Opening>();
  private nextRequest = 1;
  private windowBytes = DEFAULT_WINDOW;
  private heartbeat: ReturnType<typeof setInterval> | undefined;
  private pongDue: ReturnType<typeof setTimeout> | undefined;
  private readonly helloDue: ReturnType<typeof setTimeout>;
  private pings = 0;
  private over = false;

  constructor(
    base: URL,
    ticket: string,
    private readonly events: SocketEvents,
  ) {
    const url = new URL("link/v1/device", base);
    url.protocol = base.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("ticket", ticket);
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.send({ type: "hello", protocol: PROTOCOL, build: __BUILD__ });
    this.socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (typeof event.data === "string") this.control(event.data);
      else this.binary(new Uint8Array(event.data));
    };
    this.socket.onclose = () => this.end(texts.relayClosed);
    this.helloDue = setTimeout(() => this.end(texts.relaySilent), HELLO_WITHIN_MS);
  }

  send(message: object): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  sendBinary(frame: Bytes): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  open(machineId: string, events: ChannelEvents): Promise<Channel> {
    if (this.over) return Promise.reject(new RelayError("closed", texts.relayNotConnected));
    const request = this.nextRequest++;
    return new Promise((resolve, reject) => {
      this.openings.set(request, { events, resolve, reject });
      this.send({ type: "channel-open", request, machineId });
    });
  }

  forget(channel: number): void {
    this.channels.delete(channel);
  }

  /** Asks whether the other end is still there; ends the socket when it is not. */
  ping(): void {
    if (this.over || this.pongDue !== undefined) return;
    this.pings += 1;
    this.send({ type: "ping", n: this.pings });
    this.pongDue = setTimeout(() => this.end(texts.relaySilent), PONG_WITHIN_MS);
  }

  end(why: string): void {
    if (this.over) return;
    this.over = true;
    clearInterval(this.heartbeat);
    clearTimeout(this.pongDue);
    clearTimeout(this.helloDue);
    this.socket.onclose = this.socket.onmessage = this.socket.onopen = null;
    this.socket.close();
    for (const opening of this.openings.values()) opening.reject(new RelayError("closed", why));
    for (const channel of this.channels.values()) channel.ended("relay", why);
    this.openings.clear();
    this.channels.clear();
    this.events.ended(why);
  }

  private binary(frame: Bytes): void {
    if (frame.length < 5) return;
    this.channels.get(readU32(frame))?.events.frame(frame.slice(4));
  }

  private control(data: string): void {
    let message: Record<string, unknown> | null;
    try {
      message = JSON.parse(data) as Record<string, unknown> | null;
    } catch {
      return;
    }
    if (!message) return;
    const channel = typeof message.channel === "number" ? message.channel : -1;
    switch (message.type) {
      case "hello": {
        clearTimeout(this.helloDue);
        if (typeof message.windowBytes === "number") this.windowBytes = message.windowBytes;
        const every =
          typeof message.heartbeatMs === "number" ? message.heartbeatMs : DEFAULT_HEARTBEAT_MS;
        this.heartbeat = setInterval(() => this.ping(), every);
        this.events.ready();
        break;
      }
      case "pong":
        clearTimeout(this.pongDue);
        this.pongDue = undefined;
        break;
      case "channel-opened": {
        const opening = this.take(message.request);
        if (!opening || channel < 0) break;
        const opened = new Channel(this, channel, this.windowBytes, opening.events);
        this.channels.set(channel, opened);
        opening.resolve(opened);
        break;
      }
      case "channel-refused":
        this.take(message.request)?.reject(
          new RelayError(String(message.reason), String(message.message ?? "")),
        );
        break;
      case "channel-closed": {
        const closed = this.channels.get(channel);
        this.channels.delete(channel);
        closed?.ended(String(message.reason), String(message.message ?? ""));
        break;
      }
      case "window":
        if (typeof message.bytes === "number" && message.bytes > 0) {
          this.channels.get(channel)?.granted(message.bytes);
        }
        break;
      case "machines":
        if (Array.isArray(message.machines)) {
          this.events.machines(message.machines.filter(isPresence));
        }
        break;
      case "machine-changed":
        if (isPresence(message)) this.events.presence(message);
        break;
      case "machine-removed":
        this.events.machineRemoved(String(message.machineId));
        break;
      case "claim":
        if (typeof message.claim === "string") {
          this.events.claim(message.claim, message.deviceId);
        }
        break;
      case "refused":
        this.end(String(message.message ?? texts.relayRefused));
        break;
      case "draining":
        this.end(texts.relayRestarts);
        break;
    }
  }

  private take(request: unknown): Opening | undefined {
    if (typeof request !== "number") return undefined;
    const opening = this.openings.get(request);
    this.openings.delete(request);
    return opening;
  }
}

function isPresence(value: unknown): value is MachinePresence {
  const machine = value as Partial<MachinePresence> | null;
  return (
    typeof machine?.machineId === "string" &&
    typeof machine.name === "string" &&
    typeof machine.online === "boolean"
  );
}

interface Ticket {
  ticket: string;
  machineId?: string;
}

/** Asks the relay for a ticket. `undefined` when it does not know this device. */
export async function deviceTicket(base: URL): Promise<Ticket | undefined> {
  const within = AbortSignal.timeout(TICKET_WITHIN_MS);
  const response = await post(new URL("api/v1/tickets", base), {}, within);
  const ticket = (await checked(response).catch((error: unknown) => {
    // Whatever stands in between may refuse as well; that passes.
    const isRelays = error instanceof RelayError && error.reason === "unauthorized";
    if (isRelays && response.status === 401) return null;
    throw error;
  })) as Ticket | null | undefined;
  if (ticket === null) return undefined;
  // Its end did not come. That says nothing about this device.
  if (!ticket) throw new RelayError("http", texts.relaySilent);
  return ticket;
}

export async function pairingTicket(base: URL, pairingId: string): Promise<Ticket> {
  const response = await post(new URL(`api/v1/pairings/${pairingId}/ticket`, base), {});
  return (await checked(response)) as Ticket;
}

/** Turns the claim of a paired device into its cookie. */
export async function claimDevice(base: URL, claim: string): Promise<void> {
  await checked(await post(new URL("api/v1/devices/claim", base), { claim }));
}

/** Tells the relay to forget this device. */
export async function forgetDevice(base: URL): Promise<void> {
  await fetch(new URL("api/v1/devices/self", base), {
    method: "DELETE",
    credentials: "same-origin",
  });
}

function post(url: URL, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(url, {
    signal: signal ?? null,
    method: "POST",
    credentials: "same-origin",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    redirect: "error",
    referrerPolicy: "no-referrer",
  });
}

async function checked(response: Response): Promise<unknown> {
  const body = (await response.json().catch(() => undefined)) as
    { error?: { code?: string; message?: string } } | undefined;
  if (response.ok) return body;
  const { code = "http", message = texts.relayAnswered(response.status) } = body?.error ?? {};
  throw new RelayError(code, message);
}

/** Keeps a socket to the relay, whatever happens to it. */
export class Relay {
  private socket: LinkSocket | undefined;
  private readonly backoff = new Backoff();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private startedAt = 0;
  private attempt = 0;
  private lost = Date.now();
  state: RelayState = { kind: "stopped" };

  constructor(
    private readonly base: URL,
    private readonly changed: (state: RelayState) => void,
    private readonly events: Pick<SocketEvents, "machines" | "presence" | "machineRemoved">,
  ) {}

  start(): void {
    if (this.state.kind !== "stopped") return;
    this.lost = Date.now();
    void this.connect();
  }

  stop(): void {
    this.attempt += 1;
    clearTimeout(this.timer);
    this.set({ kind: "stopped" });
    this.socket?.end(texts.stopped);
    this.socket = undefined;
  }

  /** The network or the page came back: do not wait for timers, do not trust an old socket. */
  nudge(): void {
    if (this.state.kind === "online") this.socket?.ping();
    else if (this.state.kind !== "stopped") {
      this.backoff.reset();
      void this.connect();
    }
  }

  open(machineId: string, events: ChannelEvents): Promise<Channel> {
    if (this.state.kind !== "online" || !this.socket) {
      return Promise.reject(new RelayError("relay", texts.relayNotConnected));
    }
    return this.socket.open(machineId, events);
  }

  private set(state: RelayState): void {
    this.state = state;
    this.changed(state);
  }

  private async connect(why?: string): Promise<void> {
    clearTimeout(this.timer);
    const attempt = ++this.attempt;
    this.set({ kind: "connecting", since: this.lost, ...(why ? { why } : {}) });
    try {
      const ticket = await deviceTicket(this.base);
      if (attempt !== this.attempt) return;
      if (!ticket) {
        this.set({ kind: "unknown-device" });
        return;
      }
      this.startedAt = Date.now();
      const old = this.socket;
      this.socket = undefined;
      old?.end(texts.replaced);
      const socket = new LinkSocket(this.base, ticket.ticket, {
        ...this.events,
        claim: () => undefined,
        ready: () => {
          if (this.socket !== socket) return;
          // An attempt that is under way, or waits for its time, would replace it.
          this.attempt += 1;
          clearTimeout(this.timer);
          this.set({ kind: "online" });
        },
        ended: (reason) => {
          if (this.socket !== socket) return;
          this.socket = undefined;
          this.retry(reason);
        },
      });
      this.socket = socket;
    } catch (error) {
      if (attempt === this.attempt) this.retry(words(error));
    }
  }

  private retry(why: string): void {
    if (this.state.kind === "stopped") return;
    // An attempt that came to nothing did not live, however long ago the last one did.
    const lived = this.state.kind === "online" ? Date.now() - this.startedAt : 0;
    if (this.state.kind === "online") this.lost = Date.now();
    this.set({ kind: "connecting", since: this.lost, why });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(why), this.backoff.next(lived));
  }
}

function words(error: unknown): string {
  if (error instanceof RelayError) return error.message;
  return texts.relayUnreachable;
}
