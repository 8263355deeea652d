//! Changes of files as coloured, bounded unified diffs.

use std::collections::HashMap;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::line::{Colour, Line, Style};
use crate::text::{expand_tabs, one_line, sanitize};
use crate::tool_view::Edit;

/// How long a diff may take; a coarser one is shown instead of a stuck terminal.
const TIME_LIMIT: Duration = Duration::from_millis(200);

/// Contents that were fetched from the host, or are on the way.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    known: HashMap<String, Option<Result<String, String>>>,
}

impl Contents {
    /// Notes a content that is needed; true when it must be asked for.
    pub(crate) fn want(&mut self, uri: &str) -> bool {
        if self.known.contains_key(uri) {
            return false;
        }
        self.known.insert(uri.to_owned(), None);
        true
    }

    /// Takes a content, or why there is none.
    pub(crate) fn put(&mut self, uri: String, content: Result<String, String>) {
        self.known.insert(uri, Some(content));
    }

    /// Forgets what is on the way: the connection that it was asked on is gone.
    pub(crate) fn forget_asked(&mut self) {
        self.known.retain(|_, content| content.is_some());
    }

    /// Forgets contents that were shown for good.
    pub(crate) fn forget(&mut self, edit: &Edit) {
        for uri in edit.contents() {
            self.known.remove(uri);
        }
    }

    /// A content, or why there is none; `None` while it is on the way.
    pub(crate) fn text(&self, uri: &str) -> Option<Result<&str, &str>> {
        match self.known.get(uri)? {
            Some(Ok(text)) => Some(Ok(text)),
            Some(Err(reason)) => Some(Err(reason)),
            None => None,
        }
    }
}

/// The change as lines, at most `limit` of them; `None` while a content is on the way.
pub(crate) fn lines(edit: &Edit, contents: &Contents, limit: usize) -> Option<Vec<Line>> {
    let side = |uri: &Option<String>| match uri {
        None => Some(Ok(String::new())),
        Some(uri) => contents
            .text(uri)
            .map(|c| c.map(str::to_owned).map_err(str::to_owned)),
    };
    let path = one_line(&edit.path);
    let (before, after) = (side(&edit.before)?, side(&edit.after)?);
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(reason), _) | (_, Err(reason)) => {
            let why = format!("{path}: the change cannot be shown: {}", one_line(&reason));
            return Some(vec![Line::styled(why, Style::DIM)]);
        }
    };
    let mut out = unified(&before, &after);
    let count = |sign: char| out.iter().filter(|(tag, _)| *tag == sign).count();
    let what = match (&edit.before, &edit.after) {
        (None, _) => "new file ",
        (_, None) => "deleted ",
        _ => "",
    };
    let heading = Line::styled(format!("{what}{path} "), Style::BOLD)
        .with(format!("+{} ", count('+')), Style::of(Colour::Green))
        .with(format!("−{}", count('-')), Style::of(Colour::Red));
    let hidden = out.len().saturating_sub(limit);
    out.truncate(limit);
    let mut lines = vec![heading];
    lines.extend(out.into_iter().map(|(_, line)| line));
    if hidden > 0 {
        lines.push(Line::styled(
            format!("… {hidden} more lines of the change"),
            Style::DIM,
        ));
    }
    Some(lines)
}

fn unified(before: &str, after: &str) -> Vec<(char, Line)> {
    let diff = TextDiff::configure()
        .timeout(TIME_LIMIT)
        .diff_lines(before, after);
    let mut out = Vec::new();
    for (index, group) in diff.grouped_ops(3).iter().enumerate() {
        if index > 0 {
            out.push((' ', Line::styled("     ⋮", Style::DIM)));
        }
        for op in group {
            for change in diff.iter_changes(op) {
                let (sign, style) = match change.tag() {
                    ChangeTag::Delete => ('-', Style::of(Colour::Red)),
                    ChangeTag::Insert => ('+', Style::of(Colour::Green)),
                    ChangeTag::Equal => (' ', Style::PLAIN),
                };
                let number = change.new_index().or(change.old_index()).unwrap_or(0) + 1;
                let text = expand_tabs(&sanitize(change.value().trim_end_matches(['\n', '\r'])));
                let line = Line::styled(format!("{number:>5} "), Style::DIM)
                    .with(format!("{sign} {text}"), style)
                    .hanging(8);
                out.push((sign, line));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit() -> Edit {
        Edit {
            path: "/a/b.rs".to_owned(),
            before: Some("u:1".to_owned()),
            after: Some("u:2".to_owned()),
        }
    }

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(Line::text).collect()
    }

    #[test]
    fn waits_for_both_sides_then_shows_the_change() {
        let mut contents = Contents::default();
        assert!(lines(&edit(), &contents, 10).is_none());
        assert!(contents.want("u:1"));
        assert!(!contents.want("u:1"), "asked for once");
        contents.put("u:1".into(), Ok("one\ntwo\nthree\n".into()));
        assert!(lines(&edit(), &contents, 10).is_none());
        contents.put("u:2".into(), Ok("one\n2\tx\u{1b}[31m\nthree\n".into()));
        assert_eq!(
            text(&lines(&edit(), &contents, 10).unwrap()),
            [
                "/a/b.rs +1 −1",
                "    1   one",
                "    2 - two",
                "    2 + 2   x",
                "    3   three"
            ]
        );
        let cut = text(&lines(&edit(), &contents, 2).unwrap());
        assert_eq!(cut.last().unwrap(), "… 2 more lines of the change");
    }

    #[test]
    fn new_files_and_missing_contents_say_so() {
        let mut contents = Contents::default();
        contents.put("u:2".into(), Ok("x\n".into()));
        let new = Edit {
            before: None,
            ..edit()
        };
        assert_eq!(
            text(&lines(&new, &contents, 10).unwrap())[0],
            "new file /a/b.rs +1 −0"
        );
        contents.put("u:1".into(), Err("not a text".into()));
        let broken = text(&lines(&edit(), &contents, 10).unwrap());
        assert_eq!(broken, ["/a/b.rs: the change cannot be shown: not a text"]);
    }
}
