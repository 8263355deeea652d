//! Decides whether what an agent asks for is allowed, denied, or a person's to decide.
//!
//! Owns the rules and their meaning. [`decide()`] is a function of the request, the rules and
//! where paths lead on disk; it asks nobody, remembers nothing and runs nothing. When in doubt
//! the answer is [`Decision::Ask`], never [`Decision::Allow`]. Deny beats allow, always.

mod decide;
mod guard;
mod paths;
mod rule;
pub mod shell;
mod subject;
mod urls;
mod words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tables;

use std::fmt;
use std::path::PathBuf;

pub use decide::{Decision, decide, session_rule};
pub use guard::Guard;
pub use paths::expand_home;
pub use rule::{Rule, RuleError, label_for};

/// Something an agent wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Run a command in a shell.
    Shell {
        /// The text given to the shell.
        command: String,
    },
    /// Create, change or remove a file.
    Write {
        /// Relative to the session's folder unless absolute.
        path: PathBuf,
    },
    /// Read a file or list a folder.
    Read {
        /// Relative to the session's folder unless absolute.
        path: PathBuf,
    },
    /// Fetch from the network.
    Url {
        /// As the agent gave it.
        url: String,
    },
    /// Use any other tool.
    Tool {
        /// Its name; for a tool of an MCP server, `server(tool)`.
        name: String,
    },
}

impl Request {
    /// The kind as it is named in rules and in the protocol.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Shell { .. } => "shell",
            Self::Write { .. } => "write",
            Self::Read { .. } => "read",
            Self::Url { .. } => "url",
            Self::Tool { .. } => "tool",
        }
    }

    /// The command, path, URL or name that a person is shown.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Shell { command } => command.clone(),
            Self::Write { path } | Self::Read { path } => path.display().to_string(),
            Self::Url { url } => url.clone(),
            Self::Tool { name } => name.clone(),
        }
    }
}

/// Where a rule comes from. Displayed as words that follow the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Given when the session was created.
    Flag,
    /// A person's answer "for this session".
    Session,
    /// A settings file.
    Settings(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("given at the start of the session"),
            Self::Session => f.write_str("added during this session"),
            Self::Settings(path) => write!(f, "in {}", path.display()),
        }
    }
}

/// Everything that decides for one session without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// What may be done unasked.
    pub allow: Vec<(Rule, Source)>,
    /// What may not be done, whatever `allow` and `allow_all` say.
    pub deny: Vec<(Rule, Source)>,
    /// Whatever no rule denies is allowed.
    pub allow_all: bool,
    /// What is always asked, whatever `allow` and `allow_all` say.
    pub guard: Guard,
}
