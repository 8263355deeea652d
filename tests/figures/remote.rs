//! A paired device beside a terminal: how fast one sees what the other does, and how soon an agent
//! goes on after an answer from the device. Through a real relay on loopback, without TLS.

use std::time::{Duration, Instant};

use copilot_tests::attached::{Attached, answered, confirmed, open_input, open_permission};
use copilot_tests::remote::Relay;
use copilot_tests::{Home, Remote, Scenario, say, tool};
use serde_json::{Value, json};

use crate::measure::{activity, echo, figure, times};

/// Actions that are measured.
const ROUNDS: usize = 500;
/// Answers that are measured, in one turn.
const ANSWERS: usize = 100;
/// Sessions that stream beside the one that is measured, and their pace in words.
const OTHERS: usize = 20;
const PACE_MS: u64 = 25;
/// How long a link is watched that has nothing to carry.
const WATCHED: Duration = Duration::from_secs(120);
const SETTLED: Duration = Duration::from_secs(5);

/// A home that devices reach through a relay.
fn reachable(scenario: Scenario) -> (Home, Relay) {
    let home = Home::new(scenario);
    home.write_settings(
        r#"{"remoteSessions": true, "remote": {"requireGithubRepository": false}}"#,
    );
    home.start_daemon();
    let relay = Relay::start(&home);
    Remote::of(&home).join(&relay);
    (home, relay)
}

/// A session, as a terminal and as a device have it.
fn seen_by_both(home: &Home) -> (Attached, Attached) {
    let local = Attached::create(home, "terminal", json!({}));
    let device = Remote::of(home).pair("phone");
    let phone = Attached::subscribe(device.client(), local.id());
    (local, phone)
}

pub(crate) fn an_action_to_a_device() {
    let (home, _relay) = reachable(Scenario::new());
    let (mut local, mut phone) = seen_by_both(&home);
    let all = (0..ROUNDS).map(|round| echo(&mut local, &mut phone, round));
    times("an action of a terminal to a device", all.collect());
    let all = (ROUNDS..2 * ROUNDS).map(|round| echo(&mut phone, &mut local, round));
    times("an action of a device to a terminal", all.collect());
}

pub(crate) fn an_answer_of_a_device() {
    let choices = ["yes", "no"];
    let asks = (0..ANSWERS).flat_map(|round| {
        let input = json!({"question": question(round), "choices": choices});
        [
            tool("ask_user", input),
            json!({"write_file": reached(round)}),
        ]
    });
    let writes = (0..ANSWERS).map(|round| {
        tool(
            "create",
            json!({"path": file(round), "content": "One line.\n"}),
        )
    });
    let words = "word ".repeat(40);
    let (home, _relay) = reachable(
        Scenario::new()
            .on("ask", asks.chain([say("Asked.")]))
            .on("write", writes.chain([say("Written.")]))
            .on("talk", [json!({"say": words, "repeat": 1_000_000})])
            .with_pace_ms(PACE_MS),
    );
    let (mut local, mut phone) = seen_by_both(&home);
    let first = phone.prompt("hello");
    local.trust_folder();
    phone.wait_for_end(&first);
    rounds(&home, &mut local, &mut phone, &QUESTIONS, "");
    rounds(&home, &mut local, &mut phone, &PERMISSIONS, "");

    let mut others: Vec<Attached> = (0..OTHERS)
        .map(|_| Attached::create(&home, "another", json!({})))
        .collect();
    for other in &mut others {
        other.prompt("talk");
    }
    for other in &mut others {
        other.wait("its words", |_, chat| {
            let turn = chat.active_turn.as_ref()?;
            (!turn.response_parts.is_empty()).then_some(())
        });
    }
    // Clients of the figures themselves shall not be what is measured: the daemon streams to
    // nobody but keeps everything.
    drop(others);
    let beside = format!(", beside {OTHERS} sessions that stream");
    rounds(&home, &mut local, &mut phone, &QUESTIONS, &beside);
    rounds(&home, &mut local, &mut phone, &PERMISSIONS, &beside);
}

/// What the agent makes when it has the answer.
fn reached(round: usize) -> String {
    format!("reached-{round}")
}

fn question(round: usize) -> String {
    format!("Number {round}?")
}

fn file(round: usize) -> String {
    format!("file-{round}")
}

