//! Styled lines: what everything is rendered to before it reaches the screen.
//!
//! The text in a line is safe already: whoever makes one sanitises it.

use unicode_segmentation::UnicodeSegmentation;

use crate::text::width;

/// The colours that every terminal has and every theme adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    /// Black on white whatever the theme is, for codes that a camera reads.
    Paper,
}

/// How a span looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colour: Option<Colour>,
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    pub(crate) italic: bool,
    pub(crate) underline: bool,
}

impl Style {
    pub(crate) const PLAIN: Self = Self {
        colour: None,
        bold: false,
        dim: false,
        italic: false,
        underline: false,
    };
    pub(crate) const BOLD: Self = Self {
        bold: true,
        ..Self::PLAIN
    };
    pub(crate) const DIM: Self = Self {
        dim: true,
        ..Self::PLAIN
    };

    pub(crate) const fn of(colour: Colour) -> Self {
        Self {
            colour: Some(colour),
            ..Self::PLAIN
        }
    }
}

/// How much of a style is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Everything.
    Full,
    /// No colours, as `NO_COLOR` asks; bold and the like stay.
    NoColour,
    /// Text only.
    Plain,
}

/// A piece of text in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// One logical line; [`Line::wrap`] makes rows of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) spans: Vec<Span>,
    /// By how much the rows after the first are indented, in columns.
    pub(crate) hang: usize,
}

impl Line {
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::styled(text, Style::PLAIN)
    }

    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self::default().with(text, style)
    }

    /// Adds a span.
    pub(crate) fn with(mut self, text: impl Into<String>, style: Style) -> Self {
        self.push(text, style);
        self
    }

    /// Sets the hanging indent.
    pub(crate) fn hanging(mut self, columns: usize) -> Self {
        self.hang = columns;
        self
    }

    pub(crate) fn push(&mut self, text: impl Into<String>, style: Style) {
        let text = text.into();
        if text.is_empty() {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.style == style => last.text.push_str(&text),
            _ => self.spans.push(Span { text, style }),
        }
    }

    /// The text without its styles.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.spans.iter().map(|s| s.text.as_str()).collect()
    }

    /// Columns.
    pub(crate) fn width(&self) -> usize {
        self.spans.iter().map(|s| width(&s.text)).sum()
    }

    /// The line as rows of at most `columns`, broken at spaces where there are any.
    pub(crate) fn wrap(&self, columns: usize) -> Vec<Self> {
        let columns = columns.max(4);
        if self.width() <= columns {
            return vec![self.clone()];
        }
        let hang = if self.hang * 2 <= columns {
            self.hang
        } else {
            0
        };
        let graphemes: Vec<(&str, Style, usize)> = self
            .spans
            .iter()
            .flat_map(|s| s.text.graphemes(true).map(|g| (g, s.style, width(g))))
            .collect();
        let mut rows = Vec::new();
        let mut start = 0;
        while start < graphemes.len() {
            let indent = if rows.is_empty() { 0 } else { hang };
            let mut used = indent;
            let mut end = start;
            let mut after_space = None;
            for (index, (text, _, w)) in graphemes.iter().enumerate().skip(start) {
                if used + w > columns {
                    break;
                }
                used += w;
                end = index + 1;
                if *text == " " {
                    after_space = Some(end);
                }
            }
            // A grapheme wider than the row must not stop us.
            end = end.max(start + 1);
            let next = graphemes.get(end);
            if next.is_some_and(|(text, ..)| *text != " ")
                && let Some(at) = after_space.filter(|at| {
                    // Breaking in the indentation would not gain anything.
                    graphemes
                        .iter()
                        .take(*at)
                        .skip(start)
                        .any(|(text, ..)| *text != " ")
                })
            {
                end = at;
            }
            let mut row = Self::default();
            row.push(" ".repeat(indent), Style::PLAIN);
            for (text, style, _) in graphemes.iter().take(end).skip(start) {
                row.push(*text, *style);
            }
            rows.push(row.trim_end());
            start = end;
            // Spaces at a break belong to neither row.
            while graphemes.get(start).is_some_and(|(text, ..)| *text == " ") {
                start += 1;
            }
        }
        rows
    }

    /// The line cut to at most `columns`.
    pub(crate) fn cut(&self, columns: usize) -> Self {
        let mut left = columns;
        let mut out = Self::default();
        for span in &self.spans {
            let piece = crate::text::truncate(&span.text, left);
            left = left.saturating_sub(width(&piece));
            let whole = piece == span.text;
            out.push(piece, span.style);
            if !whole {
                break;
            }
        }
        out
    }

    fn trim_end(mut self) -> Self {
        while let Some(last) = self.spans.last_mut() {
            let kept = last.text.trim_end_matches(' ').len();
            last.text.truncate(kept);
            if !last.text.is_empty() {
                break;
            }
            self.spans.pop();
        }
        self
    }

    /// The line as bytes for a terminal, without a line end.
    pub(crate) fn ansi(&self, paint: Paint) -> String {
        let mut out = String::new();
        for span in &self.spans {
            let codes = codes(span.style, paint);
            if codes.is_empty() {
                out.push_str(&span.text);
            } else {
                out.push_str(&format!("\u{1b}[{codes}m{}\u{1b}[0m", span.text));
            }
        }
        out
    }
}

fn codes(style: Style, paint: Paint) -> String {
    if paint == Paint::Plain {
        return String::new();
    }
    let mut codes = Vec::new();
    let attributes = [
        (style.bold, "1"),
        (style.dim, "2"),
        (style.italic, "3"),
        (style.underline, "4"),
    ];
    codes.extend(
        attributes
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, code)| *code),
    );
    if paint == Paint::Full
        && let Some(colour) = style.colour
    {
        codes.push(match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Blue => "34",
            Colour::Magenta => "35",
            Colour::Cyan => "36",
            Colour::Paper => "38;5;16;48;5;231",
        });
    }
    codes.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(line: &Line, columns: usize) -> Vec<String> {
        line.wrap(columns).iter().map(Line::text).collect()
    }

    #[test]
    fn wraps_at_spaces_and_breaks_long_words() {
        let table: &[(&str, usize, &[&str])] = &[
            ("short", 10, &["short"]),
            ("one two three", 8, &["one two", "three"]),
            ("exactly8 next", 8, &["exactly8", "next"]),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            ("日本語日本", 6, &["日本語", "日本"]),
            ("", 5, &[""]),
        ];
        for (text, columns, expected) in table {
            assert_eq!(rows(&Line::plain(*text), *columns), *expected, "{text}");
        }
    }

    #[test]
    fn rows_after_the_first_hang() {
        let line = Line::plain("- one two three").hanging(2);
        assert_eq!(rows(&line, 9), ["- one two", "  three"]);
    }

    #[test]
    fn styles_survive_wrapping_and_follow_the_paint() {
        let line = Line::styled("aaaa ", Style::BOLD).with("bbbb", Style::of(Colour::Red));
        let rows = line.wrap(5);
        assert_eq!(rows[0].ansi(Paint::Full), "\u{1b}[1maaaa\u{1b}[0m");
        assert_eq!(rows[1].ansi(Paint::Full), "\u{1b}[31mbbbb\u{1b}[0m");
        assert_eq!(rows[1].ansi(Paint::NoColour), "bbbb");
        assert_eq!(rows[0].ansi(Paint::Plain), "aaaa");
    }

    #[test]
    fn cut_keeps_whole_graphemes() {
        let line = Line::plain("ab").with("日本", Style::BOLD);
        assert_eq!(line.cut(5).text(), "ab日…");
        assert_eq!(line.cut(6).text(), "ab日本");
    }
}
