/**
 * The languages that are coloured, each as one expression whose groups are named after colours.
 *
 * Short on purpose: a phone pays for every byte, and a grammar that gets a rare construct wrong only
 * colours it wrong. Each expression must be linear in the text, because the text is hostile: what
 * begins and does not end goes to the end.
 */

export interface Language {
  tokens: RegExp;
  keywords?: Set<string>;
}

const END = "(?![^])";
const WORD = "(?<word>[A-Za-z_$][\\w$]*)";
const NUMBER = "(?<number>\\b(?:0[xob][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d[\\d_]*)?(?:e[+-]?\\d+)?))";
const BLOCK = `\\/\\*[^]*?(?:\\*\\/|${END})`;
const DOUBLE = '"(?:\\\\[^]|[^"\\\\\\n])*"?';
const SINGLE = "'(?:\\\\[^]|[^'\\\\\\n])*'?";
const DOUBLE_LINES = '"(?:\\\\[^]|[^"\\\\])*"?';

const language = (parts: string[], keywords = "", flags = ""): Language => ({
  tokens: new RegExp(parts.join("|"), `g${flags}`),
  keywords: new Set(keywords.split(" ")),
});
const comment = (inside: string) => `(?<comment>${inside})`;
const string = (...kinds: string[]) => `(?<string>${kinds.join("|")})`;

const COMMON =
  "if else for while do switch case default break continue return try catch finally throw new class this super static public private protected import package void enum interface extends implements abstract final const true false null";

