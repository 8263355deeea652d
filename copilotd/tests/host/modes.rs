//! Modes and agents that are not ours: what is mapped, what is refused, what confinement stops,
//! and plans that come as a permission of the kind `switch_mode`.

use ahp_types::state::{ResponsePart, TurnState};
use serde_json::{Value, json};

use super::client::{TestClient, notices_of, text_of};
use super::script::ASKS;
use super::world::{World, chat_of};

/// It announces modes as agents do, and can resume a conversation.
const HAS_MODES: &str = r#"
on_initialize() { reply '{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":{"resume":{}}}}'; }
on_new() { reply '{"sessionId":"s","modes":{"currentModeId":"default","availableModes":[{"id":"default","name":"Always Ask"},{"id":"bypassPermissions","name":"Bypass"},{"id":"plan","name":"Plan Mode"}]}}'; }
"#;

/// It proposes a plan, and says what became of it.
const PROPOSES: &str = r##"
on_prompt() {
  case $text in
    plan*) say '{"jsonrpc":"2.0","id":"ask-plan","method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"p","title":"Ready to code?","kind":"switch_mode","rawInput":{"plan":"# The plan"}},"options":[{"optionId":"all","name":"Yes, all","kind":"allow_always"},{"optionId":"yes","name":"Yes","kind":"allow_once"},{"optionId":"no","name":"No","kind":"reject_once"}]}}' ;;
    *) text "you said $text"; end ;;
  esac
}
on_answer() { case $line in *'"id":"ask-plan"'*'"optionId":"yes"'*) text accepted; end ;; *'"id":"ask-plan"'*) text refused; case $line in *leave*) ;; *) end ;; esac ;; esac; }
"##;

/// It writes without asking.
const WRITES: &str = r#"
on_prompt() { if echo x > "written-$text"; then text wrote; else text stopped; fi; end; }
"#;

async fn configure(client: &mut TestClient, session: &str, config: Value) {
    let action = json!({"type": "session/configChanged", "config": config});
    client.act(session, action).await;
}

/// The modes that the agent was told to be in.
fn told(world: &World) -> Vec<String> {
    let mode = |m: Value| m["params"]["modeId"].as_str().unwrap().to_owned();
    let told = world.received_of("session/set_mode");
    told.into_iter().map(mode).collect()
}

fn decide(request: &str, choice: &str, words: Option<&str>) -> Value {
    let mut value = json!({"kind": "selected", "value": choice});
    if let Some(words) = words {
        value["freeformValues"] = json!([words]);
    }
    json!({"type": "chat/inputCompleted", "requestId": request, "response": "accept",
        "answers": {"plan": {"state": "submitted", "value": value}}})
}

fn mode(client: &TestClient, session: &str) -> Value {
    let config = client.session(session).config.clone().unwrap();
    config.values["mode"].clone()
}

#[tokio::test]
async fn an_agents_own_modes_follow_the_sessions_and_never_ask_less() {
    let world = World::new(HAS_MODES).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({"mode": "plan"})).await;
    a.run(&session, "one", "hello").await;
    assert_eq!(told(&world), ["plan"]);
    configure(&mut a, &session, json!({"mode": "autopilot"})).await;
    a.run(&session, "two", "hello").await;
    assert_eq!(told(&world), ["plan", "default"], "it never bypasses");
    let prompts = world.received_of("session/prompt");
    assert_eq!(
        prompts.len(),
        2,
        "an agent that never says so is done at once"
    );
}

#[tokio::test]
async fn an_agent_that_switches_by_itself_changes_nothing_about_what_it_may() {
    let asks = ASKS.replace(
        "on_prompt() {",
        r#"on_prompt() { update '{"sessionUpdate":"current_mode_update","currentModeId":"bypassPermissions"}';"#,
    );
    let world = World::new(&format!("{HAS_MODES}\n{asks}")).await;
    let mut a = world.client("terminal A").await;
    let config = json!({"mode": "plan", "allowTools": ["shell"]});
    let session = a.create(&world, config).await;
    let turn = a.run(&session, "one", "make install").await;
    assert_eq!(text_of(&turn.response_parts), "denied");
    assert_eq!(mode(&a, &session), "plan");
    let notices = notices_of(&turn.response_parts);
    assert!(
        notices.iter().any(|n| n.starts_with("agent-mode: ")
            && n.ends_with("Bypass. The session stays in plan mode.")),
        "{notices:?}"
    );
}

