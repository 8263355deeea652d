//! Who is on the other end of a connection, and what that allows.

use serde::Serialize;

/// How far a connection is trusted. Decided by the daemon from the operating system's word
/// or a device's key, never from what the client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// A process of the same user on this machine.
    Local,
    /// A process that an agent started: may look, may not act.
    Agent,
    /// A paired device: may do what [`crate::remote::narrow`] lists, to sessions that are reachable
    /// from elsewhere.
    Remote,
}

impl Trust {
    /// The word in states and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Agent => "agent",
            Self::Remote => "remote",
        }
    }
}

/// A paired device, as the machine knows it. What the device calls itself counts for nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Follows from its key; see docs/link-protocol.md.
    pub id: String,
    /// The name that was given to it at this machine.
    pub name: String,
}

/// The process on the other end, as the operating system says. It may have ended since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    /// Process id.
    pub pid: Option<u32>,
    /// Effective user id.
    pub uid: Option<u32>,
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
    /// The paired device that it is, for [`Trust::Remote`].
    pub device: Option<String>,
}

/// Why an agent's process may not do what it asked for.
pub const AGENT_MAY_ONLY_READ: &str = "this process was started by an agent; agents may look at sessions but not act on them. Run the command yourself";