/// One turn in which a device gives the answer to whatever is asked, a hundred times: from each
/// answer until the agent has made the file of that round, and until it asks again.
fn rounds<T>(
    home: &Home,
    local: &mut Attached,
    phone: &mut Attached,
    what: &Asks<T>,
    beside: &str,
) {
    let turn = phone.prompt(what.prompt);
    let made = Made::watch(home);
    let mut goes_on = Vec::new();
    let mut asks_again = Vec::new();
    let mut open = (what.wait)(local, 0);
    for round in 0..ANSWERS {
        (what.wait)(phone, round);
        let begin = Instant::now();
        let answer = (what.answer)(&turn, &open);
        let seq = phone.client.dispatch(&phone.chat_channel(), &answer);
        made.wait(&(what.makes)(round));
        goes_on.push(begin.elapsed());
        if round + 1 < ANSWERS {
            open = (what.wait)(local, round + 1);
            asks_again.push(begin.elapsed());
        }
        assert_eq!(phone.outcome(seq), None);
    }
    phone.wait_for_end(&turn);
    times(&format!("{}{beside}", what.figure), goes_on);
    times(&format!("… and to what it asks next{beside}"), asks_again);
    for round in 0..ANSWERS {
        let file = home.project().join((what.makes)(round));
        std::fs::remove_file(file).expect("the agent went on");
    }
}

/// What [`rounds`] asks about.
struct Asks<T> {
    prompt: &'static str,
    figure: &'static str,
    /// Waits until a screen shows what is asked in a round.
    wait: fn(&mut Attached, usize) -> T,
    /// The action that answers it, in this turn.
    answer: fn(&str, &T) -> Value,
    /// The file that the agent makes then.
    makes: fn(usize) -> String,
}

const QUESTIONS: Asks<(String, String)> = Asks {
    prompt: "ask",
    figure: "an answer on a device to the agent going on",
    wait: wait_for_question,
    answer: |_, (request, question)| answered(request, question, "yes"),
    makes: reached,
};

const PERMISSIONS: Asks<String> = Asks {
    prompt: "write",
    figure: "a yes on a device to the agent writing the file",
    wait: wait_for_file,
    answer: |turn, call| confirmed(turn, call, "allow-once"),
    makes: file,
};

/// Sees files begin to be in the project, as the kernel tells it.
struct Made {
    events: std::sync::mpsc::Receiver<notify::Result<notify::Event>>,
    _watcher: notify::RecommendedWatcher,
}

impl Made {
    fn watch(home: &Home) -> Self {
        let (sender, events) = std::sync::mpsc::channel();
        let mut watcher = notify::recommended_watcher(sender).expect("files can be watched");
        let folder = home.project();
        notify::Watcher::watch(&mut watcher, &folder, notify::RecursiveMode::NonRecursive)
            .expect("the project can be watched");
        Self {
            events,
            _watcher: watcher,
        }
    }

    fn wait(&self, name: &str) {
        loop {
            let event = self.events.recv_timeout(copilot_tests::DEADLINE);
            let event = event.expect("something happens").expect("an event");
            // A tool writes beside a file first, under a name that begins with the file's.
            let beside = format!(".{name}.");
            let is_it = |path: &std::path::PathBuf| {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                file == name || file.starts_with(&beside)
            };
            if event.paths.iter().any(is_it) {
                return;
            }
        }
    }
}

/// The request and the question with this number, once it is asked.
fn wait_for_question(screen: &mut Attached, round: usize) -> (String, String) {
    let words = question(round);
    screen.wait(&words, |_, chat| {
        let request = open_input(chat)?;
        let asked = serde_json::to_value(request.questions.as_ref()?.first()?).ok()?;
        let is_it = request.message.as_deref() == Some(&words) || asked["message"] == words;
        is_it.then(|| Some((request.id, asked["id"].as_str()?.to_owned())))?
    })
}

/// The call that writes the file with this number, once somebody is asked about it.
fn wait_for_file(screen: &mut Attached, round: usize) -> String {
    let name = file(round);
    screen.wait(&name, |_, chat| {
        let (_, call) = open_permission(chat)?;
        let asked = call.options.is_some_and(|options| !options.is_empty());
        let path = serde_json::to_value(&call.tool_input).ok()?.to_string();
        let is_it = path.trim_matches('"').ends_with(&format!("/{name}"));
        (asked && is_it).then_some(call.tool_call_id)
    })
}

pub(crate) fn a_link_at_rest() {
    let (home, _relay) = reachable(Scenario::new());
    drop(seen_by_both(&home));
    let pid = home.daemon();
    // What pairing left to do is done.
    std::thread::park_timeout(SETTLED);
    let (wake_ups, ticks) = activity(pid);
    std::thread::park_timeout(WATCHED);
    let (wake_ups_after, ticks_after) = activity(pid);
    figure(
        "a link that is up and carries nothing",
        &format!(
            "{:.3} wake-ups a second, {} clock ticks in {WATCHED:?}",
            wake_ups_after.saturating_sub(wake_ups) as f64 / WATCHED.as_secs_f64(),
            ticks_after - ticks
        ),
    );
}
