//! `copilot undo ID`: take the file changes of a turn back, or show what that would do.

use ipc_proto::control::{ControlReply, ControlRequest, UndoReport, UndoRequest};
use ipc_proto::paths::Paths;
use serde_json::{Value, json};

use super::{connected, find_session};
use crate::client::{Identity, session_id};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::one_line;

pub(super) async fn run(
    paths: &Paths,
    session: &str,
    turn: Option<u64>,
    dry_run: bool,
    json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("undo")).await?;
    let session = find_session(&mut client, session).await?;
    let request = ControlRequest::Undo(UndoRequest {
        session: session_id(&session.resource).to_owned(),
        turn,
        dry_run,
    });
    let ControlReply::Undo(report) = client.control(request).await? else {
        return Err(CliError::new(
            "the daemon answered something else than what was undone",
        ));
    };
    if json {
        out.json(&report_json(&report))?;
    } else {
        out.data(&lines(&report))?;
        for note in notes(&report) {
            out.note(&note);
        }
    }
    match report.changed_since.is_empty() {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
    }
}

/// The stable schema of `--json`.
fn report_json(report: &UndoReport) -> Value {
    let changes = report.changes.iter();
    let changes = changes.map(|c| json!({"path": c.path, "change": c.change}));
    json!({
        "turn": report.turn,
        "done": report.done,
        "changes": changes.collect::<Vec<_>>(),
        "changesTotal": report.changes_total,
        "changedSince": report.changed_since,
        "left": report.left,
        "lost": report.lost,
        "limited": report.limited,
    })
}

/// What becomes of each path: the opposite of what the turn did.
fn lines(report: &UndoReport) -> String {
    let verb = |change: &str| match change {
        "created" => "remove",
        _ => "restore",
    };
    let line = |(change, path): (&str, &str)| format!("{:<8}{}\n", verb(change), one_line(path));
    let changes = report.changes.iter();
    changes.map(|c| line((&c.change, &c.path))).collect()
}

fn notes(report: &UndoReport) -> Vec<String> {
    let mut notes = Vec::new();
    let shown = report.changes.len() as u64;
    if shown < report.changes_total {
        notes.push(format!("and {} more", report.changes_total - shown));
    }
    let mut list = |words: &str, paths: &[String]| {
        if !paths.is_empty() {
            let paths: Vec<String> = paths.iter().map(|path| one_line(path)).collect();
            notes.push(format!("{words}: {}", paths.join(", ")));
        }
    };
    list(
        "changed since, so nothing would be undone",
        &report.changed_since,
    );
    list("stays, because something else is in there", &report.left);
    list("too large to be kept, stays as it is", &report.lost);
    if let Some(why) = &report.limited {
        notes.push(format!(
            "what commands changed is not known: {}",
            one_line(why)
        ));
    }
    notes.push(match report.done {
        true => format!("turn {} is undone", report.turn),
        false => format!(
            "turn {} was not touched; without --dry-run it is undone",
            report.turn
        ),
    });
    notes
}

#[cfg(test)]
mod tests {
    use ipc_proto::control::UndoChange;

    use super::*;

    #[test]
    fn a_plan_says_what_becomes_of_each_path_and_what_is_in_the_way() {
        let change = |path: &str, change: &str| UndoChange {
            path: path.into(),
            change: change.into(),
        };
        let report = UndoReport {
            turn: 3,
            done: false,
            changes: vec![
                change("new", "created"),
                change("gone\u{1b}[31m", "deleted"),
            ],
            changes_total: 5,
            changed_since: vec!["new".into()],
            left: Vec::new(),
            lost: Vec::new(),
            limited: Some("it has more than 50000 files".into()),
        };
        assert_eq!(lines(&report), "remove  new\nrestore gone\n");
        assert_eq!(
            notes(&report),
            [
                "and 3 more",
                "changed since, so nothing would be undone: new",
                "what commands changed is not known: it has more than 50000 files",
                "turn 3 was not touched; without --dry-run it is undone",
            ]
        );
    }
}
