//! What scripts depend on: exit codes, and data on stdout only.

use copilot_tests::{Home, Scenario, say};
use serde_json::json;

#[test]
fn a_command_that_makes_no_sense_exits_2() {
    let home = Home::new(Scenario::new());
    for arguments in [
        &["--no-such-flag"][..],
        &["sessions"],
        &["answer", "abcd"],
        &["-s", "hi"],
    ] {
        let run = home.copilot(arguments);
        run.expect_code(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:?}");
    }
    assert!(home.daemons().is_empty(), "none of these needs a daemon");
}

#[test]
fn a_session_that_does_not_exist_exits_1_and_is_named() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    for arguments in [
        &["sessions", "show", "no-such-session"][..],
        &["sessions", "close", "no-such-session"],
        &["sessions", "delete", "no-such-session"],
        &["attach", "no-such-session", "--json"],
        &["send", "no-such-session", "hi"],
        &["cancel", "no-such-session"],
        &["answer", "no-such-session", "next", "yes"],
    ] {
        let run = home.copilot(arguments);
        run.expect_code(1);
        assert!(run.stderr.starts_with("error: "), "{run:?}");
        assert!(run.stderr.contains("no-such-session"), "{run:?}");
        assert!(run.stdout.is_empty(), "{run:?}");
    }
}

#[test]
fn an_interactive_session_without_a_terminal_is_refused_with_the_way_out() {
    let home = Home::new(Scenario::new());
    let run = home.copilot(&["-i", "hello"]);
    assert!([1, 2].contains(&run.code), "{run:?}");
    assert!(run.stderr.contains("-p"), "{run:?}");
}

#[test]
fn the_status_of_a_daemon_that_does_not_run_exits_3_and_starts_none() {
    let home = Home::new(Scenario::new());
    home.copilot(&["daemon", "status"]).expect_code(3);
    assert!(home.daemons().is_empty());
    home.start_daemon();
    let run = home.copilot(&["daemon", "status", "--json"]);
    run.expect_code(0);
    assert_eq!(run.json()["pid"], json!(home.daemons()[0]));
    home.copilot(&["daemon", "stop"]).expect_code(0);
    copilot_tests::until("the end of the daemon", || {
        home.daemons().is_empty().then_some(())
    });
}

#[test]
fn a_short_prefix_and_the_title_name_a_session_and_deleting_removes_it() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello.")]));
    home.copilot(&["-p", "hello", "-s"]).expect_code(0);
    let id = home.only_session();
    for name in [&id[..4], "hello"] {
        let run = home.copilot(&["sessions", "show", name, "--json"]);
        run.expect_code(0);
        assert!(run.stdout.contains(&id), "{run:?}");
    }
    home.copilot(&["sessions", "delete", &id[..8]])
        .expect_code(0);
    assert!(home.sessions().is_empty());
}

#[test]
fn no_colour_reaches_a_pipe() {
    let home = Home::new(Scenario::new().on("hello", [say("**Hello**.")]));
    let runs = [
        home.copilot(&["-p", "hello"]),
        home.copilot(&["sessions", "list", "--all"]),
        home.copilot(&["sessions", "show", &home.only_session()]),
        home.copilot(&["--help"]),
    ];
    for run in runs {
        run.expect_code(0);
        assert!(
            !run.stdout.contains('\x1b') && !run.stderr.contains('\x1b'),
            "{run:?}"
        );
    }
}
