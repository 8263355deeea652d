//! ACP session updates as AHP actions.
//!
//! Pure but for storing large content through [`Contents`]. One [`Translator`] lives as long as a
//! turn; it remembers which response part is open and what is known of each tool call, because ACP
//! sends differences where AHP wants whole steps. An update that is not understood is skipped.

use std::collections::HashMap;

use agent_client_protocol_schema::v1::{
    ContentBlock, PlanEntryStatus, SessionUpdate, ToolCall, ToolCallContent, ToolCallStatus,
    ToolCallUpdate, ToolCallUpdateFields, ToolKind,
};
use ahp_types::actions::*;
use ahp_types::common::{JsonObject, StringOrMarkdown};
use ahp_types::state::*;
use serde_json::{Value, json};

use crate::permissions::visible;

/// Longest title of a tool call, in characters.
const MAX_TITLE_CHARS: usize = 500;
/// Text that stays in the state; what is longer goes by reference.
pub const MAX_INLINE_BYTES: usize = 8 * 1024;
/// How much of a text that goes by reference is shown inline.
const PREVIEW_BYTES: usize = 2 * 1024;

/// How much of what an agent says in one turn is kept in memory: words, thoughts, and what its tool
/// calls are about. Bytes, roughly. Outputs and contents are kept elsewhere and have limits of their
/// own.
pub const MAX_TURN_BYTES: usize = 16 * 1024 * 1024;
/// What a tool call takes besides its input and results. Bytes, roughly.
const CALL_BYTES: usize = 2 * 1024;
/// A list of things to do is not longer, and its entries neither, in characters.
const MAX_TODOS: usize = 500;
const MAX_TODO_CHARS: usize = 2_000;

/// Where content goes that is too large for the state.
pub trait Contents {
    /// Keeps `bytes` and gives a reference; `None` when they cannot be kept.
    fn put(&mut self, bytes: &[u8], content_type: &str) -> Option<ContentRef>;
    /// A reference to the full output of a tool call, when there is one.
    fn output(&self, tool_call_id: &str) -> Option<ContentRef>;
    /// The channel of a tool call's live output.
    fn terminal(&self, tool_call_id: &str) -> String;
    /// The end of its live output, and whether that is not all of it.
    fn preview(&self, tool_call_id: &str) -> Option<(String, bool)>;
}

/// One item of an agent's todo list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Todo {
    /// What is to be done.
    pub content: String,
    /// `pending`, `in_progress` or `completed`.
    pub status: String,
}

/// What an update means.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Reduce and publish on the chat.
    Chat(Box<StateAction>),
    /// The todo list as a whole.
    Todos(Vec<Todo>),
    /// The agent's own title for the session.
    Title(String),
    /// Live output of a tool call begins.
    TerminalOpened {
        /// Tool call id.
        call: String,
        /// For people.
        title: String,
    },
    /// More live output.
    TerminalData {
        /// Tool call id.
        call: String,
        /// Text to append.
        data: String,
    },
    /// The command of a tool call ended.
    TerminalExited {
        /// Tool call id.
        call: String,
        /// Exit code, absent when a signal ended it.
        exit_code: Option<i64>,
    },
}

fn chat(action: StateAction) -> Effect {
    Effect::Chat(Box::new(action))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Streaming,
    Asked,
    Running,
    Done,
}

/// What is known of a tool call.
#[derive(Debug, Clone)]
pub struct Call {
    stage: Stage,
    /// What it does, for people.
    pub title: String,
    /// ACP kind.
    pub kind: ToolKind,
    /// Tool name, where the agent gives one.
    pub name: Option<String>,
    /// Raw input, untyped for foreign agents.
    pub input: Option<Value>,
    /// Files it touches.
    pub locations: Vec<Value>,
    /// Content as ACP gave it last.
    content: Vec<ToolCallContent>,
    terminal: bool,
    exit_code: Option<i64>,
    /// What it takes of [`MAX_TURN_BYTES`].
    weight: usize,
}

