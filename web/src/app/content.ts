/** Content by reference, as text. Decoded leniently: it is shown, never run. */

import type { ContentRef } from "../ahp/types";
import { fromBase64 } from "../link/bytes";

export interface Reader {
  read(session: string, uri: string): Promise<{ data: string; encoding: string }>;
}

const lenient = new TextDecoder("utf-8");

/** Throws with the machine's words when it cannot be read. */
export async function readText(
  reader: Reader,
  session: string,
  content: ContentRef,
): Promise<string> {
  const { data, encoding } = await reader.read(session, content.uri);
  return encoding === "base64" ? lenient.decode(fromBase64(data)) : data;
}

/** The path of a `file:` URI, or the URI. */
export function pathOf(uri: string): string {
  try {
    const url = new URL(uri);
    return url.protocol === "file:" ? decodeURIComponent(url.pathname) : uri;
  } catch {
    return uri;
  }
}
