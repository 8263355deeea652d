//! Several clients type at random while connections break, readers stall and daemons end: at the
//! end everybody has the same state, the store has it too, and every input took effect once or was
//! rejected with a reason.

use std::collections::HashMap;

use ahp_types::state::{
    ChatInputQuestion, ChatState, ResponsePart, SessionState, ToolCallState, TurnState,
};
use copilot_tests::attached::{
    Attached, confirmed, message, mode_of, open_input, open_permission, turn_started,
};
use copilot_tests::{Client, Home, Random, Scenario, say, tool, until};
use serde_json::{Value, json};

/// What one seed does to the daemon before everything has to come to rest.
const STEPS: usize = 150;
/// Most sessions at a time.
const SESSIONS: usize = 3;
/// The prompts that the scripted model knows.
const PROMPTS: [&str; 5] = ["hello", "stream", "work", "ask", "slow"];

#[test]
fn random_inputs_and_faults_leave_everybody_with_the_same_state() {
    match Random::asked_for() {
        Some(seed) => run(seed),
        None => [1, 2].into_iter().for_each(run),
    }
}

#[test]
#[ignore = "long: many seeds"]
fn random_inputs_and_faults_of_many_seeds_leave_everybody_with_the_same_state() {
    for _ in 0..60 {
        run(Random::fresh_seed());
    }
}

fn scenario() -> Scenario {
    let choices = json!({"question": "Which colour?", "choices": ["red", "green"]});
    Scenario::new()
        .on("hello", [say("Hello.")])
        .on("stream", [json!({"say": "word ".repeat(40), "repeat": 50})])
        .on(
            "work",
            [
                say("I work. "),
                tool(
                    "shell",
                    json!({"command": "echo ran >> runs-$COPILOT_SESSION_ID; head -c 100000 /dev/zero"}),
                ),
                say("Worked."),
            ],
        )
        .on("ask", [tool("ask_user", choices), say("Thanks.")])
        .on("slow", [say("Slow. "), json!({"delay_ms": 150}), say("Done.")])
        .on("interrupted", [say("Gone on.")])
        .on("", [say("What?")])
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    /// It is not known: the connection ended first, or the answer is on its way.
    Open,
    Accepted,
    Rejected(String),
}

/// Something that a client asked for, with an id of its own, so that it may ask again.
#[derive(Debug)]
struct Sent {
    /// The client's place among those of the session.
    by: usize,
    /// The client sequence number of the last try on the connection that is open now.
    seq: Option<i64>,
    action: Value,
    outcome: Outcome,
}

impl Sent {
    fn kind(&self) -> &str {
        self.action["type"].as_str().unwrap()
    }

    /// Asking again has no second effect.
    fn has_id(&self) -> bool {
        matches!(
            self.kind(),
            "chat/turnStarted"
                | "chat/pendingMessageSet"
                | "chat/toolCallConfirmed"
                | "chat/inputCompleted"
        )
    }
}

struct Screen {
    attached: Attached,
    online: bool,
    /// It does not read.
    stalled: bool,
}

/// A session with everybody who looks at it.
struct Room {
    id: String,
    screens: Vec<Screen>,
    sent: Vec<Sent>,
}

struct World {
    home: Home,
    random: Random,
    rooms: Vec<Room>,
    /// Deleted sessions.
    gone: Vec<String>,
    /// For unique words.
    texts: usize,
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.come_to_rest();
    for room in &mut world.rooms {
        room.check_inputs(&world.home);
    }
    let before = world.everybody_has_the_hosts_state();
    world.restart();
    for (room, (session, chat)) in world.rooms.iter().zip(before) {
        let after = Attached::attach(&world.home, "reader", &room.id);
        let stored = (lasting(after.session()), json!(after.chat()));
        same(&stored, &(session, chat), "what the store has");
    }
    world.everybody_has_the_hosts_state();
    for id in &world.gone {
        let mut client = Client::connect(&world.home, "curious");
        let channel = format!("ahp-session:/{id}");
        let found = client.request("subscribe", json!({"channel": channel}));
        assert!(found.is_err(), "{id} was deleted");
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let home = Home::new(scenario());
        home.start_daemon();
        let mut world = Self {
            home,
            random: Random::of(seed),
            rooms: Vec::new(),
            gone: Vec::new(),
            texts: 0,
        };
        world.create_session();
        world
    }

