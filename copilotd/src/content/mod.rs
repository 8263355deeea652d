//! Content that session states refer to instead of carrying it: diffs, files, long outputs.
//!
//! Owns the files below `data/content/<session>/`. Sessions are named by their uuid and tool
//! calls by a hash of their id, so no text from outside ever shapes a path. Who may read what
//! is decided before it comes here. Everything is synchronous file access.

mod output;
pub(crate) mod private;
mod store;
mod uri;

pub use output::{MAX_OUTPUT_BYTES, OutputFile};
pub use store::{ContentId, ContentStore, MAX_READ_BYTES};
pub use uri::{ContentUri, UriError};
