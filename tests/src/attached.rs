//! A client that mirrors one session with the protocol's own reducers, as
//! every real client does.

use ahp::reducers::{apply_action_to_chat, apply_action_to_session};
use ahp_types::actions::ActionEnvelope;
use ahp_types::state::{
    ChatInputRequest, ChatState, ResponsePart, SessionState, ToolCallPendingConfirmationState,
    ToolCallState, Turn,
};
use serde_json::{Value, json};

use crate::client::{Client, as_action};
use crate::device::DeviceChannel;
use crate::home::Home;

/// See the module.
pub struct Attached {
    /// The connection, for what this type has no words for.
    pub client: Client,
    id: String,
    session: SessionState,
    chat: ChatState,
    /// Own actions that came back: client sequence number and, when it was
    /// rejected, the reason.
    echoes: Vec<(i64, Option<String>)>,
    /// The lowest and the highest number of an action from the daemon.
    numbers: Option<(u64, u64)>,
    /// The highest number that the mirrored state includes.
    last_seen: u64,
    next: u32,
}

impl Attached {
    /// Creates a session in the home's project and attaches to it.
    pub fn create(home: &Home, title: &str, config: Value) -> Self {
        let client = Client::connect(home, title);
        Self::create_with(client, home, config)
    }

    /// The same on a connection that exists.
    pub fn create_with(mut client: Client, home: &Home, config: Value) -> Self {
        let id = fresh_uuid();
        client
            .request(
                "createSession",
                json!({
                    "channel": format!("ahp-session:/{id}"),
                    "workingDirectories": [format!("file://{}", home.project().display())],
                    "config": config,
                }),
            )
            .expect("the session is created");
        Self::subscribe(client, &id)
    }

    /// Attaches to a session that exists.
    pub fn attach(home: &Home, title: &str, id: &str) -> Self {
        Self::subscribe(Client::connect(home, title), id)
    }

    /// Subscribes a connection to a session and its chat.
    pub fn subscribe(mut client: Client, id: &str) -> Self {
        let mut snapshot = |channel: String| {
            client
                .request("subscribe", json!({"channel": channel}))
                .unwrap_or_else(|error| panic!("subscribe {channel}: {error:?}"))["snapshot"]
                .clone()
        };
        let session = snapshot(format!("ahp-session:/{id}"));
        let chat = snapshot(format!("ahp-chat:/{id}"));
        let last_seen = from_seq(&session).max(from_seq(&chat));
        Self {
            session: serde_json::from_value(session["state"].clone()).expect("a session's state"),
            chat: serde_json::from_value(chat["state"].clone()).expect("a chat's state"),
            client,
            id: id.to_owned(),
            echoes: Vec::new(),
            numbers: None,
            last_seen,
            next: 1,
        }
    }

    /// Comes back on a new connection, as the same client, with `reconnect`: gets what it missed,
    /// or everything anew where that is not known any more. The error is the daemon's.
    pub fn reconnect(&mut self, home: &Home) -> Result<(), String> {
        let client = self.client.again(home).map_err(|error| error.to_string())?;
        self.resume(client)
    }

    /// The same through a new channel of a paired device.
    pub fn reconnect_on(&mut self, channel: DeviceChannel) -> Result<(), String> {
        let client = self.client.again_on(channel);
        self.resume(client)
    }

    fn resume(&mut self, client: Client) -> Result<(), String> {
        self.client = client;
        let params = json!({
            "channel": "ahp-root://",
            "clientId": self.client.id(),
            "lastSeenServerSeq": self.last_seen,
            "subscriptions": [self.session_channel(), self.chat_channel()],
            "_meta": {"copilot.clientTitle": self.client.title()},
        });
        let result = self.client.try_request("reconnect", params)?;
        let result = result.map_err(|error| error.message)?;
        match result["type"].as_str() {
            Some("replay") => {
                for envelope in result["actions"].as_array().into_iter().flatten() {
                    let envelope = serde_json::from_value(envelope.clone());
                    self.apply_envelope(&envelope.expect("an envelope"));
                }
                for channel in result["missing"].as_array().into_iter().flatten() {
                    let params = json!({"channel": channel});
                    let reply = self.client.try_request("subscribe", params)?;
                    self.take(&reply.map_err(|error| error.message)?["snapshot"]);
                }
            }
            Some("snapshot") => {
                let snapshots = result["snapshots"].as_array().into_iter().flatten();
                let taken = snapshots.map(|snapshot| self.take(snapshot)).count();
                if taken != 2 {
                    return Err(format!("there is no session {} any more", self.id));
                }
            }
            other => panic!("a reconnect of the type {other:?}"),
        }
        self.apply_kept();
        Ok(())
    }

