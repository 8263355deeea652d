//! Reaching the daemon, and starting it when none runs.
//!
//! Of any number of clients that find no daemon, one starts it: the start lock is
//! held from the second look to the daemon's word that it listens.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ipc_proto::Connection;
use ipc_proto::client::ConnectError;
use ipc_proto::paths::Paths;
use nix::fcntl::{Flock, FlockArg};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Client;
use super::connection::open;
use crate::error::{CliError, Exit};

/// Names the daemon's program, instead of looking for it.
pub(crate) const COPILOTD_BIN: &str = "COPILOTD_BIN";

/// How long a daemon may take until it listens. It may wait for another one to end first, which takes
/// a while when that one has agents to end.
const START_LIMIT: Duration = Duration::from_secs(25);

/// How often, and with which pauses, a daemon that is shutting down is tried again.
const CLOSING_TRIES: u32 = 40;
const CLOSING_PAUSE: Duration = Duration::from_millis(100);

/// Connects to the daemon, starting it when none runs.
pub async fn connect(paths: &Paths, client_id: &str) -> Result<Client, CliError> {
    let socket = paths.socket();
    let mut tries = 0;
    let connection = loop {
        match open(&socket).await {
            Err(ConnectError::NotRunning) => break start_once(paths, &socket).await?,
            // It is shutting down; soon there is none, and one can be started.
            Err(ConnectError::Closed) if tries < CLOSING_TRIES => {
                tries += 1;
                tokio::time::sleep(CLOSING_PAUSE).await;
            }
            result => break result.map_err(connect_failed)?,
        }
    };
    Ok(Client::new(connection, client_id))
}

/// Connects to the daemon that runs, or says that there is none.
pub async fn connect_running(paths: &Paths, client_id: &str) -> Result<Client, CliError> {
    let connection = open(&paths.socket()).await.map_err(connect_failed)?;
    Ok(Client::new(connection, client_id))
}

fn connect_failed(error: ConnectError) -> CliError {
    match error {
        ConnectError::NotRunning => CliError::with_exit(Exit::NoDaemon, "no daemon is running")
            .hint("`copilot daemon start` starts one"),
        refused @ ConnectError::Refused(_) => CliError::with_exit(
            Exit::Incompatible,
            "this copilot and the running daemon speak no common version",
        )
        .because(&refused),
        other => {
            CliError::with_exit(Exit::NoDaemon, "could not connect to the daemon").because(&other)
        }
    }
}

async fn start_once(paths: &Paths, socket: &Path) -> Result<Connection, CliError> {
    let lock_file = paths.start_lock_file();
    let cannot_lock = |error: std::io::Error| {
        CliError::with_exit(Exit::NoDaemon, "could not start the daemon").cause(format!(
            "cannot use the lock file {}: {error}",
            lock_file.display()
        ))
    };
    paths.prepare_runtime_dir().map_err(|e| {
        CliError::with_exit(Exit::NoDaemon, "could not start the daemon").because(&e)
    })?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_file)
        .map_err(cannot_lock)?;
    // Blocking is what is wanted: nothing else can happen until whoever holds the
    // lock has its daemon, which START_LIMIT bounds.
    let _lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| cannot_lock(errno.into()))?;
    match open(socket).await {
        Err(ConnectError::NotRunning) => {}
        result => return result.map_err(connect_failed),
    }
    spawn(paths).await?;
    open(socket).await.map_err(connect_failed)
}

/// The daemon's program: named by the environment, else beside this one, else on PATH.
fn daemon_program() -> PathBuf {
    if let Some(named) = std::env::var_os(COPILOTD_BIN).filter(|v| !v.is_empty()) {
        return named.into();
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("copilotd")))
        .filter(|path| path.is_file());
    beside.unwrap_or_else(|| PathBuf::from("copilotd"))
}

/// The daemon's program, as an absolute path where it can be found.
pub(crate) fn daemon_path() -> PathBuf {
    let program = daemon_program();
    if program.components().count() > 1 {
        return std::path::absolute(&program).unwrap_or(program);
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(&program))
            .find(|candidate| candidate.is_file())
    });
    on_path.unwrap_or(program)
}

/// Starts the daemon and waits until it listens. It says `ready` on its stdout, or
/// why not; it leaves our process group so that Ctrl+C here does not reach it.
async fn spawn(paths: &Paths) -> Result<(), CliError> {
    let program = daemon_program();
    let failed = |cause: String| {
        CliError::with_exit(Exit::NoDaemon, "could not start the daemon")
            .cause(cause)
            .hint(format!("its log is in {}", paths.log_dir().display()))
    };
    let mut child = tokio::process::Command::new(&program)
        .arg("--foreground")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()
        .map_err(|error| {
            failed(format!("{}: {error}", program.display())).hint(format!(
                "install copilotd beside copilot, or name it with {COPILOTD_BIN}"
            ))
        })?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| failed("its output cannot be read".to_owned()))?;
    let wait = async {
        let mut lines = BufReader::new(stdout).lines();
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await.map_err(|e| failed(e.to_string()))? {
            if line.trim() == "ready" {
                return Ok(());
            }
            said.push(line);
        }
        let reason = said
            .iter()
            .map(|line| line.trim().trim_start_matches("error: "))
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        Err(failed(if reason.is_empty() {
            format!("{} ended without a word", program.display())
        } else {
            reason
        }))
    };
    match tokio::time::timeout(START_LIMIT, wait).await {
        Ok(result) => result,
        Err(_) => Err(failed(format!(
            "it did not get ready within {} seconds",
            START_LIMIT.as_secs()
        ))),
    }
}
