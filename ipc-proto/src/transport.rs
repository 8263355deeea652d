//! The local socket underneath: connecting, splitting, and who is on the other side.
//!
//! Owns everything that differs between platforms. A named pipe of Windows needs a security descriptor of
//! its own to be owner-only; until that is written, opening a socket there is refused.

use std::io;
use std::path::Path;

use interprocess::local_socket::Name;
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon;

#[cfg(unix)]
mod halves {
    use interprocess::local_socket::tokio::Stream;
    use tokio::net::UnixStream;
    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

    /// Tokio's own halves: they take part in its cooperative scheduling, and dropping the writing one tells
    /// the other side that no more will come.
    pub(crate) type ReadHalf = OwnedReadHalf;
    pub(crate) type WriteHalf = OwnedWriteHalf;

    pub(crate) fn split(stream: Stream) -> (ReadHalf, WriteHalf) {
        let Stream::UdSocket(stream) = stream;
        UnixStream::from(stream).into_split()
    }
}

#[cfg(not(unix))]
mod halves {
    use interprocess::local_socket::tokio::Stream;

    pub(crate) type ReadHalf = tokio::io::ReadHalf<Stream>;
    pub(crate) type WriteHalf = tokio::io::WriteHalf<Stream>;

    pub(crate) fn split(stream: Stream) -> (ReadHalf, WriteHalf) {
        tokio::io::split(stream)
    }
}

pub(crate) use halves::{ReadHalf, WriteHalf, split};

/// The socket's path as a name that can be listened on or connected to.
#[cfg(unix)]
pub(crate) fn socket_name(path: &Path) -> io::Result<Name<'_>> {
    use interprocess::local_socket::{GenericFilePath, ToFsName};
    path.to_fs_name::<GenericFilePath>()
}

#[cfg(not(unix))]
pub(crate) fn socket_name(_path: &Path) -> io::Result<Name<'_>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "local sockets are not supported on this system",
    ))
}

/// The process on the other side of a connection, as the operating system reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user id, where the system has one.
    pub uid: Option<u32>,
    /// Its process id when it connected, where the system tells. The process may have ended since, and the
    /// number may be another's by now.
    pub pid: Option<u32>,
}

impl Peer {
    pub(crate) fn of(stream: &Stream) -> io::Result<Self> {
        let credentials = stream.peer_creds()?;
        #[cfg(unix)]
        let uid = credentials.euid();
        #[cfg(not(unix))]
        let uid = None;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
        #[cfg(target_os = "macos")]
        let pid = pid.or_else(|| macos_pid(stream));
        Ok(Self { uid, pid })
    }
}

#[cfg(target_os = "macos")]
fn macos_pid(stream: &Stream) -> Option<u32> {
    let Stream::UdSocket(stream) = stream;
    let pid = nix::sys::socket::getsockopt(stream.inner(), nix::sys::socket::sockopt::LocalPeerPid);
    pid.ok().and_then(|pid| u32::try_from(pid).ok())
}

/// The user id that peers are compared with.
#[cfg(unix)]
pub(crate) fn our_uid() -> Option<u32> {
    Some(nix::unistd::geteuid().as_raw())
}

/// A system without user ids leaves the decision to the access list of its pipes.
#[cfg(not(unix))]
pub(crate) fn our_uid() -> Option<u32> {
    None
}
