//! Commands in messages, from terminals and from devices, and the folders that are trusted.

use ahp_types::state::TurnState;
use serde_json::{Value, json};

use super::client::{TestClient, message, notices_of, start, text_of};
use super::script::{ASKS, WORKS_ON};
use super::world::{World, chat_of};

/// It says what commands it has when a conversation begins.
const HAS_COMMANDS: &str = r#"
on_new() {
  update '{"sessionUpdate":"available_commands_update","availableCommands":[{"name":"review","description":"Review the changes","input":{"hint":"what"}},{"name":"undo","description":"its own"}]}';
  reply '{"sessionId":"s"}';
}
"#;

/// A world with a session that a device may reach, the person who made it, and the device.
async fn reached(functions: &str) -> (World, TestClient, TestClient, String) {
    let world = World::new(functions).await;
    world.change_remote(|remote| remote.require_github_repository = Some(false));
    let mut person = world.client("terminal").await;
    let session = person.create(&world, json!({"remote": true})).await;
    let mut device = world.device("phone").await;
    device.watch(&session).await;
    (world, person, device, session)
}

fn pending(kind: &str, id: &str, text: &str) -> Value {
    json!({"type": "chat/pendingMessageSet", "kind": kind, "id": id, "message": message(text)})
}

async fn offered(client: &mut TestClient, session: &str, typed: &str) -> Vec<(String, Value)> {
    let params = json!({"channel": chat_of(session), "kind": "userMessage", "text": typed,
        "offset": typed.encode_utf16().count()});
    let result = client.ask("completions", params).await;
    let items = result["items"].as_array().unwrap();
    let item = |item: &Value| {
        let command = &item["attachment"]["_meta"]["copilot.command"];
        let label = item["attachment"]["label"].as_str().unwrap().to_owned();
        (label, command["unavailable"].clone())
    };
    items.iter().map(item).collect()
}

fn mode(client: &TestClient, session: &str) -> Value {
    let config = client.session(session).config.clone().unwrap();
    config.values["mode"].clone()
}

#[tokio::test]
async fn everybody_is_offered_what_the_host_carries_out_and_told_what_is_not_for_them() {
    let (world, mut person, mut device, session) = reached(HAS_COMMANDS).await;
    let mut newcomer = world.stranger(copilotd::host::identity::Trust::Local);
    let hello = newcomer.initialize("newcomer", &[]).await;
    assert_eq!(hello["completionTriggerCharacters"], json!(["/"]));
    let here = |name: &str| json!(format!("/{name} works only at the machine itself"));
    let for_device = [
        ("/mode NAME".to_owned(), Value::Null),
        ("/plan [PROMPT]".to_owned(), Value::Null),
        ("/rename TITLE".to_owned(), Value::Null),
        ("/undo [N]".to_owned(), here("undo")),
        ("/allow-all [on|off]".to_owned(), here("allow-all")),
        ("/remote [on|off]".to_owned(), here("remote")),
        ("/cancel".to_owned(), here("cancel")),
        ("/older".to_owned(), here("older")),
        ("/exit".to_owned(), here("exit")),
        ("/help".to_owned(), here("help")),
    ];
    assert_eq!(offered(&mut device, &session, "/").await, for_device);
    let names: Vec<String> = offered(&mut person, &session, "/")
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        ["/mode NAME", "/plan [PROMPT]", "/rename TITLE", "/undo [N]"]
    );
    // What the agent has is known when it runs, and what it calls like ours is not offered twice.
    person.run(&session, "one", "hello").await;
    assert_eq!(
        offered(&mut device, &session, "/re").await,
        [
            ("/rename TITLE".to_owned(), Value::Null),
            ("/remote [on|off]".to_owned(), here("remote")),
            ("/review what".to_owned(), Value::Null),
        ]
    );
    assert_eq!(offered(&mut device, &session, "/undo").await.len(), 1);
    for nothing in ["hello", "", "/mode p", " /"] {
        assert_eq!(
            offered(&mut person, &session, nothing).await,
            [],
            "{nothing}"
        );
    }
    let typed = json!({"channel": session, "kind": "userMessage", "text": "/", "offset": 1});
    person.refused("completions", typed).await;
    let typed =
        json!({"channel": chat_of(&session), "kind": "userMessage", "text": "/", "offset": 2});
    let (_, why) = person.refused("completions", typed).await;
    assert!(why.contains("`offset`"), "{why}");
    let typed =
        json!({"channel": chat_of(&session), "kind": "somethingNew", "text": "/", "offset": 1});
    assert_eq!(person.ask("completions", typed).await, json!({"items": []}));
}

