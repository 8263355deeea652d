//! What is there for a paired device, and what it may do, method by method.

use copilotd::audit::Who;
use serde_json::{Value, json};

use super::client::{TestClient, answer, start, text_of};
use super::script::{ASKS, WORKS_ON};
use super::world::{World, chat_of, new_uri};

/// A world in which sessions may be reached from elsewhere.
async fn reachable(functions: &str) -> World {
    let world = World::new(functions).await;
    world.change_remote(|remote| remote.require_github_repository = Some(false));
    world
}

fn remote(on: bool) -> Value {
    json!({"type": "session/configChanged", "config": {"remote": on}})
}

async fn listed(client: &mut TestClient) -> Vec<String> {
    let listed = client
        .ask("listSessions", json!({"channel": "ahp-root://"}))
        .await;
    let items = listed["items"].as_array().unwrap();
    let resource = |i: &Value| i["resource"].as_str().unwrap().to_owned();
    items.iter().map(resource).collect()
}

#[tokio::test]
async fn a_session_without_remote_access_is_one_that_does_not_exist() {
    let world = reachable(ASKS).await;
    let mut person = world.client("terminal").await;
    let hidden = person.create(&world, json!({})).await;
    let mut device = world.device("phone").await;
    let nothing = new_uri();
    person.prompt(&hidden, "one", "make install").await;
    person.permission(&hidden, "call").await;
    assert!(listed(&mut device).await.is_empty());
    for method in ["subscribe", "fetchTurns"] {
        for of in [|s: &str| s.to_owned(), chat_of] {
            let asked = device
                .refused(method, json!({"channel": of(&hidden)}))
                .await;
            let (code, words) = device
                .refused(method, json!({"channel": of(&nothing)}))
                .await;
            assert_eq!(asked, (code, words.replace(&of(&nothing), &of(&hidden))));
        }
    }
    let hash = "0".repeat(64);
    let read = |session: &str| {
        let id = session.trim_start_matches("ahp-session:/");
        json!({"channel": "ahp-root://", "uri": format!("copilot-output:/{id}/call?{}", &hash[..0])})
    };
    let (code, _) = device.refused("resourceRead", read(&hidden)).await;
    assert_eq!(code, device.refused("resourceRead", read(&nothing)).await.0);
    let chat = chat_of(&hidden);
    let why = device.rejected(&chat, answer("one", "allow-once")).await;
    let elsewhere = chat_of(&nothing);
    let nowhere = device
        .rejected(&elsewhere, answer("one", "allow-once"))
        .await;
    assert_eq!(why, nowhere.replace(&elsewhere, &chat));
    // Neither by reconnecting.
    let mut again = TestClient::device(&world.host, "id of phone", "phone");
    let params = json!({"channel": "ahp-root://", "clientId": "x", "lastSeenServerSeq": person.last_seq,
        "subscriptions": ["ahp-root://", hidden, chat]});
    let result = again.ask("reconnect", params).await;
    assert_eq!(result["missing"], json!([hidden, chat]));
    let mut third = TestClient::device(&world.host, "id of phone", "phone");
    let result = third.initialize("x", &[&hidden, &chat]).await;
    assert_eq!(result["snapshots"], json!([]));
    // What happens in it is not heard.
    person.act(&chat, answer("one", "deny")).await;
    person.ended(&hidden, "one").await;
    person.state(&hidden, "idle").await;
    for client in [&mut device, &mut again, &mut third] {
        client.settle().await;
        assert_eq!(client.seen("root/session"), 0);
        assert_eq!(
            client.seen("serverSeq\":"),
            client.seen("rejectionReason") + client.seen("snapshots")
        );
    }
}

