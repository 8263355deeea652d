//! Plans that an agent proposes: kept in versions, shown as a question, and what the answer means.
//!
//! A plan comes as a permission request of the kind `switch_mode`, from the built-in agent and
//! from others alike. Only a person's answer leaves plan mode this way, never a rule.

use std::collections::HashMap;

use agent_client_protocol_schema::v1::PermissionOption;
use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actor::Actor;
use super::mode::Mode;
use super::permission::outcome;
use crate::agent::translate::{Contents, MAX_INLINE_BYTES};
use crate::host::admit::object;

/// The id of the one question of a plan.
pub const QUESTION: &str = "plan";
/// What the ids of requests about plans begin with; the version follows.
const REQUEST: &str = "plan-";
/// Versions whose references stay in the session's state.
const KEPT: usize = 20;

const ACCEPT: &str = "accept";
const ACCEPT_AUTOPILOT: &str = "accept-autopilot";
const LEAVE: &str = "leave";
/// The option that goes with words.
pub const SUGGEST: &str = "suggest";

/// A version of the plan, as the session's state refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    /// From 1.
    pub(super) version: u32,
    /// For people: `plan-1.md`.
    pub(super) name: String,
    /// Where it is read.
    pub(super) uri: String,
    /// Bytes.
    pub(super) size: u64,
}

/// A plan that waits for somebody.
pub(super) struct OpenPlan {
    /// The agent's request id.
    pub(super) rpc_id: Value,
    options: Vec<PermissionOption>,
}

/// What people say to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanAnswer {
    /// Carry it out, in this mode.
    Accept(Mode),
    /// Forget it, and leave plan mode.
    Leave,
    /// Work on it, with these words in mind.
    Suggest(String),
    /// No.
    Decline,
}

/// Whether a request for input is about a plan.
#[must_use]
pub fn is_plan(request_id: &str) -> bool {
    let version = request_id.strip_prefix(REQUEST);
    version.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
}

impl PlanAnswer {
    /// The choice, as others are told of it.
    #[must_use]
    pub fn choice(&self) -> &'static str {
        match self {
            Self::Accept(Mode::Autopilot) => ACCEPT_AUTOPILOT,
            Self::Accept(_) => ACCEPT,
            Self::Leave => LEAVE,
            Self::Suggest(_) => SUGGEST,
            Self::Decline => "decline",
        }
    }
}

/// What an answer to a plan means. The error is a sentence for whoever answered.
///
/// # Errors
/// When it is no choice, or words are missing or too many.
pub fn answer(
    response: ChatInputResponseKind,
    answers: Option<&HashMap<String, ChatInputAnswer>>,
) -> Result<PlanAnswer, String> {
    if response != ChatInputResponseKind::Accept {
        return Ok(PlanAnswer::Decline);
    }
    let given = answers.and_then(|answers| answers.get(QUESTION));
    let (choice, words) = match given {
        Some(ChatInputAnswer::Submitted(given) | ChatInputAnswer::Draft(given)) => {
            match &given.value {
                ChatInputAnswerValue::Selected(v) => {
                    (v.value.as_str(), v.freeform_values.iter().flatten().next())
                }
                ChatInputAnswerValue::Text(v) => ("", Some(&v.value)),
                _ => return Err("the answer to a plan is one of its choices".into()),
            }
        }
        _ => return Err("the answer to a plan is one of its choices".into()),
    };
    let words = words.map(|words| words.trim()).filter(|w| !w.is_empty());
    match (choice, words) {
        (ACCEPT, None) => Ok(PlanAnswer::Accept(Mode::Interactive)),
        (ACCEPT_AUTOPILOT, None) => Ok(PlanAnswer::Accept(Mode::Autopilot)),
        (LEAVE, None) => Ok(PlanAnswer::Leave),
        (SUGGEST, None) => Err("say what should change in the plan".into()),
        (SUGGEST | "", Some(words)) => Ok(PlanAnswer::Suggest(words.to_owned())),
        (ACCEPT | ACCEPT_AUTOPILOT | LEAVE, Some(_)) => {
            Err(format!("words go with the choice `{SUGGEST}`"))
        }
        _ => Err("the answer to a plan is one of its choices".into()),
    }
}

