//! What those who stand between a machine and its relay have in common.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Listens on loopback until it is dropped, which ends all its connections.
pub(crate) struct Listener {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Listener {
    /// Does this with every connection, each in a task of its own.
    pub(crate) fn start<F>(mut serve: impl FnMut(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// Where it listens, as an address for HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A test that failed elsewhere is no reason to fail here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The beginning of a request, at least to the end of its head; nothing when the connection ends before.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// The same request, whose answer is the last on its connection.
pub(crate) fn asked_to_close(request: &[u8]) -> Vec<u8> {
    let line = request.windows(2).position(|window| window == b"\r\n");
    let (line, rest) = request.split_at(line.map_or(0, |end| end + 2));
    [line, b"connection: close\r\n", rest].concat()
}
