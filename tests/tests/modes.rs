//! The modes of a session hold, whatever its agent and its rules say.

use copilot_tests::attached::{Attached, mode_of, spoken};
use copilot_tests::{Home, Scenario, say, tool};
use serde_json::{Value, json};

/// Writes, runs and reaches out, in every way that the built-in agent has.
fn does_it_anyway() -> Scenario {
    Scenario::new().on(
        "anyway",
        [
            tool("create", json!({"path": "created", "content": "x"})),
            tool(
                "edit",
                json!({"path": "README.md", "old": "scratch", "new": "changed"}),
            ),
            tool("shell", json!({"command": "touch ran; echo x > README.md"})),
            tool("shell", json!({"command": "curl -s http://127.0.0.1:9/"})),
            tool("view", json!({"path": "README.md"})),
            say("I tried."),
        ],
    )
}

/// The tool calls of a turn: name, status, and the reason of a denial.
fn calls(parts: &[ahp_types::state::ResponsePart]) -> Vec<(String, String, String)> {
    let value = serde_json::to_value(parts).unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    value
        .as_array()
        .unwrap()
        .iter()
        .filter(|part| part["kind"] == "toolCall")
        .map(|part| {
            let call = &part["toolCall"];
            (
                text(&call["toolName"]),
                text(&call["status"]),
                text(&call["reasonMessage"]),
            )
        })
        .collect()
}

#[test]
fn in_plan_mode_nothing_changes_whatever_the_rules_allow_and_the_attempts_are_visible() {
    let home = Home::new(does_it_anyway());
    home.start_daemon();
    let config = json!({
        "mode": "plan", "allowAllTools": true, "allowTools": ["shell", "write", "url"],
    });
    let mut screen = Attached::create(&home, "a screen", config);
    assert_eq!(screen.configure(json!({"allowAll": true})), None);
    let turn = screen.prompt("do it anyway");
    screen.trust_folder();
    let ended = screen.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "I tried.");
    let calls = calls(&ended.response_parts);
    let names: Vec<&str> = calls.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["create", "edit", "shell", "shell", "view"]);
    for (name, status, reason) in &calls[..4] {
        assert_eq!(status, "cancelled", "{name}");
        assert!(
            reason.starts_with("nothing is changed in plan mode"),
            "{name}: {reason}"
        );
    }
    assert_eq!(calls[4].1, "completed", "reading is what plan mode is for");
    assert_eq!(home.read("created"), None);
    assert_eq!(home.read("ran"), None);
    assert_eq!(home.read("README.md").unwrap(), "# A scratch project\n");
}

#[test]
fn a_mode_switched_from_a_second_client_takes_effect_on_the_very_next_tool_call() {
    let home = Home::new(Scenario::new().on(
        "go",
        [
            tool("shell", json!({"command": "touch first"})),
            json!({"write_file": "reached"}),
            json!({"wait_for_file": "go-on"}),
            tool("shell", json!({"command": "touch second"})),
            json!({"write_file": "reached-again"}),
            json!({"wait_for_file": "go-on-again"}),
            tool("shell", json!({"command": "touch third"})),
            say("Done."),
        ],
    ));
    home.start_daemon();
    let mut first = Attached::create(&home, "first screen", json!({"allowAllTools": true}));
    let turn = first.prompt("go");
    first.trust_folder();
    let mut second = Attached::attach(&home, "second screen", first.id());
    copilot_tests::until("the first command", || home.read("reached"));
    assert_eq!(second.configure(json!({"mode": "plan"})), None);
    home.write("go-on", "");
    copilot_tests::until("the second command", || home.read("reached-again"));
    first.wait("the mode in the first screen", |session, _| {
        (mode_of(session) == "plan").then_some(())
    });
    assert_eq!(second.configure(json!({"mode": "interactive"})), None);
    home.write("go-on-again", "");
    let ended = first.wait_for_end(&turn);
    let statuses: Vec<_> = calls(&ended.response_parts)
        .into_iter()
        .map(|(_, status, _)| status)
        .collect();
    assert_eq!(statuses, ["completed", "cancelled", "completed"]);
    assert!(home.read("first").is_some() && home.read("third").is_some());
    assert_eq!(home.read("second"), None);
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(
        parts.contains("second screen switched to plan mode."),
        "{parts}"
    );
}

