//! The tools that a model may call.
//!
//! A call has two halves. *Preparing* reads the input and works out what would happen, so that
//! a person can be shown it: it changes nothing, and reads nothing outside of the session's
//! folder. *Running* does it, after the permission was given where one is needed. Whether one
//! is needed is decided here, in one place per tool; nobody else may skip it.

mod ask_user;
mod create;
mod edit;
mod exit_plan_mode;
mod fetch;
mod files;
mod glob;
mod grant;
mod grep;
mod html;
mod paths;
mod place;
mod shell;
mod shell_output;
pub(crate) mod task_complete;
mod update_todo;
mod view;
mod walk;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use agent_client_protocol::v1::schema::{
    ContentBlock, Meta, SessionUpdate, ToolCallContent, ToolCallLocation, ToolCallUpdate, ToolKind,
};
use confinement::Confinement;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    conversation::ToolStatus,
    mode::{Mode, SharedMode},
    model::ToolSpec,
};

pub use grant::{Grant, Withheld};

/// The client, as far as a turn and its tools need it.
pub trait Host: Send + Sync {
    /// Tells the client something. Waits while the client is slow to read, so that a flood of
    /// output slows down its source instead of filling memory.
    fn update(&self, update: SessionUpdate) -> BoxFuture<'_, ()>;

    /// Asks whether a tool call may run.
    fn request_permission(&self, call: ToolCallUpdate) -> BoxFuture<'_, Decision>;

    /// Asks the person a question.
    fn ask<'a>(&'a self, call_id: &'a str, question: &'a Question) -> BoxFuture<'a, Answer>;

    /// Whether the client shows the output of a command while it runs.
    fn shows_terminal_output(&self) -> bool;

    /// Whether the client wants to decide about reading inside the session's folder, too.
    fn decides_reads(&self) -> bool;
}

/// The answer to a permission request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The call may run, within this.
    Allowed(Grant),
    /// It may not; the text tells the model why.
    Denied(String),
    /// It may not, and nothing more is wanted: the turn ends.
    Left,
    /// The turn is being cancelled.
    Cancelled,
}

/// A question to the person.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// What an answer can be.
    pub kind: QuestionKind,
}

/// What an answer can be, and which one is taken when the person just goes on.
#[derive(Debug, Clone, PartialEq)]
pub enum QuestionKind {
    /// Words.
    Text {
        /// Proposed.
        default: Option<String>,
        /// Characters at least and at most.
        length: (Option<u32>, Option<u32>),
    },
    /// A number.
    Number {
        /// Whether it has no fraction.
        whole: bool,
        /// Proposed.
        default: Option<f64>,
        /// From and to.
        range: (Option<f64>, Option<f64>),
    },
    /// Yes or no.
    YesNo {
        /// Proposed.
        default: Option<bool>,
    },
    /// One of these.
    One {
        /// At least one.
        choices: Vec<String>,
        /// Whether an answer of one's own is possible beside the choices.
        allow_freeform: bool,
        /// Proposed; one of the choices.
        default: Option<String>,
    },
    /// Any number of these.
    Many {
        /// At least one.
        choices: Vec<String>,
        /// Proposed; among the choices.
        default: Vec<String>,
        /// At least and at most so many.
        count: (Option<u64>, Option<u64>),
    },
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The person answered this.
    Text(String),
    /// The person does not want to answer.
    Declined,
    /// The question was put away without an answer.
    Dismissed,
    /// The client cannot ask; the text says why.
    Unavailable(String),
}

/// Where a call runs.
#[derive(Clone)]
pub struct ToolContext {
    /// The session's folder, with symbolic links resolved.
    pub cwd: PathBuf,
    /// Id of the call.
    pub call_id: String,
    /// The client.
    pub host: Arc<dyn Host>,
    /// The mode of the session, which may be switched while the call runs.
    pub mode: SharedMode,
    /// Cancelled when the turn is.
    pub cancel: CancellationToken,
    /// Owns what goes on after a call, until the agent ends.
    pub background: TaskTracker,
    /// What came with the permission, once the call runs; empty when none was asked for.
    pub grant: Arc<OnceLock<Grant>>,
}

impl ToolContext {
    /// What came with the permission.
    fn granted(&self) -> Grant {
        self.grant.get().cloned().unwrap_or_default()
    }
}

/// What must be allowed before a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It neither reads nor changes anything.
    NotNeeded,
    /// It reads inside the session's folder, which only some clients want to decide about.
    ReadInside,
    /// It must be asked for.
    Needed,
}

impl Permission {
    /// To read what a path leads to.
    fn to_read(target: &paths::Target) -> Self {
        match target.inside {
            true => Self::ReadInside,
            false => Self::Needed,
        }
    }
}

