//! The input line: text, cursor, history, kill and yank. Pure.

use unicode_segmentation::UnicodeSegmentation;

use crate::text::{expand_tabs, sanitize, width};

/// How many entries the history keeps.
const HISTORY: usize = 200;

/// An editing command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    Insert(String),
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    /// A line up, or back in the history on the first line.
    Up,
    /// A line down, or forward in the history on the last line.
    Down,
    Backspace,
    Delete,
    KillWordLeft,
    KillWordRight,
    KillToEnd,
    KillToStart,
    Yank,
}

/// A text being written. The cursor is a byte index on a grapheme boundary.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    cursor: usize,
    killed: String,
    history: Vec<String>,
    /// Where in the history we are, and what was written before we went there.
    browsing: Option<(usize, String)>,
}

impl Editor {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Empties it; returns what was there.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        self.browsing = None;
        std::mem::take(&mut self.text)
    }

    /// Replaces the text; the cursor goes to its end.
    pub(crate) fn set(&mut self, text: &str) {
        self.text = clean(text);
        self.cursor = self.text.len();
        self.browsing = None;
    }

    /// Keeps an entry for Up.
    pub(crate) fn remember(&mut self, text: &str) {
        if text.trim().is_empty() || self.history.last().is_some_and(|last| last == text) {
            return;
        }
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(text.to_owned());
    }

    pub(crate) fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Insert(text) => {
                let text = clean(&text);
                self.text.insert_str(self.cursor, &text);
                self.cursor += text.len();
                // A combining character may have joined what is before it.
                self.cursor = self.boundary_at_or_after(self.cursor);
            }
            Edit::Left => self.cursor = self.left(),
            Edit::Right => self.cursor = self.right(),
            Edit::WordLeft => self.cursor = self.word_left(),
            Edit::WordRight => self.cursor = self.word_right(),
            Edit::LineStart => self.cursor = self.line_start(),
            Edit::LineEnd => self.cursor = self.line_end(),
            Edit::Up => self.up(),
            Edit::Down => self.down(),
            Edit::Backspace => self.remove(self.left(), self.cursor, false),
            Edit::Delete => self.remove(self.cursor, self.right(), false),
            Edit::KillWordLeft => self.remove(self.word_left(), self.cursor, true),
            Edit::KillWordRight => self.remove(self.cursor, self.word_right(), true),
            Edit::KillToEnd => {
                // At the end of a line, the line break goes.
                let end = self.line_end();
                let end = if end == self.cursor {
                    self.right()
                } else {
                    end
                };
                self.remove(self.cursor, end, true);
            }
            Edit::KillToStart => self.remove(self.line_start(), self.cursor, true),
            Edit::Yank => {
                let text = self.killed.clone();
                self.apply(Edit::Insert(text));
            }
        }
    }

    fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    fn boundary_at_or_after(&self, at: usize) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(index, _)| index)
            .find(|index| *index >= at)
            .unwrap_or(self.text.len())
    }

    fn left(&self) -> usize {
        let last = self.before().graphemes(true).next_back();
        self.cursor - last.map_or(0, str::len)
    }

    fn right(&self) -> usize {
        self.cursor + self.after().graphemes(true).next().map_or(0, str::len)
    }

    fn word_left(&self) -> usize {
        let before = self.before();
        let trimmed = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        trimmed
            .trim_end_matches(|c: char| c.is_alphanumeric())
            .len()
    }

    fn word_right(&self) -> usize {
        let after = self.after();
        let rest = after.trim_start_matches(|c: char| !c.is_alphanumeric());
        let rest = rest.trim_start_matches(|c: char| c.is_alphanumeric());
        self.text.len() - rest.len()
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.cursor + self.after().find('\n').unwrap_or(self.after().len())
    }

    fn remove(&mut self, from: usize, to: usize, kill: bool) {
        if from >= to {
            return;
        }
        let removed: String = self.text.drain(from..to).collect();
        if kill {
            self.killed = removed;
        }
        self.cursor = from;
    }

    /// The columns between the beginning of the line and the cursor.
    fn column(&self) -> usize {
        width(self.before().get(self.line_start()..).unwrap_or_default())
    }

    /// The place in the line that begins at `start` that is nearest to `column`.
    fn place(&self, start: usize, column: usize) -> usize {
        let line = self.text.get(start..).unwrap_or_default();
        let line = line.split('\n').next().unwrap_or_default();
        let mut used = 0;
        for (index, grapheme) in line.grapheme_indices(true) {
            if used >= column {
                return start + index;
            }
            used += width(grapheme);
        }
        start + line.len()
    }

    fn up(&mut self) {
        let start = self.line_start();
        if start > 0 {
            let column = self.column();
            let above = self.text.get(..start - 1).and_then(|t| t.rfind('\n'));
            self.cursor = self.place(above.map_or(0, |at| at + 1), column);
            return;
        }
        let (index, written) = match self.browsing.take() {
            Some((index, written)) => (index, written),
            None => (self.history.len(), self.text.clone()),
        };
        match index.checked_sub(1) {
            Some(earlier) => self.browse(earlier, written),
            None => self.browsing = Some((index, written)),
        }
    }

    fn down(&mut self) {
        let end = self.line_end();
        if end < self.text.len() {
            let column = self.column();
            self.cursor = self.place(end + 1, column);
            return;
        }
        if let Some((index, written)) = self.browsing.take() {
            if index + 1 < self.history.len() {
                self.browse(index + 1, written);
            } else {
                self.set(&written);
            }
        }
    }

    fn browse(&mut self, index: usize, written: String) {
        let entry = self.history.get(index).cloned().unwrap_or_default();
        self.set(&entry);
        self.browsing = Some((index, written));
    }

    /// The text as rows of at most `columns`, and the cursor's row and column.
    pub(crate) fn rows(&self, columns: usize) -> (Vec<String>, (usize, usize)) {
        let columns = columns.max(2);
        let mut rows = vec![String::new()];
        let mut used = 0;
        let mut cursor = (0, 0);
        for (index, grapheme) in self.text.grapheme_indices(true) {
            let w = width(grapheme);
            // One column stays free, so that the cursor has a place behind the last character.
            if grapheme != "\n" && used + w >= columns {
                rows.push(String::new());
                used = 0;
            }
            if index == self.cursor {
                cursor = (rows.len() - 1, used);
            }
            if grapheme == "\n" {
                rows.push(String::new());
                used = 0;
            } else if let Some(row) = rows.last_mut() {
                row.push_str(grapheme);
                used += w;
            }
        }
        if self.cursor >= self.text.len() {
            cursor = (rows.len() - 1, used);
        }
        (rows, cursor)
    }
}

