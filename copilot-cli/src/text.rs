//! Making untrusted text safe and measurable.
//!
//! Everything that an agent, a tool, a file name or another client wrote goes
//! through [`sanitize`] before it reaches a terminal. Nothing here knows
//! what the text is for.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Where a stream of text stands between an escape and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and intermediate bytes (charset selection and the like).
    Intermediate,
    /// Inside `ESC [ …`.
    Csi,
    /// Inside a string: OSC, DCS, SOS, PM or APC; ended by BEL or ST.
    Str,
    /// Inside a string, after ESC: `\` ends it.
    StrEscape,
}

/// Strips what drives a terminal from text that arrives in pieces.
///
/// Keeps newline and tab. Removes escape sequences and control characters,
/// and shows characters that reorder text as U+FFFD.
#[derive(Debug, Clone, Default)]
pub struct Sanitizer {
    state: State,
}

impl Sanitizer {
    /// Takes the next piece and returns what of it is safe.
    pub fn push(&mut self, piece: &str) -> String {
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            self.step(c, &mut out);
        }
        out
    }

    fn step(&mut self, c: char, out: &mut String) {
        self.state = match (self.state, c) {
            // A newline ends every sequence: a sequence that is never closed must
            // not swallow the rest of the text.
            (State::Text, '\n' | '\t') => {
                out.push(c);
                State::Text
            }
            (_, '\n') => {
                out.push(c);
                State::Text
            }
            (State::Str, '\u{1b}') => State::StrEscape,
            (State::Str, '\u{7}' | '\u{9c}') => State::Text,
            (State::Str, _) => State::Str,
            (State::StrEscape, '\\') => State::Text,
            (State::StrEscape, '\u{1b}') => State::StrEscape,
            (State::StrEscape, _) => State::Str,
            (_, '\u{1b}') => State::Escape,
            (State::Escape, '[') => State::Csi,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::Str,
            (State::Escape | State::Intermediate, ' '..='/') => State::Intermediate,
            (State::Escape | State::Intermediate, '0'..='~') => State::Text,
            (State::Csi, ' '..='?') => State::Csi,
            (State::Csi, '@'..='~') => State::Text,
            (_, '\u{9b}') => State::Csi,
            (_, '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}') => State::Str,
            (_, c) if c.is_control() => State::Text,
            (_, c) if reorders(c) => {
                out.push('\u{fffd}');
                State::Text
            }
            (_, c) => {
                out.push(c);
                State::Text
            }
        };
    }
}

/// Characters that change the order in which others are shown, so that what is
/// read is not what is there; and those that break lines behind our back.
fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{061c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{2028}'
            | '\u{2029}'
    )
}

/// Text without anything that drives a terminal; see [`Sanitizer`].
pub fn sanitize(text: &str) -> String {
    Sanitizer::default().push(text)
}

/// Safe text on one line: newlines and tabs become spaces.
pub fn one_line(text: &str) -> String {
    sanitize(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Output of a program as a terminal would have left it, line by line: a
/// carriage return starts the line over (progress bars), tabs are expanded.
pub fn output_lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let mut lines: Vec<String> = text
        .split('\n')
        .map(|line| {
            let kept = line
                .trim_end_matches('\r')
                .rsplit('\r')
                .next()
                .unwrap_or_default();
            expand_tabs(&sanitize(kept))
        })
        .collect();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}

/// Tabs as spaces, to stops of four columns.
pub fn expand_tabs(line: &str) -> String {
    if !line.contains('\t') {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len() + 8);
    let mut column = 0;
    for grapheme in line.graphemes(true) {
        if grapheme == "\t" {
            let spaces = 4 - column % 4;
            out.extend(std::iter::repeat_n(' ', spaces));
            column += spaces;
        } else {
            out.push_str(grapheme);
            column += width(grapheme);
        }
    }
    out
}

/// Columns that `text` takes on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// A time span in seconds, as people say it.
pub fn seconds(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Rows as columns that line up; the cells are safe and have one line.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(width(cell));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, column) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', column - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `text` cut to at most `columns`, with `…` where something is missing.
pub fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let w = width(grapheme);
        if used + w + 1 > columns {
            break;
        }
        out.push_str(grapheme);
        used += w;
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_drives_a_terminal() {
        let table = [
            ("plain", "plain"),
            ("tab\tand\nnewline", "tab\tand\nnewline"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0;1\u{1b}\\after", "after"),
            ("\u{1b}(Bcharset", "charset"),
            ("\u{1b}creset", "reset"),
            ("\u{9b}31mc1", "c1"),
            ("bell\u{7}back\u{8}space\u{7f}", "bellbackspace"),
            ("a\rb", "ab"),
            (
                "never closed \u{1b}]0;x\nnext line",
                "never closed \nnext line",
            ),
            ("\u{202e}gpj.exe", "\u{fffd}gpj.exe"),
            ("\u{2066}x\u{2069}", "\u{fffd}x\u{fffd}"),
            ("👩\u{200d}👧 ok", "👩\u{200d}👧 ok"),
        ];
        for (input, expected) in table {
            assert_eq!(sanitize(input), expected, "{input:?}");
        }
    }

    #[test]
    fn a_sequence_split_over_pieces_is_still_removed() {
        let mut s = Sanitizer::default();
        let out: String = ["a\u{1b}", "[3", "1mb\u{1b}]0;t", "itle\u{7}c"]
            .iter()
            .map(|piece| s.push(piece))
            .collect();
        assert_eq!(out, "abc");
    }

    #[test]
    fn output_shows_what_a_terminal_would_have_left() {
        assert_eq!(output_lines("10%\r50%\r100%\ndone\r\n\n"), ["100%", "done"]);
        assert_eq!(output_lines("a\tb"), ["a   b"]);
        assert!(output_lines("").is_empty());
    }

    #[test]
    fn cuts_by_columns_not_by_characters() {
        assert_eq!(truncate("hello", 5), "hello");
        assert_eq!(truncate("hello", 4), "hel…");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("abc", 0), "");
    }

    #[test]
    fn one_line_has_one_line() {
        assert_eq!(one_line(" a\n b\tc "), "a b c");
    }
}
