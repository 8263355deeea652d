//! A daemon that is killed at any point of its work loses nothing that was acknowledged, runs
//! nothing twice, leaves nothing behind and goes on when somebody asks.

use std::process::{Child, Stdio};

use ahp_types::state::{ChatInputRequest, ResponsePart, Turn, TurnState};
use copilot_tests::attached::{
    Attached, confirmed, message, mode_of, open_input, open_permission, spoken,
};
use copilot_tests::{
    Client, Home, PausePoints, Scenario, binary, is_alive, of_session, say, tool, until,
    with_environment,
};
use serde_json::{Value, json};

/// What the daemon does when it is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    /// Starting, with a session that rests.
    Starting,
    /// Starting, after it was killed in the middle of a turn.
    Recovering,
    /// Starting an agent for a session's first prompt.
    Spawning,
    /// Taking a prompt; the agent runs already.
    Prompt,
    /// Taking a name for the session.
    Rename,
    /// Showing a permission that the agent asks for.
    Permission,
    /// Showing a question of the agent.
    Question,
    /// Taking this answer to a permission.
    Answer(&'static str),
    /// Taking the answer to a question.
    Reply,
    /// Taking another mode.
    Switch,
    /// Showing what an allowed command prints.
    Output,
    /// Ending a turn that ran a command.
    End,
    /// Taking a message for the queue.
    Queue,
    /// Ending a turn and starting the next of the queue.
    Pop,
    /// Letting a session leave memory.
    Park,
    /// Taking a session back into memory.
    Revive,
}

/// Whether what it does is there after the restart.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    No,
    /// The store had it and was not waited for.
    Perhaps,
    Yes,
}

use Doing::*;
use Kept::*;

