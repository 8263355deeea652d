//! A look at every file of a folder that git would not ignore, without opening any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Limits;
use super::beneath::{Kind, MODE_BITS};
use super::entry::{Key, Stamp, key_of};
use super::ignored::Rules;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) entries: BTreeMap<Key, (Kind, Stamp)>,
    pub(super) ignored: BTreeSet<Key>,
}

/// More than the limits allow, in words.
#[derive(Debug)]
pub(super) struct TooMuch(pub(super) String);

/// Folders with their rules that are still to be looked into.
type Waiting = Vec<(PathBuf, Arc<Rules>)>;

/// Looks at `root`, which has no links in it, leaving out `skip`. What cannot be read (a folder
/// that is not ours) is left out like what is ignored: nothing of it is restored.
pub(super) fn scan(root: &Path, skip: &[PathBuf], limits: &Limits) -> Result<Scan, TooMuch> {
    let mut scan = Scan::default();
    let mut bytes = 0_u64;
    let mut waiting: Waiting = vec![(root.to_owned(), Rules::of_root(root))];
    while let Some((folder, rules)) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            scan.ignored.extend(relative(root, &folder));
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let (Some(key), Ok(found)) = (relative(root, &path), path.symlink_metadata()) else {
                continue;
            };
            let kind = kind_of(&found);
            let is_folder = kind == Kind::Folder;
            let is_left_out = entry.file_name() == ".git"
                || skip.contains(&path)
                || kind == Kind::Other
                || rules.ignores(&path, is_folder);
            if is_left_out {
                scan.ignored.insert(key);
                continue;
            }
            if kind == Kind::File && found.len() <= limits.file_bytes {
                bytes += found.len();
            }
            scan.entries.insert(key, (kind, stamp_of(&found)));
            if scan.entries.len() > limits.entries {
                let words = format!("it has more than {} files", limits.entries);
                return Err(TooMuch(words));
            }
            if bytes > limits.total_bytes {
                let mib = limits.total_bytes / (1024 * 1024);
                return Err(TooMuch(format!("its files have more than {mib} MiB")));
            }
            if is_folder {
                let rules = rules.within(&path);
                waiting.push((path, rules));
            }
        }
    }
    Ok(scan)
}

fn relative(root: &Path, path: &Path) -> Option<Key> {
    let relative = path.strip_prefix(root).ok()?;
    (!relative.as_os_str().is_empty()).then(|| key_of(relative))
}

fn kind_of(found: &fs::Metadata) -> Kind {
    let kind = found.file_type();
    match () {
        () if kind.is_file() => Kind::File,
        () if kind.is_symlink() => Kind::Link,
        () if kind.is_dir() => Kind::Folder,
        () => Kind::Other,
    }
}

fn stamp_of(found: &fs::Metadata) -> Stamp {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
    Stamp {
        device: found.dev(),
        inode: found.ino(),
        mode: found.mode() & MODE_BITS,
        size: found.len(),
        modified_ns: nanoseconds(found.mtime(), found.mtime_nsec()),
        changed_ns: nanoseconds(found.ctime(), found.ctime_nsec()),
    }
}
