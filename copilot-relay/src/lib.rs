//! The relay: a switchboard between machines (`copilotd`) and devices, which it authenticates and whose sealed
//! messages it carries without being able to read or forge them. `docs/link-protocol.md` is the contract.
//!
//! Owns: the sockets and what is said on them ([`link`]), who is connected and how a message gets to whom
//! ([`switchboard`]), what is remembered ([`store`], [`accounts`]), the HTTP side ([`http`]), connections and
//! TLS ([`serve`], [`tls`], [`acme`]), and the life of the process (`run`).
//!
//! Must never: know what a session is, keep a token in clear, log an id in full, or wait for a peer without a
//! limit. Everything that comes in is hostile until checked.

#![cfg(unix)]

pub mod accounts;
pub mod acme;
pub mod bucket;
pub mod clock;
mod digest;
pub mod http;
pub mod limits;
pub mod link;
pub mod metrics;
pub mod places;
pub mod relay;
mod run;
pub mod serve;
pub mod store;
pub mod switchboard;
pub mod tls;
mod words;

pub use digest::TokenDigest;
pub use run::{Options, Started, start};

/// What the relay calls itself on a link.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Chooses the cryptography of this process. Once more does nothing.
pub fn install_crypto() {
    // It fails only when one was chosen already, which was this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
