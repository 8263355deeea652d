//! What a service manager and the command line that starts a daemon need: an inherited socket,
//! and the word that it is ready.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ipc_proto::paths::Paths;
use ipc_proto::server::{BindError, InstanceLock, Listener};

/// How long a daemon that is about to end is waited for: longer than it takes to end, and shorter than
/// whoever starts this one waits.
const LOCK_PATIENCE: Duration = Duration::from_secs(15);

/// Where the socket came from.
pub struct Socket {
    /// Listening.
    pub listener: Listener,
    /// Whether a service manager opened it.
    pub inherited: bool,
    /// Makes this daemon the only one. Held until it writes no more.
    pub lock: InstanceLock,
}

/// Takes the socket of a service manager where one is given, and opens one otherwise.
pub async fn listen(paths: &Paths) -> Result<Socket, BindError> {
    match inherited_socket() {
        // A service manager starts one after the other.
        Some(fd) => Ok(Socket {
            lock: InstanceLock::acquire(paths)?,
            listener: Listener::from_fd(fd)?,
            inherited: true,
        }),
        None => {
            let lock = InstanceLock::acquire_after_another(paths, LOCK_PATIENCE).await?;
            Ok(Socket {
                listener: Listener::bind(paths, &lock)?,
                inherited: false,
                lock,
            })
        }
    }
}

/// The first descriptor of LISTEN_FDS, when it is meant for this process.
#[allow(unsafe_code)]
fn inherited_socket() -> Option<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    let fd = sd_notify::listen_fds().ok()?.next()?;
    // SAFETY: the service manager opened this descriptor for us, as LISTEN_PID says; nothing else in
    // this process uses it, and this is called once.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a service manager runs this process.
pub fn is_managed() -> bool {
    [
        "NOTIFY_SOCKET",
        "INVOCATION_ID",
        "LISTEN_FDS",
        "XPC_SERVICE_NAME",
    ]
    .iter()
    .any(|name| std::env::var_os(name).is_some())
}

/// Tells whoever started this process that clients can connect: the service manager, and the line
/// `ready` on standard output.
pub fn tell_ready() {
    say("ready");
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "the service manager could not be told that the daemon is ready");
    }
}

/// Tells the service manager that the end has begun.
pub fn tell_stopping() {
    // Nobody needs to know when there is none.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}

/// One line to whoever started this process; it may have gone.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
