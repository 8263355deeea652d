/** Colours for code, loaded when the first code is shown. */

import type { HLJSApi } from "highlight.js";

const MAX_CHARS = 50_000;
let loading: Promise<HLJSApi> | undefined;

async function load(): Promise<HLJSApi> {
  const { highlighter } = await import("./languages");
  return highlighter;
}

export interface Span {
  text: string;
  /** A class of the theme. */
  name?: string;
}

/** The code in coloured pieces; nothing where its language is not known. */
export async function highlight(code: string, language: string): Promise<Span[] | undefined> {
  if (code.length > MAX_CHARS || !/^[\w+#-]{1,20}$/.test(language)) return undefined;
  const highlighter = await (loading ??= load());
  if (!highlighter.getLanguage(language)) return undefined;
  const result = highlighter.highlight(code, { language, ignoreIllegals: true });
  // The tree rather than its HTML: no markup is ever made from code.
  const { rootNode } = result._emitter as unknown as { rootNode: TreeNode };
  const spans: Span[] = [];
  flatten(rootNode, undefined, spans);
  return spans;
}

interface TreeNode {
  scope?: string;
  children: (TreeNode | string)[];
}

function flatten(node: TreeNode, name: string | undefined, spans: Span[]): void {
  for (const child of node.children) {
    if (typeof child !== "string") {
      flatten(child, child.scope ? child.scope.split(".")[0] : name, spans);
    } else spans.push(name === undefined ? { text: child } : { text: child, name });
  }
}
