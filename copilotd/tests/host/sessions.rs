//! Sessions as a whole: creating, listing, paging through turns, deleting.

use copilotd::audit::Who;
use copilotd::store::{Batch, Operation};
use serde_json::{Value, json};

use super::cancel::is_gone;
use super::client::{TestClient, text_of};
use super::world::{World, chat_of, new_uri};

#[tokio::test]
async fn a_session_is_not_created_over_one_that_cannot_be_read() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let database = world.host.shared.paths.data_dir.join("sessions.db");
    let whole = std::fs::read(&database).unwrap();
    std::fs::write(&database, "no database".repeat(1000)).unwrap();
    let params = world.new_session(&new_uri(), json!({}));
    let error = a
        .request("createSession", params.clone())
        .await
        .unwrap_err();
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("cannot be known"), "{words}");
    assert!(words.contains("damaged"), "{words}");
    std::fs::write(&database, whole).unwrap();
    a.request("createSession", params).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_in_words() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let taken = a.create(&world, json!({})).await;
    let with = |key: &str, value: Value| {
        let mut params = world.new_session(&new_uri(), json!({}));
        params[key] = value;
        params
    };
    let config = |config: Value| with("config", config);
    let folder = |uri: &str| with("workingDirectories", json!([uri]));
    let file = world.home().join("file");
    std::fs::write(&file, "").unwrap();
    for (params, code, words) in [
        (world.new_session(&taken, json!({})), -32003, "already"),
        (with("channel", json!("ahp-session:/1")), -32602, "UUID"),
        (
            with("channel", json!("ahp-session:/../../etc")),
            -32602,
            "UUID",
        ),
        (
            with("channel", json!(new_uri().to_uppercase())),
            -32602,
            "UUID",
        ),
        (
            with("provider", json!("nobody")),
            -32002,
            "no agent `nobody`",
        ),
        (
            with("workingDirectories", json!([])),
            -32602,
            "exactly one folder",
        ),
        (folder("/work"), -32602, "not the `file:` URI"),
        (
            folder("file://other-machine/work"),
            -32602,
            "not the `file:` URI",
        ),
        (folder("file:///no/such/folder"), -32602, "cannot be used"),
        (
            folder(&copilotd::uri::of_path(&file)),
            -32602,
            "not a folder",
        ),
        (
            config(json!({"allowEverything": true})),
            -32602,
            "no setting `allowEverything`",
        ),
        (
            config(json!({"unattended": "yes"})),
            -32602,
            "`unattended` is true or false",
        ),
        (
            config(json!({"allowTools": "shell"})),
            -32602,
            "`allowTools` is a list of rules",
        ),
        (
            config(json!({"denyTools": ["shell("]})),
            -32602,
            "`denyTools`",
        ),
        (json!({}), -32602, "channel"),
    ] {
        let (refused_with, why) = a.refused("createSession", params).await;
        assert_eq!(refused_with, code, "{why}");
        assert!(why.contains(words), "{words} is not in: {why}");
    }
    assert_eq!(world.host.live_sessions().len(), 1);
}

#[tokio::test]
async fn the_list_comes_in_pages_that_leave_nothing_out() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(a.create(&world, json!({})).await);
    }
    // The first one is the newest now.
    a.run(&expected[0], "one", "hello").await;
    a.settle().await;

    let mut listed: Vec<String> = Vec::new();
    let mut cursor = Value::Null;
    let mut pages = 0;
    loop {
        let mut params = json!({"channel": "ahp-root://", "limit": 2});
        if !cursor.is_null() {
            params["cursor"] = cursor;
        }
        let page = a.ask("listSessions", params).await;
        pages += 1;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        listed.extend(
            items
                .iter()
                .map(|i| i["resource"].as_str().unwrap().to_owned()),
        );
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(listed[0], expected[0]);
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);

    let whole = a
        .ask("listSessions", json!({"channel": "ahp-root://"}))
        .await;
    assert_eq!(whole["items"].as_array().unwrap().len(), 5);
    assert_eq!(whole["items"][0]["_meta"]["copilot.state"], "idle");
    assert_eq!(whole["items"][0]["title"], "hello");
    for cursor in ["", "x", "before:one"] {
        let params = json!({"channel": "ahp-root://", "cursor": cursor});
        let (code, words) = a.refused("listSessions", params).await;
        assert_eq!(
            (code, words.as_str()),
            (-32602, "this cursor is not one of this list")
        );
    }
}