/// The question about a plan; `text` is the plan, as much of it as is shown.
fn request(version: u32, text: String, uri: Option<String>) -> ChatInputRequest {
    let option = |id: &str, label: &str, description: &str| ChatInputOption {
        id: id.to_owned(),
        label: label.to_owned(),
        description: Some(description.to_owned()).filter(|d| !d.is_empty()),
        recommended: None,
    };
    let options = vec![
        option(ACCEPT, "Accept, and go on interactively", ""),
        option(ACCEPT_AUTOPILOT, "Accept, and go on in autopilot", ""),
        option(LEAVE, "Leave plan mode without carrying it out", ""),
        option(SUGGEST, "Suggest changes", "the agent plans on"),
    ];
    ChatInputRequest {
        id: format!("{REQUEST}{version}"),
        message: Some(text),
        url: uri,
        questions: Some(vec![ChatInputQuestion::SingleSelect(
            ChatInputSingleSelectQuestion {
                id: QUESTION.to_owned(),
                title: Some(format!("Plan {version}")),
                message: "Carry out this plan?".to_owned(),
                required: Some(true),
                options,
                allow_freeform_input: Some(true),
            },
        )]),
        answers: None,
    }
}

impl Actor {
    /// The agent proposes a plan. `call` is shown already.
    pub(super) fn plan_proposed(
        &mut self,
        rpc_id: Value,
        call: &str,
        plan: &str,
        options: Vec<PermissionOption>,
    ) {
        let Some((turn, mut contents)) = self.translating() else {
            return;
        };
        let confirmed = Some(ToolCallConfirmationReason::NotNeeded);
        let shown = turn.translator.ready(call, None, confirmed, &mut contents);
        let kept = contents.put(plan.as_bytes(), "text/markdown");
        self.effects(shown.into_iter().collect());
        if self.launch.unattended {
            let why = "nobody can be asked about a plan in this session";
            self.notice(
                "A plan was not carried out: nobody can be asked.",
                "declined",
            );
            self.respond(
                &rpc_id,
                &outcome(&options, false, object("copilot.reason", why.into())),
            );
            return;
        }
        let version = self.model.plans.last().map_or(1, |p| p.version + 1);
        let uri = kept.as_ref().map(|reference| reference.uri.clone());
        if let Some(reference) = kept {
            self.model.plans.push(Version {
                version,
                name: format!("{REQUEST}{version}.md"),
                uri: reference.uri,
                size: plan.len() as u64,
            });
            let surplus = self.model.plans.len().saturating_sub(KEPT);
            self.model.plans.drain(..surplus);
        }
        let request = request(version, shortened(plan), uri);
        let Some(turn) = &mut self.turn else { return };
        turn.translator.interrupt_text();
        let open = OpenPlan { rpc_id, options };
        turn.plans.insert(request.id.clone(), open);
        // A plan that could not be kept had the same number.
        self.model.forget_answer(&request.id);
        self.model.chat(
            StateAction::ChatInputRequested(ChatInputRequestedAction { request }),
            None,
        );
    }

    /// Somebody decided; [`crate::host::admit`] made sure that the answer means something.
    pub(super) fn plan_answered(&mut self, open: &OpenPlan, answer: PlanAnswer) {
        let accepted = outcome(&open.options, true, JsonObject::new());
        let refused =
            |key: &str, words: &str| outcome(&open.options, false, object(key, words.into()));
        match answer {
            PlanAnswer::Accept(mode) => {
                // The agent hears of the mode first, so that nothing of the plan is refused.
                self.switch_mode(mode);
                self.respond(&open.rpc_id, &accepted);
            }
            PlanAnswer::Leave => {
                self.switch_mode(Mode::Interactive);
                self.respond(&open.rpc_id, &refused("copilot.plan", LEAVE));
                // Ours ends its turn when it hears that; others are stopped.
                if !self.is_built_in() {
                    self.cancel(None);
                }
            }
            PlanAnswer::Suggest(words) => {
                self.respond(&open.rpc_id, &refused("copilot.words", &words));
                if !self.is_built_in() {
                    self.words_as_next_message(user_message(words));
                }
            }
            PlanAnswer::Decline => {
                let why = "the person does not accept this plan";
                self.respond(&open.rpc_id, &refused("copilot.reason", why));
            }
        }
    }
}

