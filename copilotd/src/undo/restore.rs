//! Taking the changes of a turn back: everything is checked before anything is changed.
//!
//! Each path is either as the turn left it (and is restored), or as it was before (and is left
//! alone), or something else, which is a reason to change nothing. So a restore that was cut off
//! is simply done again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{Change, Entry, Key, key_of};
use super::kept::{Kept, TurnChanges};
use super::{UndoError, names};

/// What taking a turn back would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The turn.
    pub turn: TurnChanges,
    /// What changed since, which is why it cannot be done. Relative to the folder.
    pub changed_since: Vec<PathBuf>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// As before the turn again.
    pub restored: Vec<PathBuf>,
    /// Folders that the turn made and that have something else in them now.
    pub left: Vec<PathBuf>,
    /// Files that were too large to be kept, and are as the turn left them.
    pub lost: Vec<PathBuf>,
}

impl Kept {
    /// What taking back the turn of this number would do; without a number, the newest that is
    /// not taken back yet.
    ///
    /// # Errors
    /// When there is no such turn, or the disk refuses.
    pub fn plan(&self, number: Option<u64>) -> Result<Plan, UndoError> {
        let mut turns = self.turns()?;
        let oldest = turns.first().map(|turn| turn.number);
        let at = match number {
            Some(number) => turns.iter().position(|turn| turn.number == number),
            None => turns.iter().rposition(|turn| !turn.undone),
        };
        let turn = match (at, number, oldest) {
            (Some(at), ..) => turns.swap_remove(at),
            (None, Some(number), Some(oldest)) if number < oldest => {
                return nothing(format!(
                    "turn {number} cannot be undone any more: only the newest turns are kept, from {oldest} on"
                ));
            }
            (None, Some(number), _) => {
                return nothing(format!("turn {number} changed no files"));
            }
            (None, None, _) => return nothing("no turn changed a file that is not undone".into()),
        };
        if turn.undone {
            return nothing(format!("turn {} is undone already", turn.number));
        }
        let mut changed_since = Vec::new();
        for change in turn.changes.iter().filter(|change| !change.is_lost()) {
            let now = self.look(&change.key, false)?;
            if now != change.after && now != change.before {
                changed_since.push(change.path());
            }
        }
        changed_since.extend(self.in_the_way(&turn)?);
        Ok(Plan {
            turn,
            changed_since,
        })
    }

