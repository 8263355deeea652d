//! `copilot remote status|on|off [ID]`: reaching sessions from other devices.

use std::time::Duration;

use ahp_types::commands::SubscribeParams;
use ahp_types::state::{SessionState, SessionSummary};
use ipc_proto::control::{RemoteSession, RemoteStatus};
use ipc_proto::paths::Paths;
use serde_json::{Value, json};

use super::{confirmed, connected, devices, find_session, reach, resume};
use crate::args::RemoteCommand;
use crate::client::{
    Attached, Client, ClientError, Device, Identity, Remote, because, devices as paired, refusal,
    remote as remote_of, remote_status, session_id, session_uri, set_remote, short_id,
};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::{columns, one_line};

/// How long the link may take to come up before the rest is left to `copilot remote status`.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a link that failed may take to come up all the same.
const SECOND_TRY: Duration = Duration::from_secs(3);

pub(super) async fn run(
    paths: &Paths,
    command: RemoteCommand,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("remote")).await?;
    match command {
        RemoteCommand::Status {
            session: None,
            json,
        } => {
            let all = Overview::of(&mut client).await?;
            all.show(json, out)?;
            Ok(Exit::Done)
        }
        RemoteCommand::Status {
            session: Some(wanted),
            json,
        } => {
            let session = find_session(&mut client, &wanted).await?;
            let one = OneSession::of(&mut client, session).await?;
            one.show(json, out)?;
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
    let _ = tokio::time::timeout(PATIENCE, linked(&mut attached, &[UP, LOST])).await;
    let _ = tokio::time::timeout(SECOND_TRY, linked(&mut attached, &[UP])).await;
    let id = session_id(&session.resource).to_owned();
    let all = paired(attached.client()).await?;
    let now = remote_status(attached.client()).await?;
    let link = link_of(&now, &id);
    if as_json {
        out.json(
            &json!({"id": id, "remote": true, "state": now.state, "since": now.since,
            "why": now.why, "relay": now.relay, "link": link, "devices": all.len(),
            "devicesThisRelay": coming(&all)}),
        )?;
        return Ok(Exit::Done);
    }
    out.note("remote access is on for this session");
    if now.state == LOST {
        out.note(&lost(&now));
        out.note("the link is made again by itself; `copilot remote status` says how it is");
    } else if now.state != UP {
        out.note(&sentence(&now));
    }
    if now.own_relay {
        for line in reach::ways(reach::is_installed) {
            out.note(&line);
        }
    }
    if coming(&all) > 0 {
        link.map_or(Ok(()), |link| devices::show_link(&link, out))?;
        return Ok(Exit::Done);
    }
    out.note(&nobody(&all, now.relay.as_deref()));
    if link.is_none() || now.state == LOST {
        out.note("once the relay is reached, `copilot devices pair` pairs one");
        return Ok(Exit::Done);
    }
    devices::pair(paths, attached.client(), Some(id), false, out).await
}

/// The state of a link that is up.
const UP: &str = "connected";
/// The state of a link that is not, though it was tried.
const LOST: &str = "reconnecting";

/// Waits until the session's state says that the link is in one of these states.
async fn linked(attached: &mut Attached, states: &[&str]) -> Result<(), ClientError> {
    let is_so = |attached: &Attached| {
        let remote = attached.mirror().session().and_then(remote_of);
        remote.is_some_and(|remote| states.contains(&remote.state.as_str()))
    };
    while !is_so(attached) {
        attached.next().await?;
    }
    Ok(())
}

fn link_of(status: &RemoteStatus, id: &str) -> Option<String> {
    let session = status.sessions.iter().find(|s| s.session == id)?;
    session.link.clone()
}

/// How many devices can come through the relay that is in use.
fn coming(devices: &[Device]) -> usize {
    devices.iter().filter(|d| d.comes).count()
}

/// That no device can come, and why that is when some are paired.
fn nobody(devices: &[Device], relay: Option<&str>) -> String {
    let relay = relay.map_or(String::new(), |relay| format!(" {}", one_line(relay)));
    match devices.len() {
        0 => "no device is paired yet".to_owned(),
        1 => format!("the paired device does not come through the relay{relay}; pair it here anew"),
        many => {
            format!(
                "none of the {many} paired devices comes through the relay{relay}; pair one here"
            )
        }
    }
}

/// The state of the link in one sentence.
fn sentence(status: &RemoteStatus) -> String {
    match (status.state.as_str(), &status.no_relay) {
        (_, Some(why)) => format!("nothing can be reached: {}", one_line(why)),
        ("off", _) => "off: no session has remote access on".to_owned(),
        (state, _) => {
            let why = status.why.as_deref();
            let why = why.map(|why| one_line(because(why, status.relay.as_deref())));
            let because = why.map_or(String::new(), |why| format!(" because {why}"));
            format!("{state} since {}{because}", status.since)
        }
    }
}

/// That the relay cannot be reached, since when and why.
fn lost(status: &RemoteStatus) -> String {
    let relay = status.relay.as_deref().unwrap_or("of this machine");
    let relay = one_line(relay);
    format!(
        "the relay {relay} cannot be reached now: {}",
        sentence(status)
    )
}

/// The state of a session as the host has it now.
async fn state_of(client: &mut Client, session: &str) -> Result<SessionState, CliError> {
    let params = SubscribeParams::new(session.to_owned());
    let mut result: Value = client.call("subscribe", &params).await?;
    serde_json::from_value(result["snapshot"]["state"].take())
        .map_err(|e| CliError::new("the daemon shows a session that cannot be read").because(&e))
}

/// The relay in words.
fn relay(status: &RemoteStatus) -> String {
    match (status.relay.as_deref().map(one_line), status.own_relay) {
        (Some(relay), true) => format!("{relay} (this machine's own, reachable from it alone)"),
        (Some(relay), false) => relay,
        (None, true) => "this machine's own, started when it is needed".to_owned(),
        (None, false) => "none".to_owned(),
    }
}

/// How many devices there are, come through the relay in use, and are here, in words.
fn counted(status: &RemoteStatus, devices: &[Device]) -> String {
    let (paired, come) = (devices.len(), coming(devices));
    let through = match paired == come {
        true => String::new(),
        false => format!(", {come} of them through this relay"),
    };
    format!(
        "{paired} paired{through}, {} connected",
        status.devices_connected
    )
}

/// How many devices look at a session, in words.
fn watching(devices: u64) -> String {
    match devices {
        0 => "no device is watching".to_owned(),
        1 => "one device is watching".to_owned(),
        many => format!("{many} devices are watching"),
    }
}

/// Remote access of all sessions.
struct Overview {
    status: RemoteStatus,
    devices: Vec<Device>,
    /// How many devices look at each session, in the order of the status.
    watching: Vec<u64>,
}

impl Overview {
    async fn of(client: &mut Client) -> Result<Self, CliError> {
        let status = remote_status(client).await?;
        let devices = paired(client).await?;
        let mut watching = vec![0; status.sessions.len()];
        // Who is not connected watches nothing, and then no session need be looked at.
        if status.devices_connected > 0 {
            for (session, watching) in status.sessions.iter().zip(&mut watching) {
                let state = state_of(client, &session_uri(&session.session)).await?;
                *watching = remote_of(&state).map_or(0, |remote| remote.watching);
            }
        }
        Ok(Self {
            status,
            devices,
            watching,
        })
    }

    fn show(&self, as_json: bool, out: &mut Output) -> Result<(), CliError> {
        if as_json {
            return out.json(&self.to_json());
        }
        let status = &self.status;
        let rows = [
            ["link".to_owned(), sentence(status)],
            ["relay".to_owned(), relay(status)],
            ["machine".to_owned(), one_line(&status.machine_name)],
            ["devices".to_owned(), counted(status, &self.devices)],
        ];
        out.data(&columns(&rows))?;
        if status.sessions.is_empty() {
            return Ok(());
        }
        let mut rows = vec![["SESSION", "TITLE", "WATCHING", "LINK"].map(str::to_owned)];
        rows.extend(status.sessions.iter().zip(&self.watching).map(|(s, n)| {
            let id = s.session.chars().take(8).collect();
            let link = s.link.clone().unwrap_or_default();
            [id, one_line(&s.title), n.to_string(), link]
        }));
        out.data("\n")?;
        out.data(&columns(&rows))
    }

    fn to_json(&self) -> Value {
        let session = |(s, watching): (&RemoteSession, &u64)| json!({"id": s.session, "title": s.title, "link": s.link, "devicesWatching": watching});
        let sessions = self.status.sessions.iter().zip(&self.watching);
        let mut json = status_json(&self.status, &self.devices);
        json["sessions"] = sessions.map(session).collect();
        json
    }
}

fn status_json(status: &RemoteStatus, devices: &[Device]) -> Value {
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
        "devicesThisRelay": coming(devices),
        "devicesConnected": status.devices_connected,
    })
}

