//! What came with a permission: which paths it is about, and what it does not cover.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What a client said with its yes. The default is a client that says nothing more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// The real paths that were decided about; `None` when the client does not say.
    pub paths: Option<Vec<PathBuf>>,
    /// What a search leaves out.
    pub withheld: Withheld,
    /// What a command must run with; without a value, the variable must not be there.
    pub environment: BTreeMap<String, Option<String>>,
}

/// What a search leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Withheld {
    /// Absolute; these and what is in them.
    pub paths: Vec<PathBuf>,
    /// Files and folders of these names, in lower case, whatever their own case.
    pub names: Vec<String>,
}

impl Grant {
    /// Whether the permission is about this path.
    ///
    /// # Errors
    /// With words for the model when it is about another one.
    pub(super) fn check(&self, path: &Path, shown: &str) -> Result<(), String> {
        match &self.paths {
            Some(paths) if !paths.iter().any(|decided| decided == path) => Err(elsewhere(shown)),
            _ => Ok(()),
        }
    }
}

impl Withheld {
    /// Whether a path below `root` is left out.
    pub(super) fn covers(&self, path: &Path, root: &Path) -> bool {
        let below = path.strip_prefix(root).unwrap_or(path);
        self.paths.iter().any(|held| path.starts_with(held))
            || below.iter().any(|name| {
                let name = name.to_string_lossy().to_lowercase();
                self.names.contains(&name)
            })
    }
}

/// What is said of a path that was exchanged after it was decided about.
pub(super) fn elsewhere(shown: &str) -> String {
    format!(
        "{shown} leads somewhere else than when it was decided about, so nothing was done. Look \
         again and start over."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_about_its_paths_only() {
        let silent = Grant::default();
        assert_eq!(silent.check(Path::new("/p/a"), "a"), Ok(()));
        let grant = Grant {
            paths: Some(vec![PathBuf::from("/p/a")]),
            ..Grant::default()
        };
        assert_eq!(grant.check(Path::new("/p/a"), "a"), Ok(()));
        let refused = grant.check(Path::new("/p/b"), "b").unwrap_err();
        assert!(refused.starts_with("b leads somewhere else"), "{refused}");
    }

    #[test]
    fn what_is_withheld_is_left_out_by_place_and_by_name() {
        let withheld = Withheld {
            paths: vec![PathBuf::from("/p/private")],
            names: vec![".npmrc".to_owned()],
        };
        for (path, expected) in [
            ("/p/private", true),
            ("/p/private/key", true),
            ("/p/privately", false),
            ("/p/sub/.NPMRC", true),
            ("/p/src/main.rs", false),
        ] {
            assert_eq!(
                withheld.covers(Path::new(path), Path::new("/p")),
                expected,
                "{path}"
            );
        }
    }
}