#[tokio::test]
async fn a_plan_of_another_agent_has_the_same_four_answers() {
    let world = World::new(&format!("{HAS_MODES}\n{PROPOSES}")).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({"mode": "plan"})).await;
    b.watch(&session).await;
    let chat = chat_of(&session);
    let table = [
        (
            "accept",
            None,
            "accepted",
            "interactive",
            TurnState::Complete,
        ),
        (
            "accept-autopilot",
            None,
            "accepted",
            "autopilot",
            TurnState::Complete,
        ),
        (
            "leave",
            None,
            "refused",
            "interactive",
            TurnState::Cancelled,
        ),
        (
            "suggest",
            Some("smaller"),
            "refused",
            "plan",
            TurnState::Complete,
        ),
    ];
    for (index, (choice, words, said, after, state)) in table.into_iter().enumerate() {
        configure(&mut a, &session, json!({"mode": "plan"})).await;
        a.prompt(&session, choice, "plan it").await;
        b.state(&session, "plan-ready").await;
        let request = format!("plan-{}", index + 1);
        b.act(&chat, decide(&request, choice, words)).await;
        let turn = a.ended(&session, choice).await;
        assert_eq!(turn.state, state, "{choice}");
        assert_eq!(text_of(&turn.response_parts), said, "{choice}");
        for client in [&mut a, &mut b] {
            client.settle().await;
            assert_eq!(mode(client, &session), after, "{choice}");
            let answer = &client.meta(&session)["copilot.answers"][&request];
            assert_eq!(answer["choice"], choice);
            assert_eq!(answer["by"]["name"], "terminal B");
        }
    }
    // It cannot take words with a no, so they are the next message.
    a.until_chat(&session, "the answer to the words", |chat| {
        let mut turns = chat.turns.iter();
        turns.any(|turn| text_of(&turn.response_parts) == "you said smaller")
    })
    .await;
}

#[tokio::test]
async fn a_plan_that_could_not_be_kept_is_asked_about_all_the_same_each_time() {
    let world = World::new(&format!("{HAS_MODES}\n{PROPOSES}")).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({"mode": "plan"})).await;
    let id = session.strip_prefix("ahp-session:/").unwrap();
    // A file in the place of the folder of its content.
    let contents = world.host.shared.paths.content_dir();
    std::fs::create_dir_all(&contents).unwrap();
    std::fs::write(contents.join(id), "").unwrap();
    for turn in ["one", "two"] {
        a.prompt(&session, turn, "plan it").await;
        a.state(&session, "plan-ready").await;
        a.act(&chat_of(&session), decide("plan-1", "leave", None))
            .await;
        assert_eq!(a.ended(&session, turn).await.state, TurnState::Cancelled);
        configure(&mut a, &session, json!({"mode": "plan"})).await;
    }
}

#[tokio::test]
async fn a_switch_of_modes_without_a_plan_is_no_way_around_plan_mode() {
    let asks = r#"
on_prompt() { say '{"jsonrpc":"2.0","id":"ask","method":"session/request_permission","params":{"sessionId":"s","toolCall":{"toolCallId":"p","title":"Switch","kind":"switch_mode"},"options":[{"optionId":"yes","name":"Yes","kind":"allow_once"},{"optionId":"no","name":"No","kind":"reject_once"}]}}'; }
on_answer() { case $line in *'"optionId":"yes"'*) text allowed ;; *) text denied ;; esac; end; }
"#;
    let world = World::new(&format!("{HAS_MODES}\n{asks}")).await;
    let mut a = world.client("terminal A").await;
    let session = a
        .create(&world, json!({"mode": "plan", "allowAllTools": true}))
        .await;
    let turn = a.run(&session, "one", "go").await;
    assert_eq!(text_of(&turn.response_parts), "denied");
    assert_eq!(mode(&a, &session), "plan");
}

