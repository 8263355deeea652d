//! `copilot sessions search WORDS…`: which sessions speak of something.

use std::collections::HashMap;

use ahp_types::state::SessionSummary;
use ipc_proto::control::{ControlReply, ControlRequest, FoundSession};
use ipc_proto::paths::Paths;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::connected;
use super::sessions::{folder, modified, short_folder};
use crate::client::{Identity, list_sessions, session_id, short_id, summary_closed, summary_state};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::{columns, one_line, truncate};

/// The most places that are shown.
const LIMIT: u32 = 50;

pub(super) async fn run(
    paths: &Paths,
    words: &[String],
    json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let query = words.join(" ");
    if query.trim().is_empty() {
        return Err(CliError::usage("there is nothing to search for"));
    }
    let mut client = connected(paths, &Identity::command("sessions search")).await?;
    let limit = LIMIT;
    let found = match client
        .control(ControlRequest::Search { query, limit })
        .await?
    {
        ControlReply::Found(found) => found,
        _ => {
            return Err(CliError::new(
                "the daemon answered something else than what it found",
            ));
        }
    };
    let sessions = list_sessions(&mut client).await?;
    let listed: Listed<'_> = sessions
        .iter()
        .map(|s| (session_id(&s.resource), s))
        .collect();
    if json {
        let hits: Vec<_> = found.iter().map(|hit| hit_json(hit, &listed)).collect();
        out.json(&hits)?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        out.note("no session has these words");
        return Ok(Exit::Done);
    }
    let home = std::env::var_os("HOME");
    out.data(&table(&found, &listed, Timestamp::now(), home.as_deref()))?;
    if found.len() >= LIMIT as usize {
        out.note("there may be more: give more words to find less");
    }
    Ok(Exit::Done)
}

/// The sessions that the host lists, by id.
type Listed<'a> = HashMap<&'a str, &'a SessionSummary>;

/// The stable schema of `--json`.
fn hit_json(hit: &FoundSession, listed: &Listed<'_>) -> Value {
    let session = listed.get(hit.session.as_str());
    let folder = session.and_then(|s| folder(s));
    json!({
        "id": hit.session,
        "title": hit.title,
        "turn": hit.turn,
        "snippet": hit.snippet,
        "state": session.map(|s| summary_state(s)),
        "closed": session.map(|s| summary_closed(s)),
        "folder": folder.map(|path| path.display().to_string()),
        "modifiedAt": session.map(|s| s.modified_at.as_str()),
    })
}

fn table(
    found: &[FoundSession],
    listed: &Listed<'_>,
    now: Timestamp,
    home: Option<&std::ffi::OsStr>,
) -> String {
    let mut rows = vec![["ID", "TITLE", "FOLDER", "AGE", "FOUND"].map(str::to_owned)];
    rows.extend(found.iter().map(|hit| {
        let session = listed.get(hit.session.as_str());
        [
            short_id(&hit.session),
            truncate(&one_line(&hit.title), 32),
            session.map_or_else(String::new, |s| short_folder(s, home)),
            session.map_or_else(String::new, |s| modified(s, now)),
            match hit.turn {
                Some(_) => truncate(&one_line(&hit.snippet), 100),
                None => "(title)".to_owned(),
            },
        ]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(session: &str, turn: Option<&str>, snippet: &str) -> FoundSession {
        FoundSession {
            session: session.to_owned(),
            title: "fix\u{1b}[31m it".to_owned(),
            turn: turn.map(str::to_owned),
            snippet: snippet.to_owned(),
        }
    }

    #[test]
    fn hits_say_what_is_known_of_their_session() {
        let summary: SessionSummary = serde_json::from_value(json!({
            "resource": "ahp-session:/0123456789", "provider": "copilot", "title": "fix it", "status": 1,
            "createdAt": "2025-01-01T00:00:00Z", "modifiedAt": "2025-01-01T00:00:00Z",
            "workingDirectories": ["file:///home/ada/x"],
            "_meta": {"copilot.state": "stored", "copilot.closed": true}}))
        .unwrap();
        let listed = Listed::from([("0123456789", &summary)]);
        let found = [
            hit("0123456789", Some("t1"), "…the parser\nfails…"),
            hit("0123456789", None, "fix it"),
            hit("abcdefabcd", Some("t9"), "elsewhere"),
        ];
        let now: Timestamp = "2025-01-01T01:00:00Z".parse().unwrap();
        let home = Some(std::ffi::OsStr::new("/home/ada"));
        assert_eq!(
            table(&found, &listed, now, home),
            "ID        TITLE   FOLDER  AGE  FOUND\n\
             01234567  fix it  ~/x     1h   …the parser fails…\n\
             01234567  fix it  ~/x     1h   (title)\n\
             abcdefab  fix it               elsewhere\n"
        );
        assert_eq!(
            hit_json(&found[0], &listed),
            json!({"id": "0123456789", "title": "fix\u{1b}[31m it", "turn": "t1", "snippet": "…the parser\nfails…",
                "state": "stored", "closed": true, "folder": "/home/ada/x", "modifiedAt": "2025-01-01T00:00:00Z"})
        );
        assert_eq!(hit_json(&found[2], &listed)["folder"], Value::Null);
    }
}