#[tokio::test]
async fn a_device_watches_prompts_and_answers_and_is_known_by_the_name_it_was_given() {
    let world = reachable(ASKS).await;
    let mut person = world.client("terminal").await;
    let session = person.create(&world, json!({"remote": true})).await;
    let mut device = world.device("phone").await;
    assert_eq!(listed(&mut device).await, std::slice::from_ref(&session));
    device.watch(&session).await;
    device.prompt(&session, "one", "make install").await;
    person.permission(&session, "call").await;
    device.permission(&session, "call").await;
    device
        .act(&chat_of(&session), answer("one", "allow-once"))
        .await;
    assert_eq!(
        person
            .rejected(&chat_of(&session), answer("one", "deny"))
            .await,
        "already answered by phone (allow-once)"
    );
    let ended = person.ended(&session, "one").await;
    assert_eq!(text_of(&ended.response_parts), "allowed");
    let by = &person.tool_call(&session, "call")["_meta"]["copilot.answeredBy"];
    assert_eq!(
        (&by["name"], &by["trust"]),
        (&json!("phone"), &json!("remote"))
    );
    device.state(&session, "idle").await;
    let clients = device.meta(&session)["copilot.clients"].clone();
    assert!(
        clients
            .as_array()
            .unwrap()
            .contains(&json!({"name": "phone", "trust": "remote"}))
    );
    assert_eq!(
        device.meta(&session)["copilot.remote"]["devicesWatching"],
        1
    );
    world.host.disconnect(&device.client).await;
    while person.meta(&session)["copilot.remote"]["devicesWatching"] != 0 {
        person
            .next("the device gone from the session's state")
            .await;
    }
}

