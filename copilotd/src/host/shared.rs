//! What the host and every session share: numbers, settings, content, trusted folders.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ahp_types::state::AgentInfo;
use ipc_proto::paths::Paths;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::sequencer::{Audience, Sequencer};
use super::{Client, Host, ROOT, rpc};
use crate::agent::{AgentCommand, BUILT_IN};
use crate::audit::{Event, Record};
use crate::config::{
    Approvals, Loaded, Managed, Settings, TrustedFolders, managed_file, managed_folder,
};
use crate::content::ContentStore;
use crate::permissions::{Guard, expand_home};
use crate::remote::{Link, RemoteSessions};
use crate::store::{Batch, Store, StoreError};

/// Shared by the host and its sessions.
pub struct Shared {
    /// Where everything is.
    pub paths: Paths,
    /// Numbers, replay and subscriptions.
    pub sequencer: Sequencer,
    /// Large content by reference.
    pub contents: ContentStore,
    /// What is always asked.
    pub guard: Guard,
    /// What is allowed in a repository for good.
    pub approvals: Approvals,
    /// Sessions on disk.
    pub store: Store,
    /// Which sessions are there for paired devices.
    pub remote: RemoteSessions,
    /// How devices come here.
    pub link: Link,
    /// Cancelled when the daemon ends: from then on nobody waits for a disk that fails.
    pub ending: CancellationToken,
    /// How long a session stays in memory when nothing happens and nobody looks.
    pub park_after: Duration,
    /// How long an agent has from its start until it can be prompted.
    pub agent_start_limit: Duration,
    host: OnceLock<Weak<Host>>,
    trusted: TrustedFolders,
    settings: watch::Receiver<Arc<Loaded>>,
    managed: watch::Receiver<Arc<Managed>>,
    managed_file: PathBuf,
    built_in_agent: PathBuf,
}

/// What [`Shared`] is made of.
pub struct Parts {
    /// Where everything is.
    pub paths: Paths,
    /// The settings as they change.
    pub settings: watch::Receiver<Arc<Loaded>>,
    /// The managed settings as they change.
    pub managed: watch::Receiver<Arc<Managed>>,
    /// What is allowed in a repository for good.
    pub approvals: Approvals,
    /// Folders that agents may work in.
    pub trusted: TrustedFolders,
    /// Program of the built-in agent.
    pub built_in_agent: PathBuf,
    /// Sessions on disk.
    pub store: Store,
    /// Numbers that may be given to actions.
    pub numbers: std::ops::Range<u64>,
    /// See [`Shared::park_after`].
    pub park_after: Duration,
    /// See [`Shared::agent_start_limit`].
    pub agent_start_limit: Duration,
}

