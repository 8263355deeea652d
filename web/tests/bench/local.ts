/**
 * A client on the daemon's own socket, as close to the daemon as anybody can be: what it sees is
 * taken as the moment at which something happened there. Written from docs/protocol.md.
 */

import { connect, type Socket } from "node:net";

const MAGIC = "COPILOTD";
const VERSION = 1;
const HELLO = 0;
const WELCOME = 1;
const AHP = 5;
const MORE = 1;

/** Milliseconds since 1970, with the fractions that a wall clock does not show. */
export const now = (): number => performance.timeOrigin + performance.now();

export interface Seen {
  /** When it came. */
  at: number;
  channel: string;
  action: { type: string } & Record<string, unknown>;
}

interface Message {
  id?: number;
  method?: string;
  params?: Record<string, unknown>;
  result?: unknown;
  error?: { message: string };
}

export class Local {
  /** Every action that came, in order. */
  readonly seen: Seen[] = [];
  private next = 1;
  private nextSeq = 1;
  private readonly waiting = new Map<number, (message: Message) => void>();
  private readonly watching = new Set<() => void>();
  private bytes: Buffer = Buffer.alloc(0);
  private parts: Buffer[] = [];
  private welcomed: (() => void) | undefined;

  private constructor(private readonly socket: Socket) {
    socket.on("data", (data) => this.read(data, now()));
  }

  /** A client that follows one session. */
  static async attach(socketPath: string, session: string): Promise<Local> {
    const socket = connect(socketPath);
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    const local = new Local(socket);
    await new Promise<void>((resolve) => {
      local.welcomed = resolve;
      const build = Buffer.from("bench");
      local.frame(
        HELLO,
        Buffer.concat([Buffer.from(MAGIC), versions(), byte(build.length), build]),
      );
    });
    await local.call("initialize", {
      channel: "ahp-root://",
      protocolVersions: ["1.0.0"],
      clientId: `bench-${process.pid}-${now()}`,
      clientInfo: { name: "bench", title: "a bench", version: "0" },
    });
    for (const channel of [`ahp-session:/${session}`, `ahp-chat:/${session}`]) {
      await local.call("subscribe", { channel });
    }
    return local;
  }

  call(method: string, params: object): Promise<unknown> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ result, error }) => {
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result);
      });
      this.send({ jsonrpc: "2.0", id, method, params });
    });
  }

  /** Asks for an action; when it came back is in `seen`. */
  dispatch(channel: string, action: object): void {
    const clientSeq = this.nextSeq++;
    this.send({ jsonrpc: "2.0", method: "dispatchAction", params: { channel, clientSeq, action } });
  }

  prompt(session: string, text: string): string {
    const turnId = crypto.randomUUID();
    this.dispatch(`ahp-chat:/${session}`, {
      type: "chat/turnStarted",
      turnId,
      startedAt: new Date().toISOString(),
      message: { text, origin: { kind: "user" } },
    });
    return turnId;
  }

  /** The first action from `after` on that is as wanted. */
  until(wanted: (seen: Seen) => boolean, after = 0): Promise<Seen> {
    let looked = after;
    return new Promise((resolve) => {
      const look = () => {
        for (; looked < this.seen.length; looked += 1) {
          const seen = this.seen[looked]!;
          if (!wanted(seen)) continue;
          this.watching.delete(look);
          resolve(seen);
          return;
        }
      };
      this.watching.add(look);
      look();
    });
  }

  end(): void {
    this.socket.destroy();
  }

  private send(message: object): void {
    // What is sent here is shorter than a frame.
    this.frame(AHP, Buffer.from(JSON.stringify(message)));
  }

  private frame(kind: number, payload: Buffer): void {
    const head = Buffer.alloc(6);
    head.writeUInt32BE(payload.length + 2);
    head[4] = kind;
    this.socket.write(Buffer.concat([head, payload]));
  }

  private read(data: Buffer, at: number): void {
    this.bytes = this.bytes.length === 0 ? data : Buffer.concat([this.bytes, data]);
    while (this.bytes.length >= 4) {
      const length = this.bytes.readUInt32BE();
      if (this.bytes.length < 4 + length) return;
      const frame = this.bytes.subarray(4, 4 + length);
      this.bytes = this.bytes.subarray(4 + length);
      if (frame[0] === WELCOME) this.welcomed?.();
      if (frame[0] !== AHP) continue;
      this.parts.push(Buffer.from(frame.subarray(2)));
      if (frame[1]! & MORE) continue;
      const text = Buffer.concat(this.parts).toString();
      this.parts = [];
      this.message(JSON.parse(text) as Message, at);
    }
  }

  private message(message: Message, at: number): void {
    if (message.id !== undefined) {
      this.waiting.get(message.id)?.(message);
      this.waiting.delete(message.id);
    } else if (message.method === "action") {
      const { channel, action, rejectionReason } = message.params as Pick<
        Seen,
        "channel" | "action"
      > & { rejectionReason?: string };
      // It comes to its sender only, and nothing that is asked for here can be refused.
      if (rejectionReason !== undefined) throw new Error(`${action.type}: ${rejectionReason}`);
      this.seen.push({ at, channel, action });
      for (const look of [...this.watching]) look();
    }
  }
}

const byte = (value: number): Buffer => Buffer.from([value]);

function versions(): Buffer {
  const both = Buffer.alloc(4);
  both.writeUInt16BE(VERSION);
  both.writeUInt16BE(VERSION, 2);
  return both;
}
