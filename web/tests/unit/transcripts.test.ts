import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { concat, text, toHex, u32, utf8, type Bytes } from "../../src/link/bytes";
import { SealedChannel } from "../../src/link/channel";
import { parsePairingLink } from "../../src/link/links";
import { sha256 } from "../../src/link/noise";
import { bytes, keyPair } from "./keys";

interface Sealed {
  from: "machine" | "device";
  type: number;
  text: string;
  times?: number;
  frames: string[];
}

interface Conversation {
  handshake: {
    device_ephemeral: string;
    device_hello: string;
    machine_hello: string;
    first_payload: string;
    second_payload: string;
    code: string;
  };
  messages: Sealed[];
}

// Whole conversations with fixed keys, written by the Rust side.
const file = new URL("../../../link-proto/tests/fixtures/transcripts.json", import.meta.url);
const fixture = JSON.parse(readFileSync(file, "utf8")) as {
  channel_number: number;
  machine_id: string;
  machine_public_key: string;
  device_private_key: string;
  pairing: Conversation & { link: string };
  channel: Conversation;
};

const number = u32(fixture.channel_number);
const named = async (frame: Bytes): Promise<[string, string]> => {
  const whole = concat(number, frame);
  return [toHex(whole), `sha256:${toHex(await sha256(whole))}`];
};

async function follow(channel: SealedChannel, conversation: Conversation): Promise<void> {
  const { handshake, messages } = conversation;
  expect(toHex(channel.opening)).toBe(handshake.first_payload);
  const hello = await channel.accept(bytes(handshake.second_payload).slice(1));
  expect(hello).toEqual((JSON.parse(handshake.machine_hello) as { machine: object }).machine);
  expect(await channel.code()).toBe(handshake.code);
  for (const message of messages) {
    const whole = message.text.repeat(message.times ?? 1);
    if (message.from === "device") {
      const frames: Bytes[] = [];
      await channel.seal(message.type, utf8(whole), (frame) => frames.push(frame));
      expect(frames).toHaveLength(message.frames.length);
      for (const [i, frame] of frames.entries()) {
        expect(await named(frame)).toContain(message.frames[i]);
      }
    } else if (message.frames.every((frame) => !frame.startsWith("sha256:"))) {
      let last;
      for (const frame of message.frames) last = await channel.unseal(bytes(frame).slice(5));
      expect(last?.type).toBe(message.type);
      expect(text(last!.bytes)).toBe(whole);
    } else {
      // The rest of this direction cannot be opened without the bytes of this message.
      break;
    }
  }
}

describe("what the Rust side says, this side says too", () => {
  it("while pairing", async () => {
    const { pairing } = fixture;
    const link = parsePairingLink(new URL(pairing.link).hash)!;
    expect(link.machineId).toBe(fixture.machine_id);
    const own = await keyPair(fixture.device_private_key);
    const ephemeral = await keyPair(pairing.handshake.device_ephemeral);
    const { name } = JSON.parse(pairing.handshake.device_hello) as { name: string };
    await follow(await SealedChannel.pair(link, own, name, ephemeral), pairing);
  });

  it("in every later channel", async () => {
    const { channel } = fixture;
    const machine = {
      machineId: fixture.machine_id,
      machineKey: bytes(fixture.machine_public_key),
    };
    const own = await keyPair(fixture.device_private_key);
    const ephemeral = await keyPair(channel.handshake.device_ephemeral);
    const { name } = JSON.parse(channel.handshake.device_hello) as { name: string };
    await follow(await SealedChannel.connect(machine, own, name, ephemeral), channel);
  });
});
