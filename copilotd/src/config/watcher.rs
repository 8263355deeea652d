//! Keeps the settings current: reads the file when something about it changes.
//!
//! The folder is watched rather than the file, because editors replace files; what does not
//! exist yet is waited for in the nearest folder that does. Nothing wakes up in between.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::folders::{Folders, Interest, Unwatched};
use super::load::{is_about_denials, load};
use super::settings::{Problem, Settings, Severity};

/// A save is several events; the file is read when this long nothing more came.
const QUIET: Duration = Duration::from_millis(50);
/// The file is read after this long even if changes keep coming.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Nobody writes settings longer than this by hand.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The settings in effect and what is wrong with the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// In effect.
    pub settings: Settings,
    /// In the order of the file's keys; empty when all is well.
    pub problems: Vec<Problem>,
    /// Something may be denied in the file that could not be read since the daemon started.
    pub denials_unknown: bool,
}

/// What was seen of a watched file.
pub(super) struct Seen {
    /// Its text; nothing when there is no file.
    pub(super) text: Result<Option<String>, Problem>,
    /// That it cannot be watched.
    pub(super) unwatched: Option<Problem>,
}

/// Keeps the settings current until it is dropped.
#[derive(Debug)]
pub struct SettingsWatcher {
    task: JoinHandle<()>,
}

impl Drop for SettingsWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the settings at `path` (absolute) and keeps them current. A missing file means the
/// defaults; the file and its folder may come into being later. Must be called inside a tokio
/// runtime. Blocks for one read of the file.
#[must_use = "the settings are kept current only as long as the watcher lives"]
pub fn start(path: PathBuf) -> (watch::Receiver<Arc<Loaded>>, SettingsWatcher) {
    follow(path, loaded)
}

fn loaded(seen: Seen, previous: Option<&Loaded>) -> Loaded {
    let nothing = Settings::default();
    let before = previous.map_or(&nothing, |previous| &previous.settings);
    let (settings, mut problems) = match seen.text {
        Ok(Some(text)) => load(&text, before),
        Ok(None) => (Settings::default(), Vec::new()),
        Err(problem) => (before.clone(), vec![problem]),
    };
    let was_unknown = previous.is_none_or(|previous| previous.denials_unknown);
    let denials_unknown = was_unknown && problems.iter().any(is_about_denials);
    problems.extend(seen.unwatched);
    Loaded {
        settings,
        problems,
        denials_unknown,
    }
}

/// Keeps what `make` makes of the file at `path` current; it is given what was made before.
/// Conditions are those of [`start`].
pub(super) fn follow<T: PartialEq + Send + Sync + 'static>(
    path: PathBuf,
    make: impl Fn(Seen, Option<&T>) -> T + Send + 'static,
) -> (watch::Receiver<Arc<T>>, SettingsWatcher) {
    // A Notify holds at most one wake-up, so any number of events is one reading.
    let changed = Arc::new(Notify::new());
    let mut file = WatchedFile::new(path, Arc::clone(&changed));
    let (sender, receiver) = watch::channel(Arc::new(make(file.read(), None)));
    let task = tokio::spawn(async move {
        let mut make = make;
        loop {
            changed.notified().await;
            settle(&changed).await;
            let previous = Arc::clone(&sender.borrow());
            let reading = tokio::task::spawn_blocking(move || {
                let made = make(file.read(), Some(&previous));
                (file, make, made)
            });
            let made;
            (file, make, made) = match reading.await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "settings are no longer kept current");
                    return;
                }
            };
            sender.send_if_modified(|current| {
                let differs = **current != made;
                if differs {
                    *current = Arc::new(made);
                }
                differs
            });
        }
    });
    (receiver, SettingsWatcher { task })
}

/// Returns when no more changes come.
async fn settle(changed: &Notify) {
    let latest = Instant::now() + LONGEST_WAIT;
    loop {
        let until = latest.min(Instant::now() + QUIET);
        if timeout_at(until, changed.notified()).await.is_err() {
            return;
        }
    }
}

/// The settings file and what is watched to learn of its changes.
struct WatchedFile {
    path: PathBuf,
    folders: Result<Folders, String>,
    watched: Vec<PathBuf>,
    interest: Interest,
}

impl WatchedFile {
    fn new(path: PathBuf, changed: Arc<Notify>) -> Self {
        let interest = Interest::new(changed);
        Self {
            path,
            folders: Folders::new(interest.clone()),
            watched: Vec::new(),
            interest,
        }
    }

