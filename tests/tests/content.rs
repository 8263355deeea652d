//! Large content is by reference, readable by whoever sees the reference.

use ahp::reducers::apply_action_to_terminal;
use ahp_types::actions::StateAction;
use ahp_types::state::TerminalState;
use copilot_tests::attached::{Attached, open_permission};
use copilot_tests::{Home, Scenario, say, tool, until};
use serde_json::{Value, json};

/// Every URI of this scheme in a value.
fn uris(value: &Value, scheme: &str) -> Vec<String> {
    match value {
        Value::String(text) if text.starts_with(scheme) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(|item| uris(item, scheme)).collect(),
        Value::Object(fields) => fields
            .values()
            .flat_map(|item| uris(item, scheme))
            .collect(),
        _ => Vec::new(),
    }
}

fn read(screen: &mut Attached, uri: &str) -> String {
    let channel = screen.session_channel();
    let result = screen
        .client
        .request("resourceRead", json!({"channel": channel, "uri": uri}))
        .unwrap_or_else(|error| panic!("{uri}: {error:?}"));
    assert_eq!(result["encoding"], json!("utf-8"), "{uri}");
    result["data"].as_str().unwrap().to_owned()
}

#[test]
fn a_change_is_shown_before_it_is_allowed() {
    let home = Home::new(Scenario::new().on(
        "edit",
        [
            tool(
                "edit",
                json!({"path": "README.md", "old": "A scratch project", "new": "An edited project"}),
            ),
            say("Edited."),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("edit it");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    let asked = serde_json::to_value(&call).unwrap();
    let mut contents: Vec<_> = uris(&asked["edits"], "copilot-content:/")
        .iter()
        .map(|uri| read(&mut screen, uri))
        .collect();
    contents.sort();
    assert_eq!(
        contents,
        ["# A scratch project\n", "# An edited project\n"],
        "before and after: {asked}"
    );
    assert_eq!(
        home.read("README.md").as_deref(),
        Some("# A scratch project\n")
    );
    screen.confirm(&turn, &call.tool_call_id, "allow-once");
    screen.wait_for_end(&turn);
    assert_eq!(
        home.read("README.md").as_deref(),
        Some("# An edited project\n")
    );
}

#[test]
fn the_output_of_a_running_command_is_live_on_its_own_channel() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool(
                "shell",
                json!({"command": "echo first; touch said; until [ -e go ]; do read -t 0.02 <> <(:) || :; done; echo second"}),
            ),
            say("Ran."),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("run it");
    screen.trust_folder();
    until("the command", || home.read("said"));
    let channel = screen.wait("the command's channel", |_, chat| {
        uris(&serde_json::to_value(chat).unwrap(), "ahp-terminal:/").pop()
    });
    let mut observer = copilot_tests::Client::connect(&home, "an observer");
    let result = observer
        .request("subscribe", json!({"channel": channel}))
        .expect("the channel exists");
    let mut terminal: TerminalState =
        serde_json::from_value(result["snapshot"]["state"].clone()).expect("a terminal's state");
    let text = |terminal: &TerminalState| serde_json::to_string(&terminal.content).unwrap();
    let mut follow = |wanted: &str| {
        while !text(&terminal).contains(wanted) {
            let message = observer.wait_for(wanted, |message| {
                message["params"]["channel"] == json!(channel)
            });
            let action: StateAction =
                serde_json::from_value(message["params"]["action"].clone()).unwrap();
            apply_action_to_terminal(&mut terminal, &action);
        }
    };
    follow("first");
    home.write("go", "");
    follow("second");
    screen.wait_for_end(&turn);
}

#[test]
fn a_long_output_is_kept_whole_and_read_in_ranges() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool("shell", json!({"command": "seq -w 1 50000"})),
            say("Ran."),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("run it");
    screen.trust_folder();
    let ended = serde_json::to_value(screen.wait_for_end(&turn)).unwrap();
    assert!(
        ended.to_string().len() < 200_000,
        "the state itself stays small"
    );
    let uri = uris(&ended, "copilot-output:/")
        .pop()
        .unwrap_or_else(|| panic!("the output by reference: {ended}"));
    let uri = uri.split('?').next().unwrap().to_owned();
    // Each line has five digits and its end.
    assert_eq!(
        read(&mut screen, &format!("{uri}?from=0&to=12")),
        "00001\n00002\n"
    );
    assert_eq!(
        read(&mut screen, &format!("{uri}?from=299994&to=300000")),
        "50000\n"
    );
    assert_eq!(read(&mut screen, &uri).len(), 300_000);
}

#[test]
fn what_a_session_does_not_reference_cannot_be_read_through_it() {
    let home = Home::new(Scenario::new().on(
        "edit",
        [
            tool("edit", json!({"path": "README.md", "old": "A", "new": "B"})),
            say("Edited."),
        ],
    ));
    home.start_daemon();
    let mut first = Attached::create(&home, "first", json!({}));
    first.prompt("edit it");
    first.trust_folder();
    first.wait_for_permission();
    let (_, call) = open_permission(first.chat()).unwrap();
    let uri = uris(&serde_json::to_value(&call).unwrap(), "copilot-content:/")
        .pop()
        .unwrap();
    let mut second = Attached::create(&home, "second", json!({}));
    let channel = second.session_channel();
    let answer = second
        .client
        .request("resourceRead", json!({"channel": channel, "uri": uri}));
    assert!(answer.is_err(), "{answer:?}");
}