/// It asks two questions at once, and ends when both have an answer.
const ASKS_TWICE: &str = r#"
question() { say '{"jsonrpc":"2.0","id":"'"$1"'","method":"elicitation/create","params":{"mode":"form","sessionId":"s","message":"'"$1"'","requestedSchema":{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}}}'; }
on_prompt() { question first; question second; }
on_answer() {
  who=${id#\"}; who=${who%\"}
  case $line in *'"action":"accept"'*) text "$who=yes " ;; *) text "$who=no " ;; esac
  answers=$((answers + 1)); if [ $answers = 2 ]; then end; fi
}
"#;

#[tokio::test]
async fn several_questions_are_open_at_once_and_answered_in_any_order() {
    let world = World::new(ASKS_TWICE).await;
    let (mut a, mut b) = (
        world.client("terminal A").await,
        world.client("terminal B").await,
    );
    let session = a.create(&world, json!({})).await;
    b.watch(&session).await;
    a.prompt(&session, "one", "go").await;
    let open = |client: &TestClient| -> Vec<(String, String)> {
        let parts = client.chat(&session).active_turn.iter();
        let parts = parts.flat_map(|turn| &turn.response_parts);
        let open = parts.filter_map(|part| match part {
            ResponsePart::InputRequest(part) if part.response.is_none() => {
                let message = part.request.message.clone().unwrap_or_default();
                Some((part.request.id.clone(), message))
            }
            _ => None,
        });
        open.collect()
    };
    while open(&b).len() < 2 {
        b.next("two questions").await;
    }
    let asked = open(&b);
    let chat = chat_of(&session);
    let declined =
        json!({"type": "chat/inputCompleted", "requestId": asked[1].0, "response": "decline"});
    b.act(&chat, declined).await;
    let answer = json!({"type": "chat/inputCompleted", "requestId": asked[0].0, "response": "accept",
        "answers": {"answer": {"state": "submitted", "value": {"kind": "text", "value": "x"}}}});
    a.act(&chat, answer).await;
    let turn = a.ended(&session, "one").await;
    let said = text_of(&turn.response_parts);
    assert_eq!(said, "second=no first=yes ");
}

#[tokio::test]
async fn an_agent_that_is_not_confined_is_called_cooperative_beforehand() {
    let world = World::new(WRITES).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({"mode": "plan"})).await;
    assert_eq!(a.meta(&session)["copilot.confinement"], "cooperative");
    let listed = a
        .ask("listSessions", json!({"channel": "ahp-root://"}))
        .await;
    let meta = &listed["items"][0]["_meta"];
    assert_eq!(meta["copilot.confinement"], "cooperative", "{listed}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_confined_agent_writes_nothing_in_plan_mode_and_is_started_anew_after_it() {
    let world = World::new(&format!("{HAS_MODES}\n{WRITES}")).await;
    world.confine_agent();
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({"mode": "plan"})).await;
    assert_eq!(a.meta(&session)["copilot.confinement"], "confined");
    let turn = a.run(&session, "one", "first").await;
    assert_eq!(text_of(&turn.response_parts), "stopped");
    configure(&mut a, &session, json!({"mode": "interactive"})).await;
    let turn = a.run(&session, "two", "second").await;
    assert_eq!(text_of(&turn.response_parts), "wrote");
    assert_eq!(world.received_of("session/resume").len(), 1);
    configure(&mut a, &session, json!({"mode": "plan"})).await;
    let turn = a.run(&session, "three", "third").await;
    assert_eq!(text_of(&turn.response_parts), "stopped");
    assert!(!world.folder.join("written-first").exists());
    assert!(world.folder.join("written-second").exists());
    assert!(!world.folder.join("written-third").exists());
}
