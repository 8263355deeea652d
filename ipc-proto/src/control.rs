//! Control requests and replies: what a command asks of the daemon itself.
//!
//! Owns the types and their bytes. They are append-only: a new need is a new variant at the end, with its
//! own struct; a variant or a struct that has shipped never changes, because bincode has no field names.
//! Must never hold a type that needs a self-describing format, or a recursive one.

mod remote;

use crate::frame::MAX_CONTROL_BYTES;
use serde::{Deserialize, Deserializer, Serialize};

pub use remote::{
    AwaitPairing, DeviceRelay, JoinRelay, MAX_DEVICES, MAX_REMOTE_SESSIONS, PairedDevice,
    PairingBegun, PairingProgress, RemoteSession, RemoteStatus, RenameDevice, Secret, TypeCode,
};

/// How many variants [`ControlRequest`] has. An index beyond it is a request of a newer client.
pub(crate) const REQUEST_VARIANTS: u32 = 22;

/// The most variables an environment may have.
const MAX_VARIABLES: usize = 16 * 1024;
/// What an environment's variables may take of a control message; the rest is for everything else
/// in it.
const MAX_ENVIRONMENT_BYTES: usize = MAX_CONTROL_BYTES - 16 * 1024;
/// What a variable takes beside its name and value at most: two lengths.
const VARIABLE_OVERHEAD_BYTES: usize = 18;
/// The most problems a status lists.
const MAX_PROBLEMS: usize = 1024;
/// The most hits that [`ControlReply::Found`] may have; one with more is not read.
pub const MAX_FOUND: usize = 1024;
/// The most approvals that [`ControlReply::Approvals`] may have.
pub const MAX_APPROVALS: usize = 64 * 1024;
/// The most records that [`ControlReply::Audit`] may have; one with more is not read.
pub const MAX_AUDIT_RECORDS: usize = 1024;
/// The most paths that a list of [`UndoReport`] may have.
pub const MAX_UNDO_PATHS: usize = 1024;
/// The most problems that [`ControlReply::AuditChecked`] may have.
const MAX_AUDIT_PROBLEMS: usize = 1024;

/// A variable's name and value.
pub type Variable = (Vec<u8>, Vec<u8>);

/// What a client asks of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlRequest {
    /// How are you? Answered with [`ControlReply::Status`].
    Status,
    /// End the daemon. Answered with [`ControlReply::Done`] before it ends.
    Stop {
        /// Whether sessions that are working are interrupted instead of being a reason to refuse.
        force: bool,
    },
    /// The environment that agents of this connection's sessions work with.
    ProvideEnvironment(Environment),
    /// End the agent of a session. The session stays and can be resumed.
    CloseSession {
        /// The session's URI.
        session: String,
    },
    /// Which sessions have these words in their title or conversation? Answered with
    /// [`ControlReply::Found`], the best first.
    Search {
        /// The words, separated by spaces. Never a query language: every character is what it is.
        query: String,
        /// The most hits that are wanted; the daemon gives at most [`MAX_FOUND`].
        limit: u32,
    },
    /// What would be decided about this? Answered with [`ControlReply::Explained`].
    ExplainPermission(ExplainPermission),
    /// What is allowed for good? Answered with [`ControlReply::Approvals`].
    ListApprovals {
        /// Only in the repository of this folder, as the operating system's bytes; everywhere when
        /// absent.
        folder: Option<Vec<u8>>,
    },
    /// Take back what is allowed for good. Answered with [`ControlReply::Removed`].
    ResetApprovals {
        /// Only in the repository of this folder, as the operating system's bytes; everywhere when
        /// absent.
        folder: Option<Vec<u8>>,
        /// Only this rule, as it is listed; all of them when absent.
        rule: Option<String>,
    },
    /// What was recorded? Answered with [`ControlReply::Audit`], the oldest first.
    Audit(AuditQuery),
    /// Is the audit whole? Answered with [`ControlReply::AuditChecked`].
    CheckAudit,
    /// Take the file changes of a turn back. Answered with [`ControlReply::Undo`].
    Undo(UndoRequest),
    /// How are sessions reached from elsewhere? Answered with [`ControlReply::Remote`].
    RemoteStatus,
    /// Join a relay. Answered with [`ControlReply::Done`].
    JoinRelay(JoinRelay),
    /// Leave the relay that was joined. Answered with [`ControlReply::Done`].
    LeaveRelay,
    /// Which devices are paired? Answered with [`ControlReply::Devices`].
    ListDevices,
    /// Give a device another name. Answered with [`ControlReply::Done`].
    RenameDevice(RenameDevice),
    /// Trust a device no more, and cut it off. Answered with [`ControlReply::Done`].
    RevokeDevice {
        /// Its id.
        device: String,
    },
    /// Make a pairing link. Answered with [`ControlReply::PairingBegun`] once the link leads
    /// somewhere.
    BeginPairing {
        /// The id of the session that the device shows first, if any.
        session: Option<String>,
    },
    /// Answered with [`ControlReply::Pairing`] when it is not as it was, and after 25 s at the
    /// latest. Nothing else of the connection is answered meanwhile.
    AwaitPairing(AwaitPairing),
    /// A person typed the code that a device shows. Answered with [`ControlReply::Pairing`].
    TypeCode(TypeCode),
    /// End a pairing. Answered with [`ControlReply::Done`].
    EndPairing {
        /// Its id.
        pairing: String,
    },
    /// Through which relays do the paired devices come? Answered with
    /// [`ControlReply::DeviceRelays`].
    ListDeviceRelays,
}

