//! Light Markdown, line by line, so that a line that is complete can go into the
//! scrollback while the next one is still being written.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::line::{Colour, Line, Style};
use crate::text::{expand_tabs, sanitize};

/// What earlier lines mean for the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Markdown {
    /// The fence of the code block that is open.
    fence: Option<String>,
}

impl Markdown {
    /// Renders text that ends where a line ends, or where the text does.
    pub(crate) fn render(&mut self, text: &str) -> Vec<Line> {
        sanitize(text)
            .lines()
            .map(|line| self.line(&expand_tabs(line)))
            .collect()
    }

    fn line(&mut self, line: &str) -> Line {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(fence) = &self.fence {
            if trimmed.starts_with(fence.as_str())
                && trimmed.trim_end().trim_matches(['`', '~']).is_empty()
            {
                self.fence = None;
                return Line::styled("  ```", Style::DIM);
            }
            return Line::plain("  ")
                .with(line, Style::of(Colour::Cyan))
                .hanging(2);
        }
        for mark in ["```", "~~~"] {
            if let Some(info) = trimmed.strip_prefix(mark)
                && !info.contains('`')
            {
                self.fence = Some(mark.to_owned());
                let info = info.trim_start_matches(['`', '~']).trim();
                return Line::styled(format!("  ```{info}"), Style::DIM);
            }
        }
        if let Some(level) = heading(trimmed) {
            let style = Style {
                underline: level == 1,
                ..Style::BOLD
            };
            return inline(trimmed.trim_start_matches('#').trim(), style);
        }
        if trimmed.len() >= 3
            && ["-", "*", "_"]
                .iter()
                .any(|c| trimmed.replace(*c, "").trim().is_empty())
        {
            return Line::styled("────────", Style::DIM);
        }
        if let Some(quoted) = trimmed.strip_prefix('>') {
            let mut out = Line::styled("│ ", Style::DIM).hanging(2);
            out.spans
                .extend(inline(quoted.trim_start(), Style::DIM).spans);
            return out;
        }
        if let Some((marker, rest)) = list_item(trimmed) {
            let mut out = Line::plain(format!("{}{marker} ", " ".repeat(indent)));
            out.hang = out.width();
            out.spans.extend(inline(rest, Style::PLAIN).spans);
            return out;
        }
        let mut out = Line::plain(" ".repeat(indent)).hanging(indent);
        out.spans.extend(inline(trimmed, Style::PLAIN).spans);
        out
    }
}

fn heading(line: &str) -> Option<usize> {
    let level = line.chars().take_while(|c| *c == '#').count();
    let marked = (1..=6).contains(&level) && line.chars().nth(level).is_none_or(|c| c == ' ');
    marked.then_some(level)
}

/// The marker as it is shown, and the rest of a list item.
fn list_item(line: &str) -> Option<(String, &str)> {
    for bullet in ["- ", "* ", "+ "] {
        if let Some(rest) = line.strip_prefix(bullet) {
            return Some(match rest.get(..4) {
                Some("[ ] ") => ("☐".to_owned(), rest.get(4..).unwrap_or_default()),
                Some("[x] " | "[X] ") => ("☑".to_owned(), rest.get(4..).unwrap_or_default()),
                _ => ("•".to_owned(), rest),
            });
        }
    }
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    let rest = line.get(digits..)?;
    let rest = rest
        .strip_prefix(". ")
        .or_else(|| rest.strip_prefix(") "))?;
    (1..=9)
        .contains(&digits)
        .then(|| (format!("{}.", line.get(..digits).unwrap_or_default()), rest))
}

/// Emphasis, code and links inside one line.
fn inline(text: &str, base: Style) -> Line {
    let mut out = Line::empty();
    let mut style = base;
    let mut link: Option<(String, String)> = None;
    // A line that begins like a block (four spaces, a tag) is still only text here.
    for event in Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Strong) => style.bold = true,
            Event::End(TagEnd::Strong) => style.bold = base.bold,
            Event::Start(Tag::Emphasis) => style.italic = true,
            Event::End(TagEnd::Emphasis) => style.italic = base.italic,
            Event::Start(Tag::Strikethrough) => style.dim = true,
            Event::End(TagEnd::Strikethrough) => style.dim = base.dim,
            Event::Start(Tag::Link { dest_url, .. }) => {
                style.underline = true;
                link = Some((dest_url.to_string(), String::new()));
            }
            Event::End(TagEnd::Link) => {
                style.underline = base.underline;
                // Where a link goes is always shown when it is not what it says.
                if let Some((url, label)) = link.take().filter(|(url, label)| url != label)
                    && !label.is_empty()
                {
                    out.push(format!(" ({})", sanitize(&url)), Style::DIM);
                }
            }
            Event::Code(code) => out.push(
                sanitize(&code),
                Style {
                    colour: Some(Colour::Cyan),
                    ..style
                },
            ),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                // An entity (`&#27;`) may have become what was stripped before.
                let text = sanitize(&text);
                if let Some((_, label)) = &mut link {
                    label.push_str(&text);
                }
                out.push(text.trim_end_matches('\n'), style);
            }
            Event::SoftBreak | Event::HardBreak => out.push(" ", style),
            _ => {}
        }
    }
    // What the parser takes for an empty block is shown as it was written.
    if out.spans.is_empty() && !text.is_empty() {
        return Line::styled(text, base);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(markdown: &str) -> Vec<String> {
        Markdown::default()
            .render(markdown)
            .iter()
            .map(Line::text)
            .collect()
    }

    #[test]
    fn blocks_and_spans_read_as_text() {
        let table: &[(&str, &[&str])] = &[
            ("# Title", &["Title"]),
            ("a **bold** and `code`", &["a bold and code"]),
            ("- one\n- two", &["• one", "• two"]),
            ("  1. first", &["  1. first"]),
            ("- [x] done", &["☑ done"]),
            ("> quoted", &["│ quoted"]),
            (
                "```rust\nfn x() {}\n```\nafter",
                &["  ```rust", "  fn x() {}", "  ```", "after"],
            ),
            ("[a](http://b)", &["a (http://b)"]),
            ("<http://b>", &["http://b"]),
            ("snake_case_name", &["snake_case_name"]),
            ("a < b && c", &["a < b && c"]),
            ("<div>", &["<div>"]),
            ("#hashtag", &["#hashtag"]),
            ("| a | b |", &["| a | b |"]),
            ("", &[]),
            ("---", &["────────"]),
        ];
        for (markdown, expected) in table {
            assert_eq!(text(markdown), *expected, "{markdown:?}");
        }
    }

    #[test]
    fn a_code_block_goes_on_over_pieces() {
        let mut m = Markdown::default();
        m.render("```\n");
        assert_eq!(m.render("**x**\n")[0].text(), "  **x**");
        m.render("```\n");
        assert_eq!(m.render("**x**\n")[0].text(), "x");
    }

    #[test]
    fn an_entity_cannot_smuggle_an_escape() {
        for markdown in ["&#27;[31mx", "&#x9b;31mx", "a \u{1b}[31mx", "`a\u{1b}[2J`"] {
            let line = text(markdown).join("");
            assert!(
                !line.chars().any(char::is_control),
                "{markdown:?} gave {line:?}"
            );
        }
    }
}
