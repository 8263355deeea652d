//! Cancelling and closing end everything that belongs to it.

use std::time::{Duration, Instant};

use ahp_types::state::TurnState;
use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, of_session, say, tool, until, with_environment};
use serde_json::json;

/// Ignores being asked to end, and has a grandchild that left its session and
/// ignores it too. Both carry a mark to find them by.
const STUBBORN: &str = "trap '' TERM INT HUP; \
    MARK=stubborn setsid bash -c 'trap \"\" TERM INT HUP; touch grandchild; while :; do read -t 1 <> <(:) || :; done' & \
    touch child; while :; do read -t 1 <> <(:) || :; done";

#[test]
fn a_command_that_ignores_signals_and_its_grandchildren_are_gone_within_three_seconds() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool("shell", json!({"command": STUBBORN})),
            say("never said"),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("run it");
    screen.trust_folder();
    until("the command and its grandchild", || {
        (home.read("child").is_some() && home.read("grandchild").is_some()).then_some(())
    });
    let marked = with_environment("MARK", "stubborn")
        .into_iter()
        .filter(|pid| of_session(screen.id()).contains(pid))
        .collect::<Vec<_>>();
    assert!(!marked.is_empty(), "the grandchild runs");

    let asked = Instant::now();
    home.copilot(&["cancel", screen.id()]).expect_code(0);
    until("the end of the grandchild", || {
        marked
            .iter()
            .all(|pid| !copilot_tests::is_alive(*pid))
            .then_some(())
    });
    let took = asked.elapsed();
    // Three seconds at the latest; the rest is for a machine that does other things.
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    let ended = screen.wait_for_end(&turn);
    assert_eq!(ended.state, TurnState::Cancelled);
}

#[test]
fn the_session_goes_on_after_a_cancel() {
    let home = Home::new(
        Scenario::new()
            .on(
                "run",
                [tool(
                    "shell",
                    json!({"command": "touch started; exec sleep 600"}),
                )],
            )
            .on("more", [say("Going on.")]),
    );
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("run it");
    screen.trust_folder();
    until("the command", || home.read("started"));
    home.copilot(&["sessions", "stop", screen.id()])
        .expect_code(0);
    assert_eq!(screen.wait_for_end(&turn).state, TurnState::Cancelled);
    let turn = screen.prompt("more");
    assert_eq!(screen.wait_for_end(&turn).state, TurnState::Complete);
}

#[test]
fn cancelling_an_open_permission_closes_it_for_everyone() {
    let home = Home::new(Scenario::new().on(
        "write",
        [
            tool("shell", json!({"command": "touch written"})),
            say("never said"),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("write it");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    home.copilot(&["cancel", screen.id()]).expect_code(0);
    assert_eq!(screen.wait_for_end(&turn).state, TurnState::Cancelled);
    home.copilot(&["answer", screen.id(), &call.tool_call_id, "allow-once"])
        .expect_code(1);
    assert_eq!(home.read("written"), None);
}

#[test]
fn nothing_of_a_session_is_left_after_it_was_closed() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool("shell", json!({"command": STUBBORN})),
            say("never said"),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    screen.prompt("run it");
    screen.trust_folder();
    until("the command and its grandchild", || {
        (home.read("child").is_some() && home.read("grandchild").is_some()).then_some(())
    });
    assert!(
        of_session(screen.id()).len() >= 3,
        "agent, child, grandchild"
    );
    home.copilot(&["sessions", "close", screen.id()])
        .expect_code(0);
    until("the end of everything of the session", || {
        of_session(screen.id()).is_empty().then_some(())
    });
}

#[test]
fn nothing_is_left_after_the_daemon_was_stopped() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool("shell", json!({"command": STUBBORN})),
            say("never said"),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    screen.prompt("run it");
    screen.trust_folder();
    until("the command and its grandchild", || {
        (home.read("child").is_some() && home.read("grandchild").is_some()).then_some(())
    });
    home.copilot(&["daemon", "stop", "--force"]).expect_code(0);
    until("the end of the daemon and all its sessions", || {
        (home.daemons().is_empty() && of_session(screen.id()).is_empty()).then_some(())
    });
}
