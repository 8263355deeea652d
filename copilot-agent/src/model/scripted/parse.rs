//! Reads a scenario file. By hand, so that every mistake is told with its place in the file.

use std::{fmt, io::Read, time::Duration};

use json_comments::StripComments;
use regex::Regex;
use serde_json::{Map, Value};

use super::{
    super::{ErrorKind, ModelError, Usage},
    scenario::{Prompt, Response, Scenario, Step, When},
};

/// The longest delay, an hour: longer ones are mistakes of unit.
const MAX_DELAY_MS: u64 = 3_600_000;

const STEPS: &str = "say, think, tools, delay_ms, wait_for_file, write_file, fail";

/// A mistake in a scenario file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// Where: `prompts[0].responses[1].steps[2]`, or a line and column.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for ScenarioError {}

type Result<T> = std::result::Result<T, ScenarioError>;

impl Scenario {
    /// Reads the text of a scenario file: JSON with comments.
    ///
    /// # Errors
    /// Names the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self> {
        let mut json = String::new();
        StripComments::new(text.as_bytes())
            .read_to_string(&mut json)
            .map_err(|error| ScenarioError {
                place: "the file".to_owned(),
                reason: error.to_string(),
            })?;
        let value: Value = serde_json::from_str(&json).map_err(|error| ScenarioError {
            place: format!("line {} column {}", error.line(), error.column()),
            reason: "this is not valid JSON".to_owned(),
        })?;
        let root = At::new("the file", &value);
        let root = root.object(&["model", "pace_ms", "prompts", "fallback"])?;
        let prompts = root.list("prompts", |prompt| {
            let prompt = prompt.object(&["match", "responses"])?;
            Ok(Prompt {
                matches: prompt.required("match")?.regex()?,
                responses: prompt.list("responses", response)?,
            })
        })?;
        Ok(Self {
            model: match root.optional("model") {
                Some(model) => model.text()?.to_owned(),
                None => "scripted".to_owned(),
            },
            pace: match root.optional("pace_ms") {
                Some(pace) => pace.duration()?,
                None => Duration::ZERO,
            },
            prompts,
            fallback: root.list("fallback", response)?,
        })
    }
}

fn response(at: At<'_>) -> Result<Response> {
    let at = at.object(&["when", "steps", "usage"])?;
    Ok(Response {
        when: match at.optional("when") {
            Some(when) => condition(&when)?,
            None => When::default(),
        },
        steps: at.list("steps", step)?,
        usage: match at.optional("usage") {
            Some(usage) => {
                let usage = usage.object(&["input_tokens", "output_tokens"])?;
                Usage {
                    input_tokens: usage.required("input_tokens")?.number()?,
                    output_tokens: usage.required("output_tokens")?.number()?,
                }
            }
            None => Usage::default(),
        },
    })
}

fn condition(at: &At<'_>) -> Result<When> {
    let at = at.object(&["tool", "contains", "denied", "failed", "steered"])?;
    let text = |key| at.optional(key).map(|at| at.text().map(str::to_owned));
    Ok(When {
        tool: text("tool").transpose()?,
        contains: text("contains").transpose()?,
        denied: at.optional("denied").map(|at| at.truth()).transpose()?,
        failed: at.optional("failed").map(|at| at.truth()).transpose()?,
        steered: at.optional("steered").map(|at| at.regex()).transpose()?,
    })
}

fn step(at: At<'_>) -> Result<Step> {
    let fields = at.map()?;
    let kind = fields
        .keys()
        .find(|key| *key != "repeat")
        .ok_or_else(|| at.wrong(format!("an empty step; steps are {STEPS}")))?;
    let allowed: &[&str] = match kind.as_str() {
        "say" => &["say", "repeat"],
        "think" => &["think"],
        "tools" => &["tools"],
        "delay_ms" => &["delay_ms"],
        "wait_for_file" => &["wait_for_file"],
        "write_file" => &["write_file"],
        "fail" => &["fail"],
        other => return Err(at.wrong(format!("unknown step {other:?}; steps are {STEPS}"))),
    };
    let step = at.object(allowed)?;
    let value = step.required(kind)?;
    Ok(match kind.as_str() {
        "say" => Step::Say {
            text: value.text()?.to_owned(),
            repeat: match step.optional("repeat") {
                Some(repeat) => repeat.number()?,
                None => 1,
            },
        },
        "think" => Step::Think(value.text()?.to_owned()),
        "tools" => Step::Tools(step.list("tools", |call| {
            let call = call.object(&["name", "input"])?;
            let input = call.optional("input").map(|input| input.value.clone());
            Ok((
                call.required("name")?.text()?.to_owned(),
                input.unwrap_or_else(|| Value::Object(Map::new())),
            ))
        })?),
        "delay_ms" => Step::Delay(value.duration()?),
        "wait_for_file" => Step::WaitForFile(value.text()?.to_owned()),
        "write_file" => Step::WriteFile(value.text()?.to_owned()),
        _ => {
            let fail = value.object(&["kind", "message", "hint"])?;
            let kind = fail.required("kind")?;
            let name = kind.text()?;
            let known = ErrorKind::ALL
                .into_iter()
                .find(|known| known.name() == name);
            let known = known.ok_or_else(|| {
                let names: Vec<_> = ErrorKind::ALL.iter().map(|known| known.name()).collect();
                kind.wrong(format!(
                    "unknown kind {name:?}; kinds are {}",
                    names.join(", ")
                ))
            })?;
            let hint = match fail.optional("hint") {
                Some(hint) => hint.text()?,
                None => "The scenario says so.",
            };
            Step::Fail(ModelError::new(
                known,
                fail.required("message")?.text()?,
                hint,
            ))
        }
    })
}

