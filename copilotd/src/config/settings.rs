//! What can be set, and what can be wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::permissions::Rule;
use crate::session::Mode;

/// The settings in effect. The default is what an empty object `{}` means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `model`: for prompts that name none.
    pub model: Option<String>,
    /// `agent`: the name of the agent for sessions that name none.
    pub agent: Option<String>,
    /// `agents`: agents besides the built-in one, by name.
    pub agents: BTreeMap<String, AgentSettings>,
    /// `mode`: the mode of sessions that name none.
    pub mode: Mode,
    /// `autopilot`: how far it goes by itself.
    pub autopilot: AutopilotSettings,
    /// `permissions`: rules for every session.
    pub permissions: PermissionSettings,
    /// `trustedFolders`: absolute or beginning with `~`, as written.
    pub trusted_folders: Vec<PathBuf>,
    /// `logLevel`: how much the daemon logs.
    pub log_level: LogLevel,
    /// `notifications`, when it is set; see [`Settings::notifications`].
    pub notifications: Option<bool>,
    /// `remoteSessions` and `remote`: reaching sessions from other devices.
    pub remote: RemoteSettings,
    /// `audit`: what is recorded for good.
    pub audit: AuditSettings,
}

impl Settings {
    /// Whether the desktop says when a session needs somebody and nobody looks.
    #[must_use]
    pub fn notifications(&self) -> bool {
        self.notifications.unwrap_or(true)
    }
}

/// `remoteSessions` and `remote`: reaching sessions from other devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteSettings {
    /// `remoteSessions`: new interactive sessions have remote access on.
    pub sessions: bool,
    /// `remote.requireGithubRepository`, when it is set.
    pub require_github_repository: Option<bool>,
    /// `remote.githubHosts`: hosts that count as GitHub besides its own.
    pub github_hosts: Vec<String>,
    /// `remote.maxSessionBytes`, when it is set.
    pub max_session_bytes: Option<u64>,
    /// `remote.onResume`: what becomes of remote access when a closed session is used again.
    pub on_resume: OnResume,
    /// `remote.relay`: the relay to go through; without it the one of `copilot login`, or an own
    /// one on this machine.
    pub relay: Option<String>,
}

/// How much of a session devices get, unless the settings say otherwise. Bytes.
pub const MAX_SESSION_BYTES: u64 = 60 * 1024 * 1024;

impl RemoteSettings {
    /// Whether only repositories on GitHub may be reached.
    #[must_use]
    pub fn require_github_repository(&self) -> bool {
        self.require_github_repository.unwrap_or(true)
    }

    /// How much of a session devices get. Bytes.
    #[must_use]
    pub fn max_session_bytes(&self) -> u64 {
        self.max_session_bytes.unwrap_or(MAX_SESSION_BYTES)
    }
}

/// What becomes of remote access when a session that had it was closed and is used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnResume {
    /// It stays off until somebody turns it on.
    #[default]
    Off,
    /// It comes back with the next prompt.
    Restore,
}

/// `audit`: what is recorded for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSettings {
    /// `audit.keepRecords`: how many records stay; the oldest go.
    pub keep_records: KeepRecords,
}

/// A number of records of the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepRecords(pub u64);

impl Default for KeepRecords {
    /// Years of one person's work, and about 100 MB.
    fn default() -> Self {
        Self(200_000)
    }
}

/// `autopilot`: how far a session goes by itself after a person's prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutopilotSettings {
    /// `maxContinuations`: how many turns it starts by itself; see
    /// [`AutopilotSettings::max_continuations`].
    pub max_continuations: Option<u32>,
    /// `maxTokens`: of all its turns together, in and out. Looked at after each turn.
    pub max_tokens: Option<u64>,
    /// `maxMinutes`: since the person's prompt. Looked at after each turn.
    pub max_minutes: Option<u64>,
}

impl AutopilotSettings {
    /// How many turns it starts by itself.
    #[must_use]
    pub fn max_continuations(&self) -> u32 {
        const DEFAULT: u32 = 10;
        self.max_continuations.unwrap_or(DEFAULT)
    }
}

/// How to start one agent.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentSettings {
    /// `command`: a program on PATH or an absolute path.
    pub command: String,
    /// `args`: its arguments.
    pub args: Vec<String>,
    /// `env`: variables added to the person's environment.
    pub env: BTreeMap<String, String>,
    /// `title`: the name that people see.
    pub title: Option<String>,
    /// `confine`: it may write in the session's folder and in `writable` only, and in plan mode
    /// not in the folder.
    pub confine: bool,
    /// `writable`: files and folders of its own, absolute or beginning with `~`.
    pub writable: Vec<PathBuf>,
}

impl fmt::Debug for AgentSettings {
    /// Leaves out the values of variables, which may be keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSettings")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("title", &self.title)
            .field("confine", &self.confine)
            .field("writable", &self.writable)
            .finish()
    }
}

/// `permissions`: rules for every session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionSettings {
    /// What may be done unasked.
    pub allow: Vec<Rule>,
    /// What may not be done, whatever allows it.
    pub deny: Vec<Rule>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is suspicious.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And how.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// The name in settings and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [
            Self::Error,
            Self::Warn,
            Self::Info,
            Self::Debug,
            Self::Trace,
        ]
        .into_iter()
        .find(|level| level.name() == text)
        .ok_or_else(|| {
            format!("`{text}` is not a log level; use error, warn, info, debug or trace")
        })
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is lost.
    Warning,
    /// Something that was written has no effect.
    Error,
}

/// Something wrong with a settings file, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The key that it is about, as `agents.mine.args`; `None` for the whole file.
    pub key: Option<String>,
    /// Line and column, both from 1, when the text itself is broken.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what is in effect instead. Never contains a value of `env`.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Problem {
    /// Something about the file as a whole.
    pub(super) fn file(severity: Severity, message: String) -> Self {
        Self {
            severity,
            key: None,
            position: None,
            message,
        }
    }
}