#[tokio::test]
async fn a_device_switches_the_mode_and_names_the_session_without_an_agent() {
    let (world, mut person, mut device, session) = reached("").await;
    for (turn, text, notice) in [
        (
            "one",
            "/mode autopilot",
            "mode: phone switched to autopilot mode.",
        ),
        (
            "two",
            "/mode autopilot",
            "mode: The session is in autopilot mode already.",
        ),
        (
            "three",
            "/plan",
            "autopilot-mode: Autopilot stopped: phone switched to plan mode.",
        ),
        (
            "four",
            "/rename The parser",
            "renamed: phone named the session The parser",
        ),
    ] {
        let ended = device.run(&session, turn, text).await;
        assert_eq!(ended.state, TurnState::Complete, "{text}");
        assert_eq!(notices_of(&ended.response_parts), [notice], "{text}");
    }
    person.settle().await;
    assert_eq!(person.session(&session).title, "The parser");
    assert_eq!(mode(&person, &session), "plan");
    person.state(&session, "idle").await;
    assert!(world.received().is_empty(), "no agent was started");
    person.assert_current(&world, &session).await;
    // The agent does not rename what a person named, and gets what follows as it is.
    person.run(&session, "five", "/explain it").await;
    assert_eq!(person.session(&session).title, "The parser");
    let prompts = world.received_of("session/prompt");
    assert_eq!(prompts[0]["params"]["prompt"][0]["text"], "/explain it");
}

