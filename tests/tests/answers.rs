//! The first answer wins; everybody else learns who gave it.

use std::sync::{Arc, Barrier};

use copilot_tests::attached::{Attached, confirmed, open_permission};
use copilot_tests::{Client, Home, Scenario, say, tool};
use serde_json::json;

fn asks_to_write() -> Scenario {
    Scenario::new().on(
        "write",
        [
            tool("shell", json!({"command": "touch written"})),
            say("All written."),
        ],
    )
}

#[test]
fn a_permission_is_answered_once_and_the_second_answer_is_told_by_whom() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut first = Attached::create(&home, "first screen", json!({}));
    first.prompt("write it");
    first.trust_folder();
    let (turn, call) = first.wait_for_permission();
    let mut second = Attached::attach(&home, "second screen", first.id());
    let (seen_turn, seen_call) = second.wait_for_permission();
    assert_eq!(
        (&turn, &call.tool_call_id),
        (&seen_turn, &seen_call.tool_call_id)
    );

    assert_eq!(first.confirm(&turn, &call.tool_call_id, "allow-once"), None);
    let reason = second
        .confirm(&turn, &call.tool_call_id, "deny")
        .expect("the second answer is rejected");
    assert!(
        reason.contains("already answered by first screen (allow-once)"),
        "{reason}"
    );
    let ended = second.wait_for_end(&turn);
    assert_eq!(
        copilot_tests::attached::spoken(&ended.response_parts),
        "All written."
    );
    assert!(home.read("written").is_some(), "the command ran");

    // A late `copilot answer` is told the same and fails.
    let late = home.copilot(&["answer", first.id(), &call.tool_call_id, "allow-once"]);
    late.expect_code(1);
    assert!(
        late.stderr.contains("already answered by first screen"),
        "{late:?}"
    );
}

#[test]
fn copilot_answer_answers_and_everybody_sees_by_whom() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("write it");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    home.copilot(&["answer", screen.id(), "next", "allow-once"])
        .expect_code(0);
    screen.wait_for_end(&turn);
    let id = call.tool_call_id;
    let answers = screen.meta()["copilot.answers"].clone();
    assert_eq!(answers[&id]["choice"], json!("allow-once"), "{answers}");
    assert_eq!(answers[&id]["by"]["trust"], json!("local"), "{answers}");
    assert!(answers[&id]["by"]["name"].is_string(), "{answers}");
}

#[test]
fn an_answer_with_words_reaches_the_agent_as_a_denial_with_those_words() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("write it");
    screen.trust_folder();
    screen.wait_for_permission();
    home.copilot(&[
        "answer",
        screen.id(),
        "next",
        "deny-with-words",
        "--text",
        "use a branch instead",
    ])
    .expect_code(0);
    let ended = screen.wait_for_end(&turn);
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(parts.contains("use a branch instead"), "{parts}");
    assert_eq!(home.read("written"), None, "nothing was run");
}

#[test]
fn ten_clients_that_answer_at_once_a_hundred_times_have_exactly_one_winner() {
    const CLIENTS: usize = 10;
    const ROUNDS: usize = 100;
    let home = Home::new(Scenario::new().on(
        "round",
        [
            tool("shell", json!({"command": "touch round"})),
            say("Done."),
        ],
    ));
    home.start_daemon();
    let mut leader = Attached::create(&home, "leader", json!({}));
    leader.prompt("round 0");
    leader.trust_folder();

    let id = leader.id().to_owned();
    let start = Arc::new(Barrier::new(CLIENTS + 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = Attached::attach(&home, &format!("client {number}"), &id);
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                let mut wins = Vec::new();
                for _ in 0..ROUNDS {
                    let (turn, call) =
                        client.wait("an open permission", |_, chat| open_permission(chat));
                    // Everyone has seen the request before anyone answers it.
                    start.wait();
                    let option = if number % 2 == 0 {
                        "allow-once"
                    } else {
                        "deny"
                    };
                    let rejected = client.dispatch(&confirmed(&turn, &call.tool_call_id, option));
                    if let Some(reason) = &rejected {
                        assert!(reason.contains("already answered by client"), "{reason}");
                    }
                    wins.push(rejected.is_none());
                    client.wait_for_end(&turn);
                    // The leader starts the next round when all have seen the end.
                    start.wait();
                }
                wins
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        start.wait();
        start.wait();
        if round < ROUNDS {
            leader.prompt(&format!("round {round}"));
        }
    }
    let wins: Vec<Vec<bool>> = clients
        .into_iter()
        .map(|client| client.join().expect("no client fails"))
        .collect();
    for round in 0..ROUNDS {
        let winners = wins.iter().filter(|wins| wins[round]).count();
        assert_eq!(winners, 1, "winners of round {round}");
    }
}

#[test]
fn a_retried_answer_has_its_effect_once() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("write it");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-once"),
        None
    );
    let retried = screen
        .confirm(&turn, &call.tool_call_id, "allow-once")
        .expect("a retry is not applied again");
    assert!(retried.starts_with("duplicate:"), "{retried}");
}