    /// Watches first and reads then, so that no change falls in between.
    fn read(&mut self) -> Seen {
        let unwatched = self.watch().err().map(|error| {
            let message = format!(
                "changes of the settings take effect only when copilotd is restarted, because \
                 the file cannot be watched: {error}"
            );
            Problem::file(Severity::Warning, message)
        });
        Seen {
            text: read_text(&self.path),
            unwatched,
        }
    }

    fn watch(&mut self) -> Result<(), String> {
        let folders = self.folders.as_mut().map_err(|why| why.clone())?;
        // A folder that was replaced has the same name and needs a new watch.
        for folder in self.watched.drain(..) {
            folders.unwatch(&folder);
        }
        // A folder may come or go while it is being watched; look again until it is quiet.
        for _ in 0..8 {
            let (wanted, names) = to_watch(&self.path);
            self.interest.set(names);
            if wanted == self.watched {
                return Ok(());
            }
            for gone in self.watched.drain(..) {
                folders.unwatch(&gone);
            }
            for folder in wanted {
                match folders.watch(&folder) {
                    Ok(()) => self.watched.push(folder),
                    Err(Unwatched::Gone) => {}
                    Err(Unwatched::Failed(why)) => return Err(why),
                }
            }
        }
        Err("its folder keeps changing".to_owned())
    }
}

/// The folders to watch, and the names in them that matter: the nearest folder that exists on
/// the way to the file and, when the file is a link, the folder of what it leads to.
fn to_watch(path: &Path) -> (Vec<PathBuf>, BTreeSet<OsString>) {
    let nearest = path.ancestors().skip(1).find(|folder| folder.is_dir());
    let mut folders: Vec<PathBuf> = nearest.map(Path::to_owned).into_iter().collect();
    let mut names: BTreeSet<OsString> = path.iter().map(OsString::from).collect();
    if let Ok(target) = path.canonicalize() {
        names.extend(target.iter().map(OsString::from));
        let nearest = nearest.and_then(|folder| folder.canonicalize().ok());
        let folder = target
            .parent()
            .filter(|folder| nearest.as_deref() != Some(*folder));
        folders.extend(folder.map(Path::to_owned));
    }
    (folders, names)
}

