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
mod remote;
mod root;
pub mod rpc;
pub mod sequencer;
mod shared;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahp_types::state::SessionSummary;
use serde_json::json;
use tokio::sync::oneshot;

pub use client::Client;
pub use shared::{Parts, Shared};

use crate::agent::{STATE_DIR_VARIABLE, tree};
use crate::audit::Who;
use crate::pause;
use crate::session::{self, Input, NewSession, SessionHandle};
use crate::store::{Batch, Operation, Position, Store, StoredSession, StoredSummary};
use identity::{Device, Peer, Trust};

/// URI of the root channel.
pub const ROOT: &str = ahp_types::ROOT_RESOURCE_URI;

/// The sessions and clients of this daemon.
pub struct Host {
    /// What sessions need too.
    pub shared: Arc<Shared>,
    /// The sessions in memory.
    sessions: Mutex<HashMap<Arc<str>, SessionHandle>>,
    /// Held while a session comes into memory, so that it comes once. Never held while something is
    /// kept: a disk that fails would keep people from all sessions.
    reviving: tokio::sync::Mutex<()>,
    /// Ids of sessions that wait to be kept for the first time, and are not there yet.
    creating: Mutex<HashSet<String>>,
    clients: Mutex<HashMap<u64, Arc<Client>>>,
    root: root::Root,
    next_client: std::sync::atomic::AtomicU64,
}

/// Why a session was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCreated {
    /// There is one of this id.
    #[error("there is a session of this id already")]
    Exists,
    /// The store does not take it.
    #[error("the session could not be kept, so it was not created; see `copilot daemon logs`")]
    Unkept,
    /// It is not known whether there is one of this id.
    #[error("it cannot be known whether there is a session of this id already: {0}")]
    Unreadable(String),
}

/// Sessions that are looked at together when the daemon starts.
const RECOVER_PAGE: usize = 100;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word for what a session does, from its line in lists.
pub fn state_word(summary: &SessionSummary) -> Option<&str> {
    summary.meta.as_ref()?.get("copilot.state")?.as_str()
}

/// The line of a session that is not in memory: one that was idle when the daemon was killed says
/// so of itself still.
fn at_rest(mut summary: SessionSummary) -> SessionSummary {
    if state_word(&summary) == Some("idle")
        && let Some(meta) = &mut summary.meta
    {
        meta.insert("copilot.state".to_owned(), "stored".into());
    }
    summary
}

/// Whether remote access is on, from a session's line in lists.
fn is_remote(summary: &SessionSummary) -> bool {
    let remote = summary.meta.as_ref().and_then(|m| m.get("copilot.remote"));
    remote.is_some_and(|r| r["on"] == true)
}

/// The reason for a rejection of what is dispatched to a session that does not exist.
pub(crate) fn no_session_behind(channel: &str) -> String {
    let shown: String = channel.chars().take(100).collect();
    format!("there is no session behind {shown}")
}

/// Does something to its end in a task of its own. A transport drops what it waits for when its
/// client is gone; what has begun must not stay half-way. `None`: a defect ended it.
async fn whole<T: Send + 'static>(doing: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let done = tokio::spawn(doing).await;
    done.inspect_err(|error| tracing::error!(%error, "a request ended by a defect of the daemon"))
        .ok()
}

/// A session that waits to be kept for the first time.
struct Creating<'a> {
    host: &'a Host,
    id: String,
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        lock(&self.host.creating).remove(&self.id);
    }
}

fn sweep(store: &Store, agent_state_dir: &std::path::Path) {
    tree::sweep_marked(STATE_DIR_VARIABLE, agent_state_dir.as_os_str());
    match store.processes() {
        Ok(left_behind) => {
            for record in left_behind {
                tracing::info!(session = %record.session, pid = record.pid, "sweeping what was left behind");
                tree::sweep_recorded(record.pid, record.start_time);
                let operations = vec![Operation::ForgetProcess { pid: record.pid }];
                let session = record.session;
                // The next start sweeps again what could not be noted.
                let _ = store.submit(Batch {
                    session,
                    durable: false,
                    operations,
                });
            }
        }
        Err(error) => tracing::error!(%error, "it is not known what an earlier daemon left behind"),
    }
}

