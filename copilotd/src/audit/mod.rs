//! What is recorded for good: every request and decision, by whom and why.
//!
//! It owns the words of a record and nothing else: records are made where things happen (a
//! session's step, a refused connection) and kept by the store in the same transaction. It must
//! never decide anything. What people and programs may rely on is in `docs/audit.md`; the kept
//! form is JSON to which fields are added, never changed.

mod derive;

use ahp_types::common::JsonObject;
use serde::Serialize;

use crate::store::Operation;

pub use derive::{Step, of_client_action, of_step};

/// Longest text that a record keeps of one command, path or reason, in bytes; its beginning.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// The name that others saw, such as `terminal pts/3`; chosen by the client.
    pub name: String,
    /// `local`, `agent` or `remote` for a connection, as the daemon judged it; `policy` for a rule,
    /// `daemon` for the daemon itself.
    pub trust: String,
    /// Process that connected, as the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Paired device that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Who {
    /// The daemon itself.
    #[must_use]
    pub fn daemon() -> Self {
        Self::without_process("daemon", "daemon")
    }

    /// Whoever is only known by name.
    #[must_use]
    pub fn without_process(name: &str, trust: &str) -> Self {
        Self {
            name: name.to_owned(),
            trust: trust.to_owned(),
            pid: None,
            uid: None,
            device: None,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// A session was made.
    SessionCreated {
        /// Where it works.
        folder: String,
        /// Its agent.
        agent: String,
        /// Its flags.
        config: JsonObject,
    },
    /// A session's agent was ended.
    SessionClosed,
    /// A session and its data were deleted.
    SessionDeleted {
        /// What it was called.
        title: String,
    },
    /// An agent asked whether it may.
    PermissionRequested {
        /// The tool call.
        request: String,
        /// What it wants, and why it was not decided by a rule.
        #[serde(flatten)]
        wanted: Wanted,
    },
    /// That was decided.
    PermissionDecided {
        /// The tool call.
        request: String,
        /// What it wanted. With a rule: which one, from which file.
        #[serde(flatten)]
        wanted: Wanted,
        /// Whether it may.
        approved: bool,
        /// Which of the choices.
        choice: String,
        /// What the person said with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<String>,
    },
    /// Somebody is asked something: by the agent, or about the folder or a plan.
    QuestionAsked {
        /// The request.
        request: String,
        /// What.
        message: String,
    },
    /// That was answered.
    QuestionAnswered {
        /// The request.
        request: String,
        /// The option, or `accept`, `decline`, `cancel`.
        choice: String,
    },
    /// Settings of a session were changed, its mode among them.
    ConfigChanged {
        /// What was set.
        config: JsonObject,
    },
    /// The changes of a turn were taken back.
    Undone {
        /// Its place in the conversation, from 1.
        turn: u64,
        /// What is as before it again; the first hundred.
        paths: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// They were not.
    UndoRefused {
        /// As it was told.
        reason: String,
    },
    /// Somebody wants to pair a device: a link was made.
    PairingBegun {
        /// The pairing.
        pairing: String,
    },
    /// A code was typed that no device showed.
    PairingWrongCode {
        /// The pairing.
        pairing: String,
        /// How many may be typed yet.
        tries_left: u8,
    },
    /// A pairing ended without a device.
    PairingEnded {
        /// The pairing.
        pairing: String,
        /// As it was told.
        reason: String,
    },
    /// A device is trusted from now on.
    DevicePaired {
        /// The pairing.
        pairing: String,
        /// Its id.
        device: String,
        /// Its name.
        name: String,
    },
    /// A device got another name.
    DeviceRenamed {
        /// Its id.
        device: String,
        /// Its name now.
        name: String,
        /// Its name until then.
        before: String,
    },
    /// A device is trusted no more.
    DeviceRevoked {
        /// Its id.
        device: String,
        /// Its name.
        name: String,
    },
    /// This machine uses a relay from now on.
    RelayJoined {
        /// Its address.
        relay: String,
    },
    /// It uses it no more.
    RelayLeft {
        /// Its address.
        relay: String,
    },
    /// Any other input of a client that took effect. Its text is in the conversation.
    Input {
        /// Type of the AHP action.
        action: String,
        /// What it is about: a turn, a message.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// A connection was refused something because of what it is.
    Refused {
        /// The AHP action, method or control request.
        what: String,
        /// As it was told.
        reason: String,
    },
}

/// What a permission is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// `shell`, `write`, `read`, `url`, `tool`.
    pub kind: String,
    /// The command, paths, URL or tool as a person was shown it; its beginning when it is long.
    pub subject: String,
    /// Length of the whole subject, when only its beginning is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_bytes: Option<usize>,
    /// Why it was asked, allowed or denied.
    pub reason: String,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When, RFC 3339 in UTC with milliseconds.
    pub at: String,
    /// Id of the session it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who did it.
    pub by: Who,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

impl Record {
    /// Something that happens now.
    #[must_use]
    pub fn now(session: Option<&str>, by: Who, event: Event) -> Self {
        Self {
            at: format!("{:.3}", jiff::Timestamp::now()),
            session: session.map(str::to_owned),
            by,
            event,
        }
    }

    /// What the store is to do. `keep`: how many records stay; see `audit.keepRecords`.
    #[must_use]
    pub fn operation(&self, keep: u64) -> Option<Operation> {
        let record_json = serde_json::to_string(self)
            .inspect_err(|error| tracing::error!(%error, "a record of the audit is not encoded"))
            .ok()?;
        Some(Operation::Audit { record_json, keep })
    }
}

/// The beginning of a long text.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}
