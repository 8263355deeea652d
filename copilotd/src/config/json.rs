//! JSON as people write settings: with comments and trailing commas, and with errors that say
//! where they are.

use std::io::Read;

use json_comments::CommentSettings;
use serde_json::Value;

/// The error is line and column, both from 1, and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Value, ((usize, usize), String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut json = Vec::with_capacity(text.len());
    let mut reader = CommentSettings::c_style().strip_comments(text.as_bytes());
    let mut is_open = false;
    // Byte by byte, because the error says only that something is wrong, not where.
    let mut byte = [0];
    loop {
        match reader.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => json.push(byte[0]),
            Err(_) if json.len() >= text.len() => {
                is_open = true;
                break;
            }
            Err(_) => {
                let slash = json.len().saturating_sub(1);
                return Err((
                    position(text, slash),
                    "there is a `/` that begins no comment".to_owned(),
                ));
            }
        }
    }
    if json.iter().all(u8::is_ascii_whitespace) && !is_open {
        return Err((
            (1, 1),
            "the file is empty; write `{}` for the defaults".to_owned(),
        ));
    }
    drop_trailing_commas(&mut json);
    match serde_json::from_slice(&json) {
        Ok(_) if is_open => Err((
            position(text, text.len()),
            "there is a comment that is not closed".to_owned(),
        )),
        Ok(value) => Ok(value),
        Err(error) => {
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or(&words);
            Err((
                (error.line(), error.column().max(1)),
                format!("the file is not JSON: {words}"),
            ))
        }
    }
}

/// Blanks a comma before a closing bracket; everything keeps its place.
fn drop_trailing_commas(json: &mut [u8]) {
    let (mut in_string, mut escaped) = (false, false);
    let mut before = b'[';
    // A comma that follows a value, as long as only blanks follow it.
    let mut comma = None;
    for at in 0..json.len() {
        let byte = json[at];
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b']' | b'}' => {
                if let Some(comma) = comma {
                    json[comma] = b' ';
                }
            }
            _ => {}
        }
        comma = (byte == b',' && !b"[{,:".contains(&before)).then_some(at);
        before = byte;
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