    fn create_session(&mut self) {
        let first = Attached::create(&self.home, "screen 0", json!({}));
        let id = first.id().to_owned();
        let mut attached = vec![first];
        for number in 1..=1 + self.random.below(2) {
            attached.push(Attached::attach(
                &self.home,
                &format!("screen {number}"),
                &id,
            ));
        }
        let screen = |attached| Screen {
            attached,
            online: true,
            stalled: false,
        };
        self.rooms.push(Room {
            id,
            screens: attached.into_iter().map(screen).collect(),
            sent: Vec::new(),
        });
    }

    fn step(&mut self) {
        let place = self.random.below(self.rooms.len());
        match self.random.below(100) {
            0..3 => self.restart(),
            3..6 if self.rooms.len() < SESSIONS => self.create_session(),
            6..7 if self.rooms.len() > 1 => self.delete_session(place),
            7..9 => {
                let run = self
                    .home
                    .copilot(&["sessions", "close", &self.rooms[place].id]);
                run.expect_code(0);
            }
            9..30 => self.rooms[place].let_the_agent_work(),
            what => {
                let room = &mut self.rooms[place];
                let by = self.random.below(room.screens.len());
                let screen = &mut room.screens[by];
                match what {
                    30..36 => screen.leave(),
                    36..40 => screen.stalled = !screen.stalled,
                    40..48 => room.come_back(by, &self.home),
                    _ if !screen.online => room.come_back(by, &self.home),
                    _ => self.texts += room.input(by, &mut self.random, self.texts),
                }
                if !room.screens[by].stalled {
                    room.read(by);
                }
            }
        }
    }

    fn delete_session(&mut self, place: usize) {
        let room = self.rooms.remove(place);
        let mut client = Client::connect(&self.home, "remover");
        let channel = format!("ahp-session:/{}", room.id);
        client
            .request("disposeSession", json!({"channel": channel}))
            .expect("it is deleted");
        self.gone.push(room.id);
    }

    /// Ends the daemon, with or without a warning, and starts the next one.
    fn restart(&mut self) {
        if self.random.chance(50) {
            self.home.kill_daemon();
        } else {
            let stopped = self.home.copilot(&["daemon", "stop", "--force"]);
            stopped.expect_code(0);
        }
        self.home.start_daemon();
        for room in &mut self.rooms {
            for screen in &mut room.screens {
                screen.leave();
            }
        }
    }

    /// Everybody comes back and reads, whatever is asked is answered, and nothing is left to do.
    fn come_to_rest(&mut self) {
        for room in &mut self.rooms {
            for by in 0..room.screens.len() {
                room.screens[by].stalled = false;
                room.come_back(by, &self.home);
            }
            room.settle();
            // Messages that nobody starts after a cancel or an error go when somebody asks again.
            while room
                .chat()
                .queued_messages
                .iter()
                .flatten()
                .next()
                .is_some()
                || room.chat().steering_message.is_some()
            {
                self.texts += 1;
                let (id, text) = (
                    format!("id-{}", self.texts),
                    format!("hello at last {}", self.texts),
                );
                room.send(0, turn_started(&id, &text));
                room.settle();
            }
            for by in 0..room.screens.len() {
                room.read(by);
            }
        }
    }

