import { describe, expect, it } from "vitest";
import { RpcError } from "../../src/ahp/client";
import { Pieces, readText, type Reader } from "../../src/app/content";
import { utf8 } from "../../src/link/bytes";

const URI = "copilot-output:/s/call";

/** A machine that has these bytes, and gives devices those from `first` on. */
function machine(content: Uint8Array, first = 0) {
  const asked: string[] = [];
  const reader: Reader = {
    read: (_session, uri) => {
      asked.push(uri.slice(uri.indexOf("?")));
      const range = new URLSearchParams(uri.split("?")[1]);
      const [from, to] = [Number(range.get("from")), Number(range.get("to"))];
      if (from < first) {
        const why = `devices get only the newest of so much output: from byte ${first} on`;
        return Promise.reject(new RpcError(-32009, why));
      }
      const bytes = content.slice(from, to);
      try {
        const data = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
        return Promise.resolve({ data, encoding: "utf-8" });
      } catch {
        return Promise.resolve({ data: btoa(String.fromCharCode(...bytes)), encoding: "base64" });
      }
    },
  };
  return { reader, asked };
}

describe("a content", () => {
  it("is read piece by piece, whatever is cut in two", async () => {
    const text = "aä🎉 \ufeffz\n".repeat(7);
    for (const size of [1, 2, 3, 5, 8, 1000]) {
      const { reader } = machine(utf8(text));
      const pieces = new Pieces(reader, "s", URI, size);
      let read = "";
      for (;;) {
        const piece = await pieces.next(true);
        read += piece.text;
        if (piece.ended) break;
      }
      expect(read, `in pieces of ${size}`).toBe(text);
    }
  });

  it("ends where it ends, and where its reference ends", async () => {
    const { reader, asked } = machine(utf8("0123456789"));
    const pieces = new Pieces(reader, "s", `${URI}?from=2&to=7`, 3);
    expect(await pieces.next(true)).toEqual({ text: "234", skipped: 0, ended: false });
    expect(await pieces.next(true)).toEqual({ text: "56", skipped: 0, ended: true });
    expect(asked).toEqual(["?from=2&to=5", "?from=5&to=7"]);
    expect(await readText(reader, "s", { uri: URI })).toBe("0123456789");
    expect(await readText(machine(utf8("")).reader, "s", { uri: URI })).toBe("");
  });

  it("begins where devices may read, and says so; but never where somebody decides about it", async () => {
    const { reader } = machine(utf8("0123456789"), 6);
    const pieces = new Pieces(reader, "s", URI, 3);
    expect(await pieces.next(true)).toEqual({ text: "678", skipped: 6, ended: false });
    expect(await pieces.next(true)).toEqual({ text: "9", skipped: 0, ended: true });
    await expect(readText(reader, "s", { uri: URI })).rejects.toThrow("from byte 6 on");
  });

  it("is shown as far as it is text", async () => {
    const { reader } = machine(new Uint8Array([97, 0xff, 98]));
    expect(await readText(reader, "s", { uri: URI })).toBe("a\ufffdb");
  });

  it("passes on in words why it cannot be read", async () => {
    const reader = { read: () => Promise.reject(new RpcError(-32008, "there is no content")) };
    await expect(new Pieces(reader, "s", URI, 3).next(true)).rejects.toThrow("no content");
  });
});
