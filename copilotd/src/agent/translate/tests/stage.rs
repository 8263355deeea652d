//! A turn on which an agent's updates are played.

use std::collections::HashMap;

use agent_client_protocol_schema::v1::{SessionUpdate, ToolCallUpdate};
use ahp::reducers::{ReduceOutcome, apply_action_to_chat};
use ahp_types::actions::StateAction;
use ahp_types::state::{ChatState, ContentRef, ToolCallConfirmationReason};
use serde_json::{Value, json};

use super::super::{Asked, Contents, Effect, Translator};

/// Something that happens in a turn.
pub(super) enum Step {
    /// The agent sends this update.
    Update(Value),
    /// The agent asks for permission for this call; people are asked.
    Ask(Value),
    /// The same; a rule allows it.
    Allow(Value),
    /// The same; it cannot be asked.
    Refused(Value),
    /// Somebody approved or denied the call.
    Answer(&'static str, bool),
    /// The host says something: text, and kind.
    Notice(&'static str, &'static str),
    /// Something else enters the timeline.
    Interrupt,
}

/// Keeps content in memory.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) kept: Vec<String>,
    /// Nothing can be kept any more.
    pub(super) full: bool,
    terminals: HashMap<String, String>,
}

impl Contents for Kept {
    fn put(&mut self, bytes: &[u8], content_type: &str) -> Option<ContentRef> {
        if self.full {
            return None;
        }
        self.kept.push(String::from_utf8(bytes.to_vec()).unwrap());
        Some(ContentRef {
            uri: format!("content:{}", self.kept.len() - 1),
            size_hint: i64::try_from(bytes.len()).ok(),
            content_type: Some(content_type.to_owned()),
            nonce: None,
        })
    }

    fn output(&self, call: &str) -> Option<ContentRef> {
        self.terminals.get(call).map(|_| ContentRef {
            uri: format!("output:{call}"),
            size_hint: None,
            content_type: None,
            nonce: None,
        })
    }

    fn terminal(&self, call: &str) -> String {
        format!("terminal:{call}")
    }

    fn preview(&self, call: &str) -> Option<(String, bool)> {
        self.terminals.get(call).map(|text| (text.clone(), false))
    }
}

pub(super) struct Stage {
    chat: ChatState,
    translator: Translator,
    pub(super) contents: Kept,
    /// Effects that are not of the chat, as one line each.
    pub(super) beside: Vec<String>,
}

impl Default for Stage {
    fn default() -> Self {
        let mut chat: ChatState = serde_json::from_value(
            json!({"resource": "chat", "title": "", "status": 1, "modifiedAt": "", "turns": []}),
        )
        .unwrap();
        let start = json!({"type": "chat/turnStarted", "turnId": "turn", "startedAt": "2030-01-01T00:00:00Z",
            "message": {"text": "go", "origin": {"kind": "user"}}});
        apply_action_to_chat(&mut chat, &serde_json::from_value(start).unwrap());
        Self {
            chat,
            translator: Translator::new("turn"),
            contents: Kept::default(),
            beside: Vec::new(),
        }
    }
}

impl Stage {
    pub(super) fn play(&mut self, name: &str, step: Step) {
        match step {
            Step::Update(update) => {
                let update: SessionUpdate = serde_json::from_value(update).unwrap();
                for update in super::super::steps(update) {
                    let effects = self.translator.update(update, &mut self.contents);
                    self.carry_out(name, effects);
                }
            }
            Step::Ask(call) => assert!(self.ask(name, call, None), "{name}: it cannot be asked"),
            Step::Allow(call) => {
                let allowed = Some(ToolCallConfirmationReason::Setting);
                assert!(self.ask(name, call, allowed), "{name}: it cannot be asked");
            }
            Step::Refused(call) => assert!(!self.ask(name, call, None), "{name}: it is asked"),
            Step::Answer(call, approved) => {
                self.translator.answered(call, approved);
                let action = json!({"type": "chat/toolCallConfirmed", "turnId": "turn", "toolCallId": call,
                    "approved": approved, "confirmed": "user-action"});
                self.reduce(name, &serde_json::from_value(action).unwrap());
            }
            Step::Notice(text, kind) => {
                let effect = self.translator.notice(text, kind);
                self.carry_out(name, vec![effect]);
            }
            Step::Interrupt => self.translator.interrupt_text(),
        }
    }

