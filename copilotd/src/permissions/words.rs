//! Shell text as words. [`split`] understands only what cannot mean anything but its words,
//! and is what allow rules see. [`crude`] understands nothing and cuts everywhere, so that
//! deny rules see as much as possible. Neither ever runs or expands anything.

use super::shell::{is_invisible, is_plain};

/// Commands longer than this are never called simple. Bytes.
const MAX_SIMPLE_BYTES: usize = 64 * 1024;

/// Words of the shell's grammar: a command that begins with one is not a simple command.
const RESERVED: &[&str] = &[
    "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in",
    "select", "then", "time", "until", "while",
];

/// What keeps a command from being a plain list of words; reads on after "the command has".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSimple(pub(super) &'static str);

/// The words of a command that is one program with literal arguments, in the eyes of every
/// common shell. Anything else, and anything doubtful, is `NotSimple`.
pub(super) fn split(command: &str) -> Result<Vec<String>, NotSimple> {
    if command.len() > MAX_SIMPLE_BYTES {
        return Err(NotSimple("more text than a plain command"));
    }
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut chars, word.get_or_insert_default())?,
            // A tilde or an equals sign is literal only where no shell would expand it.
            '~' if !matches!(
                word.as_deref().and_then(|w| w.chars().last()),
                None | Some('=' | ':')
            ) =>
            {
                word.get_or_insert_default().push(c);
            }
            '=' if word.is_some() => word.get_or_insert_default().push(c),
            _ if is_plain(c) => word.get_or_insert_default().push(c),
            _ => return Err(NotSimple(reason(c))),
        }
    }
    words.extend(word);
    match words.first().map(String::as_str) {
        None | Some("") => Err(NotSimple("no program")),
        Some(first) if first.contains('=') => Err(NotSimple("an assignment")),
        Some(first) if RESERVED.contains(&first) => Err(NotSimple("shell grammar")),
        Some(_) => Ok(words),
    }
}

/// Reads up to the closing quote into `word`.
fn quoted(
    quote: char,
    chars: &mut std::str::Chars<'_>,
    word: &mut String,
) -> Result<(), NotSimple> {
    for c in chars {
        match c {
            _ if c == quote => return Ok(()),
            '$' | '`' | '\\' | '!' if quote == '"' => return Err(NotSimple(reason(c))),
            _ if c.is_control() || is_invisible(c) => return Err(NotSimple(reason(c))),
            _ => word.push(c),
        }
    }
    Err(NotSimple("a quote that is not closed"))
}

fn reason(c: char) -> &'static str {
    match c {
        '|' => "a pipe",
        '&' | ';' => "an operator",
        '<' | '>' => "a redirection",
        '(' | ')' => "a subshell",
        '{' | '}' => "braces",
        '$' | '`' | '~' | '=' => "an expansion",
        '*' | '?' | '[' | ']' => "a pattern",
        '!' | '^' => "history or negation",
        '#' => "a comment",
        '\\' => "a backslash",
        '\n' | '\r' => "more than one line",
        _ => "a character that is not plain text",
    }
}

