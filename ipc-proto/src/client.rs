//! The client's half: connecting to the daemon.
//!
//! Owns telling apart why it did not work, because each reason has another remedy. Must never start a
//! daemon or print; that is for the program that calls it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Stream as _;

use crate::connection::{Connection, Handshake};
use crate::frame::{FrameError, Kind};
use crate::hello::{Hello, Refused, Welcome};
use crate::message::Side;
use crate::transport::{self, Peer};

/// How long a daemon may take to answer a hello. Long, because a service manager may have to start it first.
const WELCOME_DEADLINE: Duration = Duration::from_secs(15);
/// How long to wait before trying again when the daemon's queue of new connections is full.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens on the socket.
    #[error("no copilotd is running")]
    NotRunning,
    /// The daemon speaks no version that this program does.
    #[error("the running copilotd ({}) and this program do not understand each other: {}", .0.build, .0.hint)]
    Refused(Refused),
    /// The daemon closed the connection before it answered. It may be shutting down: trying again helps.
    #[error("copilotd closed the connection before it answered")]
    Closed,
    /// The daemon does not answer.
    #[error("copilotd did not answer within {} s", WELCOME_DEADLINE.as_secs())]
    Unresponsive,
    /// Another user listens on the socket. Nothing was sent.
    #[error("the program that listens on `{}` belongs to user {uid}, not to you", path.display())]
    ForeignDaemon {
        /// The socket.
        path: PathBuf,
        /// Who listens.
        uid: u32,
    },
    /// What listens on the socket is no daemon that this program understands.
    #[error("the program that listens on the socket does not speak copilotd's protocol")]
    Protocol(#[source] FrameError),
    /// The operating system refused.
    #[error("cannot connect to `{}`", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Connects to the daemon that listens on `socket` and agrees with it on a version. `build` is the name and
/// version of this program, for people.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(socket: &Path, build: &str) -> Result<Connection, ConnectError> {
    match tokio::time::timeout(WELCOME_DEADLINE, connect_and_greet(socket, build)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Unresponsive),
    }
}

async fn connect_and_greet(socket: &Path, build: &str) -> Result<Connection, ConnectError> {
    let stream = open(socket).await?;
    let mut handshake = Handshake::new(transport::split(stream));
    let hello = Hello::new(build);
    let answer = match handshake.write(Kind::Hello, &hello.encode()).await {
        Ok(()) => handshake.read().await,
        Err(error) => Err(error),
    };
    let frame = match answer {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(ConnectError::Closed),
        Err(FrameError::Io(error)) if is_closed(&error) => return Err(ConnectError::Closed),
        Err(FrameError::Io(source)) => return Err(io_error(socket, source)),
        Err(error) => return Err(ConnectError::Protocol(error)),
    };
    match frame.kind {
        Kind::Welcome => {
            let welcome = Welcome::decode(&frame.payload).map_err(ConnectError::Protocol)?;
            if !(hello.min..=hello.max).contains(&welcome.version) {
                let what = "it chose a version that was not offered";
                let error = FrameError::Handshake {
                    kind: Kind::Welcome,
                    what,
                };
                return Err(ConnectError::Protocol(error));
            }
            Ok(Connection::new(welcome, Side::Client, handshake))
        }
        Kind::Refused => {
            let refused = Refused::decode(&frame.payload).map_err(ConnectError::Protocol)?;
            Err(ConnectError::Refused(refused))
        }
        other => Err(ConnectError::Protocol(FrameError::UnexpectedKind(other))),
    }
}

/// Opens the socket and makes sure that it is ours: the environment that follows holds secrets.
async fn open(socket: &Path) -> Result<Stream, ConnectError> {
    loop {
        let name = transport::socket_name(socket).map_err(|error| io_error(socket, error))?;
        let stream = Stream::connect(name)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ConnectError::NotRunning
                }
                _ => io_error(socket, error),
            })?;
        match Peer::of(&stream) {
            // Root may listen in our name: some service managers open the sockets of their users.
            Ok(Peer { uid: Some(uid), .. }) if uid != 0 && Some(uid) != transport::our_uid() => {
                return Err(ConnectError::ForeignDaemon {
                    path: socket.to_owned(),
                    uid,
                });
            }
            Ok(_) => return Ok(stream),
            // A socket that is not connected has no peer: the queue was full, which Linux reports by
            // leaving the socket as it was. The caller's deadline ends this.
            Err(error) if is_closed(&error) => tokio::time::sleep(FULL_QUEUE_PAUSE).await,
            Err(error) => return Err(io_error(socket, error)),
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

fn io_error(path: &Path, source: io::Error) -> ConnectError {
    ConnectError::Io {
        path: path.to_owned(),
        source,
    }
}
