//! The daemon's files in the runtime folder: the lock that makes it the only one, and its socket.
//!
//! Owns when a socket's file may be replaced or removed. Only the holder of the lock ever does either.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::tokio::Listener as LocalListener;
use interprocess::local_socket::{ConnectOptions, ListenerOptions};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};

use super::BindError;
use crate::paths::Paths;
use crate::transport;

/// Between two tries to get a lock that another daemon is about to let go of.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Held for as long as a daemon runs. The operating system lets go of it when the process ends, however it
/// ends; the file stays, because removing it would let two daemons lock two files of the same name.
#[derive(Debug)]
pub struct InstanceLock {
    _file: Flock<File>,
}

impl InstanceLock {
    /// Becomes the one daemon of these folders, or says that there is one. Prepares the runtime folder.
    ///
    /// # Errors
    /// [`BindError::AlreadyRunning`], [`BindError::Paths`] or [`BindError::Lock`].
    pub fn acquire(paths: &Paths) -> Result<Self, BindError> {
        paths.prepare_runtime_dir()?;
        let path = paths.lock_file();
        let failed = |source| BindError::Lock {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Self { _file: file }),
            Err((_, Errno::EWOULDBLOCK)) => Err(BindError::AlreadyRunning),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// The same, but waits up to `patience` for a daemon that holds the lock and does not listen: it is
    /// about to end, and still writes.
    ///
    /// # Errors
    /// As [`InstanceLock::acquire`].
    pub async fn acquire_after_another(
        paths: &Paths,
        patience: Duration,
    ) -> Result<Self, BindError> {
        let end = Instant::now() + patience;
        loop {
            match Self::acquire(paths) {
                Err(BindError::AlreadyRunning)
                    if Instant::now() < end && matches!(is_alive(&paths.socket()), Ok(false)) =>
                {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Whether a daemon holds it, for whoever waits for its end. What cannot be known is `false`.
    #[must_use]
    pub fn is_held(paths: &Paths) -> bool {
        // A daemon that starts this very moment may find it taken by us; it tries again.
        File::open(paths.lock_file()).is_ok_and(|file| {
            let locked = Flock::lock(file, FlockArg::LockSharedNonblock);
            matches!(locked, Err((_, Errno::EWOULDBLOCK)))
        })
    }
}

/// Whether somebody listens on a socket. An error says neither yes nor no.
fn is_alive(path: &Path) -> io::Result<bool> {
    let name = transport::socket_name(path)?;
    // Does not wait: a listener whose queue is full is alive, too.
    let probe = ConnectOptions::new()
        .name(name)
        .wait_mode(ConnectWaitMode::Deferred)
        .connect_sync();
    match probe {
        Ok(_) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The file of a socket that this process opened. Removed on drop, if it is still the same one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Listens on `path`, replacing a socket that nobody listens on. The caller holds the instance lock.
    pub(super) fn listen(path: &Path) -> Result<(Self, LocalListener), BindError> {
        let failed = |source| BindError::Socket {
            path: path.to_owned(),
            source,
        };
        clear_the_way(path)?;
        let name = transport::socket_name(path).map_err(failed)?;
        // Its own ways of clearing a path ask nobody whether the socket is alive or still ours.
        let options = ListenerOptions::new()
            .name(name)
            .reclaim_name(false)
            .try_overwrite(false);
        let socket = options.create_tokio().map_err(failed)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        Ok((
            Self {
                path: path.to_owned(),
                device,
                inode,
            },
            socket,
        ))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            // A file that stays is no harm: the next daemon finds it dead and replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn clear_the_way(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Socket {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::Occupied {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    let removed = match is_alive(path) {
        // A service manager's socket can be alive while no daemon holds the lock.
        Ok(true) => return Err(BindError::AlreadyRunning),
        Ok(false) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Takes over a listening socket from a service manager.
pub(super) fn inherited(socket: OwnedFd) -> Result<LocalListener, BindError> {
    let failed = |what| {
        move |source: io::Error| BindError::Inherited {
            what,
            source: Some(source),
        }
    };
    let wrong = |what| BindError::Inherited { what, source: None };
    let unreadable = "its properties cannot be read";

    let kind =
        getsockopt(&socket, sockopt::SockType).map_err(|errno| failed(unreadable)(errno.into()))?;
    if kind != SockType::Stream {
        return Err(wrong("it is not a stream socket"));
    }
    let listening = getsockopt(&socket, sockopt::AcceptConn)
        .map_err(|errno| failed(unreadable)(errno.into()))?;
    if !listening {
        return Err(wrong("nothing listens on it"));
    }
    // Agents and their tools must not inherit it.
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
        .map_err(|errno| failed("it cannot be kept from child processes")(errno.into()))?;
    let socket = std::os::unix::net::UnixListener::from(socket);
    socket
        .local_addr()
        .map_err(failed("it is not a Unix socket"))?;
    let socket =
        interprocess::os::unix::uds_local_socket::tokio::Listener::try_from(OwnedFd::from(socket))
            .map_err(failed("it cannot be waited on"))?;
    Ok(socket.into())
}
