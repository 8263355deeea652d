// @vitest-environment jsdom

import { describe, expect, it } from "vitest";
import { Blocks, markupEnd, show, type Block } from "../../src/app/markdown";

function rendered(block: Extract<Block, { kind: "markup" }>): Element {
  const element = document.createElement("div");
  show(element, block);
  return element;
}

const blocksOf = (source: string) => new Blocks().of(source);

/** The text and the elements that a source becomes. */
function shown(source: string) {
  const element = document.createElement("div");
  const end = markupEnd(source);
  for (const block of blocksOf(source.slice(0, end))) {
    if (block.kind === "markup") element.append(...rendered(block).childNodes);
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

describe("markup", () => {
  const html = (source: string) => shown(source).element.innerHTML;

  it("is made of what markdown says", () => {
    expect(html("## a *b* **c** ~~d~~ `e &lt;`")).toBe(
      "<h2>a <em>b</em> <strong>c</strong> <del>d</del> <code>e &amp;lt;</code></h2>",
    );
    expect(html("3. a\n4. b\n   - [x] c\n   - [ ] d")).toBe(
      '<ol start="3"><li>a</li><li>b<ul><li>☑ c</li><li>☐ d</li></ul></li></ol>',
    );
    expect(html("- a\n\n- b")).toBe("<ul><li><p>a</p></li><li><p>b</p></li></ul>");
    expect(html("|a|b|\n|-|:-:|\n|c|*d*|")).toBe(
      '<table><thead><tr><th>a</th><th align="center">b</th></tr></thead>' +
        '<tbody><tr><td>c</td><td align="center"><em>d</em></td></tr></tbody></table>',
    );
    expect(html("> a  \n> b\n\n---")).toBe("<blockquote><p>a<br>b</p></blockquote><hr>");
    expect(html("![a picture](https://e/x.png)")).toMatch(/<p><a .*>a picture<\/a><\/p>/);
  });

  it("has the characters that references name, and no markup of them", () => {
    const source = "&lt;b&gt; &amp;amp; &#169; &#xA9; &hellip; &nothing; &#0; &#xD800; \\&lt; a&b";
    expect(shown(source).text).toBe("<b> &amp; © © … &nothing; \ufffd \ufffd &lt; a&b");
    expect(shown(source).elements).toBe(1);
  });

  it("leads only to the web", () => {
    for (const source of ["[a](javascript:b)", "[a](data:b)", "![a](javascript:b)", "<vbscript:b>"])
      expect(shown(source).element.querySelector("[href]")).toBeNull();
    const link = shown("[a](https://e/)").element.querySelector("a")!;
    expect(link.getAttribute("rel")).toBe("noopener noreferrer nofollow");
  });

  it("keeps what is the same when it becomes another one", () => {
    const element = document.createElement("div");
    const become = (source: string) => {
      const [block] = blocksOf(source);
      if (block?.kind === "markup") show(element, block);
      return element.innerHTML;
    };
    become("- one *two*\n- th");
    const [first, text] = [
      element.querySelector("em"),
      element.querySelectorAll("li")[1]!.firstChild,
    ];
    expect(become("- one *two*\n- three\n- four")).toBe(
      "<ul><li>one <em>two</em></li><li>three</li><li>four</li></ul>",
    );
    expect(element.querySelector("em")).toBe(first);
    expect(element.querySelectorAll("li")[1]!.firstChild).toBe(text);
    expect(become("1. one")).toBe("<ol><li>one</li></ol>");
    expect(become("1. [one](https://a/)")).toContain('href="https://a/"');
    expect(become("1. [one](https://b/)")).toContain('href="https://b/"');
    expect(become("*a*")).toBe("<p><em>a</em></p>");
    expect(become("a")).toBe("<p>a</p>");
  });
});

describe("a text that grows", () => {
  const html = (blocks: ReturnType<typeof blocksOf>) =>
    blocks.map((block) => (block.kind === "markup" ? rendered(block).innerHTML : block));

  /** Everything that one thing may become when another one follows it. */
  const PIECES = [
    "# A title\n",
    "words *with* **marks** and `code`",
    "\n",
    "\n\n",
    "\r\n",
    "- a thing\n",
    "  - inside\n",
    "    still inside\n",
    "1. first\n",
    "2) second\n",
    "> said\n",
    "```rust\n",
    "fn main() {}\n",
    "```\n",
    "    indented\n",
    "| a | b |\n|---|---|\n",
    "| 1 | 2 |\n",
    "===\n",
    "---\n",
    "[name]: https://example.com/ 'title'\n",
    "see [name] and [other][name]",
    "[other]: https://example.org/\n",
    "<div>\n",
    "</div>\n",
    "https://example.com",
    "\t",
    " ",
    "&amp",
    ";",
    "~~",
    "***",
    "\\",
  ];

  it("is read as it would be read at once, however it comes", () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    for (let round = 0; round < 300; round += 1) {
      const reader = new Blocks();
      let source = "";
      for (let piece = 0; piece < 14; piece += 1) {
        const text = PIECES[random(PIECES.length)]!;
        const cut = random(text.length + 1);
        for (const part of [text.slice(0, cut), text.slice(cut)]) {
          source += part;
          expect(html(reader.of(source)), JSON.stringify(source)).toEqual(html(blocksOf(source)));
        }
      }
    }
  });

  it("keeps the blocks that nothing can change, and begins anew with another text", () => {
    const reader = new Blocks();
    const [first, second] = reader.of("# A\n\nwords\n\n- a\n");
    const [one, two] = reader.of("# A\n\nwords\n\n- a\n- b");
    expect(one).toBe(first);
    expect(two).toBe(second);
    expect(html(reader.of("other *words*"))).toEqual(["<p>other <em>words</em></p>"]);
  });
});
