//! The relay over real sockets: a server, HTTP and websocket clients, a clock that the test advances.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod acme;
mod channels;
mod http;
mod life;
mod limits;
mod pairing;
mod polls;
mod presence;
mod support;
