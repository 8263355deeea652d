//! What git would ignore in a folder: read from the same files, without running git.

use std::path::Path;
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// A longer list of patterns is left out: then more is kept, not less.
const MAX_BYTES: u64 = 1024 * 1024;

/// The patterns that hold in one folder, the nearest first.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    patterns: Gitignore,
    above: Option<Arc<Rules>>,
}

impl Rules {
    /// Those that hold in the folder of a session, which may be a part of a repository.
    pub(super) fn of_root(folder: &Path) -> Arc<Self> {
        let mut rules = Arc::new(Self {
            patterns: Gitignore::global().0,
            above: None,
        });
        let repository = folder.ancestors().find(|above| above.join(".git").exists());
        let Some(repository) = repository else {
            return rules.within(folder);
        };
        let exclude = repository.join(".git/info/exclude");
        rules = rules.with(repository, &exclude);
        let mut above: Vec<&Path> = folder.ancestors().collect();
        above.retain(|a| a.starts_with(repository));
        for folder in above.into_iter().rev() {
            rules = rules.within(folder);
        }
        rules
    }

    /// Those that hold in a folder of this one.
    pub(super) fn within(self: &Arc<Self>, folder: &Path) -> Arc<Self> {
        self.with(folder, &folder.join(".gitignore"))
    }

    fn with(self: &Arc<Self>, folder: &Path, file: &Path) -> Arc<Self> {
        let is_list = std::fs::symlink_metadata(file)
            .is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
        if !is_list {
            return Arc::clone(self);
        }
        let mut builder = GitignoreBuilder::new(folder);
        // A line that is no pattern ignores nothing; the others hold.
        let _ = builder.add(file);
        match builder.build() {
            Ok(patterns) => Arc::new(Self {
                patterns,
                above: Some(Arc::clone(self)),
            }),
            Err(_) => Arc::clone(self),
        }
    }

    /// Whether git would not look at this, an entry of the folder of these rules.
    pub(super) fn ignores(&self, path: &Path, is_folder: bool) -> bool {
        let matched = self.patterns.matched(path, is_folder);
        match &self.above {
            _ if matched.is_ignore() => true,
            _ if matched.is_whitelist() => false,
            Some(above) => above.ignores(path, is_folder),
            None => false,
        }
    }
}