    /// Compares everybody's state with what the host shows a newcomer; returns it.
    fn everybody_has_the_hosts_state(&mut self) -> Vec<(Value, Value)> {
        let mut states = Vec::new();
        for room in &mut self.rooms {
            for by in 0..room.screens.len() {
                room.come_back(by, &self.home);
            }
            // Whoever has this has everything before it.
            self.texts += 1;
            let draft = format!("draft-{}", self.texts);
            let action = json!({"type": "chat/draftChanged", "draft": message(&draft)});
            assert_eq!(room.screens[0].attached.dispatch(&action), None);
            for screen in &mut room.screens {
                screen.attached.wait("the draft", |_, chat| {
                    (chat.draft.as_ref()?.text == draft).then_some(())
                });
            }
            let newcomer = Attached::attach(&self.home, "newcomer", &room.id);
            let host = (lasting(newcomer.session()), json!(newcomer.chat()));
            for screen in &room.screens {
                let own = (
                    lasting(screen.attached.session()),
                    json!(screen.attached.chat()),
                );
                same(&own, &host, "what a screen has");
            }
            states.push(host);
        }
        states
    }
}

impl Screen {
    fn leave(&mut self) {
        // What the daemon has sent already arrives all the same.
        let _ = self
            .attached
            .client
            .stream()
            .shutdown(std::net::Shutdown::Write);
        if self.online {
            self.attached.drain();
        }
        self.online = false;
    }
}

impl Room {
    fn chat(&self) -> &ChatState {
        self.screens[0].attached.chat()
    }

    fn come_back(&mut self, by: usize, home: &Home) {
        let screen = &mut self.screens[by];
        if !screen.online {
            screen.stalled = false;
            screen
                .attached
                .reconnect(home)
                .expect("the session is there");
            screen.online = true;
            self.learn(by);
            let again: Vec<usize> = (0..self.sent.len())
                .filter(|at| self.sent[*at].by == by && self.sent[*at].outcome == Outcome::Open)
                .collect();
            for at in again {
                self.sent[at].seq = None;
                if self.sent[at].has_id() {
                    let action = self.sent[at].action.clone();
                    self.sent[at].seq = Some(self.dispatch(by, &action));
                }
            }
        }
        self.read(by);
    }

    /// Applies what came for a screen and learns what became of its inputs.
    fn read(&mut self, by: usize) {
        let screen = &mut self.screens[by];
        if screen.online && screen.attached.catch_up().is_err() {
            screen.online = false;
        }
        self.learn(by);
    }

    fn learn(&mut self, by: usize) {
        let attached = &self.screens[by].attached;
        for sent in self.sent.iter_mut().filter(|sent| sent.by == by) {
            match sent.seq.and_then(|seq| attached.echo(seq)) {
                _ if sent.outcome != Outcome::Open => {}
                Some(Ok(())) => sent.outcome = Outcome::Accepted,
                // It had its effect with an earlier try.
                Some(Err(reason)) if reason.starts_with("duplicate:") => {
                    sent.outcome = Outcome::Accepted;
                }
                Some(Err(reason)) => {
                    assert!(!reason.trim().is_empty(), "a rejection says why");
                    sent.outcome = Outcome::Rejected(reason.to_owned());
                }
                None => {}
            }
        }
    }

    fn dispatch(&mut self, by: usize, action: &Value) -> i64 {
        let attached = &mut self.screens[by].attached;
        let is_of_session = action["type"].as_str().unwrap().starts_with("session/");
        let channel = match is_of_session {
            true => attached.session_channel(),
            false => attached.chat_channel(),
        };
        let (seq, sent) = attached.client.try_dispatch(&channel, action);
        if sent.is_err() {
            attached.drain();
            self.screens[by].online = false;
        }
        seq
    }

    fn send(&mut self, by: usize, action: Value) {
        let seq = Some(self.dispatch(by, &action));
        self.sent.push(Sent {
            by,
            seq,
            action,
            outcome: Outcome::Open,
        });
    }