/// Something that an agent might ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainPermission {
    /// The session whose rules and folder count, as its id; the settings alone when absent.
    pub session: Option<String>,
    /// The folder when there is no session, as the operating system's bytes.
    pub folder: Vec<u8>,
    /// `shell`, `write`, `read`, `url` or `tool`.
    pub kind: String,
    /// The command, the path (relative to the folder), the URL or the name.
    pub subject: String,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlReply {
    /// It has happened.
    Done,
    /// The answer to [`ControlRequest::Status`].
    Status(DaemonStatus),
    /// It has not happened.
    Error(ControlError),
    /// The answer to [`ControlRequest::Search`].
    Found(#[serde(deserialize_with = "found")] Vec<FoundSession>),
    /// The answer to [`ControlRequest::ExplainPermission`].
    Explained(ExplainedPermission),
    /// The answer to [`ControlRequest::ListApprovals`].
    Approvals(#[serde(deserialize_with = "approvals")] Vec<Approval>),
    /// The answer to [`ControlRequest::ResetApprovals`]: how many there were.
    Removed(u32),
    /// The answer to [`ControlRequest::Audit`].
    Audit(AuditPage),
    /// The answer to [`ControlRequest::CheckAudit`].
    AuditChecked(AuditCheck),
    /// The answer to [`ControlRequest::Undo`].
    Undo(UndoReport),
    /// The answer to [`ControlRequest::RemoteStatus`].
    Remote(RemoteStatus),
    /// The answer to [`ControlRequest::ListDevices`], in the order in which they were paired.
    Devices(#[serde(deserialize_with = "remote::devices")] Vec<PairedDevice>),
    /// The answer to [`ControlRequest::BeginPairing`].
    PairingBegun(PairingBegun),
    /// How a pairing is.
    Pairing(PairingProgress),
    /// The answer to [`ControlRequest::ListDeviceRelays`], in the order of
    /// [`ControlReply::Devices`].
    DeviceRelays(#[serde(deserialize_with = "remote::device_relays")] Vec<DeviceRelay>),
}

/// Which turn is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRequest {
    /// The session's id.
    pub session: String,
    /// The turn's place in the conversation, from 1; the newest that changed files when absent.
    pub turn: Option<u64>,
    /// Whether to say only what would be done.
    pub dry_run: bool,
}

/// What taking a turn back does, or would do. Each list is at most [`MAX_UNDO_PATHS`] long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoReport {
    /// The turn's place in the conversation, from 1.
    pub turn: u64,
    /// Whether it was done.
    pub done: bool,
    /// What the turn changed.
    #[serde(deserialize_with = "undo_changes")]
    pub changes: Vec<UndoChange>,
    /// How many changes there are in all.
    pub changes_total: u64,
    /// What changed since, which is why it is not done.
    #[serde(deserialize_with = "undo_paths")]
    pub changed_since: Vec<String>,
    /// Folders that stay because something else is in them.
    #[serde(deserialize_with = "undo_paths")]
    pub left: Vec<String>,
    /// Files that were too large to be kept.
    #[serde(deserialize_with = "undo_paths")]
    pub lost: Vec<String>,
    /// Why only what tools announced is known, if so.
    pub limited: Option<String>,
}

/// One change of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoChange {
    /// Relative to the session's folder; absolute for what is elsewhere.
    pub path: String,
    /// `created`, `edited` or `deleted`.
    pub change: String,
}

/// What would be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedPermission {
    /// `allow`, `deny` or `ask`.
    pub decision: String,
    /// Which rule of which file, or why somebody is asked; a sentence without its full stop.
    pub reason: String,
}

