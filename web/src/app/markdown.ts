/**
 * Markdown of an agent: hostile until it is a clean tree.
 *
 * Split into its top-level blocks, so that while text streams in only the last one is made anew.
 * Nothing that loads or runs survives: images become links, links lead only to the web, and the
 * sanitiser has a short list of what may stay.
 */

import DOMPurify from "dompurify";
import { getDefaults, Lexer, Tokenizer, type Links, type Token, type Tokens } from "marked";
import { fill, nodesOf, SAFE_LINK } from "./markup";

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
  constructor(public work: number) {
    super({ ...getDefaults(), tokenizer: new BoundedTokenizer() });
  }

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

/** A block of the parser's, and what is shown for it; some have nothing to show. */
interface Part {
  raw: string;
  block?: Block;
}

/**
 * The blocks of a text, which may grow. What more text cannot change any more is not read again, and
 * stays the same object.
 */
export class Blocks {
  private source = "";
  private parts: Part[] = [];
  /** How many of the parts, and how much of the text, nothing that comes can change. */
  private settled = 0;
  private settledChars = 0;
  /** An upper bound of what reading them took, and the addresses that they give names to. */
  private work = 0;
  private links: Links = {};

  /** Those of this text. A part of them is known when it begins with the one before. */
  of(text: string): Block[] {
    const source = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    try {
      if (!source.startsWith(this.source) || !this.read(source)) {
        this.forget();
        this.read(source);
      }
      return shownOf(this.parts);
    } catch {
      // A parser that gave up.
      this.forget();
      return [{ kind: "plain", raw: source }];
    }
  }

  private forget(): void {
    this.source = "";
    this.parts = [];
    this.settled = this.settledChars = this.work = 0;
    this.links = {};
  }

  /** Reads what is not settled. Says whether the rest still is. */
  private read(source: string): boolean {
    const lexer = new BoundedLexer(this.work);
    const { links } = lexer.tokens;
    Object.assign(links, this.links);
    const named = Object.keys(links).length;
    const tail = source.slice(this.settledChars);
    const tokens = lexer.lex(tail);
    // An address that gets a name now may be meant by what was read before.
    if (this.settled > 0 && Object.keys(links).length > named) return false;
    this.source = source;
    this.parts = [...this.parts.slice(0, this.settled), ...tokens.map(partOf)];

    const before = tokens.slice(0, settledOf(tokens));
    const raw = rawOf(before);
    const settledLinks = { ...this.links, ...linksOf(before) };
    if (Object.keys(links).length > Object.keys(settledLinks).length) {
      // One that may become another one, or none, is meant anywhere.
      this.settled = this.settledChars = this.work = 0;
      this.links = {};
    } else if (raw && tail.startsWith(raw)) {
      this.settled += before.length;
      this.settledChars += raw.length;
      this.work = lexer.work;
      this.links = settledLinks;
    }
    return true;
  }
}

const rawOf = (tokens: Token[]): string => tokens.map(({ raw }) => raw).join("");

/**
 * How many of these nothing that comes can change: those before a gap after which another block has
 * begun. A list goes on after a gap, and what a line begins can be said of a whole one only.
 */
function settledOf(tokens: Token[]): number {
  for (let at = tokens.length - 1; at > 0; at -= 1) {
    const isWhole = at + 1 < tokens.length || tokens[at]!.raw.includes("\n");
    if (tokens[at]!.type === "space" || !isWhole) continue;
    if (tokens[at - 1]!.type === "space" || tokens[at - 1]!.raw.endsWith("\n\n")) return at;
  }
  return 0;
}

/** The addresses that these give names to, those in lists and quotes too. */
function linksOf(tokens: Token[]): Links {
  const links: Links = {};
  for (const token of tokens) {
    if (token.type === "def") {
      const { tag, href, title } = token as Tokens.Def;
      links[tag] ??= { href, title };
    }
    const inside = token as { tokens?: Token[]; items?: Token[] };
    Object.assign(links, linksOf([...(inside.tokens ?? []), ...(inside.items ?? [])]));
  }
  return links;
}

function partOf(token: Token): Part {
  const { raw } = token;
  if (token.type === "space" || token.type === "def") return { raw };
  if (token.type === "code") {
    const { text, lang } = token as { text: string; lang?: string };
    return { raw, block: { kind: "code", raw, text, language: lang?.split(/\s/)[0] ?? "" } };
  }
  if (raw.length > MAX_BLOCK_CHARS) return { raw, block: { kind: "plain", raw } };
  return { raw, block: { kind: "markup", raw, token } };
}

function shownOf(parts: Part[]): Block[] {
  const blocks = parts.slice(0, MAX_BLOCKS).flatMap(({ block }) => (block ? [block] : []));
  const rest = parts.slice(MAX_BLOCKS).map(({ raw }) => raw);
  if (rest.length > 0) blocks.push({ kind: "plain", raw: rest.join("") });
  return blocks;
}

const purify = DOMPurify(window);
purify.setConfig({
  IN_PLACE: true,
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["href", "target", "rel", "title", "align", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
});
purify.addHook("afterSanitizeAttributes", (node) => {
  if (!SAFE_LINK.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
});

/** Shows a block in an element, or its text where that cannot be done. */
export function show(element: Element, block: Extract<Block, { kind: "markup" }>): void {
  try {
    fill(element, nodesOf([block.token]), (made) => purify.sanitize(made));
  } catch {
    element.textContent = block.raw;
  }
}
