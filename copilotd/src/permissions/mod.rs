//! Decides whether what an agent asks for is allowed, denied, or a person's to decide.
//!
//! Owns the rules and their meaning. [`decide()`] is a function of the request, the rules and
//! where paths lead on disk; it asks nobody, remembers nothing and runs nothing. When in doubt
//! the answer is [`Decision::Ask`], never [`Decision::Allow`]. Deny beats allow, always.

mod command;
mod decide;
mod effect;
mod guard;
mod paths;
mod protected;
mod rule;
pub mod shell;
mod shown;
mod subject;
mod urls;
mod words;

#[cfg(test)]
mod documented;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tables;
#[cfg(all(test, unix))]
mod traced;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub use decide::{Decision, Withheld, decide, lasting_rules, real_path, withheld};
pub use effect::{Effect, decide_in_plan_mode, effect};
pub use guard::Guard;
pub use paths::expand_home;
pub use rule::{Rule, RuleError, label_for, label_here};
pub use shown::visible;

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
        /// What the agent says its host is, and will connect to; empty when it does not say.
        addresses: Vec<IpAddr>,
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

    /// The command, path, URL or name that a person is shown. All but a command are one line,
    /// with what cannot be seen written out.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Shell { command } => command.clone(),
            Self::Write { path } | Self::Read { path } => visible(&path.to_string_lossy()),
            Self::Url { url, .. } => visible(url),
            Self::Tool { name } => visible(name),
        }
    }
}

/// Where a rule comes from, in the order in which rules are looked at. Displayed as words that
/// follow the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The settings of whoever manages this machine.
    Managed(PathBuf),
    /// Given when the session was created.
    Flag,
    /// A person's answer "for this session".
    Session,
    /// A person's answer "always here"; the repository, or the folder without one.
    Here(PathBuf),
    /// The person's settings file.
    Settings(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed(path) => write!(f, "in the managed settings {}", path.display()),
            Self::Flag => f.write_str("given at the start of the session"),
            Self::Session => f.write_str("added during this session"),
            Self::Here(repository) => write!(f, "approved for {}", repository.display()),
            Self::Settings(path) => write!(f, "in {}", path.display()),
        }
    }
}

/// What is allowed without a rule, unless a rule denies it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllowAll {
    /// Commands, writing inside the session's folders, and every other tool.
    pub tools: bool,
    /// Every path counts as one inside the session's folders.
    pub paths: bool,
    /// Every public URL.
    pub urls: bool,
}

impl AllowAll {
    /// All of it.
    pub const EVERYTHING: Self = Self {
        tools: true,
        paths: true,
        urls: true,
    };

    /// Whether it is any of it.
    #[must_use]
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

/// Everything that decides for one session without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// What may be done unasked.
    pub allow: Vec<(Rule, Source)>,
    /// What may not be done, whatever `allow` and `allow_all` say.
    pub deny: Vec<(Rule, Source)>,
    /// What no rule needs to allow.
    pub allow_all: AllowAll,
    /// The managed settings that make `allow_all` mean nothing.
    pub allow_all_forbidden_by: Option<PathBuf>,
    /// Folders that count as the session's, beside the one it works in.
    pub folders: Vec<PathBuf>,
    /// Why it is not known what is denied, if so: then nothing is allowed unasked. Reads on
    /// after "it is not known what is denied, because".
    pub denials_unknown: Option<String>,
    /// The agent runs approved commands in the environment that it is told with the approval;
    /// see [`shell::pinned`]. Without that, some programs may be made to run others.
    pub pinned: bool,
    /// What is always asked, whatever the rest says.
    pub guard: Guard,
}
