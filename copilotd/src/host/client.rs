//! One connection, as the host and the sessions see it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::identity::{Device, Identity, Peer, Trust};
use super::outbound::Outbound;
use crate::agent::environment::SessionEnvironment;
use crate::audit::Who;

/// Different refusals of one connection that are recorded.
const REFUSALS_RECORDED: usize = 16;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    id: u64,
    trust: Trust,
    device: Option<Device>,
    peer: Peer,
    identity: OnceLock<Identity>,
    outbound: Arc<Outbound>,
    environment: Mutex<Option<Arc<SessionEnvironment>>>,
    /// Held by what it asked to see last.
    looking: Arc<Semaphore>,
    /// Sessions that it subscribed to at some time, to tell them when it leaves.
    sessions: Mutex<HashSet<String>>,
    /// What it was refused, so that asking in a loop fills no audit.
    refusals: Mutex<HashSet<String>>,
}

impl Client {
    pub(super) fn new(id: u64, trust: Trust, peer: Peer) -> Self {
        let local = Self::of(id, trust, None, Outbound::default());
        Self { peer, ..local }
    }

    /// The connection of a paired device.
    pub(super) fn of_device(id: u64, device: Device) -> Self {
        Self::of(id, Trust::Remote, Some(device), Outbound::of_device())
    }

    fn of(id: u64, trust: Trust, device: Option<Device>, outbound: Outbound) -> Self {
        Self {
            id,
            trust,
            device,
            peer: Peer::default(),
            identity: OnceLock::new(),
            outbound: Arc::new(outbound),
            environment: Mutex::default(),
            looking: Arc::new(Semaphore::new(1)),
            sessions: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    /// Unique among the connections of this daemon's life.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the connection may do.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The paired device that it is, if it is one.
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// What waits to be sent to it.
    pub fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// Waits until it was shown what it asked to see before: a connection has one snapshot at a time,
    /// however many it asks for. The next one waits until what is returned is dropped.
    pub async fn look(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.looking).acquire_owned().await.ok()
    }

    /// Who it is; before `initialize` nobody in particular.
    pub fn identity(&self) -> Identity {
        self.identity.get().cloned().unwrap_or_else(|| Identity {
            client_id: String::new(),
            name: "a client".into(),
            trust: self.trust,
            device: self.device.as_ref().map(|d| d.id.clone()),
        })
    }

    /// Who it is, for the audit.
    pub fn who(&self) -> Who {
        Who {
            name: self.identity().name,
            trust: self.trust.name().to_owned(),
            pid: self.peer.pid,
            uid: self.peer.uid,
            device: self.device.as_ref().map(|device| device.id.clone()),
        }
    }

    /// Whether this refusal is to be recorded: the first of its kind on this connection is.
    pub fn is_new_refusal(&self, what: &str) -> bool {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.len() < REFUSALS_RECORDED && refusals.insert(what.to_owned())
    }

    /// Whether `initialize` or `reconnect` came.
    pub fn is_initialized(&self) -> bool {
        self.identity.get().is_some()
    }

    /// Binds the identity; `false` when there is one already.
    pub(super) fn introduce(&self, identity: Identity) -> bool {
        self.identity.set(identity).is_ok()
    }

    /// The environment it gave, if any.
    pub fn environment(&self) -> Option<Arc<SessionEnvironment>> {
        self.environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps the environment that the connection gave.
    pub fn set_environment(&self, environment: SessionEnvironment) {
        let mut kept = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::new(environment));
    }

    pub(super) fn note_session(&self, session: &str) {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(session.to_owned());
    }

    pub(super) fn take_sessions(&self) -> HashSet<String> {
        std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
