//! One actor per live session: the only writer of its state.
//!
//! Everything that happens to a session goes through its [`Input`] queue or comes from its agent.
//! The actor admits, computes actions, publishes them and replies, in that order. It never waits
//! for a client, and never for an agent without a limit.

mod actor;
mod agent;
mod audit;
mod autopilot;
mod budget;
pub(crate) mod commands;
mod commit;
mod configure;
pub mod confine;
mod inbox;
pub mod mode;
mod permission;
mod persist;
pub mod plan;
mod question;
pub mod remote;
mod resume;
mod rules;
mod search;
mod state;
mod terminal;
mod turn;
mod undo;
mod view;
mod wanted;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahp_types::actions::{ActionOrigin, StateAction};
use ahp_types::state::{SessionSummary, Snapshot};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::agent::environment::SessionEnvironment;
use crate::audit::Who;
use crate::content::ContentUri;
use crate::host::Client;
use crate::host::Shared;
use crate::permissions::{AllowAll, Decision, Request, Rule};
use crate::store::StoredSession;

pub use commit::TURNS_IN_MEMORY;
pub use mode::Mode;
pub use persist::Unreadable;
pub use rules::rule_set;
pub use undo::{UndoOutcome, UndoReply};

/// Inputs that may wait for one session. When full, the clients of this session wait; no other.
const INPUTS_WAITING: usize = 256;

/// What a session is created with.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Random UUID, the last part of every URI of the session.
    pub id: String,
    /// Agent name; see [`crate::agent::AgentCommand`].
    pub provider: String,
    /// Where the agent works: absolute, existing.
    pub folder: PathBuf,
    /// Flags.
    pub launch: Launch,
    /// The creating client's environment, if it gave one.
    pub environment: Option<Arc<SessionEnvironment>>,
    /// Who creates it; nobody when it comes back from the store.
    pub created_by: Option<Who>,
}

/// The flags of a session. All but the mode hold for its life.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// Rules that allow.
    pub allow: Vec<Rule>,
    /// Rules that deny.
    pub deny: Vec<Rule>,
    /// What no rule needs to allow.
    pub allow_all: AllowAll,
    /// Folders that count as the session's, beside the one it works in; absolute.
    pub add_dirs: Vec<PathBuf>,
    /// Nobody can be asked.
    pub unattended: bool,
    /// Whether paired devices may know of it from the start; `None` is for the host to decide.
    pub remote: Option<bool>,
    /// Why they may not, though it was asked for.
    pub remote_refusal: Option<String>,
    /// The mode to begin in.
    pub mode: Mode,
}

/// How a chat is to be shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Only so many of the newest completed turns; all when absent.
    pub turns: Option<usize>,
}

/// A request to subscribe and to be shown what there is.
pub struct Asked {
    /// Who.
    pub client: Arc<Client>,
    /// JSON-RPC id to reply to.
    pub request_id: Value,
    /// One of the session's channels.
    pub channel: String,
    /// For a chat.
    pub view: View,
    /// How long deltas may be held back to be merged.
    pub latency: Duration,
    /// What else the client asks to see waits until this is dropped.
    pub looking: Option<OwnedSemaphorePermit>,
}