const script = language(
  [
    comment(`\\/\\/.*|${BLOCK}`),
    string(DOUBLE, SINGLE, "`(?:\\\\[^]|[^`\\\\])*`?"),
    "(?<meta>@\\w+)",
    NUMBER,
    WORD,
  ],
  `${COMMON} let var function typeof instanceof in of delete yield async await export from as type declare readonly keyof infer is satisfies namespace undefined get set string number boolean unknown never any`,
);
const c = language(
  [
    comment(`\\/\\/.*|${BLOCK}`),
    string(DOUBLE, SINGLE),
    "(?<meta>^[ \\t]*#\\w+|@\\w+)",
    NUMBER,
    WORD,
  ],
  `${COMMON} int char float double long short unsigned signed bool boolean byte auto struct union typedef sizeof extern inline register volatile goto namespace using template typename virtual override operator nullptr constexpr var val fun object when is internal throws synchronized string foreach async await func let guard protocol extension self nil mut`,
  "m",
);
const python = language(
  [
    comment("#.*"),
    string(`[rbfuRBFU]{0,2}(?<quotes>"""|''')[^]*?(?:\\k<quotes>|${END})`, DOUBLE, SINGLE),
    "(?<meta>@[\\w.]+)",
    NUMBER,
    WORD,
  ],
  "and as assert async await break class continue def del elif else except finally for from global if import in is lambda match case nonlocal not or pass raise return try while with yield self None True False",
);
const ruby = language(
  [comment("#.*"), string(DOUBLE, SINGLE), "(?<attr>[@:]\\w+)", NUMBER, WORD],
  "def end class module if elsif else unless while until do for in return yield begin rescue ensure raise require include attr_accessor self nil true false and or not then case when new local function",
);
const rust = language(
  [
    comment(`\\/\\/.*|${BLOCK}`),
    string(
      `b?r(?<hashes>#*)"[^]*?(?:"\\k<hashes>|${END})`,
      DOUBLE_LINES,
      "'(?:\\\\[^'\\n]{1,9}|[^'\\\\\\n])'",
    ),
    "(?<meta>#!?\\[|'[a-z_]\\w*|\\b\\w+!(?!=))",
    NUMBER,
    WORD,
  ],
  "as async await break const continue crate dyn else enum extern fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait type unsafe use where while true false u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char str",
);
const go = language(
  [comment(`\\/\\/.*|${BLOCK}`), string(DOUBLE, SINGLE, "`[^`]*`?"), NUMBER, WORD],
  "break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var true false nil iota string int int64 byte rune error bool any",
);
const bash = language(
  [
    comment("(?<![^\\s;])#.*"),
    string(DOUBLE_LINES, "'[^']*'?"),
    "(?<attr>\\$(?:\\w+|\\{[^}\\n]*\\}?|[#?@*!$-]))",
    "(?<number>(?<![\\w.-])\\d+(?![\\w.-]))",
    "(?<word>[A-Za-z_][\\w.-]*)",
  ],
  "if then else elif fi for in do done while until case esac function return exit local export readonly set unset shift source echo cd test FROM RUN COPY WORKDIR ENV ENTRYPOINT CMD EXPOSE",
);
const sql = language(
  [comment(`--.*|${BLOCK}`), string("'(?:''|[^'])*'?", DOUBLE), NUMBER, WORD],
  "select from where and or not insert into values update set delete create table index view drop alter add primary key foreign references join left right inner outer on group by order having limit as distinct union null is in like between exists case when then else end begin commit rollback with",
);
const json = language(
  [
    comment(`\\/\\/.*|${BLOCK}`),
    `(?<attr>"(?:\\\\[^]|[^"\\\\\\n])*"(?=[ \\t]*:))`,
    string(DOUBLE),
    "(?<number>-?\\b\\d[\\d.]*(?:[eE][+-]?\\d+)?)",
    WORD,
  ],
  "true false null",
);
const yaml = language(
  [
    comment("(?<![^\\s])#.*"),
    "(?<attr>^[ \\t]*(?:- +)?[\\w.\\/$-]+(?=:(?:\\s|$)))",
    string(DOUBLE, SINGLE),
    "(?<number>(?<![\\w.-])-?\\d[\\d.]*(?![\\w.-]))",
    "(?<word>[A-Za-z_][\\w-]*)",
  ],
  "true false null yes no on off",
  "m",
);
const toml = language(
  [
    comment("(?<![^\\s])[#;].*"),
    "(?<title>^[ \\t]*\\[[^\\]\\n]*\\]+)",
    '(?<attr>^[ \\t]*[\\w."-]+(?=[ \\t]*=))',
    string(DOUBLE, SINGLE),
    NUMBER,
    WORD,
  ],
  "true false",
  "m",
);
const markup = language([
  comment(`<!--[^]*?(?:-->|${END})`),
  "(?<keyword><\\/?[\\w:.-]+|\\/?>)",
  "(?<attr>(?<![\\w:@.-])[\\w:@.-]+(?==))",
  string(DOUBLE_LINES, "(?<==)'[^']*'?"),
  "(?<number>&#?\\w+;)",
]);
const css = language([
  comment(BLOCK),
  string(DOUBLE, SINGLE),
  "(?<keyword>@[\\w-]+|!important)",
  "(?<attr>(?<![\\w-])[\\w-]+(?=[ \\t]*:[ \\t]))",
  "(?<number>#[\\da-fA-F]{3,8}\\b|(?<![\\w-])-?\\d[\\d.]*(?:%|[a-z]+)?)",
  "(?<title>[.#]-?[A-Za-z_][\\w-]*)",
]);
const diff = language(
  ["(?<meta>^(?:@@|diff|index|---|\\+\\+\\+).*)", "(?<addition>^\\+.*)", "(?<deletion>^-.*)"],
  "",
  "m",
);

const families: [Language, string][] = [
  [script, "typescript javascript ts js tsx jsx mjs cjs svelte vue"],
  [c, "c cpp c++ h hpp cc java kotlin kt cs csharp swift scala php dart objc"],
  [python, "python py"],
  [ruby, "ruby rb lua elixir"],
  [rust, "rust rs"],
  [go, "go golang"],
  [bash, "bash sh shell zsh console dockerfile makefile make"],
  [sql, "sql"],
  [json, "json jsonc json5"],
  [yaml, "yaml yml"],
  [toml, "toml ini conf"],
  [markup, "html xml svg"],
  [css, "css scss less"],
  [diff, "diff patch"],
];

export const languages = new Map(
  families.flatMap(([family, names]) => names.split(" ").map((name) => [name, family] as const)),
);
