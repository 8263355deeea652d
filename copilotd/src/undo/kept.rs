//! What is kept for one session: the turn that is open, the newest turns that ended, and the
//! contents that they need.
//!
//! `open.json` is the folder before the turn that is under way, and outlives a crash;
//! `baseline.json` is the folder after the last turn, so that the next look opens only what
//! changed; `turns/N.json` is what turn N changed; `blobs/` has the contents.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::beneath::Root;
use super::blobs::Blobs;
use super::compare::{Reader, changes, is_ignored};
use super::entry::{Change, Entry, Found, Key, Manifest, key_of};
use super::scan::{TooMuch, scan};
use super::{Limits, UndoError};
use crate::content::private;

/// What a turn changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnChanges {
    /// Its place in the conversation, from 1.
    pub number: u64,
    /// By path.
    pub changes: Vec<Change>,
    /// Why only what tools announced is known, if so.
    pub limited: Option<String>,
    /// Whether it was taken back.
    pub undone: bool,
}

/// The folder before the turn that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    number: u64,
    before: Manifest,
    limited: Option<String>,
    /// What tools said they would change and `before` does not have.
    announced: BTreeMap<Key, Option<Found>>,
}

/// See the module.
#[derive(Debug)]
pub struct Kept {
    place: PathBuf,
    folder: PathBuf,
    skip: Vec<PathBuf>,
    limits: Limits,
    open: Option<Open>,
}

impl Kept {
    /// For a session that works in `folder`; everything is kept in `place`. `skip` is never
    /// looked at. Touches nothing.
    #[must_use]
    pub fn new(place: PathBuf, folder: PathBuf, skip: Vec<PathBuf>, limits: Limits) -> Self {
        Self {
            place,
            folder,
            skip,
            limits,
            open: None,
        }
    }

    /// Whether a turn was open when the daemon ended.
    #[must_use]
    pub fn was_cut_off(place: &Path) -> bool {
        place.join("open.json").exists()
    }

