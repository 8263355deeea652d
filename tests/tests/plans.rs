//! Plans are proposed by the agent and decided by people, from any client.

use copilot_tests::attached::{Attached, notices, open_input, spoken};
use copilot_tests::{Home, Scenario, say, tool};
use serde_json::{Value, json};

/// Proposes a plan, and carries it out when that is what people want.
fn proposes() -> Scenario {
    Scenario::new().on(
        "plan",
        [
            say("I looked."),
            tool(
                "exit_plan_mode",
                json!({"plan": "# Make it\n1. touch done", "summary": "Makes it"}),
            ),
            tool("shell", json!({"command": "touch done"})),
            tool("task_complete", json!({"summary": "It is made."})),
        ],
    )
}

/// A session in plan mode whose first plan waits for an answer, in two clients.
fn waiting(home: &Home, config: Value) -> (Attached, Attached, String) {
    home.start_daemon();
    let mut first = Attached::create(home, "first screen", config);
    let turn = first.prompt("plan it");
    first.trust_folder();
    let mut second = Attached::attach(home, "second screen", first.id());
    for screen in [&mut first, &mut second] {
        screen.wait_for_state("plan-ready");
        assert_eq!(screen.wait_for_input().id, "plan-1");
    }
    (first, second, turn)
}

/// Answers a plan.
fn decide(
    screen: &mut Attached,
    request: &str,
    choice: &str,
    words: Option<&str>,
) -> Option<String> {
    let mut value = json!({"kind": "selected", "value": choice});
    if let Some(words) = words {
        value["freeformValues"] = json!([words]);
    }
    screen.dispatch(&json!({
        "type": "chat/inputCompleted", "requestId": request, "response": "accept",
        "answers": {"plan": {"state": "submitted", "value": value}},
    }))
}

/// Both clients see that the plan was answered, how, and by whom.
fn seen_in_both(screens: [&mut Attached; 2], request: &str, choice: &str, mode: &str) {
    for screen in screens {
        screen.wait("the end of the question", |_, chat| {
            let open = open_input(chat);
            open.is_none_or(|open| open.id != request).then_some(())
        });
        screen.wait_for_mode(mode);
        let answer = screen.meta()["copilot.answers"][request].clone();
        assert_eq!(answer["choice"], choice, "{answer}");
        assert_eq!(answer["by"]["name"], "second screen", "{answer}");
    }
}

#[test]
fn a_plan_that_is_accepted_is_carried_out_interactively() {
    let home = Home::new(proposes());
    let (mut first, mut second, turn) = waiting(&home, json!({"mode": "plan"}));
    assert_eq!(decide(&mut second, "plan-1", "accept", None), None);
    seen_in_both([&mut first, &mut second], "plan-1", "accept", "interactive");
    let late = decide(&mut first, "plan-1", "leave", None).expect("the second answer is rejected");
    assert!(
        late.contains("already answered by second screen (accept)"),
        "{late}"
    );
    // What the plan does is asked as ever.
    let (_, call) = first.wait_for_permission();
    assert_eq!(first.confirm(&turn, &call.tool_call_id, "allow-once"), None);
    second.wait_for_end(&turn);
    assert!(home.read("done").is_some());
}

#[test]
fn a_plan_that_is_accepted_into_autopilot_is_carried_out_to_its_end() {
    let home = Home::new(proposes());
    let config = json!({"mode": "plan", "allowTools": ["shell(touch:*)"]});
    let (mut first, mut second, turn) = waiting(&home, config);
    assert_eq!(
        decide(&mut second, "plan-1", "accept-autopilot", None),
        None
    );
    seen_in_both(
        [&mut first, &mut second],
        "plan-1",
        "accept-autopilot",
        "autopilot",
    );
    let ended = first.wait_for_end(&turn);
    assert_eq!(second.wait_for_end(&turn), ended);
    assert!(home.read("done").is_some());
    let notices = notices(&ended.response_parts);
    assert!(
        notices
            .iter()
            .any(|(kind, _)| kind == "autopilot-completed"),
        "{notices:?}"
    );
}

#[test]
fn a_plan_that_is_left_is_not_carried_out_and_plan_mode_ends() {
    let home = Home::new(proposes());
    let (mut first, mut second, turn) =
        waiting(&home, json!({"mode": "plan", "allowAllTools": true}));
    assert_eq!(decide(&mut second, "plan-1", "leave", None), None);
    seen_in_both([&mut first, &mut second], "plan-1", "leave", "interactive");
    let ended = first.wait_for_end(&turn);
    assert_eq!(second.wait_for_end(&turn), ended);
    assert_eq!(spoken(&ended.response_parts), "I looked.");
    assert_eq!(home.read("done"), None);
    first.wait_for_state("idle");
}

#[test]
fn a_plan_that_is_sent_back_comes_again_as_a_new_version() {
    let home = Home::new(Scenario::new().on(
        "plan",
        [
            tool("exit_plan_mode", json!({"plan": "# One big step"})),
            tool("exit_plan_mode", json!({"plan": "# Two small steps"})),
            say("Now I carry it out."),
        ],
    ));
    let (mut first, mut second, turn) = waiting(&home, json!({"mode": "plan"}));
    let missing = decide(&mut second, "plan-1", "suggest", None);
    assert_eq!(
        missing.as_deref(),
        Some("say what should change in the plan")
    );
    assert_eq!(
        decide(&mut second, "plan-1", "suggest", Some("smaller steps")),
        None
    );
    seen_in_both([&mut first, &mut second], "plan-1", "suggest", "plan");
    for screen in [&mut first, &mut second] {
        let again = screen.wait("the next version", |_, chat| {
            open_input(chat).filter(|open| open.id == "plan-2")
        });
        assert_eq!(again.message.as_deref(), Some("# Two small steps"));
    }
    // Both versions are kept and can be read.
    let plans = first.wait("both versions", |session, _| {
        let plans = session.meta.as_ref()?.get("copilot.plans")?;
        (plans.as_array()?.len() == 2).then(|| plans.clone())
    });
    for (index, text) in ["# One big step", "# Two small steps"].iter().enumerate() {
        assert_eq!(plans[index]["name"], format!("plan-{}.md", index + 1));
        let params = json!({"channel": first.session_channel(), "uri": plans[index]["uri"]});
        let read = first.client.request("resourceRead", params).unwrap();
        assert_eq!(read["data"], *text);
    }
    home.copilot(&["answer", first.id(), "plan-2", "accept"])
        .expect_code(0);
    let ended = first.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "Now I carry it out.");
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(
        parts.contains("smaller steps"),
        "the agent read the words: {parts}"
    );
}

#[test]
fn a_plan_is_decided_in_the_terminal() {
    let home = Home::new(proposes());
    home.start_daemon();
    let terminal = home.terminal(&["--mode", "plan", "-i", "plan it"]);
    terminal.wait_for_text("Do you trust the files");
    terminal.send("1");
    terminal.wait_for_text("Carry out this plan?");
    terminal.wait_for_text("plan ready");
    terminal.send("4");
    terminal.send("say more\r");
    // The agent goes on in plan mode, where running it is refused.
    terminal.wait_for_text("nothing is changed in plan mode");
    assert_eq!(home.read("done"), None);
}
