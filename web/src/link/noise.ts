/**
 * The Noise Protocol Framework (revision 34) for `25519_AESGCM_SHA256`, on WebCrypto.
 *
 * Owns the handshake patterns that the link uses (KK, IKpsk1) and the two cipher states that come
 * out of one. The device's private key is a `CryptoKey` that cannot be exported, so nothing here
 * ever sees its bytes. Any failure to open a message is an error and ends the use of the object;
 * nothing is retried and nothing is returned that was not authenticated.
 */

import { concat, utf8, type Bytes } from "./bytes";

const DH_LENGTH = 32;
const TAG_LENGTH = 16;
const MAX_MESSAGE = 65_535;
/** The nonce that REKEY uses: 2^64 - 1. */
const REKEY_NONCE = 0xffff_ffff_ffff_ffffn;

/** A message that does not open, or one that should never have been asked for. */
export class NoiseError extends Error {
  override name = "NoiseError";
}

export interface KeyPair {
  privateKey: CryptoKey;
  /** 32 bytes. */
  publicKey: Bytes;
}

type Token = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";

interface Pattern {
  name: string;
  /** Whether each side knows the other's static key beforehand. */
  known: { initiator: boolean; responder: boolean };
  messages: Token[][];
}

/** Mutual authentication between keys that both sides already know. */
export const KK: Pattern = {
  name: "KK",
  known: { initiator: true, responder: true },
  messages: [
    ["e", "es", "ss"],
    ["e", "ee", "se"],
  ],
};

/** The initiator knows the responder's key and a shared secret; its own key travels sealed. */
export const IKPSK1: Pattern = {
  name: "IKpsk1",
  known: { initiator: false, responder: true },
  messages: [
    ["e", "es", "s", "ss", "psk"],
    ["e", "ee", "se"],
  ],
};

export async function generateKeyPair(extractable = false): Promise<KeyPair> {
  const pair = (await crypto.subtle.generateKey({ name: "X25519" }, extractable, [
    "deriveBits",
  ])) as CryptoKeyPair;
  const raw = await crypto.subtle.exportKey("raw", pair.publicKey);
  return { privateKey: pair.privateKey, publicKey: new Uint8Array(raw) };
}

async function diffieHellman(own: KeyPair, theirs: Bytes): Promise<Bytes> {
  const publicKey = await crypto.subtle.importKey("raw", theirs, { name: "X25519" }, false, []);
  try {
    const bits = await crypto.subtle.deriveBits(
      { name: "X25519", public: publicKey },
      own.privateKey,
      256,
    );
    return new Uint8Array(bits);
  } catch {
    // WebCrypto refuses a public key of small order, whose shared secret would be all zeros.
    throw new NoiseError("the other side's key is not usable");
  }
}

export async function sha256(...parts: Uint8Array[]): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));
}

