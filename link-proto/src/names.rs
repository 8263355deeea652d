//! Names that others gave themselves, made fit to show.
//!
//! A device and a machine say their own names, so a name may hold anything: escape sequences, line breaks,
//! marks that turn the reading direction. Must be used for every such name before it is kept or shown.

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// The name without what cannot be seen, at most [`MAX_NAME_CHARS`] long; `None` when nothing is left.
#[must_use]
pub fn clean(name: &str) -> Option<String> {
    let words: Vec<&str> = name
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let name: String = words
        .join(" ")
        .chars()
        .filter(|c| !is_invisible(*c))
        .take(MAX_NAME_CHARS)
        .collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Format characters: joiners, direction marks, tags. They change how a name is read and are not seen.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_be_seen_of_it() {
        for (given, shown) in [
            ("Ada's phone", Some("Ada's phone")),
            ("  Pixel\t8 \r\n", Some("Pixel 8")),
            ("\u{1b}[31mred\u{7}", Some("[31mred")),
            ("abc\u{202e}cba", Some("abccba")),
            ("\u{200b}\u{feff} ", None),
            ("", None),
            ("Télé — 電話", Some("Télé — 電話")),
        ] {
            assert_eq!(clean(given).as_deref(), shown, "{given:?}");
        }
        assert_eq!(
            clean(&"é".repeat(900)).map(|name| name.chars().count()),
            Some(64)
        );
    }
}
