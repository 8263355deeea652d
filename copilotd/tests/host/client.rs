//! A client without a transport, which keeps the states that it subscribed to.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ahp::reducers::{ReduceOutcome, apply_action_to_chat, apply_action_to_session};
use ahp_types::actions::ActionEnvelope;
use ahp_types::state::{
    ActiveTurn, ChatState, ResponsePart, SessionState, Snapshot, SnapshotState, Turn,
};
use copilotd::agent::environment::SessionEnvironment;
use copilotd::host::identity::{Device, Peer, Trust};
use copilotd::host::outbound::Next;
use copilotd::host::{Client, Host};
use serde_json::{Value, json};

use super::world::{World, chat_of, new_uri};

/// Longer than anything takes that works, also on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct TestClient {
    host: Arc<Host>,
    pub(super) client: Arc<Client>,
    inbox: VecDeque<Value>,
    /// What it got, for when a test fails.
    log: Vec<String>,
    requests: u64,
    actions: i64,
    pub(super) last_seq: u64,
    chats: HashMap<String, ChatState>,
    sessions: HashMap<String, SessionState>,
}

impl TestClient {
    pub(super) fn new(host: &Arc<Host>, trust: Trust) -> Self {
        let client = host.connect(trust, Peer::default());
        Self::on(host, client)
    }

    /// A paired device.
    pub(super) fn device(host: &Arc<Host>, id: &str, name: &str) -> Self {
        let (id, name) = (id.to_owned(), name.to_owned());
        Self::on(host, host.connect_device(Device { id, name }))
    }

    fn on(host: &Arc<Host>, client: Arc<Client>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        client.set_environment(SessionEnvironment {
            vars: vec![("PATH".into(), path)],
            umask: None,
        });
        Self {
            host: Arc::clone(host),
            client,
            inbox: VecDeque::new(),
            log: Vec::new(),
            requests: 0,
            actions: 0,
            last_seq: 0,
            chats: HashMap::new(),
            sessions: HashMap::new(),
        }
    }

    pub(super) async fn initialize(&mut self, name: &str, channels: &[&str]) -> Value {
        let params = json!({"channel": "ahp-root://", "protocolVersions": ["1.0.0"], "clientId": name,
            "clientInfo": {"name": "test", "title": name}, "initialSubscriptions": channels});
        let result = self.ask("initialize", params).await;
        self.keep_all(&result["snapshots"]);
        result
    }

    /// Sends bytes as they are. The error closes the connection.
    pub(super) async fn send_raw(&self, message: &str) -> Result<(), String> {
        self.host.handle(&self.client, message.as_bytes()).await
    }

