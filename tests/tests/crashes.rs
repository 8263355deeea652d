//! What breaks, breaks alone.

use copilot_tests::attached::{Attached, errors, spoken};
use copilot_tests::{Home, Scenario, is_alive, of_session, say, tool, until};
use serde_json::json;

/// A shell command that goes on when the test says so.
fn wait_for_file(name: &str) -> serde_json::Value {
    tool(
        "shell",
        json!({"command": format!("until [ -e {name} ]; do read -t 0.02 <> <(:) || :; done")}),
    )
}

#[test]
fn a_turn_outlives_a_terminal_that_is_killed() {
    let home = Home::new(Scenario::new().on(
        "work",
        [
            say("Beginning. "),
            wait_for_file("go"),
            say("The end of the work."),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    screen.prompt("work please");
    screen.trust_folder();
    let terminal = home.terminal(&["attach", screen.id()]);
    terminal.wait_for_text("Beginning.");
    let id = screen.id().to_owned();
    drop(screen);
    terminal.kill();
    home.write("go", "");
    let mut later = home.terminal(&["attach", &id]);
    later.wait_for_text("The end of the work.");
    later.send("\x04");
    assert_eq!(later.wait(), 0);
}

#[test]
fn a_killed_agent_is_an_error_in_its_session_and_the_next_prompt_works() {
    let home = Home::new(
        Scenario::new()
            .on("work", [wait_for_file("never")])
            .on("again", [say("Here I am again.")]),
    );
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("work please");
    screen.trust_folder();
    let pid = screen.wait("the agent's process", |session, _| {
        session
            .meta
            .as_ref()?
            .get("copilot.agent")?
            .get("pid")?
            .as_u64()
    });
    screen.wait("the running command", |_, chat| {
        serde_json::to_string(chat)
            .unwrap()
            .contains("\"running\"")
            .then_some(())
    });
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let ended = screen.wait_for_end(&turn);
    assert!(!errors(&ended.response_parts).is_empty(), "{ended:?}");
    until("the end of what the agent had started", || {
        of_session(screen.id()).is_empty().then_some(())
    });

    let turn = screen.prompt("again please");
    let ended = screen.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "Here I am again.");
}

#[test]
fn a_crash_in_one_session_does_not_disturb_another() {
    let home = Home::new(
        Scenario::new()
            .on("hang", [wait_for_file("never")])
            .on("speak", [wait_for_file("go"), say("Undisturbed.")]),
    );
    home.start_daemon();
    let mut first = Attached::create(&home, "first", json!({"allowAllTools": true}));
    let first_turn = first.prompt("hang");
    first.trust_folder();
    let mut second = Attached::create(&home, "second", json!({"allowAllTools": true}));
    let second_turn = second.prompt("speak");
    for screen in [&mut first, &mut second] {
        screen.wait("the running command", |_, chat| {
            serde_json::to_string(chat)
                .unwrap()
                .contains("\"running\"")
                .then_some(())
        });
    }
    let pid = first.meta()["copilot.agent"]["pid"].as_u64().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    first.wait_for_end(&first_turn);
    home.write("go", "");
    let ended = second.wait_for_end(&second_turn);
    assert_eq!(spoken(&ended.response_parts), "Undisturbed.");
    assert!(is_alive(home.daemons()[0]));
}
