//! A client that is not ours: the protocol's own library, over the socket.

use ahp::{Client, ClientConfig, ReduceOutcome, SubscriptionEvent};
use ahp_types::actions::StateAction;
use ahp_types::commands::{ReconnectResult, SubscribeView};
use ahp_types::state::{ChatState, SnapshotState};
use copilot_tests::attached::{fresh_uuid, open_input, open_permission, spoken, turn_started};
use copilot_tests::{Home, Scenario, SocketTransport, say, tool};
use serde_json::{Value, json};

fn action(value: Value) -> StateAction {
    serde_json::from_value(value).expect("a known action")
}

/// Follows a chat until it is as described.
async fn follow(
    chat: &mut ChatState,
    events: &mut ahp::SessionSubscription,
    seen: &mut i64,
    what: &str,
    matches: impl Fn(&ChatState) -> bool,
) {
    let followed = tokio::time::timeout(copilot_tests::DEADLINE, async {
        while !matches(chat) {
            if let SubscriptionEvent::Action(envelope) =
                events.recv().await.expect("the connection stays")
            {
                *seen = i64::try_from(envelope.server_seq).unwrap();
                if envelope.rejection_reason.is_none() {
                    let outcome = ahp::reducers::apply_action_to_chat(chat, &envelope.action);
                    assert!(
                        !matches!(outcome, ReduceOutcome::OutOfScope),
                        "{envelope:?}"
                    );
                }
            }
        }
    })
    .await;
    assert!(followed.is_ok(), "never came: {what}\n{chat:#?}");
}

