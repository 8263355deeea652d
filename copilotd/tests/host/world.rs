//! A host with one agent, a folder to work in, and clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use copilotd::agent::tree;
use copilotd::config::{
    AgentSettings, Approvals, Loaded, RemoteSettings, Settings, TrustedFolders,
};
use copilotd::host::identity::Trust;
use copilotd::host::{Host, Parts, Shared};
use ipc_proto::paths::Paths;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::client::{PATIENCE, TestClient};
use super::script;

/// The daemon takes every child of its process that it does not know for an orphan of an agent: two
/// hosts in one process would kill each other's agents.
static ALONE: Mutex<()> = Mutex::const_new(());

pub(super) struct World {
    pub(super) host: Arc<Host>,
    /// Where sessions work.
    pub(super) folder: PathBuf,
    received: PathBuf,
    home: TempDir,
    settings: watch::Sender<Arc<Loaded>>,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// With an agent of these functions, and a trusted folder.
    pub(super) async fn new(functions: &str) -> Self {
        let world = Self::with_untrusted_folder(functions).await;
        world.host.shared.trust(&world.folder).unwrap();
        world
    }

    /// The same, and its agent may take only so long to start.
    pub(super) async fn with_start_limit(functions: &str, limit: Duration) -> Self {
        let world = Self::build(functions, limit).await;
        world.host.shared.trust(&world.folder).unwrap();
        world
    }

    pub(super) async fn with_untrusted_folder(functions: &str) -> Self {
        // Longer than any test.
        Self::build(functions, Duration::from_secs(900)).await
    }

    async fn build(functions: &str, agent_start_limit: Duration) -> Self {
        let alone = ALONE.lock().await;
        tree::adopt_orphans();
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("work");
        std::fs::create_dir(&folder).unwrap();
        let received = home.path().join("received");
        let paths = Paths::under(&home.path().join("daemon"));
        let loaded = Loaded {
            settings: settings(&script::agent(functions), &received),
            ..Loaded::default()
        };
        let (settings, reader) = watch::channel(Arc::new(loaded));
        let (trusted, problem) = TrustedFolders::open(paths.trusted_folders_file(), reader.clone());
        assert!(problem.is_none());
        let (store, notices) = copilotd::store::open(&paths.data_dir.join("sessions.db")).unwrap();
        assert!(notices.is_empty(), "{notices:?}");
        let numbers = store.reserve_numbers(1 << 32).unwrap();
        let (approvals, problem) = Approvals::open(paths.approvals_file());
        assert!(problem.is_none());
        let shared = Shared::new(Parts {
            paths,
            settings: reader,
            managed: watch::Sender::default().subscribe(),
            approvals,
            trusted,
            built_in_agent: PathBuf::from("/nonexistent/agent"),
            store,
            numbers,
            park_after: Duration::from_secs(900),
            agent_start_limit,
        });
        Self {
            host: Host::new(Arc::new(shared)),
            folder,
            received,
            home,
            settings,
            _alone: alone,
        }
    }

    /// From now on sessions start this agent.
    pub(super) fn change_agent(&self, functions: &str) {
        self.settings.send_modify(|loaded| {
            let settings = settings(&script::agent(functions), &self.received);
            *loaded = Arc::new(Loaded {
                settings,
                ..Loaded::default()
            });
        });
    }

    /// From now on sessions start their agent confined. It may still write what it has read.
    pub(super) fn confine_agent(&self) {
        std::fs::write(&self.received, "").unwrap();
        self.settings.send_modify(|loaded| {
            let mut settings = loaded.settings.clone();
            let agent = settings.agents.get_mut("fake").unwrap();
            agent.confine = true;
            agent.writable = vec![self.received.clone()];
            *loaded = Arc::new(Loaded {
                settings,
                ..loaded.as_ref().clone()
            });
        });
    }

    /// From now on sessions start this program.
    pub(super) fn change_program(&self, program: &str) {
        self.settings.send_modify(|loaded| {
            let mut settings = loaded.settings.clone();
            settings.agents.get_mut("fake").unwrap().command = program.into();
            *loaded = Arc::new(Loaded {
                settings,
                ..Loaded::default()
            });
        });
    }

    /// A client on this machine that has introduced itself.
    pub(super) async fn client(&self, name: &str) -> TestClient {
        let mut client = self.stranger(Trust::Local);
        client.initialize(name, &[]).await;
        client
    }

    /// From now on these settings hold for remote access.
    pub(super) fn change_remote(&self, change: impl FnOnce(&mut RemoteSettings)) {
        self.settings.send_modify(|loaded| {
            let mut settings = loaded.settings.clone();
            change(&mut settings.remote);
            *loaded = Arc::new(Loaded {
                settings,
                ..Loaded::default()
            });
        });
    }

    /// A paired device that has introduced itself.
    pub(super) async fn device(&self, name: &str) -> TestClient {
        let mut device = TestClient::device(&self.host, &format!("id of {name}"), name);
        device
            .initialize("the device's own name", &["ahp-root://"])
            .await;
        device
    }

    /// A connection that has not said anything.
    pub(super) fn stranger(&self, trust: Trust) -> TestClient {
        TestClient::new(&self.host, trust)
    }

    /// What the agent has read so far.
    pub(super) fn received(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.received).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The messages that are it, once the agent has read one.
    pub(super) async fn received_until(
        &self,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut received = self.received();
            received.retain(&is_it);
            if !received.is_empty() {
                return received;
            }
            assert!(Instant::now() < deadline, "the agent never read {what}");
            tokio::task::yield_now().await;
        }
    }

    /// The messages of this method that the agent has read so far.
    pub(super) fn received_of(&self, method: &str) -> Vec<Value> {
        let mut received = self.received();
        received.retain(|message| message["method"] == method);
        received
    }

    pub(super) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Parameters of `createSession` for this folder.
    pub(super) fn new_session(&self, session: &str, config: Value) -> Value {
        let folder = copilotd::uri::of_path(&self.folder);
        json!({"channel": session, "workingDirectories": [folder], "config": config})
    }
}

fn settings(script: &str, received: &std::path::Path) -> Settings {
    let fake = AgentSettings {
        command: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: [("RECEIVED".to_owned(), received.display().to_string())].into(),
        title: None,
        confine: false,
        writable: Vec::new(),
    };
    Settings {
        agent: Some("fake".into()),
        agents: [("fake".to_owned(), fake)].into(),
        ..Settings::default()
    }
}

/// A session's URI that nobody used yet.
pub(super) fn new_uri() -> String {
    format!("ahp-session:/{}", uuid::Uuid::new_v4())
}

/// The URI of a session's chat.
pub(super) fn chat_of(session: &str) -> String {
    session.replace("ahp-session:", "ahp-chat:")
}
