//! The index of a repository: whether it has other repositories in it, whose configuration git
//! would obey too. The format is git's `index-format`.

use std::io::ErrorKind;
use std::path::Path;

use crate::untrusted;

/// Indexes larger than this are not read. Bytes.
const MAX_INDEX_BYTES: u64 = 64 * 1024 * 1024;
/// The mode of an entry that is another repository.
const LINK_TO_REPOSITORY: u32 = 0o160_000;

const UNREAD: &str = "reads an index that cannot be read here";

/// Checks that the index at `file`, if there is one, names no other repository. An error reads
/// on after "git".
pub(super) fn check(file: &Path) -> Result<(), String> {
    let bytes = match untrusted::read(file, MAX_INDEX_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|_| UNREAD)?,
    };
    match has_repositories(&bytes) {
        Some(false) => Ok(()),
        Some(true) => Err("would look into a repository inside of this one".to_owned()),
        None => Err(UNREAD.to_owned()),
    }
}

/// `None` when the index is of a kind that is not understood.
fn has_repositories(bytes: &[u8]) -> Option<bool> {
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?;
        Some(u32::from_be_bytes(four.try_into().ok()?))
    };
    if bytes.get(..4)? != b"DIRC" {
        return None;
    }
    let version = number(4)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut at = 12;
    for _ in 0..number(8)? {
        if number(at + 24)? & 0o170_000 == LINK_TO_REPOSITORY {
            return Some(true);
        }
        let flags = u16::from_be_bytes(bytes.get(at + 60..at + 62)?.try_into().ok()?);
        let extended = flags & 0x4000 != 0;
        let name = at + if extended { 64 } else { 62 };
        let end_of_name = |from: usize| {
            let length = bytes.get(from..)?.iter().position(|byte| *byte == 0)?;
            Some(from + length)
        };
        at = if version == 4 {
            // In front of the name is a number, of which every byte but the last is marked.
            let number = bytes
                .get(name..)?
                .iter()
                .position(|byte| byte & 0x80 == 0)?;
            end_of_name(name + number + 1)? + 1
        } else {
            let length = end_of_name(name)? - name;
            // Entries are padded to eight bytes, with at least one.
            at + (name - at + length + 8) / 8 * 8
        };
    }
    // A split index keeps most of its entries in another file.
    while bytes.len().checked_sub(at)? > 20 {
        if bytes.get(at..at + 4)? == b"link" {
            return None;
        }
        at = at
            .checked_add(8)?
            .checked_add(usize::try_from(number(at + 4)?).ok()?)?;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    #[test]
    fn repositories_inside_are_found_in_every_version() {
        let object = "0123456789012345678901234567890123456789";
        for version in ["2", "3", "4"] {
            let scratch = tempfile::tempdir().unwrap();
            let top = scratch.path();
            git(top, &["init", "-q"]);
            let index = top.join(".git/index");
            assert_eq!(check(&index), Ok(()));
            for name in ["a", "a-long-name", "sub/b", "sub/bc", "z"] {
                let entry = format!("100644,{object},{name}");
                git(top, &["update-index", "--add", "--cacheinfo", &entry]);
            }
            git(top, &["update-index", "--index-version", version]);
            if version == "3" {
                git(top, &["update-index", "--skip-worktree", "sub/b"]);
            }
            assert_eq!(check(&index), Ok(()), "version {version}");
            let entry = format!("160000,{object},sub/link");
            git(top, &["update-index", "--add", "--cacheinfo", &entry]);
            assert!(check(&index).is_err(), "version {version}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_plain() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path();
        git(top, &["init", "-q"]);
        std::fs::write(top.join("a"), "").unwrap();
        git(top, &["add", "a"]);
        git(top, &["update-index", "--split-index"]);
        let index = top.join(".git/index");
        assert!(check(&index).is_err());
        std::fs::write(&index, "no index").unwrap();
        assert!(check(&index).is_err());
    }
}
