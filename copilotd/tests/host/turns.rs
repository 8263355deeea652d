//! Turns as two clients see them, and folder trust.

use ahp_types::state::TurnState;
use serde_json::{Value, json};

use super::client::{error_of, start, text_of};
use super::script::WORKS_ON;
use super::world::{World, chat_of};

fn trust(choice: &str) -> Value {
    json!({"type": "chat/inputCompleted", "requestId": "trust", "response": "accept",
        "answers": {"trust": {"state": "submitted", "value": {"kind": "selected", "value": choice}}}})
}

#[tokio::test]
async fn what_one_client_does_the_other_sees_and_only_the_sender_hears_a_refusal() {
    let world = World::new("").await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;

    a.prompt(&session, "one", "hello").await;
    let echo = b
        .until("the turn of the other client", |m| {
            m["params"]["action"]["type"] == "chat/turnStarted"
        })
        .await;
    assert_eq!(
        echo["params"]["origin"],
        json!({"clientId": "terminal A", "clientSeq": 1})
    );
    for client in [&mut a, &mut b] {
        let turn = client.ended(&session, "one").await;
        assert_eq!(turn.state, TurnState::Complete);
        assert_eq!(text_of(&turn.response_parts), "you said hello");
        client.state(&session, "idle").await;
        assert_eq!(client.session(&session).title, "hello");
    }

    assert_eq!(
        b.rejected(&chat_of(&session), start("one", "hello")).await,
        "duplicate: the turn one was started before"
    );
    a.settle().await;
    assert_eq!(a.seen("rejectionReason"), 0);
    assert_eq!(b.seen("rejectionReason"), 1);
    a.assert_current(&world, &session).await;
    b.assert_current(&world, &session).await;
}

#[tokio::test]
async fn a_turn_is_not_started_over_a_running_one() {
    let world = World::new(WORKS_ON).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    assert_eq!(
        b.rejected(&chat_of(&session), start("two", "go")).await,
        "a turn is running; queue the message or steer the running turn"
    );
    a.state(&session, "working").await;
}

#[tokio::test]
async fn the_folder_is_trusted_before_the_agent_starts_and_once_is_for_this_session() {
    let world = World::with_untrusted_folder("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "hello").await;
    a.state(&session, "needs-answer").await;
    assert_eq!(
        a.session(&session).input_needed.as_ref().map(Vec::len),
        Some(1)
    );
    assert!(world.received().is_empty(), "the agent was started");

    assert_eq!(
        a.rejected(&chat_of(&session), trust("maybe")).await,
        "`maybe` is not one of the choices"
    );
    a.act(&chat_of(&session), trust("trust-once")).await;
    let turn = a.ended(&session, "one").await;
    assert_eq!(text_of(&turn.response_parts), "you said hello");
    assert_eq!(
        a.run(&session, "two", "again").await.state,
        TurnState::Complete
    );
    assert_eq!(a.seen("chat/inputRequested"), 1);
    assert_eq!(
        a.meta(&session)["copilot.answers"]["trust"]["choice"],
        "trust-once"
    );
    assert_eq!(
        a.meta(&session)["copilot.answers"]["trust"]["by"],
        json!({"name": "terminal A", "trust": "local"})
    );

    let other = a.create(&world, json!({})).await;
    a.prompt(&other, "one", "hello").await;
    a.state(&other, "needs-answer").await;
}

#[tokio::test]
async fn trust_for_good_holds_for_other_sessions() {
    let world = World::with_untrusted_folder("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "hello").await;
    a.state(&session, "needs-answer").await;
    a.act(&chat_of(&session), trust("trust-always")).await;
    a.ended(&session, "one").await;

    let other = a.create(&world, json!({})).await;
    a.run(&other, "one", "hello").await;
    assert_eq!(a.seen("chat/inputRequested"), 1);
}

#[tokio::test]
async fn without_trust_no_agent_starts_and_the_next_prompt_asks_again() {
    let world = World::with_untrusted_folder("").await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    a.prompt(&session, "one", "hello").await;
    a.state(&session, "needs-answer").await;
    a.act(&chat_of(&session), trust("no")).await;
    let turn = a.ended(&session, "one").await;
    let (kind, words) = error_of(&turn);
    assert_eq!(kind, "folder-not-trusted");
    assert!(words.contains("Send a prompt to be asked again"), "{words}");
    a.state(&session, "error").await;
    assert_eq!(
        b.rejected(&chat_of(&session), trust("trust-once")).await,
        "already answered by terminal A (no)"
    );

    a.prompt(&session, "two", "hello").await;
    a.state(&session, "needs-answer").await;
    assert!(world.received().is_empty(), "the agent was started");
    // The old answer is not in the way of the new one.
    b.act(&chat_of(&session), trust("trust-once")).await;
    assert_eq!(a.ended(&session, "two").await.state, TurnState::Complete);
}

#[tokio::test]
async fn the_turn_is_cancelled_while_trust_is_asked() {
    let world = World::with_untrusted_folder("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "hello").await;
    a.state(&session, "needs-answer").await;
    a.act(&chat_of(&session), super::client::cancel("one"))
        .await;
    assert_eq!(a.ended(&session, "one").await.state, TurnState::Cancelled);
    a.state(&session, "idle").await;
    assert_eq!(a.session(&session).input_needed, None);
    a.assert_current(&world, &session).await;
}
