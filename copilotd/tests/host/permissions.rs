//! Who may answer, and what becomes of the answers.

use ahp_types::state::TurnState;
use serde_json::{Value, json};

use super::client::{answer, message, notices_of, text_of};
use super::script::ASKS;
use super::world::{World, chat_of};

/// The answers to permission requests that the agent has read.
fn outcomes(world: &World) -> Vec<Value> {
    let mut all = world.received();
    all.retain(|m| m["result"].get("outcome").is_some());
    all
}

#[tokio::test]
async fn the_first_answer_wins_and_the_loser_is_told_who_was_first() {
    let world = World::new(ASKS).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "make install").await;
    let asked = a.permission(&session, "call").await;
    assert_eq!(asked["toolInput"], "make install");
    let ids: Vec<&str> = asked["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "allow-once",
            "allow-session",
            "allow-here",
            "deny",
            "deny-with-words"
        ]
    );
    assert_eq!(asked["_meta"]["copilot.permission"]["kind"], "shell");
    a.state(&session, "needs-permission").await;

    a.act(&chat, answer("one", "allow-once")).await;
    assert_eq!(
        b.rejected(&chat, answer("one", "deny")).await,
        "already answered by terminal A (allow-once)"
    );
    assert_eq!(
        a.rejected(&chat, answer("one", "allow-once")).await,
        "duplicate: this answer was given before"
    );
    assert_eq!(
        text_of(&b.ended(&session, "one").await.response_parts),
        "allowed"
    );
    let by = &b.tool_call(&session, "call")["_meta"]["copilot.answeredBy"];
    assert_eq!(
        (&by["name"], &by["trust"], &by["choice"]),
        (&json!("terminal A"), &json!("local"), &json!("allow-once"))
    );
    assert_eq!(outcomes(&world).len(), 1, "the agent was answered twice");
    b.assert_current(&world, &session).await;
}

#[tokio::test]
async fn of_ten_clients_at_once_one_wins() {
    let world = World::new(ASKS).await;
    let mut first = world.client("terminal 0").await;
    let session = first.create(&world, json!({})).await;
    let chat = chat_of(&session);
    let mut clients = Vec::new();
    for n in 1..=10 {
        let mut client = world.client(&format!("terminal {n}")).await;
        client.watch(&session).await;
        clients.push(client);
    }
    for round in 0..10 {
        let turn = format!("turn-{round}");
        first.prompt(&session, &turn, "make install").await;
        first.permission(&session, "call").await;
        let option = |n: usize| {
            if n.is_multiple_of(2) {
                "allow-once"
            } else {
                "deny"
            }
        };
        let mut sent = Vec::new();
        for (n, client) in clients.iter_mut().enumerate() {
            let later = client.dispatch_later(&chat, answer(&turn, option(n)));
            sent.push(tokio::spawn(later));
        }
        let mut winners = Vec::new();
        let mut reasons = Vec::new();
        for (n, sent) in sent.into_iter().enumerate() {
            let number = sent.await.unwrap();
            match clients[n].fate(number).await {
                None => winners.push(n),
                Some(reason) => reasons.push(reason),
            }
        }
        let [winner] = winners[..] else {
            panic!("winners: {winners:?}");
        };
        let expected = format!(
            "already answered by terminal {} ({})",
            winner + 1,
            option(winner)
        );
        assert_eq!(reasons, vec![expected; 9]);
        first.ended(&session, &turn).await;
        assert_eq!(outcomes(&world).len(), round + 1);
    }
    first.assert_current(&world, &session).await;
}

#[tokio::test]
async fn words_with_a_denial_are_the_next_message_of_an_agent_that_cannot_take_them() {
    let world = World::new(ASKS).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "make install").await;
    a.permission(&session, "call").await;
    let mut denial = answer("one", "deny-with-words");
    denial["userSuggestion"] = message("use make check");
    a.act(&chat_of(&session), denial).await;
    assert_eq!(
        text_of(&a.ended(&session, "one").await.response_parts),
        "denied"
    );
    assert_eq!(
        outcomes(&world)[0]["result"]["_meta"]["copilot.words"],
        "use make check"
    );
    let asked = a.permission(&session, "call").await;
    assert_eq!(asked["toolInput"], "use make check");
}