impl Call {
    /// While it is not done everything is held that the agent said of it.
    fn weigh(&self) -> usize {
        let content = self.content.iter().map(|item| match item {
            ToolCallContent::Content(content) => text_of(&content.content).map_or(0, |t| t.len()),
            ToolCallContent::Diff(diff) => {
                diff.new_text.len() + diff.old_text.as_ref().map_or(0, String::len)
            }
            _ => 0,
        });
        let input = self
            .input
            .as_ref()
            .map_or(0, |input| input.to_string().len());
        let locations: usize = self.locations.iter().map(|l| l.to_string().len()).sum();
        CALL_BYTES + input + locations + content.sum::<usize>()
    }

    /// It takes so much of what is `kept` of the turn from now on.
    fn set_weight(&mut self, weight: usize, kept: &mut usize) {
        *kept = kept.saturating_sub(self.weight) + weight;
        self.weight = weight;
    }

    /// The proposed or made changes: path, old text if there was a file, new text.
    pub fn diffs(&self) -> impl Iterator<Item = &agent_client_protocol_schema::v1::Diff> {
        self.content.iter().filter_map(|c| match c {
            ToolCallContent::Diff(diff) => Some(diff),
            _ => None,
        })
    }

    /// The plan that it proposes, if it does.
    pub fn plan(&self) -> Option<String> {
        if self.kind != ToolKind::SwitchMode {
            return None;
        }
        let named = self.input.as_ref().and_then(|i| i.get("plan")?.as_str());
        let texts = self.content.iter().filter_map(|content| match content {
            ToolCallContent::Content(content) => text_of(&content.content),
            _ => None,
        });
        let plan = named.map_or_else(|| texts.collect::<Vec<_>>().join("\n"), str::to_owned);
        (!plan.trim().is_empty()).then_some(plan)
    }

    fn tool_name(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| kind_name(self.kind).to_owned())
    }

    /// The input as people read it: the command, the address, the changed paths (the change itself
    /// is shown beside them), or JSON.
    pub fn input_text(&self) -> Option<String> {
        let shown = |path: &std::path::Path| visible(&path.to_string_lossy());
        let mut paths: Vec<String> = self.diffs().map(|d| shown(&d.path)).collect();
        let named = |key: &str| {
            let input = self.input.as_ref()?;
            input.get(key).and_then(Value::as_str).map(str::to_owned)
        };
        if !paths.is_empty() {
            // What else it says it touches is decided about as well.
            let located = self.locations.iter();
            let located = located.filter_map(|l| Some(visible(l.get("path")?.as_str()?)));
            for path in located {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            // A command is what is decided about, whatever it says that it will change.
            paths.splice(0..0, named("command"));
            return Some(paths.join("\n"));
        }
        let input = self.input.as_ref()?;
        let plain = match self.kind {
            ToolKind::Execute => named("command"),
            ToolKind::Fetch => named("url").map(|url| visible(&url)),
            ToolKind::SwitchMode => named("plan"),
            _ => None,
        };
        plain.or_else(|| serde_json::to_string_pretty(input).ok())
    }

    fn meta(&self) -> JsonObject {
        let mut meta = JsonObject::new();
        meta.insert("copilot.kind".into(), json!(kind_name(self.kind)));
        if !self.locations.is_empty() {
            meta.insert(
                "copilot.locations".into(),
                Value::Array(self.locations.clone()),
            );
        }
        meta
    }
}

/// The wire name of a tool kind.
pub fn kind_name(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Read => "read",
        ToolKind::Edit => "edit",
        ToolKind::Delete => "delete",
        ToolKind::Move => "move",
        ToolKind::Search => "search",
        ToolKind::Execute => "execute",
        ToolKind::Think => "think",
        ToolKind::Fetch => "fetch",
        ToolKind::SwitchMode => "switch_mode",
        _ => "other",
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    None,
    Text(String),
    Reasoning(String),
}

