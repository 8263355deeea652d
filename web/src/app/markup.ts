/**
 * Markdown's tokens as nodes. No text is ever read as markup of a page, so there is nothing in it
 * that could load or run; the sanitiser looks at what was made all the same.
 */

import type { MarkedToken, Token, Tokens } from "marked";

type Child = Node | string;

/** The references that people write. Numbers are read as well; what else there is stays as it is. */
const NAMED = new Map(
  Object.entries({
    amp: "&",
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    nbsp: "\u00a0",
    copy: "©",
    reg: "®",
    trade: "™",
    hellip: "…",
    mdash: "—",
    ndash: "–",
    lsquo: "‘",
    rsquo: "’",
    ldquo: "“",
    rdquo: "”",
    laquo: "«",
    raquo: "»",
    bull: "•",
    middot: "·",
    times: "×",
    deg: "°",
    euro: "€",
    sect: "§",
    larr: "←",
    rarr: "→",
    uarr: "↑",
    darr: "↓",
    harr: "↔",
    check: "✓",
    le: "≤",
    ge: "≥",
    ne: "≠",
    infin: "∞",
  }),
);

const REFERENCE = /&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{1,8}));/gi;

/** A text with its character references read, as in `&lt;`. */
function read(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(REFERENCE, (all, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return NAMED.get(name) ?? all;
    const code = decimal !== undefined ? parseInt(decimal, 10) : parseInt(hex!, 16);
    const isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return isCharacter ? String.fromCodePoint(code) : "\ufffd";
  });
}

function make(name: string, children: Child[], attributes: Record<string, string> = {}): Element {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  // One at a time: a list of a hundred thousand is more than a call may have.
  for (const child of children) element.append(child);
  return element;
}

/** The nodes of these tokens. A kind that is not known is shown as it was written. */
export function nodesOf(tokens: Token[]): Child[] {
  return tokens.flatMap((token) => nodesOfOne(token as MarkedToken));
}

function nodesOfOne(token: MarkedToken): Child[] {
  switch (token.type) {
    case "space":
    case "def":
      return [];
    case "hr":
    case "br":
      return [make(token.type, [])];
    case "heading":
      return [make(`h${token.depth}`, nodesOf(token.tokens))];
    case "paragraph":
      return [make("p", nodesOf(token.tokens))];
    case "blockquote":
    case "strong":
    case "em":
    case "del":
      return [make(token.type, nodesOf(token.tokens))];
    case "code":
      return [make("pre", [make("code", [token.text])])];
    case "codespan":
      return [make("code", [token.text])];
    case "list":
      return [list(token)];
    case "list_item":
      return [make("li", nodesOf(token.tokens))];
    case "checkbox":
      return [token.checked ? "☑ " : "☐ "];
    case "table":
      return [table(token)];
    case "link":
      return [make("a", nodesOf(token.tokens), { href: token.href })];
    case "image":
      // Nothing is loaded that nobody asked for.
      return [make("a", [read(token.text) || token.href], { href: token.href })];
    case "text":
      return token.tokens ? nodesOf(token.tokens) : [read(token.text)];
    case "escape":
    case "html":
      // What is markup elsewhere is the text that it is.
      return [token.text];
    default:
      return [(token as Token).raw];
  }
}

function list({ ordered, start, items }: Tokens.List): Element {
  const first = ordered && start !== "" && start !== 1 ? { start: String(start) } : undefined;
  return make(ordered ? "ol" : "ul", nodesOf(items), first);
}

function table({ header, rows }: Tokens.Table): Element {
  const cell = ({ tokens, align }: Tokens.TableCell, name: string) =>
    make(name, nodesOf(tokens), align ? { align } : undefined);
  const row = (cells: Tokens.TableCell[], name: string) =>
    make(
      "tr",
      cells.map((each) => cell(each, name)),
    );
  const body = make(
    "tbody",
    rows.map((cells) => row(cells, "td")),
  );
  return make("table", [make("thead", [row(header, "th")]), ...(rows.length > 0 ? [body] : [])]);
}

/**
 * Makes the children of `element` those of `fresh`. What is the same stays where it is, and with it
 * what somebody selected there; a text that grew is the same one with more in it.
 */
export function become(element: Element, fresh: Element): void {
  let old = element.firstChild;
  for (let next = fresh.firstChild; next; next = fresh.firstChild) {
    if (!old) {
      element.append(next);
      continue;
    }
    const following: ChildNode | null = old.nextSibling;
    if (old instanceof Text && next instanceof Text) {
      if (next.data.startsWith(old.data)) old.appendData(next.data.slice(old.length));
      else old.data = next.data;
      next.remove();
    } else if (old instanceof Element && next instanceof Element && isAlike(old, next)) {
      become(old, next);
      next.remove();
    } else {
      old.replaceWith(next);
    }
    old = following;
  }
  while (old) {
    const following: ChildNode | null = old.nextSibling;
    old.remove();
    old = following;
  }
}

function isAlike(one: Element, other: Element): boolean {
  return (
    one.nodeName === other.nodeName &&
    one.attributes.length === other.attributes.length &&
    [...one.attributes].every(({ name, value }) => other.getAttribute(name) === value)
  );
}
