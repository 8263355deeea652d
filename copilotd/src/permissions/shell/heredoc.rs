//! Here-documents: that they end where bash ends them, and that nothing in them is run.

use tree_sitter::Node;

/// Whether the last thing in `node` is a here-document, which ends with its own line.
pub(super) fn ends_with_one(node: Node<'_>) -> bool {
    let mut last = node;
    while let Some(count) = last.child_count().checked_sub(1) {
        match last.child(count) {
            Some(child) => last = child,
            None => return false,
        }
    }
    last.kind() == "heredoc_end"
}

/// Checks the document of a `heredoc_redirect` against the text alone. An error reads on after
/// "the command has".
pub(super) fn check(node: Node<'_>, source: &str) -> Result<(), &'static str> {
    const UNREAD: &str = "a here-document that cannot be read";
    let mut cursor = node.walk();
    let mut start = None;
    let mut end = None;
    let mut operator = "";
    for child in node.children(&mut cursor) {
        match child.kind() {
            "heredoc_start" if start.is_none() => start = Some(child),
            "heredoc_end" if end.is_none() => end = Some(child),
            "<<" | "<<-" => operator = child.kind(),
            "heredoc_start" | "heredoc_end" => return Err(UNREAD),
            _ => {}
        }
    }
    let (start, end) = (start.ok_or(UNREAD)?, end.ok_or(UNREAD)?);
    let written = source.get(start.byte_range()).ok_or(UNREAD)?;
    let bare = written
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        .or_else(|| {
            written
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
        });
    let delimiter = bare.unwrap_or(written);
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !is_name(delimiter) {
        return Err(UNREAD);
    }
    let rest = source.get(start.end_byte()..).ok_or(UNREAD)?;
    let (first_line, document) = rest.split_once('\n').ok_or(UNREAD)?;
    if first_line.contains("<<") || first_line.ends_with('\\') || first_line.contains('#') {
        return Err("more than one here-document on a line");
    }
    if !matches!(
        first_line.chars().next(),
        None | Some(' ' | '\t' | '|' | '&' | '>' | ')')
    ) {
        return Err(UNREAD);
    }
    let mut at = start.end_byte() + first_line.len() + 1;
    let mut body = None;
    for line in document.split_inclusive('\n') {
        let text = line.strip_suffix('\n').unwrap_or(line);
        let text = match operator {
            "<<-" => text.trim_start_matches('\t'),
            _ => text,
        };
        if text == delimiter {
            body = source.get(start.end_byte() + first_line.len() + 1..at);
            // The end of the line must be where the tree says that the document ends.
            let ends = at + line.trim_end_matches('\n').len();
            if ends != end.end_byte() {
                return Err(UNREAD);
            }
            break;
        }
        at += line.len();
    }
    let body = body.ok_or(UNREAD)?;
    if bare.is_none() && is_live(body) {
        return Err("a here-document in which something is expanded");
    }
    Ok(())
}

/// Whether more than the value of a variable may be inserted into an unquoted document.
fn is_live(body: &str) -> bool {
    body.contains(['`', '\\']) || ["$(", "${", "$["].iter().any(|start| body.contains(start))
}
