//! Clients beside each other: how fast one sees another, and what a slow one costs the others.

use std::time::{Duration, Instant};

use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, SlowClients, peak_memory_bytes, say};
use serde_json::json;

use crate::measure::{echo, figure, mib, ms, times};

/// What the agent says while somebody is slow, in bytes.
const SAID: usize = 4 * 1024 * 1024;

pub(crate) fn an_action_to_another_terminal() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let mut from = Attached::create(&home, "from", json!({}));
    let mut to = Attached::attach(&home, "to", from.id());
    let all = (0..500).map(|round| echo(&mut from, &mut to, round));
    times("an action to another terminal", all.collect());
}

pub(crate) fn slow_clients_beside_others() {
    let (turn_alone, echo_alone) = a_long_turn(false);
    let (turn_beside, echo_beside) = a_long_turn(true);
    let ratio = |with: Duration, without: Duration| {
        format!(
            "{} with slow clients, {} without: {:.2} times",
            ms(with),
            ms(without),
            with.as_secs_f64() / without.as_secs_f64()
        )
    };
    figure("a turn of 4 MiB", &ratio(turn_beside, turn_alone));
    figure(
        "echo to another terminal, median",
        &ratio(echo_beside, echo_alone),
    );
}

/// How long a turn with a lot of text takes, and the echo to another terminal meanwhile.
fn a_long_turn(beside_slow_clients: bool) -> (Duration, Duration) {
    let line = "word ".repeat(200);
    let repeat = SAID / line.len();
    let home = Home::new(
        Scenario::new()
            .on("hello", [say("Hello.")])
            .on("talk", [json!({"say": line, "repeat": repeat})]),
    );
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let first = screen.prompt("hello");
    screen.trust_folder();
    screen.wait_for_end(&first);
    let mut quiet = Attached::create(&home, "quiet", json!({}));
    let mut other = Attached::attach(&home, "other", quiet.id());
    let slow = beside_slow_clients.then(|| SlowClients::beside(&home, screen.id()));

    let begin = Instant::now();
    let turn = screen.prompt("talk");
    let mut echoes = Vec::new();
    while !screen.chat().turns.iter().any(|ended| ended.id == turn) {
        echoes.push(echo(&mut quiet, &mut other, echoes.len()));
        screen.catch_up().expect("the daemon is there");
    }
    let time = begin.elapsed();
    let what = match &slow {
        Some(_) => "with slow clients",
        None => "without slow clients",
    };
    let median = times(&format!("echo {what}"), echoes);
    let peak = peak_memory_bytes(home.daemon());
    figure(
        &format!("most memory {what}"),
        &format!("{} resident", mib(peak)),
    );
    drop(slow);
    (time, median)
}
