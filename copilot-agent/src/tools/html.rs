//! The text of a web page: what a person would read, without what only a browser uses.
//!
//! Not a parser of HTML. Whatever is strange in a page costs only its looks; nothing in it is ever
//! run or followed.

/// Elements whose content nobody reads.
const UNREAD: &[&str] = &[
    "script", "style", "noscript", "template", "svg", "head", "iframe",
];
/// Elements that begin a line.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];

/// The text of a page, one line for each of its blocks.
pub(super) fn text(page: &str) -> String {
    let mut raw = String::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        raw.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let name = element(rest);
        if name.is_empty() {
            // A `<` that begins nothing.
            raw.push('<');
            rest = &rest[1..];
            continue;
        }
        let is_end = rest.starts_with("</");
        rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
        if !is_end && UNREAD.contains(&name.as_str()) {
            rest = after_end_of(rest, &name);
        }
        match name.as_str() {
            "td" | "th" => raw.push('\t'),
            name if BLOCKS.contains(&name) => raw.push('\n'),
            _ => {}
        }
    }
    raw.push_str(rest);
    tidy(&unescape(&raw))
}

/// The name of the element that a tag begins or ends, in lower case.
fn element(tag: &str) -> String {
    let name = tag.trim_start_matches('<').trim_start_matches('/');
    let is_name = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '!' | '?' | '-' | ':');
    name.chars()
        .take_while(is_name)
        .take(32)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// What comes after `</name`, or nothing.
fn after_end_of<'a>(text: &'a str, name: &str) -> &'a str {
    text.match_indices("</")
        .find(|(at, _)| element(&text[*at..]) == name)
        .map_or("", |(at, _)| &text[at..])
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.char_indices().take(12).find(|(_, c)| *c == ';');
        match end.and_then(|(end, _)| Some((end, character(&rest[1..end])?))) {
            Some((end, c)) => {
                plain.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(name: &str) -> Option<char> {
    let code = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        },
        None => None,
    };
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "hellip" => Some('…'),
        "mdash" => Some('—'),
        "ndash" => Some('–'),
        "copy" => Some('©'),
        _ => char::from_u32(code?),
    }
}

/// Single blanks, and no empty lines but one between texts.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            tidy.push_str(&words.join(" "));
            tidy.push('\n');
        }
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_what_people_read() {
        let table = [
            ("plain", "plain\n"),
            ("<p>One</p><p>Two <b>bold</b></p>", "One\nTwo bold\n"),
            ("<head><title>T</title></head>Body", "Body\n"),
            ("a<script>if (a < b) { '</p>' }</script>b", "ab\n"),
            ("a<SCRIPT>x</script >b", "ab\n"),
            ("a<script>never closed", "a\n"),
            ("<!-- <p>no</p> -->yes", "yes\n"),
            ("<!-- open", ""),
            ("1 < 2 &amp;&lt;&#65;&#x42;&nope; &", "1 < 2 &<AB&nope; &\n"),
            ("<tr><td>a</td><td>b</td></tr>", "a b\n"),
            ("<!doctype html><br>\n\n  x  \n", "x\n"),
            ("<a href='x'", ""),
            ("ü<", "ü<\n"),
        ];
        for (page, expected) in table {
            assert_eq!(text(page), expected, "{page}");
        }
    }
}
