//! Names as people are shown them: one line, with what cannot be seen made visible.
//!
//! A file's name may hold a line break, or characters that turn the order of others around. What
//! a person confirms must be what happens, so these are written as escapes.

/// `text` with line breaks, other control characters and characters that are invisible or
/// reorder others as escapes. A text that has none of these stays as it is.
#[must_use]
pub fn visible(text: &str) -> String {
    if !text.contains(is_unseen) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // A backslash of the text's own must not read as one of ours.
        if is_unseen(c) || c == '\\' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character changes how text looks without being seen itself.
pub(super) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        let table = [
            ("src/main.rs", "src/main.rs"),
            ("größe (copy).txt", "größe (copy).txt"),
            ("back\\slash", "back\\slash"),
            ("a\nb", "a\\nb"),
            ("a\\n\nb", "a\\\\n\\nb"),
            ("exe\u{202e}txt.sh", "exe\\u{202e}txt.sh"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("tab\there", "tab\\there"),
        ];
        for (text, shown) in table {
            assert_eq!(visible(text), shown);
        }
    }
}
