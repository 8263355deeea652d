/**
 * Markdown of an agent: hostile until it is a clean tree.
 *
 * Split into its top-level blocks, so that while text streams in only the last one is made anew.
 * Nothing that loads or runs survives: images become links, links lead only to the web, and the
 * sanitiser has a short list of what may stay.
 */

import DOMPurify from "dompurify";
import { getDefaults, Lexer, Tokenizer, type Token } from "marked";
import { nodesOf } from "./markup";

/** Beyond this a text has no markup: nobody reads it, and nothing may hang. */
const MAX_CHARS = 50_000;
/** The same for a single block, and for how many blocks there are. */
const MAX_BLOCK_CHARS = 10_000;
const MAX_BLOCKS = 300;
/** Quotes and lists in one another; deeper markers are text. */
const MAX_DEPTH = 30;
/**
 * The parser looks for the end of an emphasis, a link or an address from every possible beginning of
 * one. That product is bounded, for one text and for all together; what exceeds it has no markup.
 */
const MAX_WORK = 1_000_000;
const MAX_WORK_IN_ALL = 4_000_000;

const TAGS = [
  "a",
  "blockquote",
  "br",
  "code",
  "del",
  "div",
  "em",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "hr",
  "li",
  "ol",
  "p",
  "pre",
  "strong",
  "table",
  "tbody",
  "td",
  "th",
  "thead",
  "tr",
  "ul",
];

class BoundedLexer extends Lexer {
  private work = 0;

  override inlineTokens(source: string, tokens: Token[] = []): Token[] {
    const beginnings = source.match(/[*_~[(<`\\]/g)?.length ?? 0;
    const addresses = source.includes("@") ? source.length / 20 : 0;
    const work = source.length * (beginnings + addresses);
    this.work += work;
    if (work <= MAX_WORK && this.work <= MAX_WORK_IN_ALL) return super.inlineTokens(source, tokens);
    tokens.push({ type: "text", raw: source, text: source, escaped: false });
    return tokens;
  }
}

class BoundedTokenizer extends Tokenizer {
  private depth = 0;

  private nested<T>(inside: () => T): T | undefined {
    if (this.depth >= MAX_DEPTH) return undefined;
    this.depth += 1;
    try {
      return inside();
    } finally {
      this.depth -= 1;
    }
  }

  /** After a raw `<code>` or `<script>` the parser takes text for markup; here both are text. */
  override inlineText(source: string) {
    const token = super.inlineText(source);
    if (token) token.escaped = false;
    return token;
  }

  override blockquote(source: string) {
    return this.nested(() => super.blockquote(source));
  }

  override list(source: string) {
    return this.nested(() => super.list(source));
  }
}

export type Block =
  | { kind: "markup"; raw: string; token: Token }
  | { kind: "code"; raw: string; text: string; language: string }
  | { kind: "plain"; raw: string };

/** How much of a text is read as markdown: whole blocks as far as that can be seen. */
export function markupEnd(source: string): number {
  if (source.length <= MAX_CHARS) return source.length;
  const gap = source.lastIndexOf("\n\n", MAX_CHARS);
  return gap > 0 ? gap + 2 : MAX_CHARS;
}

export function blocksOf(source: string): Block[] {
  try {
    const lexer = new BoundedLexer({ ...getDefaults(), tokenizer: new BoundedTokenizer() });
    const tokens = lexer.lex(source);
    const blocks = tokens.slice(0, MAX_BLOCKS).flatMap((token): Block[] => {
      const { raw } = token;
      if (token.type === "space" || token.type === "def") return [];
      if (token.type === "code") {
        const { text, lang } = token as { text: string; lang?: string };
        return [{ kind: "code", raw, text, language: lang?.split(/\s/)[0] ?? "" }];
      }
      if (raw.length > MAX_BLOCK_CHARS) return [{ kind: "plain", raw }];
      return [{ kind: "markup", raw, token }];
    });
    const rest = tokens.slice(MAX_BLOCKS).map((token) => token.raw);
    if (rest.length > 0) blocks.push({ kind: "plain", raw: rest.join("") });
    return blocks;
  } catch {
    // A parser that gave up.
    return [{ kind: "plain", raw: source }];
  }
}

const SAFE_LINK = /^(?:https?:|mailto:)/i;

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  const href = node.getAttribute("href") ?? "";
  if (SAFE_LINK.test(href)) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("title", href);
  } else node.removeAttribute("href");
});

/** One block, clean, or its text where it cannot be made: the children of what is given back. */
export function render(block: Extract<Block, { kind: "markup" }>): Element {
  try {
    const made = document.createElement("div");
    for (const node of nodesOf([block.token])) made.append(node);
    purify.sanitize(made, {
      IN_PLACE: true,
      ALLOWED_TAGS: TAGS,
      ALLOWED_ATTR: ["href", "align", "start"],
      ALLOW_DATA_ATTR: false,
      ALLOW_ARIA_ATTR: false,
    });
    return made;
  } catch {
    const made = document.createElement("div");
    made.append(block.raw);
    return made;
  }
}
