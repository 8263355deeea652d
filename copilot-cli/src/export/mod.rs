//! A whole conversation as a document. Pure: from the mirrored state to text.
//!
//! Owns what the documents look like. Never asks the host for anything: it says which
//! contents it needs, and the command reads them.

pub(crate) mod json;
pub(crate) mod markdown;

use std::collections::HashMap;

/// Contents by their URI, or why there is none.
pub(crate) type Contents = HashMap<String, Result<String, String>>;
