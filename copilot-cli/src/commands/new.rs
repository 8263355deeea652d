//! `copilot [PROMPT]` and `copilot -i PROMPT`: a new session, attached.

use ahp_types::commands::CreateSessionParams;
use ahp_types::common::JsonObject;
use ipc_proto::paths::Paths;
use serde_json::Value;

use super::{connected_with_environment, working_folder};
use crate::args::RunArgs;
use crate::client::{Attached, Client, Identity, file_uri, new_session_uri};
use crate::error::{CliError, Exit};
use crate::output::{Output, stdin_is_terminal, stdout_is_terminal};
use crate::terminal;

pub(super) async fn run(paths: &Paths, args: RunArgs, out: &mut Output) -> Result<Exit, CliError> {
    require_terminal()?;
    let identity = Identity::terminal();
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = create(&mut client, &args, false).await?;
    let attached = Attached::subscribe(client, &session, Some(terminal::TURNS)).await?;
    let options = terminal::Options {
        prompt: args.positional.or(args.interactive),
        model: args.model,
        created: true,
    };
    terminal::run(attached, paths, identity, options, out).await
}

/// Says what to do instead when there is no terminal to attach.
pub(super) fn require_terminal() -> Result<(), CliError> {
    if stdin_is_terminal() && stdout_is_terminal() {
        return Ok(());
    }
    Err(
        CliError::usage("an interactive session needs a terminal for input and output").hint(
            "run one prompt with `copilot -p PROMPT`, or follow a session with `copilot attach ID --json`",
        ),
    )
}

/// Creates a session in the current folder; returns its URI.
pub(super) async fn create(
    client: &mut Client,
    args: &RunArgs,
    unattended: bool,
) -> Result<String, CliError> {
    let session = new_session_uri();
    let params = CreateSessionParams {
        channel: session.clone(),
        meta: None,
        provider: args.agent.clone(),
        working_directories: Some(vec![file_uri(&working_folder()?)]),
        config: config(args, unattended),
        active_client: None,
        progress_token: None,
    };
    client.call::<_, Value>("createSession", &params).await?;
    Ok(session)
}

/// The session's config: only what was asked for.
fn config(args: &RunArgs, unattended: bool) -> Option<JsonObject> {
    let mut config = JsonObject::new();
    if !args.allow_tool.is_empty() {
        config.insert("allowTools".to_owned(), args.allow_tool.clone().into());
    }
    if !args.deny_tool.is_empty() {
        config.insert("denyTools".to_owned(), args.deny_tool.clone().into());
    }
    if args.allow_all_tools {
        config.insert("allowAllTools".to_owned(), true.into());
    }
    if unattended {
        config.insert("unattended".to_owned(), true.into());
    }
    (!config.is_empty()).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_holds_what_was_asked_for() {
        assert_eq!(config(&RunArgs::default(), false), None);
        let args = RunArgs {
            allow_tool: vec!["shell(git:*)".to_owned()],
            allow_all_tools: true,
            ..RunArgs::default()
        };
        assert_eq!(
            Value::from(config(&args, true).unwrap()),
            serde_json::json!({"allowTools": ["shell(git:*)"], "allowAllTools": true, "unattended": true})
        );
    }
}
