//! What the product costs: the figures of `docs/performance.md`, one a line.
//!
//! `cargo xtask bench` runs this with release binaries. It measures and asserts nothing: a machine
//! that is busy gives other figures, and the suites check what must hold anywhere.

#![cfg(target_os = "linux")]
// It is a program for developers: failing loudly and printing are its job.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod clients;
mod flood;
mod measure;
mod remote;
mod rest;
mod start;
mod stored;

/// A figure's name and what measures it.
const FIGURES: [(&str, fn()); 9] = [
    ("verb", start::a_verb_and_an_attach),
    ("rest", rest::a_daemon_at_rest),
    ("echo", clients::an_action_to_another_terminal),
    ("slow-clients", clients::slow_clients_beside_others),
    ("flood", flood::a_command_that_prints_200_mib),
    ("device", remote::an_action_to_a_device),
    ("answer", remote::an_answer_of_a_device),
    ("link-rest", remote::a_link_at_rest),
    (
        "stored",
        stored::a_thousand_sessions_and_five_thousand_turns,
    ),
];

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let chosen = FIGURES.iter().filter(|(name, _)| name.contains(&filter));
    for (name, measure) in chosen {
        println!("{name}");
        measure();
    }
}
