/** Content by reference, as text, a piece at a time. Decoded leniently: it is shown, never run. */

import { RpcError } from "../ahp/client";
import type { ContentRef } from "../ahp/types";
import { fromBase64, utf8, type Bytes } from "../link/bytes";

export interface Reader {
  read(session: string, uri: string): Promise<{ data: string; encoding: string }>;
}

/**
 * One read. A machine gives 8 MiB at once, but what it gives must fit in a message of 32 MiB, and
 * the worst of bytes takes six times its room there.
 */
const READ_BYTES = 4 * 1024 * 1024;

/** What is shown of an output at a time. */
export const SHOWN_BYTES = 1024 * 1024;

/** How a machine says that devices do not get the beginning. */
const FROM = /\bfrom byte (\d+) on\b/;

export interface Piece {
  text: string;
  /** How much before it is not for devices; 0 when nothing is. */
  skipped: number;
  ended: boolean;
}

/** A content, read from its beginning to its end. */
export class Pieces {
  /** Where the next piece begins. */
  at: number;
  private readonly base: string;
  private readonly to: number;
  private decoder = fresh();

  constructor(
    private readonly reader: Reader,
    private readonly session: string,
    uri: string,
    private readonly bytes: number,
  ) {
    const [base = uri, query = ""] = uri.split("?");
    const range = new URLSearchParams(query);
    this.base = base;
    this.at = Number(range.get("from") ?? 0);
    this.to = Number(range.get("to") ?? Infinity);
  }

  /**
   * The next piece, at most so long as was said. Throws with the machine's words when it cannot be
   * read. `skip`: goes on with the first that devices get, where they do not get all.
   */
  async next(skip: boolean): Promise<Piece> {
    const from = this.at;
    const wanted = Math.min(this.bytes, this.to - from);
    let got: Bytes;
    try {
      got = await this.read(from, wanted);
    } catch (error) {
      const first = Number(error instanceof RpcError ? (FROM.exec(error.message)?.[1] ?? 0) : 0);
      if (!skip || first <= from) throw error;
      // There may be less by now; then it is asked for once more.
      this.at = first;
      this.decoder = fresh();
      const piece = await this.next(skip);
      return { ...piece, skipped: piece.skipped || first };
    }
    this.at = from + got.length;
    const ended = got.length < wanted || this.at >= this.to;
    return { text: this.decoder.decode(got, { stream: !ended }), skipped: 0, ended };
  }

  private async read(from: number, length: number): Promise<Bytes> {
    if (length <= 0) return new Uint8Array();
    const uri = `${this.base}?from=${from}&to=${from + length}`;
    const { data, encoding } = await this.reader.read(this.session, uri);
    return encoding === "base64" ? fromBase64(data) : utf8(data);
  }
}

const fresh = (): TextDecoder => new TextDecoder("utf-8", { ignoreBOM: true });

/** All of a content. Throws with the machine's words when any of it cannot be read. */
export async function readText(
  reader: Reader,
  session: string,
  content: ContentRef,
): Promise<string> {
  const pieces = new Pieces(reader, session, content.uri, READ_BYTES);
  let text = "";
  for (;;) {
    const piece = await pieces.next(false);
    text += piece.text;
    if (piece.ended) return text;
  }
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
