//! The tree that tree-sitter makes of a command line.
//!
//! The grammar is C, so what reaches it is what it was made for: it sees every character outside
//! ASCII as the same harmless one. Its scanner looks characters up in tables of 384 entries by
//! their number, and `{` in front of U+31860 read far behind their end
//! (tree-sitter/tree-sitter-bash#337). Bash, too, has no character with a meaning there. See
//! docs/decisions/0014.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tree_sitter::{Decode, ParseOptions, ParseState, Parser, Point, Tree};

/// Parsing that takes longer is given up: some texts take a time that grows with its square.
const MAX_PARSE: Duration = Duration::from_millis(500);

/// Neither a letter nor a digit nor white space, so a part of a word and never of a name.
const ANY_OTHER: char = '×';

/// UTF-8 with [`ANY_OTHER`] for every character outside ASCII, as long as it was.
struct OnlyAscii;

impl Decode for OnlyAscii {
    fn decode(bytes: &[u8]) -> (i32, u32) {
        match bytes {
            [] => (0, 0),
            [ascii, ..] if ascii.is_ascii() => (i32::from(*ascii), 1),
            [_, rest @ ..] => {
                let continued = rest.iter().take(3).take_while(|&&b| b & 0xC0 == 0x80);
                (ANY_OTHER as i32, 1 + continued.count() as u32)
            }
        }
    }
}

/// The tree of `command`, with offsets in its bytes. Nothing when reading it takes too long.
pub(super) fn tree(command: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_bash::LANGUAGE.into())
        .ok()?;
    let started = Instant::now();
    let mut late = |_: &ParseState| {
        if started.elapsed() > MAX_PARSE {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut late);
    let mut rest = |at: usize, _: Point| command.as_bytes().get(at..).unwrap_or_default();
    parser.parse_custom_encoding::<OnlyAscii, _, _>(&mut rest, None, Some(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each length in UTF-8, and the ends of the ranges.
    const OTHERS: &[char] = &[
        '\u{80}',
        'é',
        'ÿ',
        'Ā',
        '\u{7ff}',
        '\u{800}',
        '字',
        '\u{ffff}',
        '\u{10000}',
        '😀',
        '\u{31860}',
        '\u{390c3}',
        '\u{10ffff}',
    ];

    #[test]
    fn no_character_is_outside_the_tables_of_the_grammar() {
        for other in OTHERS {
            // The first killed the process.
            for text in [
                "{_",
                "{1.._}",
                "a{_}",
                "${_}",
                "$_",
                "[[ a =~ _ ]]",
                "cat <<_\n_\n_\n",
                "_=1",
            ] {
                let text = text.replace('_', &other.to_string());
                let tree = tree(&text).unwrap();
                assert_eq!(tree.root_node().end_byte(), text.len(), "{text:?}");
            }
        }
    }

    #[test]
    fn offsets_are_bytes_of_the_text() {
        let text = "echo é字😀 b";
        let tree = tree(text).unwrap();
        let command = tree.root_node().child(0).unwrap();
        let words: Vec<_> = (0..command.child_count())
            .map(|at| &text[command.child(at as _).unwrap().byte_range()])
            .collect();
        assert_eq!(words, ["echo", "é字😀", "b"]);
    }

    #[test]
    fn letters_outside_ascii_are_never_names() {
        let tree = tree("é=1 run").unwrap();
        assert_eq!(
            tree.root_node().to_sexp(),
            "(program (command name: (command_name (word)) argument: (word)))"
        );
    }
}