/// Something that is allowed in a repository for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The repository's folder.
    pub repository: String,
    /// The rule; its paths are relative to the repository.
    pub rule: String,
}

/// Which records of the audit are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    /// Only of the session of this id.
    pub session: Option<String>,
    /// Only from this time on: RFC 3339 in UTC with milliseconds.
    pub since: Option<String>,
    /// Only after the record of this number.
    pub after: u64,
    /// How long to wait for a record when there is none, in milliseconds; the daemon waits at most 30 s.
    pub wait_ms: u32,
}

/// Some records of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// In the order in which they were made.
    #[serde(deserialize_with = "audit_records")]
    pub records: Vec<AuditRecord>,
    /// The number after which to ask for more.
    pub last: u64,
    /// Whether there may be more already.
    pub more: bool,
}

/// One record of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number.
    pub seq: u64,
    /// Its hash, in hexadecimal.
    pub hash: String,
    /// What was recorded, as a JSON object.
    pub record_json: String,
}

/// What a check of the audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheck {
    /// How many records there are.
    pub records: u64,
    /// The number of the oldest; 0 when there is none.
    pub first: u64,
    /// The number of the newest; 0 when there is none.
    pub last: u64,
    /// The hash of the newest.
    pub head: String,
    /// What is wrong, in sentences.
    #[serde(deserialize_with = "audit_problems")]
    pub problems: Vec<String>,
}

/// A place where a search found its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSession {
    /// The session's id.
    pub session: String,
    /// Its title.
    pub title: String,
    /// The id of the turn that has the words; absent when the title has them.
    pub turn: Option<String>,
    /// The words with what is around them, on one line.
    pub snippet: String,
}

/// Why a request was not done, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// What kind of failure it is, for programs.
    pub code: ErrorCode,
    /// What failed and whose fault it is.
    pub message: String,
    /// What to do next, if anything helps.
    pub hint: Option<String>,
}

/// What kind of failure a [`ControlError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// What the request names does not exist.
    NotFound,
    /// This connection may not do it.
    Denied,
    /// The request makes no sense, or not now.
    Invalid,
    /// The daemon's own fault.
    Internal,
    /// This daemon does not know the request; it is older than the client.
    Unsupported,
}

/// The environment a person works with. It may hold secrets: it is never logged, and its `Debug` shows no
/// variable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Names and values, as the operating system's bytes.
    #[serde(deserialize_with = "variables")]
    pub vars: Vec<Variable>,
    /// The file mode creation mask, where it can be known.
    pub umask: Option<u32>,
    /// The working folder, as the operating system's bytes.
    pub cwd: Option<Vec<u8>>,
}

/// What the daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it started, in milliseconds since 1970-01-01 UTC.
    pub started_at_unix_ms: u64,
    /// How many sessions it knows.
    pub sessions: u32,
    /// How many of them are working.
    pub sessions_working: u32,
    /// How many clients are connected, the asking one included.
    pub clients: u32,
    /// Where it listens.
    pub socket: String,
    /// Where it logs.
    pub log_dir: String,
    /// Where its settings are read from.
    pub settings_file: String,
    /// What is wrong with the settings, in words for people.
    #[serde(deserialize_with = "problems")]
    pub settings_problems: Vec<String>,
    /// Whether a service manager started it and would start it again.
    pub service_managed: bool,
}

