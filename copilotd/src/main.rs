//! `copilotd`: hosts agent sessions for the terminals and devices of one person.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use copilotd::config::LogLevel;
use copilotd::{Options, run, service};
use ipc_proto::paths::Paths;
use ipc_proto::server::BindError;

/// The daemon behind `copilot`. It starts by itself when a command needs it.
#[derive(Debug, Parser)]
#[command(name = "copilotd", version)]
struct Arguments {
    /// Stay in the foreground, in the current process. This is what service managers and the
    /// command line use; without it the daemon detaches itself.
    #[arg(long)]
    foreground: bool,
    /// Log level, over the settings: error, warn, info, debug or trace.
    #[arg(long, env = "COPILOTD_LOG")]
    log_level: Option<LogLevel>,
    /// Log to standard error as well as to the log file.
    #[arg(long)]
    log_to_stderr: bool,
    /// Seconds after which a session that is quiet and that nobody watches leaves memory
    /// [default: 900]
    #[arg(long, env = "COPILOTD_PARK_AFTER", value_name = "SECONDS")]
    park_after: Option<u64>,
}

const PARK_AFTER: Duration = Duration::from_secs(15 * 60);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = if arguments.foreground {
        foreground(arguments)
    } else {
        detach()
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            service::say(&format!("error: {error:#}"));
            let already = matches!(
                error.downcast_ref::<BindError>(),
                Some(BindError::AlreadyRunning)
            );
            ExitCode::from(if already { 3 } else { 1 })
        }
    }
}

fn foreground(arguments: Arguments) -> anyhow::Result<()> {
    // A session of its own, so that no terminal can take it along; it has one already when a
    // person or a service manager started it as a leader.
    let _ = nix::unistd::setsid();
    let options = Options {
        paths: Paths::from_environment()?,
        log_level: arguments.log_level,
        log_to_stderr: arguments.log_to_stderr,
        built_in_agent: built_in_agent()?,
        park_after: arguments.park_after.map_or(PARK_AFTER, Duration::from_secs),
    };
    options.paths.prepare_runtime_dir()?;
    // One thread serves everybody; file access and hashing go to short-lived helpers.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()?;
    let result = runtime.block_on(run(options));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    result
}

/// Starts the same program in the background and waits until it is ready.
fn detach() -> anyhow::Result<()> {
    use std::io::BufRead as _;
    use std::os::unix::process::CommandExt as _;
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--foreground")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .process_group(0)
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        std::io::BufReader::new(stdout).read_line(&mut line)?;
    }
    match line.trim() {
        "ready" => Ok(()),
        "" => anyhow::bail!("the daemon ended before it was ready; its log says why"),
        reason => anyhow::bail!("{}", reason.trim_start_matches("error: ")),
    }
}

/// The agent is installed beside the daemon; COPILOT_AGENT_BIN names another.
fn built_in_agent() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("COPILOT_AGENT_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    Ok(own.with_file_name("copilot-agent"))
}
