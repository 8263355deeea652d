//! `cargo xtask …`: the one entry point for people who work on this project.
//!
//! Each verb is one file. Everything here drives `cargo` and the built
//! binaries from outside; it never links against the product's crates, so it
//! builds in seconds and cannot hide a broken binary.

mod bench;
mod binaries;
mod browser;
mod ci;
mod demo;
mod dev;
mod disk;
mod interrupt;
mod run;
mod say;
mod scratch;
mod test;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, try, test and check the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show a whole session with a scripted model, in a scratch folder.
    ///
    /// With a terminal you are attached to it; without one (`</dev/null`) the
    /// demo answers its own questions through `copilot answer`, prints the
    /// transcript and fails when anything is off.
    Demo(demo::Options),
    /// Build everything once and run every test, end to end and in a browser included.
    Test(test::Options),
    /// What must pass before a change is merged: format, lints, tests,
    /// licences, documentation.
    Ci,
    /// Measure what the product costs, with release binaries on this machine.
    Bench(bench::Options),
    /// Run the daemon in the foreground in a scratch home, with debug logs.
    Dev,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Ci => ci::run(),
        Verb::Bench(options) => bench::run(&options),
        Verb::Dev => dev::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