/// An update that brings live output and ends its call is two steps: the output has to be kept
/// before the result can refer to it.
pub fn steps(update: SessionUpdate) -> Vec<SessionUpdate> {
    let ends = |status| matches!(status, ToolCallStatus::Completed | ToolCallStatus::Failed);
    let brings_output = |meta: &Option<JsonObject>| {
        meta.as_ref()
            .is_some_and(|m| m.contains_key("terminal_output"))
    };
    let end = |id, status| {
        let fields = ToolCallUpdateFields::new().status(status);
        SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(id, fields))
    };
    match update {
        SessionUpdate::ToolCall(mut call) if ends(call.status) && brings_output(&call.meta) => {
            let end = end(call.tool_call_id.clone(), call.status);
            call.status = ToolCallStatus::InProgress;
            vec![SessionUpdate::ToolCall(call), end]
        }
        SessionUpdate::ToolCallUpdate(mut update) if brings_output(&update.meta) => {
            let Some(status) = update.fields.status.filter(|status| ends(*status)) else {
                return vec![SessionUpdate::ToolCallUpdate(update)];
            };
            let end = end(update.tool_call_id.clone(), status);
            update.fields.status = Some(ToolCallStatus::InProgress);
            vec![SessionUpdate::ToolCallUpdate(update), end]
        }
        whole => vec![whole],
    }
}

/// Translates the updates of one turn.
#[derive(Debug)]
pub struct Translator {
    turn_id: String,
    part_prefix: String,
    open: Open,
    parts: u64,
    calls: HashMap<String, Call>,
    kept: usize,
}

impl Translator {
    /// For the turn `turn_id`.
    pub fn new(turn_id: &str) -> Self {
        Self {
            turn_id: turn_id.to_owned(),
            part_prefix: turn_id.to_owned(),
            open: Open::None,
            parts: 0,
            calls: HashMap::new(),
            kept: 0,
        }
    }

    /// For a turn that goes on: its parts get names that no earlier part of it has.
    pub fn resumed(turn_id: &str) -> Self {
        let part_prefix = format!("{turn_id}-{}", uuid::Uuid::new_v4().simple());
        Self {
            part_prefix,
            ..Self::new(turn_id)
        }
    }

    /// What is known of a tool call.
    pub fn call(&self, id: &str) -> Option<&Call> {
        self.calls.get(id)
    }

    /// Whether a tool call has ended: nothing that is said of it changes it any more.
    pub fn has_ended(&self, id: &str) -> bool {
        self.calls.get(id).is_some_and(|c| c.stage == Stage::Done)
    }

    /// Translates one update; see [`steps`].
    pub fn update(&mut self, update: SessionUpdate, contents: &mut dyn Contents) -> Vec<Effect> {
        let mut effects = Vec::new();
        match update {
            SessionUpdate::AgentMessageChunk(chunk) => {
                if let Some(text) = text_of(&chunk.content) {
                    self.text(text, &mut effects);
                }
            }
            SessionUpdate::AgentThoughtChunk(chunk) => {
                if let Some(text) = text_of(&chunk.content) {
                    self.reasoning(text, &mut effects);
                }
            }
            SessionUpdate::ToolCall(call) => {
                let (id, status, fields, meta) = fields_of(call);
                self.tool_call(&id, status, fields, meta, contents, &mut effects);
            }
            SessionUpdate::ToolCallUpdate(update) => {
                let status = update.fields.status;
                let id = update.tool_call_id.0.to_string();
                self.tool_call(
                    &id,
                    status,
                    update.fields,
                    update.meta,
                    contents,
                    &mut effects,
                );
            }
            SessionUpdate::Plan(plan) => {
                let todo = |entry: agent_client_protocol_schema::v1::PlanEntry| Todo {
                    content: entry.content.chars().take(MAX_TODO_CHARS).collect(),
                    status: match entry.status {
                        PlanEntryStatus::InProgress => "in_progress",
                        PlanEntryStatus::Completed => "completed",
                        _ => "pending",
                    }
                    .to_owned(),
                };
                let entries = plan.entries.into_iter().take(MAX_TODOS);
                effects.push(Effect::Todos(entries.map(todo).collect()));
            }
            SessionUpdate::SessionInfoUpdate(info) => {
                if let agent_client_protocol_schema::MaybeUndefined::Value(title) = info.title {
                    effects.push(Effect::Title(title));
                }
            }
            SessionUpdate::Notice(notice) => {
                let text = match notice.description {
                    Some(description) => format!("{}: {description}", notice.title),
                    None => notice.title,
                };
                effects.push(self.notice(&text, "agent"));
            }
            SessionUpdate::UserMessageChunk(_) | SessionUpdate::UsageUpdate(_) => {}
            other => {
                tracing::debug!(update = ?std::mem::discriminant(&other), "an update of an agent is not shown")
            }
        }
        effects
    }