    /// One random input, from what this screen sees; how many unique words it used.
    fn input(&mut self, by: usize, random: &mut Random, texts: usize) -> usize {
        let chat = self.screens[by].attached.chat().clone();
        let text = format!("{} in text-{texts}", random.one_of(&PROMPTS));
        let id = format!("id-{texts}");
        let action = match random.below(100) {
            0..22 => turn_started(&id, &text),
            22..32 => pending("queued", &id, &text),
            32..40 => pending("steering", &id, &text),
            40..46 => match waiting(&chat) {
                Some((kind, id)) => {
                    json!({"type": "chat/pendingMessageRemoved", "kind": kind, "id": id})
                }
                None => return 0,
            },
            46..49 => {
                let queued = chat.queued_messages.iter().flatten();
                let order: Vec<&str> = queued.map(|m| m.id.as_str()).rev().collect();
                json!({"type": "chat/queuedMessagesReordered", "order": order})
            }
            49..72 => match answer(&chat, random) {
                Some(action) => action,
                None => return 0,
            },
            72..79 => match draft_answer(&chat, random) {
                Some(action) => action,
                None => return 0,
            },
            79..86 => match &chat.active_turn {
                Some(turn) => {
                    json!({"type": "chat/turnCancelled", "turnId": turn.id, "duration": 0})
                }
                None => return 0,
            },
            86..90 => json!({"type": "session/titleChanged", "title": text}),
            90..93 => {
                let mode = random.one_of(&["interactive", "plan"]);
                json!({"type": "session/configChanged", "config": {"mode": mode}})
            }
            93..95 => json!({"type": "chat/draftChanged", "draft": message(&text)}),
            _ => match chat
                .turns
                .last()
                .filter(|turn| turn.state == TurnState::Error)
            {
                Some(turn) => json!({"type": "chat/turnResume", "turnId": turn.id}),
                None => return 0,
            },
        };
        self.send(by, action);
        1
    }

    /// Waits until the agent is done or asks something, if somebody looks.
    fn let_the_agent_work(&mut self) {
        let looks = |screen: &Screen| screen.online && !screen.stalled;
        if let Some(by) = self.screens.iter().position(looks) {
            self.read(by);
            if self.screens[by].online {
                self.screens[by]
                    .attached
                    .wait("a turn that ended or asks", |_, chat| {
                        (chat.active_turn.is_none() || is_asking(chat)).then_some(())
                    });
            }
            self.learn(by);
        }
    }

    /// Lets the agent finish, and says yes to whatever it asks.
    fn settle(&mut self) {
        loop {
            // Once everybody's inputs are echoed nothing starts any more but by itself.
            for by in 0..self.screens.len() {
                until("an answer to every input", || {
                    self.read(by);
                    assert!(self.screens[by].online, "nothing ends this connection");
                    let open = |s: &&Sent| s.seq.is_some() && s.outcome == Outcome::Open;
                    let open = self.sent.iter().filter(|s| s.by == by).find(open);
                    open.is_none().then_some(())
                });
            }
            self.let_the_agent_work();
            let chat = self.chat().clone();
            match chat.active_turn {
                None => return,
                Some(_) => match last_answer(&chat) {
                    Some(action) => self.send(0, action),
                    None => continue,
                },
            }
        }
    }

    /// Every input took effect exactly once, or not at all and was rejected.
    fn check_inputs(&mut self, home: &Home) {
        let chat = self.chat().clone();
        let told = serde_json::to_string(&chat.turns).unwrap();
        let taken_back = |id: &Value, outcome: &Outcome| {
            self.sent.iter().any(|sent| {
                sent.kind() == "chat/pendingMessageRemoved"
                    && sent.action["id"] == *id
                    && sent.outcome == *outcome
            })
        };
        for sent in &self.sent {
            let (id, text) = match sent.kind() {
                "chat/turnStarted" => (&sent.action["turnId"], &sent.action["message"]["text"]),
                "chat/pendingMessageSet" => (&sent.action["id"], &sent.action["message"]["text"]),
                _ => continue,
            };
            // As the message of its turn, or as what the agent was told on the way.
            let mentions = told
                .matches(&format!("{}\"", text.as_str().unwrap()))
                .count();
            let what = format!("{sent:?}\n{}", self.screens[0].attached.describe());
            match &sent.outcome {
                Outcome::Open => panic!("nobody said what became of {what}"),
                Outcome::Rejected(_) => assert_eq!(mentions, 0, "{what}"),
                Outcome::Accepted if taken_back(id, &Outcome::Accepted) => {
                    assert_eq!(mentions, 0, "taken back: {what}");
                }
                Outcome::Accepted if mentions == 0 => {
                    assert!(taken_back(id, &Outcome::Open), "lost: {what}");
                }
                Outcome::Accepted => assert_eq!(mentions, 1, "{what}"),
            }
        }
        self.check_answers(&chat);
        self.check_settings();
        let calls: Vec<&ToolCallState> = chat
            .turns
            .iter()
            .flat_map(|turn| &turn.response_parts)
            .filter_map(|part| match part {
                ResponsePart::ToolCall(part) => Some(&part.tool_call),
                _ => None,
            })
            .collect();
        let shells = |call: &&&ToolCallState| json!(call)["toolName"] == "shell";
        let done = |call: &&&ToolCallState| json!(call)["success"] == true;
        let most = calls.iter().filter(shells).count();
        let least = calls.iter().filter(shells).filter(done).count();
        let runs = home.read(&format!("runs-{}", self.id)).unwrap_or_default();
        let ran = runs.lines().count();
        assert!(
            (least..=most).contains(&ran),
            "a command ran {ran} times, {least} to {most} were meant to\n{}",
            self.screens[0].attached.describe()
        );
    }
}

