//! What a machine, a relay and a device say to each other.
//!
//! Owns: the names and keys of the three ([`ids`], [`keys`]), the links a person opens ([`links`]), the
//! messages on a link socket ([`control`], [`frame`], [`poll`]) and over HTTP ([`http`]), and the channel
//! between a machine and a device that nobody in the middle can read or forge ([`noise`], [`channel`]).
//! `docs/link-protocol.md` is the contract that this crate implements, `docs/remote-security.md` says why.
//!
//! Must never: do I/O, know the time, or know what a session is. Messages of a session pass through as
//! text. Everything it reads is hostile until decoded: wrong bytes are an error, lengths are checked before
//! memory is taken, and no secret is in an error or in `Debug`.

pub mod channel;
pub mod control;
pub mod frame;
pub mod http;
pub mod ids;
pub mod keys;
pub mod links;
pub mod names;
pub mod noise;
pub mod poll;
mod text;
