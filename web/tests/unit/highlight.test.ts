import { describe, expect, it } from "vitest";
import { highlight } from "../../src/app/highlight";
import { languages } from "../../src/app/languages";

const named = (code: string, language: string) =>
  (highlight(code, language) ?? [])
    .filter((span) => span.name !== undefined)
    .map((span) => `${span.name}:${span.text}`);

const table: [language: string, code: string, names: string[]][] = [
  [
    "ts",
    'const a = f("x"); // done',
    ["keyword:const", "title:f", 'string:"x"', "comment:// done"],
  ],
  ["js", "let t = `a ${b}\nc`", ["keyword:let", "string:`a ${b}\nc`"]],
  [
    "rust",
    "fn f<'a>(x: &'a str) -> char { 'x' }",
    ["keyword:fn", "meta:'a", "meta:'a", "keyword:str", "keyword:char", "string:'x'"],
  ],
  ["rust", 'r#"a"b"#; 1', ['string:r#"a"b"#', "number:1"]],
  ["rust", "println!(1)", ["meta:println!", "number:1"]],
  [
    "python",
    'def f():\n  """a\n"b"""\n  return None # x',
    [
      "keyword:def",
      "title:f",
      'string:"""a\n"b"""',
      "keyword:return",
      "literal:None",
      "comment:# x",
    ],
  ],
  [
    "sh",
    "cd $HOME # home\necho a#b",
    ["keyword:cd", "attr:$HOME", "comment:# home", "keyword:echo"],
  ],
  [
    "json",
    '{"a": "b", "n": -1.5e3, "t": true}',
    ['attr:"a"', 'string:"b"', 'attr:"n"', "number:-1.5e3", 'attr:"t"', "literal:true"],
  ],
  [
    "yaml",
    "a-b: 'x' # y\n- c: 12",
    ["attr:a-b", "string:'x'", "comment:# y", "attr:- c", "number:12"],
  ],
  [
    "html",
    '<a href="x">it&amp;</a>',
    [
      "keyword:<a",
      "attr:href",
      'string:"x"',
      "keyword:>",
      "number:&amp;",
      "keyword:</a",
      "keyword:>",
    ],
  ],
  ["css", "a:hover { color: #fff; }", ["attr:color", "number:#fff"]],
  ["diff", "@@ 1\n-old\n+new\n same", ["meta:@@ 1", "deletion:-old", "addition:+new"]],
  ["sql", "SELECT a FROM t -- x", ["keyword:SELECT", "keyword:FROM", "comment:-- x"]],
  ["toml", '[a]\nb = "c"', ["title:[a]", "attr:b", 'string:"c"']],
  ["go", "func Add() int", ["keyword:func", "title:Add", "keyword:int"]],
  [
    "java",
    "class Big extends Thing {}",
    ["keyword:class", "type:Big", "keyword:extends", "type:Thing"],
  ],
];

describe("code gets its colours", () => {
  it.each(table)("%s: %s", (language, code, names) => {
    expect(named(code, language)).toEqual(names);
  });
});

describe("colours change nothing of the code", () => {
  const hostile = [
    "/*",
    '"',
    "'",
    "`",
    'r#"',
    '"""',
    "<!--",
    "<a ",
    "#",
    "a:",
    "\\",
    "- ",
    "[",
    "@",
  ];
  // One name of each family.
  const names = new Map([...languages].map(([name, family]) => [family, name]));
  it.each([...names.values()])("%s", (language) => {
    for (const begin of hostile) {
      const code = begin.repeat(Math.floor(50_000 / begin.length));
      const started = performance.now();
      const spans = highlight(code, language)!;
      expect(spans.map((span) => span.text).join("")).toBe(code);
      expect(performance.now() - started, begin).toBeLessThan(2_000);
    }
  });

  it("leaves what it does not know", () => {
    expect(highlight("x", "brainf")).toBeUndefined();
    expect(highlight("x".repeat(50_001), "js")).toBeUndefined();
  });
});
