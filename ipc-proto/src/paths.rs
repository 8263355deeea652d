//! Where the product keeps its files: one home for tests and portable setups, else the platform's folders.
//!
//! Owns the names of every file that more than one program touches, and the safety of the runtime folder.
//! Must never create anything but the runtime folder, and never "repair" a folder that belongs to someone else.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Moves config, data and runtime files under one folder when it is set.
pub const HOME_VARIABLE: &str = "COPILOTD_HOME";

/// The application name under which the platform's folders are found.
const APPLICATION: &str = "copilotd";

/// The longest path a Unix socket can have, in bytes (`sun_path` without its final NUL).
const MAX_SOCKET_PATH_BYTES: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};

/// The folders of one installation. Two programs with equal `Paths` talk to the same daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Settings that a person edits.
    pub config_dir: PathBuf,
    /// Logs, content and everything else that is kept.
    pub data_dir: PathBuf,
    /// The socket and the locks; mode 0700.
    pub runtime_dir: PathBuf,
    home: Option<PathBuf>,
}

/// Why the folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// A relative home would name another daemon in every working folder.
    #[error("{HOME_VARIABLE} is `{}`, but it must be an absolute path", path.display())]
    RelativeHome {
        /// What the variable holds.
        path: PathBuf,
    },
    /// Neither the variable nor the platform says where files go.
    #[error("there is no home folder: set HOME, or set {HOME_VARIABLE} to a folder of your own")]
    NoHome,
    /// The operating system limits the length of a socket's path.
    #[error(
        "the socket path `{}` has {length} bytes, and this system allows {MAX_SOCKET_PATH_BYTES}: \
         set {HOME_VARIABLE} to a shorter folder", path.display()
    )]
    SocketPathTooLong {
        /// The socket's path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Something other than a folder (a link counts as such) is where the runtime folder should be.
    #[error(
        "`{}` is not a folder: move it away, or set {HOME_VARIABLE} to another folder", path.display()
    )]
    NotAFolder {
        /// The runtime folder.
        path: PathBuf,
    },
    /// Another user owns the runtime folder and could read or replace what is in it.
    #[error(
        "the folder `{}` belongs to user {owner}, not to you (user {ours}): \
         set XDG_RUNTIME_DIR or {HOME_VARIABLE} to a folder of your own", path.display()
    )]
    ForeignOwner {
        /// The runtime folder.
        path: PathBuf,
        /// The uid that owns it.
        owner: u32,
        /// The uid of this process.
        ours: u32,
    },
    /// Others may have put files into the runtime folder already.
    #[error(
        "the folder `{}` can be written by other users (mode {mode:03o}): \
         check what is in it, then run `chmod 700` on it", path.display()
    )]
    WritableByOthers {
        /// The runtime folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refused.
    #[error("cannot prepare the folder `{}`", path.display())]
    Io {
        /// The folder in question.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The runtime folder that the system made for this user, where a shell does not say so itself (`cron`, some
/// `ssh`): the same daemon must be found from there.
fn user_runtime_dir() -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        let uid = nix::unistd::getuid();
        let folder = PathBuf::from(format!("/run/user/{uid}"));
        let ours = std::fs::metadata(&folder).is_ok_and(|m| m.is_dir() && m.uid() == uid.as_raw());
        ours.then(|| folder.join(APPLICATION))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

impl Paths {
    /// The folders for this process's environment: `COPILOTD_HOME` when it is set, else the platform's.
    ///
    /// # Errors
    /// When the variable is relative, there is no home folder, or the socket's path would be too long.
    pub fn from_environment() -> Result<Self, PathsError> {
        let platform = directories::ProjectDirs::from("", "", APPLICATION);
        let paths = Self::resolve(std::env::var_os(HOME_VARIABLE), || {
            platform.as_ref().map(|dirs| Platform {
                config: dirs.config_dir().to_owned(),
                data: dirs.data_local_dir().to_owned(),
                runtime: dirs
                    .runtime_dir()
                    .map(Path::to_owned)
                    .or_else(user_runtime_dir),
            })
        })?;
        paths.check_socket_path()?;
        Ok(paths)
    }

    /// The folders that `COPILOTD_HOME=home` gives.
    #[must_use]
    pub fn under(home: &Path) -> Self {
        Self {
            config_dir: home.join("config"),
            data_dir: home.join("data"),
            runtime_dir: home.join("run"),
            home: Some(home.to_owned()),
        }
    }

    fn resolve(
        home: Option<OsString>,
        platform: impl FnOnce() -> Option<Platform>,
    ) -> Result<Self, PathsError> {
        if let Some(home) = home.filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            if !home.is_absolute() {
                return Err(PathsError::RelativeHome { path: home });
            }
            return Ok(Self::under(&home));
        }
        let platform = platform().ok_or(PathsError::NoHome)?;
        Ok(Self {
            runtime_dir: platform
                .runtime
                .unwrap_or_else(|| platform.data.join("run")),
            config_dir: platform.config,
            data_dir: platform.data,
            home: None,
        })
    }

    /// The folder that holds everything, when `COPILOTD_HOME` (or [`Paths::under`]) chose one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("copilotd.sock")
    }

    /// The lock that a daemon holds for as long as it runs.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.runtime_dir.join("copilotd.lock")
    }

    /// The lock that a command holds while it starts a daemon.
    #[must_use]
    pub fn start_lock_file(&self) -> PathBuf {
        self.runtime_dir.join("start.lock")
    }

    /// The settings that a person edits.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.config_dir.join("settings.json")
    }

    /// The folder of the daemon's logs.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.data_dir.join("logs")
    }

    /// The folder of large content that sessions refer to.
    #[must_use]
    pub fn content_dir(&self) -> PathBuf {
        self.data_dir.join("content")
    }

    /// The folder where the built-in agent keeps its conversations.
    #[must_use]
    pub fn agent_state_dir(&self) -> PathBuf {
        self.data_dir.join("agent")
    }

    /// The folders that a person trusts for good.
    #[must_use]
    pub fn trusted_folders_file(&self) -> PathBuf {
        self.data_dir.join("trusted-folders.json")
    }

    /// What a person allowed for good, by repository.
    #[must_use]
    pub fn approvals_file(&self) -> PathBuf {
        self.data_dir.join("approvals.json")
    }

    /// Makes the runtime folder exist with mode 0700 and checks that nobody else can touch it.
    ///
    /// # Errors
    /// When the folder is someone else's, writable by others, not a folder, cannot be made, or so deep
    /// that the socket's path would be too long.
    pub fn prepare_runtime_dir(&self) -> Result<(), PathsError> {
        self.check_socket_path()?;
        secure_folder(&self.runtime_dir)
    }

    fn check_socket_path(&self) -> Result<(), PathsError> {
        let path = self.socket();
        let length = path.as_os_str().len();
        if length > MAX_SOCKET_PATH_BYTES {
            return Err(PathsError::SocketPathTooLong { path, length });
        }
        Ok(())
    }
}