#[tokio::test]
async fn a_plan_with_a_prompt_is_one_turn_in_plan_mode_and_the_agent_gets_the_prompt() {
    let (world, mut person, mut device, session) = reached("").await;
    let attached = json!({"type": "chat/turnStarted", "turnId": "one", "startedAt": "whenever",
        "message": {"text": "/plan a new parser", "origin": {"kind": "user"}, "attachments": [
            {"type": "simple", "label": "/plan [PROMPT]", "_meta": {"copilot.command": {"description": "x"}}}]}});
    device.act(&chat_of(&session), attached).await;
    let ended = person.ended(&session, "one").await;
    assert_eq!(ended.message.text, "/plan a new parser");
    assert_eq!(text_of(&ended.response_parts), "you said a new parser");
    assert_eq!(
        notices_of(&ended.response_parts),
        ["mode: phone switched to plan mode."]
    );
    assert_eq!(mode(&person, &session), "plan");
    assert_eq!(person.session(&session).title, "a new parser");
    assert_eq!(world.received_of("session/prompt").len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_said_to_whoever_sent_it_and_nothing_happens() {
    let (world, mut person, mut device, session) = reached("").await;
    let chat = chat_of(&session);
    for (text, why) in [
        (
            "/mode",
            "/mode takes the name of a mode: interactive, plan or autopilot",
        ),
        (
            "/mode fast",
            "`fast` is not a mode; use interactive, plan or autopilot",
        ),
        (
            "/rename",
            "/rename takes the title that the session is to have",
        ),
        (
            "/undo it",
            "/undo takes the number of a turn or nothing, as in `/undo 3`",
        ),
    ] {
        assert_eq!(person.rejected(&chat, start("t", text)).await, why);
        assert_eq!(
            person.rejected(&chat, pending("queued", "t", text)).await,
            why
        );
    }
    for text in [
        "/undo",
        "/undo 1",
        "/allow-all",
        "/allow-all on",
        "/remote off",
    ] {
        let name = text.split(' ').next().unwrap();
        let why = format!("{name} works only at the machine itself");
        assert_eq!(device.rejected(&chat, start("t", text)).await, why);
        assert_eq!(
            device.rejected(&chat, pending("steering", "t", text)).await,
            why
        );
    }
    assert!(person.chat(&session).turns.is_empty());
    assert!(world.received().is_empty());
}

#[tokio::test]
async fn a_command_for_the_running_turn_is_done_at_once_and_a_queued_one_in_its_turn() {
    let (_world, mut person, mut device, session) = reached(WORKS_ON).await;
    let chat = chat_of(&session);
    person.prompt(&session, "one", "go").await;
    person.hears(&session, "working").await;
    device
        .act(&chat, pending("steering", "now", "/mode plan"))
        .await;
    person
        .until_turn(&session, "the switch", |turn| {
            notices_of(&turn.response_parts) == ["mode: phone switched to plan mode."]
        })
        .await;
    assert_eq!(mode(&person, &session), "plan");
    assert!(person.chat(&session).steering_message.is_none());
    let again = person
        .rejected(&chat, pending("steering", "now", "/mode plan"))
        .await;
    assert!(again.starts_with("duplicate:"), "{again}");
    for (id, text) in [
        ("first", "/mode interactive"),
        ("second", "/rename Done"),
        ("third", "/plan more"),
    ] {
        device.act(&chat, pending("queued", id, text)).await;
    }
    person.settle().await;
    assert_eq!(mode(&person, &session), "plan", "it is not its turn yet");
    device.act(&chat, super::client::cancel("one")).await;
    person.ended(&session, "one").await;
    // After a cancel somebody looks first.
    let ended = person.run(&session, "two", "/mode autopilot").await;
    assert_eq!(
        notices_of(&ended.response_parts),
        ["mode: terminal switched to autopilot mode."]
    );
    let ended = person.ended(&session, "first").await;
    assert_eq!(
        notices_of(&ended.response_parts)[0],
        "autopilot-mode: Autopilot stopped: phone switched to interactive mode."
    );
    person.ended(&session, "second").await;
    assert_eq!(person.session(&session).title, "Done");
    person
        .until_turn(&session, "the prompt of the third", |turn| {
            turn.id == "third" && text_of(&turn.response_parts) == "working"
        })
        .await;
    assert_eq!(mode(&person, &session), "plan");
}

#[tokio::test]
async fn a_hundred_queued_commands_are_done_one_after_the_other() {
    let (world, mut person, _device, session) = reached(WORKS_ON).await;
    let chat = chat_of(&session);
    person.prompt(&session, "one", "go").await;
    for n in 0..100 {
        person
            .act(
                &chat,
                pending("queued", &format!("m{n}"), &format!("/rename {n}")),
            )
            .await;
    }
    person.act(&chat, super::client::cancel("one")).await;
    person.ended(&session, "one").await;
    person.run(&session, "two", "/rename first").await;
    person.ended(&session, "m99").await;
    assert_eq!(person.session(&session).title, "99");
    person.assert_current(&world, &session).await;
}

#[tokio::test]
async fn what_is_said_with_a_denial_is_no_command() {
    let (world, mut person, mut device, session) = reached(&format!(
        "{ASKS}\non_prompt() {{ case $text in *install*) ask call \"$text\" ;; *) text \"you said $text\"; end ;; esac; }}"
    ))
    .await;
    let chat = chat_of(&session);
    device.prompt(&session, "one", "make install").await;
    device.permission(&session, "call").await;
    let denied = json!({"type": "chat/toolCallConfirmed", "turnId": "one", "toolCallId": "call",
        "approved": false, "selectedOptionId": "deny-with-words", "userSuggestion": message("/undo")});
    device.act(&chat, denied).await;
    person
        .until_chat(&session, "the words as the next message", |chat| {
            chat.turns
                .iter()
                .any(|turn| text_of(&turn.response_parts) == "you said /undo")
        })
        .await;
    assert_eq!(world.received_of("session/prompt").len(), 2);
}

#[tokio::test]
async fn the_folders_that_are_trusted_for_good_are_known_to_everybody_as_they_change() {
    let world = World::with_untrusted_folder("").await;
    let mut person = world.client("terminal").await;
    let mut device = world.device("phone").await;
    let folders = |state: &Value| state["config"]["values"]["copilot.trustedFolders"].clone();
    let shown = person.subscribe("ahp-root://", json!({})).await;
    assert_eq!(folders(&shown["snapshot"]["state"]), json!([]));
    world.host.shared.trust(&world.folder).unwrap();
    let here = world.folder.canonicalize().unwrap();
    for client in [&mut person, &mut device] {
        let told = client
            .until("the change", |m| {
                m["params"]["action"]["type"] == "root/configChanged"
            })
            .await;
        let config = &told["params"]["action"]["config"];
        assert_eq!(config["copilot.trustedFolders"], json!([here]));
    }
    // Once more is no change.
    world.host.shared.trust(&world.folder).unwrap();
    person.settle().await;
    assert_eq!(person.seen("root/configChanged"), 1);
    let mut other = world.device("tablet").await;
    let shown = other.subscribe("ahp-root://", json!({})).await;
    assert_eq!(folders(&shown["snapshot"]["state"]), json!([here]));
    let set = json!({"type": "root/configChanged", "config": {"copilot.trustedFolders": ["/etc"]}});
    for client in [&mut person, &mut device] {
        let why = client.rejected("ahp-root://", set.clone()).await;
        assert!(why.contains("no session behind"), "{why}");
    }
}
