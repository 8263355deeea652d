//! `copilot devices …`: the devices that may watch and steer from elsewhere.

use std::io::{BufRead as _, IsTerminal as _};

use ipc_proto::control::{
    AwaitPairing, ControlReply, ControlRequest, PairingBegun, PairingProgress, RenameDevice,
    Secret, TypeCode,
};
use ipc_proto::paths::Paths;
use serde_json::json;

use super::login::{expect_done, unexpected};
use super::{connected, find_session};
use crate::args::DevicesCommand;
use crate::client::{Client, Device, Identity, devices, session_id};
use crate::error::{CliError, Exit};
use crate::output::{self, Output};
use crate::qr;
use crate::text::{columns, one_line};

pub(super) async fn run(
    paths: &Paths,
    command: DevicesCommand,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("devices")).await?;
    match command {
        DevicesCommand::List { json } => list(&mut client, json, out).await,
        DevicesCommand::Pair { session, json } => {
            let session = match session {
                Some(named) => {
                    let found = find_session(&mut client, &named).await?;
                    Some(session_id(&found.resource).to_owned())
                }
                None => None,
            };
            pair(paths, &mut client, session, json, out).await
        }
        DevicesCommand::Rename { device, name } => {
            let device = find(&mut client, &device).await?.device.device;
            let rename = RenameDevice { device, name };
            expect_done(client.control(ControlRequest::RenameDevice(rename)).await?)?;
            Ok(Exit::Done)
        }
        DevicesCommand::Revoke { device } => {
            let found = find(&mut client, &device).await?.device;
            let device = found.device;
            expect_done(
                client
                    .control(ControlRequest::RevokeDevice { device })
                    .await?,
            )?;
            out.note(&format!(
                "{} is cut off and cannot come back",
                one_line(&found.name)
            ));
            Ok(Exit::Done)
        }
    }
}

async fn list(client: &mut Client, as_json: bool, out: &mut Output) -> Result<Exit, CliError> {
    let devices = devices(client).await?;
    if as_json {
        let entry = |d: &Device| {
            let device = &d.device;
            json!({"id": device.device, "name": device.name, "pairedAt": device.paired_at,
                "connected": device.connected, "relay": d.relay, "comes": d.comes})
        };
        out.json(&devices.iter().map(entry).collect::<Vec<_>>())?;
    } else if devices.is_empty() {
        out.note("no device is paired; `copilot devices pair` pairs one");
    } else {
        let mut rows = vec![["ID", "NAME", "PAIRED", "CONNECTED", "THROUGH"].map(str::to_owned)];
        rows.extend(devices.iter().map(row));
        out.data(&columns(&rows))?;
    }
    Ok(Exit::Done)
}

fn row(known: &Device) -> [String; 5] {
    let device = &known.device;
    let connected = if device.connected { "yes" } else { "no" };
    let through = match (known.relay.as_deref().map(one_line), known.comes) {
        (Some(relay), true) => relay,
        (Some(relay), false) => format!("{relay} (not in use)"),
        (None, true) => "the relay in use".to_owned(),
        (None, false) => "none; pair it anew".to_owned(),
    };
    [
        device.device.chars().take(8).collect(),
        one_line(&device.name),
        device.paired_at.clone(),
        connected.to_owned(),
        through,
    ]
}

/// The device that a person named: its id, the beginning of it, or its exact name.
async fn find(client: &mut Client, wanted: &str) -> Result<Device, CliError> {
    let devices = devices(client).await?;
    let named = devices
        .iter()
        .filter(|d| d.device.device == wanted || d.device.name == wanted);
    let begins = |d: &&Device| wanted.len() >= 4 && d.device.device.starts_with(wanted);
    let mut found: Vec<_> = named.collect();
    if found.is_empty() {
        found = devices.iter().filter(begins).collect();
    }
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(
            CliError::new(format!("there is no paired device {}", one_line(wanted)))
                .hint("`copilot devices list` shows them"),
        ),
        _ => Err(
            CliError::new(format!("{} names several devices", one_line(wanted)))
                .hint("use the id that `copilot devices list --json` shows"),
        ),
    }
}

