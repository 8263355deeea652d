//! From what the terminal reports to what it means. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::editor::Edit;

/// What a key means, before anyone knows what is on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Edit(Edit),
    Enter,
    /// Ctrl+C.
    Cancel,
    /// Ctrl+D: the end of input, or delete where there is text.
    EndOfInput,
    /// Ctrl+Q.
    Queue,
    /// Ctrl+L.
    Redraw,
    /// Shift+Tab.
    NextMode,
    /// Tab: the next open request, or an indentation.
    Tab,
    /// Ctrl+X: a question is not answered.
    Decline,
    /// Ctrl+E: the link and its code on an empty line, else the end of the line.
    Expand,
    Escape,
    PageUp,
    PageDown,
}

/// The meaning of a key press; none for keys that have none here.
pub(crate) fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    let edit = |edit| Some(Key::Edit(edit));
    let insert = |text: String| Some(Key::Edit(Edit::Insert(text)));
    match event.code {
        KeyCode::Char(c) if control && !alt => match c.to_ascii_lowercase() {
            'a' => edit(Edit::LineStart),
            'b' => edit(Edit::Left),
            'c' => Some(Key::Cancel),
            'd' => Some(Key::EndOfInput),
            'e' => Some(Key::Expand),
            'f' => edit(Edit::Right),
            'h' => edit(Edit::Backspace),
            'j' => insert("\n".to_owned()),
            'k' => edit(Edit::KillToEnd),
            'l' => Some(Key::Redraw),
            'm' => Some(Key::Enter),
            'n' => edit(Edit::Down),
            'p' => edit(Edit::Up),
            'q' => Some(Key::Queue),
            'u' => edit(Edit::KillToStart),
            'w' => edit(Edit::KillWordLeft),
            'x' => Some(Key::Decline),
            'y' => edit(Edit::Yank),
            _ => None,
        },
        KeyCode::Char(c) if alt && !control => match c {
            'b' => edit(Edit::WordLeft),
            'f' => edit(Edit::WordRight),
            'd' => edit(Edit::KillWordRight),
            _ => None,
        },
        KeyCode::Char(c) => insert(c.to_string()),
        KeyCode::Enter if alt || event.modifiers.contains(KeyModifiers::SHIFT) => {
            insert("\n".to_owned())
        }
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::BackTab => Some(Key::NextMode),
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => Some(Key::NextMode),
        KeyCode::Tab => Some(Key::Tab),
        KeyCode::Backspace if alt || control => edit(Edit::KillWordLeft),
        KeyCode::Backspace => edit(Edit::Backspace),
        KeyCode::Delete if alt || control => edit(Edit::KillWordRight),
        KeyCode::Delete => edit(Edit::Delete),
        KeyCode::Left if alt || control => edit(Edit::WordLeft),
        KeyCode::Left => edit(Edit::Left),
        KeyCode::Right if alt || control => edit(Edit::WordRight),
        KeyCode::Right => edit(Edit::Right),
        KeyCode::Up => edit(Edit::Up),
        KeyCode::Down => edit(Edit::Down),
        KeyCode::Home => edit(Edit::LineStart),
        KeyCode::End => edit(Edit::LineEnd),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Esc => Some(Key::Escape),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_people_expect() {
        use KeyCode::{BackTab, Backspace, Char, Enter, Esc, Left, Tab, Up};
        use KeyModifiers as M;
        let insert = |text: &str| Key::Edit(Edit::Insert(text.to_owned()));
        let table = [
            (Char('x'), M::NONE, Some(insert("x"))),
            (Char('X'), M::SHIFT, Some(insert("X"))),
            (Char('@'), M::CONTROL | M::ALT, Some(insert("@"))), // AltGr
            (Enter, M::NONE, Some(Key::Enter)),
            (Enter, M::ALT, Some(insert("\n"))),
            (Char('j'), M::CONTROL, Some(insert("\n"))),
            (Char('c'), M::CONTROL, Some(Key::Cancel)),
            (Char('d'), M::CONTROL, Some(Key::EndOfInput)),
            (Char('q'), M::CONTROL, Some(Key::Queue)),
            (Char('l'), M::CONTROL, Some(Key::Redraw)),
            (Char('e'), M::CONTROL, Some(Key::Expand)),
            (Char('w'), M::CONTROL, Some(Key::Edit(Edit::KillWordLeft))),
            (Backspace, M::ALT, Some(Key::Edit(Edit::KillWordLeft))),
            (Left, M::CONTROL, Some(Key::Edit(Edit::WordLeft))),
            (Up, M::NONE, Some(Key::Edit(Edit::Up))),
            (Esc, M::NONE, Some(Key::Escape)),
            (BackTab, M::SHIFT, Some(Key::NextMode)),
            (Tab, M::SHIFT, Some(Key::NextMode)),
            (Tab, M::NONE, Some(Key::Tab)),
            (Char('x'), M::CONTROL, Some(Key::Decline)),
            (Char('z'), M::CONTROL, None),
        ];
        for (code, modifiers, expected) in table {
            assert_eq!(
                key(KeyEvent::new(code, modifiers)),
                expected,
                "{code:?} {modifiers:?}"
            );
        }
    }

    #[test]
    fn letting_a_key_go_means_nothing() {
        let mut event = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        event.kind = KeyEventKind::Release;
        assert_eq!(key(event), None);
    }
}