/// Typed or pasted text without anything that drives a terminal.
fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let safe = sanitize(&text);
    safe.split('\n')
        .map(expand_tabs)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An editor with `|` for the cursor.
    fn at(marked: &str) -> Editor {
        let cursor = marked.find('|').unwrap();
        Editor {
            text: marked.replace('|', ""),
            cursor,
            ..Editor::default()
        }
    }

    fn marked(editor: &Editor) -> String {
        let mut text = editor.text.clone();
        text.insert(editor.cursor, '|');
        text
    }

    #[test]
    fn editing_commands() {
        let table = [
            ("ab|c", Edit::Left, "a|bc"),
            ("|abc", Edit::Left, "|abc"),
            ("abc|", Edit::Right, "abc|"),
            ("日|本", Edit::Left, "|日本"),
            ("a👩‍👧|b", Edit::Left, "a|👩‍👧b"),
            ("a👩‍👧|b", Edit::Backspace, "a|b"),
            ("e\u{301}|", Edit::Backspace, "|"),
            ("|ab", Edit::Delete, "|b"),
            ("foo bar|", Edit::WordLeft, "foo |bar"),
            ("foo, |bar", Edit::WordLeft, "|foo, bar"),
            ("|foo bar", Edit::WordRight, "foo| bar"),
            ("foo| bar", Edit::WordRight, "foo bar|"),
            ("foo bar|", Edit::KillWordLeft, "foo |"),
            ("foo| bar x", Edit::KillWordRight, "foo| x"),
            ("a\nb|c\nd", Edit::LineStart, "a\n|bc\nd"),
            ("a\nb|c\nd", Edit::LineEnd, "a\nbc|\nd"),
            ("a\nb|c\nd", Edit::KillToEnd, "a\nb|\nd"),
            ("a\nbc|\nd", Edit::KillToEnd, "a\nbc|d"),
            ("a\nbc|", Edit::KillToStart, "a\n|"),
            ("abc\ndef|", Edit::Up, "abc|\ndef"),
            ("ab|c\nd", Edit::Down, "abc\nd|"),
            ("日本語\nabcd|", Edit::Up, "日本|語\nabcd"),
            ("a|b", Edit::Insert("x\r\ny\u{1b}[31m".into()), "ax\ny|b"),
        ];
        for (before, edit, after) in table {
            let mut editor = at(before);
            editor.apply(edit.clone());
            assert_eq!(marked(&editor), after, "{before} {edit:?}");
        }
    }

    #[test]
    fn what_is_killed_can_be_yanked() {
        let mut editor = at("foo bar|");
        editor.apply(Edit::KillWordLeft);
        editor.apply(Edit::LineStart);
        editor.apply(Edit::Yank);
        assert_eq!(marked(&editor), "bar|foo ");
    }

    #[test]
    fn history_keeps_what_was_being_written() {
        let mut editor = at("draft|");
        editor.remember("one");
        editor.remember("two");
        editor.remember("two");
        let walk = [
            (Edit::Up, "two|"),
            (Edit::Up, "one|"),
            (Edit::Up, "one|"),
            (Edit::Down, "two|"),
            (Edit::Down, "draft|"),
            (Edit::Down, "draft|"),
        ];
        for (edit, expected) in walk {
            editor.apply(edit);
            assert_eq!(marked(&editor), expected);
        }
    }

    #[test]
    fn rows_and_cursor_agree_on_wide_characters() {
        let table = [
            ("|", 10, "", (0, 0)),
            ("ab|", 10, "ab", (0, 2)),
            ("abcdef|", 4, "abc/def", (1, 3)),
            ("abc|def", 4, "abc/def", (1, 0)),
            ("日本|語", 5, "日本/語", (1, 0)),
            ("a\n|b", 5, "a/b", (1, 0)),
            ("a|\nb", 5, "a/b", (0, 1)),
            ("a\n|", 5, "a/", (1, 0)),
        ];
        for (text, columns, rows, cursor) in table {
            let (shown, place) = at(text).rows(columns);
            assert_eq!(
                (shown.join("/").as_str(), place),
                (rows, cursor),
                "{text:?}"
            );
        }
    }
}