impl Room {
    /// Of all who answered a request one counts, and what they chose is what the request says.
    fn check_answers(&self, chat: &ChatState) {
        let told = json!(chat.turns);
        let mut counted: HashMap<&str, &Sent> = HashMap::new();
        for sent in &self.sent {
            let id = match sent.kind() {
                "chat/toolCallConfirmed" => &sent.action["toolCallId"],
                "chat/inputCompleted" => &sent.action["requestId"],
                _ => continue,
            };
            let what = || format!("{sent:?}\n{}", self.screens[0].attached.describe());
            assert_ne!(sent.outcome, Outcome::Open, "nobody said: {}", what());
            let id = id.as_str().unwrap();
            // Every folder is asked about by the same name.
            if sent.outcome != Outcome::Accepted || id == "trust" {
                continue;
            }
            // A command that was cut off is shown without what was chosen; that is in the answers.
            let remembered = self.screens[0].attached.meta()["copilot.answers"][id].clone();
            let choice = answer_shown(&told, id)
                .filter(|shown| !shown.is_null())
                .or_else(|| remembered.get("choice").cloned())
                .unwrap_or_else(|| panic!("lost: {}", what()));
            let given = match sent.kind() {
                "chat/toolCallConfirmed" => &sent.action["selectedOptionId"],
                _ => &sent.action["response"],
            };
            assert_eq!(choice, *given, "{}", what());
            if let Some(other) = counted.insert(id, sent) {
                assert_eq!(other.action, sent.action, "two answers count: {other:?}");
            }
        }
    }

    /// The title and the mode are what somebody set, and nobody was refused without a word.
    fn check_settings(&self) {
        let session = self.screens[0].attached.session();
        let mode = mode_of(session);
        for (kind, now, of) in [
            ("session/titleChanged", &session.title, "/title"),
            ("session/configChanged", &mode, "/config/mode"),
        ] {
            let all = || self.sent.iter().filter(|sent| sent.kind() == kind);
            let sets_it = |sent: &Sent| {
                !matches!(sent.outcome, Outcome::Rejected(_))
                    && sent.action.pointer(of) == Some(&json!(now))
            };
            if all().any(|sent| sent.outcome == Outcome::Accepted) {
                assert!(all().any(sets_it), "{kind}: nobody set {now}");
            }
        }
    }
}

/// What was chosen of a permission, or became of a question, as the turns show it.
fn answer_shown(turns: &Value, id: &str) -> Option<Value> {
    let parts = turns.as_array()?.iter();
    let mut parts = parts.flat_map(|turn| turn["responseParts"].as_array().into_iter().flatten());
    parts.find_map(|part| {
        if part["toolCall"]["toolCallId"] == id {
            return Some(part["toolCall"]["selectedOption"]["id"].clone());
        }
        (part["request"]["id"] == id).then(|| part["response"].clone())
    })
}

fn pending(kind: &str, id: &str, text: &str) -> Value {
    json!({"type": "chat/pendingMessageSet", "kind": kind, "id": id, "message": message(text)})
}

