//! A daemon and a client made of plain sockets, so that a test says itself what is on the wire.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;

use ipc_proto::frame::Kind;
use ipc_proto::hello::{Hello, Trust, Welcome};
use ipc_proto::paths::Paths;
use ipc_proto::server::{InstanceLock, Listener};
use ipc_proto::{Connection, client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// The name that tests give as their build.
pub(crate) const BUILD: &str = "test 1";

/// A scratch home with a runtime folder in it.
pub(crate) fn scratch() -> (tempfile::TempDir, Paths) {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path());
    paths.prepare_runtime_dir().unwrap();
    (home, paths)
}

/// The one daemon of these folders.
pub(crate) fn listening(paths: &Paths) -> (Listener, InstanceLock) {
    let lock = InstanceLock::acquire(paths).unwrap();
    (Listener::bind(paths, &lock).unwrap(), lock)
}

/// One frame's bytes, right or wrong.
pub(crate) fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 2).to_be_bytes().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(payload);
    bytes
}

/// The first frame of a client that speaks versions `min` to `max`.
pub(crate) fn hello(min: u16, max: u16) -> Vec<u8> {
    frame(
        Kind::Hello as u8,
        0,
        &Hello {
            min,
            max,
            build: BUILD.to_owned(),
        }
        .encode(),
    )
}

/// Reads one frame: its kind and payload.
pub(crate) async fn read_frame(socket: &mut UnixStream) -> std::io::Result<(u8, Vec<u8>)> {
    let length = socket.read_u32().await? as usize;
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await?;
    Ok((bytes[0], bytes.split_off(2)))
}

/// A daemon's end of a connection, and the plain socket at the other end of it.
pub(crate) async fn daemon_end(listener: &Listener, socket: &Path) -> (Connection, UnixStream) {
    let mut raw = UnixStream::connect(socket).await.unwrap();
    raw.write_all(&hello(1, 1)).await.unwrap();
    let incoming = listener.accept().await.unwrap();
    let connection = incoming.handshake(BUILD, Trust::Local).await.unwrap();
    assert_eq!(read_frame(&mut raw).await.unwrap().0, Kind::Welcome as u8);
    (connection, raw)
}

/// A client's end of a connection, and the plain socket at the other end of it.
pub(crate) async fn client_end(paths: &Paths) -> (Connection, UnixStream) {
    let listener = UnixListener::bind(paths.socket()).unwrap();
    let answer = async {
        let (mut raw, _) = listener.accept().await.unwrap();
        assert_eq!(read_frame(&mut raw).await.unwrap().0, Kind::Hello as u8);
        let welcome = Welcome {
            version: 1,
            trust: Trust::Local,
            build: BUILD.to_owned(),
        };
        raw.write_all(&frame(Kind::Welcome as u8, 0, &welcome.encode()))
            .await
            .unwrap();
        raw
    };
    let socket = paths.socket();
    let (connection, raw) = tokio::join!(client::connect(&socket, BUILD), answer);
    (connection.unwrap(), raw)
}
