//! The AHP host: connections, sessions, subscriptions and methods. Knows nothing of transports.
//!
//! A transport makes a [`Client`], gives every message it reads to [`Host::handle`] in order, and
//! writes what [`Client::outbound`] gives it. Everything about one session is the session's
//! actor's; the host only finds it.

pub mod admit;
mod client;
pub mod identity;
mod methods;
pub mod outbound;
pub mod rpc;
pub mod sequencer;
mod shared;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahp_types::state::{AgentInfo, RootState};
use serde_json::json;
use tokio::sync::oneshot;

pub use client::Client;
pub use shared::Shared;

use crate::session::{self, Input, NewSession, SessionHandle};
use identity::Trust;

/// URI of the root channel.
pub const ROOT: &str = ahp_types::ROOT_RESOURCE_URI;

/// The sessions and clients of this daemon.
pub struct Host {
    /// What sessions need too.
    pub shared: Arc<Shared>,
    sessions: Mutex<HashMap<Arc<str>, SessionHandle>>,
    clients: Mutex<HashMap<u64, Arc<Client>>>,
    next_client: std::sync::atomic::AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// A host without sessions.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        shared.sequencer.open(ROOT);
        let next_client = std::sync::atomic::AtomicU64::new(1);
        Arc::new(Self {
            shared,
            sessions: Mutex::default(),
            clients: Mutex::default(),
            next_client,
        })
    }

    /// A new connection of this trust.
    pub fn connect(&self, trust: Trust) -> Arc<Client> {
        let id = self
            .next_client
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let client = Arc::new(Client::new(id, trust));
        lock(&self.clients).insert(id, Arc::clone(&client));
        client
    }

    /// The connection is gone.
    pub async fn disconnect(&self, client: &Client) {
        lock(&self.clients).remove(&client.id());
        self.shared.sequencer.forget_client(client.id());
        for session in client.take_sessions() {
            if let Some(handle) = self.session(&session) {
                // A session that ended needs no goodbye.
                let _ = handle
                    .inputs
                    .send(Input::Detached {
                        client: client.id(),
                    })
                    .await;
            }
        }
    }

    /// Number of connections.
    pub fn clients(&self) -> usize {
        lock(&self.clients).len()
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<SessionHandle> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// One session.
    pub fn session(&self, id: &str) -> Option<SessionHandle> {
        lock(&self.sessions).get(id).cloned()
    }

    /// Starts a session. `false` when there is one of this id.
    pub fn create(self: &Arc<Self>, new: NewSession) -> bool {
        let id: Arc<str> = new.id.as_str().into();
        let summary = {
            let mut sessions = lock(&self.sessions);
            if sessions.contains_key(&id) {
                return false;
            }
            let (handle, task) = session::start(new, Arc::clone(&self.shared));
            let summary = handle.summary();
            sessions.insert(Arc::clone(&id), handle);
            self.watch(Arc::clone(&id), task);
            summary
        };
        self.shared.notify_root(
            "root/sessionAdded",
            &json!({"channel": ROOT, "summary": summary}),
        );
        true
    }

    /// A session whose actor panicked is gone; all others and the daemon go on.
    fn watch(self: &Arc<Self>, id: Arc<str>, task: tokio::task::JoinHandle<()>) {
        let host = Arc::downgrade(self);
        tokio::spawn(async move {
            if let Err(error) = task.await
                && let Some(host) = host.upgrade()
            {
                tracing::error!(session = %id, %error, "a session ended by a defect of the daemon");
                host.remove(&id);
            }
        });
    }

    fn remove(&self, id: &str) -> bool {
        if lock(&self.sessions).remove(id).is_none() {
            return false;
        }
        self.shared.sequencer.close(&session::session_uri(id));
        self.shared.sequencer.close(&session::chat_uri(id));
        let uri = session::session_uri(id);
        self.shared.notify_root(
            "root/sessionRemoved",
            &json!({"channel": ROOT, "session": uri}),
        );
        true
    }

    /// Ends a session's agent and keeps the session. `false` when there is none of this id.
    pub async fn close_session(&self, id: &str) -> bool {
        let Some(handle) = self.session(id) else {
            return false;
        };
        let (done, closed) = oneshot::channel();
        if handle.inputs.send(Input::Close { done }).await.is_err() {
            return false;
        }
        closed.await.is_ok()
    }

    /// Deletes a session and everything of it. `false` when there is none of this id.
    pub async fn dispose_session(&self, id: &str) -> bool {
        let Some(handle) = self.session(id) else {
            return false;
        };
        let (done, disposed) = oneshot::channel();
        if handle.inputs.send(Input::Dispose { done }).await.is_ok() {
            // An error means that the actor ended by itself, which is what was asked for.
            let _ = disposed.await;
        }
        self.remove(id)
    }

    /// Ends all agents; for the end of the daemon.
    pub async fn close_all(&self) {
        let mut closing = Vec::new();
        for handle in self.sessions() {
            let (done, closed) = oneshot::channel();
            if handle.inputs.send(Input::Close { done }).await.is_ok() {
                closing.push(closed);
            }
        }
        for closed in closing {
            // The actor is gone, and its agent with it.
            let _ = closed.await;
        }
    }

    /// Tells every connection why it ends.
    pub fn close_clients(&self, reason: &str) {
        for client in lock(&self.clients).values() {
            client.outbound().close(reason);
        }
    }

    /// Settings changed: what clients see of them is published.
    pub fn settings_changed(&self) {
        let agents = self.shared.agents();
        let action = ahp_types::actions::RootAgentsChangedAction { agents };
        self.shared.sequencer.publish(
            ROOT,
            &ahp_types::StateAction::RootAgentsChanged(action),
            None,
        );
    }

    fn root_state(&self) -> RootState {
        let agents: Vec<AgentInfo> = self.shared.agents();
        RootState {
            agents,
            active_sessions: None,
            terminals: None,
            config: None,
            meta: None,
        }
    }
}
