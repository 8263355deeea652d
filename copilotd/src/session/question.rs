//! Questions of an agent, and the daemon's own about the folder.

use ahp_types::actions::*;
use ahp_types::state::*;
use serde_json::{Value, json};

use super::actor::Actor;
use super::plan;
use crate::agent::{questions, rpc};
use crate::host::admit::Answer;

const INVALID_PARAMS: i64 = -32602;

/// A question of the agent that waits for somebody.
pub(super) struct OpenQuestion {
    /// The agent's request id.
    pub(super) rpc_id: Value,
}

impl Actor {
    /// The agent asks something.
    pub(super) fn question_asked(&mut self, rpc_id: Value, params: &str) {
        let id = format!(
            "question-{}",
            &uuid::Uuid::new_v4().simple().to_string()[..8]
        );
        let request = match questions::from_elicitation(&id, params) {
            Ok(request) => request,
            Err(reason) => {
                self.send_line(rpc::refusal(&rpc_id, INVALID_PARAMS, &reason));
                return;
            }
        };
        let Some(turn) = self.turn.as_mut().filter(|t| !t.is_cancelling()) else {
            self.respond(&rpc_id, &json!({"action": "cancel"}));
            return;
        };
        if self.launch.unattended {
            self.notice(
                "A question was declined: nobody can be asked in this session.",
                "declined",
            );
            self.respond(&rpc_id, &json!({"action": "decline"}));
            return;
        }
        turn.translator.interrupt_text();
        turn.questions.insert(id, OpenQuestion { rpc_id });
        self.model.chat(
            StateAction::ChatInputRequested(ChatInputRequestedAction { request }),
            None,
        );
    }

    /// Somebody answered; [`crate::host::admit`] made sure that it is the first answer.
    pub(super) fn complete_input(
        &mut self,
        action: ChatInputCompletedAction,
        answer: Answer,
        origin: Option<&ActionOrigin>,
    ) {
        let (id, response) = (action.request_id.clone(), action.response);
        let answers = action.answers.clone();
        let choice = answer.choice.clone();
        // Who answered is known by the time the question closes.
        self.model.remember_answer(&id, answer);
        self.settle();
        self.model
            .chat(StateAction::ChatInputCompleted(action), origin);
        let plan = self.turn.as_mut().and_then(|t| t.plans.remove(&id));
        if let Some(open) = plan {
            if let Ok(answer) = plan::answer(response, answers.as_ref()) {
                self.plan_answered(&open, answer);
            }
            return;
        }
        let open = self.turn.as_mut().and_then(|t| t.questions.remove(&id));
        match open {
            Some(open) => {
                let result = questions::to_elicitation(response, answers.as_ref());
                self.respond(&open.rpc_id, &result);
            }
            None if id == questions::TRUST => {
                let choice = if response == ChatInputResponseKind::Accept {
                    choice.as_str()
                } else {
                    "no"
                };
                self.trust_answered(choice);
            }
            None => {}
        }
    }
}
