//! Standard input and output as streams. A host connects pipes, which are read and written without a
//! thread in between: that would cost each message more time than anything else here.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::unix::pipe,
};

pub(super) fn input() -> Box<dyn AsyncRead + Unpin + Send> {
    match own(&io::stdin()).and_then(pipe::Receiver::from_owned_fd) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdin()),
    }
}

pub(super) fn output() -> Box<dyn AsyncWrite + Unpin + Send> {
    match own(&io::stdout()).and_then(pipe::Sender::from_owned_fd) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdout()),
    }
}

fn own(stream: &impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}
