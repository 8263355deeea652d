//! A model whose answers are written in a scenario file. It replaces only the model: tools,
//! permissions and everything else are real. Documented in `docs/scripted-model.md`.
//!
//! The next response is worked out from the conversation alone, so that a scenario goes on
//! where it was after the agent was restarted.

mod parse;
mod play;
mod scenario;

use futures_util::{FutureExt, StreamExt, future::BoxFuture};

pub use parse::ScenarioError;
pub use scenario::{Response, Scenario, Step, When};

use super::{EndReason, Model, ModelError, ModelEvent, ModelRequest, ModelStream, Usage};

/// A model that plays a [`Scenario`].
pub struct ScriptedModel {
    scenario: Scenario,
}

impl ScriptedModel {
    /// A model that plays `scenario`.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario }
    }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.scenario.model
    }

    fn respond(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        let stream = match self.scenario.next_response(&request.messages) {
            Some(response) => play::play(response, self.scenario.pace, request.cwd),
            // The script is over: an empty answer ends the turn.
            None => futures_util::stream::iter([Ok(ModelEvent::End {
                reason: EndReason::Complete,
                usage: Usage::default(),
            })])
            .boxed(),
        };
        async move { Ok(stream) }.boxed()
    }
}
