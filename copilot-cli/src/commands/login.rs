//! `copilot login --relay URL` and `copilot logout`: which relay devices come through.

use std::io::{BufRead as _, IsTerminal as _};

use ipc_proto::control::{ControlReply, ControlRequest, JoinRelay, Secret};
use ipc_proto::paths::Paths;

use super::connected;
use crate::client::{Device, Identity, devices};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::one_line;

/// Names the enrolment token for scripts; otherwise it is read from standard input.
const TOKEN_VARIABLE: &str = "COPILOT_RELAY_ENROLMENT_TOKEN";

pub(super) async fn login(
    paths: &Paths,
    relay: String,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("login")).await?;
    let join = JoinRelay {
        relay: relay.clone(),
        enrolment_token: Secret(enrolment_token(out)?),
    };
    expect_done(client.control(ControlRequest::JoinRelay(join)).await?)?;
    out.note(&format!("this machine has joined the relay {relay}"));
    let all = devices(&mut client).await?;
    if let Some(names) = names(&all, |device| !device.comes) {
        out.note(&format!(
            "these devices were paired through another relay and do not come through this one: {names}"
        ));
        out.note("`copilot devices pair` pairs them here");
    }
    Ok(Exit::Done)
}

pub(super) async fn logout(paths: &Paths, out: &mut Output) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("logout")).await?;
    let all = devices(&mut client).await?;
    expect_done(client.control(ControlRequest::LeaveRelay).await?)?;
    out.note("this machine has left its relay");
    if let Some(names) = names(&all, |device| device.comes) {
        out.note(&format!(
            "these devices came through it and cannot come any more, not even when it is joined again: {names}"
        ));
        out.note(
            "`copilot devices pair` pairs them anew; `copilot devices revoke NAME` takes one off the list",
        );
    }
    Ok(Exit::Done)
}

/// The names of some of the devices; nothing when there is none.
fn names(devices: &[Device], wanted: impl Fn(&Device) -> bool) -> Option<String> {
    let wanted = devices.iter().filter(|d| wanted(d));
    let names: Vec<String> = wanted.map(|d| one_line(&d.device.name)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Every failure came as an error already; anything else was not asked for.
pub(super) fn expect_done(reply: ControlReply) -> Result<(), CliError> {
    match reply {
        ControlReply::Done => Ok(()),
        _ => Err(unexpected()),
    }
}

pub(super) fn unexpected() -> CliError {
    CliError::new("the daemon answered something else than was asked")
        .hint("restart it, so that it is as new as the command line: `copilot daemon stop`, then any command")
}

fn enrolment_token(out: &mut Output) -> Result<String, CliError> {
    if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        return Ok(token);
    }
    if std::io::stdin().is_terminal() {
        out.note("The relay's enrolment token (`copilot-relay enrolment-token` prints it):");
    }
    let mut token = String::new();
    std::io::stdin().lock().read_line(&mut token)?;
    match token.trim() {
        "" => Err(
            CliError::usage("a relay is joined with its enrolment token")
                .hint(format!("type it, pipe it in, or set {TOKEN_VARIABLE}")),
        ),
        token => Ok(token.to_owned()),
    }
}
