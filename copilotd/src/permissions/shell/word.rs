//! One word of a command: what it is after the shell has read it, as far as its text says.
//!
//! Must never guess: what is not certainly a literal is [`Word::One`] or [`Word::Many`], and
//! what may run something while it is expanded is an error.

use tree_sitter::Node;

use super::text::is_plain;

/// What a word of the source becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::permissions) enum Word {
    /// Exactly this one argument.
    Literal(String),
    /// One argument of unknown text.
    One,
    /// Any number of arguments of unknown text, also none.
    Many,
}

impl Word {
    /// The text, when it is known.
    pub(in crate::permissions) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::One | Self::Many => None,
        }
    }
}

/// What reading a word needs from the walk over the whole command.
pub(super) trait Substitutions {
    /// The commands inside of a command or process substitution.
    fn substitution(&mut self, node: Node<'_>);
    /// Something that cannot be read; reads on after "the command has".
    fn problem(&mut self, what: &str);
}

/// The word of a node that stands where a word may. Whatever is wrong with it is reported to
/// `found`, and the word is [`Word::Many`] then.
pub(super) fn read(node: Node<'_>, source: &str, found: &mut impl Substitutions) -> Word {
    let mut reader = Reader {
        source,
        found,
        text: String::new(),
        unknown: None,
        braces: false,
        plain_start: true,
    };
    match node.kind() {
        "concatenation" => {
            let mut end = node.start_byte();
            let mut cursor = node.walk();
            for piece in node.children(&mut cursor) {
                if piece.start_byte() != end {
                    reader.found.problem("a word that is not in one piece");
                }
                end = piece.end_byte();
                reader.piece(piece);
            }
            if end != node.end_byte() {
                reader.found.problem("a word that is not in one piece");
            }
        }
        _ => reader.piece(node),
    }
    reader.finish()
}

struct Reader<'a, S> {
    source: &'a str,
    found: &'a mut S,
    text: String,
    /// The worst that was seen.
    unknown: Option<Word>,
    /// An opening brace outside of quotes: several words may become of this one.
    braces: bool,
    /// Nothing but unquoted text was seen so far, so that a tilde may still be expanded.
    plain_start: bool,
}

