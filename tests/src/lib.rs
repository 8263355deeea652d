//! The harness of the end-to-end suites.
//!
//! A test makes a [`Home`] (a scratch `COPILOTD_HOME`, a git repository to
//! work in, a scripted model), talks to the real binaries in it through
//! commands, real terminals ([`Pty`]) and the daemon's socket ([`Client`],
//! [`Attached`]), and says what it waits for. Nothing here sleeps: a wait ends
//! with the event, or fails at its deadline with what was seen until then.
//! Whatever happens, dropping the home ends every process that belongs to it.

#![cfg(unix)]
// This crate is tests through and through: failing loudly is its job.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

pub mod attached;
mod binaries;
mod client;
pub mod device;
mod foreign;
mod home;
pub mod hostile_relay;
mod listener;
mod model_server;
mod pause;
mod process;
pub mod proxy;
mod pty;
mod random;
pub mod remote;
mod scenario;
pub mod scene;
mod slow;
mod small_disk;
mod wait;

pub use attached::Attached;
pub use binaries::binary;
pub use client::{Client, RpcError, Trust};
pub use device::{Device, DeviceChannel};
pub use foreign::SocketTransport;
pub use home::{Home, Run};
pub use hostile_relay::HostileRelay;
pub use model_server::{ModelServer, Reply};
pub use pause::PausePoints;
pub use process::{is_alive, memory_bytes, of_session, peak_memory_bytes, with_environment};
pub use pty::{Modes, Pty};
pub use random::Random;
pub use remote::{Relay, Remote, free_address};
pub use scenario::{Scenario, say, tool};
pub use slow::SlowClients;
pub use small_disk::SmallDisk;
pub use wait::{DEADLINE, until};
