//! The side of the daemon that faces agents: child processes speaking ACP on stdio.
//!
//! [`process`] starts and ends them, [`rpc`] is the line-delimited JSON-RPC, [`tree`] finds and
//! kills what they started, [`translate`] turns their updates into AHP actions. Nothing here
//! decides anything: that is the session's.

pub mod children;
pub mod environment;
pub mod modes;
pub mod process;
pub mod questions;
pub mod rpc;
pub mod translate;
pub mod tree;

use std::path::PathBuf;

/// How to start an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCommand {
    /// Name in settings and in AHP's `provider`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Program: a path, or a name looked up on the session's `PATH`.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
    /// Variables on top of the session's environment.
    pub env: Vec<(String, String)>,
    /// It is confined as a whole, and may write in these places of its own beside the session's
    /// folder; `None` when it is not confined.
    pub confine: Option<Vec<PathBuf>>,
}

/// Variable that tells an agent where to keep its conversations. It also marks, for the next start of
/// the daemon, what agents of this one started.
pub const STATE_DIR_VARIABLE: &str = "COPILOT_AGENT_STATE_DIR";

/// Name of the built-in agent.
pub const BUILT_IN: &str = "copilot";
