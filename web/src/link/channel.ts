/**
 * A sealed channel to a machine, from the device's side.
 *
 * Owns the handshake, chunking, order and the schedule of new keys. Knows nothing of sockets: bytes
 * in, bytes out. WebCrypto answers later, so both directions are queues: messages leave and arrive
 * in the order in which they were given.
 */

import { texts } from "../app/texts";
import { concat, text, toHex, utf8, fromHex, readU32, type Bytes } from "./bytes";
import { Handshake, IKPSK1, KK, sha256, type KeyPair, type Session } from "./noise";
import { machineIdBytes, type PairingLink } from "./links";

export const KIND_HANDSHAKE = 0;
export const KIND_TRANSPORT = 1;
export const KIND_REFUSAL = 2;

const MORE = 1;
const CHUNK_BYTES = 65_000;
const REKEY_AFTER = 65_536;
const MAX_IN_BYTES = 32 * 1024 * 1024;
/** The longest message that a machine takes; a longer one would end the channel. */
export const MAX_OUT_BYTES = 1024 * 1024;
const MAX_HANDSHAKE_PAYLOAD = 4096;

/** Types of sealed messages. */
export const AHP = 0;
export const CONTROL = 1;

export interface SealedMessage {
  type: number;
  bytes: Bytes;
}

/** The channel is over; `message` is for people. */
export class ChannelError extends Error {
  override name = "ChannelError";
}

export interface MachineHello {
  name: string;
  build: string;
}

async function deviceIdOf(publicKey: Bytes): Promise<string> {
  return toHex((await sha256(utf8("copilot-device"), publicKey)).slice(0, 16));
}
export { deviceIdOf };

/** Six digits that both ends of a pairing derive and a person compares by typing. */
export async function pairingCode(handshakeHash: Bytes): Promise<string> {
  const digest = await sha256(utf8("copilot-pair-code"), handshakeHash);
  return String(readU32(digest) % 1_000_000).padStart(6, "0");
}

export class SealedChannel {
  private session: Session | undefined;
  private sent = 0;
  private received = 0;
  private partial: { type: number; parts: Bytes[]; bytes: number } | undefined;
  private sending: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly handshake: Handshake,
    /** What to send first. */
    readonly opening: Bytes,
  ) {}

  /** `ephemeral` is fixed by test vectors only. */
  static async pair(
    link: PairingLink,
    own: KeyPair,
    name: string,
    ephemeral?: KeyPair,
  ): Promise<SealedChannel> {
    const handshake = await Handshake.start({
      pattern: IKPSK1,
      initiator: true,
      prologue: concat(
        utf8("copilot-link/1 pair"),
        machineIdBytes(link.machineId),
        fromHex(link.pairingId),
      ),
      own,
      remoteStatic: link.machineKey,
      psk: link.secret,
      ...(ephemeral ? { ephemeral } : {}),
    });
    return SealedChannel.open(handshake, name);
  }

  static async connect(
    machine: { machineId: string; machineKey: Bytes },
    own: KeyPair,
    name: string,
    ephemeral?: KeyPair,
  ): Promise<SealedChannel> {
    const deviceId = await deviceIdOf(own.publicKey);
    const handshake = await Handshake.start({
      pattern: KK,
      initiator: true,
      prologue: concat(
        utf8("copilot-link/1 channel"),
        machineIdBytes(machine.machineId),
        fromHex(deviceId),
      ),
      own,
      remoteStatic: machine.machineKey,
      ...(ephemeral ? { ephemeral } : {}),
    });
    return SealedChannel.open(handshake, name);
  }

  private static async open(handshake: Handshake, name: string): Promise<SealedChannel> {
    const payload = utf8(JSON.stringify({ protocols: [1], name }));
    const message = await handshake.write(payload);
    return new SealedChannel(handshake, concat(new Uint8Array([KIND_HANDSHAKE]), message));
  }

  /** The machine's answer to the opening. Returns what it says of itself. */
  async accept(message: Bytes): Promise<MachineHello> {
    const payload = await this.handshake.read(message);
    if (payload.length > MAX_HANDSHAKE_PAYLOAD) throw new ChannelError(texts.answerTooLong);
    this.session = await this.handshake.finish();
    const hello = JSON.parse(text(payload)) as {
      protocol?: unknown;
      machine?: Partial<MachineHello>;
    };
    if (hello.protocol !== 1) {
      throw new ChannelError(texts.newerProtocol);
    }
    return { name: String(hello.machine?.name ?? ""), build: String(hello.machine?.build ?? "") };
  }

  get established(): boolean {
    return this.session !== undefined;
  }

  code(): Promise<string> {
    if (!this.session) throw new ChannelError(texts.notEstablished);
    return pairingCode(this.session.handshakeHash);
  }

  /** Seals one message and gives its frames to `out`, in order with all others. */
  seal(type: number, bytes: Bytes, out: (frame: Bytes) => void): Promise<void> {
    const work = this.sending.then(async () => {
      const session = this.session;
      if (!session) throw new ChannelError(texts.notEstablished);
      if (bytes.length > MAX_OUT_BYTES) throw new ChannelError(texts.tooLong);
      for (let at = 0; at === 0 || at < bytes.length; at += CHUNK_BYTES) {
        const chunk = bytes.slice(at, at + CHUNK_BYTES);
        const flags = at + CHUNK_BYTES < bytes.length ? MORE : 0;
        const plaintext = concat(new Uint8Array([type, flags]), chunk);
        const sealed = await session.send.encrypt(new Uint8Array(0), plaintext);
        this.sent += 1;
        if (this.sent % REKEY_AFTER === 0) await session.send.rekey();
        out(concat(new Uint8Array([KIND_TRANSPORT]), sealed));
      }
    });
    this.sending = work.catch(() => undefined);
    return work;
  }

  /**
   * Opens one transport message; a whole message when it was the last piece of one. The caller
   * gives messages one at a time.
   */
  async unseal(sealed: Bytes): Promise<SealedMessage | undefined> {
    const session = this.session;
    if (!session) throw new ChannelError(texts.notEstablished);
    const plaintext = await session.receive.decrypt(new Uint8Array(0), sealed);
    this.received += 1;
    if (this.received % REKEY_AFTER === 0) await session.receive.rekey();
    if (plaintext.length < 2) throw new ChannelError(texts.malformed);
    const [type, flags] = [plaintext[0]!, plaintext[1]!];
    const chunk = plaintext.slice(2);
    if (this.partial && this.partial.type !== type) {
      throw new ChannelError(texts.malformed);
    }
    const partial = (this.partial ??= { type, parts: [], bytes: 0 });
    partial.parts.push(chunk);
    partial.bytes += chunk.length;
    if (partial.bytes > MAX_IN_BYTES) throw new ChannelError(texts.answerTooLong);
    if (flags & MORE) return undefined;
    this.partial = undefined;
    return { type, bytes: partial.parts.length === 1 ? chunk : concat(...partial.parts) };
  }
}
