//! End-to-end suites: the real binaries, real sockets, real terminals and real
//! processes. Only the model is scripted.
//!
//! Each module is one promise to the people who use the product; each test's
//! name is a sentence of it.

#![cfg(target_os = "linux")]
// Failing loudly is what tests are for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod agent_trust;
mod answers;
mod approvals;
mod audit;
mod autopilot;
mod cancel;
mod content;
mod conversation;
mod crash_points;
mod crashes;
mod desktop;
mod device_commands;
mod device_credit;
mod device_limits;
mod exit_codes;
mod fetch;
mod floods;
mod foreign_client;
mod full_disk;
mod hostile_clients;
mod hostile_relay;
mod long;
mod managed;
mod modes;
mod network_change;
mod one_shot;
mod pairing;
mod paths;
mod plans;
mod providers;
mod proxies;
mod random_inputs;
mod reducer_fixtures;
mod remote_answers;
mod remote_budget;
mod remote_refusals;
mod remote_relays;
mod remote_terminal;
mod self_hosting;
mod service;
mod slash_commands;
mod starting;
mod terminals;
mod undo;
