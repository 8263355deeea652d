import { describe, expect, it } from "vitest";
import { concat, fromHex, toBase64Url } from "../../src/link/bytes";
import { parsePairingLink, parseSessionLink, sessionFragment } from "../../src/link/links";

const machineId = "00112233445566778899aabbccddeeff";
const session = "11111111-2222-4333-8444-555555555555";

function blob(version = 1, tail = new Uint8Array(0)): string {
  const key = new Uint8Array(32).fill(2);
  const pairing = new Uint8Array(16).fill(3);
  const secret = new Uint8Array(32).fill(4);
  return toBase64Url(
    concat(new Uint8Array([version]), fromHex(machineId), key, pairing, secret, tail),
  );
}

describe("a pairing link", () => {
  it("names the machine, its key and the secret", () => {
    const link = parsePairingLink(`#pair=${blob()}`);
    expect(link?.machineId).toBe(machineId);
    expect(link?.machineKey).toEqual(new Uint8Array(32).fill(2));
    expect(link?.pairingId).toBe("03".repeat(16));
    expect(link?.secret).toEqual(new Uint8Array(32).fill(4));
    expect(link?.session).toBeUndefined();
  });

  it("may name the session it was made for", () => {
    const tail = fromHex(session.replaceAll("-", ""));
    expect(parsePairingLink(`#pair=${blob(1, tail)}`)?.session).toBe(session);
  });

  it.each(["", "#pair=", "#pair=%%%", `#pair=${blob(2)}`, `#pair=${blob().slice(4)}`, "#pair=é"])(
    "is refused when it is not one: %j",
    (fragment) => {
      expect(parsePairingLink(fragment)).toBeUndefined();
    },
  );
});

describe("a session link", () => {
  it("goes there and back", () => {
    expect(parseSessionLink(sessionFragment({ machineId, session }))).toEqual({
      machineId,
      session,
    });
  });

  it.each(["#m=1&s=2", `#m=${machineId}`, `#m=${machineId.toUpperCase()}&s=${session}`])(
    "is refused when it is not one: %j",
    (fragment) => {
      expect(parseSessionLink(fragment)).toBeUndefined();
    },
  );
});
