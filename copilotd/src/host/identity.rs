//! Who is on the other end of a connection, and what that allows.

use serde::Serialize;

/// How far a connection is trusted. Decided by the daemon from the operating system's word,
/// never from what the client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// A process of the same user on this machine.
    Local,
    /// A process that an agent started: may look, may not act.
    Agent,
}

/// A client as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The client's own id from `initialize`; correlates retries, proves nothing.
    pub client_id: String,
    /// The name shown to others, such as `terminal pts/3`.
    pub name: String,
    /// What the connection may do.
    pub trust: Trust,
}

/// Why an agent's process may not do what it asked for.
pub const AGENT_MAY_ONLY_READ: &str = "this process was started by an agent; agents may look at sessions but not act on them. Run the command yourself";