/// A message that can be taken back.
fn waiting(chat: &ChatState) -> Option<(&'static str, &str)> {
    let queued = chat.queued_messages.iter().flatten().next();
    let steering = chat.steering_message.as_ref();
    queued
        .map(|m| ("queued", m.id.as_str()))
        .or_else(|| steering.map(|m| ("steering", m.id.as_str())))
}

fn is_asking(chat: &ChatState) -> bool {
    open_permission(chat).is_some() || open_input(chat).is_some()
}

/// Some answer to what is asked.
fn answer(chat: &ChatState, random: &mut Random) -> Option<Value> {
    if let Some((turn, call)) = open_permission(chat) {
        let options = [
            "allow-once",
            "allow-once",
            "allow-session",
            "deny",
            "deny-with-words",
        ];
        let option = *random.one_of(&options);
        let mut action = confirmed(&turn, &call.tool_call_id, option);
        if option == "deny-with-words" && random.chance(80) {
            action["userSuggestion"] = message("do something else");
        }
        return Some(action);
    }
    let request = open_input(chat)?;
    Some(match random.below(10) {
        0..7 => accepted(
            &request.id,
            &question_of(chat)?,
            random.one_of::<String>(&choices(chat)?),
        ),
        7..9 => {
            json!({"type": "chat/inputCompleted", "requestId": request.id, "response": "decline"})
        }
        _ => json!({"type": "chat/inputCompleted", "requestId": request.id, "response": "cancel"}),
    })
}

/// Yes to what is asked.
fn last_answer(chat: &ChatState) -> Option<Value> {
    if let Some((turn, call)) = open_permission(chat) {
        return Some(confirmed(&turn, &call.tool_call_id, "allow-once"));
    }
    let request = open_input(chat)?;
    Some(accepted(
        &request.id,
        &question_of(chat)?,
        &choices(chat)?[0],
    ))
}

/// The beginning of an answer, which everybody sees and nobody else gets yet.
fn draft_answer(chat: &ChatState, random: &mut Random) -> Option<Value> {
    let request = open_input(chat)?;
    let value = json!({"kind": "selected", "value": random.one_of::<String>(&choices(chat)?)});
    Some(json!({
        "type": "chat/inputAnswerChanged",
        "requestId": request.id,
        "questionId": question_of(chat)?,
        "answer": {"state": "draft", "value": value},
    }))
}

fn accepted(request: &str, question: &str, choice: &str) -> Value {
    let value = json!({"kind": "selected", "value": choice});
    json!({
        "type": "chat/inputCompleted",
        "requestId": request,
        "response": "accept",
        "answers": {question: {"state": "submitted", "value": value}},
    })
}

fn question_of(chat: &ChatState) -> Option<String> {
    let id = json!(open_input(chat)?.questions?.first()?)["id"].clone();
    Some(id.as_str()?.to_owned())
}

fn choices(chat: &ChatState) -> Option<Vec<String>> {
    match open_input(chat)?.questions?.into_iter().next()? {
        ChatInputQuestion::SingleSelect(question) => Some(
            question
                .options
                .into_iter()
                .map(|option| option.id)
                .collect(),
        ),
        _ => None,
    }
}

/// A session's state without what is only of this moment: who looks, which process works.
fn lasting(session: &SessionState) -> Value {
    let mut state = json!(session);
    if let Some(meta) = state["_meta"].as_object_mut() {
        for key in ["copilot.clients", "copilot.agent", "copilot.state"] {
            meta.remove(key);
        }
    }
    state
}

#[track_caller]
fn same(own: &(Value, Value), host: &(Value, Value), whose: &str) {
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    for (own, host) in [(&own.0, &host.0), (&own.1, &host.1)] {
        if own != host {
            let (own, host) = (pretty(own), pretty(host));
            let line = own
                .lines()
                .zip(host.lines())
                .take_while(|(a, b)| a == b)
                .count();
            panic!("{whose} differs at line {line}\n--- its own\n{own}\n--- the host's\n{host}");
        }
    }
}
