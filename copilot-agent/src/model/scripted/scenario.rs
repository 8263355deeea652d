//! The parts of a scenario, and which response comes next. Pure.

use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::super::{ErrorKind, ModelError, Usage};
use crate::conversation::{Message, ToolResult, ToolStatus};

/// The scenario that is built in.
const DEMO: &str = include_str!("../../../scenarios/demo.json");

/// A whole scenario file.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The name of the model that people see.
    pub model: String,
    /// Pause between the words of a text.
    pub pace: Duration,
    /// What to answer to which prompt; the first match counts.
    pub prompts: Vec<Prompt>,
    /// What to answer to any other prompt.
    pub fallback: Vec<Response>,
}

/// The answers to a prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Matched against the whole prompt.
    pub matches: Regex,
    /// One for each call of the model, as far as their conditions hold.
    pub responses: Vec<Response>,
}

/// One response of the model.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The response is passed over when this does not hold.
    pub when: When,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What it is said to have cost.
    pub usage: Usage,
}

/// A condition: everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct When {
    /// The last result is of this tool.
    pub tool: Option<String>,
    /// The last result's text contains this.
    pub contains: Option<String>,
    /// The last call was denied, or was not.
    pub denied: Option<bool>,
    /// The last call failed, or did not.
    pub failed: Option<bool>,
    /// A text that joined the turn since the last response matches this.
    pub steered: Option<Regex>,
}

/// One thing that a response does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Says a text, this many times.
    Say {
        /// The text.
        text: String,
        /// How often.
        repeat: u64,
    },
    /// Thinks a text.
    Think(String),
    /// Calls tools.
    Tools(Vec<(String, Value)>),
    /// Does nothing for a while.
    Delay(Duration),
    /// Waits until a file exists.
    WaitForFile(String),
    /// Makes a file, so that somebody else can wait for it.
    WriteFile(String),
    /// Fails.
    Fail(ModelError),
}

impl Scenario {
    /// The built-in demo.
    ///
    /// # Errors
    /// Never in a released program: a test parses it.
    pub fn demo() -> Result<Self, ModelError> {
        Self::parse(DEMO).map_err(|error| unreadable("the built-in demo", &error.to_string()))
    }

    /// The scenario in a file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a scenario; the place in it is named.
    pub fn read(path: &std::path::Path) -> Result<Self, ModelError> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| unreadable(&name, &error.to_string()))?;
        Self::parse(&text).map_err(|error| unreadable(&name, &error.to_string()))
    }

    /// The response to a conversation that waits for one. `None` when the script is over.
    #[must_use]
    pub fn next_response(&self, messages: &[Message]) -> Option<&Response> {
        let start = messages.iter().rposition(Message::is_prompt)?;
        let turn = &messages[start..];
        let Message::User { text, .. } = &turn[0] else {
            return None;
        };
        let responses = self
            .prompts
            .iter()
            .find(|prompt| prompt.matches.is_match(text))
            .map_or(&self.fallback, |prompt| &prompt.responses);
        // Earlier responses are chosen again, each by what was known then.
        let mut next = 0;
        for (index, message) in turn.iter().enumerate() {
            if matches!(message, Message::Assistant { .. }) {
                next =
                    position(responses, next, &turn[..index]).map_or(responses.len(), |at| at + 1);
            }
        }
        position(responses, next, turn).map(|at| &responses[at])
    }
}

/// The first response from `start` on whose condition holds after `turn`.
fn position(responses: &[Response], start: usize, turn: &[Message]) -> Option<usize> {
    (start..responses.len()).find(|index| responses[*index].when.holds(turn))
}