/// Writes a word so that [`split`] reads it back.
pub(super) fn quote(word: &str) -> String {
    let unquoted = |c: char| is_plain(c) || c == '=';
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(unquoted) {
        word.to_owned()
    } else if word.contains('\'') {
        format!("'{}'", word.replace('\'', r#"'"'"'"#))
    } else {
        format!("'{word}'")
    }
}

/// Every stretch of words between anything that could be an operator, with quotes and
/// backslashes taken out: what a command might run, seen with half-closed eyes.
pub(super) fn crude(text: &str) -> Vec<Vec<String>> {
    let text: String = text
        .replace("\\\n", "")
        .chars()
        .filter(|c| !matches!(c, '\'' | '"' | '\\') && !is_invisible(*c))
        .collect();
    text.split(|c| "|&;<>(){}$`\n\r".contains(c))
        .map(|part| {
            part.split(|c: char| c.is_whitespace() || c.is_control() || ",[]".contains(c))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|words| !words.is_empty())
        .collect()
}

/// The last component of a program's path.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Programs and grammar that run what is among their words, so that a later word may be a
/// program. A list like this is never complete; it widens deny rules and never allows.
const RUNNERS: &[&str] = &[
    "!",
    "alias",
    "ash",
    "awk",
    "bash",
    "bind",
    "builtin",
    "bun",
    "busybox",
    "chronic",
    "chroot",
    "chrt",
    "command",
    "coproc",
    "dash",
    "dbus-run-session",
    "deno",
    "do",
    "doas",
    "elif",
    "else",
    "entr",
    "env",
    "eval",
    "exec",
    "find",
    "fish",
    "flock",
    "gawk",
    "if",
    "ionice",
    "ksh",
    "lua",
    "mapfile",
    "mawk",
    "nice",
    "node",
    "nohup",
    "npx",
    "osascript",
    "parallel",
    "perl",
    "php",
    "pkexec",
    "pwsh",
    "pypy",
    "python",
    "readarray",
    "ruby",
    "runuser",
    "screen",
    "script",
    "setarch",
    "setsid",
    "sg",
    "sh",
    "ssh",
    "stdbuf",
    "strace",
    "su",
    "sudo",
    "systemd-run",
    "taskset",
    "tclsh",
    "then",
    "time",
    "timeout",
    "tmux",
    "trap",
    "unshare",
    "until",
    "uvx",
    "watch",
    "while",
    "xargs",
    "xvfb-run",
    "zsh",
];

/// Whether words after this one may be run by it.
pub(super) fn is_runner(program: &str) -> bool {
    let name = base_name(program);
    // python3.12 is python.
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    RUNNERS.contains(&name) || RUNNERS.contains(&plain)
}

/// `NAME=value`, as it may stand before a command.
pub(super) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_are_split() {
        let table: &[(&str, &[&str])] = &[
            ("git status", &["git", "status"]),
            ("  git\t status  ", &["git", "status"]),
            ("git log HEAD~1", &["git", "log", "HEAD~1"]),
            ("git commit -m 'a b'", &["git", "commit", "-m", "a b"]),
            (r#"git commit -m "it's""#, &["git", "commit", "-m", "it's"]),
            (r"echo '$HOME `x` \ !'", &["echo", r"$HOME `x` \ !"]),
            ("echo a'b'\"c\"", &["echo", "abc"]),
            ("echo ''", &["echo", ""]),
            ("make CFLAGS=-O2", &["make", "CFLAGS=-O2"]),
            ("./git x", &["./git", "x"]),
            ("cat größe.txt", &["cat", "größe.txt"]),
        ];
        for (command, words) in table {
            let split = split(command).map_err(|NotSimple(what)| what);
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split, Ok::<Vec<String>, _>(words), "{command}");
        }
    }

    #[test]
    fn anything_else_is_not_simple() {
        let table = [
            "",
            "   ",
            "''",
            "a | b",
            "a && b",
            "a; b",
            "a & b",
            "a\nb",
            "a\rb",
            "a > b",
            "a < b",
            "a <<E",
            "(a)",
            "{ a; }",
            "$(a)",
            "`a`",
            "a $b",
            "a ${b}",
            "a \"$b\"",
            "a \"`b`\"",
            "a \"b\\\"\"",
            "a \"b!\"",
            "a \\b",
            "a *",
            "a b?",
            "a [b]",
            "a {b,c}",
            "~/a",
            "a ~",
            "a ~/b",
            "a b=~/c",
            "a b:~c",
            "A=b a",
            "A+=b a",
            "=a",
            "a =b",
            "! a",
            "a # b",
            "a#b",
            "a ^b",
            "if a",
            "time a",
            "'a",
            "\"a",
            "a 'b\nc'",
            "a \u{7}",
            "a\u{a0}b",
            "a '\u{202e}b'",
            "a\u{200b}",
            "a\0b",
        ];
        for command in table {
            assert!(split(command).is_err(), "{command:?} must not be simple");
        }
        assert!(split(&"a".repeat(MAX_SIMPLE_BYTES + 1)).is_err());
    }

    #[test]
    fn crude_sees_through_quotes_and_operators() {
        let table: &[(&str, &[&[&str]])] = &[
            ("a | b c", &[&["a"], &["b", "c"]]),
            (
                "sh -c 'x && git push'",
                &[&["sh", "-c", "x"], &["git", "push"]],
            ),
            ("$(git\tpush)", &[&["git", "push"]]),
            ("run(['git', 'push'])", &[&["run"], &["git", "push"]]),
            ("g\"i\"t pu\\sh", &[&["git", "push"]]),
            ("git \\\npush", &[&["git", "push"]]),
            (";;", &[]),
        ];
        for (text, parts) in table {
            assert_eq!(crude(text), *parts, "{text}");
        }
    }

    #[test]
    fn a_quoted_word_is_read_back() {
        for word in [
            "a", "", "a b", "it's", "'", "=x", "a=b", "~", "$x", "\"", "*", "ä", "a~",
        ] {
            let command = format!("echo {}", quote(word));
            assert_eq!(
                split(&command).as_deref(),
                Ok(["echo".to_owned(), word.to_owned()].as_slice()),
                "{command}"
            );
        }
    }
}
