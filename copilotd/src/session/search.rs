//! The words of a turn, for the search over conversations.

use ahp_types::state::{ResponsePart, Turn};

/// Longest text of one turn that is searched, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// What was asked and what was answered, without the noise of tools.
pub(super) fn text_of(turn: &Turn) -> String {
    let mut text = turn.message.text.clone();
    for part in &turn.response_parts {
        if let ResponsePart::Markdown(part) = part {
            text.push('\n');
            text.push_str(&part.content);
        }
    }
    let mut end = MAX_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