#[tokio::test]
async fn older_turns_come_in_pages_to_the_one_who_asks() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    for n in 0..35 {
        a.run(&session, &format!("t{n}"), "hello").await;
    }

    let mut b = world.client("terminal B").await;
    b.subscribe(&session, json!({})).await;
    b.subscribe(&chat, json!({"view": {"turns": 2}})).await;
    let mut held = vec![b.chat(&session).turns.len()];
    while let Some(cursor) = b.chat(&session).turns_next_cursor.clone() {
        let params = json!({"channel": chat, "cursor": cursor});
        b.ask("fetchTurns", params).await;
        held.push(b.chat(&session).turns.len());
    }
    assert_eq!(held, [2, 32, 35]);
    b.assert_current(&world, &session).await;
    a.settle().await;
    assert_eq!(a.seen("chat/turnsLoaded"), 0);

    // Without a cursor it goes on from the oldest turn that the client has.
    let mut c = world.client("terminal C").await;
    c.subscribe(&session, json!({})).await;
    c.subscribe(&chat, json!({"view": {"turns": 0}})).await;
    assert!(c.chat(&session).turns.is_empty());
    let cursor = c.chat(&session).turns_next_cursor.clone();
    c.ask("fetchTurns", json!({"channel": chat, "cursor": cursor}))
        .await;
    c.ask("fetchTurns", json!({"channel": chat})).await;
    c.ask("fetchTurns", json!({"channel": chat})).await;
    c.assert_current(&world, &session).await;

    let params = json!({"channel": chat, "cursor": "before:nothing"});
    let (code, words) = c.refused("fetchTurns", params).await;
    assert_eq!(code, -32602);
    assert!(words.contains("subscribe again"), "{words}");
}

/// It runs a command with output, and a process that outlives its turn.
const PRINTS: &str = r#"
on_prompt() {
  sh -c 'while :; do sleep 1000; done' & text "pid $! pid"
  update '{"sessionUpdate":"tool_call","toolCallId":"call","title":"make","kind":"execute","rawInput":{"command":"make"},"status":"in_progress"}'
  update '{"sessionUpdate":"tool_call_update","toolCallId":"call","_meta":{"terminal_output":{"terminal_id":"t","data":"built\n"}}}'
  update '{"sessionUpdate":"tool_call_update","toolCallId":"call","status":"completed","_meta":{"terminal_exit":{"terminal_id":"t","exit_code":0}}}'
  end
}
"#;

#[tokio::test]
async fn a_deleted_session_leaves_nothing_behind() {
    let world = World::new(PRINTS).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    b.subscribe("ahp-root://", json!({})).await;
    let session = a.create(&world, json!({})).await;
    let turn = a.run(&session, "one", "go").await;
    a.state(&session, "idle").await;
    let agent = a.meta(&session)["copilot.agent"]["pid"].to_string();
    let helper = text_of(&turn.response_parts)
        .split(' ')
        .nth(1)
        .unwrap()
        .to_owned();
    assert!(!is_gone(&agent) && !is_gone(&helper));

    let call = a.tool_call(&session, "call");
    let output = call["content"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "resource")
        .unwrap()["uri"]
        .clone();
    let read = json!({"channel": session, "uri": output});
    assert_eq!(a.ask("resourceRead", read.clone()).await["data"], "built\n");
    let id = session.strip_prefix("ahp-session:/").unwrap();
    let content = world.host.shared.paths.content_dir().join(id);
    assert!(content.is_dir());

    a.ask("disposeSession", json!({"channel": session})).await;
    assert!(is_gone(&agent), "the agent lives");
    assert!(is_gone(&helper), "what it started lives");
    assert!(!content.exists(), "its content is still there");
    let removed = b
        .until("the end of the session", |m| {
            m["method"] == "root/sessionRemoved"
        })
        .await;
    assert_eq!(removed["params"]["session"], session.as_str());
    assert!(world.host.live_sessions().is_empty());
    for (method, params) in [
        ("subscribe", json!({"channel": session})),
        ("subscribe", json!({"channel": chat_of(&session)})),
        ("fetchTurns", json!({"channel": chat_of(&session)})),
        ("disposeSession", json!({"channel": session})),
    ] {
        assert_eq!(a.refused(method, params).await.0, -32001, "{method}");
    }
    assert_eq!(a.refused("resourceRead", read).await.0, -32008);
    let reason = a
        .rejected(&chat_of(&session), super::client::start("two", "x"))
        .await;
    assert!(reason.contains("there is no session"), "{reason}");
}

