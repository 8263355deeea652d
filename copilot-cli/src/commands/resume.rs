//! `copilot --continue` and `copilot --resume[=ID]`: an earlier session, attached.

use std::io::{BufRead, Write};

use ahp_types::state::SessionSummary;
use ipc_proto::paths::Paths;

use super::new::require_terminal;
use super::sessions::table;
use super::{confirmed, connected_with_environment, find_session, working_folder};
use crate::args::RunArgs;
use crate::client::{Attached, Client, Identity, list_sessions, newest_in, resolve};
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::terminal;
use crate::text::one_line;

/// The session that the flags ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The newest in this folder.
    Newest,
    /// This one.
    Named(String),
    /// One that the person chooses from a list.
    Choose,
}

/// The session to resume, if any.
pub(super) fn wanted(args: &RunArgs) -> Option<Wanted> {
    match args.resume.as_deref() {
        _ if args.continue_newest => Some(Wanted::Newest),
        Some("") => Some(Wanted::Choose),
        Some(id) => Some(Wanted::Named(id.to_owned())),
        None => None,
    }
}

pub(super) async fn run(paths: &Paths, args: RunArgs, out: &mut Output) -> Result<Exit, CliError> {
    require_terminal()?;
    changes_nothing_fixed(&args)?;
    let identity = Identity::terminal();
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = match wanted(&args) {
        Some(Wanted::Named(id)) => find_session(&mut client, &id).await?,
        Some(Wanted::Choose) => choose(&mut client, out).await?,
        Some(Wanted::Newest) | None => newest(&mut client).await?,
    };
    let mut attached =
        Attached::subscribe(client, &session.resource, Some(terminal::TURNS)).await?;
    switch_mode(&mut attached, &args).await?;
    switch_remote(&mut attached, &args, out).await?;
    let options = terminal::Options {
        prompt: args.positional.or(args.interactive),
        model: args.model,
        created: false,
        remote: args.remote,
    };
    terminal::run(attached, paths, identity, options, out).await
}

/// Refuses flags that say something about a session which only its creation can say.
pub(super) fn changes_nothing_fixed(args: &RunArgs) -> Result<(), CliError> {
    if args.has_rules() || args.agent.is_some() {
        return Err(CliError::usage(
            "the agent and the rules of a session are set when it is created",
        )
        .hint("start a new session to use --agent, --add-dir, --allow-… or --deny-…"));
    }
    Ok(())
}

/// Puts a session that exists into the mode of the flag.
pub(super) async fn switch_mode(attached: &mut Attached, args: &RunArgs) -> Result<(), CliError> {
    let Some(mode) = args.mode else { return Ok(()) };
    let input = attached
        .dispatch(crate::client::switch_mode(mode.name()))
        .await?;
    confirmed(attached, input).await?.map_err(CliError::new)
}

/// Turns remote access of a session that exists on or off, as the flags say. A refusal leaves the
/// session as it is.
pub(super) async fn switch_remote(
    attached: &mut Attached,
    args: &RunArgs,
    out: &mut Output,
) -> Result<(), CliError> {
    let Some(on) = args.remote_access() else {
        return Ok(());
    };
    let input = attached.dispatch(crate::client::set_remote(on)).await?;
    if let Err(why) = confirmed(attached, input).await? {
        out.note(&one_line(&why));
    }
    Ok(())
}

/// The newest session of the current folder.
pub(super) async fn newest(client: &mut Client) -> Result<SessionSummary, CliError> {
    let folder = working_folder()?;
    let sessions = list_sessions(client).await?;
    newest_in(&sessions, &folder).cloned().ok_or_else(|| {
        CliError::new(format!("there is no session in {}", folder.display()))
            .hint("`copilot sessions list --all` shows every session; `copilot` starts a new one")
    })
}

/// Lets the person choose by number or id. Reads a plain line: the terminal is
/// taken over only when there is a session to show.
async fn choose(client: &mut Client, out: &mut Output) -> Result<SessionSummary, CliError> {
    let mut sessions = list_sessions(client).await?;
    sessions.sort_by(|a, b| b.modified_at.cmp(&a.modified_at));
    if sessions.is_empty() {
        return Err(CliError::new("there is no session to resume").hint("`copilot` starts one"));
    }
    for (number, line) in table(&sessions, jiff::Timestamp::now()).lines().enumerate() {
        match number {
            0 => out.note(&format!("     {line}")),
            n => out.note(&format!("{n:>3}  {line}")),
        }
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "Resume which? (number, id or title; Enter for 1) ")?;
    stderr.flush()?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(CliError::silent(Exit::Interrupted));
    }
    pick(&sessions, line.trim()).cloned()
}

fn pick<'a>(sessions: &'a [SessionSummary], typed: &str) -> Result<&'a SessionSummary, CliError> {
    let number = if typed.is_empty() {
        Ok(1)
    } else {
        typed.parse::<usize>()
    };
    if let Some(session) = number
        .ok()
        .and_then(|n| n.checked_sub(1))
        .and_then(|index| sessions.get(index))
    {
        return Ok(session);
    }
    resolve(sessions, typed).map_err(|e| CliError::new(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_which_session() {
        let args = |resume: Option<&str>, continue_newest| RunArgs {
            resume: resume.map(str::to_owned),
            continue_newest,
            ..RunArgs::default()
        };
        assert_eq!(wanted(&args(None, false)), None);
        assert_eq!(wanted(&args(None, true)), Some(Wanted::Newest));
        assert_eq!(wanted(&args(Some(""), false)), Some(Wanted::Choose));
        assert_eq!(
            wanted(&args(Some("ab"), false)),
            Some(Wanted::Named("ab".to_owned()))
        );
    }

    #[test]
    fn what_is_fixed_at_creation_is_refused() {
        let plain = RunArgs {
            model: Some("m".to_owned()),
            mode: Some(crate::args::Mode::Plan),
            no_remote: true,
            ..RunArgs::default()
        };
        assert!(changes_nothing_fixed(&plain).is_ok());
        let agent = RunArgs {
            agent: Some("other".to_owned()),
            ..RunArgs::default()
        };
        let rule = RunArgs {
            deny_tool: vec!["shell(git push)".to_owned()],
            ..RunArgs::default()
        };
        let folder = RunArgs {
            add_dir: vec!["../other".into()],
            ..RunArgs::default()
        };
        for args in [agent, rule, folder] {
            let error = changes_nothing_fixed(&args).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage, "{args:?}");
        }
    }

    #[test]
    fn a_number_an_id_or_enter_picks() {
        let session = |id: &str| -> SessionSummary {
            serde_json::from_value(serde_json::json!({
                "resource": format!("ahp-session:/{id}"), "provider": "copilot", "title": "", "status": 1,
                "createdAt": "2025-01-01T00:00:00Z", "modifiedAt": "2025-01-01T00:00:00Z"}))
            .unwrap()
        };
        let all = [session("aaaa1"), session("bbbb2")];
        for (typed, expected) in [("", "aaaa1"), ("2", "bbbb2"), ("bbbb", "bbbb2")] {
            assert!(
                pick(&all, typed).unwrap().resource.ends_with(expected),
                "{typed}"
            );
        }
        assert!(pick(&all, "3").is_err());
        assert!(pick(&all, "0").is_err());
    }
}