    /// Merges what a permission request says of a tool call, so that [`Translator::ready`] can show it.
    pub fn permission_asked(
        &mut self,
        update: ToolCallUpdate,
        contents: &mut dyn Contents,
    ) -> (String, Vec<Effect>) {
        let id = update.tool_call_id.0.to_string();
        let mut effects = Vec::new();
        self.tool_call(
            &id,
            None,
            update.fields,
            update.meta,
            contents,
            &mut effects,
        );
        (id, effects)
    }

    /// The step of a tool call out of its first stage: asking when `options` are given, running
    /// otherwise, for the reason `confirmed`. `None` for a call that has ended.
    pub fn ready(
        &mut self,
        id: &str,
        asked: Option<Asked>,
        confirmed: Option<ToolCallConfirmationReason>,
        contents: &mut dyn Contents,
    ) -> Option<Effect> {
        let turn_id = self.turn_id.clone();
        let call = self.calls.get_mut(id).filter(|c| c.stage != Stage::Done)?;
        call.stage = if confirmed.is_some() {
            Stage::Running
        } else {
            Stage::Asked
        };
        let mut meta = call.meta();
        let (title, options) = match asked {
            Some(asked) => {
                meta.insert("copilot.permission".into(), asked.permission);
                if let Some(answered) = asked.answered {
                    meta.insert("copilot.answeredBy".into(), answered);
                }
                (Some(asked.title), asked.options)
            }
            None => (None, Vec::new()),
        };
        let edits: Vec<FileEdit> = call
            .diffs()
            .filter_map(|d| file_edit(d, contents))
            .collect();
        let input = call
            .input_text()
            .map(|text| match text.len() > MAX_INLINE_BYTES {
                true => contents
                    .put(text.as_bytes(), "text/plain")
                    .map_or(ToolInput::Inline(cut(&text)), ToolInput::ContentRef),
                false => ToolInput::Inline(text),
            });
        Some(chat(StateAction::ChatToolCallReady(
            ChatToolCallReadyAction {
                turn_id,
                tool_call_id: id.to_owned(),
                meta: Some(meta),
                contributor: None,
                intention: None,
                invocation_message: StringOrMarkdown::Plain(call.title.clone()),
                tool_input: input,
                confirmation_title: title.map(StringOrMarkdown::Plain),
                risk_assessment: None,
                edits: (!edits.is_empty()).then_some(FileEditCollection { items: edits }),
                editable: None,
                confirmed,
                options: (!options.is_empty()).then_some(options),
            },
        )))
    }

    /// Notes how a permission request was answered.
    pub fn answered(&mut self, id: &str, approved: bool) {
        if let Some(call) = self.calls.get_mut(id) {
            call.stage = if approved {
                Stage::Running
            } else {
                Stage::Done
            };
        }
    }

    /// A line of the host's own in the timeline.
    pub fn notice(&mut self, text: &str, kind: &str) -> Effect {
        self.open = Open::None;
        let part = ResponsePart::SystemNotification(SystemNotificationResponsePart {
            content: StringOrMarkdown::Plain(text.to_owned()),
            meta: Some(JsonObject::from_iter([(
                "copilot.notice".to_owned(),
                json!(kind),
            )])),
        });
        self.part(part)
    }

    /// Whether the agent said more in this turn than [`MAX_TURN_BYTES`].
    pub fn is_too_much(&self) -> bool {
        self.kept > MAX_TURN_BYTES
    }

    /// What follows starts a new text part; for anything else that enters the timeline.
    pub fn interrupt_text(&mut self) {
        self.open = Open::None;
    }

