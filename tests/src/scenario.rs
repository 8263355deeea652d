//! Writing what the scripted model does.

use serde_json::{Value, json};

/// A scripted model: what it does for which prompt.
#[derive(Debug, Default)]
pub struct Scenario {
    prompts: Vec<Value>,
}

/// Says something.
pub fn say(text: &str) -> Value {
    json!({"say": text})
}

/// Calls a tool and goes on when it has ended.
pub fn tool(name: &str, input: Value) -> Value {
    json!({"tool": name, "input": input})
}

impl Scenario {
    /// A model that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does these steps, in order, for a prompt with these words in it.
    #[must_use]
    pub fn on(mut self, words: &str, steps: impl IntoIterator<Item = Value>) -> Self {
        self.prompts
            .push(json!({"match": words, "steps": steps.into_iter().collect::<Vec<_>>()}));
        self
    }

    /// The scenario file.
    pub fn to_json(&self) -> String {
        json!({"prompts": self.prompts}).to_string()
    }
}
