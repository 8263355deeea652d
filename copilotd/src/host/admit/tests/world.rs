//! The state before an action: built by the host's own actions through the real reducers.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use ahp::reducers::{ReduceOutcome, apply_action_to_chat, apply_action_to_session};
use ahp_types::actions::StateAction;
use ahp_types::state::{ChatState, SessionState};
use serde_json::{Value, json};

use super::super::{Admitted, Answer, Context, Rejection, admit};
use super::{CHAT, NOW, SESSION, decode, message};
use crate::host::identity::{Identity, Trust};

#[derive(Clone)]
pub(super) struct World {
    session: SessionState,
    pub(super) chat: ChatState,
    identity: Identity,
    answers: HashMap<String, Answer>,
    handed_over: Option<String>,
    spent: VecDeque<String>,
    cancelling: bool,
    remote_refused: Option<&'static str>,
    allow_all_forbidden_by: Option<PathBuf>,
}

impl World {
    /// Nothing runs; the turn `done` is over.
    pub(super) fn idle() -> Self {
        let chat =
            json!({"resource": CHAT, "title": "", "status": 1, "modifiedAt": NOW, "turns": []});
        let session = json!({"provider": "copilot", "title": "", "status": 1, "lifecycle": "ready",
            "activeClients": [], "chats": [], "config": {"schema": {"type": "object", "properties": {}},
            "values": {"mode": "interactive", "allowAll": false, "remote": false}}});
        let world = Self {
            session: serde_json::from_value(session).unwrap(),
            chat: serde_json::from_value(chat).unwrap(),
            identity: Identity {
                client_id: "me".into(),
                name: "terminal pts/1".into(),
                trust: Trust::Local,
                device: None,
            },
            answers: HashMap::new(),
            handed_over: None,
            spent: VecDeque::new(),
            cancelling: false,
            remote_refused: None,
            allow_all_forbidden_by: None,
        };
        world
            .and(json!({"type": "chat/turnStarted", "turnId": "done", "startedAt": NOW, "message": message("before")}))
            .and(json!({"type": "chat/turnComplete", "turnId": "done", "duration": 1}))
    }

    /// The turn `running` runs.
    pub(super) fn working() -> Self {
        Self::idle().and(
            json!({"type": "chat/turnStarted", "turnId": "running", "startedAt": NOW,
            "message": message("go")}),
        )
    }

    /// The agent asks whether it may run the tool call `call`.
    pub(super) fn asking() -> Self {
        Self::asking_with(json!([
            {"id": "allow-once", "label": "Yes", "kind": "approve"},
            {"id": "allow-session", "label": "Yes, always", "kind": "approve"},
            {"id": "deny", "label": "No", "kind": "deny"},
            {"id": "deny-with-words", "label": "No, but", "kind": "deny"},
        ]))
    }

    pub(super) fn asking_with(options: Value) -> Self {
        Self::working()
            .and(json!({"type": "chat/toolCallStart", "turnId": "running", "toolCallId": "call",
                "toolName": "shell", "displayName": "shell"}))
            .and(json!({"type": "chat/toolCallReady", "turnId": "running", "toolCallId": "call",
                "_meta": {"copilot.kind": "execute"}, "invocationMessage": "make", "toolInput": "make",
                "options": options}))
    }

    /// The same, and its input may be edited.
    pub(super) fn asking_with_editable_input() -> Self {
        Self::asking().and(
            json!({"type": "chat/toolCallReady", "turnId": "running", "toolCallId": "call",
            "invocationMessage": "make", "editable": true}),
        )
    }

    /// The agent asks `questions` in the request `ask`.
    pub(super) fn questioning(questions: Value) -> Self {
        Self::working().and(json!({"type": "chat/inputRequested",
            "request": {"id": "ask", "questions": questions}}))
    }

