//! Characters: which can be relied on to mean what they look like.

/// Literal outside quotes, wherever it stands in a word.
pub(in crate::permissions) fn is_plain(c: char) -> bool {
    (c.is_alphanumeric() && !is_invisible(c)) || "_-./:@%+,".contains(c)
}

/// Characters that change how text looks without being seen.
pub(in crate::permissions) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Why a text cannot be read at all, whatever stands around it; reads on after "the command
/// has".
pub(super) fn unreadable(text: &str) -> Option<&'static str> {
    text.chars().find_map(|c| match c {
        ' ' | '\t' | '\n' => None,
        '\r' => Some("a carriage return"),
        _ if c.is_control() => Some("a control character"),
        _ if is_invisible(c) => Some("an invisible character"),
        _ if c.is_whitespace() => Some("white space that is not a space"),
        _ => None,
    })
}