#[tokio::test]
async fn the_protocols_own_client_does_everything() {
    let home = Home::new(
        Scenario::new()
            .on(
                "write",
                [
                    tool("shell", json!({"command": "touch written"})),
                    say("Written."),
                ],
            )
            .on("turn", [say("A short turn.")]),
    );
    home.start_daemon();
    let connect = || async {
        Client::connect(
            SocketTransport::connect(&home.socket()).await,
            ClientConfig::default(),
        )
        .await
        .expect("the client starts")
    };

    // Initialise and list.
    let client = connect().await;
    let client_id = format!("foreign-{}", fresh_uuid());
    let initialised = client
        .initialize(
            client_id.clone(),
            vec!["1.0.0".to_owned()],
            vec!["ahp-root://".to_owned()],
        )
        .await
        .expect("initialize");
    assert_eq!(initialised.protocol_version, "1.0.0");
    assert_eq!(
        initialised.snapshots.len(),
        1,
        "the root that was asked for"
    );
    client.ping().await.expect("ping");
    let listed: Value = client
        .request("listSessions", json!({"channel": "ahp-root://"}))
        .await
        .expect("list");
    assert_eq!(listed["items"], json!([]));

    // Create, and hear of it on the root channel.
    let mut root = client.attach_subscription("ahp-root://").await;
    let id = fresh_uuid();
    let (session_uri, chat_uri) = (format!("ahp-session:/{id}"), format!("ahp-chat:/{id}"));
    let _: Value = client
        .request(
            "createSession",
            json!({
                "channel": session_uri,
                "workingDirectories": [format!("file://{}", home.project().display())],
            }),
        )
        .await
        .expect("create");
    let added = tokio::time::timeout(copilot_tests::DEADLINE, async {
        loop {
            if let Some(SubscriptionEvent::SessionAdded(added)) = root.recv().await {
                return added;
            }
        }
    })
    .await
    .expect("the session is announced");
    assert_eq!(added.summary.resource, session_uri);

    // Subscribe, prompt, trust the folder, confirm the tool call.
    let (subscribed, mut events) = client.subscribe(chat_uri.clone()).await.expect("subscribe");
    let SnapshotState::Chat(chat) = subscribed.snapshot.expect("a snapshot").state else {
        panic!("the snapshot of a chat")
    };
    let mut chat = *chat;
    let mut seen = initialised.server_seq;
    client
        .dispatch(chat_uri.clone(), action(turn_started("t0", "write it")))
        .await
        .unwrap();
    follow(
        &mut chat,
        &mut events,
        &mut seen,
        "the question of trust",
        |chat| open_input(chat).is_some(),
    )
    .await;
    client
        .dispatch(
            chat_uri.clone(),
            action(json!({
                "type": "chat/inputCompleted", "requestId": "trust", "response": "accept",
                "answers": {"trust": {"state": "submitted", "value": {"kind": "selected", "value": "trust-once"}}},
            })),
        )
        .await
        .unwrap();
    follow(
        &mut chat,
        &mut events,
        &mut seen,
        "the permission",
        |chat| open_permission(chat).is_some(),
    )
    .await;
    let (turn, call) = open_permission(&chat).unwrap();
    client
        .dispatch(
            chat_uri.clone(),
            action(copilot_tests::attached::confirmed(
                &turn,
                &call.tool_call_id,
                "allow-once",
            )),
        )
        .await
        .unwrap();
    follow(
        &mut chat,
        &mut events,
        &mut seen,
        "the end of the turn",
        |chat| chat.turns.len() == 1,
    )
    .await;
    assert_eq!(spoken(&chat.turns[0].response_parts), "Written.");
    assert!(home.read("written").is_some());

    // More turns than a small window shows; fetch the older ones.
    for number in 1..6 {
        client
            .dispatch(
                chat_uri.clone(),
                action(turn_started(
                    &format!("t{number}"),
                    &format!("turn {number}"),
                )),
            )
            .await
            .unwrap();
        follow(&mut chat, &mut events, &mut seen, "the next turn", |chat| {
            chat.turns.len() == number + 1 && chat.active_turn.is_none()
        })
        .await;
    }
    let second = connect().await;
    second
        .initialize(
            format!("second-{}", fresh_uuid()),
            vec!["1.0.0".to_owned()],
            vec![],
        )
        .await
        .expect("initialize");
    let (subscribed, mut second_events) = second
        .subscribe_with_options(
            chat_uri.clone(),
            None,
            Some(SubscribeView { turns: Some(2) }),
        )
        .await
        .expect("subscribe with a view");
    let SnapshotState::Chat(window) = subscribed.snapshot.expect("a snapshot").state else {
        panic!("the snapshot of a chat")
    };
    let mut window = *window;
    assert_eq!(window.turns.len(), 2, "only the newest turns");
    assert_eq!(window.turns[1].message.text, "turn 5");
    let mut second_seen = 0;
    while let Some(cursor) = window.turns_next_cursor.clone() {
        let before = window.turns.len();
        let _: Value = second
            .request("fetchTurns", json!({"channel": chat_uri, "cursor": cursor}))
            .await
            .expect("older turns");
        follow(
            &mut window,
            &mut second_events,
            &mut second_seen,
            "older turns",
            |chat| chat.turns.len() > before,
        )
        .await;
    }
    let texts: Vec<_> = window
        .turns
        .iter()
        .map(|turn| turn.message.text.clone())
        .collect();
    assert_eq!(
        texts,
        ["write it", "turn 1", "turn 2", "turn 3", "turn 4", "turn 5"]
    );

    // The first one loses its connection, misses a turn and gets it replayed.
    client.shutdown().await;
    second
        .dispatch(chat_uri.clone(), action(turn_started("t6", "turn 6")))
        .await
        .unwrap();
    follow(
        &mut window,
        &mut second_events,
        &mut second_seen,
        "the missed turn",
        |chat| chat.turns.len() == 7,
    )
    .await;
    let again = connect().await;
    let result = again
        .reconnect(client_id, seen, vec![chat_uri.clone()])
        .await
        .expect("reconnect");
    let ReconnectResult::Replay(replay) = result else {
        panic!("a replay, not {result:?}")
    };
    assert!(replay.missing.is_empty());
    let mut last = seen;
    for envelope in &replay.actions {
        let seq = i64::try_from(envelope.server_seq).unwrap();
        assert!(seq > last, "rising and after what was seen");
        last = seq;
        if envelope.channel == chat_uri {
            ahp::reducers::apply_action_to_chat(&mut chat, &envelope.action);
        }
    }
    assert_eq!(
        serde_json::to_value(&chat.turns).unwrap(),
        serde_json::to_value(&window.turns).unwrap(),
        "both clients have the same conversation"
    );
    again.ping().await.expect("the connection goes on");
}

#[tokio::test]
async fn a_client_of_an_earlier_daemon_gets_snapshots() {
    let home = Home::new(Scenario::new().on("turn", [say("A short turn.")]));
    home.start_daemon();
    let client = Client::connect(
        SocketTransport::connect(&home.socket()).await,
        ClientConfig::default(),
    )
    .await
    .unwrap();
    // A number that this daemon has never given.
    let result = client
        .reconnect(
            "from-before".to_owned(),
            1_000_000_000_000,
            vec!["ahp-root://".to_owned()],
        )
        .await
        .expect("reconnect");
    let ReconnectResult::Snapshot(result) = result else {
        panic!("snapshots, not {result:?}")
    };
    assert_eq!(result.snapshots[0].resource, "ahp-root://");
    client.ping().await.expect("the connection goes on");
}
