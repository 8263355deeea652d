//! What the command line and the daemon say to each other on one machine.
//!
//! Owns: where the files of the product live ([`paths`]), the frames and messages of the local socket
//! ([`frame`], [`message`], [`hello`], [`control`]) and both halves of the transport ([`client`],
//! [`server`]). `docs/protocol.md` is the contract that this crate implements.
//!
//! Must never: look inside an AHP message (they pass through as bytes), know the daemon, an agent or a
//! screen, or open anything but an owner-only local socket. Everything it reads is hostile until decoded:
//! wrong bytes are an error of that one connection, and lengths are checked before memory is taken.

pub mod client;
mod codec;
mod connection;
pub mod control;
pub mod frame;
pub mod hello;
pub mod message;
pub mod paths;
pub mod server;
mod transport;

pub use codec::CodecError;
pub use connection::{Connection, MessageReader, MessageWriter};