#[test]
fn a_question_of_the_agent_is_answered_by_anyone() {
    let home = Home::new(Scenario::new().on(
        "ask",
        [
            tool(
                "ask_user",
                json!({"question": "Which colour?", "choices": ["red", "blue"]}),
            ),
            say("Thank you."),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("ask me");
    screen.trust_folder();
    let request = screen.wait_for_input();
    assert!(
        serde_json::to_string(&request)
            .unwrap()
            .contains("Which colour?"),
        "{request:?}"
    );
    home.copilot(&["answer", screen.id(), "next", "blue"])
        .expect_code(0);
    let ended = screen.wait_for_end(&turn);
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(parts.contains("blue"), "{parts}");
}

#[test]
fn every_kind_of_question_is_answered_by_a_command() {
    let ask = |input| tool("ask_user", input);
    let home = Home::new(Scenario::new().on(
        "ask",
        [
            ask(json!({"question": "Sure?", "answer": "yes_no", "default": false})),
            ask(json!({"question": "How many?", "answer": "integer", "min": 1, "max": 9})),
            ask(
                json!({"question": "Which?", "choices": ["red", "green", "blue"], "multiple": true}),
            ),
            ask(json!({"question": "Your name?"})),
            ask(json!({"question": "Why?"})),
            say("Thank you."),
        ],
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("ask me");
    screen.trust_folder();
    let mut answered = vec!["trust".to_owned()];
    let mut answer = |choice: &str, code| {
        let request = screen.wait("the next question", |_, chat| {
            copilot_tests::attached::open_input(chat).filter(|r| !answered.contains(&r.id))
        });
        home.copilot(&["answer", screen.id(), &request.id, choice])
            .expect_code(code);
        if code == 0 {
            answered.push(request.id);
        }
    };
    answer("yes", 0);
    answer("99", 2);
    answer("3", 0);
    answer("red,blue", 0);
    answer("Ada", 0);
    answer("decline", 0);
    let ended = screen.wait_for_end(&turn);
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    for expected in [
        "The person answered: yes",
        "The person answered: 3",
        "The person answered: red, blue",
        "The person answered: Ada",
        "The person declined to answer",
    ] {
        assert!(parts.contains(expected), "{expected}: {parts}");
    }
}

#[test]
fn a_folder_that_is_not_trusted_is_not_worked_in() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("write it");
    let request = screen.wait_for_input();
    assert_eq!(request.id, "trust");
    assert_eq!(screen.answer("trust", "trust", "no"), None);
    screen.wait_for_end(&turn);
    assert_eq!(home.read("written"), None);
    assert!(
        copilot_tests::of_session(screen.id()).is_empty(),
        "no agent was started"
    );
}

#[test]
fn approving_with_an_option_that_denies_is_rejected() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("write it");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    let mut forged = confirmed(&turn, &call.tool_call_id, "deny");
    forged["approved"] = json!(true);
    forged["confirmed"] = json!("user-action");
    assert!(screen.dispatch(&forged).is_some());
    assert!(
        open_permission(screen.chat()).is_some(),
        "the request stays open"
    );
    assert_eq!(home.read("written"), None);
    // The connection has taken no harm.
    let mut other = Client::connect(&home, "other");
    other
        .request("ping", json!({"channel": "ahp-root://"}))
        .unwrap();
}
