//! Writing what the scripted model does (`docs/scripted-model.md`).

use serde_json::{Value, json};

/// A scripted model: what it does for which prompt.
#[derive(Debug, Default)]
pub struct Scenario {
    prompts: Vec<Value>,
    pace_ms: u64,
}

/// Says something.
pub fn say(text: &str) -> Value {
    json!({"say": text})
}

/// Calls a tool; what follows happens when it has ended.
pub fn tool(name: &str, input: Value) -> Value {
    json!({"tools": [{"name": name, "input": input}]})
}

impl Scenario {
    /// A model that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does these steps, in order, for a prompt with these words in it.
    #[must_use]
    pub fn on(mut self, words: &str, steps: impl IntoIterator<Item = Value>) -> Self {
        // A tool call ends a response: the model is asked again with its result.
        let mut responses: Vec<Vec<Value>> = vec![Vec::new()];
        for step in steps {
            let calls = step.get("tools").is_some();
            if let Some(response) = responses.last_mut() {
                response.push(step);
            }
            if calls {
                responses.push(Vec::new());
            }
        }
        let responses: Vec<_> = responses
            .into_iter()
            .filter(|steps| !steps.is_empty())
            .map(|steps| json!({"steps": steps}))
            .collect();
        self.prompts
            .push(json!({"match": words, "responses": responses}));
        self
    }

    /// Pauses before every word, so that it speaks as fast as a model does.
    #[must_use]
    pub fn with_pace_ms(mut self, pace_ms: u64) -> Self {
        self.pace_ms = pace_ms;
        self
    }

    /// The scenario file.
    pub fn to_json(&self) -> String {
        json!({"pace_ms": self.pace_ms, "prompts": self.prompts}).to_string()
    }
}
