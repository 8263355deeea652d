//! The `copilot` command: a thin client of `copilotd`.
//!
//! Owns the command line and the terminal. Never runs an agent, never talks to a
//! model, and never decides anything about a session: the daemon does.

pub mod args;
pub mod client;
mod commands;
pub mod error;
pub mod events;
mod export;
pub mod output;
mod qr;
mod service;
mod terminal;
pub mod text;
pub mod tool_view;
mod turn_view;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::error::{CliError, Exit};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2. When
            // nobody reads them, there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let exit = match run(cli) {
        Ok(exit) => exit,
        Err(error) => {
            let _ = std::io::stderr()
                .lock()
                .write_all(error.render().as_bytes());
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::new("could not start").because(&e))?;
    let result = runtime.block_on(commands::run(cli));
    // A read of the terminal or of a pipe may still be blocked in a helper thread.
    runtime.shutdown_background();
    result
}
