//! `copilot daemon …`: the daemon itself. Only `start` ever starts one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc_proto::control::{ControlReply, ControlRequest, DaemonStatus};
use ipc_proto::paths::Paths;
use ipc_proto::server::InstanceLock;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use super::sessions::age;
use crate::args::DaemonCommand;
use crate::client::{Client, ClientError, Identity, connect, connect_running, daemon_path};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::service;
use crate::text::sanitize;

/// How long a daemon may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked whether one that closed its connections has ended.
const STOP_PAUSE: Duration = Duration::from_millis(10);
/// How often a followed log is looked at.
const FOLLOW_PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn run(
    paths: &Paths,
    command: DaemonCommand,
    out: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        DaemonCommand::Start => {
            let identity = Identity::command("daemon start");
            let mut client = connect(paths, &identity.client_id).await?;
            let status = status(&mut client).await?;
            out.note(&format!(
                "copilotd {} runs (pid {})",
                status.version, status.pid
            ));
        }
        DaemonCommand::Stop { force } => stop(paths, force, out).await?,
        DaemonCommand::Status { json } => {
            let identity = Identity::command("daemon status");
            let mut client = connect_running(paths, &identity.client_id).await?;
            let status = status(&mut client).await?;
            if json {
                out.json(&status_json(&status))?;
            } else {
                out.data(&status_text(&status, Timestamp::now()))?;
            }
        }
        DaemonCommand::Logs { follow, lines } => logs(&paths.log_dir(), follow, lines, out).await?,
        DaemonCommand::Install { dry_run } => {
            service::install(paths, &daemon_path(), dry_run, out)
                .map_err(|e| CliError::new("could not install the service").because(&e))?;
        }
        DaemonCommand::Uninstall { dry_run } => {
            service::uninstall(paths, dry_run, out)
                .map_err(|e| CliError::new("could not remove the service").because(&e))?;
        }
    }
    Ok(Exit::Done)
}

async fn status(client: &mut Client) -> Result<DaemonStatus, CliError> {
    match client.control(ControlRequest::Status).await? {
        ControlReply::Status(status) => Ok(status),
        _ => Err(CliError::new(
            "the daemon answered something else than its status",
        )),
    }
}

async fn stop(paths: &Paths, force: bool, out: &mut Output) -> Result<(), CliError> {
    let identity = Identity::command("daemon stop");
    let mut client = connect_running(paths, &identity.client_id).await?;
    let pid = status(&mut client).await?.pid;
    match client.control(ControlRequest::Stop { force }).await {
        // It may be gone before its answer is.
        Ok(_) | Err(ClientError::Closed | ClientError::Transport(_)) => {}
        Err(error) => return Err(error.into()),
    }
    // It has stopped when it writes no more, not when it says that it will.
    let stopped = async {
        loop {
            match client.next().await {
                Ok(_) => {}
                Err(ClientError::Closed | ClientError::Transport(_)) => break,
                Err(error) => return Err(error),
            }
        }
        // The next one may hold the lock by now.
        while InstanceLock::is_held(paths) && is_alive(pid) {
            tokio::time::sleep(STOP_PAUSE).await;
        }
        Ok(())
    };
    tokio::time::timeout(STOP_LIMIT, stopped)
        .await
        .map_err(|_| {
            CliError::new("the daemon does not stop").hint("`copilot daemon stop --force`")
        })??;
    out.note("the daemon has stopped");
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

fn status_json(status: &DaemonStatus) -> serde_json::Value {
    json!({
        "pid": status.pid,
        "version": status.version,
        "startedAtUnixMs": status.started_at_unix_ms,
        "sessions": status.sessions,
        "sessionsWorking": status.sessions_working,
        "clients": status.clients,
        "socket": status.socket,
        "logDir": status.log_dir,
        "settingsFile": status.settings_file,
        "settingsProblems": status.settings_problems,
        "serviceManaged": status.service_managed,
    })
}

fn status_text(status: &DaemonStatus, now: Timestamp) -> String {
    let started = i64::try_from(status.started_at_unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let since = started.map_or("?".to_owned(), |at| age(at, now));
    let managed = if status.service_managed {
        "a service"
    } else {
        "started by a command"
    };
    let mut text = format!(
        "copilotd {} (pid {}), up {since}, {managed}\n\
         sessions   {} ({} working)\n\
         clients    {}\n\
         socket     {}\n\
         logs       {}\n\
         settings   {}\n",
        status.version,
        status.pid,
        status.sessions,
        status.sessions_working,
        status.clients,
        status.socket,
        status.log_dir,
        status.settings_file,
    );
    for problem in &status.settings_problems {
        text.push_str(&format!("problem    {problem}\n"));
    }
    sanitize(&text)
}

/// The log that is written to: file names carry the date, so the last one.
fn newest_log(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("copilotd.") && name.ends_with(".log"))
        })
        .max()
}

async fn logs(folder: &Path, follow: bool, lines: usize, out: &mut Output) -> Result<(), CliError> {
    let Some(mut path) = newest_log(folder) else {
        return Err(
            CliError::new(format!("there is no log in {}", folder.display()))
                .hint("the daemon writes one when it runs"),
        );
    };
    let cannot_read = |path: &Path, e: std::io::Error| {
        CliError::new(format!("could not read {}", path.display())).because(&e)
    };
    let mut file = File::open(&path).map_err(|e| cannot_read(&path, e))?;
    let mut tail = VecDeque::new();
    let mut reader = BufReader::new(&mut file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader
            .read_until(b'\n', &mut line)
            .map_err(|e| cannot_read(&path, e))?
            == 0
        {
            break;
        }
        tail.push_back(String::from_utf8_lossy(&line).into_owned());
        if tail.len() > lines {
            tail.pop_front();
        }
    }
    for line in tail {
        out.data(&sanitize(&line))?;
    }
    let mut position = file.stream_position().map_err(|e| cannot_read(&path, e))?;
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(FOLLOW_PAUSE).await;
        let mut more = Vec::new();
        file.seek(std::io::SeekFrom::Start(position))
            .and_then(|_| file.read_to_end(&mut more))
            .map_err(|e| cannot_read(&path, e))?;
        position += more.len() as u64;
        out.data(&sanitize(&String::from_utf8_lossy(&more)))?;
        // A new day has a new file; what the old one still got was read above.
        if let Some(newest) = newest_log(folder).filter(|newest| *newest > path) {
            file = File::open(&newest).map_err(|e| cannot_read(&newest, e))?;
            path = newest;
            position = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_reads_well_and_names_problems() {
        let status = DaemonStatus {
            pid: 7,
            version: "0.1.0".to_owned(),
            started_at_unix_ms: 1_000_000,
            sessions: 3,
            sessions_working: 1,
            clients: 2,
            socket: "/run/s".to_owned(),
            log_dir: "/logs".to_owned(),
            settings_file: "/c/settings.json".to_owned(),
            settings_problems: vec!["`modle` is not a setting".to_owned()],
            service_managed: false,
        };
        let now = Timestamp::from_second(1_000 + 3 * 3600).unwrap();
        assert_eq!(
            status_text(&status, now),
            "copilotd 0.1.0 (pid 7), up 3h, started by a command\n\
             sessions   3 (1 working)\nclients    2\nsocket     /run/s\nlogs       /logs\n\
             settings   /c/settings.json\nproblem    `modle` is not a setting\n"
        );
        assert_eq!(status_json(&status)["sessionsWorking"], 1);
    }
}