    /// Sends a request and gives its id.
    pub(super) async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.requests += 1;
        let message =
            json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params});
        self.send_raw(&message.to_string()).await.unwrap();
        self.requests
    }

    /// Sends a request and waits for its reply: the result, or the error.
    pub(super) async fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.send(method, params).await;
        let mut reply = self
            .until(&format!("the reply to {method}"), |m| {
                m["id"] == id && m.get("method").is_none()
            })
            .await;
        match reply.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(reply["result"].take()),
        }
    }

    /// A request that is expected to succeed.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Value {
        match self.request(method, params).await {
            Ok(result) => result,
            Err(error) => panic!("{method} failed: {error}"),
        }
    }

    /// The message of the error that a request is expected to end with, and its code.
    pub(super) async fn refused(&mut self, method: &str, params: Value) -> (i64, String) {
        match self.request(method, params).await {
            Ok(result) => panic!("{method} was not refused: {result}"),
            Err(error) => (
                error["code"].as_i64().unwrap(),
                error["message"].as_str().unwrap().to_owned(),
            ),
        }
    }

    /// Creates a session in the world's folder and subscribes to it and its chat.
    pub(super) async fn create(&mut self, world: &World, config: Value) -> String {
        let session = new_uri();
        self.ask("createSession", world.new_session(&session, config))
            .await;
        self.watch(&session).await;
        session
    }

    /// Subscribes to a session and its chat.
    pub(super) async fn watch(&mut self, session: &str) {
        self.subscribe(session, json!({})).await;
        self.subscribe(&chat_of(session), json!({})).await;
    }

    pub(super) async fn subscribe(&mut self, channel: &str, mut params: Value) -> Value {
        params["channel"] = channel.into();
        let result = self.ask("subscribe", params).await;
        self.keep(&result["snapshot"]);
        result
    }

    fn keep_all(&mut self, snapshots: &Value) {
        for snapshot in snapshots.as_array().into_iter().flatten() {
            self.keep(snapshot);
        }
    }

    fn keep(&mut self, snapshot: &Value) {
        let snapshot: Snapshot = serde_json::from_value(snapshot.clone()).unwrap();
        match snapshot.state {
            SnapshotState::Chat(chat) => {
                self.chats.insert(snapshot.resource, *chat);
            }
            SnapshotState::Session(session) => {
                self.sessions.insert(snapshot.resource, *session);
            }
            _ => {}
        }
    }

    /// Takes what a `reconnect` gave.
    pub(super) fn catch_up(&mut self, result: &Value) {
        self.keep_all(&result["snapshots"]);
        for envelope in result["actions"].as_array().into_iter().flatten() {
            self.apply(envelope);
        }
    }

    /// Goes on with the states of another connection, which is gone.
    pub(super) fn succeed(&mut self, other: TestClient) {
        self.chats = other.chats;
        self.sessions = other.sessions;
        self.last_seq = other.last_seq;
    }

    /// Dispatches an action and gives its number.
    pub(super) async fn dispatch(&mut self, channel: &str, action: Value) -> i64 {
        let message = self.next_dispatch(channel, action);
        self.send_raw(&message).await.unwrap();
        self.actions
    }

    fn next_dispatch(&mut self, channel: &str, action: Value) -> String {
        self.actions += 1;
        json!({"jsonrpc": "2.0", "method": "dispatchAction",
            "params": {"channel": channel, "clientSeq": self.actions, "action": action}})
        .to_string()
    }

    /// Dispatches when it is awaited, without waiting for anything else.
    pub(super) fn dispatch_later(
        &mut self,
        channel: &str,
        action: Value,
    ) -> impl Future<Output = i64> + Send + 'static {
        let (message, number) = (self.next_dispatch(channel, action), self.actions);
        let (host, client) = (Arc::clone(&self.host), Arc::clone(&self.client));
        async move {
            host.handle(&client, message.as_bytes()).await.unwrap();
            number
        }
    }

    /// What became of an action of this client: `None` when it was done, else the reason.
    pub(super) async fn fate(&mut self, number: i64) -> Option<String> {
        let id = self.client.identity().client_id;
        let echo = self
            .until(&format!("the fate of action {number}"), |m| {
                let origin = &m["params"]["origin"];
                origin["clientSeq"] == number && origin["clientId"] == id.as_str()
            })
            .await;
        let reason = &echo["params"]["rejectionReason"];
        reason.as_str().map(str::to_owned)
    }

    /// Dispatches an action that is expected to be rejected.
    pub(super) async fn rejected(&mut self, channel: &str, action: Value) -> String {
        let number = self.dispatch(channel, action).await;
        self.fate(number).await.expect("the action was done")
    }

    /// Dispatches an action that is expected to be done.
    pub(super) async fn act(&mut self, channel: &str, action: Value) {
        let number = self.dispatch(channel, action).await;
        assert_eq!(self.fate(number).await, None);
    }

    /// Starts a turn.
    pub(super) async fn prompt(&mut self, session: &str, turn: &str, text: &str) {
        self.act(&chat_of(session), start(turn, text)).await;
    }

    /// Starts a turn and waits until it is over.
    pub(super) async fn run(&mut self, session: &str, turn: &str, text: &str) -> Turn {
        self.prompt(session, turn, text).await;
        self.ended(session, turn).await
    }

    /// Waits until a turn is over.
    pub(super) async fn ended(&mut self, session: &str, turn: &str) -> Turn {
        self.until_chat(session, &format!("the end of the turn {turn}"), |chat| {
            chat.turns.iter().any(|t| t.id == turn)
        })
        .await;
        let turns = &self.chat(session).turns;
        turns.iter().find(|t| t.id == turn).cloned().unwrap()
    }

    /// Waits until the session's `copilot.state` is this.
    pub(super) async fn state(&mut self, session: &str, word: &str) {
        let holds = |c: &Self| c.meta(session)["copilot.state"] == word;
        while !holds(self) {
            self.next(&format!("the state {word}")).await;
        }
    }

    pub(super) fn chat(&self, session: &str) -> &ChatState {
        &self.chats[&chat_of(session)]
    }

    pub(super) fn session(&self, session: &str) -> &SessionState {
        &self.sessions[session]
    }

    pub(super) fn meta(&self, session: &str) -> Value {
        Value::Object(self.session(session).meta.clone().unwrap_or_default())
    }

    /// The state of a tool call of the newest turn, as JSON.
    pub(super) fn tool_call(&self, session: &str, id: &str) -> Value {
        let chat = self.chat(session);
        let active = chat.active_turn.iter().flat_map(|t| &t.response_parts);
        let parts = active.chain(chat.turns.iter().rev().flat_map(|t| &t.response_parts));
        parts
            .filter_map(|part| match part {
                ResponsePart::ToolCall(part) => serde_json::to_value(&part.tool_call).ok(),
                _ => None,
            })
            .find(|call| call["toolCallId"] == id)
            .unwrap_or_default()
    }

    /// Waits for the permission request of a tool call.
    pub(super) async fn permission(&mut self, session: &str, id: &str) -> Value {
        while self.tool_call(session, id)["status"] != "pending-confirmation" {
            self.next(&format!("the permission request {id}")).await;
        }
        self.tool_call(session, id)
    }

    pub(super) async fn until_chat(
        &mut self,
        session: &str,
        what: &str,
        holds: impl Fn(&ChatState) -> bool,
    ) {
        while !holds(self.chat(session)) {
            self.next(what).await;
        }
    }

    pub(super) async fn until_turn(
        &mut self,
        session: &str,
        what: &str,
        holds: impl Fn(&ActiveTurn) -> bool,
    ) {
        self.until_chat(session, what, |chat| {
            chat.active_turn.as_ref().is_some_and(&holds)
        })
        .await;
    }

    /// Waits until the running turn says this.
    pub(super) async fn hears(&mut self, session: &str, text: &str) {
        self.until_turn(session, &format!("the text {text}"), |turn| {
            text_of(&turn.response_parts).contains(text)
        })
        .await;
    }

    /// Reads until a message is the one that is waited for.
    pub(super) async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next(what).await;
            if is_it(&message) {
                return message;
            }
        }
    }

    /// Reads everything that was sent up to now.
    pub(super) async fn settle(&mut self) {
        self.ask("ping", json!({"channel": "ahp-root://"})).await;
    }

    /// How many messages of the kind were read so far.
    pub(super) fn seen(&self, part: &str) -> usize {
        self.log.iter().filter(|line| line.contains(part)).count()
    }

    /// Reads one message, and does to the states what it says.
    pub(super) async fn next(&mut self, waiting_for: &str) -> Value {
        while self.inbox.is_empty() {
            match tokio::time::timeout(PATIENCE, self.client.outbound().next()).await {
                Ok(Next::Send(all)) => {
                    let decoded = all
                        .iter()
                        .map(|b| serde_json::from_slice::<Value>(b).unwrap());
                    self.inbox.extend(decoded);
                }
                Ok(Next::Close(last)) => panic!(
                    "closed while waiting for {waiting_for}: {}",
                    String::from_utf8_lossy(&last)
                ),
                Err(_) => panic!(
                    "{waiting_for} did not come; what came is\n{}",
                    self.log.join("\n")
                ),
            }
        }
        let message = self.inbox.pop_front().unwrap();
        let line: String = message.to_string().chars().take(2000).collect();
        self.log.push(line);
        if message["method"] == "action" {
            self.apply(&message["params"]);
        }
        message
    }

    fn apply(&mut self, envelope: &Value) {
        let envelope: ActionEnvelope = serde_json::from_value(envelope.clone()).unwrap();
        assert!(
            envelope.server_seq > self.last_seq,
            "{} after {}",
            envelope.server_seq,
            self.last_seq
        );
        self.last_seq = envelope.server_seq;
        if envelope.rejection_reason.is_some() {
            return;
        }
        let outcome = if let Some(chat) = self.chats.get_mut(&envelope.channel) {
            apply_action_to_chat(chat, &envelope.action)
        } else if let Some(session) = self.sessions.get_mut(&envelope.channel) {
            apply_action_to_session(session, &envelope.action)
        } else {
            return;
        };
        assert_eq!(outcome, ReduceOutcome::Applied, "{:?}", envelope.action);
    }

    /// This client has what a new one gets. The session must be idle.
    pub(super) async fn assert_current(&mut self, world: &World, session: &str) {
        let mut fresh = world.client("fresh").await;
        fresh.watch(session).await;
        self.settle().await;
        assert_eq!(self.chat(session), fresh.chat(session));
        let without_meta = |client: &Self| {
            let mut state = client.session(session).clone();
            state.meta = None;
            state
        };
        assert_eq!(without_meta(self), without_meta(&fresh));
        world.host.disconnect(&fresh.client).await;
    }

    /// Waits until the host closes the connection, and gives the reason.
    pub(super) async fn closed(&mut self) -> String {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.client.outbound().next()).await;
            if let Next::Close(last) = next.expect("the connection was not closed") {
                let last: Value = serde_json::from_slice(&last).unwrap();
                return last["params"]["reason"].as_str().unwrap().to_owned();
            }
        }
    }
}