async function hmac(key: Bytes, data: Bytes): Promise<Bytes> {
  const imported = await crypto.subtle.importKey(
    "raw",
    key,
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
}

/** Noise's HKDF with two or three outputs. */
async function hkdf(chainingKey: Bytes, input: Bytes, outputs: 2 | 3): Promise<Bytes[]> {
  const temporary = await hmac(chainingKey, input);
  const derived: Bytes[] = [];
  let previous: Bytes = new Uint8Array(0);
  for (let i = 1; i <= outputs; i += 1) {
    previous = await hmac(temporary, concat(previous, new Uint8Array([i])));
    derived.push(previous);
  }
  return derived;
}

/** One direction: a key and the number of the next message. */
export class CipherState {
  private nonce = 0n;
  private constructor(private key: CryptoKey) {}

  static async create(key: Bytes): Promise<CipherState> {
    return new CipherState(await CipherState.import(key));
  }

  private static import(key: Bytes): Promise<CryptoKey> {
    return crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
  }

  private static parameters(nonce: bigint, additionalData: Bytes): AesGcmParams {
    // AESGCM in Noise: 32 zero bits, then the counter, big-endian.
    const iv = new Uint8Array(12);
    new DataView(iv.buffer).setBigUint64(4, nonce);
    return { name: "AES-GCM", iv, additionalData, tagLength: 8 * TAG_LENGTH };
  }

  private next(): bigint {
    if (this.nonce >= REKEY_NONCE) throw new NoiseError("the channel is used up");
    const nonce = this.nonce;
    this.nonce += 1n;
    return nonce;
  }

  async encrypt(additionalData: Bytes, plaintext: Bytes): Promise<Bytes> {
    const parameters = CipherState.parameters(this.next(), additionalData);
    return new Uint8Array(await crypto.subtle.encrypt(parameters, this.key, plaintext));
  }

  async decrypt(additionalData: Bytes, ciphertext: Bytes): Promise<Bytes> {
    const parameters = CipherState.parameters(this.next(), additionalData);
    try {
      return new Uint8Array(await crypto.subtle.decrypt(parameters, this.key, ciphertext));
    } catch {
      throw new NoiseError("a message does not open: it was changed, lost, doubled or reordered");
    }
  }

  /** Replaces the key by one that follows from it; the counter goes on. */
  async rekey(): Promise<void> {
    const parameters = CipherState.parameters(REKEY_NONCE, new Uint8Array(0));
    const sealed = await crypto.subtle.encrypt(parameters, this.key, new Uint8Array(32));
    this.key = await CipherState.import(new Uint8Array(sealed).slice(0, 32));
  }
}

/** What a finished handshake leaves. */
export interface Session {
  send: CipherState;
  receive: CipherState;
  /** 32 bytes that only the two ends share knowledge of. */
  handshakeHash: Bytes;
}

export interface HandshakeOptions {
  pattern: Pattern;
  initiator: boolean;
  prologue: Bytes;
  own: KeyPair;
  /** The other side's static key, where the pattern has it known beforehand. */
  remoteStatic?: Bytes;
  /** 32 bytes, for patterns with a psk. */
  psk?: Bytes;
  /** A fixed ephemeral key pair. Only test vectors have one. */
  ephemeral?: KeyPair;
}

export class Handshake {
  private chainingKey: Bytes = new Uint8Array(0);
  private hash: Bytes = new Uint8Array(0);
  private cipher: CipherState | undefined;
  private ephemeral: KeyPair | undefined;
  private remoteEphemeral: Bytes | undefined;
  private remoteStatic: Bytes | undefined;
  private step = 0;

  private constructor(private readonly options: HandshakeOptions) {
    this.remoteStatic = options.remoteStatic;
  }

  static async start(options: HandshakeOptions): Promise<Handshake> {
    const handshake = new Handshake(options);
    const { pattern, initiator, own, remoteStatic } = options;
    const name = utf8(`Noise_${pattern.name}_25519_AESGCM_SHA256`);
    handshake.hash =
      name.length <= 32 ? concat(name, new Uint8Array(32 - name.length)) : await sha256(name);
    handshake.chainingKey = handshake.hash;
    await handshake.mixHash(options.prologue);
    for (const side of ["initiator", "responder"] as const) {
      if (!pattern.known[side]) continue;
      const mine = (side === "initiator") === initiator;
      const key = mine ? own.publicKey : remoteStatic;
      if (!key || key.length !== DH_LENGTH) throw new NoiseError(`the ${side}'s key is missing`);
      await handshake.mixHash(key);
    }
    return handshake;
  }

  get finished(): boolean {
    return this.step === this.options.pattern.messages.length;
  }

  async write(payload: Bytes): Promise<Bytes> {
    const tokens = this.take(this.options.initiator);
    const parts: Bytes[] = [];
    for (const token of tokens) {
      if (token === "e") {
        this.ephemeral = this.options.ephemeral ?? (await generateKeyPair());
        parts.push(this.ephemeral.publicKey);
        await this.mixEphemeral(this.ephemeral.publicKey);
      } else if (token === "s") {
        parts.push(await this.encryptAndHash(this.options.own.publicKey));
      } else {
        await this.mix(token);
      }
    }
    parts.push(await this.encryptAndHash(payload));
    const message = concat(...parts);
    if (message.length > MAX_MESSAGE) throw new NoiseError("the message is too long");
    return message;
  }

  /** Returns the payload. */
  async read(message: Bytes): Promise<Bytes> {
    const tokens = this.take(!this.options.initiator);
    if (message.length > MAX_MESSAGE) throw new NoiseError("the message is too long");
    let rest = message;
    const next = (length: number): Bytes => {
      if (rest.length < length) throw new NoiseError("the message is too short");
      const part = rest.slice(0, length);
      rest = rest.slice(length);
      return part;
    };
    for (const token of tokens) {
      if (token === "e") {
        this.remoteEphemeral = next(DH_LENGTH);
        await this.mixEphemeral(this.remoteEphemeral);
      } else if (token === "s") {
        const sealed = next(DH_LENGTH + (this.cipher ? TAG_LENGTH : 0));
        this.remoteStatic = await this.decryptAndHash(sealed);
      } else {
        await this.mix(token);
      }
    }
    return this.decryptAndHash(rest);
  }

  async finish(): Promise<Session> {
    if (!this.finished) throw new NoiseError("the handshake is not complete");
    const [first, second] = await hkdf(this.chainingKey, new Uint8Array(0), 2);
    const forward = await CipherState.create(first!);
    const backward = await CipherState.create(second!);
    return {
      send: this.options.initiator ? forward : backward,
      receive: this.options.initiator ? backward : forward,
      handshakeHash: this.hash,
    };
  }

  private take(initiatorsTurn: boolean): Token[] {
    const tokens = this.options.pattern.messages[this.step];
    if (!tokens || (this.step % 2 === 0) !== initiatorsTurn) {
      throw new NoiseError("a handshake message out of turn");
    }
    this.step += 1;
    return tokens;
  }

  private async mixHash(data: Bytes): Promise<void> {
    this.hash = await sha256(this.hash, data);
  }

  private async mixKey(input: Bytes): Promise<void> {
    const [chainingKey, key] = await hkdf(this.chainingKey, input, 2);
    this.chainingKey = chainingKey!;
    this.cipher = await CipherState.create(key!);
  }

  private async mixEphemeral(publicKey: Bytes): Promise<void> {
    await this.mixHash(publicKey);
    // In a psk pattern ephemeral keys also go into the key, because the psk may be used twice.
    if (this.options.psk) await this.mixKey(publicKey);
  }

  private async mix(token: Token): Promise<void> {
    const { initiator, own, psk } = this.options;
    if (token === "psk") {
      if (!psk || psk.length !== 32) throw new NoiseError("the shared secret is missing");
      const [chainingKey, hash, key] = await hkdf(this.chainingKey, psk, 3);
      this.chainingKey = chainingKey!;
      await this.mixHash(hash!);
      this.cipher = await CipherState.create(key!);
      return;
    }
    // The first letter is the initiator's key, the second the responder's.
    const ownLetter = initiator ? token[0] : token[1];
    const theirLetter = initiator ? token[1] : token[0];
    const mine = ownLetter === "e" ? this.ephemeral : own;
    const theirs = theirLetter === "e" ? this.remoteEphemeral : this.remoteStatic;
    if (!mine || !theirs) throw new NoiseError("a key is missing");
    await this.mixKey(await diffieHellman(mine, theirs));
  }

  private async encryptAndHash(plaintext: Bytes): Promise<Bytes> {
    const sealed = this.cipher ? await this.cipher.encrypt(this.hash, plaintext) : plaintext;
    await this.mixHash(sealed);
    return sealed;
  }

  private async decryptAndHash(sealed: Bytes): Promise<Bytes> {
    const plaintext = this.cipher ? await this.cipher.decrypt(this.hash, sealed) : sealed;
    await this.mixHash(sealed);
    return plaintext;
  }
}