impl Host {
    /// A host whose sessions are all in the store.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        shared.sequencer.open(ROOT);
        let next_client = std::sync::atomic::AtomicU64::new(1);
        let root = root::Root::new(&shared);
        let host = Arc::new(Self {
            shared,
            root,
            sessions: Mutex::default(),
            reviving: tokio::sync::Mutex::default(),
            creating: Mutex::default(),
            clients: Mutex::default(),
            next_client,
        });
        host.shared.set_host(Arc::downgrade(&host));
        host
    }

    /// A new connection of this trust, from this process.
    pub fn connect(&self, trust: Trust, peer: Peer) -> Arc<Client> {
        let id = self
            .next_client
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let client = Arc::new(Client::new(id, trust, peer));
        lock(&self.clients).insert(id, Arc::clone(&client));
        client
    }

    /// A new connection of a paired device.
    pub fn connect_device(&self, device: Device) -> Arc<Client> {
        let id = self
            .next_client
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let client = Arc::new(Client::of_device(id, device));
        lock(&self.clients).insert(id, Arc::clone(&client));
        client
    }

    /// Whether the session of this id is there for a client, as far as trust goes.
    pub(crate) fn is_there_for(&self, client: &Client, session: &str) -> bool {
        client.trust() != Trust::Remote || self.shared.remote.is_on(session)
    }

    /// The connection is gone.
    pub async fn disconnect(&self, client: &Client) {
        lock(&self.clients).remove(&client.id());
        self.shared.sequencer.forget_client(client.id());
        for session in client.take_sessions() {
            if let Some(handle) = self.live(&session) {
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

    /// The ids of the paired devices that are connected.
    pub fn devices_here(&self) -> HashSet<String> {
        let clients = lock(&self.clients);
        clients
            .values()
            .filter_map(|c| Some(c.device()?.id.clone()))
            .collect()
    }

    /// The sessions with remote access on, in memory or not: id and title.
    pub async fn remote_sessions(&self) -> Vec<(String, String)> {
        let live: Vec<SessionSummary> = self.live_sessions().iter().map(|s| s.summary()).collect();
        let mut all = self.stored_summaries(None, usize::MAX).await;
        all.retain(|stored| !live.iter().any(|l| l.resource == stored.resource));
        all.extend(live);
        let of = |summary: SessionSummary| {
            let id = session::session_of_channel(&summary.resource)?.to_owned();
            self.shared.remote.is_on(&id).then_some((id, summary.title))
        };
        all.into_iter().filter_map(of).collect()
    }

    /// Number of connections.
    pub fn clients(&self) -> usize {
        lock(&self.clients).len()
    }

    /// The sessions in memory.
    pub fn live_sessions(&self) -> Vec<SessionHandle> {
        let sessions = lock(&self.sessions);
        let live = sessions.values().filter(|s| !s.inputs.is_closed());
        live.cloned().collect()
    }

    /// A session that is in memory.
    pub fn live(&self, id: &str) -> Option<SessionHandle> {
        let handle = lock(&self.sessions).get(id).cloned()?;
        (!handle.inputs.is_closed()).then_some(handle)
    }

    /// A session, brought into memory where it is not.
    pub async fn find(self: &Arc<Self>, id: &str) -> Option<SessionHandle> {
        if let Some(handle) = self.live(id) {
            return Some(handle);
        }
        let _one_at_a_time = self.reviving.lock().await;
        if let Some(handle) = self.live(id) {
            return Some(handle);
        }
        if lock(&self.creating).contains(id) {
            return None;
        }
        let stored = self.load(id, session::TURNS_IN_MEMORY).await?;
        pause::reached("before-revive");
        match session::revive(id, stored, Arc::clone(&self.shared)) {
            Ok((handle, task)) => {
                pause::reached("after-revive");
                self.admit_handle(handle.clone(), task);
                Some(handle)
            }
            Err(error) => {
                tracing::error!(session = %id, %error, "a session cannot be shown");
                None
            }
        }
    }

    async fn load(&self, id: &str, turns: usize) -> Option<StoredSession> {
        let session = id.to_owned();
        let read = move |store: &Store| store.load(&session, turns);
        self.shared.read_store("read a session", read).await?
    }

    fn admit_handle(self: &Arc<Self>, handle: SessionHandle, task: tokio::task::JoinHandle<()>) {
        let id = Arc::clone(&handle.id);
        lock(&self.sessions).insert(Arc::clone(&id), handle);
        self.watch(id, task);
    }

    /// Starts a session; goes on when whoever asked is gone.
    ///
    /// # Errors
    /// When there is one of this id, or when that cannot be known: what could not be read is not
    /// overwritten.
    pub async fn create(self: &Arc<Self>, new: NewSession) -> Result<(), NotCreated> {
        let host = Arc::clone(self);
        let created = whole(async move { host.create_whole(new).await }).await;
        created.unwrap_or(Err(NotCreated::Unkept))
    }

    async fn create_whole(self: &Arc<Self>, new: NewSession) -> Result<(), NotCreated> {
        let _creating = self.reserve(&new.id).await?;
        let started = session::start(new, Arc::clone(&self.shared)).await;
        let (handle, task) = started.ok_or(NotCreated::Unkept)?;
        let (id, summary) = (Arc::clone(&handle.id), handle.summary());
        self.admit_handle(handle, task);
        self.shared.notify_root(
            &id,
            "root/sessionAdded",
            &json!({"channel": ROOT, "summary": summary}),
        );
        Ok(())
    }

    /// Makes an id this session's, until the guard is dropped.
    async fn reserve(&self, id: &str) -> Result<Creating<'_>, NotCreated> {
        let _one_at_a_time = self.reviving.lock().await;
        let is_taken = self.live(id).is_some() || lock(&self.creating).contains(id);
        if is_taken || self.is_stored(id).await? {
            return Err(NotCreated::Exists);
        }
        lock(&self.creating).insert(id.to_owned());
        let id = id.to_owned();
        Ok(Creating { host: self, id })
    }

    async fn is_stored(&self, id: &str) -> Result<bool, NotCreated> {
        let (store, id) = (self.shared.store.clone(), id.to_owned());
        let read = tokio::task::spawn_blocking(move || store.load(&id, 0)).await;
        let stored = read.map_err(|defect| NotCreated::Unreadable(defect.to_string()))?;
        stored
            .map(|found| found.is_some())
            .map_err(|error| NotCreated::Unreadable(error.to_string()))
    }

    /// A session whose actor panicked leaves memory; its clients come back for what was kept. All
    /// others and the daemon go on.
    fn watch(self: &Arc<Self>, id: Arc<str>, task: tokio::task::JoinHandle<()>) {
        let host = Arc::downgrade(self);
        tokio::spawn(async move {
            if let Err(error) = task.await
                && let Some(host) = host.upgrade()
            {
                tracing::error!(session = %id, %error, "a session ended by a defect of the daemon");
                lock(&host.sessions).remove(&id);
                for channel in [session::session_uri(&id), session::chat_uri(&id)] {
                    let reason = "the session failed inside the daemon; reconnect to go on";
                    host.shared.sequencer.close_with(&channel, reason);
                }
            }
        });
    }

    /// A session left memory; what came for it at the last moment brings it back.
    pub async fn parked(self: &Arc<Self>, id: &str, late: Vec<Input>) {
        {
            let mut sessions = lock(&self.sessions);
            if sessions.get(id).is_some_and(|h| h.inputs.is_closed()) {
                sessions.remove(id);
            }
        }
        // What comes for it now would bring it back only to end with the daemon.
        if self.shared.ending.is_cancelled() {
            return;
        }
        for input in late {
            if let Some(handle) = self.find(id).await {
                // It was found a moment ago; if it is gone again, so is the one who asked.
                let _ = handle.inputs.send(input).await;
            }
        }
    }

    /// Kills what an earlier life of this daemon left behind, and marks the turns that it did not
    /// finish. Nothing is run again.
    pub async fn recover(self: &Arc<Self>) {
        let store = self.shared.store.clone();
        let state_dir = self.shared.paths.agent_state_dir();
        let swept = tokio::task::spawn_blocking(move || sweep(&store, &state_dir)).await;
        if let Err(error) = swept {
            tracing::error!(%error, "leftovers of an earlier daemon could not be swept");
        }
        // A page at a time: what is read here would stay with the allocator for the daemon's life.
        let mut before = None;
        loop {
            let page = self.stored_page(before, RECOVER_PAGE).await;
            before = page.last().map(|s| Position {
                modified_at: s.modified_at.clone(),
                id: s.id.clone(),
            });
            for stored in &page {
                self.recover_one(stored).await;
            }
            if page.len() < RECOVER_PAGE {
                return;
            }
        }
    }

    async fn recover_one(self: &Arc<Self>, stored: &StoredSummary) {
        let Ok(summary) = serde_json::from_str::<SessionSummary>(&stored.summary_json) else {
            return;
        };
        if is_remote(&summary) {
            self.shared.remote.set(&stored.id, true);
        }
        let word = state_word(&summary).unwrap_or_default();
        if !matches!(word, "idle" | "error" | "stored") {
            self.find(&stored.id).await;
        }
    }

    /// Lines of the store's list, newest first, as they are for sessions that are not in memory.
    async fn stored_summaries(
        &self,
        before: Option<Position>,
        limit: usize,
    ) -> Vec<SessionSummary> {
        let parse = |s: StoredSummary| serde_json::from_str(&s.summary_json).ok();
        let stored = self.stored_page(before, limit).await;
        let all = stored.into_iter().filter_map(parse);
        all.map(at_rest).collect()
    }

    /// The same as they are stored.
    async fn stored_page(&self, before: Option<Position>, limit: usize) -> Vec<StoredSummary> {
        let read = move |store: &Store| store.summaries(before.as_ref(), limit);
        let stored = self.shared.read_store("read the list of sessions", read);
        stored.await.unwrap_or_default()
    }

    /// Ends a session's agent and keeps the session. `false` when there is none of this id.
    pub async fn close_session(self: &Arc<Self>, id: &str, by: Who) -> bool {
        self.ask(id, |done| Input::Close { by, done }).await
    }

    /// Takes the file changes of a turn of a session back, or says what that would do.
    ///
    /// # Errors
    /// A sentence that says why not. `Ok(None)`: there is no such session.
    pub async fn undo(
        self: &Arc<Self>,
        id: &str,
        by: Who,
        number: Option<u64>,
        dry_run: bool,
    ) -> Result<Option<session::UndoOutcome>, String> {
        let Some(handle) = self.find(id).await else {
            return Ok(None);
        };
        let (reply, asked) = oneshot::channel();
        let input = Input::Undo {
            by,
            number,
            dry_run,
            reply,
        };
        let ended = || "the session ended meanwhile; try again".to_owned();
        handle.inputs.send(input).await.map_err(|_| ended())?;
        asked.await.map_err(|_| ended())?.map(Some)
    }

    /// Deletes a session and everything of it; goes on when whoever asked is gone. `false` when there
    /// is none of this id.
    pub async fn dispose_session(self: &Arc<Self>, id: &str, by: Who) -> bool {
        let Some(asked) = self.begin(id, |done| Input::Dispose { by, done }).await else {
            return false;
        };
        let (host, id) = (Arc::clone(self), id.to_owned());
        let disposed = whole(async move {
            let is_gone = asked.await.is_ok();
            if is_gone {
                host.forget(&id);
            }
            is_gone
        });
        disposed.await.unwrap_or(false)
    }

    /// A session was deleted.
    fn forget(&self, id: &str) {
        lock(&self.sessions).remove(id);
        let uri = session::session_uri(id);
        self.shared.notify_root(
            id,
            "root/sessionRemoved",
            &json!({"channel": ROOT, "session": uri}),
        );
        self.shared.remote.set(id, false);
    }

    /// Asks a session for something and waits until it is done.
    async fn ask(
        self: &Arc<Self>,
        id: &str,
        input: impl FnOnce(oneshot::Sender<()>) -> Input,
    ) -> bool {
        match self.begin(id, input).await {
            Some(asked) => asked.await.is_ok(),
            None => false,
        }
    }

    /// Asks a session for something; what is returned says when it is done.
    async fn begin(
        self: &Arc<Self>,
        id: &str,
        input: impl FnOnce(oneshot::Sender<()>) -> Input,
    ) -> Option<oneshot::Receiver<()>> {
        let handle = self.find(id).await?;
        let (done, asked) = oneshot::channel();
        handle.inputs.send(input(done)).await.ok()?;
        Some(asked)
    }

    /// Ends all agents and interrupts their turns; for the end of the daemon. While the disk fails
    /// that is not kept, and done at the next start.
    pub async fn suspend_all(&self) {
        self.shared.ending.cancel();
        let mut suspending = Vec::new();
        for handle in self.live_sessions() {
            let (done, suspended) = oneshot::channel();
            if handle.inputs.send(Input::Suspend { done }).await.is_ok() {
                suspending.push(suspended);
            }
        }
        for suspended in suspending {
            // The actor is gone, and its agent with it.
            let _ = suspended.await;
        }
    }

    /// Tells every connection that the daemon ends.
    pub fn close_clients(&self) {
        for client in lock(&self.clients).values() {
            client.outbound().stop();
        }
    }

    /// Settings or trusted folders changed: what clients see of them is published.
    pub fn root_changed(&self) {
        self.root.update(&self.shared);
    }
}