    fn text(&mut self, content: String, effects: &mut Vec<Effect>) {
        self.kept += content.len();
        if let Open::Text(part_id) = &self.open {
            let (turn_id, part_id) = (self.turn_id.clone(), part_id.clone());
            effects.push(chat(StateAction::ChatDelta(ChatDeltaAction {
                turn_id,
                part_id,
                content,
                meta: None,
            })));
            return;
        }
        let id = self.next_part();
        self.open = Open::Text(id.clone());
        effects.push(self.part(ResponsePart::Markdown(MarkdownResponsePart { id, content })));
    }

    fn reasoning(&mut self, content: String, effects: &mut Vec<Effect>) {
        self.kept += content.len();
        if let Open::Reasoning(part_id) = &self.open {
            let (turn_id, part_id) = (self.turn_id.clone(), part_id.clone());
            let action = ChatReasoningAction {
                turn_id,
                part_id,
                content,
                meta: None,
            };
            effects.push(chat(StateAction::ChatReasoning(action)));
            return;
        }
        let id = self.next_part();
        self.open = Open::Reasoning(id.clone());
        effects.push(self.part(ResponsePart::Reasoning(ReasoningResponsePart {
            id,
            content,
        })));
    }

    fn next_part(&mut self) -> String {
        self.parts += 1;
        format!("{}-{}", self.part_prefix, self.parts)
    }

    fn part(&self, part: ResponsePart) -> Effect {
        let turn_id = self.turn_id.clone();
        chat(StateAction::ChatResponsePart(ChatResponsePartAction {
            turn_id,
            part,
            meta: None,
        }))
    }

    fn tool_call(
        &mut self,
        id: &str,
        status: Option<ToolCallStatus>,
        fields: ToolCallUpdateFields,
        meta: Option<JsonObject>,
        contents: &mut dyn Contents,
        effects: &mut Vec<Effect>,
    ) {
        let is_new = !self.calls.contains_key(id);
        let call = self.calls.entry(id.to_owned()).or_insert_with(|| Call {
            stage: Stage::Streaming,
            title: String::new(),
            kind: ToolKind::Other,
            name: None,
            input: None,
            locations: Vec::new(),
            content: Vec::new(),
            terminal: false,
            exit_code: None,
            weight: 0,
        });
        // What comes of a call after its end is not shown.
        if call.stage != Stage::Done {
            merge(call, fields);
            call.set_weight(call.weigh(), &mut self.kept);
        }
        if is_new {
            self.open = Open::None;
            let call = &self.calls[id];
            effects.push(chat(StateAction::ChatToolCallStart(
                ChatToolCallStartAction {
                    turn_id: self.turn_id.clone(),
                    tool_call_id: id.to_owned(),
                    meta: Some(call.meta()),
                    tool_name: call.tool_name(),
                    display_name: call.tool_name(),
                    intention: Some(call.title.clone()).filter(|t| !t.is_empty()),
                    contributor: None,
                },
            )));
        }
        self.terminal(id, meta.as_ref(), contents, effects);
        match status {
            Some(ToolCallStatus::InProgress) => self.run(id, contents, effects),
            Some(status @ (ToolCallStatus::Completed | ToolCallStatus::Failed)) => {
                self.run(id, contents, effects);
                self.complete(id, status == ToolCallStatus::Completed, contents, effects);
            }
            _ => {}
        }
    }