impl<S: Substitutions> Reader<'_, S> {
    fn piece(&mut self, node: Node<'_>) {
        let text = &self.source[node.byte_range()];
        match node.kind() {
            "word" | "number" => self.unquoted(text),
            "raw_string" => {
                self.plain_start = false;
                match text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
                    Some(inner) if !inner.contains('\'') => self.text.push_str(inner),
                    _ => self.found.problem("a quote that is not closed"),
                }
            }
            "string" => {
                self.plain_start = false;
                self.quoted(node);
            }
            "simple_expansion" | "expansion" => {
                self.plain_start = false;
                if is_harmless_expansion(text) {
                    self.unknown = Some(Word::Many);
                } else {
                    self.found
                        .problem("an expansion that may do more than insert text");
                }
            }
            "arithmetic_expansion" => {
                self.plain_start = false;
                self.arithmetic(text);
                self.unknown.get_or_insert(Word::One);
            }
            "command_substitution" => {
                self.plain_start = false;
                self.found.substitution(node);
                self.unknown = Some(Word::Many);
            }
            "process_substitution" => {
                self.plain_start = false;
                self.found.substitution(node);
                self.unknown.get_or_insert(Word::One);
            }
            "brace_expression" => self.braces = true,
            "ansi_c_string" | "translated_string" => self.found.problem("a `$` before a quote"),
            "$" => self.found.problem("a `$` that stands alone"),
            _ => self.found.problem("a word that cannot be read"),
        }
    }

    fn unquoted(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(escaped) if escaped != '\n' => {
                        self.text.push(escaped);
                        self.plain_start = false;
                    }
                    _ => self.found.problem("a backslash at the end of a word"),
                },
                '{' => {
                    self.braces = true;
                    self.text.push(c);
                }
                '*' | '?' | '[' => {
                    self.unknown = Some(Word::Many);
                    self.text.push(c);
                }
                // Expanded to a home folder, by zsh to a program.
                '~' | '=' if self.text.is_empty() && self.plain_start => {
                    self.unknown = Some(Word::Many);
                    self.text.push(c);
                }
                '~' if self.text.ends_with(['=', ':']) => self.unknown = Some(Word::Many),
                '}' | ']' | '~' | '=' | '^' | '!' | '#' => self.text.push(c),
                _ if is_plain(c) => self.text.push(c),
                _ => self.found.problem("a character that is not plain text"),
            }
        }
    }

    /// A string in double quotes, read from its text; the nodes in it say only what is
    /// expanded where.
    fn quoted(&mut self, node: Node<'_>) {
        let mut cursor = node.walk();
        let mut at = node.start_byte() + 1;
        let end = node.end_byte() - 1;
        if !self.source[node.byte_range()].starts_with('"')
            || end < at
            || self.source.as_bytes().get(end) != Some(&b'"')
        {
            self.found.problem("a quote that is not closed");
            return;
        }
        for child in node.named_children(&mut cursor) {
            let text = &self.source[child.byte_range()];
            match child.kind() {
                "string_content" => continue,
                "simple_expansion" | "expansion" if is_harmless_expansion(text) => {
                    // "$@" and "$*" make as many words as they like.
                    let many = text.contains(['@', '*']);
                    let word = if many { Word::Many } else { Word::One };
                    if self.unknown != Some(Word::Many) {
                        self.unknown = Some(word);
                    }
                }
                "command_substitution" => {
                    self.found.substitution(child);
                    self.unknown.get_or_insert(Word::One);
                }
                "arithmetic_expansion" => {
                    self.arithmetic(text);
                    self.unknown.get_or_insert(Word::One);
                }
                _ => self
                    .found
                    .problem("an expansion that may do more than insert text"),
            }
            self.stretch(at, child.start_byte());
            at = child.end_byte();
        }
        self.stretch(at, end);
    }

    /// A part of a double-quoted string in which nothing is expanded.
    fn stretch(&mut self, from: usize, to: usize) {
        let Some(text) = self.source.get(from..to) else {
            return self.found.problem("a string that cannot be read");
        };
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some('\n') => {}
                    Some(escaped @ ('$' | '"' | '\\' | '`')) => self.text.push(escaped),
                    Some(other) => self.text.extend(['\\', other]),
                    None => self.found.problem("a string that cannot be read"),
                },
                '"' | '`' => self.found.problem("a string that cannot be read"),
                '$' if !matches!(chars.peek(), None | Some(' ' | '.' | ',' | '/' | '|' | ')')) => {
                    self.found.problem("a `$` in a string that cannot be read");
                }
                _ => self.text.push(c),
            }
        }
    }

    fn arithmetic(&mut self, text: &str) {
        let harmless = text
            .strip_prefix("$((")
            .and_then(|text| text.strip_suffix("))"))
            .is_some_and(|text| {
                text.chars()
                    .all(|c| c.is_ascii_digit() || "+-*/% ".contains(c))
            });
        if !harmless {
            self.found.problem("arithmetic with more than numbers");
        }
    }

    fn finish(self) -> Word {
        match self.unknown {
            // What `find` and `xargs` call the file at hand.
            None if self.braces && self.text == "{}" => Word::Literal(self.text),
            _ if self.braces => Word::Many,
            Some(word) => word,
            None => Word::Literal(self.text),
        }
    }
}

/// `$name`, `${name}` and `${#name}`: inserts text and does nothing else.
fn is_harmless_expansion(text: &str) -> bool {
    let Some(text) = text.strip_prefix('$') else {
        return false;
    };
    let name = match text.strip_prefix('{') {
        Some(inner) => match inner.strip_suffix('}') {
            Some(name) => name.strip_prefix('#').unwrap_or(name),
            None => return false,
        },
        None => text,
    };
    let special = name.len() == 1 && "@*#?$!-_".contains(name);
    special || (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}
