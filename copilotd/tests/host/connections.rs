//! Connections: the first words, reconnecting, and clients that fall behind.

use copilotd::host::identity::Trust;
use serde_json::json;

use super::client::{answer, text_of};
use super::script::ASKS;
use super::world::{World, chat_of};

#[tokio::test]
async fn a_client_that_was_away_gets_what_it_missed() {
    let world = World::new(ASKS).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    b.watch(&session).await;
    a.prompt(&session, "one", "make install").await;
    b.permission(&session, "call").await;
    b.settle().await;
    world.host.disconnect(&b.client).await;

    a.permission(&session, "call").await;
    a.act(&chat, answer("one", "allow-once")).await;
    a.ended(&session, "one").await;
    a.state(&session, "idle").await;

    let mut again = world.stranger(Trust::Local);
    let gone = "ahp-terminal:/x/y".to_owned();
    let params = json!({"channel": "ahp-root://", "clientId": "terminal B", "lastSeenServerSeq": b.last_seq,
        "subscriptions": [session, chat, gone], "_meta": {"copilot.clientTitle": "terminal B"}});
    let result = again.ask("reconnect", params).await;
    assert_eq!(result["type"], "replay");
    assert_eq!(result["missing"], json!([gone]));
    again.succeed(b);
    again.catch_up(&result);
    assert_eq!(
        text_of(&again.ended(&session, "one").await.response_parts),
        "allowed"
    );
    again.assert_current(&world, &session).await;

    // It is subscribed again, and is called by its name.
    again.prompt(&session, "two", "make install").await;
    again.permission(&session, "call").await;
    again.act(&chat, answer("two", "deny")).await;
    a.ended(&session, "two").await;
    let by = &a.tool_call(&session, "call")["_meta"]["copilot.answeredBy"];
    assert_eq!(by["name"], "terminal B");
}

#[tokio::test]
async fn a_client_of_another_life_of_the_daemon_gets_snapshots() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "hello").await;

    let mut b = world.stranger(Trust::Local);
    let params = json!({"channel": "ahp-root://", "clientId": "terminal B", "lastSeenServerSeq": 1_000_000,
        "subscriptions": ["ahp-root://", session, chat_of(&session), "ahp-session:/gone"]});
    let result = b.ask("reconnect", params).await;
    assert_eq!(result["type"], "snapshot");
    let resources: Vec<&str> = result["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["resource"].as_str().unwrap())
        .collect();
    assert_eq!(resources, ["ahp-root://", &session, &chat_of(&session)]);
    b.catch_up(&result);
    assert_eq!(b.chat(&session).turns.len(), 1);
    a.run(&session, "two", "hello").await;
    b.ended(&session, "two").await;
    b.assert_current(&world, &session).await;
}

#[tokio::test]
async fn initial_subscriptions_come_with_the_first_reply() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let mut b = world.stranger(Trust::Local);
    let channels = ["ahp-root://", session.as_str(), &chat_of(&session)];
    let result = b.initialize("terminal B", &channels).await;
    assert_eq!(result["protocolVersion"], "1.0.0");
    assert_eq!(result["snapshots"].as_array().unwrap().len(), 3);
    a.run(&session, "one", "hello").await;
    b.ended(&session, "one").await;
    b.assert_current(&world, &session).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_disturbs_nobody() {
    const CHUNK: usize = 32 * 1024;
    const CHUNKS: usize = 500;
    let world = World::new(&format!(
        r#"
        chunk=$(printf '%0{CHUNK}d' 0)
        on_prompt() {{ n=0; while [ $n -lt {CHUNKS} ]; do text "$chunk"; n=$((n+1)); done; end; }}
        "#
    ))
    .await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    let turn = a.run(&session, "one", "go").await;
    assert_eq!(text_of(&turn.response_parts).len(), CHUNK * CHUNKS);
    let reason = b.closed().await;
    assert!(
        reason.contains("did not read") && reason.contains("reconnect"),
        "{reason}"
    );
}

#[tokio::test]
async fn deltas_may_be_held_back_to_be_merged_and_nothing_is_lost() {
    let world = World::new(
        r#"on_prompt() { n=0; while [ $n -lt 200 ]; do text "$n,"; n=$((n+1)); done; end; }"#,
    )
    .await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.subscribe(&session, json!({})).await;
    b.subscribe(
        &chat_of(&session),
        json!({"delivery": {"maxLatencyMs": 200}}),
    )
    .await;
    let turn = a.run(&session, "one", "go").await;
    let expected: String = (0..200).map(|n| format!("{n},")).collect();
    assert_eq!(text_of(&turn.response_parts), expected);
    let merged = b.ended(&session, "one").await;
    assert_eq!(merged, turn);
    assert!(
        b.seen("chat/delta") < a.seen("chat/delta"),
        "{} of {}",
        b.seen("chat/delta"),
        a.seen("chat/delta")
    );
    b.assert_current(&world, &session).await;
}

#[tokio::test]
async fn whoever_unsubscribes_or_leaves_gets_nothing_more_and_is_not_listed() {
    let world = World::new("").await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    let names = |client: &super::client::TestClient| {
        let clients = client.meta(&session)["copilot.clients"].clone();
        let clients = clients.as_array().cloned().unwrap_or_default();
        clients
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    while names(&a) != ["terminal A", "terminal B"] {
        a.next("the second client in the list").await;
    }
    b.ask("unsubscribe", json!({"channel": chat_of(&session)}))
        .await;
    b.ask("unsubscribe", json!({"channel": session})).await;
    while names(&a) != ["terminal A"] {
        a.next("the second client to leave").await;
    }
    a.run(&session, "one", "hello").await;
    b.settle().await;
    assert_eq!(b.seen("chat/turnStarted"), 0);

    let mut c = world.client("terminal C").await;
    c.watch(&session).await;
    while names(&a) != ["terminal A", "terminal C"] {
        a.next("the third client in the list").await;
    }
    world.host.disconnect(&c.client).await;
    while names(&a) != ["terminal A"] {
        a.next("the third client to leave").await;
    }
    assert_eq!(world.host.clients(), 2);
}
