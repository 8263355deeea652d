import { describe, expect, it } from "vitest";
import { oneLine, piecesOf, terminalText, visible } from "../../src/app/visible";

describe("visible", () => {
  it.each([
    ["rm -rf \u202E/x", "rm -rf ⟨U+202E⟩/x"],
    ["a\u200Bb", "a⟨U+200B⟩b"],
    ["a\u0000b\u001b[0m", "a⟨U+0000⟩b⟨U+001B⟩[0m"],
    ["tab\tand\nline stay", "tab\tand\nline stay"],
    [
      "שלום العالم 👩\u200d🚀 ❤\ufe0f 👩🏽\u200d💻 1\ufe0f⃣",
      "שלום العالم 👩\u200d🚀 ❤\ufe0f 👩🏽\u200d💻 1\ufe0f⃣",
    ],
    ["می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"],
    ["🏴\u{e0067}\u{e0062}\u{e007f}", "🏴\u{e0067}\u{e0062}\u{e007f}"],
    ["rm\u200d -r\u200cf x\ufe0f", "rm⟨U+200D⟩ -r⟨U+200C⟩f x⟨U+FE0F⟩"],
    ["a\u{e0067}b\u3164c\u00add", "a⟨U+E0067⟩b⟨U+3164⟩c⟨U+00AD⟩d"],
  ])("%j", (text, expected) => {
    expect(visible(text)).toBe(expected);
  });

  it("keeps titles on one line", () => {
    expect(oneLine(" a\n\nb\t c ")).toBe("a b  c");
  });
});

describe("terminalText", () => {
  it.each([
    ["\u001b[32mok\u001b[0m", "ok"],
    ["\u001b]0;title\u0007text", "text"],
    ["\u001b]8;;https://x\u001b\\link", "link"],
    ["10%\r50%\r100%\ndone", "100%\ndone"],
    ["a\r\nb", "a\nb"],
  ])("%j", (text, expected) => {
    expect(terminalText(text)).toBe(expected);
  });
});

describe("piecesOf", () => {
  it.each([
    ["", 0],
    ["short", 1],
    ["a line\n".repeat(10_000), 4],
    ["x".repeat(50_000), 3],
    ["x" + "👩".repeat(20_000), 3],
  ])("loses nothing and breaks nothing: %#", (text, count) => {
    const pieces = piecesOf(text);
    expect(pieces).toHaveLength(count);
    expect(pieces.join("")).toBe(text);
    for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
  });
});