/// What must be found out before a permission is asked for, and goes with the question.
pub type Details = BoxFuture<'static, Result<Meta, Outcome>>;

/// A call that can run.
pub struct Prepared {
    /// One line saying what it does.
    pub title: String,
    /// The files that it reads or changes.
    pub locations: Vec<ToolCallLocation>,
    /// What a person should see before allowing it: the diff of a write.
    pub content: Vec<ToolCallContent>,
    /// What must be allowed first.
    pub permission: Permission,
    /// What to find out before it is asked for.
    pub details: Option<Details>,
    /// Does it.
    pub run: BoxFuture<'static, Outcome>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub status: ToolStatus,
    /// What the model reads.
    pub text: String,
    /// What a person sees; empty means the text.
    pub content: Vec<ToolCallContent>,
    /// Extensions for the client.
    pub meta: Option<Meta>,
}

impl Outcome {
    /// It did what it was asked to.
    #[must_use]
    pub fn completed(text: impl Into<String>) -> Self {
        Self::new(ToolStatus::Completed, text)
    }

    /// It could not; `text` says why, and what the model can do about it.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(ToolStatus::Failed, text)
    }

    /// The turn was cancelled.
    #[must_use]
    pub fn cancelled(text: impl Into<String>) -> Self {
        Self::new(ToolStatus::Cancelled, text)
    }

    pub(crate) fn new(status: ToolStatus, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            content: Vec::new(),
            meta: None,
        }
    }

    fn with_content(mut self, content: Vec<ToolCallContent>) -> Self {
        self.content = content;
        self
    }
}

/// A tool. Implementations live one a file.
pub trait Tool: Send + Sync {
    /// What the model is told about it.
    fn spec(&self) -> ToolSpec;

    /// The kind that clients choose an icon by.
    fn kind(&self) -> ToolKind;

    /// Whether the model is told about it in this mode.
    fn is_offered_in(&self, _mode: Mode) -> bool {
        true
    }

    /// Works out what a call would do.
    ///
    /// # Errors
    /// With words for the model when the input is wrong, or the call cannot succeed.
    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String>;
}

/// Every tool, in the order that the model is told of them.
#[must_use]
pub fn all() -> Vec<Box<dyn Tool>> {
    vec![
        Box::new(shell::Shell),
        Box::new(view::View),
        Box::new(create::Create),
        Box::new(edit::Edit),
        Box::new(grep::Grep),
        Box::new(glob::Glob),
        Box::new(fetch::Fetch),
        Box::new(ask_user::AskUser),
        Box::new(update_todo::UpdateTodo),
        Box::new(exit_plan_mode::ExitPlanMode),
        Box::new(task_complete::TaskComplete),
    ]
}

/// The input of a tool as its own type.
fn read_input<T: DeserializeOwned>(input: &Value) -> Result<T, String> {
    if input.is_string() {
        return Err("The input is not valid JSON. Send the call again.".to_owned());
    }
    serde_json::from_value(input.clone())
        .map_err(|error| format!("The input does not fit the tool: {error}."))
}

/// A text for people, as the protocol has it.
#[must_use]
pub fn text_content(text: impl Into<String>) -> ToolCallContent {
    ToolCallContent::from(ContentBlock::from(text.into()))
}

/// Runs `work` where it may block, until the turn is cancelled. In plan mode it is confined where
/// the system can do that: the client refuses what would change something, and this holds
/// for what it did not foresee.
async fn blocking<T: Send + 'static>(
    context: &ToolContext,
    work: impl FnOnce(&CancellationToken) -> T + Send + 'static,
) -> Result<T, Outcome> {
    let cancel = context.cancel.clone();
    let mode = context.mode.clone();
    let task = tokio::task::spawn_blocking(move || match confinement_in(mode.get()) {
        Some(confinement) => confinement.run(move || work(&cancel)),
        None => Ok(work(&cancel)),
    });
    tokio::select! {
        result = task => match result {
            Ok(done) => done.map_err(|error| Outcome::failed(format!("Not run: {error}."))),
            Err(_) => Err(Outcome::failed("The tool failed unexpectedly.")),
        },
        // The work sees the token as well and ends by itself.
        () = context.cancel.cancelled() => Err(Outcome::cancelled("Cancelled.")),
    }
}

/// How tools are confined in this mode, where the system can do that.
fn confinement_in(mode: Mode) -> Option<Confinement> {
    (mode == Mode::Plan && confinement::is_available()).then(Confinement::read_only)
}

#[cfg(test)]
pub(crate) mod testing;
