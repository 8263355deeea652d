//! A command that prints without end, and a session beside it.

use std::time::Instant;

use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, peak_memory_bytes, say, tool};
use serde_json::json;

use crate::measure::{echo, figure, mib, times};

pub(crate) fn a_command_that_prints_200_mib() {
    let home = Home::new(Scenario::new().on(
        "flood",
        [
            tool(
                "shell",
                json!({"command": "yes | head -c 200M", "timeout_ms": 600_000}),
            ),
            say("Printed."),
        ],
    ));
    home.start_daemon();
    let mut loud = Attached::create(&home, "loud", json!({"allowAllTools": true}));
    let mut quiet = Attached::create(&home, "quiet", json!({}));
    let mut other = Attached::attach(&home, "other", quiet.id());
    let undisturbed = (0..200).map(|round| echo(&mut quiet, &mut other, round));
    times("echo in a second session before", undisturbed.collect());

    let begin = Instant::now();
    let turn = loud.prompt("flood");
    loud.trust_folder();
    let mut disturbed = Vec::new();
    while !loud.chat().turns.iter().any(|ended| ended.id == turn) {
        disturbed.push(echo(&mut quiet, &mut other, 1000 + disturbed.len()));
        loud.catch_up().expect("the daemon is there");
    }
    let seconds = begin.elapsed().as_secs_f64();
    figure("200 MiB printed in", &format!("{seconds:.1} s"));
    times("echo in a second session meanwhile", disturbed);
    let peak = peak_memory_bytes(home.daemon());
    figure(
        "most memory of the daemon",
        &format!("{} resident", mib(peak)),
    );
}
