//! `copilot sessions …`: list and manage sessions.

use ahp_types::commands::DisposeSessionParams;
use ahp_types::state::SessionSummary;
use ipc_proto::control::ControlRequest;
use ipc_proto::paths::Paths;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{cancel, connected, export, find_session, rename, search};
use crate::args::SessionsCommand;
use crate::client::{
    Attached, Identity, confinement, list_sessions, needs_someone, open_requests, path_of_file_uri,
    session_id, short_id, short_path, state_words, summary_closed, summary_state,
};
use crate::error::{CliError, Exit};
use crate::output::{Output, colours};
use crate::terminal;
use crate::text::{columns, one_line, truncate};

pub(super) async fn run(
    paths: &Paths,
    command: SessionsCommand,
    out: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        SessionsCommand::List { all, json } => list(paths, all, json, out).await,
        SessionsCommand::Show { session, json } => show(paths, &session, json, out).await,
        SessionsCommand::Search { words, json } => search::run(paths, &words, json, out).await,
        SessionsCommand::Export { session, format } => {
            export::run(paths, &session, format, out).await
        }
        SessionsCommand::Rename { session, name } => rename::run(paths, &session, &name).await,
        SessionsCommand::Stop { session } => {
            cancel::run(paths, "sessions stop", &session, out).await
        }
        SessionsCommand::Close { session } => {
            let mut client = connected(paths, &Identity::command("sessions close")).await?;
            let session = find_session(&mut client, &session).await?.resource;
            client
                .control(ControlRequest::CloseSession { session })
                .await?;
            Ok(Exit::Done)
        }
        SessionsCommand::Delete { session } => {
            let mut client = connected(paths, &Identity::command("sessions delete")).await?;
            let channel = find_session(&mut client, &session).await?.resource;
            let params = DisposeSessionParams {
                channel,
                meta: None,
            };
            client.call::<_, Value>("disposeSession", &params).await?;
            Ok(Exit::Done)
        }
    }
}

async fn list(paths: &Paths, all: bool, json: bool, out: &mut Output) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("sessions list")).await?;
    let mut sessions = list_sessions(&mut client).await?;
    sessions.retain(|s| all || !summary_closed(s));
    // Those that need someone come first, then the newest.
    sessions.sort_by(|a, b| {
        let needs = |s: &SessionSummary| needs_someone(summary_state(s));
        needs(b)
            .cmp(&needs(a))
            .then_with(|| b.modified_at.cmp(&a.modified_at))
    });
    if json {
        out.json(&sessions.iter().map(summary_json).collect::<Vec<_>>())?;
    } else if sessions.is_empty() {
        out.note(if all {
            "there are no sessions"
        } else {
            "there are no sessions (closed ones: --all)"
        });
    } else {
        out.data(&table(&sessions, Timestamp::now()))?;
    }
    Ok(Exit::Done)
}

/// The folder that a session works in.
pub(super) fn folder(session: &SessionSummary) -> Option<std::path::PathBuf> {
    path_of_file_uri(session.working_directories.as_ref()?.first()?)
}

/// The stable schema of `--json`.
pub(super) fn summary_json(session: &SessionSummary) -> Value {
    json!({
        "id": session_id(&session.resource),
        "title": session.title,
        "state": summary_state(session),
        "closed": summary_closed(session),
        "agent": session.provider,
        "confinement": confinement(session.meta.as_ref()),
        "folder": folder(session).map(|path| path.display().to_string()),
        "createdAt": session.created_at,
        "modifiedAt": session.modified_at,
    })
}

/// The sessions as a table with a heading.
pub(super) fn table(sessions: &[SessionSummary], now: Timestamp) -> String {
    let home = std::env::var_os("HOME");
    let mut rows = vec![["ID", "STATE", "TITLE", "FOLDER", "AGENT", "AGE"].map(str::to_owned)];
    rows.extend(sessions.iter().map(|s| {
        let state = if summary_closed(s) {
            "closed".to_owned()
        } else {
            state_words(summary_state(s))
        };
        [
            short_id(&s.resource),
            state,
            truncate(&one_line(&s.title), 44),
            short_folder(s, home.as_deref()),
            agent(s),
            modified(s, now),
        ]
    }));
    columns(&rows)
}

/// The folder of a session as people write it.
pub(super) fn short_folder(session: &SessionSummary, home: Option<&std::ffi::OsStr>) -> String {
    folder(session).map_or_else(String::new, |path| one_line(&short_path(&path, home)))
}

/// The agent of a session, and whether it is confined.
fn agent(session: &SessionSummary) -> String {
    let name = one_line(&session.provider);
    match confinement(session.meta.as_ref()) {
        Some(confinement) => format!("{name}, {}", one_line(confinement)),
        None => name,
    }
}

