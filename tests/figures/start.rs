//! What a person waits for: a verb, and the first screen of an attach.

use std::time::Instant;

use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, say};
use serde_json::json;

use crate::measure::times;

pub(crate) fn a_verb_and_an_attach() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello to you.")]));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("hello");
    screen.trust_folder();
    screen.wait_for_end(&turn);
    let verb = |_| {
        let begin = Instant::now();
        home.copilot(&["sessions", "list", "--json"]).expect_code(0);
        begin.elapsed()
    };
    times("copilot sessions list --json", (0..40).map(verb).collect());
    let id = screen.id().to_owned();
    let attach = |_| {
        let begin = Instant::now();
        let terminal = home.terminal(&["attach", &id]);
        terminal.wait_for_text("Hello to you.");
        let time = begin.elapsed();
        terminal.kill();
        time
    };
    times("attach to the first screen", (0..20).map(attach).collect());
}
