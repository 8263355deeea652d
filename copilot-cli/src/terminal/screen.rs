//! Painting: finished lines scroll away for good, the live area below them is replaced.
//!
//! Everything is relative to where the cursor is, and nothing is ever asked of the
//! terminal: no scroll regions, no cursor reports. Only a resize or a redraw
//! clears the screen, because terminals disagree on what a resize leaves there;
//! the last finished lines are then painted again at the new width.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::line::{Line, Paint};

/// How many finished lines are kept for a redraw.
const KEPT: usize = 1000;

/// A painter on some terminal.
#[derive(Debug)]
pub(crate) struct Screen<W: Write> {
    out: W,
    columns: usize,
    rows: usize,
    paint: Paint,
    /// Finished lines, unwrapped.
    kept: VecDeque<Line>,
    /// The rows of the live area as they are on the screen.
    live: Vec<String>,
    /// Where the cursor is in the live area.
    cursor: (usize, usize),
    clear: bool,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W, columns: u16, rows: u16, paint: Paint) -> Self {
        Self {
            out,
            columns: usize::from(columns).max(4),
            rows: usize::from(rows).max(2),
            paint,
            kept: VecDeque::new(),
            live: Vec::new(),
            cursor: (0, 0),
            clear: false,
        }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The terminal has a new size.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.columns = usize::from(columns).max(4);
        self.rows = usize::from(rows).max(2);
        self.clear = true;
    }

    /// The next paint begins with an empty screen.
    pub(crate) fn redraw(&mut self) {
        self.clear = true;
    }

    /// Forgets the finished lines: they will be painted anew.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
        self.clear = true;
    }

    /// Puts `finished` into the scrollback and replaces the live area. `live` has
    /// rows, not lines: each fits. The cursor is a row of `live` and a column.
    pub(crate) fn paint(
        &mut self,
        finished: Vec<Line>,
        live: &[Line],
        cursor: (usize, usize),
    ) -> io::Result<()> {
        // The live area must fit; its end is what matters.
        let skip = live.len().saturating_sub(self.rows);
        let live: Vec<String> = live
            .iter()
            .skip(skip)
            .map(|line| line.cut(self.columns).ansi(self.paint))
            .collect();
        let cursor = (
            cursor.0.saturating_sub(skip),
            cursor.1.min(self.columns.saturating_sub(1)),
        );
        if finished.is_empty() && !self.clear && live == self.live && cursor == self.cursor {
            return Ok(());
        }
        // A synchronised update, ended below: terminals that know it show no half.
        let mut text = String::from("\u{1b}[?2026h\u{1b}[?25l");
        let mut lines = finished;
        if self.clear {
            self.clear = false;
            text.push_str("\u{1b}[H\u{1b}[2J");
            // A terminal's scrollback has the rest.
            let fresh = lines.len();
            for line in lines.drain(..) {
                self.keep(line);
            }
            let room = self.rows.saturating_sub(live.len());
            let mut from = self.kept.len();
            let mut used = 0;
            while from > 0 && (used < room || self.kept.len() - from < fresh) {
                from -= 1;
                used += self
                    .kept
                    .get(from)
                    .map_or(0, |l| l.wrap(self.columns).len());
            }
            for line in self.kept.iter().skip(from) {
                push_rows(&mut text, line, self.columns, self.paint);
            }
        } else {
            text.push('\r');
            if self.cursor.0 > 0 {
                text.push_str(&format!("\u{1b}[{}A", self.cursor.0));
            }
            text.push_str("\u{1b}[J");
            for line in lines {
                push_rows(&mut text, &line, self.columns, self.paint);
                self.keep(line);
            }
        }
        text.push_str(&live.join("\r\n"));
        let up = live.len().saturating_sub(1).saturating_sub(cursor.0);
        if up > 0 {
            text.push_str(&format!("\u{1b}[{up}A"));
        }
        text.push('\r');
        if cursor.1 > 0 {
            text.push_str(&format!("\u{1b}[{}C", cursor.1));
        }
        text.push_str("\u{1b}[?25h\u{1b}[?2026l");
        self.live = live;
        self.cursor = cursor;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Removes the live area and leaves the cursor where a shell's prompt belongs.
    pub(crate) fn close(&mut self, finished: Vec<Line>) -> io::Result<()> {
        self.paint(finished, &[], (0, 0))
    }

    fn keep(&mut self, line: Line) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }
}

