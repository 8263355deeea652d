/** Key pairs from bytes, for vectors with fixed keys. */

import { concat, fromBase64Url, fromHex, type Bytes } from "../../src/link/bytes";
import type { KeyPair } from "../../src/link/noise";

/** What PKCS #8 has in front of an X25519 private key. */
const PKCS8 = fromHex("302e020100300506032b656e04220420");

export async function keyPair(privateHex: string): Promise<KeyPair> {
  const key = await crypto.subtle.importKey(
    "pkcs8",
    concat(PKCS8, fromHex(privateHex)),
    { name: "X25519" },
    true,
    ["deriveBits"],
  );
  const { x } = await crypto.subtle.exportKey("jwk", key);
  return { privateKey: key, publicKey: fromBase64Url(x!) };
}

export const bytes = (hex: string): Bytes => fromHex(hex);