    /// Live output, by the convention `_meta.terminal_output` / `_meta.terminal_exit`.
    fn terminal(
        &mut self,
        id: &str,
        meta: Option<&JsonObject>,
        contents: &mut dyn Contents,
        effects: &mut Vec<Effect>,
    ) {
        let Some(meta) = meta else { return };
        let call_id = || id.to_owned();
        if let Some(data) = meta
            .get("terminal_output")
            .and_then(|o| o.get("data"))
            .and_then(Value::as_str)
        {
            let Some(call) = self.calls.get_mut(id) else {
                return;
            };
            if !call.terminal {
                // A call that was denied or is done has no place for it any more.
                if call.stage == Stage::Done {
                    return;
                }
                call.terminal = true;
                let title = call.title.clone();
                effects.push(Effect::TerminalOpened {
                    call: call_id(),
                    title: title.clone(),
                });
                self.run(id, contents, effects);
                let content = vec![terminal_content(contents.terminal(id), title, None)];
                effects.push(chat(StateAction::ChatToolCallContentChanged(
                    ChatToolCallContentChangedAction {
                        turn_id: self.turn_id.clone(),
                        tool_call_id: call_id(),
                        meta: None,
                        content,
                    },
                )));
            }
            effects.push(Effect::TerminalData {
                call: call_id(),
                data: data.to_owned(),
            });
        }
        if let Some(exit) = meta.get("terminal_exit") {
            let exit_code = exit.get("exit_code").and_then(Value::as_i64);
            if let Some(call) = self.calls.get_mut(id) {
                call.exit_code = exit_code;
                if call.terminal {
                    effects.push(Effect::TerminalExited {
                        call: call_id(),
                        exit_code,
                    });
                }
            }
        }
    }

    fn run(&mut self, id: &str, contents: &mut dyn Contents, effects: &mut Vec<Effect>) {
        if self
            .calls
            .get(id)
            .is_some_and(|c| c.stage == Stage::Streaming)
        {
            effects.extend(self.ready(
                id,
                None,
                Some(ToolCallConfirmationReason::NotNeeded),
                contents,
            ));
        }
    }

    fn complete(
        &mut self,
        id: &str,
        success: bool,
        contents: &mut dyn Contents,
        effects: &mut Vec<Effect>,
    ) {
        let turn_id = self.turn_id.clone();
        let Some(call) = self.calls.get_mut(id).filter(|c| c.stage != Stage::Done) else {
            return;
        };
        call.stage = Stage::Done;
        let mut content: Vec<ToolResultContent> = Vec::new();
        if call.terminal {
            let (preview, truncated) = contents.preview(id).unzip();
            let result = TerminalCommandResult {
                exit_code: call.exit_code,
                preview,
                truncated,
            };
            content.push(terminal_content(
                contents.terminal(id),
                call.title.clone(),
                Some(result),
            ));
        }
        for item in &call.content {
            result_content(item, contents, &mut content);
        }
        if let Some(full) = contents.output(id) {
            content.push(resource(full));
        }
        // The rest is in the state by now, or kept elsewhere.
        call.content = Vec::new();
        let texts = content.iter().map(|item| match item {
            ToolResultContent::Text(text) => text.text.len(),
            _ => 0,
        });
        call.set_weight(CALL_BYTES + texts.sum::<usize>(), &mut self.kept);
        effects.push(chat(StateAction::ChatToolCallComplete(
            ChatToolCallCompleteAction {
                turn_id,
                tool_call_id: id.to_owned(),
                meta: None,
                result: ToolCallResult {
                    success,
                    past_tense_message: StringOrMarkdown::Plain(call.title.clone()),
                    content: (!content.is_empty()).then_some(content),
                    structured_content: None,
                    error: None,
                },
                requires_result_confirmation: None,
            },
        )));
    }
}

/// How a permission request is shown.
pub struct Asked {
    /// Short question.
    pub title: String,
    /// The choices.
    pub options: Vec<ConfirmationOption>,
    /// `copilot.permission`.
    pub permission: Value,
    /// `copilot.answeredBy`, when a rule answered at once.
    pub answered: Option<Value>,
}

fn fields_of(
    call: ToolCall,
) -> (
    String,
    Option<ToolCallStatus>,
    ToolCallUpdateFields,
    Option<JsonObject>,
) {
    let (id, status, meta) = (
        call.tool_call_id.0.to_string(),
        call.status,
        call.meta.clone(),
    );
    let fields = ToolCallUpdateFields::new()
        .kind(call.kind)
        .title(call.title)
        .name(call.name)
        .content(call.content)
        .locations(call.locations)
        .raw_input(call.raw_input);
    (id, Some(status), fields, meta)
}