    /// Messages are queued, in this order; the text of each is its id.
    pub(super) fn queued(self, ids: &[&str]) -> Self {
        ids.iter().fold(self, |world, id| {
            world.and(json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": id, "message": message(id)}))
        })
    }

    /// The message `steer` waits to join the running turn.
    pub(super) fn steered(self) -> Self {
        self.and(
            json!({"type": "chat/pendingMessageSet", "kind": "steering", "id": "steer",
            "message": message("left")}),
        )
    }

    /// The agent has the message `steer` already.
    pub(super) fn handed_over(mut self) -> Self {
        self.handed_over = Some("steer".into());
        self
    }

    /// `request` was answered by the client `client_id`, called `name`.
    pub(super) fn answered(
        mut self,
        request: &str,
        client_id: &str,
        name: &str,
        choice: &str,
    ) -> Self {
        let answer = Answer {
            client_id: client_id.into(),
            name: name.into(),
            trust: "local".into(),
            choice: choice.into(),
            at: NOW.into(),
        };
        self.answers.insert(request.into(), answer);
        self
    }

    /// The message `id` was taken back or joined a turn.
    pub(super) fn spent(mut self, id: &str) -> Self {
        self.spent.push_back(id.to_owned());
        self
    }

    pub(super) fn cancelling(mut self) -> Self {
        self.cancelling = true;
        self
    }

    /// Something speaks against reaching this session from elsewhere.
    pub(super) fn not_remotely(mut self) -> Self {
        self.remote_refused = Some("Remote session disabled: not in a GitHub repository");
        self
    }

    /// The one who asks is a paired device.
    pub(super) fn by_a_device(mut self) -> Self {
        self.identity.trust = Trust::Remote;
        self.identity.device = Some("00112233445566778899aabbccddeeff".into());
        self
    }

    /// A file of the device's manager says that nobody may allow everything.
    pub(super) fn managed(mut self) -> Self {
        self.allow_all_forbidden_by = Some("/etc/managed.json".into());
        self
    }

    pub(super) fn by_an_agent(mut self) -> Self {
        self.identity.trust = Trust::Agent;
        self
    }

    /// The host does this.
    pub(super) fn and(mut self, action: Value) -> Self {
        let outcome = apply_action_to_chat(&mut self.chat, &decode(&action));
        assert_eq!(outcome, ReduceOutcome::Applied, "{action}");
        self
    }

    /// Dispatches on the channel that the action belongs on.
    pub(super) fn dispatch(&self, action: &Value) -> Result<Admitted, Rejection> {
        let on_session = action["type"]
            .as_str()
            .is_some_and(|t| t.starts_with("session/"));
        self.dispatch_on(if on_session { SESSION } else { CHAT }, action)
    }

    pub(super) fn dispatch_on(&self, channel: &str, action: &Value) -> Result<Admitted, Rejection> {
        self.dispatch_typed(channel, &decode(action))
    }

    pub(super) fn dispatch_typed(
        &self,
        channel: &str,
        action: &StateAction,
    ) -> Result<Admitted, Rejection> {
        let context = Context {
            session: &self.session,
            chat: &self.chat,
            session_uri: SESSION,
            identity: &self.identity,
            answers: &self.answers,
            steering_handed_over: self.handed_over.as_deref(),
            spent: &self.spent,
            cancelling: self.cancelling,
            remote_refused: self.remote_refused,
            allow_all_forbidden_by: self.allow_all_forbidden_by.as_deref(),
            now: NOW,
        };
        admit(&context, channel, action)
    }

    /// What was admitted has an effect on the state.
    pub(super) fn reduces(&self, admitted: &Admitted) -> Result<(), String> {
        let action = match admitted.clone() {
            Admitted::Apply(action) => action,
            Admitted::StartTurn(action) => StateAction::ChatTurnStarted(action),
            Admitted::Resume(action) => StateAction::ChatTurnResume(action),
            Admitted::Configure(action) => StateAction::SessionConfigChanged(action),
            Admitted::TakeBack(action) => StateAction::ChatPendingMessageRemoved(action),
            Admitted::Pend(action) => StateAction::ChatPendingMessageSet(action),
            Admitted::Confirm { action, .. } => StateAction::ChatToolCallConfirmed(action),
            Admitted::CompleteInput { action, .. } => StateAction::ChatInputCompleted(action),
            Admitted::Cancel(_) => return Ok(()),
        };
        let (mut chat, mut session) = (self.chat.clone(), self.session.clone());
        let outcomes = [
            apply_action_to_chat(&mut chat, &action),
            apply_action_to_session(&mut session, &action),
        ];
        match outcomes.contains(&ReduceOutcome::Applied) {
            true => Ok(()),
            false => Err(format!("it was admitted without effect: {outcomes:?}")),
        }
    }
}
