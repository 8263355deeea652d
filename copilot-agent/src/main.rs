//! Entry point of `copilot-agent`. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    copilot_agent::main(std::env::args_os().skip(1))
}
