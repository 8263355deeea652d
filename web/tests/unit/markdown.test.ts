// @vitest-environment jsdom

import { describe, expect, it } from "vitest";
import { blocksOf, markupEnd, render } from "../../src/app/markdown";

/** The text and the elements that a source becomes. */
function shown(source: string) {
  const element = document.createElement("div");
  const end = markupEnd(source);
  for (const block of blocksOf(source.slice(0, end))) {
    if (block.kind === "markup") element.append(render(block));
    else element.append(block.kind === "code" ? block.text : block.raw);
  }
  element.append(source.slice(end));
  return { text: element.textContent, elements: element.querySelectorAll("*").length, element };
}

describe("markdown", () => {
  it("is split into blocks, and code is its own", () => {
    expect(blocksOf("# A\n\nb *c*\n\n```rust x\nfn\n```\n").map((block) => block.kind)).toEqual([
      "markup",
      "markup",
      "code",
    ]);
    expect(shown("b *c* [d](https://e)").element.innerHTML).toMatch(/<em>c<\/em> <a .*>d<\/a>/);
  });

  it.each(["<script>", "<code>", "<pre>", "<kbd>", "<b>", "<!--"])(
    "shows raw markup as text, and what comes after it: %s",
    (tag) => {
      for (const source of [
        `a ${tag} <img src=x onerror=y b`,
        `a\n${tag} &lt;img src=x&gt; b\n===`,
      ]) {
        const { text, element } = shown(source);
        expect(element.querySelectorAll(":not(p, h1)")).toHaveLength(0);
        expect(text).toContain("<img src=x");
        expect(text).toContain(" b");
      }
    },
  );

  // A parser that looks for every end from every beginning takes minutes for each of these.
  it.each([
    ["emphasis", "*a **b ".repeat(10_000)],
    ["underscores", "_a __b ".repeat(10_000)],
    ["strikes", "~~a ".repeat(20_000)],
    ["links", "[a](".repeat(20_000)],
    ["images", "![a](b".repeat(20_000)],
    ["one address", `${"a".repeat(49_000)}@`],
    ["quotes", `${">".repeat(10_000)} end`],
    ["lists", `${"- ".repeat(10_000)}end`],
    [
      "lists that go on",
      Array.from({ length: 40 }, (_, i) => " ".repeat(i * 40) + "- ".repeat(20)).join("\n"),
    ],
    ["backticks", Array.from({ length: 300 }, (_, i) => "`".repeat(i + 1)).join(" ")],
    ["two megabytes in a line", "x".repeat(2_000_000)],
  ])("stays what it is and is bounded: %s", (_, source) => {
    const { text, elements } = shown(source);
    const letters = (of: string) => of.replaceAll(/[^a-z]/g, "");
    expect(letters(text)).toBe(letters(source));
    expect(elements).toBeLessThan(2_000);
  });

  it("has a bounded number of blocks, and loses none of the text", () => {
    const source = "# a\n".repeat(20_000);
    const blocks = blocksOf(source);
    expect(blocks.length).toBeLessThan(600);
    expect(blocks.map((block) => block.raw).join("")).toBe(source);
  });
});