/// What clients ask of a session.
pub enum Input {
    /// Subscribe and reply with a snapshot, in one step.
    Subscribe(Asked),
    /// Subscribe and give the snapshot, for `initialize` and `reconnect` with their many channels.
    Snapshot {
        /// Who.
        client: Arc<Client>,
        /// One of the session's channels.
        channel: String,
        /// For a chat.
        view: View,
        /// Gets the snapshot; `None` when the channel is gone.
        reply: oneshot::Sender<Option<Snapshot>>,
    },
    /// A client was subscribed by a replay.
    Attached {
        /// Who.
        client: Arc<Client>,
    },
    /// A client is not subscribed any more.
    Detached {
        /// [`Client::id`].
        client: u64,
    },
    /// An action to admit.
    Dispatch {
        /// Who.
        client: Arc<Client>,
        /// The channel it is meant for.
        channel: String,
        /// To match the echo.
        origin: ActionOrigin,
        /// What.
        action: Box<StateAction>,
    },
    /// Older turns for one client.
    FetchTurns {
        /// Who.
        client: Arc<Client>,
        /// JSON-RPC id to reply to.
        request_id: Value,
        /// From an earlier snapshot or page.
        cursor: Option<String>,
    },
    /// What can be typed here?
    Completions {
        /// Who.
        client: Arc<Client>,
        /// JSON-RPC id to reply to.
        request_id: Value,
        /// The channel it is asked for on.
        channel: String,
        /// What was typed, up to the cursor.
        typed: String,
    },
    /// Take the file changes of a turn back, or say what that would do.
    Undo {
        /// Who.
        by: Who,
        /// The turn, from 1; the newest when absent.
        number: Option<u64>,
        /// Only say it.
        dry_run: bool,
        /// Told when it is done.
        reply: oneshot::Sender<UndoReply>,
    },
    /// End the turn and the agent; keep the session.
    Close {
        /// Who.
        by: Who,
        /// Told when nothing of the session runs any more.
        done: oneshot::Sender<()>,
    },
    /// The same, and the actor ends.
    Dispose {
        /// Who.
        by: Who,
        /// Told when nothing of the session runs any more.
        done: oneshot::Sender<()>,
    },
    /// End the agent because the daemon ends; a running turn is interrupted.
    Suspend {
        /// Told when everything is kept.
        done: oneshot::Sender<()>,
    },
    /// What would be decided about a request of this session's agent.
    Explain {
        /// The request.
        request: Request,
        /// Gets the decision.
        reply: oneshot::Sender<Decision>,
    },
    /// The login shell's environment, for a session that had none.
    LoginEnvironment(Arc<SessionEnvironment>),
    /// Which part of a content may paired devices read?
    Readable {
        /// What.
        uri: ContentUri,
        /// Gets the part; `None` when they may read nothing of it.
        reply: oneshot::Sender<Option<Range<u64>>>,
    },
    /// The link to the relay is not as it was; the session shows it.
    LinkChanged,
}

/// What everybody may know of a session without asking its actor.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    /// The session's id.
    pub id: Arc<str>,
    /// Its inputs.
    pub inputs: mpsc::Sender<Input>,
    /// Its line in lists, kept up to date by the actor.
    pub summary: Arc<Mutex<SessionSummary>>,
}

impl SessionHandle {
    /// A copy of the line in lists.
    pub fn summary(&self) -> SessionSummary {
        self.summary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// URI of the session channel.
pub fn session_uri(id: &str) -> String {
    format!("ahp-session:/{id}")
}

/// URI of the default chat.
pub fn chat_uri(id: &str) -> String {
    format!("ahp-chat:/{id}")
}

/// The session that a channel belongs to.
pub fn session_of_channel(channel: &str) -> Option<&str> {
    let rest = ["ahp-session:/", "ahp-chat:/", "ahp-terminal:/"]
        .iter()
        .find_map(|p| channel.strip_prefix(p))?;
    rest.split('/').next().filter(|id| !id.is_empty())
}

/// Starts the actor of a new session, once the store has it; `None` when it does not take it.
pub async fn start(
    new: NewSession,
    shared: Arc<Shared>,
) -> Option<(SessionHandle, tokio::task::JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(INPUTS_WAITING);
    let inbox = inbox::Inbox::new(receiver);
    let mut actor = actor::Actor::new(new, shared, sender.downgrade(), inbox);
    if !actor.keep_first().await {
        return None;
    }
    actor.announce_remote();
    Some(spawn(actor, sender))
}

/// Starts the actor of a session that was kept.
///
/// # Errors
/// When what was kept is not understood.
pub fn revive(
    id: &str,
    stored: StoredSession,
    shared: Arc<Shared>,
) -> Result<(SessionHandle, tokio::task::JoinHandle<()>), Unreadable> {
    let (sender, receiver) = mpsc::channel(INPUTS_WAITING);
    let revived = persist::revive(stored, &chat_uri(id))?;
    let inbox = inbox::Inbox::new(receiver);
    let actor = actor::Actor::revived(id, revived, shared, sender.downgrade(), inbox)?;
    Ok(spawn(actor, sender))
}

fn spawn(
    actor: actor::Actor,
    inputs: mpsc::Sender<Input>,
) -> (SessionHandle, tokio::task::JoinHandle<()>) {
    let handle = SessionHandle {
        id: actor.id().into(),
        inputs,
        summary: actor.summary_cell(),
    };
    (handle, tokio::spawn(actor.run()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_names_its_session() {
        assert_eq!(session_of_channel("ahp-chat:/a-b"), Some("a-b"));
        assert_eq!(
            session_of_channel("ahp-terminal:/a-b/call%201"),
            Some("a-b")
        );
        assert_eq!(session_of_channel("ahp-root://"), None);
        assert_eq!(session_of_channel("ahp-session:/"), None);
    }
}
