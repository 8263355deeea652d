//! The daemon's half: owning the socket, and turning what connects to it into connections.
//!
//! Has the single-instance lock, and owns the life of the socket's file, the check of who connects, and the
//! handshake. Must never hand out a connection of another user, and never remove a file that is not its own
//! dead socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener as LocalListener, Stream};
use interprocess::local_socket::traits::tokio::Listener as _;

pub use crate::transport::Peer;

use crate::connection::{Connection, Handshake};
use crate::frame::{FrameError, Kind};
use crate::hello::{self, Answer, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Trust};
use crate::message::Side;
use crate::paths::{Paths, PathsError};
use crate::transport;

#[cfg(unix)]
mod socket_file;

/// How long a client may take until its hello is there.
pub const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// How long [`Listener::accept`] waits before it reports that the system ran out of something.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Why a daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon serves these folders.
    #[error("another copilotd is already running for these folders")]
    AlreadyRunning,
    /// The runtime folder cannot be used.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// The lock file cannot be opened or locked.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something that is not a socket is in the way. It is left alone.
    #[error("`{}` exists and is not a socket: move it away", path.display())]
    Occupied {
        /// Where the socket should be.
        path: PathBuf,
    },
    /// The socket cannot be opened.
    #[error("cannot listen on `{}`", path.display())]
    Socket {
        /// Where the socket should be.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The descriptor that a service manager handed over is not what its unit file promises.
    #[error("the socket from the service manager cannot be used: {what}")]
    Inherited {
        /// What is wrong with it.
        what: &'static str,
        /// What the operating system said, if it said anything.
        source: Option<io::Error>,
    },
}

/// A socket that clients of this user can connect to.
#[derive(Debug)]
pub struct Listener {
    // Dropped first, so that nobody finds a socket that is about to close.
    #[cfg(unix)]
    _file: Option<socket_file::SocketFile>,
    socket: LocalListener,
}

#[cfg(unix)]
pub use socket_file::InstanceLock;

#[cfg(unix)]
impl Listener {
    /// Replaces a dead socket and listens with mode 0600. Must be called inside a tokio runtime. The
    /// socket's file is removed on drop, unless another program has put its own there by then. The lock is
    /// the caller's, because a daemon has work to do after it stopped listening.
    ///
    /// # Errors
    /// [`BindError::AlreadyRunning`] when somebody listens there without the lock; see [`BindError`] for
    /// the rest.
    pub fn bind(paths: &Paths, _lock: &InstanceLock) -> Result<Self, BindError> {
        let (file, socket) = socket_file::SocketFile::listen(&paths.socket())?;
        Ok(Self {
            _file: Some(file),
            socket,
        })
    }

    /// Listens on a socket that a service manager opened, and leaves the socket's file to the manager. Must
    /// be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError::Inherited`] when it is not a listening Unix stream socket.
    pub fn from_fd(socket: std::os::fd::OwnedFd) -> Result<Self, BindError> {
        let socket = socket_file::inherited(socket)?;
        Ok(Self {
            _file: None,
            socket,
        })
    }
}

impl Listener {
    /// The next client of this user. Connections of other users are closed at once and never returned.
    /// Can be dropped while it waits.
    ///
    /// # Errors
    /// What the operating system says. It is always right to call again: when the system has run out of
    /// descriptors or memory, the error is only returned after a pause.
    pub async fn accept(&self) -> io::Result<Incoming> {
        loop {
            let stream = match self.socket.accept().await {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    if is_exhausted(&error) {
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                    return Err(error);
                }
            };
            // One that is gone already has no peer; dropping it is all there is to do.
            if let Ok(peer) = Peer::of(&stream)
                && peer.uid == transport::our_uid()
            {
                return Ok(Incoming { peer, stream });
            }
        }
    }
}

#[cfg(unix)]
fn is_exhausted(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let codes = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&Errno::from_raw(code)))
}

#[cfg(not(unix))]
fn is_exhausted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

/// A client that has connected and not said anything yet.
#[derive(Debug)]
pub struct Incoming {
    /// Who it is.
    pub peer: Peer,
    stream: Stream,
}

/// Why a client that connected did not become a connection. It is closed in each of these cases.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Its hello did not come in time.
    #[error("a client said nothing for {} s", HELLO_DEADLINE.as_secs())]
    Deadline,
    /// It closed the connection without a hello; probes do that.
    #[error("a client closed the connection without a hello")]
    Closed,
    /// It speaks no version that this daemon does, and was told so.
    #[error(
        "a client ({build}) speaks versions {min} to {max}, and this daemon {PROTOCOL_MIN} to {PROTOCOL_MAX}"
    )]
    NoSharedVersion {
        /// The client's build.
        build: String,
        /// The lowest version it speaks.
        min: u16,
        /// The highest version it speaks.
        max: u16,
    },
    /// It is no client that this daemon understands.
    #[error("a client does not speak this daemon's protocol")]
    Protocol(#[from] FrameError),
}

impl Incoming {
    /// Waits for the hello and answers it. `build` is the daemon's name and version, for people; `trust` is
    /// what the daemon made of [`Incoming::peer`].
    ///
    /// # Errors
    /// See [`HandshakeError`]. The client is closed then, and no other client notices.
    pub async fn handshake(self, build: &str, trust: Trust) -> Result<Connection, HandshakeError> {
        match tokio::time::timeout(HELLO_DEADLINE, self.answer_hello(build, trust)).await {
            Ok(result) => result,
            Err(_) => Err(HandshakeError::Deadline),
        }
    }

    async fn answer_hello(self, build: &str, trust: Trust) -> Result<Connection, HandshakeError> {
        let mut handshake = Handshake::new(transport::split(self.stream));
        let frame = handshake.read().await?.ok_or(HandshakeError::Closed)?;
        if frame.kind != Kind::Hello {
            return Err(FrameError::UnexpectedKind(frame.kind).into());
        }
        let hello = Hello::decode(&frame.payload)?;
        match hello::answer(&hello, build, trust) {
            Answer::Welcome(welcome) => {
                handshake.write(Kind::Welcome, &welcome.encode()).await?;
                Ok(Connection::new(welcome, Side::Daemon, handshake))
            }
            Answer::Refused(refused) => {
                handshake.write(Kind::Refused, &refused.encode()).await?;
                let Hello { build, min, max } = hello;
                Err(HandshakeError::NoSharedVersion { build, min, max })
            }
        }
    }
}