#[tokio::test]
async fn deleting_does_not_wait_for_a_turn_to_end() {
    let world = World::new(r#"trap "" TERM; on_prompt() { text working; }"#).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "working").await;
    a.state(&session, "working").await;
    let agent = a.meta(&session)["copilot.agent"]["pid"].to_string();
    a.ask("disposeSession", json!({"channel": session})).await;
    assert!(is_gone(&agent), "the agent lives");
}

#[tokio::test]
async fn whoever_asks_something_of_a_session_that_is_being_deleted_is_answered() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let mut b = world.client("terminal B").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "hello").await;
    let chat = chat_of(&session);
    // It takes a while until its agent has ended.
    let deleting = a.send("disposeSession", json!({"channel": session}));
    let asking = async {
        let typed = json!({"channel": chat, "kind": "userMessage", "text": "/", "offset": 1});
        let asked = [
            b.send("subscribe", json!({"channel": chat})).await,
            b.send("fetchTurns", json!({"channel": chat})).await,
            b.send("completions", typed).await,
        ];
        (
            asked,
            b.dispatch(&chat, super::client::start("two", "x")).await,
        )
    };
    let (_, (asked, action)) = tokio::join!(deleting, asking);
    for id in asked {
        let reply = b.until("an answer", |m| m["id"] == id).await;
        assert_eq!(reply["error"]["code"], -32001, "{reply}");
    }
    let fate = b.fate(action).await;
    assert_eq!(fate.as_deref(), Some("the session was deleted"));
}

#[tokio::test]
async fn an_undo_that_outlasts_its_turn_does_not_end_the_next_one() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "hello").await;
    let (chat, id) = (
        chat_of(&session),
        session.strip_prefix("ahp-session:/").unwrap(),
    );
    // All three come before what becomes of the first.
    let undo = a.dispatch_later(&chat, super::client::start("two", "/undo"));
    let prompt = a.dispatch_later(&chat, super::client::start("three", "hello again"));
    let close = world.host.close_session(id, Who::daemon());
    let (_, _, prompt) = tokio::join!(undo, close, prompt);
    assert_eq!(a.fate(prompt).await, None);
    let turn = a.ended(&session, "three").await;
    assert_eq!(
        super::client::text_of(&turn.response_parts),
        "you said hello again"
    );
}

#[tokio::test]
async fn a_closed_session_is_stored_and_the_next_prompt_opens_it() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "hello").await;
    a.state(&session, "idle").await;
    let agent = a.meta(&session)["copilot.agent"]["pid"].to_string();
    let id = session.strip_prefix("ahp-session:/").unwrap();
    assert!(world.host.close_session(id, Who::daemon()).await);
    assert!(is_gone(&agent), "the agent lives");
    a.state(&session, "stored").await;
    a.run(&session, "two", "again").await;
    a.state(&session, "idle").await;
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn a_closed_session_leaves_memory_when_nobody_looks() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let (session, id) = stored_with_one_turn(&world, &mut a).await;
    a.watch(&session).await;
    assert!(world.host.live(&id).is_some());
    leave(&world, &mut a, &session).await;
}

