//! The files below a folder that searches look at: what git ignores is left out, `.git` too.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use ignore::WalkBuilder;

/// The files below `root`, in the order of their paths. Links are not followed.
pub(super) fn files(root: &Path) -> impl Iterator<Item = ignore::DirEntry> + use<> {
    WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .sort_by_file_path(Path::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
        .flatten()
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
}

/// A pattern for paths relative to a folder. One without a slash matches in every folder.
///
/// # Errors
/// With words for the model when the pattern is not valid.
pub(super) fn pattern(pattern: &str) -> Result<GlobMatcher, String> {
    let anywhere = format!("**/{pattern}");
    let full = if pattern.contains('/') {
        pattern.trim_start_matches("./")
    } else {
        &anywhere
    };
    GlobBuilder::new(full)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("The pattern is not valid: {error}."))
}
