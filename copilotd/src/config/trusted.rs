//! The folders in which a person lets agents work, kept in `trusted-folders.json`.
//!
//! A file that cannot be understood is set aside under another name and reported; it is never
//! overwritten. Trust is about where a path leads, not about how it is spelled.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::settings::{Problem, Severity};
use super::watcher::Loaded;
use crate::content::private;
use crate::permissions::expand_home;

/// The layout of the file; frozen.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    folders: BTreeSet<PathBuf>,
}

const VERSION: u32 = 1;

/// Why a folder was not trusted for good.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The folder is a home folder or above one.
    #[error(
        "{} cannot be trusted for good, because {why}; trust it for this time, or trust the \
         folder of your project", folder.display()
    )]
    TooWide {
        /// As it was asked for.
        folder: PathBuf,
        /// What trusting it would mean.
        why: &'static str,
    },
    /// The folder cannot be looked at.
    #[error("{} cannot be trusted: {source}", folder.display())]
    Folder {
        /// As it was asked for.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of trusted folders cannot be read or written.
    #[error("the list of trusted folders {} cannot be saved: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The trusted folders: those that were trusted for good, and those in the settings.
#[derive(Debug)]
pub struct TrustedFolders {
    file: PathBuf,
    /// The lock is held while the file is read and written, so that no change is lost.
    stored: Mutex<BTreeSet<PathBuf>>,
    settings: watch::Receiver<Arc<Loaded>>,
}

impl TrustedFolders {
    /// Reads the file, which need not exist. The problem, if any, is for the person: the file
    /// could not be read, and where it was put.
    #[must_use]
    pub fn open(file: PathBuf, settings: watch::Receiver<Arc<Loaded>>) -> (Self, Option<Problem>) {
        let (stored, problem) = match read(&file) {
            Ok((stored, problem)) => (stored, problem),
            Err(error) => {
                let message = format!(
                    "{} cannot be read: {error}; the folders in it are not trusted until it can",
                    file.display()
                );
                (
                    BTreeSet::new(),
                    Some(Problem::file(Severity::Error, message)),
                )
            }
        };
        (
            Self {
                file,
                stored: Mutex::new(stored),
                settings,
            },
            problem,
        )
    }

    /// Whether the folder is a trusted one or inside one. Looks at the file system.
    #[must_use]
    pub fn is_trusted(&self, folder: &Path) -> bool {
        let Ok(folder) = folder.canonicalize() else {
            return false;
        };
        // What was written by hand earns no more than the dialog gives.
        let covers = |trusted: &Path| folder.starts_with(trusted) && too_wide(trusted).is_none();
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.iter().any(|trusted| covers(trusted)) {
            return true;
        }
        drop(stored);
        let loaded = Arc::clone(&self.settings.borrow());
        loaded
            .settings
            .trusted_folders
            .iter()
            .filter_map(|trusted| expand_home(trusted)?.canonicalize().ok())
            .any(|trusted| covers(&trusted))
    }

    /// All of them that count and are there, sorted. Looks at the file system.
    #[must_use]
    pub fn all(&self) -> Vec<PathBuf> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = stored.clone();
        drop(stored);
        let loaded = Arc::clone(&self.settings.borrow());
        let named = loaded.settings.trusted_folders.iter();
        all.extend(named.filter_map(|folder| expand_home(folder)?.canonicalize().ok()));
        all.retain(|folder| folder.is_dir() && too_wide(folder).is_none());
        all.into_iter().collect()
    }

    /// Trusts the folder and everything in it for good. On return it is on disk. The problem,
    /// if any, is as for [`TrustedFolders::open`].
    pub fn trust(&self, folder: &Path) -> Result<Option<Problem>, TrustError> {
        let canonical = folder
            .canonicalize()
            .and_then(|canonical| match canonical.is_dir() {
                true => Ok(canonical),
                false => Err(ErrorKind::NotADirectory.into()),
            })
            .map_err(|source| TrustError::Folder {
                folder: folder.to_owned(),
                source,
            })?;
        if let Some(why) = too_wide(&canonical) {
            return Err(TrustError::TooWide {
                folder: folder.to_owned(),
                why,
            });
        }
        let failed = |source| TrustError::File {
            file: self.file.clone(),
            source,
        };
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        // The file, not the memory, is the truth: a person may have taken a folder out.
        let (mut folders, problem) = read(&self.file).map_err(failed)?;
        folders.insert(canonical);
        write(&self.file, &folders).map_err(failed)?;
        *stored = folders;
        Ok(problem)
    }
}