impl Shared {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let paths = parts.paths;
        let own = vec![
            paths.config_dir.clone(),
            paths.data_dir.clone(),
            paths.runtime_dir.clone(),
        ];
        Self {
            sequencer: Sequencer::new(parts.numbers),
            contents: ContentStore::new(paths.content_dir()),
            guard: Guard::new(own, Some(managed_folder())),
            approvals: parts.approvals,
            store: parts.store,
            remote: RemoteSessions::default(),
            link: Link::default(),
            ending: CancellationToken::new(),
            park_after: parts.park_after,
            agent_start_limit: parts.agent_start_limit,
            host: OnceLock::new(),
            trusted: parts.trusted,
            settings: parts.settings,
            managed: parts.managed,
            managed_file: managed_file(&managed_folder()),
            built_in_agent: parts.built_in_agent,
            paths,
        }
    }

    pub(super) fn set_host(&self, host: Weak<Host>) {
        // It is set once, by the host that is made of this.
        let _ = self.host.set(host);
    }

    /// The host, for a session that leaves memory; `None` when the daemon ends.
    pub fn host(&self) -> Option<Arc<Host>> {
        self.host.get()?.upgrade()
    }

    /// Reads from the store beside the loop that serves everybody. What fails is logged with
    /// `what`, a phrase such as "read older turns", and gives nothing.
    pub async fn read_store<T: Send + 'static>(
        &self,
        what: &str,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let store = self.store.clone();
        let result = tokio::task::spawn_blocking(move || read(&store)).await;
        let result = result.map_err(anyhow::Error::new);
        let result = result.and_then(|r| r.map_err(anyhow::Error::new));
        result
            .inspect_err(|error| tracing::error!(%error, "could not {what}"))
            .ok()
    }

    /// Records something that is not part of a session's step. It waits for no disk; whoever was
    /// refused has no need to know that it is recorded.
    pub fn record(&self, record: &Record) {
        let Some(operation) = record.operation(self.audit_keep()) else {
            return;
        };
        let batch = Batch {
            session: record.session.clone().unwrap_or_default(),
            durable: false,
            operations: vec![operation],
        };
        if let Err(error) = self.store.submit(batch) {
            tracing::error!(%error, "a record of the audit could not be kept");
        }
    }

    /// Records something that is not part of a session's step, and waits until it is kept. What
    /// cannot be kept is logged.
    pub async fn record_durably(&self, record: &Record) {
        let Some(operation) = record.operation(self.audit_keep()) else {
            return;
        };
        let batch = Batch {
            session: record.session.clone().unwrap_or_default(),
            durable: true,
            operations: vec![operation],
        };
        self.store.room().await;
        let kept = match self.store.submit(batch) {
            Ok(committed) => committed.await.map_err(|error| error.to_string()),
            Err(full) => Err(full.to_string()),
        };
        if let Err(error) = kept {
            tracing::error!(%error, "a record of the audit could not be kept");
        }
    }

    /// Records that a connection was refused something because of what it is.
    pub fn record_refusal(&self, client: &Client, session: Option<&str>, what: &str, reason: &str) {
        if client.is_new_refusal(what) {
            let (what, reason) = (what.to_owned(), reason.to_owned());
            let event = Event::Refused { what, reason };
            self.record(&Record::now(session, client.who(), event));
        }
    }

    /// How many records the audit keeps.
    pub fn audit_keep(&self) -> u64 {
        self.settings.borrow().settings.audit.keep_records.0
    }

    /// The settings as they are now, with what is wrong with the file.
    pub fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.settings.borrow())
    }

    /// To be told when the settings change.
    pub fn watch_settings(&self) -> watch::Receiver<Arc<Loaded>> {
        self.settings.clone()
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.settings.borrow().settings.clone()
    }

    /// The managed settings as they are now, and their file.
    pub fn managed(&self) -> (Arc<Managed>, &Path) {
        (Arc::clone(&self.managed.borrow()), &self.managed_file)
    }

    /// To be told when the managed settings change.
    pub fn watch_managed(&self) -> watch::Receiver<Arc<Managed>> {
        self.managed.clone()
    }

    /// Everything that is wrong with the settings, managed ones first, in words for people.
    pub fn settings_problems(&self) -> Vec<String> {
        let (managed, file) = self.managed();
        let managed = managed.problems.iter();
        managed
            .map(|problem| format!("{}: {problem}", file.display()))
            .chain(self.loaded().problems.iter().map(ToString::to_string))
            .collect()
    }

    /// Whether agents may work in `folder` without asking.
    pub fn is_trusted(&self, folder: &Path) -> bool {
        self.trusted.is_trusted(folder)
    }

    /// Trusts `folder` for good. The error is a sentence.
    pub fn trust(&self, folder: &Path) -> Result<(), String> {
        let problem = self.trusted.trust(folder).map_err(|e| e.to_string())?;
        if let Some(problem) = problem {
            tracing::warn!(%problem, "the trusted folders were read anew");
        }
        if let Some(host) = self.host() {
            host.root_changed();
        }
        Ok(())
    }

    /// The folders that are trusted for good, as far as their names are text.
    pub fn trusted_folders(&self) -> Vec<String> {
        let folders = self.trusted.all().into_iter();
        folders
            .filter_map(|f| f.into_os_string().into_string().ok())
            .collect()
    }

    /// How to start the agent of this name; `None` when there is none.
    pub fn agent_command(&self, name: &str) -> Option<AgentCommand> {
        let settings = self.settings.borrow();
        if let Some(agent) = settings.settings.agents.get(name) {
            return Some(AgentCommand {
                name: name.to_owned(),
                title: agent.title.clone().unwrap_or_else(|| name.to_owned()),
                program: PathBuf::from(&agent.command),
                args: agent.args.clone(),
                env: agent
                    .env
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
                confine: agent.confine.then(|| {
                    let places = agent.writable.iter();
                    places.filter_map(|path| expand_home(path)).collect()
                }),
            });
        }
        (name == BUILT_IN).then(|| AgentCommand {
            name: BUILT_IN.into(),
            title: "Copilot".into(),
            program: self.built_in_agent.clone(),
            args: Vec::new(),
            env: Vec::new(),
            confine: None,
        })
    }

    /// The agent of sessions that name none.
    pub fn default_agent(&self) -> String {
        self.settings
            .borrow()
            .settings
            .agent
            .clone()
            .unwrap_or_else(|| BUILT_IN.to_owned())
    }

    /// The agents as AHP lists them.
    pub fn agents(&self) -> Vec<AgentInfo> {
        let mut names = vec![BUILT_IN.to_owned()];
        names.extend(
            self.settings
                .borrow()
                .settings
                .agents
                .keys()
                .filter(|n| *n != BUILT_IN)
                .cloned(),
        );
        let info = |name: String| {
            let command = self.agent_command(&name)?;
            Some(AgentInfo {
                display_name: command.title,
                description: match name == BUILT_IN {
                    true => "The built-in coding agent".into(),
                    false => "An agent from the settings".into(),
                },
                provider: name,
                models: Vec::new(),
                protected_resources: None,
                customizations: None,
                capabilities: None,
            })
        };
        names.into_iter().filter_map(info).collect()
    }

    /// Tells the subscribers of the root channel something about a session: paired devices only
    /// when the session is there for them.
    pub fn notify_root(&self, session: &str, method: &str, params: &impl serde::Serialize) {
        let audience = match self.remote.is_on(session) {
            true => Audience::Everybody,
            false => Audience::ThisMachine,
        };
        self.sequencer
            .notify(ROOT, &rpc::notification(method, params), audience);
    }

    /// Tells paired devices only.
    pub fn notify_devices(&self, method: &str, params: &impl serde::Serialize) {
        self.sequencer
            .notify(ROOT, &rpc::notification(method, params), Audience::Devices);
    }
}
