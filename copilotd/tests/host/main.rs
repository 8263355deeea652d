//! The host in one process: real session actors and real agent processes, which are shell scripts;
//! clients without a transport in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "everything here is a test, also what is not marked as one"
)]

mod agents;
mod cancel;
mod client;
mod clients;
mod commands;
mod connections;
mod halfway;
mod modes;
mod permissions;
mod queue;
mod remote;
mod script;
mod sessions;
mod turns;
mod world;
