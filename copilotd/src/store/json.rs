//! Texts are opaque but for one thing: they are JSON. What is not was damaged.

use rusqlite::{Error, Result, Row, types::Type};
use serde::de::IgnoredAny;

/// Whether the text is one JSON value.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// For what is about to be written.
pub(super) fn check(text: &str) -> Result<()> {
    if is_json(text) {
        return Ok(());
    }
    Err(Error::ToSqlConversionFailure("the text is not JSON".into()))
}

/// A column of text that was checked when it was written.
pub(super) fn get(row: &Row<'_>, index: usize) -> Result<String> {
    let text: String = row.get(index)?;
    if is_json(&text) {
        return Ok(text);
    }
    let error = "the text is not JSON".into();
    Err(Error::FromSqlConversionFailure(index, Type::Text, error))
}
