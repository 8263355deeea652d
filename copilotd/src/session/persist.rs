//! What of a session is kept in the store, and how it comes back.
//!
//! The kept form is JSON and outlives versions of the program: fields are added, never changed.
//! A session is kept as its state without completed turns, the completed turns, and the actions
//! since then. Reading it back folds the actions with the same reducers that made the state.

use std::path::PathBuf;

use ahp::reducers::{apply_action_to_chat, apply_action_to_session};
use ahp_types::actions::StateAction;
use ahp_types::state::{ChatState, SessionState, Turn};
use serde::{Deserialize, Serialize};

use super::Launch;
use crate::host::admit::Answer;
use crate::permissions::{AllowAll, Rule};
use crate::store::{StoredSession, StoredTurn, TailEntry};

/// The channel name of [`Extras`] among the kept actions.
pub(super) const EXTRAS: &str = "extras";

/// A session without its completed turns.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// AHP's part.
    pub(super) session: SessionState,
    /// AHP's part; `turns` is empty.
    pub(super) chat: ChatState,
    /// RFC 3339.
    pub(super) created_at: String,
    /// What AHP has no place for.
    pub(super) extras: Extras,
}

/// What AHP has no place for and must not be lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Extras {
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    /// Tools only; the name is from a time when there was nothing else.
    pub(super) allow_all: bool,
    pub(super) allow_all_paths: bool,
    pub(super) allow_all_urls: bool,
    pub(super) add_dirs: Vec<PathBuf>,
    pub(super) unattended: bool,
    pub(super) session_rules: Vec<String>,
    pub(super) acp_session: Option<String>,
    pub(super) trusted: bool,
    pub(super) closed: bool,
    pub(super) remote_before_close: bool,
    pub(super) named_by_person: bool,
    /// What the agent is told with its next prompt.
    pub(super) for_agent: Vec<String>,
    /// Oldest first.
    pub(super) answers: Vec<(String, Answer)>,
    pub(super) todos: Vec<crate::agent::translate::Todo>,
    /// Messages that were taken back or joined a turn, newest last.
    pub(super) spent: Vec<String>,
    pub(super) plans: Vec<super::plan::Version>,
}

impl Extras {
    pub(super) fn launch(&self) -> Launch {
        Launch {
            allow: rules(&self.allow),
            deny: rules(&self.deny),
            allow_all: AllowAll {
                tools: self.allow_all,
                paths: self.allow_all_paths,
                urls: self.allow_all_urls,
            },
            add_dirs: self.add_dirs.clone(),
            unattended: self.unattended,
            // From here on the config in the state has these.
            remote: None,
            remote_refusal: None,
            mode: super::Mode::default(),
        }
    }

    pub(super) fn session_rules(&self) -> Vec<Rule> {
        rules(&self.session_rules)
    }
}

/// Rules are kept as people write them.
pub(super) fn texts(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(ToString::to_string).collect()
}

fn rules(texts: &[String]) -> Vec<Rule> {
    let parse = |text: &String| {
        text.parse()
            .inspect_err(|error| tracing::error!(%error, "a kept rule is not understood"))
            .ok()
    };
    texts.iter().filter_map(parse).collect()
}

/// A session as it was when the last thing about it was kept.
#[derive(Debug)]
pub(super) struct Revived {
    pub(super) kept: Kept,
    /// Completed turns that are not in memory.
    pub(super) earlier_turns: u64,
}

/// Why a session cannot be read back: for the log and for whoever asked for it.
#[derive(Debug, thiserror::Error)]
#[error("the kept state of this session is not understood: {0}")]
pub struct Unreadable(String);

impl Unreadable {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Reads a session back. `chat_uri` tells its channels apart.
pub(super) fn revive(stored: StoredSession, chat_uri: &str) -> Result<Revived, Unreadable> {
    let state_json = stored.state_json.as_deref();
    let state_json = state_json.ok_or_else(|| Unreadable::new("its state is lost to damage"))?;
    let kept = serde_json::from_str::<Kept>(state_json);
    let mut kept = kept.map_err(|e| Unreadable::new(e.to_string()))?;
    kept.chat.turns = stored.turns.iter().filter_map(turn).collect();
    for entry in &stored.tail {
        apply(&mut kept, entry, chat_uri);
    }
    Ok(Revived {
        kept,
        earlier_turns: stored.earlier_turns,
    })
}

fn apply(kept: &mut Kept, entry: &TailEntry, chat_uri: &str) {
    if entry.channel == EXTRAS {
        match serde_json::from_str(&entry.action_json) {
            Ok(extras) => kept.extras = extras,
            Err(error) => tracing::error!(%error, "kept extras are not understood"),
        }
        return;
    }
    match serde_json::from_str::<StateAction>(&entry.action_json) {
        Ok(action) if entry.channel == chat_uri => {
            apply_action_to_chat(&mut kept.chat, &action);
        }
        Ok(action) => {
            apply_action_to_session(&mut kept.session, &action);
        }
        Err(error) => tracing::error!(%error, "a kept action is not understood"),
    }
}

/// A kept turn; one that is not understood is left out and logged.
pub(super) fn turn(stored: &StoredTurn) -> Option<Turn> {
    serde_json::from_str(&stored.json)
        .inspect_err(|error| tracing::error!(%error, "a kept turn is not understood"))
        .ok()
}
