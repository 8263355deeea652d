/**
 * Markdown of an agent: hostile until it is a clean tree.
 *
 * Split into its top-level blocks, so that while text streams in only the last one is made anew.
 * Nothing that loads or runs survives: images become links, links lead only to the web, and the
 * sanitiser has a short list of what may stay.
 */

import DOMPurify from "dompurify";
import { Marked, type Token } from "marked";

/** Beyond this a part is shown as plain text: nobody reads it, and nothing may hang. */
const MAX_CHARS = 200_000;

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

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  async: false,
  renderer: {
    // Raw HTML is shown as the text that it is.
    html: ({ text }) => escaped(text),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

export type Block =
  | { kind: "markup"; raw: string; token: Token }
  | { kind: "code"; raw: string; text: string; language: string }
  | { kind: "plain"; raw: string };

export function blocksOf(source: string): Block[] {
  if (source.length > MAX_CHARS) return [{ kind: "plain", raw: source }];
  try {
    return marked.lexer(source).flatMap((token): Block[] => {
      if (token.type === "space") return [];
      if (token.type === "code") {
        const { text, lang } = token as { text: string; lang?: string };
        return [{ kind: "code", raw: token.raw, text, language: lang?.split(/\s/)[0] ?? "" }];
      }
      return [{ kind: "markup", raw: token.raw, token }];
    });
  } catch {
    // Nested deeper than the parser goes.
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

/** A clean tree of one block, or its text where it cannot be made. */
export function render(block: Extract<Block, { kind: "markup" }>): Node {
  try {
    return purify.sanitize(marked.parser([block.token]), {
      ALLOWED_TAGS: TAGS,
      ALLOWED_ATTR: ["href", "align", "start"],
      ALLOW_DATA_ATTR: false,
      ALLOW_ARIA_ATTR: false,
      RETURN_DOM_FRAGMENT: true,
    });
  } catch {
    return document.createTextNode(block.raw);
  }
}