/// One test a line: its name, what the daemon does, where it is killed, what is kept.
macro_rules! killed {
    ($($name:ident: $doing:expr, $point:literal, $kept:expr;)*) => {
        $(#[test] fn $name() { killed_at($doing, $point, $kept); })*
    };
}

killed! {
    before_numbers_are_reserved:        Starting, "before-reserve", Yes;
    after_numbers_are_reserved:         Starting, "after-reserve", Yes;
    before_reviving_what_was_killed:    Recovering, "before-revive", Yes;
    before_keeping_an_interruption:     Recovering, "after-append", Yes;
    after_keeping_an_interruption:      Recovering, "after-commit", Yes;
    after_reviving_what_was_killed:     Recovering, "after-revive", Yes;
    before_an_agent_is_started:         Spawning, "before-spawn", No;
    after_an_agent_is_started:          Spawning, "after-spawn", No;
    after_an_agent_is_recorded:         Spawning, "after-commit", Yes;
    before_an_agent_gets_a_line:        Spawning, "prompt.before-agent", Yes;
    after_an_agent_gets_a_line:         Spawning, "prompt.after-agent", Yes;
    before_a_prompt_is_appended:        Prompt, "prompt.before-append", No;
    after_a_prompt_is_appended:         Prompt, "after-append", Perhaps;
    after_a_prompt_is_committed:        Prompt, "after-commit", Yes;
    before_a_prompt_is_echoed:          Prompt, "prompt.before-echo", Yes;
    after_a_prompt_is_echoed:           Prompt, "prompt.after-echo", Yes;
    before_a_prompt_goes_to_the_agent:  Prompt, "prompt.before-agent", Yes;
    after_a_prompt_goes_to_the_agent:   Prompt, "prompt.after-agent", Yes;
    before_a_title_is_appended:         Rename, "title.before-append", No;
    after_a_title_is_appended:          Rename, "after-append", Perhaps;
    before_a_title_is_echoed:           Rename, "title.before-echo", Yes;
    after_a_title_is_echoed:            Rename, "title.after-echo", Yes;
    before_a_permission_is_appended:    Permission, "permission-shown.before-append", Perhaps;
    before_a_permission_is_shown:       Permission, "permission-shown.before-echo", Perhaps;
    after_a_permission_is_shown:        Permission, "permission-shown.after-echo", Perhaps;
    before_a_question_is_appended:      Question, "question-shown.before-append", Perhaps;
    before_a_question_is_shown:         Question, "question-shown.before-echo", Perhaps;
    after_a_question_is_shown:          Question, "question-shown.after-echo", Perhaps;
    before_an_answer_is_appended:       Answer("allow-once"), "answer.before-append", No;
    after_an_answer_is_appended:        Answer("allow-once"), "after-append", Perhaps;
    after_an_answer_is_committed:       Answer("allow-once"), "after-commit", Yes;
    before_an_answer_is_echoed:         Answer("allow-once"), "answer.before-echo", Yes;
    after_an_answer_is_echoed:          Answer("allow-once"), "answer.after-echo", Yes;
    before_an_answer_goes_to_the_agent: Answer("allow-once"), "answer.before-agent", Yes;
    after_an_answer_goes_to_the_agent:  Answer("allow-once"), "answer.after-agent", Yes;
    before_a_denial_goes_to_the_agent:  Answer("deny"), "answer.before-agent", Yes;
    after_a_denial_goes_to_the_agent:   Answer("deny"), "answer.after-agent", Yes;
    before_a_reply_is_appended:         Reply, "reply.before-append", No;
    after_a_reply_is_appended:          Reply, "after-append", Perhaps;
    before_a_reply_is_echoed:           Reply, "reply.before-echo", Yes;
    after_a_reply_is_echoed:            Reply, "reply.after-echo", Yes;
    before_a_reply_goes_to_the_agent:   Reply, "reply.before-agent", Yes;
    before_a_mode_is_appended:          Switch, "configured.before-append", No;
    after_a_mode_is_appended:           Switch, "after-append", Perhaps;
    before_a_mode_is_echoed:            Switch, "configured.before-echo", Yes;
    after_a_mode_is_echoed:             Switch, "configured.after-echo", Yes;
    before_tool_output_is_appended:     Output, "tool-output.before-append", Perhaps;
    before_tool_output_is_shown:        Output, "tool-output.before-echo", Perhaps;
    after_tool_output_is_shown:         Output, "tool-output.after-echo", Perhaps;
    before_a_turns_end_is_appended:     End, "turn-end.before-append", No;
    after_a_turns_end_is_committed:     End, "turn-end.before-echo", Yes;
    after_a_turns_end_is_shown:         End, "turn-end.after-echo", Yes;
    before_a_queued_message_is_kept:    Queue, "queued.before-append", No;
    after_a_queued_message_is_appended: Queue, "after-append", Perhaps;
    after_a_queued_message_is_kept:     Queue, "queued.before-echo", Yes;
    after_a_queued_message_is_echoed:   Queue, "queued.after-echo", Yes;
    before_the_queue_pops:              Pop, "queue-pop.before-append", No;
    after_the_queue_popped:             Pop, "queue-pop.before-echo", Yes;
    after_the_pop_is_shown:             Pop, "queue-pop.after-echo", Yes;
    after_the_popped_goes_to_the_agent: Pop, "queue-pop.after-agent", Yes;
    before_a_session_is_parked:         Park, "before-park", Yes;
    after_a_session_is_parked:          Park, "after-park", Yes;
    before_a_session_is_revived:        Revive, "before-revive", Yes;
    after_a_session_is_revived:         Revive, "after-revive", Yes;
}

/// What every prompt of these tests does.
fn scenario() -> Scenario {
    let counted = "echo ran >> runs";
    // Something that detaches itself, output, and no end.
    let long = format!(
        "{counted}; setsid tail -f /dev/null >/dev/null 2>&1 & echo output; tail -f /dev/null"
    );
    let shell = |command: &str| tool("shell", json!({"command": command}));
    Scenario::new()
        // What was typed, and what was answered, is in what the agent is told.
        .on(r"Which colour\?: blue", [say("Blue it is.")])
        .on(
            "worked on this:\n\nwork\n",
            [shell(counted), say("Gone on with it.")],
        )
        .on("interrupted", [say("Gone on.")])
        .on("hello", [say("Hello.")])
        .on("work", [shell(counted), say("Worked.")])
        .on("long", [shell(&long), say("Never said.")])
        .on(
            "busy",
            [
                json!({"write_file": "busy"}),
                json!({"wait_for_file": "go"}),
                say("Was busy."),
            ],
        )
        .on(
            "ask",
            [
                tool("ask_user", json!({"question": "Which colour?"})),
                say("Thanks."),
            ],
        )
        .on("later", [say("Now it is later.")])
        .on("again", [say("Still here.")])
}

const NAME: &str = "A name of its own";
const SCREEN: &str = "the screen";

/// A session on the way to the point where the daemon is killed.
struct World {
    home: Home,
    points: PausePoints,
    screen: Attached,
    /// A turn that ended long before, where the session has one.
    earlier: Option<String>,
    /// The turn that the daemon is killed in.
    turn: Option<String>,
    /// The tool call of that turn that is asked about.
    call: Option<String>,
    /// The question of that turn.
    request: Option<ChatInputRequest>,
    /// The input that the daemon is killed over.
    input: Option<i64>,
    /// A daemon that does not come as far as to be a daemon.
    starting: Option<Child>,
}

fn killed_at(doing: Doing, point: &str, kept: Kept) {
    let mut world = World::with_a_session(doing);
    world.get_ready(doing);
    world.points.arm(point);
    world.trigger(doing);
    world.points.wait(point);

    let processes = world.processes();
    if doing == Output {
        assert!(
            processes.len() >= 3,
            "an agent, its command and what that started: {processes:?}"
        );
    }
    world.home.kill_daemon();
    if let Some(mut child) = world.starting.take() {
        child.wait().unwrap();
    }
    world.screen.drain();
    world.points.release(point);

    world.home.start_daemon();
    until("the end of what the killed daemon left", || {
        let left = processes.iter().any(|pid| is_alive(*pid));
        (!left && world.processes().is_empty()).then_some(())
    });
    let mut after = Attached::attach(&world.home, "after", world.screen.id());

    world.check(doing, kept, &after);
    if let Some(turn) = world.turn.clone() {
        world.try_again(doing, &turn, &mut after);
    }
    world.go_on(doing, &mut after);
    if let (Some((_, before)), Some((first, _))) = (world.screen.numbers(), after.numbers()) {
        assert!(first > before, "numbers go up: {before}, then {first}");
    }
}

impl World {
    fn with_a_session(doing: Doing) -> Self {
        let mut home = Home::new(scenario());
        let points = PausePoints::of(&mut home);
        if matches!(doing, Park | Revive) {
            home.set("COPILOTD_PARK_AFTER", "0");
        }
        home.start_daemon();
        let mut screen = Attached::create(&home, SCREEN, json!({}));
        let earlier = screen.prompt("hello");
        screen.trust_folder();
        screen.wait_for_end(&earlier);
        Self {
            home,
            points,
            screen,
            earlier: Some(earlier),
            turn: None,
            call: None,
            request: None,
            input: None,
            starting: None,
        }
    }

    fn get_ready(&mut self, doing: Doing) {
        match doing {
            Starting => self.home.kill_daemon(),
            Recovering => {
                self.be_busy();
                self.home.kill_daemon();
            }
            Spawning => {
                let client = Client::connect(&self.home, SCREEN);
                self.screen = Attached::create_with(client, &self.home, json!({}));
                self.earlier = None;
            }
            Answer(_) | End => self.ask_permission("work"),
            Output => self.ask_permission("long"),
            Queue => self.be_busy(),
            Pop => {
                self.be_busy();
                let rejected = self.screen.dispatch(&queued("queued-1"));
                assert_eq!(rejected, None);
            }
            Revive => {
                self.points.arm("after-park");
                self.leave();
                self.points.wait("after-park");
                self.points.release("after-park");
            }
            Reply => {
                self.turn = Some(self.screen.prompt("ask"));
                self.request = Some(self.screen.wait_for_input());
            }
            Prompt | Rename | Permission | Question | Switch | Park => {}
        }
    }

    fn be_busy(&mut self) {
        self.turn = Some(self.screen.prompt("busy"));
        until("a busy agent", || self.home.read("busy"));
    }

    fn ask_permission(&mut self, prompt: &str) {
        self.turn = Some(self.screen.prompt(prompt));
        let (_, call) = self.screen.wait_for_permission();
        self.call = Some(call.tool_call_id);
    }

    /// Nobody looks at the session any more.
    fn leave(&mut self) {
        for channel in [self.screen.session_channel(), self.screen.chat_channel()] {
            let message =
                json!({"jsonrpc": "2.0", "method": "unsubscribe", "params": {"channel": channel}});
            self.screen.client.send(&message).unwrap();
        }
    }

    /// Makes the daemon do it, without waiting for it.
    fn trigger(&mut self, doing: Doing) {
        match doing {
            Starting | Recovering => {
                let mut command = self.home.command(binary("copilotd"), &["--foreground"]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                self.starting = Some(command.spawn().unwrap());
            }
            Spawning | Prompt | Permission => self.send_prompt("work"),
            Question => self.send_prompt("ask"),
            Rename => {
                let channel = self.screen.session_channel();
                self.send(
                    &channel,
                    &json!({"type": "session/titleChanged", "title": NAME}),
                );
            }
            Reply => {
                let request = self.request.clone().unwrap();
                let asked = &request.questions.as_ref().unwrap()[0];
                let question = serde_json::to_value(asked).unwrap()["id"].clone();
                let channel = self.screen.chat_channel();
                self.send(
                    &channel,
                    &json!({
                        "type": "chat/inputCompleted", "requestId": request.id, "response": "accept",
                        "answers": {question.as_str().unwrap(): {
                            "state": "submitted", "value": {"kind": "text", "value": "blue"},
                        }},
                    }),
                );
            }
            Switch => {
                let channel = self.screen.session_channel();
                self.send(
                    &channel,
                    &json!({"type": "session/configChanged", "config": {"mode": "plan"}}),
                );
            }
            Answer(option) => self.confirm(option),
            Output => self.confirm("allow-once"),
            End => {
                self.confirm("allow-once");
                // That is not what the daemon is killed over.
                self.input = None;
            }
            Queue => {
                let channel = self.screen.chat_channel();
                self.send(&channel, &queued("queued-1"));
            }
            Pop => self.home.write("go", ""),
            Park => self.leave(),
            Revive => {
                let params = json!({"channel": self.screen.session_channel()});
                let request =
                    json!({"jsonrpc": "2.0", "id": 1000, "method": "subscribe", "params": params});
                self.screen.client.send(&request).unwrap();
            }
        }
    }

    fn send(&mut self, channel: &str, action: &Value) {
        self.input = Some(self.screen.client.dispatch(channel, action));
    }

    fn send_prompt(&mut self, text: &str) {
        let turn = self.screen.mint("turn");
        let channel = self.screen.chat_channel();
        self.send(
            &channel,
            &copilot_tests::attached::turn_started(&turn, text),
        );
        self.turn = Some(turn);
    }

    fn confirm(&mut self, option: &str) {
        let (turn, call) = (self.turn.clone().unwrap(), self.call.clone().unwrap());
        let channel = self.screen.chat_channel();
        self.send(&channel, &confirmed(&turn, &call, option));
    }

    /// Everything that belongs to the agents of this home, by its marks.
    fn processes(&self) -> Vec<u32> {
        let state = self.home.path().join("data/agent");
        let mut found = with_environment("COPILOT_AGENT_STATE_DIR", &state.display().to_string());
        found.extend(of_session(self.screen.id()));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn runs(&self) -> usize {
        self.home.read("runs").unwrap_or_default().lines().count()
    }

    /// What must hold as soon as the next daemon runs.
    fn check(&self, doing: Doing, kept: Kept, after: &Attached) {
        let all = after.describe();
        let chat = after.chat();
        assert!(chat.active_turn.is_none(), "nothing runs by itself\n{all}");
        assert!(open_permission(chat).is_none(), "{all}");
        assert!(open_input(chat).is_none(), "{all}");
        if let Some(earlier) = &self.earlier {
            let earlier = turn_of(after, earlier).expect("the earlier turn is there");
            assert_eq!(earlier.state, TurnState::Complete, "{all}");
            assert_eq!(spoken(&earlier.response_parts), "Hello.");
        }

        let turn = self.turn.as_deref().and_then(|id| turn_of(after, id));
        let queue = chat.queued_messages.as_deref().unwrap_or_default();
        let answer = self
            .call
            .as_ref()
            .map(|call| after.meta()["copilot.answers"][call].clone());
        let happened = match doing {
            Spawning | Prompt => turn.is_some(),
            Rename => after.session().title == NAME,
            Switch => mode_of(after.session()) == "plan",
            Reply => !after.meta()["copilot.answers"][&self.request.as_ref().unwrap().id].is_null(),
            Answer(_) => answer.as_ref().is_some_and(|answer| !answer.is_null()),
            End => turn.is_some_and(|turn| turn.state == TurnState::Complete),
            Queue => !queue.is_empty(),
            Pop => queue.is_empty(),
            _ => true,
        };
        match kept {
            Yes => assert!(happened, "{doing:?} was kept\n{all}"),
            No => assert!(!happened, "{doing:?} was not kept\n{all}"),
            Perhaps => {}
        }
        let acknowledged = self
            .input
            .is_some_and(|input| self.screen.echo(input) == Some(Ok(())));
        assert!(
            happened || !acknowledged,
            "what was acknowledged is there\n{all}"
        );
        if let (Answer(option), Some(call)) = (doing, &self.call) {
            let recorded = self.decisions(call);
            let expected = if happened {
                vec![json!(option)]
            } else {
                Vec::new()
            };
            assert_eq!(
                recorded, expected,
                "the audit has what was kept, once\n{all}"
            );
        }

        match doing {
            Starting | Switch | Park | Revive => {
                assert_eq!(chat.turns.len(), 1, "{all}");
            }
            Rename => assert_eq!(after.session().title, if happened { NAME } else { "hello" }),
            Spawning | Prompt => {
                if happened {
                    interrupted(turn, "work", &all);
                }
                assert_eq!(self.runs(), 0, "the command was never asked for");
            }
            Permission => {
                interrupted(turn, "work", &all);
                assert_eq!(self.runs(), 0, "the command was not allowed");
            }
            Question | Reply => interrupted(turn, "ask", &all),
            Answer(option) => {
                interrupted(turn, "work", &all);
                if happened {
                    answered(turn, answer.as_ref(), option, &all);
                }
                // The daemon was killed before the agent had a chance to read it.
                assert_eq!(self.runs(), 0);
            }
            Output => {
                interrupted(turn, "long", &all);
                answered(turn, answer.as_ref(), "allow-once", &all);
                assert_eq!(self.runs(), 1);
            }
            End => {
                if !happened {
                    interrupted(turn, "work", &all);
                }
                answered(turn, answer.as_ref(), "allow-once", &all);
                assert_eq!(self.runs(), 1);
            }
            Recovering | Queue => interrupted(turn, "busy", &all),
            Pop => {
                if happened {
                    let popped = turn_of(after, "queued-1");
                    interrupted(popped, "later", &all);
                    let busy = turn.expect("the turn before it is there");
                    assert_eq!(busy.state, TurnState::Complete, "{all}");
                } else {
                    interrupted(turn, "busy", &all);
                }
            }
        }
    }

    /// What the audit says was decided about a tool call.
    fn decisions(&self, call: &str) -> Vec<Value> {
        self.home.copilot(&["audit", "verify"]).expect_code(0);
        let run = self.home.copilot(&["audit", "--json"]);
        run.expect_code(0);
        let decided = |r: &Value| r["event"] == "permission-decided" && r["request"] == call;
        let records = run.json_lines().into_iter();
        records
            .filter(decided)
            .map(|r| r["choice"].clone())
            .collect()
    }

    /// A client that does not know what became of its input sends it once more.
    fn try_again(&self, doing: Doing, turn: &str, after: &mut Attached) {
        let runs = self.runs();
        if turn_of(after, turn).is_some() {
            let again = after.dispatch(&copilot_tests::attached::turn_started(turn, "work"));
            let reason = again.expect("a prompt that is there is not taken again");
            assert!(reason.starts_with("duplicate:"), "{reason}");
        }
        if let (Answer(option), Some(call)) = (doing, &self.call) {
            let again = after.confirm(turn, call, option);
            assert!(again.is_some(), "an answer to nothing is rejected");
        }
        assert!(after.chat().active_turn.is_none());
        assert_eq!(self.runs(), runs);
    }

    /// People go on: with the interrupted turn, or with something else.
    fn go_on(&self, doing: Doing, after: &mut Attached) {
        let mut runs = self.runs();
        // After that the queue would go on by itself.
        let queues = matches!(doing, Queue | Pop);
        let turn = self.turn.clone().filter(|id| {
            !queues && turn_of(after, id).is_some_and(|turn| turn.state == TurnState::Error)
        });
        if let Some(turn) = turn {
            let rejected = after.dispatch(&json!({"type": "chat/turnResume", "turnId": turn}));
            assert_eq!(rejected, None);
            let answered = doing == Reply
                && !after.meta()["copilot.answers"][&self.request.as_ref().unwrap().id].is_null();
            let last_words = match doing {
                Spawning | Prompt | Permission | Answer(_) | End => {
                    // The agent may never have had the prompt, and has it now. What it wants to run
                    // may have run, so that a yes of before is not taken for another one.
                    let (_, call) = after.wait_for_permission();
                    assert_eq!(after.confirm(&turn, &call.tool_call_id, "allow-once"), None);
                    runs += 1;
                    "Gone on with it."
                }
                Reply if answered => "Blue it is.",
                _ => "Gone on.",
            };
            let ended = after.wait_for_end(&turn);
            assert_eq!(ended.state, TurnState::Complete, "{ended:?}");
            assert!(
                spoken(&ended.response_parts).ends_with(last_words),
                "{ended:?}"
            );
        }
        let queued = after.chat().queued_messages.clone().unwrap_or_default();
        let next = after.prompt("again");
        let ended = after.wait_for_end(&next);
        assert_eq!(ended.state, TurnState::Complete, "{ended:?}");
        assert_eq!(spoken(&ended.response_parts), "Still here.");
        for waiting in queued {
            let ended = after.wait_for_end(&waiting.id);
            assert_eq!(spoken(&ended.response_parts), "Now it is later.");
        }
        assert_eq!(self.runs(), runs, "nothing of before ran again");
        let mut ids: Vec<_> = after.chat().turns.iter().map(|turn| &turn.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(
            ids.len(),
            count,
            "no turn is there twice\n{}",
            after.describe()
        );
    }
}

fn queued(id: &str) -> Value {
    json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": id, "message": message("later")})
}

fn turn_of<'a>(screen: &'a Attached, id: &str) -> Option<&'a Turn> {
    screen.chat().turns.iter().find(|turn| turn.id == id)
}

/// The turn is there and says, once, that it was interrupted and can go on.
#[track_caller]
fn interrupted(turn: Option<&Turn>, text: &str, all: &str) {
    let turn = turn.unwrap_or_else(|| panic!("the turn is there\n{all}"));
    assert_eq!(turn.message.text, text);
    assert_eq!(turn.state, TurnState::Error, "{all}");
    let errors: Vec<_> = turn
        .response_parts
        .iter()
        .filter_map(|part| match part {
            ResponsePart::Error(part) => Some((part.error.error_type.as_str(), part.resumable)),
            _ => None,
        })
        .collect();
    assert_eq!(errors, [("interrupted", Some(true))], "{all}");
}

/// The tool call says who answered what.
#[track_caller]
fn answered(turn: Option<&Turn>, remembered: Option<&Value>, option: &str, all: &str) {
    let remembered = remembered.expect("an answer");
    assert_eq!(remembered["choice"], json!(option), "{all}");
    assert_eq!(remembered["by"]["name"], json!(SCREEN), "{all}");
    let parts = serde_json::to_value(&turn.expect("a turn").response_parts).unwrap();
    let call = parts
        .as_array()
        .unwrap()
        .iter()
        .find_map(|part| part.get("toolCall"))
        .unwrap_or_else(|| panic!("a tool call\n{all}"));
    let by = &call["_meta"]["copilot.answeredBy"];
    assert_eq!(by["name"], json!(SCREEN), "{all}");
    assert_eq!(by["choice"], json!(option), "{all}");
}
