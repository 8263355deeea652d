//! `copilot audit` and `copilot audit verify`: what was asked, decided and done, by whom and why.

use ipc_proto::control::{
    AuditCheck, AuditPage, AuditQuery, AuditRecord, ControlReply, ControlRequest,
};
use ipc_proto::paths::Paths;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{connected, find_session};
use crate::args::{AuditArgs, AuditCommand};
use crate::client::{Client, Identity, session_id, short_id};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::one_line;

/// How long the daemon waits for the next record before it is asked again, in milliseconds.
const WAIT_MS: u32 = 25_000;

pub(super) async fn run(
    paths: &Paths,
    args: AuditArgs,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("audit")).await?;
    if let Some(AuditCommand::Verify { json }) = args.command {
        return verify(&mut client, json, out).await;
    }
    let session = match args.session {
        Some(wanted) => Some(session_of(&mut client, wanted).await?),
        None => None,
    };
    let since = match &args.since {
        Some(text) => Some(since(text, Timestamp::now())?),
        None => None,
    };
    let mut query = AuditQuery {
        session,
        since,
        after: 0,
        wait_ms: 0,
    };
    loop {
        let page = page(&mut client, query.clone()).await?;
        for record in &page.records {
            let shown = match args.json {
                true => with_number(record).to_string(),
                false => line(record),
            };
            out.line(&shown)?;
        }
        query.after = page.last;
        query.wait_ms = match (page.more, args.follow) {
            (true, _) => 0,
            (false, true) => WAIT_MS,
            (false, false) => return Ok(Exit::Done),
        };
    }
}

async fn page(client: &mut Client, query: AuditQuery) -> Result<AuditPage, CliError> {
    match client.control(ControlRequest::Audit(query)).await? {
        ControlReply::Audit(page) => Ok(page),
        _ => Err(CliError::new(
            "the daemon answered something else than the audit",
        )),
    }
}

/// The id of a session that there is, or of one that was deleted.
async fn session_of(client: &mut Client, wanted: String) -> Result<String, CliError> {
    match uuid::Uuid::try_parse(&wanted) {
        Ok(id) => Ok(id.hyphenated().to_string()),
        Err(_) => {
            let found = find_session(client, &wanted).await?;
            Ok(session_id(&found.resource).to_owned())
        }
    }
}

/// When it begins, as the daemon compares it: text of one form.
fn since(text: &str, now: Timestamp) -> Result<String, CliError> {
    let day = |day: jiff::civil::Date| day.to_zoned(TimeZone::UTC).ok();
    let at = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse().ok().and_then(day).map(|z| z.timestamp()))
        .or_else(|| now.checked_sub(ago(text)?).ok());
    match at {
        Some(at) => Ok(format!("{at:.3}")),
        None => Err(CliError::usage(format!(
            "`{text}` is not a time: use 2026-02-25T10:00:00Z, 2026-02-25, 2h or 3d"
        ))),
    }
}

/// A number of days, hours, minutes or seconds.
fn ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        'd' => 24 * 60 * 60,
        'h' => 60 * 60,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    Some(SignedDuration::from_secs(
        number.checked_mul(seconds)?.max(0),
    ))
}

async fn verify(client: &mut Client, json: bool, out: &mut Output) -> Result<Exit, CliError> {
    let check = match client.control(ControlRequest::CheckAudit).await? {
        ControlReply::AuditChecked(check) => check,
        _ => {
            return Err(CliError::new(
                "the daemon answered something else than a check",
            ));
        }
    };
    let exit = match check.problems.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    };
    if json {
        out.json(&check_json(&check))?;
        return Ok(exit);
    }
    for problem in &check.problems {
        out.line(&one_line(problem))?;
    }
    match (exit, check.records) {
        (Exit::Done, 0) => out.note("there are no records yet"),
        (Exit::Done, records) => out.note(&format!(
            "{records} records, {} to {}, none altered or taken out\nhead: {}",
            check.first, check.last, check.head
        )),
        _ => out.note("the audit is not as it was written; docs/audit.md says what that can mean"),
    }
    Ok(exit)
}

fn check_json(check: &AuditCheck) -> Value {
    json!({
        "ok": check.problems.is_empty(),
        "records": check.records,
        "first": check.first,
        "last": check.last,
        "head": check.head,
        "problems": check.problems,
    })
}

/// The record with its place in the chain.
fn with_number(record: &AuditRecord) -> Value {
    let mut shown = parsed(record);
    if let Value::Object(fields) = &mut shown {
        fields.insert("seq".into(), json!(record.seq));
        fields.insert("hash".into(), json!(record.hash));
    }
    shown
}