impl Environment {
    /// Leaves out the longest variables until the rest fits into a message; gives the names of
    /// what was left out.
    #[must_use]
    pub fn fit(mut self) -> (Self, Vec<String>) {
        let bytes = |(name, value): &Variable| name.len() + value.len() + VARIABLE_OVERHEAD_BYTES;
        let mut total: usize = self.vars.iter().map(bytes).sum();
        let mut shortest_last: Vec<usize> = (0..self.vars.len()).collect();
        shortest_last.sort_by_key(|at| std::cmp::Reverse(bytes(&self.vars[*at])));
        let mut left_out = std::collections::BTreeSet::new();
        for at in shortest_last {
            let count = self.vars.len() - left_out.len();
            if total <= MAX_ENVIRONMENT_BYTES && count <= MAX_VARIABLES {
                break;
            }
            total -= bytes(&self.vars[at]);
            left_out.insert(at);
        }
        let mut names = Vec::new();
        let mut at = 0;
        self.vars.retain(|(name, _)| {
            let keep = !left_out.contains(&at);
            at += 1;
            if !keep {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
            keep
        });
        (self, names)
    }

    /// The environment of this process.
    #[must_use]
    pub fn capture() -> Self {
        Self {
            vars: std::env::vars_os()
                .map(|(name, value)| (os_bytes(name), os_bytes(value)))
                .collect(),
            umask: current_umask(),
            cwd: std::env::current_dir()
                .ok()
                .map(|path| os_bytes(path.into_os_string())),
        }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Environment")
            .field("vars", &format_args!("<{} variables>", self.vars.len()))
            .field("umask", &self.umask.map(|mask| format!("{mask:04o}")))
            .field("cwd", &self.cwd.as_deref().map(String::from_utf8_lossy))
            .finish()
    }
}

#[cfg(unix)]
fn os_bytes(text: std::ffi::OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(text)
}

#[cfg(not(unix))]
fn os_bytes(text: std::ffi::OsString) -> Vec<u8> {
    text.to_string_lossy().into_owned().into_bytes()
}

/// The mask of this process. The system call that reads it also sets it, for all threads, so only what
/// Linux writes in `/proc` is used.
fn current_umask() -> Option<u32> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    umask_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn umask_in(status: &str) -> Option<u32> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(value.trim(), 8).ok()
}

fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Variable>, D::Error> {
    at_most(MAX_VARIABLES, deserializer)
}

fn problems<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    at_most(MAX_PROBLEMS, deserializer)
}

fn found<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FoundSession>, D::Error> {
    at_most(MAX_FOUND, deserializer)
}

fn approvals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Approval>, D::Error> {
    at_most(MAX_APPROVALS, deserializer)
}

fn audit_records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AuditRecord>, D::Error> {
    at_most(MAX_AUDIT_RECORDS, deserializer)
}

fn undo_changes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UndoChange>, D::Error> {
    at_most(MAX_UNDO_PATHS, deserializer)
}

fn undo_paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    at_most(MAX_UNDO_PATHS, deserializer)
}

fn audit_problems<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    at_most(MAX_AUDIT_PROBLEMS, deserializer)
}