#[test]
fn a_permission_that_is_open_when_plan_mode_begins_is_denied() {
    let home = Home::new(Scenario::new().on(
        "go",
        [tool("shell", json!({"command": "touch ran"})), say("Done.")],
    ));
    home.start_daemon();
    let mut first = Attached::create(&home, "first screen", json!({}));
    let turn = first.prompt("go");
    first.trust_folder();
    let (_, call) = first.wait_for_permission();
    let mut second = Attached::attach(&home, "second screen", first.id());
    assert_eq!(second.configure(json!({"mode": "plan"})), None);
    let late = first
        .confirm(&turn, &call.tool_call_id, "allow-once")
        .expect("the answer comes too late");
    assert!(late.contains("already answered by policy (deny)"), "{late}");
    let ended = first.wait_for_end(&turn);
    assert_eq!(calls(&ended.response_parts)[0].1, "cancelled");
    assert_eq!(home.read("ran"), None);
}

#[test]
fn allowing_everything_answers_what_is_open_and_ends_with_the_session() {
    let home = Home::new(Scenario::new().on(
        "go",
        [tool("shell", json!({"command": "touch ran"})), say("Done.")],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("go");
    screen.trust_folder();
    screen.wait_for_permission();
    assert_eq!(screen.configure(json!({"allowAll": true})), None);
    screen.wait_for_end(&turn);
    assert!(home.read("ran").is_some());
    home.copilot(&["sessions", "close", screen.id()])
        .expect_code(0);
    screen.wait("the end of allowing everything", |session, _| {
        let values = &session.config.as_ref().unwrap().values;
        (values["allowAll"] == json!(false)).then_some(())
    });
}

#[test]
fn the_mode_outlives_the_daemon_and_begins_as_the_flag_or_the_settings_say() {
    let home = Home::new(Scenario::new().on("hi", [say("Hello.")]));
    home.write_settings(r#"{"mode": "plan"}"#);
    home.start_daemon();
    let mut planned = Attached::create(&home, "a screen", json!({}));
    assert_eq!(mode_of(planned.session()), "plan");
    assert_eq!(planned.configure(json!({"mode": "autopilot"})), None);
    home.kill_daemon();
    home.start_daemon();
    let again = Attached::attach(&home, "a screen", planned.id());
    assert_eq!(mode_of(again.session()), "autopilot");

    home.copilot(&["-p", "hi", "--mode", "interactive"])
        .expect_code(0);
    let one_shot = home
        .sessions()
        .into_iter()
        .find(|session| session["id"] != json!(planned.id()))
        .unwrap();
    let id = one_shot["id"].as_str().unwrap();
    let one_shot = Attached::attach(&home, "a screen", id);
    assert_eq!(mode_of(one_shot.session()), "interactive");
}

#[cfg(target_os = "linux")]
#[test]
fn lists_say_from_the_start_which_sessions_are_confined() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let screen = Attached::create(&home, "a screen", json!({}));
    assert_eq!(screen.meta()["copilot.confinement"], "confined");
    assert_eq!(home.sessions()[0]["confinement"], "confined");
    let shown = home.copilot(&["sessions", "show", screen.id()]);
    assert!(
        shown.stdout.contains("agent    copilot, confined"),
        "{shown:?}"
    );
}

#[test]
fn shift_tab_switches_and_the_status_line_shows_what_the_daemon_says() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let first = home.terminal(&["--mode", "autopilot"]);
    first.wait_for_text("autopilot mode");
    let id = home.only_session();
    let mut second = Attached::attach(&home, "second screen", &id);
    assert_eq!(second.configure(json!({"mode": "plan"})), None);
    first.wait_for_text("plan mode");
    first.send("\x1b[Z");
    second.wait("the mode", |session, _| {
        (mode_of(session) == "autopilot").then_some(())
    });
    first.wait_for_text("autopilot mode");
    first.send("/allow-all on\r");
    first.wait_for_text("allows everything");
}