/// How long ago a session changed.
pub(super) fn modified(session: &SessionSummary, now: Timestamp) -> String {
    let at = session.modified_at.parse();
    at.map_or("?".to_owned(), |at: Timestamp| age(at, now))
}

/// How long ago, in one unit.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

async fn show(paths: &Paths, wanted: &str, json: bool, out: &mut Output) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("sessions show")).await?;
    let session = find_session(&mut client, wanted).await?;
    let attached = Attached::subscribe(client, &session.resource, None).await?;
    let (mut client, mirror) = attached.leave().await?;
    let requests = mirror.chat().map(open_requests).unwrap_or_default();
    if json {
        let mut value = summary_json(&session);
        if let Value::Object(object) = &mut value {
            object.insert(
                "requests".to_owned(),
                requests.iter().map(|r| r.id()).collect(),
            );
            let chat = serde_json::to_value(mirror.chat())
                .map_err(|e| CliError::new("could not write JSON").because(&e))?;
            object.insert(
                "turns".to_owned(),
                chat.get("turns").cloned().unwrap_or_default(),
            );
            object.insert(
                "activeTurn".to_owned(),
                chat.get("activeTurn").cloned().unwrap_or_default(),
            );
        }
        out.json(&value)?;
        return Ok(Exit::Done);
    }
    let path = folder(&session).map(|p| p.display().to_string());
    out.line(&format!("session  {}", session_id(&session.resource)))?;
    out.line(&format!("title    {}", one_line(&session.title)))?;
    out.line(&format!("state    {}", state_words(mirror.state())))?;
    out.line(&format!("folder   {}", one_line(&path.unwrap_or_default())))?;
    out.line(&format!("agent    {}", agent(&session)))?;
    if let Some(mode) = mirror.session().map(crate::client::mode) {
        out.line(&format!("mode     {}", one_line(mode)))?;
    }
    for request in &requests {
        out.line(&format!("waits    {}", one_line(request.id())))?;
    }
    let transcript =
        terminal::transcript(&mut client, &session.resource, &mirror, colours()).await?;
    out.data(&transcript)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (ago, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7200, "2h"),
            (200_000, "2d"),
            (-5, "0s"),
        ] {
            let then = Timestamp::from_second(1_000_000 - ago).unwrap();
            assert_eq!(age(then, now), expected);
        }
    }

    #[test]
    fn the_table_lines_up_and_titles_cannot_break_it() {
        let session = |id: &str, title: &str, state: &str| -> SessionSummary {
            serde_json::from_value(json!({
                "resource": format!("ahp-session:/{id}"), "provider": "copilot", "title": title, "status": 1,
                "createdAt": "2025-01-01T00:00:00Z", "modifiedAt": "2025-01-01T00:00:00Z",
                "workingDirectories": ["file:///srv/a%20b"],
                "_meta": {"copilot.state": state, "copilot.confinement": "confined"}}))
            .unwrap()
        };
        let all = [
            session("0123456789", "日本\n\u{1b}[31m", "needs-permission"),
            session("abcdefabcd", "fix", "idle"),
        ];
        let now: Timestamp = "2025-01-01T01:00:00Z".parse().unwrap();
        assert_eq!(
            table(&all, now),
            "ID        STATE             TITLE  FOLDER    AGENT              AGE\n\
             01234567  needs permission  日本   /srv/a b  copilot, confined  1h\n\
             abcdefab  idle              fix    /srv/a b  copilot, confined  1h\n"
        );
        assert_eq!(summary_json(&all[1])["folder"], "/srv/a b");
    }

    #[test]
    fn a_closed_session_is_told_from_a_parked_one() {
        let session = |closed: bool| -> SessionSummary {
            serde_json::from_value(json!({
                "resource": "ahp-session:/0123456789", "provider": "copilot", "title": "t", "status": 1,
                "createdAt": "2025-01-01T00:00:00Z", "modifiedAt": "2025-01-01T00:00:00Z",
                "_meta": {"copilot.state": "stored", "copilot.closed": closed}}))
            .unwrap()
        };
        let now: Timestamp = "2025-01-01T01:00:00Z".parse().unwrap();
        for (closed, word) in [(true, "closed"), (false, "stored")] {
            let session = session(closed);
            assert_eq!(summary_json(&session)["closed"], closed);
            assert_eq!(summary_json(&session)["state"], "stored");
            let shown = table(std::slice::from_ref(&session), now);
            assert!(shown.contains(word), "{shown}");
        }
    }
}