#[tokio::test]
async fn looking_at_a_session_of_5000_turns_reads_only_what_is_shown() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let (session, id) = stored_with_one_turn(&world, &mut a).await;
    let store = &world.host.shared.store;
    let first = store.load(&id, 1).unwrap().unwrap().turns[0].json.clone();
    let operations = (1..5000).map(|number| Operation::CompleteTurn {
        turn_id: format!("turn-{number}"),
        json: first.replacen("\"one\"", &format!("\"turn-{number}\""), 1),
        text: String::new(),
    });
    let batch = Batch {
        session: id.clone(),
        durable: true,
        operations: operations.collect(),
    };
    store.submit(batch).unwrap().await.unwrap();

    let before = store.turns_read();
    let mut b = world.client("terminal B").await;
    let view = json!({"view": {"turns": 10}});
    b.subscribe(&chat_of(&session), view).await;
    let turns = &b.chat(&session).turns;
    assert_eq!(turns.len(), 10);
    assert_eq!(turns[9].id, "turn-4999");
    assert!(b.chat(&session).turns_next_cursor.is_some());
    let read = store.turns_read() - before;
    assert!(read <= 30, "{read} turns were read for 10");
    b.ask("fetchTurns", json!({"channel": chat_of(&session)}))
        .await;
    let read = store.turns_read() - before;
    assert!(read <= 60, "{read} turns were read for 10 and a page");
}

/// A session that is only in the store, and its id.
async fn stored_with_one_turn(world: &World, a: &mut TestClient) -> (String, String) {
    let session = a.create(world, json!({})).await;
    a.run(&session, "one", "hello").await;
    let id = session.strip_prefix("ahp-session:/").unwrap().to_owned();
    assert!(world.host.close_session(&id, Who::daemon()).await);
    leave(world, a, &session).await;
    (session, id)
}

/// Looks away from a closed session until it has left memory.
async fn leave(world: &World, a: &mut TestClient, session: &str) {
    for channel in [session, &chat_of(session)] {
        a.ask("unsubscribe", json!({"channel": channel})).await;
    }
    let id = session.strip_prefix("ahp-session:/").unwrap();
    let left = async {
        while world.host.live(id).is_some() {
            tokio::task::yield_now().await;
        }
    };
    let left = tokio::time::timeout(std::time::Duration::from_secs(30), left).await;
    left.expect("the session leaves memory");
}

#[tokio::test]
async fn only_content_of_sessions_can_be_read() {
    let world = World::new(PRINTS).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "go").await;
    let id = session.strip_prefix("ahp-session:/").unwrap();
    let read = |uri: &str| json!({"channel": session, "uri": uri});
    let part = a
        .ask(
            "resourceRead",
            read(&format!("copilot-output:/{id}/call?from=1&to=4")),
        )
        .await;
    assert_eq!(part["data"], "uil");
    for (uri, code) in [
        ("file:///etc/passwd".to_owned(), -32009),
        ("https://example.org/".to_owned(), -32009),
        (format!("copilot-output:/{id}/../../settings.json"), -32009),
        (format!("copilot-output:/{id}/no-such-call"), -32008),
        (format!("copilot-content:/{id}/{}", "0".repeat(64)), -32008),
        (
            new_uri().replace("ahp-session", "copilot-output") + "/call",
            -32008,
        ),
    ] {
        let (refused_with, words) = a.refused("resourceRead", read(&uri)).await;
        assert_eq!(refused_with, code, "{uri}: {words}");
    }
}

#[tokio::test]
async fn what_the_store_does_not_take_is_not_acknowledged() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    // As after a defect of the thread that writes: it takes nothing any more.
    world.host.shared.store.close();
    let title = json!({"type": "session/titleChanged", "title": "Never kept"});
    a.dispatch(&session, title).await;
    let reason = a.closed().await;
    assert!(reason.contains("could not be kept"), "{reason}");
    assert!(!reason.contains("Never kept"), "{reason}");

    let mut b = world.client("terminal B").await;
    let error = b
        .request("createSession", world.new_session(&new_uri(), json!({})))
        .await
        .unwrap_err();
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("could not be kept"), "{words}");
}
