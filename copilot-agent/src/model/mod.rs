//! What the loop of a turn needs from a model: a stream of events for a conversation.
//!
//! A model never runs tools and never retries: a failure is told, and the person decides.

mod environment;
mod error;
mod provider;
pub mod scripted;

use std::path::PathBuf;

use futures_util::{future::BoxFuture, stream::BoxStream};
use serde_json::Value;

pub use environment::{Choice, choose, connect};
pub use error::{ErrorKind, ModelError};
pub use provider::{Flavour, ProviderConfig, Secret};

use crate::conversation::Message;

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does and when to use it, for the model.
    pub description: &'static str,
    /// JSON schema of its input.
    pub schema: Value,
}

/// Everything that a response is made from.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The system prompt.
    pub system: String,
    /// The conversation; every tool call in it has its result.
    pub messages: Vec<Message>,
    /// The tools that may be called.
    pub tools: Vec<ToolSpec>,
    /// The session's folder.
    pub cwd: PathBuf,
}

/// A piece of a response. The last one is always [`ModelEvent::End`]; a stream that ends
/// without it was cut off.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More of the text.
    Text(String),
    /// More of the reasoning.
    Reasoning(String),
    /// A complete tool call.
    ToolCall {
        /// Name of the tool.
        name: String,
        /// Its input, or a string with what could not be parsed.
        input: Value,
    },
    /// The response is complete.
    End {
        /// Why it ended.
        reason: EndReason,
        /// What it cost, where the provider says so.
        usage: Usage,
    },
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The model was done, or wants the results of tools.
    Complete,
    /// A limit of tokens was reached.
    MaxTokens,
    /// The model, or a filter of its provider, refused.
    Refusal,
}

/// Tokens that were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

/// A response as it comes. Dropping it ends the call.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// Something that answers conversations.
pub trait Model: Send + Sync {
    /// The name that people know it by.
    fn name(&self) -> &str;

    /// Starts a response.
    fn respond(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>>;
}
