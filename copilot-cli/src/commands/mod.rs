//! The commands: one verb, one file.

mod answer;
mod attach;
mod audit;
mod cancel;
mod daemon;
mod devices;
mod export;
mod login;
mod new;
mod permissions;
mod prompt;
mod reach;
mod remote;
mod rename;
mod resume;
mod search;
mod send;
mod sessions;
mod undo;

use std::path::PathBuf;

use ahp_types::state::SessionSummary;
use ipc_proto::paths::Paths;

use crate::args::{Cli, Command};
use crate::client::{Client, ClientError, Identity, connect, list_sessions, resolve};
use crate::error::{CliError, Exit};
use crate::output::{self, Output};

/// Runs what the command line asks for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, CliError> {
    let mut out = Output::default();
    let paths = Paths::from_environment()
        .map_err(|e| CliError::new("cannot tell where the daemon's files are").because(&e))?;
    if let Some(flag) = cli.run.flag_without_prompt() {
        return Err(CliError::usage(format!("{flag} only goes with -p PROMPT")));
    }
    match cli.command {
        None if cli.run.prompt.is_some() => prompt::run(&paths, cli.run, &mut out).await,
        None if cli.run.continue_newest || cli.run.resume.is_some() => {
            resume::run(&paths, cli.run, &mut out).await
        }
        None => new::run(&paths, cli.run, &mut out).await,
        Some(Command::Attach(args)) => attach::run(&paths, args, &mut out).await,
        Some(Command::Sessions { command }) => sessions::run(&paths, command, &mut out).await,
        // Without a text there is `--continue`: the parser demands one of them.
        Some(Command::Send { session, text, .. }) => send::run(&paths, &session, text).await,
        Some(Command::Answer(args)) => answer::run(&paths, args, &mut out).await,
        Some(Command::Cancel { session }) => {
            cancel::run(&paths, "cancel", &session, &mut out).await
        }
        Some(Command::Permissions { command }) => permissions::run(&paths, command, &mut out).await,
        Some(Command::Undo {
            session,
            turn,
            dry_run,
            json,
        }) => undo::run(&paths, &session, turn, dry_run, json, &mut out).await,
        Some(Command::Audit(args)) => audit::run(&paths, args, &mut out).await,
        Some(Command::Remote { command }) => remote::run(&paths, command, &mut out).await,
        Some(Command::Devices { command }) => devices::run(&paths, command, &mut out).await,
        Some(Command::Login { relay }) => login::login(&paths, relay, &mut out).await,
        Some(Command::Logout) => login::logout(&paths, &mut out).await,
        Some(Command::Daemon { command }) => daemon::run(&paths, command, &mut out).await,
    }
}

/// A connection that was introduced, with the daemon started when none ran.
async fn connected(paths: &Paths, identity: &Identity) -> Result<Client, CliError> {
    let mut client = connect(paths, &identity.client_id).await?;
    client.initialize(identity).await?;
    Ok(client)
}

/// The same for a command that creates or attaches: its sessions get the
/// environment of this process.
async fn connected_with_environment(
    paths: &Paths,
    identity: &Identity,
) -> Result<Client, CliError> {
    let mut client = connect(paths, &identity.client_id).await?;
    let left_out = client.provide_environment().await?;
    if let Some(warning) = incomplete_environment(&left_out) {
        output::note(&warning);
    }
    client.initialize(identity).await?;
    Ok(client)
}

/// What people are told when the daemon cannot have all of their environment.
fn incomplete_environment(left_out: &[String]) -> Option<String> {
    let (first, others) = left_out.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        1 => " and one other variable".to_owned(),
        count => format!(" and {count} other variables"),
    };
    Some(format!(
        "warning: this environment is too large for the daemon (1 MiB); the agent works without \
         {first}{others}"
    ))
}

/// The session that a person named.
async fn find_session(client: &mut Client, wanted: &str) -> Result<SessionSummary, CliError> {
    let sessions = list_sessions(client).await?;
    resolve(&sessions, wanted).cloned().map_err(|e| {
        CliError::new(e.to_string()).hint("`copilot sessions list --all` shows every session")
    })
}

fn working_folder() -> Result<PathBuf, CliError> {
    std::env::current_dir().map_err(|e| {
        CliError::new("cannot tell the current folder")
            .because(&e)
            .hint("change to a folder that exists")
    })
}

/// Follows the connection until the host has taken or refused this input.
async fn confirmed(
    attached: &mut crate::client::Attached,
    input: i64,
) -> Result<Result<(), String>, ClientError> {
    loop {
        match attached.next().await? {
            crate::client::Update::Confirmed(seq) if seq == input => return Ok(Ok(())),
            crate::client::Update::Rejected { input: seq, reason } if seq == input => {
                return Ok(Err(reason));
            }
            crate::client::Update::Removed => return Ok(Err("the session was deleted".to_owned())),
            _ => {}
        }
    }
}