    /// Starts again from a snapshot of one of the channels.
    fn take(&mut self, snapshot: &Value) {
        let state = snapshot["state"].clone();
        self.last_seen = self.last_seen.max(from_seq(snapshot));
        if snapshot["resource"] == json!(self.session_channel()) {
            self.session = serde_json::from_value(state).expect("a session's state");
        } else {
            self.chat = serde_json::from_value(state).expect("a chat's state");
        }
    }

    /// Applies all that the daemon has sent until now. The error is the end of the connection,
    /// after whatever it still brought.
    pub fn catch_up(&mut self) -> Result<(), String> {
        let answered = self.client.try_request("ping", json!({}));
        self.apply_kept();
        match answered {
            Ok(_) => Ok(()),
            Err(why) => {
                self.drain();
                Err(why)
            }
        }
    }

    fn apply_kept(&mut self) {
        while let Some(message) = self.client.kept_notification() {
            self.apply(&message);
        }
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its channel.
    pub fn session_channel(&self) -> String {
        format!("ahp-session:/{}", self.id)
    }

    /// Its chat's channel.
    pub fn chat_channel(&self) -> String {
        format!("ahp-chat:/{}", self.id)
    }

    /// The mirrored session.
    pub fn session(&self) -> &SessionState {
        &self.session
    }

    /// The mirrored chat.
    pub fn chat(&self) -> &ChatState {
        &self.chat
    }

    /// The session state's `_meta`, as JSON.
    pub fn meta(&self) -> Value {
        Value::Object(self.session.meta.clone().unwrap_or_default())
    }

    /// Applies what the daemon says until the mirrored state is as described.
    pub fn wait<T>(
        &mut self,
        what: &str,
        mut matches: impl FnMut(&SessionState, &ChatState) -> Option<T>,
    ) -> T {
        let end = std::time::Instant::now() + crate::DEADLINE;
        loop {
            if let Some(value) = matches(&self.session, &self.chat) {
                return value;
            }
            assert!(
                std::time::Instant::now() < end,
                "never came: {what}\n{}",
                self.describe()
            );
            self.apply_next(what);
        }
    }

    fn apply_next(&mut self, what: &str) {
        match self.client.notification() {
            Ok(message) => self.apply(&message),
            Err(why) => panic!("waiting for {what}: {why}\n{}", self.describe()),
        }
    }

    /// Applies what is left of a connection whose daemon is gone.
    pub fn drain(&mut self) {
        while let Ok(message) = self.client.notification() {
            self.apply(&message);
        }
    }

    fn apply(&mut self, message: &Value) {
        if let Some(envelope) = as_action(message) {
            self.apply_envelope(&envelope);
        }
    }

    fn apply_envelope(&mut self, envelope: &ActionEnvelope) {
        let number = envelope.server_seq;
        self.last_seen = self.last_seen.max(number);
        let (lowest, highest) = self.numbers.unwrap_or((number, number));
        self.numbers = Some((lowest.min(number), highest.max(number)));
        if let Some(origin) = &envelope.origin
            && origin.client_id == self.client.id()
        {
            self.echoes
                .push((origin.client_seq, envelope.rejection_reason.clone()));
        }
        if envelope.rejection_reason.is_some() {
            return;
        }
        if envelope.channel == self.session_channel() {
            apply_action_to_session(&mut self.session, &envelope.action);
        } else if envelope.channel == self.chat_channel() {
            apply_action_to_chat(&mut self.chat, &envelope.action);
        }
    }

    /// The lowest and the highest number of the actions that came, if any did.
    pub fn numbers(&self) -> Option<(u64, u64)> {
        self.numbers
    }

    /// What came back so far for an action that was dispatched: nothing yet, that it was applied,
    /// or that it was rejected and why.
    pub fn echo(&self, seq: i64) -> Option<Result<(), &str>> {
        let (_, reason) = self.echoes.iter().find(|(echo, _)| *echo == seq)?;
        Some(reason.as_deref().map_or(Ok(()), Err))
    }

    /// Dispatches to the chat and waits for what became of it: nothing when it
    /// was applied, the reason when not.
    pub fn dispatch(&mut self, action: &Value) -> Option<String> {
        let channel = self.chat_channel();
        let seq = self.client.dispatch(&channel, action);
        self.outcome(seq)
    }

    /// Waits for the echo of an action that was dispatched.
    pub fn outcome(&mut self, seq: i64) -> Option<String> {
        loop {
            if let Some((_, reason)) = self.echoes.iter().find(|(echo, _)| *echo == seq) {
                return reason.clone();
            }
            self.apply_next("the echo of an action");
        }
    }

    /// An id that this client has not used.
    pub fn mint(&mut self, what: &str) -> String {
        self.next += 1;
        format!("{what}-{}-{}", self.next, fresh_uuid())
    }

    /// Starts a turn; fails when it is rejected. Returns its id.
    pub fn prompt(&mut self, text: &str) -> String {
        let turn = self.mint("turn");
        let rejected = self.dispatch(&turn_started(&turn, text));
        assert_eq!(rejected, None, "the prompt is accepted");
        turn
    }

    /// Says yes, for good, to the question whether the folder is trusted.
    pub fn trust_folder(&mut self) {
        let request = self.wait_for_input();
        assert_eq!(request.id, "trust", "{request:?}");
        let rejected = self.answer("trust", "trust", "trust-always");
        assert_eq!(rejected, None, "the answer is accepted");
    }

    /// Waits for an open question.
    pub fn wait_for_input(&mut self) -> ChatInputRequest {
        self.wait("an open question", |_, chat| open_input(chat))
    }

    /// Answers one question of a request with an option or words.
    pub fn answer(&mut self, request: &str, question: &str, option: &str) -> Option<String> {
        self.dispatch(&answered(request, question, option))
    }

    /// Waits for an open permission.
    pub fn wait_for_permission(&mut self) -> (String, ToolCallPendingConfirmationState) {
        self.wait("an open permission", |_, chat| open_permission(chat))
    }

    /// Answers a permission with one of its options.
    pub fn confirm(&mut self, turn: &str, call: &str, option: &str) -> Option<String> {
        self.dispatch(&confirmed(turn, call, option))
    }

    /// Waits until this turn has ended and returns it.
    pub fn wait_for_end(&mut self, turn: &str) -> Turn {
        self.wait("the end of the turn", |_, chat| {
            chat.turns.iter().find(|ended| ended.id == turn).cloned()
        })
    }

    /// The same for a turn that may take longer than a wait for one thing, and of which nothing is
    /// seen meanwhile.
    pub fn wait_for_long_end(&mut self, turn: &str) -> Turn {
        loop {
            let ended = self.chat().turns.iter().find(|ended| ended.id == turn);
            if let Some(ended) = ended.cloned() {
                return ended;
            }
            self.catch_up().expect("the daemon is there");
        }
    }

    /// Changes settings of the session; the reason when they were not.
    pub fn configure(&mut self, config: Value) -> Option<String> {
        let channel = self.session_channel();
        let action = json!({"type": "session/configChanged", "config": config});
        let seq = self.client.dispatch(&channel, &action);
        self.outcome(seq)
    }

    /// Waits until the session is in this mode.
    pub fn wait_for_mode(&mut self, mode: &str) {
        self.wait(&format!("{mode} mode"), |session, _| {
            (mode_of(session) == mode).then_some(())
        });
    }

    /// Waits for a word of `copilot.state`.
    pub fn wait_for_state(&mut self, state: &str) {
        self.wait(&format!("the state {state}"), |session, _| {
            let meta = session.meta.as_ref()?;
            (meta.get("copilot.state")? == state).then_some(())
        });
    }

    /// The whole mirrored state, for a failed test.
    pub fn describe(&self) -> String {
        format!(
            "--- session\n{}\n--- chat\n{}\n---",
            serde_json::to_string_pretty(&self.session).unwrap_or_default(),
            serde_json::to_string_pretty(&self.chat).unwrap_or_default(),
        )
    }
}

/// The number that a snapshot includes everything up to.
fn from_seq(snapshot: &Value) -> u64 {
    snapshot["fromSeq"].as_u64().expect("a snapshot's number")
}

/// The mode that a session's config names.
pub fn mode_of(session: &SessionState) -> String {
    let config = session.config.as_ref();
    let mode = config.and_then(|c| c.values.get("mode")?.as_str());
    mode.unwrap_or_default().to_owned()
}

/// The kind and the words of every notice in a list of parts.
pub fn notices(parts: &[ResponsePart]) -> Vec<(String, String)> {
    let notice = |part: &ResponsePart| match part {
        ResponsePart::SystemNotification(part) => {
            let kind = part.meta.as_ref()?.get("copilot.notice")?.as_str()?;
            Some((kind.to_owned(), part.content.as_text().to_owned()))
        }
        _ => None,
    };
    parts.iter().filter_map(notice).collect()
}

/// The action that starts a turn.
pub fn turn_started(turn: &str, text: &str) -> Value {
    json!({
        "type": "chat/turnStarted",
        "turnId": turn,
        "startedAt": "2025-01-01T00:00:00Z",
        "message": message(text),
    })
}

/// A person's message.
pub fn message(text: &str) -> Value {
    json!({"text": text, "origin": {"kind": "user"}})
}

/// The action that answers one question of a request with an option or words.
pub fn answered(request: &str, question: &str, option: &str) -> Value {
    json!({
        "type": "chat/inputCompleted",
        "requestId": request,
        "response": "accept",
        "answers": {question: {
            "state": "submitted",
            "value": {"kind": "selected", "value": option},
        }},
    })
}

/// The action that answers a permission.
pub fn confirmed(turn: &str, call: &str, option: &str) -> Value {
    let approved = option.starts_with("allow");
    let mut action = json!({
        "type": "chat/toolCallConfirmed",
        "turnId": turn,
        "toolCallId": call,
        "approved": approved,
        "selectedOptionId": option,
    });
    if approved {
        action["confirmed"] = json!("user-action");
    } else {
        action["reason"] = json!("denied");
    }
    action
}

/// The first permission that waits for an answer: its turn and the call.
pub fn open_permission(chat: &ChatState) -> Option<(String, ToolCallPendingConfirmationState)> {
    let turn = chat.active_turn.as_ref()?;
    turn.response_parts.iter().find_map(|part| match part {
        ResponsePart::ToolCall(part) => match &part.tool_call {
            ToolCallState::PendingConfirmation(call) => Some((turn.id.clone(), call.clone())),
            _ => None,
        },
        _ => None,
    })
}

/// Whether somebody is asked about a permission. What a rule denies waits for an instant as well,
/// without any choices.
pub fn is_asked(chat: &ChatState) -> bool {
    open_permission(chat).is_some_and(|(_, call)| !call.options.unwrap_or_default().is_empty())
}

/// The first question that waits for an answer.
pub fn open_input(chat: &ChatState) -> Option<ChatInputRequest> {
    let turn = chat.active_turn.as_ref()?;
    turn.response_parts.iter().find_map(|part| match part {
        ResponsePart::InputRequest(part) if part.response.is_none() => Some(part.request.clone()),
        _ => None,
    })
}

/// Everything the agent said in a list of parts.
pub fn spoken(parts: &[ResponsePart]) -> String {
    parts
        .iter()
        .filter_map(|part| match part {
            ResponsePart::Markdown(part) => Some(part.content.as_str()),
            _ => None,
        })
        .collect()
}

/// The errors in a list of parts.
pub fn errors(parts: &[ResponsePart]) -> Vec<String> {
    parts
        .iter()
        .filter_map(|part| match part {
            ResponsePart::Error(part) => Some(part.error.message.clone()),
            _ => None,
        })
        .collect()
}

/// The first text in a value that begins so: how references are found in a state.
pub fn text_that_begins(value: &Value, prefix: &str) -> Option<String> {
    match value {
        Value::String(text) => text.starts_with(prefix).then(|| text.clone()),
        Value::Array(items) => items.iter().find_map(|item| text_that_begins(item, prefix)),
        Value::Object(fields) => fields
            .values()
            .find_map(|item| text_that_begins(item, prefix)),
        _ => None,
    }
}

/// A random UUID, from the kernel.
pub fn fresh_uuid() -> String {
    let mut bytes = [0_u8; 16];
    let mut random = std::fs::File::open("/dev/urandom").expect("the kernel has randomness");
    std::io::Read::read_exact(&mut random, &mut bytes).expect("the kernel has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
