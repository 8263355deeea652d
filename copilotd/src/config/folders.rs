//! Tells when something changes in a few folders.
//!
//! On Linux this asks the kernel itself, and only for what changes: the `notify` crate also wants to
//! know of every file that is opened, and whatever starts on a machine opens files in `/etc`. A daemon
//! that does nothing would be woken by everybody else. Elsewhere it is `notify`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

pub(super) use platform::Folders;

/// Where a folder's watch could not be made.
#[derive(Debug)]
pub(super) enum Unwatched {
    /// There is no such folder any more.
    Gone,
    /// Anything else, in words.
    Failed(String),
}

/// The names that matter, in any of the folders, and who is told.
#[derive(Debug, Clone)]
pub(super) struct Interest {
    names: Arc<Mutex<BTreeSet<OsString>>>,
    changed: Arc<Notify>,
}

impl Interest {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self {
            names: Arc::default(),
            changed,
        }
    }

    pub(super) fn set(&self, names: BTreeSet<OsString>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Something happened to these names; without a name to a folder itself, or events were lost.
    fn heard<'a>(&self, mut names: impl Iterator<Item = Option<&'a OsStr>>) {
        let wanted = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.any(|name| name.is_none_or(|name| wanted.contains(name))) {
            self.changed.notify_one();
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::HashMap;
    use std::os::fd::AsFd;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
    use tokio::io::Interest as Readiness;
    use tokio::io::unix::AsyncFd;
    use tokio::task::JoinHandle;

    use super::{Interest, Unwatched};

    /// What is a change: of names, of content, of who may read and write.
    const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
        .union(AddWatchFlags::IN_DELETE)
        .union(AddWatchFlags::IN_MOVED_FROM)
        .union(AddWatchFlags::IN_MOVED_TO)
        .union(AddWatchFlags::IN_MODIFY)
        .union(AddWatchFlags::IN_CLOSE_WRITE)
        .union(AddWatchFlags::IN_ATTRIB)
        .union(AddWatchFlags::IN_DELETE_SELF)
        .union(AddWatchFlags::IN_MOVE_SELF)
        .union(AddWatchFlags::IN_ONLYDIR);

    /// See the module.
    #[derive(Debug)]
    pub(in super::super) struct Folders {
        inotify: Arc<Inotify>,
        watched: HashMap<PathBuf, WatchDescriptor>,
        reading: JoinHandle<()>,
    }

    impl Drop for Folders {
        fn drop(&mut self) {
            self.reading.abort();
        }
    }

    impl Folders {
        /// Must be called inside a tokio runtime.
        pub(in super::super) fn new(interest: Interest) -> Result<Self, String> {
            let words = |error: &dyn std::fmt::Display| error.to_string();
            let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
            let inotify = Arc::new(Inotify::init(flags).map_err(|e| words(&e))?);
            let own = inotify.as_fd().try_clone_to_owned();
            let own = own.map_err(|e| words(&e))?;
            #[expect(
                unsafe_code,
                reason = "waiting for a descriptor needs its owner's promise"
            )]
            // SAFETY: an owned descriptor stays open and the same until it is dropped.
            let ready = unsafe { AsyncFd::register_with_interest(own, Readiness::READABLE) };
            let ready = ready.map_err(|e| words(&e))?;
            let events = Arc::clone(&inotify);
            let reading = tokio::spawn(async move {
                while let Ok(mut readable) = ready.readable().await {
                    match events.read_events() {
                        Ok(all) => {
                            // A watch that was taken away is one of these as well.
                            let changes = all
                                .iter()
                                .filter(|event| !event.mask.contains(AddWatchFlags::IN_IGNORED));
                            interest.heard(changes.map(|event| event.name.as_deref()));
                        }
                        Err(Errno::EAGAIN) => readable.clear_ready(),
                        Err(Errno::EINTR) => {}
                        Err(error) => {
                            tracing::error!(%error, "settings are no longer kept current");
                            return;
                        }
                    }
                }
            });
            Ok(Self {
                inotify,
                watched: HashMap::new(),
                reading,
            })
        }

        pub(in super::super) fn watch(&mut self, folder: &Path) -> Result<(), Unwatched> {
            match self.inotify.add_watch(folder, CHANGES) {
                Ok(watch) => {
                    self.watched.insert(folder.to_owned(), watch);
                    Ok(())
                }
                Err(Errno::ENOENT | Errno::ENOTDIR) => Err(Unwatched::Gone),
                Err(Errno::ENOSPC) => Err(Unwatched::Failed(
                    "the system's limit of watched folders is reached".to_owned(),
                )),
                Err(error) => Err(Unwatched::Failed(error.to_string())),
            }
        }

        pub(in super::super) fn unwatch(&mut self, folder: &Path) {
            if let Some(watch) = self.watched.remove(folder) {
                // A folder that is gone is watched no longer.
                let _ = self.inotify.rm_watch(watch);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::path::Path;

    use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

    use super::{Interest, Unwatched};

    /// See the module.
    #[derive(Debug)]
    pub(in super::super) struct Folders {
        watcher: RecommendedWatcher,
    }

    impl Folders {
        pub(in super::super) fn new(interest: Interest) -> Result<Self, String> {
            let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
                let event = event.unwrap_or_default();
                match event.paths.is_empty() {
                    true => interest.heard(std::iter::once(None)),
                    false if matches!(event.kind, EventKind::Access(_)) => {}
                    false => interest.heard(event.paths.iter().map(|path| path.file_name())),
                }
            });
            let watcher = watcher.map_err(|error| error.to_string())?;
            Ok(Self { watcher })
        }

        pub(in super::super) fn watch(&mut self, folder: &Path) -> Result<(), Unwatched> {
            let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            watched.map_err(|error| match error.kind {
                ErrorKind::PathNotFound => Unwatched::Gone,
                _ => Unwatched::Failed(error.to_string()),
            })
        }

        pub(in super::super) fn unwatch(&mut self, folder: &Path) {
            // What no longer exists is no longer watched, and that is an error here.
            let _ = self.watcher.unwatch(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(changed: &Notify) -> bool {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), changed.notified());
        waited.await.is_ok()
    }

    #[tokio::test]
    async fn other_names_wake_nobody_and_what_is_lost_wakes() {
        let table = [
            (vec![Some("settings.json")], true),
            (vec![Some("settings.json.swp"), Some("config")], true),
            (vec![Some("settings.json.swp")], false),
            (vec![None], true),
            (vec![], false),
        ];
        for (names, expected) in table {
            let changed = Arc::new(Notify::new());
            let interest = Interest::new(Arc::clone(&changed));
            interest.set(["config", "settings.json"].map(OsString::from).into());
            interest.heard(names.iter().map(|name| name.map(OsStr::new)));
            let woken = tokio::time::timeout(std::time::Duration::ZERO, changed.notified());
            assert_eq!(woken.await.is_ok(), expected, "{names:?}");
        }
    }

    #[tokio::test]
    async fn changes_of_a_name_are_told_and_what_only_reads_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let changed = Arc::new(Notify::new());
        let interest = Interest::new(Arc::clone(&changed));
        interest.set(BTreeSet::from(["wanted".into()]));
        let mut folders = Folders::new(interest).unwrap();
        folders.watch(scratch.path()).unwrap();
        let wanted = scratch.path().join("wanted");
        std::fs::write(&wanted, "one").unwrap();
        assert!(told(&changed).await);

        // What came of that is over when the mark that comes after it is heard.
        let mark = scratch.path().join("mark");
        std::fs::read(&wanted).unwrap();
        std::fs::read_dir(scratch.path()).unwrap().count();
        std::fs::write(&mark, "not looked for").unwrap();
        std::fs::rename(&mark, &wanted).unwrap();
        assert!(told(&changed).await);

        folders.unwatch(scratch.path());
        let gone = folders.watch(&scratch.path().join("nowhere"));
        assert!(matches!(gone, Err(Unwatched::Gone)), "{gone:?}");
    }
}
