//! What the host says to clients that may not, cannot, or do not know how.

use copilotd::host::identity::Trust;
use serde_json::{Value, json};

use super::client::{answer, cancel, message, start};
use super::script::ASKS;
use super::world::{World, chat_of, new_uri};

#[tokio::test]
async fn an_agents_process_may_look_and_not_act() {
    const REFUSAL: &str = "started by an agent";
    let world = World::new(ASKS).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let chat = chat_of(&session);
    a.prompt(&session, "one", "make install").await;
    a.permission(&session, "call").await;

    let mut agent = world.stranger(Trust::Agent);
    agent.initialize("terminal A", &[]).await;
    for (method, params) in [
        (
            "createSession",
            world.new_session(&new_uri(), json!({"allowAllTools": true})),
        ),
        ("disposeSession", json!({"channel": session})),
    ] {
        let (code, words) = agent.refused(method, params).await;
        assert_eq!(code, -32009, "{method}");
        assert!(words.contains(REFUSAL), "{words}");
    }
    agent.watch(&session).await;
    assert_eq!(
        agent.tool_call(&session, "call")["status"],
        "pending-confirmation"
    );
    agent
        .ask("listSessions", json!({"channel": "ahp-root://"}))
        .await;
    for (channel, action) in [
        (&chat, answer("one", "allow-once")),
        (&chat, answer("one", "deny")),
        (&chat, cancel("one")),
        (&chat, start("two", "hello")),
        (
            &chat,
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "q", "message": message("x")}),
        ),
        (
            &chat,
            json!({"type": "chat/draftChanged", "draft": message("x")}),
        ),
        (
            &session,
            json!({"type": "session/titleChanged", "title": "x"}),
        ),
    ] {
        let reason = agent.rejected(channel, action).await;
        assert!(reason.contains(REFUSAL), "{reason}");
    }
    assert_eq!(
        agent.tool_call(&session, "call")["status"],
        "pending-confirmation"
    );
    while a.meta(&session)["copilot.clients"][1]["trust"] != "agent" {
        a.next("the agent's process in the list").await;
    }
    assert_eq!(world.host.live_sessions().len(), 1);
}

#[tokio::test]
async fn the_first_word_is_initialize_and_it_is_said_once() {
    let world = World::new("").await;
    let mut a = world.stranger(Trust::Local);
    a.ask("ping", json!({"channel": "ahp-root://"})).await;
    let session = new_uri();
    for (method, params) in [
        ("listSessions", json!({"channel": "ahp-root://"})),
        ("subscribe", json!({"channel": "ahp-root://"})),
        ("createSession", world.new_session(&session, json!({}))),
        ("disposeSession", json!({"channel": session})),
        (
            "resourceRead",
            json!({"channel": session, "uri": "file:///etc/passwd"}),
        ),
        ("no/such/method", json!({})),
    ] {
        let (code, words) = a.refused(method, params).await;
        assert_eq!(code, -32600, "{method}");
        assert!(words.contains("`initialize`"), "{words}");
    }
    a.dispatch(&chat_of(&session), start("one", "hello")).await;
    a.settle().await;
    assert_eq!(a.seen("\"action\""), 0);
    assert!(world.host.live_sessions().is_empty());

    a.initialize("terminal A", &[]).await;
    let twice =
        json!({"channel": "ahp-root://", "protocolVersions": ["1.0.0"], "clientId": "policy"});
    assert_eq!(a.refused("initialize", twice).await.0, -32600);
}

#[tokio::test]
async fn a_client_of_another_protocol_is_told_and_closed() {
    let world = World::new("").await;
    let a = world.stranger(Trust::Local);
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"channel": "ahp-root://", "protocolVersions": ["99.0.0"], "clientId": "a"}});
    let closed = a.send_raw(&hello.to_string()).await.unwrap_err();
    assert!(closed.contains("99.0.0"), "{closed}");
    assert!(!a.client.is_initialized());
}

#[tokio::test]
async fn names_that_claim_too_much_are_not_taken() {
    let world = World::new(ASKS).await;
    for (title, shown) in [
        ("policy", "a client"),
        (" ", "a client"),
        ("a\u{1b}[2Jb\n", "a[2Jb"),
        ("policy\u{7}", "a client"),
        (" Policy ", "a client"),
    ] {
        let mut client = world.stranger(Trust::Local);
        client.initialize(title, &[]).await;
        assert_eq!(client.client.identity().name, shown, "{title:?}");
    }
    let mut a = world.stranger(Trust::Local);
    for id in ["", &"x".repeat(129)] {
        let params =
            json!({"channel": "ahp-root://", "protocolVersions": ["1.0.0"], "clientId": id});
        let (code, words) = a.refused("initialize", params).await;
        assert_eq!(code, -32602);
        assert!(words.contains("clientId"), "{words}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_the_connection_goes_on() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    for (sent, code) in [
        ("{", Some(-32700)),
        ("", Some(-32700)),
        ("[]", Some(-32700)),
        ("7", Some(-32700)),
        (
            r#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#,
            Some(-32600),
        ),
        (r#"{"id":"x","method":"ping"}"#, Some(-32600)),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"shutdown"}"#,
            Some(-32601),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"subscribe","params":[1]}"#,
            Some(-32602),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"subscribe"}"#,
            Some(-32602),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"subscribe","params":{"channel":"ahp-chat:/x"}}"#,
            Some(-32001),
        ),
        // Notifications and replies are never answered.
        (r#"{"jsonrpc":"2.0","method":"shutdown"}"#, None),
        (
            r#"{"jsonrpc":"2.0","method":"dispatchAction","params":7}"#,
            None,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, None),
    ] {
        a.send_raw(sent).await.unwrap();
        if let Some(code) = code {
            let reply = a.next(sent).await;
            assert_eq!(reply["error"]["code"], code, "{sent}: {reply}");
            let id = if code == -32700 {
                Value::Null
            } else {
                json!("x")
            };
            assert_eq!(reply["id"], id, "{sent}");
        }
    }
    // Nothing but the reply to this came after the last error.
    let id = a.send("ping", json!({"channel": "ahp-root://"})).await;
    assert_eq!(a.next("the reply").await["id"], id);
}

#[tokio::test]
async fn actions_for_what_is_not_there_come_back() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let theirs = a.create(&world, json!({})).await;
    let id = session.strip_prefix("ahp-session:/").unwrap();
    let terminal = format!("ahp-terminal:/{id}/call");
    for (channel, action, words) in [
        (
            new_uri(),
            start("one", "hello"),
            "there is no session behind",
        ),
        (
            "ahp-root://".to_owned(),
            start("one", "hello"),
            "there is no session behind",
        ),
        (
            session.clone(),
            start("one", "hello"),
            "does not belong on the channel",
        ),
        (
            terminal,
            json!({"type": "terminal/input", "data": "rm -rf /\n"}),
            "takes no input",
        ),
        (
            chat_of(&session),
            json!({"type": "chat/turnStarted", "turnId": 1}),
            "malformed chat/turnStarted",
        ),
        (
            chat_of(&session),
            json!({"type": "chat/turnComplete", "turnId": "x", "duration": 1}),
            "only the host may send chat/turnComplete",
        ),
    ] {
        let reason = a.rejected(&channel, action).await;
        assert!(reason.contains(words), "{words} is not in: {reason}");
    }
    a.settle().await;
    assert!(a.chat(&session).active_turn.is_none());
    assert!(a.chat(&theirs).active_turn.is_none());
}
