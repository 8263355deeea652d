//! The `copilot` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    copilot_cli::main()
}
