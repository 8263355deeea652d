//! `copilot permissions …`: what would be decided and why, and what is allowed for good.
//!
//! The daemon decides; nothing here knows what a rule means.

use std::os::unix::ffi::OsStrExt;

use ipc_proto::control::{Approval, ControlReply, ControlRequest, ExplainPermission};
use ipc_proto::paths::Paths;
use serde_json::json;

use super::{connected, find_session, working_folder};
use crate::args::{ExplainArgs, PermissionsCommand};
use crate::client::{Client, Identity, session_id};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::text::{columns, one_line};

pub(super) async fn run(
    paths: &Paths,
    command: PermissionsCommand,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let mut client = connected(paths, &Identity::command("permissions")).await?;
    match command {
        PermissionsCommand::Explain(args) => explain(&mut client, args, out).await,
        PermissionsCommand::List { all, json } => list(&mut client, all, json, out).await,
        PermissionsCommand::Reset { rule, all, json } => {
            reset(&mut client, rule, all, json, out).await
        }
    }
}

async fn explain(
    client: &mut Client,
    args: ExplainArgs,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let session = match &args.session {
        Some(named) => {
            let found = find_session(client, named).await?;
            Some(session_id(&found.resource).to_owned())
        }
        None => None,
    };
    let folder = folder_bytes(false)?.unwrap_or_default();
    let json = args.json;
    let (kind, subject) = subject(args)?;
    let request = ControlRequest::ExplainPermission(ExplainPermission {
        session,
        folder,
        kind: kind.to_owned(),
        subject: subject.clone(),
    });
    let ControlReply::Explained(explained) = client.control(request).await? else {
        return Err(unexpected());
    };
    let (decision, reason) = (&explained.decision, &explained.reason);
    if json {
        let value =
            json!({"kind": kind, "subject": subject, "decision": decision, "reason": reason});
        out.json(&value)?;
    } else {
        out.line(&one_line(&format!("{decision}: {reason}")))?;
    }
    Ok(Exit::Done)
}

/// The kind of request that was typed, and what it is about.
fn subject(args: ExplainArgs) -> Result<(&'static str, String), CliError> {
    let given = [
        ("shell", args.command),
        ("read", args.read),
        ("write", args.write),
        ("url", args.url),
        ("tool", args.tool),
    ];
    let mut given = given
        .into_iter()
        .filter_map(|(kind, subject)| Some((kind, subject?)));
    given
        .next()
        .ok_or_else(|| CliError::usage("there is nothing to explain"))
}

async fn list(
    client: &mut Client,
    all: bool,
    json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let folder = folder_bytes(all)?;
    let request = ControlRequest::ListApprovals { folder };
    let ControlReply::Approvals(approvals) = client.control(request).await? else {
        return Err(unexpected());
    };
    if json {
        let entry = |a: &Approval| json!({"repository": a.repository, "rule": a.rule});
        out.json(&approvals.iter().map(entry).collect::<Vec<_>>())?;
    } else if approvals.is_empty() {
        out.note(match all {
            true => "nothing is allowed for good",
            false => "nothing is allowed for good in this repository; --all shows every one",
        });
    } else {
        out.data(&table(&approvals))?;
    }
    Ok(Exit::Done)
}

fn table(approvals: &[Approval]) -> String {
    let mut rows = vec![["REPOSITORY", "ALLOWED"].map(str::to_owned)];
    rows.extend(
        approvals
            .iter()
            .map(|a| [one_line(&a.repository), one_line(&a.rule)]),
    );
    columns(&rows)
}

async fn reset(
    client: &mut Client,
    rule: Option<String>,
    all: bool,
    json: bool,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let folder = folder_bytes(all)?;
    let named = rule.clone();
    let request = ControlRequest::ResetApprovals { folder, rule };
    let ControlReply::Removed(removed) = client.control(request).await? else {
        return Err(unexpected());
    };
    if json {
        out.json(&json!({"removed": removed}))?;
    }
    match (named, removed) {
        (Some(rule), 0) => Err(
            CliError::new(format!("`{}` is not allowed here", one_line(&rule)))
                .hint("`copilot permissions list` shows what is"),
        ),
        (_, removed) => {
            if !json {
                out.note(&format!("taken back: {removed}"));
            }
            Ok(Exit::Done)
        }
    }
}

/// The folder that a request is about; none for all of them.
fn folder_bytes(all: bool) -> Result<Option<Vec<u8>>, CliError> {
    match all {
        true => Ok(None),
        false => Ok(Some(working_folder()?.as_os_str().as_bytes().to_vec())),
    }
}

fn unexpected() -> CliError {
    CliError::new("the daemon answered something else than was asked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvals_are_a_table() {
        let approval = |repository: &str, rule: &str| Approval {
            repository: repository.to_owned(),
            rule: rule.to_owned(),
        };
        let approvals = [
            approval("/home/ada/x", "shell(git status)"),
            approval("/home/ada/other", "write(src/\u{1b}[31mmain.rs)"),
        ];
        assert_eq!(
            table(&approvals),
            "REPOSITORY       ALLOWED\n\
             /home/ada/x      shell(git status)\n\
             /home/ada/other  write(src/main.rs)\n"
        );
    }
}