fn merge(call: &mut Call, fields: ToolCallUpdateFields) {
    if let Some(title) = fields.title {
        let title: String = title.chars().take(MAX_TITLE_CHARS).collect();
        call.title = visible(&title);
    }
    if let Some(kind) = fields.kind {
        call.kind = kind;
    }
    if let Some(name) = fields.name {
        call.name = Some(name.chars().take(100).collect());
    }
    if let Some(input) = fields.raw_input {
        call.input = Some(input);
    }
    if let Some(content) = fields.content {
        call.content = content;
    }
    if let Some(locations) = fields.locations {
        call.locations = locations
            .iter()
            .map(|l| match l.line {
                Some(line) => json!({"path": l.path, "line": line}),
                None => json!({"path": l.path}),
            })
            .collect();
    }
}

fn text_of(block: &ContentBlock) -> Option<String> {
    match block {
        ContentBlock::Text(text) => Some(text.text.clone()).filter(|t| !t.is_empty()),
        ContentBlock::ResourceLink(link) => Some(format!("[{}]({})", link.name, link.uri)),
        _ => None,
    }
}

fn result_content(
    item: &ToolCallContent,
    contents: &mut dyn Contents,
    out: &mut Vec<ToolResultContent>,
) {
    match item {
        ToolCallContent::Content(content) => {
            let Some(text) = text_of(&content.content) else {
                return;
            };
            if text.len() <= MAX_INLINE_BYTES {
                out.push(ToolResultContent::Text(ToolResultTextContent { text }));
                return;
            }
            out.push(ToolResultContent::Text(ToolResultTextContent {
                text: cut(&text),
            }));
            out.extend(contents.put(text.as_bytes(), "text/plain").map(resource));
        }
        ToolCallContent::Diff(diff) => {
            if let Some(FileEdit {
                before,
                after,
                diff,
            }) = file_edit(diff, contents)
            {
                out.push(ToolResultContent::FileEdit(ToolResultFileEditContent {
                    before,
                    after,
                    diff,
                }));
            }
        }
        _ => {}
    }
}

fn terminal_content(
    resource: String,
    title: String,
    result: Option<TerminalCommandResult>,
) -> ToolResultContent {
    ToolResultContent::Terminal(ToolResultTerminalContent {
        resource,
        title,
        is_pty: Some(false),
        result,
    })
}

fn resource(content: ContentRef) -> ToolResultContent {
    let ContentRef {
        uri,
        size_hint,
        content_type,
        nonce,
    } = content;
    ToolResultContent::Resource(ToolResultResourceContent {
        uri,
        size_hint,
        content_type,
        nonce,
    })
}

fn file_edit(
    diff: &agent_client_protocol_schema::v1::Diff,
    contents: &mut dyn Contents,
) -> Option<FileEdit> {
    let uri = crate::uri::of_path(&diff.path);
    let mut side = |text: &str| {
        Some(FileEditSide {
            uri: uri.clone(),
            content: contents.put(text.as_bytes(), "text/plain")?,
        })
    };
    let before = match &diff.old_text {
        Some(text) => Some(side(text)?),
        None => None,
    };
    let after = side(&diff.new_text)?;
    let old = diff.old_text.as_deref().unwrap_or_default();
    let (added, removed) = line_counts(old, &diff.new_text);
    Some(FileEdit {
        before,
        after: Some(after),
        diff: Some(FileEditDiffStats {
            added: Some(added),
            removed: Some(removed),
        }),
    })
}

/// Lines added and removed. Bounded in time: a very large pair is estimated from its line counts.
fn line_counts(old: &str, new: &str) -> (i64, i64) {
    if old.len() + new.len() > 1024 * 1024 {
        return (new.lines().count() as i64, old.lines().count() as i64);
    }
    let diff = similar::TextDiff::configure()
        .timeout(std::time::Duration::from_millis(100))
        .diff_lines(old, new);
    diff.iter_all_changes()
        .fold((0, 0), |(added, removed), change| match change.tag() {
            similar::ChangeTag::Insert => (added + 1, removed),
            similar::ChangeTag::Delete => (added, removed + 1),
            similar::ChangeTag::Equal => (added, removed),
        })
}

fn cut(text: &str) -> String {
    let mut end = PREVIEW_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n… ({} more bytes)", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests;