/// A value and where it is.
struct At<'a> {
    place: String,
    value: &'a Value,
}

impl<'a> At<'a> {
    fn new(place: impl Into<String>, value: &'a Value) -> Self {
        Self {
            place: place.into(),
            value,
        }
    }

    fn wrong(&self, reason: impl Into<String>) -> ScenarioError {
        ScenarioError {
            place: self.place.clone(),
            reason: reason.into(),
        }
    }

    fn map(&self) -> Result<&'a Map<String, Value>> {
        self.value
            .as_object()
            .ok_or_else(|| self.wrong("an object is needed here"))
    }

    /// The value as an object that has no other keys than these.
    fn object(&self, allowed: &[&str]) -> Result<Self> {
        match self
            .map()?
            .keys()
            .find(|key| !allowed.contains(&key.as_str()))
        {
            Some(key) => Err(self.wrong(format!(
                "{key:?} does not belong here; possible are {}",
                allowed.join(", ")
            ))),
            None => Ok(Self::new(self.place.clone(), self.value)),
        }
    }

    fn optional(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key)?;
        let place = match self.place.as_str() {
            "the file" => key.to_owned(),
            place => format!("{place}.{key}"),
        };
        Some(Self::new(place, value))
    }

    fn required(&self, key: &str) -> Result<Self> {
        self.optional(key)
            .ok_or_else(|| self.wrong(format!("{key:?} is missing")))
    }

    /// The elements of the list at `key`; a missing list is an empty one.
    fn list<T>(&self, key: &str, read: impl Fn(At<'a>) -> Result<T>) -> Result<Vec<T>> {
        let Some(list) = self.optional(key) else {
            return Ok(Vec::new());
        };
        list.value
            .as_array()
            .ok_or_else(|| list.wrong("a list is needed here"))?
            .iter()
            .enumerate()
            .map(|(index, value)| read(At::new(format!("{}[{index}]", list.place), value)))
            .collect()
    }

    fn text(&self) -> Result<&'a str> {
        self.value
            .as_str()
            .ok_or_else(|| self.wrong("a text is needed here"))
    }

    fn number(&self) -> Result<u64> {
        self.value
            .as_u64()
            .ok_or_else(|| self.wrong("a whole number is needed here"))
    }

    fn truth(&self) -> Result<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong("true or false is needed here"))
    }

    fn regex(&self) -> Result<Regex> {
        Regex::new(self.text()?).map_err(|error| self.wrong(error.to_string()))
    }

    fn duration(&self) -> Result<Duration> {
        let milliseconds = self.number()?;
        if milliseconds > MAX_DELAY_MS {
            return Err(self.wrong(format!("at most {MAX_DELAY_MS} ms")));
        }
        Ok(Duration::from_millis(milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, place, reason) in [
            (
                "{\n  \"prompts\": [,]\n}",
                "line 2 column 15",
                "not valid JSON",
            ),
            ("[]", "the file", "an object"),
            (
                r#"{"prompt": []}"#,
                "the file",
                "\"prompt\" does not belong here",
            ),
            (r#"{"prompts": {}}"#, "prompts", "a list"),
            (
                r#"{"prompts": [{"responses": []}]}"#,
                "prompts[0]",
                "\"match\" is missing",
            ),
            (
                r#"{"prompts": [{"match": "("}]}"#,
                "prompts[0].match",
                "regex",
            ),
            (
                r#"{"fallback": [{"steps": [{"sing": "x"}]}]}"#,
                "fallback[0].steps[0]",
                "unknown step \"sing\"",
            ),
            (
                r#"{"fallback": [{"steps": [{}]}]}"#,
                "fallback[0].steps[0]",
                "empty step",
            ),
            (
                r#"{"fallback": [{"steps": [{"say": "x"}, {"say": "x", "think": "y"}]}]}"#,
                "fallback[0].steps[1]",
                "does not belong",
            ),
            (
                r#"{"fallback": [{"steps": [{"tools": [{"input": {}}]}]}]}"#,
                "fallback[0].steps[0].tools[0]",
                "\"name\" is missing",
            ),
            (
                r#"{"fallback": [{"steps": [{"fail": {"kind": "x", "message": ""}}]}]}"#,
                "fallback[0].steps[0].fail.kind",
                "unknown kind",
            ),
            (
                r#"{"fallback": [{"steps": [{"delay_ms": 9000000}]}]}"#,
                "fallback[0].steps[0].delay_ms",
                "at most",
            ),
            (
                r#"{"fallback": [{"when": {"denied": 1}}]}"#,
                "fallback[0].when.denied",
                "true or false",
            ),
        ] {
            let error = Scenario::parse(text).unwrap_err();
            assert_eq!(error.place, place, "{text}");
            assert!(error.reason.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn comments_and_every_step_are_read() {
        let scenario = Scenario::parse(
            r#"{
                // who speaks
                "model": "m", "pace_ms": 5,
                "prompts": [{"match": "a", "responses": [{
                    "when": {"tool": "shell", "contains": "x", "denied": false, "failed": true, "steered": "y"},
                    "steps": [
                        {"think": "t"}, {"say": "s", "repeat": 3}, {"delay_ms": 1},
                        {"wait_for_file": "w"}, {"write_file": "f"},
                        {"tools": [{"name": "view", "input": {"path": "p"}}, {"name": "x"}]},
                        {"fail": {"kind": "auth", "message": "no", "hint": "do"}}
                    ],
                    "usage": {"input_tokens": 1, "output_tokens": 2}
                }]}]
            }"#,
        )
        .unwrap();
        assert_eq!(scenario.model, "m");
        let response = &scenario.prompts[0].responses[0];
        assert_eq!(response.steps.len(), 7);
        assert_eq!(response.usage.output_tokens, 2);
    }
}