#[tokio::test]
async fn for_this_session_is_not_asked_again() {
    let world = World::new(ASKS).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "make install").await;
    a.permission(&session, "call").await;
    a.act(&chat_of(&session), answer("one", "allow-session"))
        .await;
    a.ended(&session, "one").await;

    let turn = a.run(&session, "two", "make install").await;
    assert_eq!(text_of(&turn.response_parts), "allowed");
    let by = a.tool_call(&session, "call")["_meta"]["copilot.answeredBy"].clone();
    assert_eq!(by["name"], "policy");

    let other = a.create(&world, json!({})).await;
    a.prompt(&other, "one", "make install").await;
    a.permission(&other, "call").await;
}

#[tokio::test]
async fn rules_answer_unasked_and_deny_beats_allow() {
    let world = World::new(ASKS).await;
    let mut a = world.client("terminal A").await;
    let config = json!({"allowTools": ["shell(make:*)"], "denyTools": ["shell(make install)"]});
    let session = a.create(&world, config).await;
    let turn = a.run(&session, "one", "make all").await;
    assert_eq!(text_of(&turn.response_parts), "allowed");
    assert_eq!(a.tool_call(&session, "call")["confirmed"], "setting");
    let turn = a.run(&session, "two", "make install").await;
    assert_eq!(text_of(&turn.response_parts), "denied");
    assert_eq!(a.tool_call(&session, "call")["status"], "cancelled");
    assert_eq!(
        a.rejected(&chat_of(&session), answer("two", "allow-once"))
            .await,
        "already answered by policy (deny)"
    );
}

#[tokio::test]
async fn where_nobody_can_be_asked_it_is_denied_with_a_reason_for_agent_and_person() {
    // The folder is not trusted either: for such a run it counts as trusted.
    let world = World::with_untrusted_folder(ASKS).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({"unattended": true})).await;
    let turn = a.run(&session, "one", "make install").await;
    assert_eq!(turn.state, TurnState::Complete);
    assert_eq!(text_of(&turn.response_parts), "denied");
    let call = a.tool_call(&session, "call");
    let reason = call["reasonMessage"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("nobody can be asked") && reason.contains("shell(make install)"),
        "{reason}"
    );
    assert_eq!(call["_meta"]["copilot.answeredBy"]["name"], "policy");
    let told = &outcomes(&world)[0]["result"];
    assert_eq!(
        told["outcome"],
        json!({"outcome": "selected", "optionId": "no"})
    );
    assert_eq!(told["_meta"]["copilot.reason"], reason);
}

const QUESTION: &str = r#"
on_prompt() { say '{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"mode":"form","sessionId":"s","message":"Which way?","requestedSchema":{"type":"object","properties":{"way":{"type":"string","enum":["left","right"]}},"required":["way"]}}}'; }
on_answer() { case $line in *left*) text left ;; *accept*) text elsewhere ;; *) text nowhere ;; esac; end; }
"#;

#[tokio::test]
async fn a_question_is_answered_once() {
    let world = World::new(QUESTION).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "go").await;
    a.state(&session, "needs-answer").await;
    let needed = serde_json::to_value(a.session(&session).input_needed.clone()).unwrap();
    let id = needed[0]["id"].as_str().unwrap().to_owned();
    let reply = |way: &str| {
        json!({"type": "chat/inputCompleted", "requestId": id, "response": "accept",
            "answers": {"way": {"state": "submitted", "value": {"kind": "selected", "value": way}}}})
    };
    assert_eq!(
        b.rejected(&chat, reply("up")).await,
        "`up` is not one of the choices"
    );
    a.act(&chat, reply("left")).await;
    assert_eq!(
        b.rejected(&chat, reply("right")).await,
        "already answered by terminal A (left)"
    );
    assert_eq!(
        text_of(&b.ended(&session, "one").await.response_parts),
        "left"
    );
    b.assert_current(&world, &session).await;
}

#[tokio::test]
async fn where_nobody_can_be_asked_a_question_is_declined() {
    let world = World::new(QUESTION).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({"unattended": true})).await;
    let turn = a.run(&session, "one", "go").await;
    assert_eq!(text_of(&turn.response_parts), "nowhere");
    assert_eq!(
        notices_of(&turn.response_parts),
        ["declined: A question was declined: nobody can be asked in this session."]
    );
}