pub(super) fn start(turn: &str, text: &str) -> Value {
    json!({"type": "chat/turnStarted", "turnId": turn, "startedAt": "whenever", "message": message(text)})
}

pub(super) fn message(text: &str) -> Value {
    json!({"text": text, "origin": {"kind": "user"}})
}

pub(super) fn cancel(turn: &str) -> Value {
    json!({"type": "chat/turnCancelled", "turnId": turn, "duration": 0})
}

/// Approves or denies the call `call`, by the kind of the option.
pub(super) fn answer(turn: &str, option: &str) -> Value {
    json!({"type": "chat/toolCallConfirmed", "turnId": turn, "toolCallId": "call",
        "approved": option.starts_with("allow"), "selectedOptionId": option})
}

/// All text of an agent.
pub(super) fn text_of(parts: &[ResponsePart]) -> String {
    parts
        .iter()
        .filter_map(|part| match part {
            ResponsePart::Markdown(part) => Some(part.content.as_str()),
            _ => None,
        })
        .collect()
}

/// The notices of the host, as `kind: text`.
pub(super) fn notices_of(parts: &[ResponsePart]) -> Vec<String> {
    parts
        .iter()
        .filter(|part| matches!(part, ResponsePart::SystemNotification(_)))
        .map(|part| {
            let part = serde_json::to_value(part).unwrap();
            let text = part["content"].as_str().unwrap();
            format!(
                "{}: {text}",
                part["_meta"]["copilot.notice"].as_str().unwrap()
            )
        })
        .collect()
}

/// The error that a turn ended with: its kind and its words.
pub(super) fn error_of(turn: &Turn) -> (String, String) {
    match turn.response_parts.last() {
        Some(ResponsePart::Error(part)) => {
            (part.error.error_type.clone(), part.error.message.clone())
        }
        _ => panic!("no error: {turn:?}"),
    }
}