#[tokio::test]
async fn turning_it_off_ends_what_a_device_has_and_turning_it_on_brings_it_back() {
    let world = reachable(WORKS_ON).await;
    let mut person = world.client("terminal").await;
    let session = person.create(&world, json!({})).await;
    let mut device = world.device("phone").await;
    person.act(&session, remote(true)).await;
    let added = device
        .until("the session", |m| m["method"] == "root/sessionAdded")
        .await;
    assert_eq!(added["params"]["summary"]["resource"], session.as_str());
    device.watch(&session).await;
    person.prompt(&session, "one", "go").await;
    device.hears(&session, "working").await;

    person.act(&session, remote(false)).await;
    let removed = device
        .until("its end", |m| m["method"] == "root/sessionRemoved")
        .await;
    assert_eq!(removed["params"]["session"], session.as_str());
    let before = device.last_seq;
    person
        .act(
            &session,
            json!({"type": "session/titleChanged", "title": "Mine alone"}),
        )
        .await;
    let why = device.rejected(&chat_of(&session), start("two", "x")).await;
    assert!(why.starts_with("there is no session behind"), "{why}");
    assert_eq!(device.seen("Mine alone"), 0);
    assert!(device.last_seq > before, "the rejection is all that came");
    assert!(listed(&mut device).await.is_empty());
    assert_eq!(person.meta(&session)["copilot.remote"], Value::Null);
    assert_eq!(
        person.meta(&session)["copilot.clients"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    person.act(&session, remote(true)).await;
    device.watch(&session).await;
    assert_eq!(device.session(&session).title, "Mine alone");
}

#[tokio::test]
async fn every_method_is_open_to_a_device_or_is_not() {
    let world = reachable("").await;
    let mut person = world.client("terminal").await;
    let session = person.create(&world, json!({"remote": true})).await;
    let mut device = world.device("phone").await;
    let channel = json!({"channel": session});
    let root = json!({"channel": "ahp-root://"});
    let typed =
        json!({"channel": chat_of(&session), "kind": "userMessage", "text": "/", "offset": 1});
    for (method, params) in [
        ("subscribe", &channel),
        ("fetchTurns", &channel),
        ("unsubscribe", &channel),
        ("listSessions", &root),
        ("completions", &typed),
        ("ping", &root),
    ] {
        let done = device.request(method, params.clone()).await;
        assert!(done.is_ok(), "{method}: {done:?}");
    }
    let (missing, _) = device.refused("noSuchMethod", json!({})).await;
    for method in [
        "disposeSession",
        "resourceList",
        "resourceWrite",
        "resourceDelete",
        "resourceMove",
        "resourceCopy",
        "resourceResolve",
        "resourceRequest",
        "createTerminal",
        "disposeTerminal",
        "createChat",
        "disposeChat",
        "authenticate",
        "invokeChangesetOperation",
        "shutdown",
    ] {
        let (code, words) = device.refused(method, channel.clone()).await;
        assert_eq!(code, missing, "{method}: {words}");
    }
    assert_eq!(
        listed(&mut person).await,
        std::slice::from_ref(&session),
        "it is still there"
    );
    for uri in [
        "file:///etc/passwd",
        "file:///",
        "copilot-content:/../x",
        "ahp-root://",
    ] {
        let params = json!({"channel": session, "uri": uri});
        let (_, words) = device.refused("resourceRead", params).await;
        let unknown = words.contains("there is no content");
        assert!(
            unknown || words.contains("only content that a session references"),
            "{uri}: {words}"
        );
    }
}

#[tokio::test]
async fn a_device_starts_sessions_in_trusted_folders_only_and_sees_them() {
    let world = reachable("").await;
    let mut device = world.device("phone").await;
    let session = new_uri();
    device
        .ask("createSession", world.new_session(&session, json!({})))
        .await;
    device.watch(&session).await;
    let turn = device.run(&session, "one", "hello").await;
    assert_eq!(text_of(&turn.response_parts), "you said hello");
    assert_eq!(listed(&mut device).await, [session]);

    let elsewhere = world.home().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let folders = ["/", "/etc", "/nonexistent", elsewhere.to_str().unwrap()];
    for folder in folders {
        let params =
            json!({"channel": new_uri(), "workingDirectories": [format!("file://{folder}")]});
        let (_, words) = device.refused("createSession", params).await;
        assert_eq!(
            words,
            "a device starts sessions only in folders that are trusted on this machine"
        );
    }
    for config in [
        json!({"allowAllTools": true}),
        json!({"allowTools": ["shell"]}),
        json!({"unattended": true}),
        json!({"remote": false}),
    ] {
        let params = world.new_session(&new_uri(), config.clone());
        let (_, words) = device.refused("createSession", params).await;
        assert!(words.contains("only at the machine"), "{config}: {words}");
    }
}

#[tokio::test]
async fn a_refusal_has_its_words_and_leaves_the_session_as_it_is() {
    let world = World::new("").await;
    let not_github = "Remote session disabled: not in a GitHub repository";
    let mut person = world.client("terminal").await;
    let session = person.create(&world, json!({"remote": true})).await;
    assert_eq!(
        person.meta(&session)["copilot.remote"],
        json!({"on": false, "refused": not_github})
    );
    person.run(&session, "one", "hello").await;
    assert_eq!(person.rejected(&session, remote(true)).await, not_github);
    let mut device = world.device("phone").await;
    let (_, words) = device
        .refused("createSession", world.new_session(&new_uri(), json!({})))
        .await;
    assert_eq!(words, not_github);
    assert!(listed(&mut device).await.is_empty());

    // The setting asks for it too, and a flag beats it.
    world.change_remote(|remote| remote.sessions = true);
    let session = person.create(&world, json!({})).await;
    assert_eq!(
        person.meta(&session)["copilot.remote"]["refused"],
        not_github
    );
    world.change_remote(|remote| remote.require_github_repository = Some(false));
    let on = person.create(&world, json!({})).await;
    let off = person.create(&world, json!({"remote": false})).await;
    let unattended = person.create(&world, json!({"unattended": true})).await;
    assert_eq!(listed(&mut device).await, [on]);
    assert_eq!(person.meta(&off)["copilot.remote"], Value::Null);
    let only_interactive = "Remote access is only available in interactive sessions";
    assert_eq!(
        person.rejected(&unattended, remote(true)).await,
        only_interactive
    );
    let asked = person
        .create(&world, json!({"unattended": true, "remote": true}))
        .await;
    assert_eq!(
        person.meta(&asked)["copilot.remote"]["refused"],
        only_interactive
    );
}

#[tokio::test]
async fn a_closed_session_that_is_used_again_stays_off_unless_the_settings_say_otherwise() {
    let world = reachable("").await;
    let mut person = world.client("terminal").await;
    let session = person.create(&world, json!({"remote": true})).await;
    let id = session.trim_start_matches("ahp-session:/").to_owned();
    person.run(&session, "one", "hello").await;
    let mut device = world.device("phone").await;
    assert!(world.host.close_session(&id, Who::daemon()).await);
    assert!(listed(&mut device).await.is_empty());
    person.run(&session, "two", "hello").await;
    assert!(listed(&mut device).await.is_empty());

    person.act(&session, remote(true)).await;
    world.change_remote(|remote| remote.on_resume = copilotd::config::OnResume::Restore);
    assert!(world.host.close_session(&id, Who::daemon()).await);
    assert!(listed(&mut device).await.is_empty());
    person.run(&session, "three", "hello").await;
    assert_eq!(listed(&mut device).await, std::slice::from_ref(&session));
    // What was turned off by hand is not brought back.
    person.act(&session, remote(false)).await;
    assert!(world.host.close_session(&id, Who::daemon()).await);
    person.run(&session, "four", "hello").await;
    assert!(listed(&mut device).await.is_empty());
}
