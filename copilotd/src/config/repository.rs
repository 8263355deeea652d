//! To which repository a folder belongs, for what a person allows "here".
//!
//! Looks at files of git's only; runs no git, which a repository could make run other programs.

use std::path::{Path, PathBuf};

use crate::untrusted;

/// Files of git's that only name a folder are not larger. Bytes.
const MAX_LINK_BYTES: u64 = 64 * 1024;

/// A repository, as far as approvals are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The top of the working tree that the folder is in; without git, the folder. Canonical
    /// where it exists.
    pub root: PathBuf,
    /// What all working trees of the repository have in common: the top of the main one, or the
    /// repository itself when it is bare.
    pub identity: PathBuf,
}

impl Repository {
    /// The repository around `folder`, which is absolute.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let top = folder
            .ancestors()
            .find(|top| top.join(".git").symlink_metadata().is_ok());
        let root = top.unwrap_or(&folder).to_owned();
        let identity = main_tree(&root).unwrap_or_else(|| root.clone());
        Self { root, identity }
    }
}

/// The identity of a linked working tree's repository. `None` when `root` is none.
fn main_tree(root: &Path) -> Option<PathBuf> {
    let link = root.join(".git");
    if !link.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let private = leads_to(&link, "gitdir:", root)?;
    // A folder from elsewhere could say that it belongs to any repository and have what is
    // allowed there. The repository must say so too.
    let back = leads_to(&private.join("gitdir"), "", &private)?;
    if back != link {
        return None;
    }
    let common = leads_to(&private.join("commondir"), "", &private)?;
    let is_inside = common.file_name().is_some_and(|name| name == ".git");
    match common.parent() {
        Some(top) if is_inside => Some(top.to_owned()),
        _ => Some(common),
    }
}

/// The path that a small file of git's has after `prefix`, relative to `base`.
fn leads_to(file: &Path, prefix: &str, base: &Path) -> Option<PathBuf> {
    let text = untrusted::read_text(file, MAX_LINK_BYTES).ok()?;
    let path = text.strip_prefix(prefix)?.trim();
    base.join(path).canonicalize().ok()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=T", "-c", "user.email=t@example.invalid"];
        let output = Command::new("git")
            .args(identity)
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
    }

    #[test]
    fn a_working_tree_that_leads_to_what_never_ends_is_its_own_repository() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        std::fs::write(top.join(".git"), "gitdir: private").unwrap();
        std::fs::create_dir(top.join("private")).unwrap();
        let pipe = top.join("private/gitdir");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Repository::of(&top).identity, top);
    }

    #[test]
    fn linked_working_trees_are_one_repository() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        let main = top.join("main");
        std::fs::create_dir_all(main.join("sub/deep")).unwrap();
        std::fs::create_dir_all(top.join("plain/deep")).unwrap();
        git(&main, &["init", "-q"]);
        git(&main, &["commit", "-q", "--allow-empty", "-m", "x"]);
        git(&main, &["worktree", "add", "-q", "../linked"]);
        git(&top, &["clone", "-q", "--bare", "main", "bare.git"]);
        git(
            &top.join("bare.git"),
            &["worktree", "add", "-q", "../of-bare"],
        );
        // Says that it belongs to `main`; `main` does not know it.
        std::fs::create_dir(top.join("liar")).unwrap();
        std::fs::copy(top.join("linked/.git"), top.join("liar/.git")).unwrap();
        let table = [
            ("main", "main", "main"),
            ("main/sub/deep", "main", "main"),
            ("linked", "linked", "main"),
            ("of-bare", "of-bare", "bare.git"),
            ("plain/deep", "plain/deep", "plain/deep"),
            ("liar", "liar", "liar"),
        ];
        for (folder, root, identity) in table {
            let found = Repository::of(&top.join(folder));
            assert_eq!(found.root, top.join(root), "{folder}");
            assert_eq!(found.identity, top.join(identity), "{folder}");
        }
    }
}