/// Shows a link, waits for a device to open it, and asks for the code that the device shows.
pub(super) async fn pair(
    paths: &Paths,
    client: &mut Client,
    session: Option<String>,
    as_json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let begin = ControlRequest::BeginPairing { session };
    let ControlReply::PairingBegun(begun) = client.control(begin).await? else {
        return Err(unexpected());
    };
    if as_json {
        out.json(&json!({"event": "link", "pairing": begun.pairing, "link": begun.link.0}))?;
    } else {
        out.note("Open this link on the device, or scan it. It works once and for ten minutes.\n");
        show_link(&begun.link.0, out)?;
    }
    let paired = tokio::select! {
        paired = follow(client, &begun, as_json, out) => Some(paired?),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            None
        }
    };
    if let Some(exit) = paired {
        return Ok(exit);
    }
    // The other connection waits for an answer.
    let mut client = connected(paths, &Identity::command("devices")).await?;
    let pairing = begun.pairing;
    expect_done(
        client
            .control(ControlRequest::EndPairing { pairing })
            .await?,
    )?;
    Ok(Exit::Interrupted)
}

/// A link and its QR code.
pub(super) fn show_link(link: &str, out: &mut Output) -> Result<(), CliError> {
    out.line(link)?;
    if output::stdout_is_terminal()
        && let Some(code) = qr::draw(link, output::colours())
    {
        out.data("\n")?;
        out.data(&code)?;
    }
    Ok(())
}

async fn follow(
    client: &mut Client,
    begun: &PairingBegun,
    as_json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut known = None;
    loop {
        let pairing = begun.pairing.clone();
        let wait = ControlRequest::AwaitPairing(AwaitPairing {
            pairing,
            known: known.clone(),
        });
        let ControlReply::Pairing(progress) = client.control(wait).await? else {
            return Err(unexpected());
        };
        let is_new = known.as_ref() != Some(&progress);
        known = Some(progress.clone());
        let typed = match progress {
            PairingProgress::Waiting { name } if is_new => {
                if as_json {
                    out.json(&json!({"event": "waiting", "name": name}))?;
                } else {
                    out.note(&format!(
                        "\n{} shows a code. Type it here:",
                        one_line(&name)
                    ));
                }
                type_code(client, &begun.pairing).await?
            }
            other => other,
        };
        match typed {
            PairingProgress::Paired { device, name } => {
                if as_json {
                    out.json(&json!({"event": "paired", "device": device, "name": name}))?;
                } else {
                    out.note(&format!("{} is paired", one_line(&name)));
                }
                return Ok(Exit::Done);
            }
            PairingProgress::Ended { why } => {
                return Err(CliError::new(format!("no device was paired: {why}"))
                    .hint("`copilot devices pair` makes a new link"));
            }
            PairingProgress::WrongCode { tries_left } => {
                known = None;
                if as_json {
                    out.json(&json!({"event": "wrong-code", "triesLeft": tries_left}))?;
                } else {
                    out.note(&format!(
                        "That is not the code. Open the link once more ({tries_left} left)."
                    ));
                }
            }
            PairingProgress::Open | PairingProgress::Waiting { .. } => {}
        }
    }
}

async fn type_code(client: &mut Client, pairing: &str) -> Result<PairingProgress, CliError> {
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let code = line
        .await
        .map_err(|e| CliError::new("could not read the code").because(&e))??;
    if code.trim().is_empty() {
        let hint = match std::io::stdin().is_terminal() {
            true => "type the six digits that the device shows",
            false => "the code is read from standard input",
        };
        return Err(CliError::usage("no code was typed").hint(hint));
    }
    let typed = ControlRequest::TypeCode(TypeCode {
        pairing: pairing.to_owned(),
        code: Secret(code.trim().to_owned()),
    });
    match client.control(typed).await? {
        ControlReply::Pairing(progress) => Ok(progress),
        _ => Err(unexpected()),
    }
}