    fn ask(
        &mut self,
        name: &str,
        call: Value,
        allowed: Option<ToolCallConfirmationReason>,
    ) -> bool {
        let update: ToolCallUpdate = serde_json::from_value(call).unwrap();
        let (id, effects) = self.translator.permission_asked(update, &mut self.contents);
        self.carry_out(name, effects);
        let asked = Asked {
            title: "Run this?".into(),
            options: Vec::new(),
            permission: json!({"kind": "shell"}),
            answered: None,
        };
        let effect = self
            .translator
            .ready(&id, Some(asked), allowed, &mut self.contents);
        let asked = effect.is_some();
        self.carry_out(name, effect.into_iter().collect());
        asked
    }

    fn carry_out(&mut self, name: &str, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Chat(action) => self.reduce(name, &action),
                Effect::Todos(todos) => {
                    let mut line = "todos".to_owned();
                    for todo in todos {
                        line.push_str(&format!(" {}:{}", todo.status, todo.content));
                    }
                    self.beside.push(line);
                }
                Effect::Title(title) => self.beside.push(format!("title `{title}`")),
                Effect::TerminalOpened { call, title } => {
                    self.contents.terminals.insert(call.clone(), String::new());
                    self.beside.push(format!("open {call} `{title}`"));
                }
                Effect::TerminalData { call, data } => {
                    let open = self.contents.terminals.get_mut(&call);
                    open.expect("output of a terminal that was not opened")
                        .push_str(&data);
                    self.beside.push(format!("data {call} `{data}`"));
                }
                Effect::TerminalExited { call, exit_code } => {
                    let code = exit_code.map_or("killed".to_owned(), |code| code.to_string());
                    self.beside.push(format!("exit {call} {code}"));
                }
            }
        }
    }

    fn reduce(&mut self, name: &str, action: &StateAction) {
        let before = self.chat.clone();
        let outcome = apply_action_to_chat(&mut self.chat, action);
        assert_eq!(outcome, ReduceOutcome::Applied, "{name}: {action:?}");
        assert_ne!(self.chat, before, "{name}: without effect: {action:?}");
    }

    fn parts(&self) -> Vec<Value> {
        let turn = self.chat.active_turn.as_ref().unwrap();
        turn.response_parts
            .iter()
            .map(|part| serde_json::to_value(part).unwrap())
            .collect()
    }

    /// The state of a tool call as clients get it.
    pub(super) fn tool_call(&self, id: &str) -> Value {
        let parts = self.parts();
        let mut calls = parts.iter().map(|part| &part["toolCall"]);
        calls.find(|c| c["toolCallId"] == id).unwrap().clone()
    }

    /// One line for each part of the turn.
    pub(super) fn timeline(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |part: &Value| match part["kind"].as_str().unwrap() {
            "markdown" => format!("text `{}`", text(&part["content"])),
            "reasoning" => format!("thought `{}`", text(&part["content"])),
            "systemNotification" => {
                let kind = text(&part["_meta"]["copilot.notice"]);
                format!("notice {kind} `{}`", text(&part["content"]))
            }
            "toolCall" => tool_call_line(&part["toolCall"]),
            other => panic!("{other}"),
        };
        self.parts().iter().map(line).collect()
    }
}

/// `id state tool input (why it was confirmed) question [content]`
fn tool_call_line(call: &Value) -> String {
    let text = |key: &str| call[key].as_str();
    let state = match (text("status"), call["success"].as_bool()) {
        (Some("completed"), Some(false)) => "failed",
        (state, _) => state.unwrap(),
    };
    let mut line = format!(
        "{} {state} {}",
        text("toolCallId").unwrap(),
        text("toolName").unwrap()
    );
    if let Some(input) = text("toolInput") {
        line.push_str(&format!(" `{input}`"));
    }
    if let Some(confirmed) = text("confirmed") {
        line.push_str(&format!(" ({confirmed})"));
    }
    if let Some(question) = text("confirmationTitle") {
        line.push_str(&format!(" {question}"));
    }
    if let Some(content) = call["content"].as_array() {
        let content: Vec<String> = content.iter().map(content_line).collect();
        line.push_str(&format!(" [{}]", content.join(", ")));
    }
    line
}

fn content_line(content: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match content["type"].as_str().unwrap() {
        "text" => format!("text `{}`", text(&content["text"])),
        "resource" => format!("resource {}", text(&content["uri"])),
        "terminal" => {
            let mut line = format!("terminal {}", text(&content["resource"]));
            if let Some(result) = content.get("result") {
                match result["exitCode"].as_i64() {
                    Some(code) => line.push_str(&format!(" exit {code}")),
                    None => line.push_str(" killed"),
                }
                line.push_str(&format!(" `{}`", text(&result["preview"])));
            }
            line
        }
        other => other.to_owned(),
    }
}
