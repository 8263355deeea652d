//! `copilot remote status|on|off [ID]`: reaching sessions from other devices.

use std::time::Duration;

use ahp_types::state::SessionSummary;
use ipc_proto::control::{ControlReply, ControlRequest, RemoteSession, RemoteStatus};
use ipc_proto::paths::Paths;
use serde_json::{Value, json};

use super::login::unexpected;
use super::{confirmed, connected, devices, find_session, reach, resume};
use crate::args::RemoteCommand;
use crate::client::{Attached, Client, Identity, session_id, set_remote};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::{columns, one_line};

/// How long the link may take to come up before the rest is left to `copilot remote status`.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn run(
    paths: &Paths,
    command: RemoteCommand,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("remote")).await?;
    match command {
        RemoteCommand::Status { json } => {
            let status = status(&mut client).await?;
            show(&status, json, out)?;
            Ok(Exit::Done)
        }
        RemoteCommand::On { session, json } => {
            let session = named(&mut client, session).await?;
            on(paths, client, &session, json, out).await
        }
        RemoteCommand::Off { session } => {
            let session = named(&mut client, session).await?;
            switch(client, &session, false).await?;
            out.note("remote access is off for this session");
            Ok(Exit::Done)
        }
    }
}

async fn named(client: &mut Client, wanted: Option<String>) -> Result<SessionSummary, CliError> {
    match wanted {
        Some(wanted) => find_session(client, &wanted).await,
        None => resume::newest(client).await,
    }
}

async fn status(client: &mut Client) -> Result<RemoteStatus, CliError> {
    match client.control(ControlRequest::RemoteStatus).await? {
        ControlReply::Remote(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

/// Asks for it and waits for the answer; a refusal is in the host's words.
async fn switch(client: Client, session: &SessionSummary, on: bool) -> Result<Attached, CliError> {
    let mut attached = Attached::subscribe(client, &session.resource, Some(1)).await?;
    let input = attached.dispatch(set_remote(on)).await?;
    confirmed(&mut attached, input)
        .await?
        .map_err(CliError::new)?;
    Ok(attached)
}

async fn on(
    paths: &Paths,
    client: Client,
    session: &SessionSummary,
    as_json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut attached = switch(client, session, true).await?;
    // What is not up in time is said by the status.
    let _ = tokio::time::timeout(PATIENCE, linked(&mut attached)).await;
    let id = session_id(&session.resource).to_owned();
    let nobody = devices::all(attached.client()).await?.is_empty();
    let now = status(attached.client()).await?;
    let link = link_of(&now, &id);
    if as_json {
        out.json(
            &json!({"id": id, "remote": true, "state": now.state, "why": now.why, "link": link,
            "devices": now.devices}),
        )?;
        return Ok(Exit::Done);
    }
    out.note("remote access is on for this session");
    if now.state != "connected" {
        out.note(&sentence(&now));
    }
    if now.own_relay && nobody {
        for line in reach::ways(reach::is_installed) {
            out.note(&line);
        }
    }
    match link {
        Some(_) if nobody => {
            out.note("no device is paired yet");
            devices::pair(paths, attached.client(), Some(id), false, out).await
        }
        Some(link) => {
            devices::show_link(&link, out)?;
            Ok(Exit::Done)
        }
        None => Ok(Exit::Done),
    }
}

/// Waits until the session's state says that the link is up.
async fn linked(attached: &mut Attached) -> Result<(), CliError> {
    let is_up = |attached: &Attached| {
        let session = attached.mirror().session();
        let meta = session.and_then(|s| s.meta.as_ref());
        meta.and_then(|m| m.get("copilot.remote"))
            .is_some_and(|remote| remote["state"] == "connected")
    };
    while !is_up(attached) {
        attached.next().await?;
    }
    Ok(())
}

fn link_of(status: &RemoteStatus, id: &str) -> Option<String> {
    let session = status.sessions.iter().find(|s| s.session == id)?;
    session.link.clone()
}

/// The state of the link in one sentence.
fn sentence(status: &RemoteStatus) -> String {
    let because = |why: &Option<String>| match why {
        Some(why) => format!(" because {}", one_line(why)),
        None => String::new(),
    };
    match (status.state.as_str(), &status.no_relay) {
        (_, Some(why)) => format!("nothing can be reached: {}", one_line(why)),
        ("off", _) => "off: no session has remote access on".to_owned(),
        ("connected", _) => format!("connected since {}", status.since),
        (state, _) => format!("{state} since {}{}", status.since, because(&status.why)),
    }
}

fn show(status: &RemoteStatus, as_json: bool, out: &mut Output) -> Result<(), CliError> {
    if as_json {
        return out.json(&to_json(status));
    }
    let relay = match (&status.relay, status.own_relay) {
        (Some(relay), true) => format!("{relay} (this machine's own, reachable from it alone)"),
        (Some(relay), false) => relay.clone(),
        (None, true) => "this machine's own, started when it is needed".to_owned(),
        (None, false) => "none".to_owned(),
    };
    let devices = format!(
        "{} paired, {} connected",
        status.devices, status.devices_connected
    );
    let rows = [
        ["link".to_owned(), sentence(status)],
        ["relay".to_owned(), one_line(&relay)],
        ["machine".to_owned(), one_line(&status.machine_name)],
        ["devices".to_owned(), devices],
    ];
    out.data(&columns(&rows))?;
    if !status.sessions.is_empty() {
        let mut rows = vec![["SESSION", "TITLE", "LINK"].map(str::to_owned)];
        rows.extend(status.sessions.iter().map(|s| {
            let id = s.session.chars().take(8).collect();
            [id, one_line(&s.title), s.link.clone().unwrap_or_default()]
        }));
        out.data("\n")?;
        out.data(&columns(&rows))?;
    }
    Ok(())
}

fn to_json(status: &RemoteStatus) -> Value {
    let session = |s: &RemoteSession| json!({"id": s.session, "title": s.title, "link": s.link});
    json!({
        "state": status.state,
        "since": status.since,
        "why": status.why,
        "relay": status.relay,
        "ownRelay": status.own_relay,
        "noRelay": status.no_relay,
        "machineId": status.machine_id,
        "machineName": status.machine_name,
        "devices": status.devices,
        "devicesConnected": status.devices_connected,
        "sessions": status.sessions.iter().map(session).collect::<Vec<_>>(),
    })
}
