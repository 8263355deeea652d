/**
 * The two kinds of links a machine hands out, read from the fragment of the page's address.
 *
 * A fragment is never sent to a server. Both readers take hostile text and answer `undefined`.
 */

import { fromBase64Url, fromHex, toHex, type Bytes } from "./bytes";

/** Made by `copilot devices pair`; works once, for ten minutes. */
export interface PairingLink {
  machineId: string;
  machineKey: Bytes;
  pairingId: string;
  /** 32 bytes that the relay never sees. */
  secret: Bytes;
  /** The session to land on. */
  session?: string;
}

/** Names a session; holds no secret. */
export interface SessionLink {
  machineId: string;
  session: string;
}

const BLOB_VERSION = 1;
const BLOB_LENGTH = 1 + 16 + 32 + 16 + 32;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MACHINE_ID = /^[0-9a-f]{32}$/;

function parameters(fragment: string): URLSearchParams {
  return new URLSearchParams(fragment.startsWith("#") ? fragment.slice(1) : fragment);
}

export function parsePairingLink(fragment: string): PairingLink | undefined {
  const encoded = parameters(fragment).get("pair");
  if (!encoded) return undefined;
  let blob: Bytes;
  try {
    blob = fromBase64Url(encoded);
  } catch {
    return undefined;
  }
  const hasSession = blob.length === BLOB_LENGTH + 16;
  if (blob[0] !== BLOB_VERSION || (blob.length !== BLOB_LENGTH && !hasSession)) return undefined;
  return {
    machineId: toHex(blob.slice(1, 17)),
    machineKey: blob.slice(17, 49),
    pairingId: toHex(blob.slice(49, 65)),
    secret: blob.slice(65, 97),
    ...(hasSession ? { session: toUuid(blob.slice(97)) } : {}),
  };
}

export function parseSessionLink(fragment: string): SessionLink | undefined {
  const values = parameters(fragment);
  const machineId = values.get("m") ?? "";
  const session = values.get("s") ?? "";
  return MACHINE_ID.test(machineId) && UUID.test(session) ? { machineId, session } : undefined;
}

export const sessionFragment = (link: SessionLink): string =>
  `#m=${link.machineId}&s=${link.session}`;

function toUuid(bytes: Bytes): string {
  const hex = toHex(bytes);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}

export const machineIdBytes = (machineId: string): Bytes => fromHex(machineId);