/// What the platform offers, so that the choice between it and the variable can be tested as a function.
struct Platform {
    config: PathBuf,
    data: PathBuf,
    runtime: Option<PathBuf>,
}

#[cfg(unix)]
fn secure_folder(path: &Path) -> Result<(), PathsError> {
    use std::fs::{DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

    let failed = |source| PathsError::Io {
        path: path.to_owned(),
        source,
    };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        // Something else is there; the check below says what.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // Not followed: a link could be pointed elsewhere by whoever owns the folder around it.
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(PathsError::NotAFolder {
            path: path.to_owned(),
        });
    }
    let ours = nix::unistd::geteuid().as_raw();
    if metadata.uid() != ours {
        return Err(PathsError::ForeignOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
            ours,
        });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(PathsError::WritableByOthers {
            path: path.to_owned(),
            mode,
        });
    }
    if mode != 0o700 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn secure_folder(path: &Path) -> Result<(), PathsError> {
    std::fs::create_dir_all(path).map_err(|source| PathsError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn platform(runtime: Option<&str>) -> Option<Platform> {
        Some(Platform {
            config: "/home/ada/.config/copilotd".into(),
            data: "/home/ada/.local/share/copilotd".into(),
            runtime: runtime.map(PathBuf::from),
        })
    }

    #[test]
    fn the_home_variable_moves_everything() {
        let paths = Paths::resolve(Some("/srv/ada".into()), || platform(None)).unwrap();
        assert_eq!(paths, Paths::under(Path::new("/srv/ada")));
        assert_eq!(paths.home(), Some(Path::new("/srv/ada")));
        assert_eq!(
            paths.settings_file(),
            Path::new("/srv/ada/config/settings.json")
        );
        assert_eq!(paths.log_dir(), Path::new("/srv/ada/data/logs"));
        assert_eq!(paths.content_dir(), Path::new("/srv/ada/data/content"));
        assert_eq!(paths.agent_state_dir(), Path::new("/srv/ada/data/agent"));
        assert_eq!(
            paths.trusted_folders_file(),
            Path::new("/srv/ada/data/trusted-folders.json")
        );
        assert_eq!(paths.socket(), Path::new("/srv/ada/run/copilotd.sock"));
        assert_eq!(paths.lock_file(), Path::new("/srv/ada/run/copilotd.lock"));
        assert_eq!(
            paths.start_lock_file(),
            Path::new("/srv/ada/run/start.lock")
        );
    }

    #[test]
    fn without_it_the_platform_decides_and_an_empty_value_counts_as_unset() {
        for home in [None, Some(OsString::new())] {
            let paths = Paths::resolve(home, || platform(Some("/run/user/1000/copilotd"))).unwrap();
            assert_eq!(
                paths.socket(),
                Path::new("/run/user/1000/copilotd/copilotd.sock")
            );
            assert_eq!(
                paths.settings_file(),
                Path::new("/home/ada/.config/copilotd/settings.json")
            );
            assert_eq!(paths.home(), None);
        }
        let without_runtime = Paths::resolve(None, || platform(None)).unwrap();
        assert_eq!(
            without_runtime.runtime_dir,
            Path::new("/home/ada/.local/share/copilotd/run")
        );
    }

    #[test]
    fn a_relative_home_and_no_home_at_all_are_refused_with_what_to_do() {
        let relative = Paths::resolve(Some("scratch".into()), || None).unwrap_err();
        assert_eq!(
            relative.to_string(),
            "COPILOTD_HOME is `scratch`, but it must be an absolute path"
        );
        let nowhere = Paths::resolve(None, || None).unwrap_err();
        assert!(nowhere.to_string().contains("set HOME"), "{nowhere}");
    }

    #[test]
    fn a_socket_path_that_is_too_long_names_the_variable() {
        let fits = format!(
            "/{}",
            "x".repeat(MAX_SOCKET_PATH_BYTES - "//run/copilotd.sock".len())
        );
        assert!(Paths::under(Path::new(&fits)).check_socket_path().is_ok());
        let too_long = Paths::under(Path::new(&format!("{fits}x")));
        let error = too_long.prepare_runtime_dir().unwrap_err();
        assert!(matches!(error, PathsError::SocketPathTooLong { .. }));
        assert!(error.to_string().contains("COPILOTD_HOME"), "{error}");
    }

    #[test]
    fn the_runtime_folder_is_made_and_kept_private() {
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::under(scratch.path());
        paths.prepare_runtime_dir().unwrap();
        let mode = || {
            std::fs::metadata(&paths.runtime_dir)
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(), 0o700);
        std::fs::set_permissions(&paths.runtime_dir, PermissionsExt::from_mode(0o755)).unwrap();
        paths.prepare_runtime_dir().unwrap();
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused_and_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::under(scratch.path());
        std::fs::create_dir(&paths.runtime_dir).unwrap();
        std::fs::set_permissions(&paths.runtime_dir, PermissionsExt::from_mode(0o770)).unwrap();
        let error = paths.prepare_runtime_dir().unwrap_err();
        assert!(
            matches!(error, PathsError::WritableByOthers { mode: 0o770, .. }),
            "{error}"
        );
        let after = std::fs::metadata(&paths.runtime_dir)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(after & 0o777, 0o770);
    }

    #[test]
    fn a_link_or_a_file_in_its_place_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let paths = Paths::under(scratch.path());
        std::os::unix::fs::symlink(elsewhere.path(), &paths.runtime_dir).unwrap();
        let error = paths.prepare_runtime_dir().unwrap_err();
        assert!(matches!(error, PathsError::NotAFolder { .. }), "{error}");
        std::fs::remove_file(&paths.runtime_dir).unwrap();
        std::fs::write(&paths.runtime_dir, "").unwrap();
        let error = paths.prepare_runtime_dir().unwrap_err();
        assert!(matches!(error, PathsError::NotAFolder { .. }), "{error}");
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        // Only root can make one; everybody has one that belongs to root.
        let scratch = tempfile::tempdir().unwrap();
        let foreign = if nix::unistd::geteuid().is_root() {
            let path = scratch.path().join("foreign");
            std::fs::create_dir(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            path
        } else {
            PathBuf::from("/usr")
        };
        let error = secure_folder(&foreign).unwrap_err();
        assert!(matches!(error, PathsError::ForeignOwner { .. }), "{error}");
    }
}
