//! From two moments to what changed between them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Limits;
use super::beneath::{Kind, Root};
use super::blobs::{Blobs, sha256};
use super::entry::{Change, Entry, Found, Key, Manifest, Stamp, key_of, path_of};
use super::scan::Scan;

/// File systems count time in steps of up to two seconds: what changed within one step looks
/// unchanged.
const CLOCK_STEP_NS: i64 = 2_000_000_000;

/// Reads entries, and keeps their contents where it has somewhere to keep them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) root: &'a Root,
    pub(super) blobs: Option<&'a Blobs>,
    pub(super) limits: &'a Limits,
    now_ns: i64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: &'a Root, blobs: Option<&'a Blobs>, limits: &'a Limits) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ns = now.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        Self {
            root,
            blobs,
            limits,
            now_ns,
        }
    }

    /// What is at a path now; nothing when there is nothing that can be restored.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<Found>> {
        match self.root.look(path)? {
            Some((kind, stamp)) => self.read(path, kind, stamp),
            None => Ok(None),
        }
    }

    /// Reads what was seen. Nothing when it is gone again, or is something else by now.
    pub(super) fn read(&self, path: &Path, kind: Kind, seen: Stamp) -> io::Result<Option<Found>> {
        let read = match kind {
            Kind::Other => return Ok(None),
            Kind::Folder => Ok((Entry::Folder { mode: seen.mode }, seen)),
            Kind::Link => self.root.read_link(path).map(|target| {
                let target = key_of(Path::new(&target));
                (Entry::Link { target }, seen)
            }),
            Kind::File if seen.size > self.limits.file_bytes => {
                let entry = Entry::Large {
                    mode: seen.mode,
                    size: seen.size,
                    modified_ns: seen.modified_ns,
                };
                Ok((entry, seen))
            }
            Kind::File => self.root.read_file(path).and_then(|(content, stamp)| {
                let sha256 = match self.blobs {
                    Some(blobs) => blobs.put(&content)?,
                    None => sha256(&content),
                };
                let mode = stamp.mode;
                Ok((Entry::File { mode, sha256 }, stamp))
            }),
        };
        match read {
            Ok((entry, stamp)) => Ok(Some(Found {
                entry,
                stamp,
                settled: stamp.changed_ns.saturating_add(CLOCK_STEP_NS) < self.now_ns,
            })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder as it is now, reading only what is not known from before. What may not be read
    /// counts as ignored.
    pub(super) fn manifest(&self, scan: Scan, known: &Manifest) -> io::Result<Manifest> {
        let mut manifest = Manifest {
            entries: BTreeMap::new(),
            ignored: scan.ignored,
        };
        for (key, (kind, stamp)) in scan.entries {
            let same = known.entries.get(&key);
            let same = same.filter(|found| found.settled && found.stamp == stamp);
            if let Some(found) = same {
                manifest.entries.insert(key, found.clone());
                continue;
            }
            match self.read(&path_of(&key), kind, stamp) {
                Ok(Some(found)) => {
                    manifest.entries.insert(key, found);
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    manifest.ignored.insert(key);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(manifest)
    }
}

fn is_gone(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(
        code,
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EINVAL)
    ) || error.kind() == io::ErrorKind::InvalidInput
}

/// What changed. A path that either moment ignored is no change: it is not known what it was.
pub(super) fn changes(before: &Manifest, after: &Manifest) -> Vec<Change> {
    let keys: BTreeSet<&Key> = before.entries.keys().chain(after.entries.keys()).collect();
    let entry = |manifest: &Manifest, key: &str| manifest.entries.get(key).map(|f| f.entry.clone());
    let change = |key: &Key| Change {
        key: key.clone(),
        before: entry(before, key),
        after: entry(after, key),
    };
    let is_known = |change: &Change| match (&change.before, &change.after) {
        (Some(_), Some(_)) => true,
        (None, _) => !is_ignored(&before.ignored, &change.key),
        (_, None) => !is_ignored(&after.ignored, &change.key),
    };
    keys.into_iter()
        .map(change)
        .filter(|change| change.before != change.after && is_known(change))
        .collect()
}

/// Whether the path or a folder that it is in was left out.
pub(super) fn is_ignored(ignored: &BTreeSet<Key>, key: &str) -> bool {
    let mut ends = key.match_indices('/').map(|(at, _)| at);
    ignored.contains(key) || ends.any(|at| ignored.contains(&key[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(entries: &[(&str, u32)], ignored: &[&str]) -> Manifest {
        let stamp = Stamp {
            device: 0,
            inode: 0,
            mode: 0,
            size: 0,
            modified_ns: 0,
            changed_ns: 0,
        };
        let found = |(key, mode): &(&str, u32)| {
            let entry = Entry::Folder { mode: *mode };
            let settled = true;
            (
                (*key).to_owned(),
                Found {
                    entry,
                    stamp,
                    settled,
                },
            )
        };
        Manifest {
            entries: entries.iter().map(found).collect(),
            ignored: ignored.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn what_was_ignored_at_either_moment_is_no_change() {
        let before = manifest(
            &[("a", 1), ("b", 1), ("gone", 1), ("later/x", 1)],
            &["target", "secret"],
        );
        let after = manifest(
            &[
                ("a", 2),
                ("b", 1),
                ("new", 1),
                ("secret", 1),
                ("target/x/y", 1),
            ],
            &["later"],
        );
        let keys = |b: &Manifest, a: &Manifest| {
            let changes = changes(b, a).into_iter();
            changes.map(|change| change.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&before, &after), ["a", "gone", "new"]);
        assert_eq!(keys(&before, &before), [""; 0]);
    }
}
