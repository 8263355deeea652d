//! `copilot [PROMPT]` and `copilot -i PROMPT`: a new session, attached.

use std::path::Path;

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
use crate::text::one_line;

pub(super) async fn run(paths: &Paths, args: RunArgs, out: &mut Output) -> Result<Exit, CliError> {
    require_terminal()?;
    let identity = Identity::terminal();
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = create(&mut client, &args, false).await?;
    let attached = Attached::subscribe(client, &session, Some(terminal::TURNS)).await?;
    if let Some(why) = remote_refusal(&attached) {
        out.note(&why);
    }
    let options = terminal::Options {
        prompt: args.positional.or(args.interactive),
        model: args.model,
        created: true,
        remote: args.remote,
    };
    terminal::run(attached, paths, identity, options, out).await
}

/// Why the session cannot be reached from elsewhere, though that was asked for.
fn remote_refusal(attached: &Attached) -> Option<String> {
    let meta = attached.mirror().session()?.meta.as_ref()?;
    let refused = meta.get("copilot.remote")?.get("refused")?.as_str()?;
    Some(one_line(refused))
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
        config: config(args, &working_folder()?, unattended),
        active_client: None,
        progress_token: None,
    };
    client.call::<_, Value>("createSession", &params).await?;
    Ok(session)
}

/// The session's config: only what was asked for.
fn config(args: &RunArgs, folder: &Path, unattended: bool) -> Option<JsonObject> {
    let mut config = JsonObject::new();
    // A host is a rule that is written shorter.
    let rules = |tools: &[String], hosts: &[String]| {
        let hosts = hosts.iter().map(|host| format!("url({host})"));
        tools.iter().cloned().chain(hosts).collect::<Vec<_>>()
    };
    let add_dirs: Vec<String> = args
        .add_dir
        .iter()
        .map(|dir| folder.join(dir).display().to_string())
        .collect();
    for (key, list) in [
        ("allowTools", rules(&args.allow_tool, &args.allow_url)),
        ("denyTools", rules(&args.deny_tool, &args.deny_url)),
        ("addDirs", add_dirs),
    ] {
        if !list.is_empty() {
            config.insert(key.to_owned(), list.into());
        }
    }
    if let Some(mode) = args.mode {
        config.insert("mode".to_owned(), mode.name().into());
    }
    for (key, is_set) in [
        ("allowAllTools", args.allow_all_tools || args.allow_all),
        ("allowAllPaths", args.allow_all_paths || args.allow_all),
        ("allowAllUrls", args.allow_all_urls || args.allow_all),
        ("unattended", unattended),
    ] {
        if is_set {
            config.insert(key.to_owned(), true.into());
        }
    }
    if let Some(remote) = args.remote_access() {
        config.insert("remote".to_owned(), remote.into());
    }
    (!config.is_empty()).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Mode;

    #[test]
    fn the_config_holds_what_was_asked_for() {
        let folder = Path::new("/work");
        assert_eq!(config(&RunArgs::default(), folder, false), None);
        let args = RunArgs {
            allow_tool: vec!["shell(git:*)".to_owned()],
            allow_url: vec!["*.example.com".to_owned()],
            deny_url: vec!["example.org".to_owned()],
            add_dir: vec!["../other".into(), "/abs".into()],
            allow_all_tools: true,
            mode: Some(Mode::Plan),
            no_remote: true,
            ..RunArgs::default()
        };
        assert_eq!(
            Value::from(config(&args, folder, true).unwrap()),
            serde_json::json!({
                "allowTools": ["shell(git:*)", "url(*.example.com)"],
                "denyTools": ["url(example.org)"],
                "addDirs": ["/work/../other", "/abs"],
                "allowAllTools": true,
                "mode": "plan",
                "unattended": true,
                "remote": false,
            })
        );
        let args = RunArgs {
            allow_all: true,
            ..RunArgs::default()
        };
        assert_eq!(
            Value::from(config(&args, folder, false).unwrap()),
            serde_json::json!({"allowAllTools": true, "allowAllPaths": true, "allowAllUrls": true})
        );
    }
}