/// `None` when there is no file.
fn read_text(path: &Path) -> Result<Option<String>, Problem> {
    let unreadable = |what: String| {
        let message = format!(
            "{} cannot be read: {what}; the previous settings stay in effect",
            path.display()
        );
        Problem::file(Severity::Error, message)
    };
    let is_missing =
        |kind: ErrorKind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(unreadable("it is not a file".to_owned())),
        Ok(found) if found.len() > MAX_FILE_BYTES => {
            return Err(unreadable("it is larger than 1 MiB".to_owned()));
        }
        Ok(_) => {}
        Err(error) if is_missing(error.kind()) => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    }
    let mut bytes = Vec::new();
    match std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
    {
        Ok(_) => {}
        Err(error) if is_missing(error.kind()) => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            let problem = unreadable("it is not UTF-8 text".to_owned());
            Err(Problem {
                position: Some((line, column)),
                ..problem
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    /// Waits until the settings are as described.
    async fn wait_for(
        settings: &mut watch::Receiver<Arc<Loaded>>,
        what: &str,
        is_so: impl FnMut(&Arc<Loaded>) -> bool,
    ) {
        let waiting = settings.wait_for(is_so);
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(
            waited.is_ok_and(|seen| seen.is_ok()),
            "the settings never were: {what}"
        );
    }

    async fn wait_for_level(settings: &mut watch::Receiver<Arc<Loaded>>, level: LogLevel) {
        wait_for(settings, level.name(), |loaded| {
            loaded.settings.log_level == level
        })
        .await;
    }

    fn replace(path: &Path, text: &str) {
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_written_replaced_broken_and_removed_is_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("settings.json");
        std::fs::write(&path, r#"{"logLevel": "debug"}"#).unwrap();
        let (mut settings, _watcher) = start(path.clone());
        assert_eq!(settings.borrow().settings.log_level, LogLevel::Debug);
        std::fs::write(&path, r#"{"logLevel": "trace"}"#).unwrap();
        wait_for_level(&mut settings, LogLevel::Trace).await;
        replace(&path, r#"{"logLevel": "warn"}"#);
        wait_for_level(&mut settings, LogLevel::Warn).await;
        replace(&path, "{ oops");
        wait_for(&mut settings, "broken", |loaded| {
            !loaded.problems.is_empty()
        })
        .await;
        assert_eq!(settings.borrow().settings.log_level, LogLevel::Warn);
        std::fs::write(&path, b"{\n \xff").unwrap();
        wait_for(&mut settings, "not text", |loaded| {
            loaded
                .problems
                .first()
                .is_some_and(|problem| problem.position == Some((2, 2)))
        })
        .await;
        replace(&path, r#"{"logLevel": "error"}"#);
        wait_for_level(&mut settings, LogLevel::Error).await;
        assert!(settings.borrow().problems.is_empty());
        std::fs::remove_file(&path).unwrap();
        wait_for(&mut settings, "defaults", |loaded| {
            **loaded == Loaded::default()
        })
        .await;
    }

    #[tokio::test]
    async fn folders_may_come_go_and_come_again() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("not/yet");
        let path = folder.join("settings.json");
        let (mut settings, _watcher) = start(path.clone());
        assert_eq!(**settings.borrow(), Loaded::default());
        for level in [LogLevel::Debug, LogLevel::Trace] {
            std::fs::create_dir_all(&folder).unwrap();
            replace(&path, &format!(r#"{{"logLevel": "{level}"}}"#));
            wait_for_level(&mut settings, level).await;
            std::fs::remove_dir_all(scratch.path().join("not")).unwrap();
            wait_for_level(&mut settings, LogLevel::Info).await;
        }
        std::fs::create_dir_all(&folder).unwrap();
        replace(&path, r#"{"logLevel": "warn"}"#);
        wait_for_level(&mut settings, LogLevel::Warn).await;
        std::fs::rename(&folder, scratch.path().join("elsewhere")).unwrap();
        wait_for_level(&mut settings, LogLevel::Info).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_is_a_link_is_followed_to_what_it_leads_to() {
        let scratch = tempfile::tempdir().unwrap();
        let real = scratch.path().join("dotfiles/copilot.json");
        let path = scratch.path().join("config/settings.json");
        std::fs::create_dir_all(real.parent().unwrap()).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(&real, "{}");
        std::os::unix::fs::symlink("../dotfiles/copilot.json", &path).unwrap();
        let (mut settings, _watcher) = start(path);
        replace(&real, r#"{"logLevel": "trace"}"#);
        wait_for_level(&mut settings, LogLevel::Trace).await;
        std::fs::write(&real, r#"{"logLevel": "debug"}"#).unwrap();
        wait_for_level(&mut settings, LogLevel::Debug).await;
    }

    #[test]
    fn a_first_file_that_may_deny_more_than_could_be_read_is_known() {
        let seen = |text: &str| Seen {
            text: Ok(Some(text.to_owned())),
            unwatched: None,
        };
        let table = [
            ("{ oops", true),
            ("[]", true),
            (r#"{"permissions": 1}"#, true),
            (r#"{"permissions": {"deny": ["shell("]}}"#, true),
            (r#"{"permissions": {"allow": ["shell("]}}"#, false),
            (r#"{"model": 1, "unknown": 2}"#, false),
            ("{}", false),
        ];
        let fine = loaded(seen("{}"), None);
        for (text, expected) in table {
            let first = loaded(seen(text), None);
            assert_eq!(first.denials_unknown, expected, "{text}");
            assert_eq!(loaded(seen(text), Some(&first)).denials_unknown, expected);
            assert!(!loaded(seen(text), Some(&fine)).denials_unknown, "{text}");
            assert!(!loaded(seen("{}"), Some(&first)).denials_unknown, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_readable_file_is_reported() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("settings.json");
        std::fs::create_dir(&folder).unwrap();
        let problem = read_text(&folder).unwrap_err();
        assert!(problem.message.contains("it is not a file"), "{problem}");
        assert_eq!(read_text(&scratch.path().join("none")), Ok(None));
        let large = scratch.path().join("large");
        std::fs::File::create(&large)
            .unwrap()
            .set_len(MAX_FILE_BYTES + 1)
            .unwrap();
        let problem = read_text(&large).unwrap_err();
        assert!(problem.message.contains("larger than 1 MiB"), "{problem}");
    }
}