    /// Whether everything that may be changed in this turn is kept already.
    #[must_use]
    pub fn covers(&self, number: u64) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.number == number && open.limited.is_none())
    }

    /// Whether something is kept for a turn that did not end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Why only what tools announce is kept in this turn, if so.
    #[must_use]
    pub fn limited(&self) -> Option<&str> {
        self.open.as_ref()?.limited.as_deref()
    }

    /// Before anything of turn `number` is written, and before a tool writes to `paths`.
    ///
    /// # Errors
    /// When the disk refuses. The turn can then not be taken back.
    pub fn protect(&mut self, number: u64, paths: &[PathBuf]) -> Result<(), UndoError> {
        if self.open.is_none() {
            self.open = self.load(&self.place.join("open.json"));
        }
        if self.open.as_ref().is_some_and(|open| open.number != number) {
            self.finish()?;
        }
        let mut changed = false;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                changed = true;
                self.look_before(number)?
            }
        };
        for path in paths {
            changed |= self.announce(&mut open, path)?;
        }
        if changed {
            self.save("open.json", &open)?;
        }
        self.open = Some(open);
        Ok(())
    }

    fn look_before(&self, number: u64) -> Result<Open, UndoError> {
        let (before, limited) = match self.manifest_now()? {
            Ok(manifest) => (manifest, None),
            Err(TooMuch(why)) => (Manifest::default(), Some(why)),
        };
        Ok(Open {
            number,
            before,
            limited,
            announced: BTreeMap::new(),
        })
    }

    fn manifest_now(&self) -> Result<Result<Manifest, TooMuch>, UndoError> {
        let real = self.real_folder()?;
        let found = match scan(&real, &self.skip, &self.limits) {
            Ok(found) => found,
            Err(too_much) => return Ok(Err(too_much)),
        };
        let known = self.load(&self.place.join("baseline.json"));
        let root = Root::open(&real).map_err(UndoError::files("open", &real))?;
        let blobs = self.blobs();
        let reader = Reader::new(&root, Some(&blobs), &self.limits);
        let manifest = reader.manifest(found, &known.unwrap_or_default());
        Ok(Ok(
            manifest.map_err(UndoError::files("keep the files of", &real))?
        ))
    }

    pub(super) fn real_folder(&self) -> Result<PathBuf, UndoError> {
        let real = self.folder.canonicalize();
        real.map_err(UndoError::files("find", &self.folder))
    }

    /// Keeps one path that the look at the folder did not, with the folders that would be made
    /// for it. `false` when all of it is kept already.
    fn announce(&self, open: &mut Open, path: &Path) -> Result<bool, UndoError> {
        let real = self.real_folder()?;
        let root = Root::open(Path::new("/")).map_err(UndoError::files("open", Path::new("/")))?;
        let blobs = self.blobs();
        let reader = Reader::new(&root, Some(&blobs), &self.limits);
        let Some(mut path) = real_place(&self.folder.join(path)) else {
            return Ok(false);
        };
        let mut changed = false;
        loop {
            let key = key_in(&real, &path);
            let is_seen = open.limited.is_none()
                && !key.starts_with('/')
                && !is_ignored(&open.before.ignored, &key);
            if key.is_empty() || is_seen || open.announced.contains_key(&key) {
                return Ok(changed);
            }
            let below = path.strip_prefix("/").unwrap_or(&path);
            let found = reader
                .look(below)
                .map_err(UndoError::files("keep", &path))?;
            let is_there = found.is_some();
            open.announced.insert(key, found);
            changed = true;
            // A folder that is not there yet would be made, and is taken back with the file.
            if is_there || !path.pop() {
                return Ok(changed);
            }
            if fs::symlink_metadata(&path).is_ok() {
                return Ok(changed);
            }
        }
    }

    /// After a turn: what it changed. Nothing when nothing was kept before it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&mut self) -> Result<Option<TurnChanges>, UndoError> {
        let open = self.open.take();
        let Some(open) = open.or_else(|| self.load(&self.place.join("open.json"))) else {
            return Ok(None);
        };
        let mut changes = Vec::new();
        if open.limited.is_none()
            && let Ok(after) = self.manifest_now()?
        {
            changes = self::changes(&open.before, &after);
            self.save("baseline.json", &after)?;
        }
        changes.extend(self.announced_changes(&open.announced)?);
        let turn = TurnChanges {
            number: open.number,
            changes,
            limited: open.limited,
            undone: false,
        };
        let turn = self.merged(turn);
        if !turn.changes.is_empty() {
            self.save_turn(&turn)?;
        }
        let open = self.place.join("open.json");
        remove_if_there(&open).map_err(UndoError::files("remove", &open))?;
        self.tidy(true)?;
        Ok(Some(turn))
    }

    fn announced_changes(
        &self,
        announced: &BTreeMap<Key, Option<Found>>,
    ) -> Result<Vec<Change>, UndoError> {
        let mut changes = Vec::new();
        for (key, before) in announced {
            let after = self.look(key, true)?;
            let before = before.as_ref().map(|found| found.entry.clone());
            if before != after {
                let key = key.clone();
                changes.push(Change { key, before, after });
            }
        }
        Ok(changes)
    }

    /// What is at a place now.
    pub(super) fn look(&self, key: &str, keep: bool) -> Result<Option<Entry>, UndoError> {
        let (root, path) = self.place_of(key)?;
        let blobs = self.blobs();
        let reader = Reader::new(&root, keep.then_some(&blobs), &self.limits);
        let found = reader
            .look(&path)
            .map_err(UndoError::files("read", &path))?;
        Ok(found.map(|found| found.entry))
    }

    /// The folder to walk from, and the path below it.
    pub(super) fn place_of(&self, key: &str) -> Result<(Root, PathBuf), UndoError> {
        let path = super::entry::path_of(key);
        let (root, below) = match path.strip_prefix("/") {
            Ok(below) => (PathBuf::from("/"), below.to_owned()),
            Err(_) => (self.real_folder()?, path),
        };
        let opened = Root::open(&root).map_err(UndoError::files("open", &root))?;
        Ok((opened, below))
    }

    /// With what an interrupted part of the same turn changed before.
    fn merged(&self, new: TurnChanges) -> TurnChanges {
        let earlier: Option<TurnChanges> = self.load(&self.turn_file(new.number));
        let Some(earlier) = earlier.filter(|earlier| !earlier.undone) else {
            return new;
        };
        let keyed = |changes: Vec<Change>| changes.into_iter().map(|c| (c.key.clone(), c));
        let mut all: BTreeMap<Key, Change> = keyed(earlier.changes).collect();
        for (key, change) in keyed(new.changes) {
            match all.get_mut(&key) {
                Some(known) => known.after = change.after,
                None => {
                    all.insert(key, change);
                }
            }
        }
        let mut changes: Vec<Change> = all.into_values().collect();
        changes.retain(|change| change.before != change.after);
        TurnChanges {
            changes,
            limited: new.limited.or(earlier.limited),
            ..new
        }
    }

    /// The turns that are kept, the oldest first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn turns(&self) -> Result<Vec<TurnChanges>, UndoError> {
        let folder = self.place.join("turns");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(UndoError::files("read", &folder))?,
        };
        let mut turns: Vec<TurnChanges> = entries
            .flatten()
            .filter_map(|entry| self.load(&entry.path()))
            .collect();
        turns.sort_by_key(|turn| turn.number);
        Ok(turns)
    }

    pub(super) fn save_turn(&self, turn: &TurnChanges) -> Result<(), UndoError> {
        self.save(&format!("turns/{}.json", turn.number), turn)
    }

    fn turn_file(&self, number: u64) -> PathBuf {
        self.place.join(format!("turns/{number}.json"))
    }

    /// Removes what no turn needs, and the oldest turns when there is too much. Without
    /// `baseline` the contents of unchanged files go, too: the next turn reads them again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tidy(&self, baseline: bool) -> Result<(), UndoError> {
        if !self.place.exists() {
            return Ok(());
        }
        let file = self.place.join("baseline.json");
        if !baseline {
            remove_if_there(&file).map_err(UndoError::files("remove", &file))?;
        }
        let manifest: Manifest = self.load(&file).unwrap_or_default();
        let open = self.open.as_ref().map(|open| &open.before);
        let current = manifest.entries.values();
        let current: Vec<&Entry> = current
            .chain(open.into_iter().flat_map(|before| before.entries.values()))
            .map(|found| &found.entry)
            .collect();
        let mut turns = self.turns()?;
        loop {
            let before = turns.iter().flat_map(|turn| &turn.changes);
            let before = before.filter_map(|change| change.before.as_ref());
            let used: HashSet<&str> = current
                .iter()
                .copied()
                .chain(before)
                .filter_map(blob)
                .collect();
            let bytes = self.blobs().retain(&used);
            let bytes = bytes.map_err(UndoError::files("tidy", &self.place))?;
            let is_too_much = bytes > self.limits.kept_bytes || turns.len() > self.limits.turns;
            if turns.is_empty() || !is_too_much {
                return Ok(());
            }
            let oldest = self.turn_file(turns.remove(0).number);
            remove_if_there(&oldest).map_err(UndoError::files("remove", &oldest))?;
        }
    }

    pub(super) fn blobs(&self) -> Blobs {
        Blobs::new(self.place.join("blobs"))
    }

    fn save(&self, name: &str, value: &impl Serialize) -> Result<(), UndoError> {
        let path = self.place.join(name);
        let write = || -> io::Result<()> {
            let json = serde_json::to_vec(value)?;
            if let Some(folder) = path.parent() {
                private::create_folder(folder)?;
            }
            private::write_atomically(&path, &json)
        };
        write().map_err(UndoError::files("write", &path))
    }

    /// Nothing when it is not there, or not understood: then it is not relied on.
    fn load<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let json = fs::read(path).ok()?;
        serde_json::from_slice(&json)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "not understood"))
            .ok()
    }
}

fn blob(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::File { sha256, .. } => Some(sha256),
        Entry::Large { .. } | Entry::Link { .. } | Entry::Folder { .. } => None,
    }
}

/// Relative to the session's folder where it is in it; empty for that folder itself.
fn key_in(folder: &Path, path: &Path) -> Key {
    key_of(path.strip_prefix(folder).unwrap_or(path))
}

/// Where writing to a path leads: links in its folders are followed, as the tool would; the last
/// name is not.
fn real_place(path: &Path) -> Option<PathBuf> {
    let mut rest = vec![path.file_name()?.to_owned()];
    let mut folder = path.parent()?;
    loop {
        if let Ok(real) = folder.canonicalize() {
            return Some(real.join(rest.iter().rev().collect::<PathBuf>()));
        }
        rest.push(folder.file_name()?.to_owned());
        folder = folder.parent()?;
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
