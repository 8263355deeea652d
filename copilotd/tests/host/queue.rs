//! Messages for later: the queue and steering.

use ahp_types::state::TurnState;
use serde_json::{Value, json};

use super::client::{cancel, message, notices_of, text_of};
use super::script::WORKS_ON;
use super::world::{World, chat_of};

fn pend(kind: &str, id: &str, text: &str) -> Value {
    json!({"type": "chat/pendingMessageSet", "kind": kind, "id": id, "message": message(text)})
}

/// It works on the first prompt until the daemon answers what it asks.
const ASKS_FIRST: &str = r#"
on_prompt() { case $text in wait*) ask call "make install" ;; *) text "you said $text"; end ;; esac; }
on_answer() { end; }
"#;

#[tokio::test]
async fn what_is_queued_starts_one_after_the_other_when_the_turn_is_over() {
    let world = World::new(ASKS_FIRST).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "wait").await;
    a.permission(&session, "call").await;
    for id in ["b", "a", "c"] {
        a.act(&chat, pend("queued", id, id)).await;
    }
    a.act(
        &chat,
        json!({"type": "chat/pendingMessageRemoved", "kind": "queued", "id": "a"}),
    )
    .await;
    a.act(
        &chat,
        json!({"type": "chat/queuedMessagesReordered", "order": ["c"]}),
    )
    .await;
    a.act(&chat, super::client::answer("one", "allow-once"))
        .await;
    let last = a.ended(&session, "b").await;
    assert_eq!(text_of(&last.response_parts), "you said b");
    let ids: Vec<&str> = a
        .chat(&session)
        .turns
        .iter()
        .map(|t| t.id.as_str())
        .collect();
    assert_eq!(ids, ["one", "c", "b"]);
    assert_eq!(a.chat(&session).queued_messages, None);
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn with_nothing_running_a_queued_message_starts_at_once() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.act(&chat_of(&session), pend("queued", "q", "hello"))
        .await;
    let turn = a.ended(&session, "q").await;
    assert_eq!(text_of(&turn.response_parts), "you said hello");
}

#[tokio::test]
async fn after_a_cancel_the_queue_waits_for_somebody_to_look() {
    let world = World::new(WORKS_ON).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "working").await;
    a.act(&chat, pend("queued", "q", "next")).await;
    a.act(&chat, cancel("one")).await;
    a.state(&session, "idle").await;
    a.settle().await;
    assert!(a.chat(&session).active_turn.is_none());
    assert_eq!(
        a.chat(&session).queued_messages.as_ref().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn steering_joins_the_turn_where_the_agent_can() {
    let world = World::new(
        r#"
        on_initialize() { reply '{"protocolVersion":1,"agentCapabilities":{"_meta":{"copilot.steer":true}}}'; }
        on_prompt() { text "going"; }
        on_steer() { reply '{"accepted":true}'; text "turning"; end; }
        "#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "going").await;
    a.act(&chat_of(&session), pend("steering", "s", "left"))
        .await;
    let turn = a.ended(&session, "one").await;
    assert_eq!(notices_of(&turn.response_parts), ["steered: left"]);
    assert_eq!(text_of(&turn.response_parts), "goingturning");
    let steered = world.received_of("_copilot/steer");
    assert_eq!(
        steered[0]["params"],
        json!({"sessionId": "s", "messageId": "s", "text": "left"})
    );
    a.settle().await;
    assert_eq!(a.chat(&session).steering_message, None);
    assert_eq!(a.chat(&session).turns.len(), 1);
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn steering_that_came_too_late_is_the_next_turn_before_the_queue() {
    let world = World::new(
        r#"
        on_initialize() { reply '{"protocolVersion":1,"agentCapabilities":{"_meta":{"copilot.steer":true}}}'; }
        on_prompt() { case $text in go) text "going" ;; *) text "you said $text"; end ;; esac; }
        on_steer() { reply '{"accepted":false}'; end; }
        "#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "going").await;
    a.act(&chat, pend("queued", "q", "later")).await;
    a.act(&chat, pend("steering", "s", "left")).await;
    a.ended(&session, "q").await;
    let ids: Vec<&str> = a
        .chat(&session)
        .turns
        .iter()
        .map(|t| t.id.as_str())
        .collect();
    assert_eq!(ids, ["one", "s", "q"]);
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn an_agent_that_cannot_be_steered_gets_the_text_as_the_next_turn() {
    let world = World::new(ASKS_FIRST).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "wait").await;
    a.permission(&session, "call").await;
    a.act(&chat, pend("steering", "s", "left")).await;
    assert_eq!(
        a.rejected(&chat, pend("steering", "t", "right")).await,
        "another steering message is waiting; queue this one, or take the other back first"
    );
    a.act(&chat, super::client::answer("one", "deny")).await;
    let turn = a.ended(&session, "s").await;
    assert_eq!(turn.state, TurnState::Complete);
    assert_eq!(text_of(&turn.response_parts), "you said left");
    assert!(world.received_of("_copilot/steer").is_empty());
}