fn parsed(record: &AuditRecord) -> Value {
    serde_json::from_str(&record.record_json).unwrap_or_default()
}

/// One record on one line: when (UTC), which session, who, what.
fn line(record: &AuditRecord) -> String {
    let value = parsed(record);
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or("");
    let at = match text("/at").parse::<Timestamp>() {
        Ok(at) => at.strftime("%F %TZ").to_string(),
        Err(_) => text("/at").to_owned(),
    };
    let session = match text("/session") {
        "" => "-".to_owned(),
        id => short_id(id),
    };
    let pid = value.pointer("/by/pid").and_then(Value::as_u64);
    let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let by = match (text("/by/name"), text("/by/trust")) {
        (name, trust) if name == trust => name.to_owned(),
        (name, trust) => format!("{name} ({trust}{pid})"),
    };
    let what = what(&value);
    let event = text("/event").replace('-', " ");
    let parts = [&at, &session, &by, &format!("{event}{what}")];
    parts.map(|part| one_line(part)).join("  ")
}

/// What the event is about, in the order in which people ask for it.
fn what(record: &Value) -> String {
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let mut said = String::new();
    let mut say = |words: Option<String>| {
        if let Some(words) = words.filter(|words| !words.is_empty()) {
            said.push_str(if said.is_empty() { ": " } else { "; " });
            said.push_str(&words);
        }
    };
    say(text("choice").map(str::to_owned));
    say(text("subject").map(|subject| format!("{} {subject}", text("kind").unwrap_or_default())));
    for key in [
        "message", "action", "what", "title", "folder", "name", "relay",
    ] {
        say(text(key).map(str::to_owned));
    }
    say(text("before").map(|before| format!("was {before}")));
    if text("event") == Some("config-changed") {
        say(record.get("config").map(Value::to_string));
    }
    say(text("words").map(|words| format!("“{words}”")));
    say(text("reason").map(str::to_owned));
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Value) -> AuditRecord {
        AuditRecord {
            seq: 7,
            hash: "ab".into(),
            record_json: value.to_string(),
        }
    }

    #[test]
    fn a_record_is_a_line() {
        let decided = record(
            json!({"event": "permission-decided", "at": "2026-02-25T10:00:00.123Z",
            "session": "0123456789", "by": {"name": "terminal pts/3", "trust": "local", "pid": 12, "uid": 1000},
            "request": "c1", "kind": "shell", "subject": "ls\u{1b}[31m\nrm x", "reason": "no rule allows it",
            "approved": false, "choice": "deny-with-words", "words": "use git"}),
        );
        assert_eq!(
            line(&decided),
            "2026-02-25 10:00:00Z  01234567  terminal pts/3 (local, pid 12)  permission decided: deny-with-words; \
             shell ls rm x; “use git”; no rule allows it"
        );
        let closed = record(
            json!({"event": "oldest-removed", "at": "2026-02-25T10:00:00.123Z",
            "by": {"name": "daemon", "trust": "daemon"}}),
        );
        assert_eq!(
            line(&closed),
            "2026-02-25 10:00:00Z  -  daemon  oldest removed"
        );
        let renamed = record(
            json!({"event": "device-renamed", "at": "2026-02-25T10:00:00.123Z",
            "by": {"name": "copilot devices rename", "trust": "local"},
            "device": "ab", "name": "tablet", "before": "phone"}),
        );
        assert_eq!(
            line(&renamed),
            "2026-02-25 10:00:00Z  -  copilot devices rename (local)  device renamed: tablet; was phone"
        );
        let odd = record(json!("odd"));
        assert_eq!(line(&odd).trim(), "-");
    }

    #[test]
    fn a_beginning_is_a_time_a_day_or_how_long_ago() {
        let now: Timestamp = "2026-02-25T11:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-02-25T10:00:00Z", "2026-02-25T10:00:00.000Z"),
            ("2026-02-24", "2026-02-24T00:00:00.000Z"),
            ("2h", "2026-02-25T09:00:00.000Z"),
            ("3d", "2026-02-22T11:00:00.000Z"),
            ("90s", "2026-02-25T10:58:30.000Z"),
        ] {
            assert_eq!(since(text, now).unwrap(), expected, "{text}");
        }
        for text in ["yesterday", "h", "2w", ""] {
            assert!(since(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn json_has_the_place_in_the_chain() {
        let shown = with_number(&record(json!({"event": "session-closed"})));
        assert_eq!(
            shown,
            json!({"event": "session-closed", "seq": 7, "hash": "ab"})
        );
    }
}
