/** Code in coloured pieces. Pure; no markup is ever made from code. */

import { languages } from "./languages";

/** Beyond this nobody reads it for its colours. */
const MAX_CHARS = 50_000;
const LITERALS = new Set("true false null nil None True False undefined".split(" "));

export interface Span {
  text: string;
  /** A class of the theme. */
  name?: string;
}

/** The code in pieces; nothing where its language is not known. */
export function highlight(code: string, language: string): Span[] | undefined {
  const known = languages.get(language.toLowerCase());
  if (!known || code.length > MAX_CHARS) return undefined;
  const spans: Span[] = [];
  let plain = 0;
  const put = (from: number, to: number, name?: string) => {
    if (from < to) spans.push({ text: code.slice(from, to), ...(name ? { name } : {}) });
  };
  for (const match of code.matchAll(known.tokens)) {
    const end = match.index + match[0].length;
    const name = nameOf(match, code[end], known.keywords!);
    if (name === undefined) continue;
    put(plain, match.index);
    put(match.index, end, name);
    plain = end;
  }
  put(plain, code.length);
  return spans;
}

function nameOf(match: RegExpExecArray, next: string | undefined, keywords: Set<string>) {
  const { word, quotes: _, hashes: __, ...groups } = match.groups ?? {};
  if (word === undefined) return Object.keys(groups).find((name) => groups[name] !== undefined);
  if (LITERALS.has(word)) return "literal";
  // Where case does not matter, as in SQL, people shout.
  if (keywords.has(word) || keywords.has(word.toLowerCase())) return "keyword";
  if (next === "(") return "title";
  return /^[A-Z]\w*[a-z]/.test(word) ? "type" : undefined;
}