/// Why trusting this folder (canonical) for good would trust far too much.
fn too_wide(folder: &Path) -> Option<&'static str> {
    let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
    if folder.parent().is_none() {
        Some("that would trust every folder of this machine")
    } else if home.as_deref() == Some(folder) {
        Some("that would trust every folder in your home folder")
    } else if home.is_some_and(|home| home.starts_with(folder)) {
        Some("that would trust every home folder in it")
    } else {
        None
    }
}

/// The folders in the file; none when there is no file. A file that is not understood is set
/// aside, and the problem says so. An error means that the file is still there.
fn read(file: &Path) -> io::Result<(BTreeSet<PathBuf>, Option<Problem>)> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((BTreeSet::new(), None)),
        Err(error) => return Err(error),
    };
    let why = match serde_json::from_slice::<Stored>(&bytes) {
        Ok(stored) if stored.version == VERSION => {
            return Ok((stored.folders, None));
        }
        Ok(stored) => format!(
            "it has version {}, and this copilotd reads {VERSION}",
            stored.version
        ),
        Err(error) => error.to_string(),
    };
    let aside = set_aside(file)?;
    let message = format!(
        "{} could not be understood ({why}); it was renamed to {}, and the folders in it are \
         no longer trusted",
        file.display(),
        aside.display()
    );
    Ok((
        BTreeSet::new(),
        Some(Problem::file(Severity::Error, message)),
    ))
}

/// Renames the file to a name with the time in it that nothing else has.
pub(super) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    for attempt in 1..100 {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".unreadable-{time}"));
        if attempt > 1 {
            name.push(format!("-{attempt}"));
        }
        let aside = PathBuf::from(name);
        match aside.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::rename(file, &aside)?;
                return Ok(aside);
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        "it could not be understood, and there is no free name to set it aside",
    ))
}