    /// What is in a folder that has to give way to a file, and that the turn did not put there.
    fn in_the_way(&self, turn: &TurnChanges) -> Result<Vec<PathBuf>, UndoError> {
        let known: HashSet<&Key> = turn.changes.iter().map(|change| &change.key).collect();
        let mut found = Vec::new();
        for change in &turn.changes {
            let gives_way = change.after.as_ref().is_some_and(Entry::is_folder)
                && change.before.as_ref().is_some_and(|e| !e.is_folder());
            if !gives_way {
                continue;
            }
            let folder = self.real_folder()?.join(change.path());
            // It may be a file again already.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = change.path().join(entry.file_name());
                if !known.contains(&key_of(&path)) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Takes a turn back.
    ///
    /// # Errors
    /// When something changed since; then nothing is done. When the disk refuses in the middle;
    /// then it can be done again.
    pub fn undo(&self, number: Option<u64>) -> Result<(TurnChanges, Restored), UndoError> {
        let Plan {
            mut turn,
            changed_since,
        } = self.plan(number)?;
        if !changed_since.is_empty() {
            return Err(UndoError::ChangedSince {
                paths: changed_since,
            });
        }
        let restored = self.restore(&turn.changes)?;
        turn.undone = true;
        self.save_turn(&turn)?;
        Ok((turn, restored))
    }

    fn restore(&self, changes: &[Change]) -> Result<Restored, UndoError> {
        let mut restored = Restored::default();
        let mut todo = Vec::new();
        for change in changes {
            if change.is_lost() {
                restored.lost.push(change.path());
            } else if self.look(&change.key, false)? != change.before {
                self.check_content(change)?;
                todo.push(change);
            }
        }
        // A folder that was made read-only has to let its files be restored.
        for change in &todo {
            if let (Some(Entry::Folder { mode }), Some(Entry::Folder { .. })) =
                (&change.before, &change.after)
            {
                self.set_mode(change, mode | 0o700)?;
            }
        }
        // Keys sort a folder before what is in it.
        for change in todo.iter().rev() {
            if !self.remove(change)? {
                restored.left.push(change.path());
            }
        }
        for change in &todo {
            self.put_back(change)?;
        }
        for change in todo.iter().rev() {
            if let Some(Entry::Folder { mode }) = &change.before {
                self.set_mode(change, *mode)?;
            }
        }
        let done = todo.iter().map(|change| change.path());
        restored.restored = done.filter(|path| !restored.left.contains(path)).collect();
        Ok(restored)
    }

    fn check_content(&self, change: &Change) -> Result<(), UndoError> {
        match &change.before {
            Some(Entry::File { sha256, .. }) if self.blobs().get(sha256).is_none() => {
                Err(UndoError::Damaged {
                    path: change.path(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Makes room for what was there before. `false`: a folder stays, because something else is
    /// in it.
    fn remove(&self, change: &Change) -> Result<bool, UndoError> {
        let stays = match (&change.before, &change.after) {
            (_, None) => true,
            (None, Some(_)) => false,
            // A file or link is replaced in one step.
            (Some(before), Some(after)) => before.is_folder() == after.is_folder(),
        };
        if stays {
            return Ok(true);
        }
        let is_folder = change.after.as_ref().is_some_and(Entry::is_folder);
        let (root, path) = self.place_of(&change.key)?;
        let removed = match is_folder {
            true => root.remove_folder(&path),
            false => root.remove_file(&path),
        };
        match removed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error)
                if change.before.is_none() && error.kind() == io::ErrorKind::DirectoryNotEmpty =>
            {
                Ok(false)
            }
            Err(error) => Err(UndoError::files("remove", &path)(error)),
        }
    }

    fn put_back(&self, change: &Change) -> Result<(), UndoError> {
        let Some(before) = &change.before else {
            return Ok(());
        };
        // Between the check and now somebody may have been faster.
        let now = self.look(&change.key, false)?;
        let is_folder_in_place = before.is_folder() && now.as_ref().is_some_and(Entry::is_folder);
        if is_folder_in_place {
            return Ok(());
        }
        if now.is_some() && now != change.after {
            return Err(UndoError::ChangedSince {
                paths: vec![change.path()],
            });
        }
        let (root, path) = self.place_of(&change.key)?;
        let written = match before {
            Entry::File { mode, sha256 } => match self.blobs().get(sha256) {
                Some(content) => root.write_file(&path, &content, *mode),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Entry::Link { target } => root.write_link(&path, target),
            Entry::Folder { .. } => root.make_folder(&path),
            Entry::Large { .. } => Ok(()),
        };
        written.map_err(UndoError::files("restore", &path))
    }

    fn set_mode(&self, change: &Change, mode: u32) -> Result<(), UndoError> {
        let (root, path) = self.place_of(&change.key)?;
        root.set_folder_mode(&path, mode)
            .map_err(UndoError::files("restore the mode of", &path))
    }
}

impl Restored {
    /// In one sentence.
    #[must_use]
    pub fn sentence(&self, turn: u64) -> String {
        let mut text = match self.restored.len() {
            0 => format!("Everything is as it was before turn {turn} already."),
            count => {
                let files = if count == 1 { "path is" } else { "paths are" };
                let names = names(&self.restored);
                format!("Turn {turn} is undone: {count} {files} as before it: {names}.")
            }
        };
        let mut add = |paths: &[PathBuf], words: &str| {
            if !paths.is_empty() {
                text.push_str(&format!(" {words}: {}.", names(paths)));
            }
        };
        add(&self.left, "Left because something else is in there");
        add(
            &self.lost,
            "Not restored because it was too large to be kept",
        );
        text
    }
}

fn nothing<T>(words: String) -> Result<T, UndoError> {
    Err(UndoError::Nothing(words))
}

/// The folder of what is kept for a session.
#[must_use]
pub fn place(data: &Path, session: &str) -> PathBuf {
    data.join("undo").join(session)
}
