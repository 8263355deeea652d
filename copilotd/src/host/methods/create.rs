//! `createSession`: what a session may be created with.

use std::path::PathBuf;
use std::sync::Arc;

use ahp_types::commands::*;
use ahp_types::errors::ahp_error_codes;
use serde_json::{Value, json};

use super::super::identity::Trust;
use super::super::rpc::RpcError;
use super::super::{Client, Host, NotCreated, Shared};
use super::done;
use crate::permissions::Rule;
use crate::session::mode::{self, Mode};
use crate::session::remote::REMOTE;
use crate::session::{Launch, NewSession};

impl Host {
    pub(super) async fn create_session(
        self: &Arc<Self>,
        client: &Arc<Client>,
        params: CreateSessionParams,
    ) -> Result<Option<String>, RpcError> {
        let id = params
            .channel
            .strip_prefix("ahp-session:/")
            .unwrap_or_default();
        if let Err(no_space) = self.shared.store.has_space() {
            return Err(RpcError::internal(no_space.to_string()));
        }
        let well_formed =
            uuid::Uuid::try_parse(id).is_ok_and(|parsed| parsed.hyphenated().to_string() == id);
        if !well_formed {
            return Err(RpcError::invalid_params(
                "a session's URI is `ahp-session:/` and a UUID in lower case",
            ));
        }
        let provider = params
            .provider
            .unwrap_or_else(|| self.shared.default_agent());
        if self.shared.agent_command(&provider).is_none() {
            let message = format!(
                "there is no agent `{provider}`; agents are named in {}",
                self.shared.paths.settings_file().display()
            );
            return Err(RpcError::new(ahp_error_codes::PROVIDER_NOT_FOUND, message));
        }
        let directories = params.working_directories.as_deref().unwrap_or_default();
        let config = params.config.unwrap_or_default();
        if client.trust() == Trust::Remote {
            self.may_start_remotely(directories, &config)?;
        }
        let folder = folder(directories)?;
        let mut launch = launch(config, self.shared.settings().mode)?;
        check_managed(&self.shared, &launch)?;
        self.remote_at_start(client, &folder, &mut launch).await?;
        let environment = client.environment();
        let new = NewSession {
            id: id.to_owned(),
            provider,
            folder,
            launch,
            environment,
            created_by: Some(client.who()),
        };
        match self.create(new).await {
            Ok(()) => done(&json!(null)),
            Err(NotCreated::Exists) => {
                let message = format!("there is a session {} already", params.channel);
                Err(RpcError::new(
                    ahp_error_codes::SESSION_ALREADY_EXISTS,
                    message,
                ))
            }
            Err(why @ (NotCreated::Unreadable(_) | NotCreated::Unkept)) => {
                Err(RpcError::internal(why.to_string()))
            }
        }
    }
}

/// The one folder a session works in.
fn folder(directories: &[String]) -> Result<PathBuf, RpcError> {
    let [uri] = directories else {
        return Err(RpcError::invalid_params(
            "a session works in exactly one folder",
        ));
    };
    let path = crate::uri::to_path(uri)
        .filter(|p| p.is_absolute())
        .ok_or_else(|| {
            RpcError::invalid_params(format!("{uri} is not the `file:` URI of an absolute path"))
        })?;
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(RpcError::invalid_params(format!(
            "{} is not a folder",
            path.display()
        ))),
        Err(error) => Err(RpcError::invalid_params(format!(
            "the folder {} cannot be used: {error}",
            path.display()
        ))),
    }
}

/// `default_mode` is for sessions that name none.
fn launch(config: ahp_types::common::JsonObject, default_mode: Mode) -> Result<Launch, RpcError> {
    let mut launch = Launch {
        mode: default_mode,
        ..Launch::default()
    };
    for (key, value) in config {
        match key.as_str() {
            "allowTools" => launch.allow = rules(&key, value)?,
            "denyTools" => launch.deny = rules(&key, value)?,
            "allowAllTools" => launch.allow_all.tools = flag(&key, &value)?,
            "allowAllPaths" => launch.allow_all.paths = flag(&key, &value)?,
            "allowAllUrls" => launch.allow_all.urls = flag(&key, &value)?,
            "addDirs" => launch.add_dirs = folders(&key, value)?,
            "unattended" => launch.unattended = flag(&key, &value)?,
            REMOTE => launch.remote = Some(flag(&key, &value)?),
            mode::MODE => launch.mode = session_mode(&value)?,
            other => {
                return Err(RpcError::invalid_params(format!(
                    "a session has no setting `{other}`"
                )));
            }
        }
    }
    Ok(launch)
}

/// Folders beside the session's own.
fn folders(key: &str, value: Value) -> Result<Vec<PathBuf>, RpcError> {
    let folders: Vec<PathBuf> = serde_json::from_value(value)
        .map_err(|_| RpcError::invalid_params(format!("`{key}` is a list of folders")))?;
    match folders.iter().find(|folder| !folder.is_absolute()) {
        Some(folder) => Err(RpcError::invalid_params(format!(
            "`{key}`: {} is not an absolute path",
            folder.display()
        ))),
        None => Ok(folders),
    }
}

/// What managed settings forbid at the start of a session.
fn check_managed(shared: &Shared, launch: &Launch) -> Result<(), RpcError> {
    let (managed, file) = shared.managed();
    match managed.allow_all_forbidden && launch.allow_all.is_any() {
        true => Err(RpcError::invalid_request(format!(
            "allowing everything (--allow-all, --yolo, --allow-all-tools, --allow-all-paths, \
             --allow-all-urls) is forbidden by {}",
            file.display()
        ))),
        false => Ok(()),
    }
}

fn rules(key: &str, value: Value) -> Result<Vec<Rule>, RpcError> {
    let texts: Vec<String> = serde_json::from_value(value)
        .map_err(|_| RpcError::invalid_params(format!("`{key}` is a list of rules")))?;
    let parse = |text: &String| {
        text.parse::<Rule>()
            .map_err(|e| RpcError::invalid_params(format!("`{key}`: {e}")))
    };
    texts.iter().map(parse).collect()
}

fn session_mode(value: &Value) -> Result<Mode, RpcError> {
    let name = value
        .as_str()
        .ok_or_else(|| RpcError::invalid_params("`mode` is a text"))?;
    name.parse()
        .map_err(|wrong: String| RpcError::invalid_params(wrong))
}

fn flag(key: &str, value: &Value) -> Result<bool, RpcError> {
    value
        .as_bool()
        .ok_or_else(|| RpcError::invalid_params(format!("`{key}` is true or false")))
}
