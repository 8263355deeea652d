//! Prompts that come while the agent works: queued, steered, taken back.

use copilot_tests::attached::{Attached, message, spoken, turn_started};
use copilot_tests::{Home, Scenario, say, tool, until};
use serde_json::json;

fn works_until_told() -> Scenario {
    Scenario::new()
        .on(
            "work",
            [
                tool(
                    "shell",
                    json!({"command": "touch working; until [ -e go ]; do read -t 0.02 <> <(:) || :; done"}),
                ),
                say("Worked."),
            ],
        )
        .on("second", [say("Second done.")])
        .on("third", [say("Third done.")])
}

fn working(home: &Home) -> (Attached, String) {
    home.start_daemon();
    let mut screen = Attached::create(home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("work");
    screen.trust_folder();
    until("the running command", || home.read("working"));
    (screen, turn)
}

#[test]
fn a_prompt_sent_while_the_agent_works_is_queued_and_runs_next() {
    let home = Home::new(works_until_told());
    let (mut screen, turn) = working(&home);
    home.copilot(&["send", screen.id(), "second"])
        .expect_code(0);
    screen.wait("the queued prompt", |_, chat| {
        chat.queued_messages
            .as_ref()?
            .iter()
            .any(|queued| queued.message.text == "second")
            .then_some(())
    });
    home.write("go", "");
    screen.wait_for_end(&turn);
    screen.wait("the second turn", |_, chat| {
        chat.turns
            .iter()
            .any(|turn| {
                turn.message.text == "second" && spoken(&turn.response_parts) == "Second done."
            })
            .then_some(())
    });
}

#[test]
fn queued_prompts_are_seen_by_everyone_reordered_and_taken_back() {
    let home = Home::new(works_until_told());
    let (mut screen, turn) = working(&home);
    for (id, text) in [("q1", "second"), ("q2", "third"), ("q3", "never to run")] {
        let rejected = screen.dispatch(&json!({
            "type": "chat/pendingMessageSet", "kind": "queued", "id": id, "message": message(text),
        }));
        assert_eq!(rejected, None);
    }
    assert_eq!(
        screen.dispatch(
            &json!({"type": "chat/queuedMessagesReordered", "order": ["q2", "q1", "q3"]})
        ),
        None
    );
    let mut other = Attached::attach(&home, "another screen", screen.id());
    assert_eq!(
        other
            .dispatch(&json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "q3"})),
        None
    );
    home.write("go", "");
    screen.wait_for_end(&turn);
    screen.wait("both queued turns", |_, chat| {
        let texts: Vec<_> = chat
            .turns
            .iter()
            .map(|turn| turn.message.text.as_str())
            .collect();
        (texts == ["work", "third", "second"] && chat.active_turn.is_none()).then_some(())
    });
    assert!(
        screen
            .chat()
            .queued_messages
            .as_ref()
            .is_none_or(Vec::is_empty)
    );
}

#[test]
fn a_steering_text_joins_the_running_turn() {
    let home = Home::new(works_until_told());
    let (mut screen, turn) = working(&home);
    let rejected = screen.dispatch(&json!({
        "type": "chat/pendingMessageSet",
        "kind": "steering",
        "id": "s1",
        "message": message("please be careful"),
    }));
    assert_eq!(rejected, None);
    home.write("go", "");
    let ended = screen.wait_for_end(&turn);
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(parts.contains("please be careful"), "{}", screen.describe());
    assert!(screen.chat().steering_message.is_none());
    assert_eq!(screen.chat().turns.len(), 1, "no turn of its own");
}

#[test]
fn a_turn_over_a_running_turn_is_rejected() {
    let home = Home::new(works_until_told());
    let (mut screen, turn) = working(&home);
    assert!(
        screen
            .dispatch(&turn_started("another", "second"))
            .is_some()
    );
    home.write("go", "");
    let ended = screen.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "Worked.");
}

#[test]
fn a_forged_note_of_the_host_is_dropped() {
    let home = Home::new(works_until_told());
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let mut action = turn_started("t1", "second");
    action["_meta"] = json!({"copilot.state": "forged"});
    action["message"]["_meta"] = json!({"copilot.state": "forged"});
    assert_eq!(screen.dispatch(&action), None);
    screen.trust_folder();
    screen.wait_for_end("t1");
    assert!(!screen.describe().contains("forged"));
}

#[test]
fn a_listing_shows_the_title_the_folder_and_the_true_state() {
    let home = Home::new(works_until_told());
    let (mut screen, turn) = working(&home);
    let listed = home.sessions();
    let session = listed
        .iter()
        .find(|session| session["id"] == json!(screen.id()))
        .unwrap_or_else(|| panic!("the session is listed: {listed:?}"));
    assert_eq!(session["state"], json!("working"), "{session}");
    assert_eq!(session["title"], json!("work"), "{session}");
    home.write("go", "");
    screen.wait_for_end(&turn);
    screen.wait("an idle session", |session, _| {
        (session.meta.as_ref()?.get("copilot.state")? == "idle").then_some(())
    });
    assert_eq!(home.sessions()[0]["state"], json!("idle"));

    // Also after a daemon that could not say that it ends.
    home.kill_daemon();
    home.start_daemon();
    assert_eq!(home.sessions()[0]["state"], json!("stored"));
}
