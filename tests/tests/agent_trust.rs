//! What an agent starts cannot answer for the person.
//!
//! Known limit: what another program of the person starts on the agent's
//! behalf (a service manager, a container engine, a terminal multiplexer) is
//! that program's, and looks like the person.

use copilot_tests::attached::{Attached, spoken};
use copilot_tests::{Home, Scenario, say, tool};
use serde_json::json;

const PROBE: &str = env!("CARGO_BIN_EXE_probe");

fn runs_a_script() -> Scenario {
    Scenario::new()
        .on(
            "run",
            [
                tool("shell", json!({"command": "bash script.sh > printed 2>&1"})),
                say("Ran."),
            ],
        )
        .on(
            "victim",
            [
                tool("shell", json!({"command": "touch written"})),
                say("Victim done."),
            ],
        )
}

/// Has an agent run a script in a session of its own and returns what the
/// script printed.
fn run_as_agent(home: &Home, script: &str) -> String {
    home.write("script.sh", script);
    let mut screen = Attached::create(home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("run");
    if screen.wait("the running turn or a question", |_, chat| {
        if copilot_tests::attached::open_input(chat).is_some() {
            return Some(true);
        }
        chat.turns
            .iter()
            .any(|ended| ended.id == turn)
            .then_some(false)
    }) {
        screen.trust_folder();
    }
    let ended = screen.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "Ran.", "{ended:?}");
    home.read("printed")
        .unwrap_or_else(|| panic!("the script ran: {ended:?}"))
}

#[test]
fn the_agents_own_shell_cannot_answer_a_permission() {
    let home = Home::new(runs_a_script());
    home.start_daemon();
    let mut victim = Attached::create(&home, "the person", json!({}));
    let turn = victim.prompt("victim");
    victim.trust_folder();
    let (_, call) = victim.wait_for_permission();
    let printed = run_as_agent(
        &home,
        &format!(
            "copilot answer {} {} allow-once; echo \"exit $?\"",
            victim.id(),
            call.tool_call_id
        ),
    );
    assert!(printed.contains("agent"), "{printed}");
    assert!(printed.contains("exit 1"), "{printed}");
    assert_eq!(home.read("written"), None);
    assert_eq!(
        victim.confirm(&turn, &call.tool_call_id, "deny"),
        None,
        "the request was still open"
    );
}

#[test]
fn the_agents_own_shell_cannot_delete_or_close_a_session_or_stop_the_daemon() {
    let home = Home::new(runs_a_script());
    home.start_daemon();
    let victim = Attached::create(&home, "the person", json!({}));
    let id = victim.id();
    let printed = run_as_agent(
        &home,
        &format!(
            "copilot sessions delete {id}; echo \"delete $?\"\n\
             copilot sessions close {id}; echo \"close $?\"\n\
             copilot send {id} 'run'; echo \"send $?\"\n\
             copilot daemon stop --force; echo \"stop $?\"\n"
        ),
    );
    for verb in ["delete", "close", "send", "stop"] {
        assert!(printed.contains(&format!("{verb} 1")), "{verb}:\n{printed}");
    }
    assert!(printed.contains("agent"), "it says why:\n{printed}");
    assert!(
        home.sessions()
            .iter()
            .any(|session| session["id"] == json!(id)),
        "the session is still there"
    );
}

#[test]
fn a_raw_connection_from_the_agents_shell_is_the_agents() {
    let home = Home::new(runs_a_script());
    home.start_daemon();
    let socket = home.socket().display().to_string();
    assert_eq!(run_as_agent(&home, &format!("{PROBE} {socket}")), "agent\n");
    // The same program started by the person is the person's.
    let output = home.command(PROBE, &[&socket]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "local\n");
}

#[test]
fn it_stays_the_agents_in_another_session_without_environment_and_forked_twice() {
    let home = Home::new(runs_a_script());
    home.start_daemon();
    let socket = home.socket().display().to_string();
    let printed = run_as_agent(
        &home,
        &format!(
            "( setsid env -i bash -c '( setsid {PROBE} {socket} > seen; mv seen seen-twice ) &' & )\n\
             until [ -e seen-twice ]; do read -t 0.02 <> <(:) || :; done; cat seen-twice"
        ),
    );
    assert_eq!(printed, "agent\n");
}