fn push_rows(text: &mut String, line: &Line, columns: usize, paint: Paint) {
    for row in line.wrap(columns) {
        text.push_str(&row.ansi(paint));
        text.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal of this size shows after these bytes.
    struct Shown {
        parser: vt100::Parser,
        screen: Screen<Vec<u8>>,
    }

    impl Shown {
        fn new(rows: u16, columns: u16) -> Self {
            Self {
                parser: vt100::Parser::new(rows, columns, 200),
                screen: Screen::new(Vec::new(), columns, rows, Paint::Full),
            }
        }

        fn paint(&mut self, finished: &[&str], live: &[&str], cursor: (usize, usize)) -> String {
            let lines = |texts: &[&str]| texts.iter().map(|t| Line::plain(*t)).collect::<Vec<_>>();
            self.screen
                .paint(lines(finished), &lines(live), cursor)
                .unwrap();
            self.parser.process(&std::mem::take(&mut self.screen.out));
            self.parser.screen().contents()
        }
    }

    #[test]
    fn finished_lines_stay_above_and_the_live_area_is_replaced() {
        let mut t = Shown::new(10, 20);
        assert_eq!(t.paint(&[], &["streaming", "> "], (1, 2)), "streaming\n> ");
        assert_eq!(t.parser.screen().cursor_position(), (1, 2));
        assert_eq!(t.paint(&["one", "two"], &["> "], (0, 2)), "one\ntwo\n> ");
        assert_eq!(t.parser.screen().cursor_position(), (2, 2));
        assert_eq!(t.paint(&[], &["a", "b", "c"], (0, 0)), "one\ntwo\na\nb\nc");
        assert_eq!(t.parser.screen().cursor_position(), (2, 0));
        assert_eq!(t.paint(&["three"], &["> "], (0, 2)), "one\ntwo\nthree\n> ");
    }

    #[test]
    fn what_was_there_before_stays() {
        let mut t = Shown::new(6, 20);
        t.parser.process(b"$ copilot\r\n");
        assert_eq!(t.paint(&["one"], &["> "], (0, 2)), "$ copilot\none\n> ");
    }

    #[test]
    fn more_than_a_screen_scrolls_into_the_scrollback() {
        let mut t = Shown::new(4, 20);
        t.paint(&[], &["> "], (0, 2));
        let shown = t.paint(&["1", "2", "3", "4", "5", "6"], &["live", "> "], (1, 2));
        assert_eq!(shown, "5\n6\nlive\n> ");
        t.parser.screen_mut().set_scrollback(4);
        assert_eq!(t.parser.screen().contents(), "1\n2\n3\n4");
    }

    #[test]
    fn a_live_area_that_is_too_tall_shows_its_end() {
        let mut t = Shown::new(3, 20);
        assert_eq!(
            t.paint(&[], &["1", "2", "3", "4", "> x"], (4, 3)),
            "3\n4\n> x"
        );
        assert_eq!(t.parser.screen().cursor_position(), (2, 3));
    }

    #[test]
    fn rows_that_fill_the_width_do_not_shift_anything() {
        let mut t = Shown::new(6, 8);
        assert_eq!(
            t.paint(&["12345678"], &["abcdefgh", "> "], (1, 2)),
            "12345678\nabcdefgh\n> "
        );
        assert_eq!(
            t.paint(&["日本語日"], &["> "], (0, 2)),
            "12345678\n日本語日\n> "
        );
    }

    #[test]
    fn a_resize_paints_the_last_lines_at_the_new_width() {
        let mut t = Shown::new(6, 20);
        t.paint(&["one two three four"], &["> "], (0, 2));
        t.parser.screen_mut().set_size(6, 10);
        t.screen.resize(10, 6);
        assert_eq!(t.paint(&[], &["> "], (0, 2)), "one two\nthree four\n> ");
        t.parser.screen_mut().set_size(6, 30);
        t.screen.resize(30, 6);
        assert_eq!(t.paint(&[], &["> "], (0, 2)), "one two three four\n> ");
        assert_eq!(t.parser.screen().cursor_position(), (1, 2));
    }

    #[test]
    fn closing_leaves_a_fresh_line() {
        let mut t = Shown::new(6, 20);
        t.paint(&["one"], &["live", "> typed"], (1, 7));
        t.screen.close(vec![Line::plain("bye")]).unwrap();
        t.parser.process(&std::mem::take(&mut t.screen.out));
        assert_eq!(t.parser.screen().contents(), "one\nbye");
        assert_eq!(t.parser.screen().cursor_position(), (2, 0));
        assert!(!t.parser.screen().hide_cursor());
    }

    #[test]
    fn nothing_new_writes_nothing() {
        let mut t = Shown::new(6, 20);
        t.paint(&[], &["> "], (0, 2));
        t.screen
            .paint(Vec::new(), &[Line::plain("> ")], (0, 2))
            .unwrap();
        assert!(t.screen.out.is_empty());
    }
}
