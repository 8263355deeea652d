import { describe, expect, it } from "vitest";
import { oneLine, terminalText, visible } from "../../src/app/visible";

describe("visible", () => {
  it.each([
    ["rm -rf \u202E/x", "rm -rf ⟨U+202E⟩/x"],
    ["a\u200Bb", "a⟨U+200B⟩b"],
    ["a\u0000b\u001b[0m", "a⟨U+0000⟩b⟨U+001B⟩[0m"],
    ["tab\tand\nline stay", "tab\tand\nline stay"],
    ["שלום العالم 👩‍🚀".replace("\u200d", ""), "שלום العالم 👩🚀"],
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