/// A list with a limit on its length: an empty element takes a byte or two on the wire and many in memory,
/// so the size of the message alone does not bound what it becomes.
fn at_most<'de, D, T>(limit: usize, deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T> {
        limit: usize,
        element: std::marker::PhantomData<T>,
    }

    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "a list of at most {} elements", self.limit)
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element()? {
                if elements.len() == self.limit {
                    return Err(serde::de::Error::custom("the list is too long"));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(Bounded {
        limit,
        element: std::marker::PhantomData,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_never_shows_its_variables() {
        let environment = Environment {
            vars: vec![(b"API_KEY".to_vec(), b"hunter2".to_vec())],
            umask: Some(0o022),
            cwd: Some(b"/home/ada".to_vec()),
        };
        let shown = format!("{:?}", ControlRequest::ProvideEnvironment(environment));
        assert!(
            !shown.contains("hunter2") && !shown.contains("API_KEY"),
            "{shown}"
        );
        assert!(
            shown.contains("<1 variables>") && shown.contains("0022"),
            "{shown}"
        );
    }

    #[test]
    fn capture_sees_this_process() {
        let environment = Environment::capture();
        let (name, value) = std::env::vars_os().next().unwrap();
        assert!(
            environment
                .vars
                .contains(&(os_bytes(name), os_bytes(value)))
        );
        assert_eq!(environment.umask.is_some(), cfg!(target_os = "linux"));
        assert_eq!(
            environment.cwd,
            Some(os_bytes(std::env::current_dir().unwrap().into_os_string()))
        );
    }

    #[test]
    fn an_environment_that_is_too_large_loses_its_longest_variables() {
        let variable = |name: &str, bytes: usize| (name.as_bytes().to_vec(), vec![b'x'; bytes]);
        let environment = |vars: Vec<Variable>| Environment {
            vars,
            umask: None,
            cwd: None,
        };
        let small = environment(vec![variable("PATH", 100), variable("HOME", 10)]);
        assert_eq!(small.clone().fit(), (small, Vec::new()));

        let half = MAX_CONTROL_BYTES / 2;
        let large = environment(vec![
            variable("BIG", half),
            variable("PATH", 100),
            variable("BIGGER", half + 1),
            variable("HOME", 10),
        ]);
        let (fitting, left_out) = large.fit();
        assert_eq!(left_out, ["BIGGER"]);
        let names: Vec<&[u8]> = fitting.vars.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, [&b"BIG"[..], b"PATH", b"HOME"]);

        let many = environment(vec![variable("N", 0); MAX_VARIABLES + 2]);
        let (fitting, left_out) = many.fit();
        assert_eq!((fitting.vars.len(), left_out.len()), (MAX_VARIABLES, 2));
        let one_byte_each = environment(vec![variable("N", 47); 20_000]);
        let request = ControlRequest::ProvideEnvironment(one_byte_each.fit().0);
        let bytes = crate::codec::encode(&request).unwrap();
        assert!(bytes.len() < MAX_CONTROL_BYTES);
        assert!(crate::codec::decode::<ControlRequest>(&bytes).is_ok());
    }

    #[test]
    fn the_mask_is_read_from_the_status_of_the_process() {
        assert_eq!(umask_in("Name:\tx\nUmask:\t0077\nState:\tR"), Some(0o077));
        assert_eq!(umask_in("Name:\tx\n"), None);
        assert_eq!(umask_in("Umask:\tnone"), None);
    }

    #[test]
    fn a_list_that_is_long_in_memory_and_short_on_the_wire_is_refused() {
        let with = |count| Environment {
            vars: vec![(Vec::new(), Vec::new()); count],
            umask: None,
            cwd: None,
        };
        let decode = |environment: &Environment| {
            crate::codec::decode::<Environment>(&crate::codec::encode(environment).unwrap())
        };
        assert_eq!(decode(&with(MAX_VARIABLES)), Ok(with(MAX_VARIABLES)));
        assert_eq!(
            decode(&with(MAX_VARIABLES + 1)),
            Err(crate::CodecError::Malformed)
        );
        let found = |count| {
            let hit = FoundSession {
                session: String::new(),
                title: String::new(),
                turn: None,
                snippet: String::new(),
            };
            let reply = ControlReply::Found(vec![hit; count]);
            crate::codec::decode::<ControlReply>(&crate::codec::encode(&reply).unwrap())
        };
        assert!(found(MAX_FOUND).is_ok());
        assert_eq!(found(MAX_FOUND + 1), Err(crate::CodecError::Malformed));
    }

    #[test]
    fn the_number_of_requests_is_known() {
        let last = ControlRequest::ListDeviceRelays;
        let bytes = crate::codec::encode(&last).unwrap();
        assert_eq!(u32::from(bytes[0]), REQUEST_VARIANTS - 1);
        let next = [REQUEST_VARIANTS as u8];
        assert!(crate::codec::decode::<ControlRequest>(&next).is_err());
    }
}