/// The session's state is not the place for a whole book; the reference has all of it.
fn shortened(plan: &str) -> String {
    if plan.len() <= MAX_INLINE_BYTES {
        return plan.to_owned();
    }
    let mut end = MAX_INLINE_BYTES;
    while !plan.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n… ({} more bytes)", &plan[..end], plan.len() - end)
}

fn user_message(text: String) -> Message {
    Message {
        text,
        origin: MessageOrigin {
            kind: MessageKind::User,
        },
        attachments: None,
        model: None,
        agent: None,
        meta: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(value: Value) -> Result<PlanAnswer, String> {
        let answers: HashMap<String, ChatInputAnswer> =
            serde_json::from_value(json!({QUESTION: {"state": "submitted", "value": value}}))
                .unwrap();
        answer(ChatInputResponseKind::Accept, Some(&answers))
    }

    #[test]
    fn there_are_four_answers_and_one_of_them_needs_words() {
        let chosen = |id: &str| given(json!({"kind": "selected", "value": id}));
        let with = |id: &str, words: &str| {
            given(json!({"kind": "selected", "value": id, "freeformValues": [words]}))
        };
        let choices = Err("the answer to a plan is one of its choices".to_owned());
        let suggestion = Ok(PlanAnswer::Suggest("smaller steps".to_owned()));
        let table = [
            (chosen("accept"), Ok(PlanAnswer::Accept(Mode::Interactive))),
            (
                chosen("accept-autopilot"),
                Ok(PlanAnswer::Accept(Mode::Autopilot)),
            ),
            (chosen("leave"), Ok(PlanAnswer::Leave)),
            (
                chosen("suggest"),
                Err("say what should change in the plan".to_owned()),
            ),
            (
                with("suggest", " "),
                Err("say what should change in the plan".to_owned()),
            ),
            (with("suggest", " smaller steps "), suggestion.clone()),
            (with("", "smaller steps"), suggestion.clone()),
            (
                given(json!({"kind": "text", "value": "smaller steps"})),
                suggestion,
            ),
            (
                with("accept", "but quickly"),
                Err("words go with the choice `suggest`".to_owned()),
            ),
            (chosen("yes"), choices.clone()),
            (with("yes", "please"), choices.clone()),
            (chosen(""), choices.clone()),
            (
                given(json!({"kind": "boolean", "value": true})),
                choices.clone(),
            ),
            (answer(ChatInputResponseKind::Accept, None), choices),
            (
                answer(ChatInputResponseKind::Decline, None),
                Ok(PlanAnswer::Decline),
            ),
            (
                answer(ChatInputResponseKind::Cancel, None),
                Ok(PlanAnswer::Decline),
            ),
        ];
        for (index, (got, expected)) in table.into_iter().enumerate() {
            assert_eq!(got, expected, "row {index}");
        }
    }

    #[test]
    fn only_our_own_requests_are_about_plans() {
        assert!(is_plan(&request(7, String::new(), None).id));
        for id in ["plan", "plan-", "plan-x", "question-1", "trust"] {
            assert!(!is_plan(id), "{id}");
        }
    }

    #[test]
    fn a_long_plan_is_cut_between_characters() {
        let long = "ä".repeat(MAX_INLINE_BYTES);
        let short = shortened(&long);
        assert!(short.len() < MAX_INLINE_BYTES + 40);
        assert!(short.ends_with("more bytes)"), "{short}");
        assert_eq!(shortened("# Plan"), "# Plan");
    }
}