/// Remote access of one session.
struct OneSession {
    id: String,
    title: String,
    /// Nothing while it is off.
    remote: Option<Remote>,
    /// Why it is off though it was asked for.
    refused: Option<String>,
    status: RemoteStatus,
    devices: Vec<Device>,
}

impl OneSession {
    async fn of(client: &mut Client, session: SessionSummary) -> Result<Self, CliError> {
        let state = state_of(client, &session.resource).await?;
        Ok(Self {
            id: session_id(&session.resource).to_owned(),
            title: session.title,
            remote: remote_of(&state),
            refused: refusal(&state).map(str::to_owned),
            status: remote_status(client).await?,
            devices: paired(client).await?,
        })
    }

    fn show(&self, as_json: bool, out: &mut Output) -> Result<(), CliError> {
        if as_json {
            return out.json(&self.to_json());
        }
        let short = short_id(&self.id);
        let mut rows = vec![[
            "session".to_owned(),
            format!("{short} {}", one_line(&self.title)),
        ]];
        let mut row = |name: &str, words: String| rows.push([name.to_owned(), words]);
        match &self.remote {
            None => row("link", self.off()),
            Some(remote) => {
                row("link", sentence(&self.status));
                row("relay", relay(&self.status));
                row("devices", counted(&self.status, &self.devices));
                row("watching", watching(remote.watching));
                row("opens at", remote.link.clone().unwrap_or_default());
            }
        }
        out.data(&columns(&rows))
    }

    /// That the session cannot be reached, and what changes that.
    fn off(&self) -> String {
        match &self.refused {
            Some(why) => format!("off: {}", one_line(why)),
            None => {
                let short = short_id(&self.id);
                format!("off; `copilot remote on {short}` turns it on")
            }
        }
    }

    fn to_json(&self) -> Value {
        let remote = self.remote.as_ref();
        let mut json = status_json(&self.status, &self.devices);
        json["id"] = json!(self.id);
        json["title"] = json!(self.title);
        json["remote"] = json!(remote.is_some());
        json["refused"] = json!(self.refused);
        json["link"] = json!(remote.and_then(|remote| remote.link.as_deref()));
        json["devicesWatching"] = json!(remote.map_or(0, |remote| remote.watching));
        json
    }
}
