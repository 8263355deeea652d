import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/link/bytes";
import { Handshake, IKPSK1, KK, NoiseError, type HandshakeOptions } from "../../src/link/noise";
import { bytes, keyPair } from "./keys";

interface Vector {
  protocol_name: string;
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  init_remote_static?: string;
  resp_prologue: string;
  resp_static: string;
  resp_ephemeral: string;
  resp_remote_static?: string;
  init_psks?: string[];
  resp_psks?: string[];
  handshake_hash?: string;
  messages: { payload: string; ciphertext: string }[];
}

// The published vectors, the very file that the Rust side runs.
const file = new URL("../../../link-proto/tests/vectors/noise.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, "utf8")) as { vectors: Vector[] };

async function side(vector: Vector, who: "init" | "resp"): Promise<Handshake> {
  const remote = vector[`${who}_remote_static`];
  const psk = vector[`${who}_psks`]?.[0];
  const options: HandshakeOptions = {
    pattern: vector.protocol_name.includes("_KK_") ? KK : IKPSK1,
    initiator: who === "init",
    prologue: bytes(vector[`${who}_prologue`]),
    own: await keyPair(vector[`${who}_static`]),
    ephemeral: await keyPair(vector[`${who}_ephemeral`]),
    ...(remote === undefined ? {} : { remoteStatic: bytes(remote) }),
    ...(psk === undefined ? {} : { psk: bytes(psk) }),
  };
  return Handshake.start(options);
}

describe("the published Noise vectors", () => {
  it("are there for both patterns", () => {
    const names = vectors.map((vector) => vector.protocol_name);
    expect(names).toContain("Noise_KK_25519_AESGCM_SHA256");
    expect(names).toContain("Noise_IKpsk1_25519_AESGCM_SHA256");
  });

  it.each(vectors.map((vector, i) => [`${vector.protocol_name} ${i}`, vector] as const))(
    "%s",
    async (_name, vector) => {
      const [initiator, responder] = [await side(vector, "init"), await side(vector, "resp")];
      const [first, second, ...rest] = vector.messages;
      const one = await initiator.write(bytes(first!.payload));
      expect(toHex(one)).toBe(first!.ciphertext);
      expect(toHex(await responder.read(one))).toBe(first!.payload);
      const two = await responder.write(bytes(second!.payload));
      expect(toHex(two)).toBe(second!.ciphertext);
      expect(toHex(await initiator.read(two))).toBe(second!.payload);
      const [left, right] = [await initiator.finish(), await responder.finish()];
      expect(left.handshakeHash).toEqual(right.handshakeHash);
      if (vector.handshake_hash) expect(toHex(left.handshakeHash)).toBe(vector.handshake_hash);
      const none = new Uint8Array(0);
      for (const [i, message] of rest.entries()) {
        const [from, to] = i % 2 === 0 ? [left, right] : [right, left];
        const sealed = await from.send.encrypt(none, bytes(message.payload));
        expect(toHex(sealed)).toBe(message.ciphertext);
        expect(toHex(await to.receive.decrypt(none, sealed))).toBe(message.payload);
      }
    },
  );
});

describe("a message that was tampered with", () => {
  const vector = vectors.find(({ protocol_name }) => protocol_name.includes("_KK_"))!;

  it("is refused in the handshake, whichever byte was changed", async () => {
    const message = bytes(vector.messages[0]!.ciphertext);
    for (let at = 0; at < message.length; at += 7) {
      const changed = message.slice();
      changed[at]! ^= 1;
      const responder = await side(vector, "resp");
      await expect(responder.read(changed)).rejects.toThrow(NoiseError);
    }
  });

  it("is refused when it is cut short or out of turn", async () => {
    const message = bytes(vector.messages[0]!.ciphertext);
    await expect((await side(vector, "resp")).read(message.slice(0, 20))).rejects.toThrow(
      NoiseError,
    );
    await expect((await side(vector, "resp")).write(message)).rejects.toThrow(NoiseError);
    await expect((await side(vector, "init")).finish()).rejects.toThrow(NoiseError);
  });

  it("is refused when it is doubled, lost or reordered", async () => {
    const [initiator, responder] = [await side(vector, "init"), await side(vector, "resp")];
    await responder.read(await initiator.write(new Uint8Array(0)));
    await initiator.read(await responder.write(new Uint8Array(0)));
    const [left, right] = [await initiator.finish(), await responder.finish()];
    const none = new Uint8Array(0);
    const one = await left.send.encrypt(none, new Uint8Array([1]));
    const two = await left.send.encrypt(none, new Uint8Array([2]));
    expect(await right.receive.decrypt(none, one)).toEqual(new Uint8Array([1]));
    await expect(right.receive.decrypt(none, one)).rejects.toThrow(NoiseError);
    await expect(right.receive.decrypt(none, two)).rejects.toThrow(NoiseError);
  });

  it("cannot come from a key of small order", async () => {
    const responder = await side(vector, "resp");
    const message = bytes(vector.messages[0]!.ciphertext);
    message.fill(0, 0, 32);
    await expect(responder.read(message)).rejects.toThrow(NoiseError);
  });
});
