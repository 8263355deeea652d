//! A paired device beside a terminal: how fast one sees what the other does, and how soon an agent
//! goes on after an answer from the device. Through a real relay on loopback, without TLS.

use std::time::{Duration, Instant};

use copilot_tests::attached::{Attached, answered, confirmed, open_input, open_permission};
use copilot_tests::remote::Relay;
use copilot_tests::{Home, Remote, Scenario, say, tool};
use serde_json::json;

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
    answers(&home, &mut local, &mut phone, "");
    permissions(&home, &mut local, &mut phone, "");

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
    answers(&home, &mut local, &mut phone, &beside);
    permissions(&home, &mut local, &mut phone, &beside);
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

/// From an answer on the device until the agent goes on, and until it asks its next question.
fn answers(home: &Home, local: &mut Attached, phone: &mut Attached, beside: &str) {
    let turn = phone.prompt("ask");
    let made = Made::watch(home);
    let mut goes_on = Vec::new();
    let mut asks_again = Vec::new();
    let mut next = wait_for_question(local, 0);
    for round in 1..=ANSWERS {
        wait_for_question(phone, round - 1);
        let begin = Instant::now();
        let answer = answered(&next.0, &next.1, "yes");
        let seq = phone.client.dispatch(&phone.chat_channel(), &answer);
        made.wait(&reached(round - 1));
        goes_on.push(begin.elapsed());
        if round < ANSWERS {
            next = wait_for_question(local, round);
            asks_again.push(begin.elapsed());
        }
        assert_eq!(phone.outcome(seq), None);
    }
    phone.wait_for_end(&turn);
    times(
        &format!("an answer on a device to the agent going on{beside}"),
        goes_on,
    );
    times(&format!("… and to its next question{beside}"), asks_again);
    for round in 0..ANSWERS {
        std::fs::remove_file(home.project().join(reached(round))).expect("the agent went on");
    }
}

/// Sees files come into being in the project, as the kernel tells it.
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
            if event.paths.iter().any(|path| path.ends_with(name)) {
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

/// From a yes on the device until the agent has written the file, which it flushes to the disk, and
/// until it asks about the next one.
fn permissions(home: &Home, local: &mut Attached, phone: &mut Attached, beside: &str) {
    let turn = phone.prompt("write");
    let made = Made::watch(home);
    let mut goes_on = Vec::new();
    let mut asks_again = Vec::new();
    let mut call = wait_for_file(local, 0);
    for round in 1..=ANSWERS {
        wait_for_file(phone, round - 1);
        let begin = Instant::now();
        let yes = confirmed(&turn, &call, "allow-once");
        let seq = phone.client.dispatch(&phone.chat_channel(), &yes);
        made.wait(&file(round - 1));
        goes_on.push(begin.elapsed());
        if round < ANSWERS {
            call = wait_for_file(local, round);
            asks_again.push(begin.elapsed());
        }
        assert_eq!(phone.outcome(seq), None);
    }
    phone.wait_for_end(&turn);
    for round in 0..ANSWERS {
        std::fs::remove_file(home.project().join(file(round))).expect("the file was written");
    }
    times(
        &format!("a yes on a device to the file written and on disk{beside}"),
        goes_on,
    );
    times(&format!("… and to its next request{beside}"), asks_again);
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