impl When {
    fn holds(&self, turn: &[Message]) -> bool {
        let last = turn.iter().rev().find_map(|message| match message {
            Message::Tool(result) => Some(result),
            _ => None,
        });
        let steering = turn
            .iter()
            .rev()
            .take_while(|message| !matches!(message, Message::Assistant { .. }));
        let of_last = |test: &dyn Fn(&ToolResult) -> bool| last.is_some_and(test);
        self.tool
            .as_ref()
            .is_none_or(|tool| of_last(&|result| result.name == *tool))
            && self
                .contains
                .as_ref()
                .is_none_or(|text| of_last(&|result| result.text.contains(text)))
            && self
                .denied
                .is_none_or(|denied| denied == of_last(&|result| result.status == ToolStatus::Denied))
            && self
                .failed
                .is_none_or(|failed| failed == of_last(&|result| result.status == ToolStatus::Failed))
            && self.steered.as_ref().is_none_or(|pattern| {
                steering.into_iter().any(|message| {
                    matches!(message, Message::User { text, steering: true } if pattern.is_match(text))
                })
            })
    }
}

fn unreadable(what: &str, why: &str) -> ModelError {
    ModelError::new(
        ErrorKind::NotConfigured,
        format!("The scenario of the scripted model cannot be used: {what}: {why}"),
        "docs/scripted-model.md describes scenario files.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::ToolView;
    use serde_json::json;

    fn scenario() -> Scenario {
        Scenario::parse(
            &json!({
                "prompts": [
                    {"match": "^edit", "responses": [
                        {"steps": [{"say": "first"}]},
                        {"when": {"denied": true}, "steps": [{"say": "denied"}]},
                        {"when": {"denied": false, "tool": "edit", "contains": "ok"}, "steps": [{"say": "ok"}]},
                        {"when": {"steered": "(?i)stop"}, "steps": [{"say": "steered"}]},
                        {"steps": [{"say": "last"}]}
                    ]}
                ],
                "fallback": [{"steps": [{"say": "fallback"}]}]
            })
            .to_string(),
        )
        .unwrap()
    }

    fn user(text: &str, steering: bool) -> Message {
        Message::User {
            text: text.to_owned(),
            steering,
        }
    }

    fn assistant() -> Message {
        Message::Assistant {
            text: String::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
        }
    }

    fn tool(status: ToolStatus, text: &str) -> Message {
        Message::Tool(ToolResult {
            id: "c".to_owned(),
            name: "edit".to_owned(),
            status,
            text: text.to_owned(),
            view: ToolView::default(),
        })
    }

    #[test]
    fn the_next_response_follows_from_the_conversation() {
        use ToolStatus::{Completed, Denied, Failed};
        let scenario = scenario();
        let edit = || user("edit it", false);
        for (messages, expected) in [
            (vec![], None),
            (vec![user("other", false)], Some("fallback")),
            (vec![user("other", false), assistant()], None),
            (vec![edit()], Some("first")),
            (
                vec![edit(), assistant(), tool(Denied, "no")],
                Some("denied"),
            ),
            (vec![edit(), assistant(), tool(Completed, "ok")], Some("ok")),
            (vec![edit(), assistant(), tool(Failed, "bad")], Some("last")),
            (
                vec![edit(), assistant(), tool(Denied, "no"), assistant()],
                Some("last"),
            ),
            (
                vec![
                    edit(),
                    assistant(),
                    tool(Completed, "bad"),
                    user("STOP", true),
                ],
                Some("steered"),
            ),
            (
                vec![
                    edit(),
                    assistant(),
                    tool(Completed, "ok"),
                    assistant(),
                    user("stop", true),
                ],
                Some("steered"),
            ),
            (
                vec![edit(), assistant(), assistant(), edit()],
                Some("first"),
            ),
        ] {
            let said = scenario.next_response(&messages).map(|response| {
                let Step::Say { text, .. } = &response.steps[0] else {
                    panic!("unexpected step");
                };
                text.as_str()
            });
            assert_eq!(said, expected, "{messages:?}");
        }
    }

    #[test]
    fn the_demo_is_a_scenario() {
        let demo = Scenario::demo().unwrap();
        assert!(demo.next_response(&[user("anything", false)]).is_some());
    }
}
