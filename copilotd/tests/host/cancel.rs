//! Cancelling: politely, with force, and while something is asked.

use std::time::{Duration, Instant};

use ahp_types::state::TurnState;
use serde_json::json;

use super::client::{answer, cancel, text_of};
use super::script::{ASKS, WORKS_ON};
use super::world::{World, chat_of};

/// The promise is 3 s; the rest is for a busy machine.
const AT_THE_LATEST: Duration = Duration::from_secs(5);

pub(super) fn is_gone(pid: &str) -> bool {
    assert!(pid.parse::<u32>().is_ok(), "`{pid}` is no process id");
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(_) => true,
        Ok(stat) => stat.contains(") Z "),
    }
}

#[tokio::test]
async fn an_agent_that_stops_goes_on_living() {
    let world = World::new(WORKS_ON).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "working").await;
    a.state(&session, "working").await;
    let pid = a.meta(&session)["copilot.agent"]["pid"].clone();

    b.act(&chat_of(&session), cancel("one")).await;
    assert_eq!(a.ended(&session, "one").await.state, TurnState::Cancelled);
    assert_eq!(
        a.rejected(&chat_of(&session), cancel("one")).await,
        "this turn has ended already"
    );
    a.state(&session, "idle").await;
    assert_eq!(a.meta(&session)["copilot.agent"]["pid"], pid);
    assert_eq!(world.received_of("session/cancel").len(), 1);
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn a_cancel_that_comes_when_the_agent_is_done_is_rejected() {
    let world = World::new("on_prompt() { text working; }\non_cancel() { end; }").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "working").await;
    assert_eq!(
        a.rejected(&chat_of(&session), cancel("one")).await,
        "this turn ended by itself before it could be stopped"
    );
    assert_eq!(a.ended(&session, "one").await.state, TurnState::Complete);
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn an_agent_that_does_not_stop_is_killed_with_all_that_it_started() {
    let world = World::new(
        r#"
        trap "" TERM INT
        on_prompt() { setsid sh -c 'trap "" TERM INT; while :; do sleep 1000; done' & text "pid $! pid"; }
        on_cancel() { text "no"; }
        "#,
    )
    .await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "pid ").await;
    a.state(&session, "working").await;
    let agent = a.meta(&session)["copilot.agent"]["pid"].to_string();

    let asked_at = Instant::now();
    let number = b.dispatch(&chat_of(&session), cancel("one")).await;
    while a.meta(&session)["copilot.cancelling"] != true {
        a.next("the cancel under way").await;
    }
    assert_eq!(
        a.rejected(&chat_of(&session), cancel("one")).await,
        "duplicate: this turn is being cancelled already"
    );
    let turn = a.ended(&session, "one").await;
    assert!(
        asked_at.elapsed() < AT_THE_LATEST,
        "{:?}",
        asked_at.elapsed()
    );
    assert_eq!(turn.state, TurnState::Cancelled);
    assert_eq!(b.fate(number).await, None);
    let text = text_of(&turn.response_parts);
    let grandchild = text.split(' ').nth(1).unwrap();
    assert!(is_gone(&agent), "the agent lives");
    assert!(is_gone(grandchild), "what it started lives");
    a.state(&session, "idle").await;
    assert!(a.meta(&session).get("copilot.cancelling").is_none());
    assert!(a.meta(&session).get("copilot.agent").is_none());

    world.change_agent("");
    let turn = a.run(&session, "two", "hello").await;
    assert_eq!(text_of(&turn.response_parts), "you said hello");
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn what_was_asked_is_withdrawn() {
    let world = World::new(
        r#"
        on_prompt() { ask call "make install"; }
        on_answer() { :; }
        "#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    a.permission(&session, "call").await;
    let chat = chat_of(&session);
    a.dispatch(&chat, cancel("one")).await;
    let late = a.dispatch(&chat, answer("one", "allow-once")).await;
    let reason = a.fate(late).await.unwrap();
    assert!(
        reason == "the turn is being cancelled" || reason.contains("no open permission request"),
        "{reason}"
    );
    assert_eq!(a.ended(&session, "one").await.state, TurnState::Cancelled);
    assert_eq!(a.tool_call(&session, "call")["status"], "cancelled");
    a.state(&session, "idle").await;
    assert_eq!(a.session(&session).input_needed, None);
    // It ends the turn when it hears of the cancel, which is before it reads what became of its
    // question.
    let outcomes = world
        .received_until("the outcome", |m| m["result"].get("outcome").is_some())
        .await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(
        outcomes[0]["result"]["outcome"],
        json!({"outcome": "cancelled"})
    );
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn an_agent_that_is_only_starting_is_gone_at_once() {
    let world = World::new("on_initialize() { :; }").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    a.state(&session, "starting").await;
    a.act(&chat_of(&session), cancel("one")).await;
    assert_eq!(a.ended(&session, "one").await.state, TurnState::Cancelled);

    world.change_agent(ASKS);
    a.prompt(&session, "two", "make install").await;
    a.permission(&session, "call").await;
}
