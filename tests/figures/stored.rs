//! What sessions cost that nobody uses, and what a long one costs to look at.

use std::time::Instant;

use copilot_tests::attached::Attached;
use copilot_tests::{Client, Home, Scenario, say, until};
use serde_json::json;

use crate::measure::{figure, mib, times};
use crate::rest::watch;

const SESSIONS: usize = 1000;
const TURNS: usize = 5000;

pub(crate) fn a_thousand_sessions_and_five_thousand_turns() {
    let home = Home::new(Scenario::new().on("turn", [say("Said.")]));
    home.start_daemon();
    restart(&home);
    let without = watch(&home, "nothing stored");

    let mut client = Client::connect(&home, "many");
    for _ in 0..SESSIONS {
        let mut session = Attached::create_with(client, &home, json!({}));
        let channel = session.session_channel();
        let title = json!({"type": "session/titleChanged", "title": "One of a thousand"});
        let seq = session.client.dispatch(&channel, &title);
        assert_eq!(session.outcome(seq), None);
        client = session.client;
    }
    drop(client);
    restart(&home);
    let with = watch(&home, "a thousand stored sessions");
    let added = with.saturating_sub(without);
    figure("a thousand stored sessions add", &mib(added));

    let mut long = Attached::create(&home, "long", json!({}));
    let first = long.prompt("turn 0");
    long.trust_folder();
    long.wait_for_end(&first);
    for number in 1..TURNS {
        let turn = long.prompt(&format!("turn {number}"));
        long.wait_for_end(&turn);
    }
    let id = long.id().to_owned();
    drop(long);
    let newest = format!("turn {}", TURNS - 1);
    let attach = |stop_first: bool| {
        if stop_first {
            restart(&home);
        }
        let begin = Instant::now();
        let terminal = home.terminal(&["attach", &id]);
        terminal.wait_for_text(&newest);
        let time = begin.elapsed();
        terminal.kill();
        time
    };
    let from_memory = (0..10).map(|_| attach(false)).collect();
    times("attach to 5,000 turns, in memory", from_memory);
    let from_store = (0..5).map(|_| attach(true)).collect();
    times("attach to 5,000 turns, from the store", from_store);
}

/// Another daemon, when the one before is gone.
fn restart(home: &Home) {
    home.copilot(&["daemon", "stop"]).expect_code(0);
    until("the end of the daemon", || {
        home.daemons().is_empty().then_some(())
    });
    home.start_daemon();
}
