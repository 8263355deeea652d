//! The built-in coding agent: an ACP v1 server on stdio.
//!
//! This crate owns the loop of a turn (model, tools, model again), the model client, the
//! tools, and the conversation that is kept for a resume. It knows its peer only as an ACP
//! client: it must never know the daemon, its sessions or any of their protocols, and it
//! never writes anything but ACP to stdout (logs go to stderr).

pub mod acp;
pub mod conversation;
pub mod mode;
pub mod model;
pub mod process;
pub mod prompt;
pub mod session;
pub mod tools;
pub mod turn;

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

const HELP: &str = "\
copilot-agent: the built-in coding agent. It speaks the Agent Client Protocol
(ACP v1) on stdin and stdout and is started by a client such as copilotd.
To talk to it yourself, run `copilot`.

Options:
  --version    print the version
  --help       print this text

Environment:
  COPILOT_PROVIDER_BASE_URL, COPILOT_PROVIDER_TYPE (openai, azure, anthropic),
  COPILOT_PROVIDER_API_KEY, COPILOT_PROVIDER_WIRE_API (completions, responses),
  COPILOT_MODEL            the model and where it is served
  COPILOT_GITHUB_TOKEN, GH_TOKEN, GITHUB_TOKEN
                           a token that selects GitHub Models
  COPILOT_SCRIPTED_MODEL   a scenario file, or `demo`: no model at all
  COPILOT_AGENT_STATE_DIR  where conversations are kept for a resume
  COPILOT_AGENT_LOG        error, warn, info, debug or trace, on stderr
";

/// Runs the agent until its client closes stdin or it is told to end. Returns the exit code:
/// 0 after a clean end, 1 after a failure, 2 for wrong arguments.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    if let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--version" | "-V") => {
                return print(&format!("copilot-agent {}\n", env!("CARGO_PKG_VERSION")));
            }
            Some("--help" | "-h") => return print(HELP),
            _ => {
                complain(&format!("error: unknown argument {}", argument.display()));
                complain("hint: copilot-agent --help");
                return ExitCode::from(2);
            }
        }
    }
    if std::io::stdin().is_terminal() {
        complain("copilot-agent speaks ACP on stdin; to talk to an agent, run `copilot`");
    }
    start_logging();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // Both rustls providers may be compiled in by other crates, so one is chosen here.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was installed already");
    }
    process::adopt_orphans();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(acp::serve_stdio());
    // A read of stdin cannot be interrupted and must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Only this crate logs at the level asked for: the HTTP client below it could print headers,
/// and with them the key of the model.
fn start_logging() {
    let level = std::env::var("COPILOT_AGENT_LOG").unwrap_or_default();
    let level = match level.trim() {
        level @ ("error" | "warn" | "info" | "debug" | "trace") => level,
        _ => "warn",
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(EnvFilter::new(format!("off,copilot_agent={level}")))
        .init();
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Nothing is left to do when stderr is gone as well.
    let _ = writeln!(std::io::stderr(), "{text}");
}
