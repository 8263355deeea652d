//! A client of the agent: raw JSON lines over the pipes of the real binary.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long anything may take. Only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Variables that would choose a model for the agent.
const MODEL_VARIABLES: [&str; 10] = [
    "COPILOT_PROVIDER_BASE_URL",
    "COPILOT_PROVIDER_TYPE",
    "COPILOT_PROVIDER_API_KEY",
    "COPILOT_PROVIDER_WIRE_API",
    "COPILOT_MODEL",
    "COPILOT_GITHUB_TOKEN",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "COPILOT_SCRIPTED_MODEL",
    "COPILOT_AGENT_STATE_DIR",
];

pub(crate) struct Agent {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// What has been received and not been asked for.
    waiting: VecDeque<Value>,
    /// Everything that was received, for a failing test and for questions about the past.
    pub(crate) seen: Vec<Value>,
    next_id: u64,
}

impl Agent {
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilot-agent"));
        for name in MODEL_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command
            .envs(variables.iter().copied())
            .env("COPILOT_AGENT_LOG", "debug")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let value = serde_json::from_str(&line.unwrap()).expect("stdout is only ACP");
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            waiting: VecDeque::new(),
            seen: Vec::new(),
            next_id: 0,
        }
    }

    /// An agent with a scenario, initialised and with a session in `cwd`.
    pub(crate) fn scripted(cwd: &Path, scenario: &Value) -> (Self, String) {
        let file = cwd.join("scenario.json");
        std::fs::write(&file, scenario.to_string()).unwrap();
        let mut agent = Self::start(&[("COPILOT_SCRIPTED_MODEL", file.to_str().unwrap())]);
        agent.initialize();
        let session = agent.new_session(cwd);
        (agent, session)
    }

    pub(crate) fn initialize(&mut self) -> Value {
        self.call(
            "initialize",
            json!({
                "protocolVersion": 1,
                "clientCapabilities": {
                    "elicitation": {"form": {}},
                    "_meta": {"terminal_output": true}
                }
            }),
        )
        .unwrap()
    }

    pub(crate) fn new_session(&mut self, cwd: &Path) -> String {
        let answer = self
            .call("session/new", json!({"cwd": cwd, "mcpServers": []}))
            .unwrap();
        answer["sessionId"].as_str().unwrap().to_owned()
    }

    /// Sends a request and returns its id.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Answers a request of the agent.
    pub(crate) fn answer(&mut self, request: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
    }

    pub(crate) fn allow(&mut self, request: &Value) {
        let outcome = json!({"outcome": {"outcome": "selected", "optionId": "allow-once"}});
        self.answer(request, outcome);
    }

    fn send(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{message}").unwrap();
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.request(method, params);
        self.response(id)
    }

    pub(crate) fn prompt(&mut self, session: &str, text: &str) -> u64 {
        self.request(
            "session/prompt",
            json!({"sessionId": session, "prompt": [{"type": "text", "text": text}]}),
        )
    }

    pub(crate) fn response(&mut self, id: u64) -> Result<Value, Value> {
        let message =
            self.wait_for(|message| message["id"] == id && message.get("method").is_none());
        match message.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(message["result"].clone()),
        }
    }

    /// The next request of this method from the agent.
    pub(crate) fn asked(&mut self, method: &str) -> Value {
        self.wait_for(|message| message["method"] == method)
    }

    /// The next update of this kind.
    pub(crate) fn update(&mut self, kind: &str) -> Value {
        let message = self.wait_for(|message| {
            message["method"] == "session/update"
                && message["params"]["update"]["sessionUpdate"] == kind
        });
        message["params"]["update"].clone()
    }

    /// Waits for a message; others stay for later.
    pub(crate) fn wait_for(&mut self, matches: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.waiting.iter().position(&matches) {
            return self.waiting.remove(index).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(message) => {
                    self.seen.push(message.clone());
                    if matches(&message) {
                        return message;
                    }
                    self.waiting.push_back(message);
                }
                Err(RecvTimeoutError::Timeout) => panic!("nothing came; so far: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended; so far: {:#?}", self.seen),
            }
        }
    }

    /// The text that the agent has said so far.
    pub(crate) fn said(&self) -> String {
        self.updates("agent_message_chunk")
            .filter_map(|update| update["content"]["text"].as_str())
            .collect()
    }

    pub(crate) fn updates(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.seen
            .iter()
            .map(|message| &message["params"]["update"])
            .filter(move |update| update["sessionUpdate"] == kind)
    }

    /// Closes stdin and waits for the end. Returns the exit code.
    pub(crate) fn close(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the agent does not end");
            thread::yield_now();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::yield_now();
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
