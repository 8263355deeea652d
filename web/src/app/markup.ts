/**
 * Markdown's tokens as nodes of a page. No text is ever read as markup of a page, so there is nothing
 * in it that could load or run; the sanitiser looks at what was made all the same.
 */

import type { MarkedToken, Token, Tokens } from "marked";

/** An element that there shall be. A text is a string. */
interface Made {
  /** As HTML writes it, in small letters. */
  name: string;
  attributes: Record<string, string>;
  children: Child[];
}

export type Child = Made | string;

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

/** Where a link may lead. */
export const SAFE_LINK = /^(?:https?:|mailto:)/i;

/** What a link has: it leads to the web, and says where before somebody follows it. */
function linkTo(href: string): Record<string, string> {
  if (!SAFE_LINK.test(href)) return {};
  return { href, target: "_blank", rel: "noopener noreferrer nofollow", title: href };
}

const make = (name: string, children: Child[], attributes: Record<string, string> = {}): Made => ({
  name,
  attributes,
  children,
});

/** Texts beside each other are one, as in a page. */
function joined(children: Child[]): Child[] {
  const all: Child[] = [];
  for (const child of children) {
    const last = all.at(-1);
    if (typeof child === "string" && typeof last === "string") all[all.length - 1] = last + child;
    else if (child !== "") all.push(child);
  }
  return all;
}

/** The nodes of these tokens. A kind that is not known is shown as it was written. */
export function nodesOf(tokens: Token[]): Child[] {
  return joined(tokens.flatMap((token) => nodesOfOne(token as MarkedToken)));
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
      return [make("a", nodesOf(token.tokens), linkTo(token.href))];
    case "image":
      // Nothing is loaded that nobody asked for.
      return [make("a", [read(token.text) || token.href], linkTo(token.href))];
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

function list({ ordered, start, items }: Tokens.List): Made {
  const first = ordered && start !== "" && start !== 1 ? { start: String(start) } : undefined;
  return make(ordered ? "ol" : "ul", nodesOf(items), first);
}

function table({ header, rows }: Tokens.Table): Made {
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
 * Where elements are made and looked at: nothing in it runs or loads. The page's own document would
 * remember, too, every walk of the sanitiser, and ask each of them whenever a node goes away.
 */
const workshop = document.implementation.createHTMLDocument();

/** The same as an element. */
function built({ name, attributes, children }: Made): Element {
  const element = workshop.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const child of children) element.append(typeof child === "string" ? child : built(child));
  return element;
}

function isAlike(element: Element, { name, attributes }: Made): boolean {
  const wanted = Object.entries(attributes);
  return (
    element.localName === name &&
    element.attributes.length === wanted.length &&
    wanted.every(([key, value]) => element.getAttribute(key) === value)
  );
}

/**
 * Makes these the children of `element`. What is the same stays where it is, and with it what
 * somebody selected there; a text that grew is the same one with more in it. What is new goes through
 * `clean` before it is in the page.
 */
export function fill(element: Element, children: Child[], clean: (made: Element) => void): void {
  let old = element.firstChild;
  for (const child of children) {
    const following: ChildNode | null = old?.nextSibling ?? null;
    if (typeof child === "string") {
      if (old instanceof Text) {
        if (child.startsWith(old.data)) old.appendData(child.slice(old.length));
        else old.data = child;
      } else put(element, document.createTextNode(child), old);
    } else if (old instanceof Element && isAlike(old, child)) {
      fill(old, child.children, clean);
    } else {
      const made = built(child);
      clean(made);
      put(element, made, old);
    }
    old = following;
  }
  while (old) {
    const following: ChildNode | null = old.nextSibling;
    old.remove();
    old = following;
  }
}

function put(element: Element, node: Node, instead: ChildNode | null): void {
  if (instead) instead.replaceWith(node);
  else element.append(node);
}