fn write(file: &Path, folders: &BTreeSet<PathBuf>) -> io::Result<()> {
    if let Some(parent) = file.parent() {
        private::create_folder(parent)?;
    }
    let stored = Stored {
        version: VERSION,
        folders: folders.clone(),
    };
    let mut json = serde_json::to_vec_pretty(&stored)?;
    json.push(b'\n');
    private::write_atomically(file, &json)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    struct Scratch {
        top: PathBuf,
        settings: watch::Sender<Arc<Loaded>>,
        _folder: tempfile::TempDir,
    }

    impl Scratch {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let top = folder.path().canonicalize().unwrap();
            for name in ["project/deep", "projects", "other"] {
                std::fs::create_dir_all(top.join(name)).unwrap();
            }
            Self {
                top,
                settings: watch::Sender::default(),
                _folder: folder,
            }
        }

        fn file(&self) -> PathBuf {
            self.top.join("data/trusted-folders.json")
        }

        fn open(&self) -> (TrustedFolders, Option<Problem>) {
            TrustedFolders::open(self.file(), self.settings.subscribe())
        }
    }

    #[test]
    fn a_trusted_folder_and_what_is_in_it_stay_trusted() {
        let scratch = Scratch::new();
        let (folders, problem) = scratch.open();
        assert_eq!(problem, None);
        assert!(!folders.is_trusted(&scratch.top.join("project")));
        assert_eq!(
            folders
                .trust(&scratch.top.join("projects/../project"))
                .unwrap(),
            None
        );
        std::os::unix::fs::symlink("project/deep", scratch.top.join("inside")).unwrap();
        std::os::unix::fs::symlink("../other", scratch.top.join("project/out")).unwrap();
        for folders in [folders, scratch.open().0] {
            let table = [
                ("project", true),
                ("project/deep", true),
                ("inside", true),
                ("projects", false),
                ("other", false),
                ("project/out", false),
                ("project/missing", false),
                (".", false),
            ];
            for (folder, expected) in table {
                assert_eq!(
                    folders.is_trusted(&scratch.top.join(folder)),
                    expected,
                    "{folder}"
                );
            }
        }
    }

    #[test]
    fn the_file_is_frozen_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let project = scratch.top.join("project");
        scratch.open().0.trust(&project).unwrap();
        let written = format!(
            "{{\n  \"version\": 1,\n  \"folders\": [\n    \"{}\"\n  ]\n}}\n",
            project.display()
        );
        assert_eq!(std::fs::read_to_string(scratch.file()).unwrap(), written);
        let mode = std::fs::metadata(scratch.file())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn settings_count_too_and_live() {
        let scratch = Scratch::new();
        let (folders, _) = scratch.open();
        let trusting = |folder: PathBuf| {
            let trusted_folders = vec![folder];
            let settings = Settings {
                trusted_folders,
                ..Settings::default()
            };
            Arc::new(Loaded {
                settings,
                ..Loaded::default()
            })
        };
        let project = scratch.top.join("project");
        scratch.settings.send_replace(trusting(project.clone()));
        assert!(folders.is_trusted(&project.join("deep")));
        scratch.settings.send_replace(trusting(PathBuf::from("/")));
        assert!(!folders.is_trusted(&project));
    }

    #[test]
    fn too_much_is_refused_with_words() {
        let scratch = Scratch::new();
        let (folders, _) = scratch.open();
        let home = std::env::home_dir().unwrap();
        for folder in [Path::new("/"), &home] {
            let error = folders.trust(folder).unwrap_err();
            assert!(matches!(error, TrustError::TooWide { .. }), "{error}");
            assert!(error.to_string().contains("would trust every"), "{error}");
        }
        let missing = folders.trust(&scratch.top.join("missing")).unwrap_err();
        assert!(matches!(missing, TrustError::Folder { .. }), "{missing}");
        assert!(!scratch.file().exists());
    }

    #[test]
    fn a_file_that_is_not_understood_is_set_aside() {
        let scratch = Scratch::new();
        for text in ["{ oops", r#"{"version": 2, "folders": []}"#] {
            std::fs::create_dir_all(scratch.file().parent().unwrap()).unwrap();
            std::fs::write(scratch.file(), text).unwrap();
            let (folders, problem) = scratch.open();
            assert!(problem.unwrap().message.contains("was renamed to"));
            folders.trust(&scratch.top.join("project")).unwrap();
        }
        let kept: Vec<String> = std::fs::read_dir(scratch.file().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| *path != scratch.file())
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.contains(&"{ oops".to_owned()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_overwritten() {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.file()).unwrap();
        let (folders, problem) = scratch.open();
        assert!(problem.unwrap().message.contains("cannot be read"));
        let error = folders.trust(&scratch.top.join("project")).unwrap_err();
        assert!(matches!(error, TrustError::File { .. }), "{error}");
        assert!(!folders.is_trusted(&scratch.top.join("project")));
    }

    #[test]
    fn what_a_person_took_out_does_not_come_back() {
        let scratch = Scratch::new();
        let (folders, _) = scratch.open();
        folders.trust(&scratch.top.join("project")).unwrap();
        std::fs::remove_file(scratch.file()).unwrap();
        folders.trust(&scratch.top.join("other")).unwrap();
        assert!(!folders.is_trusted(&scratch.top.join("project")));
        assert!(folders.is_trusted(&scratch.top.join("other")));
    }
}
