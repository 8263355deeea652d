//! Agents that break: while they start, while they work, and in what they say.

use std::time::Duration;

use ahp_types::state::TurnState;
use serde_json::json;

use super::cancel::is_gone;
use super::client::{error_of, notices_of, text_of};
use super::world::World;

const DIES: &str = r#"on_prompt() { text "so far"; echo "out of luck" >&2; exit 3; }"#;

#[tokio::test]
async fn an_agent_that_dies_is_an_error_with_its_last_words_and_the_next_prompt_starts_it_again() {
    let world = World::new(DIES).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let turn = a.run(&session, "one", "go").await;
    assert_eq!(turn.state, TurnState::Error);
    assert_eq!(text_of(&turn.response_parts), "so far");
    let (kind, words) = error_of(&turn);
    assert_eq!(kind, "agent-crashed");
    for part in ["`fake`", "exit status: 3", "out of luck", "next prompt"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    a.state(&session, "error").await;

    world.change_agent("");
    let turn = a.run(&session, "two", "hello").await;
    assert_eq!(text_of(&turn.response_parts), "you said hello");
    a.state(&session, "idle").await;
    a.assert_current(&world, &session).await;
}

#[tokio::test]
async fn an_agent_that_never_gets_ready_is_ended_and_the_turn_says_so() {
    for silent in ["on_initialize() { :; }", "on_new() { :; }"] {
        // Long enough for one that gets ready.
        let world = World::with_start_limit(silent, Duration::from_secs(3)).await;
        let mut a = world.client("terminal A").await;
        let session = a.create(&world, json!({})).await;
        let turn = a.run(&session, "one", "go").await;
        let (kind, words) = error_of(&turn);
        assert_eq!(kind, "agent-start-failed");
        assert!(words.contains("`fake` did not begin"), "{words}");
        assert!(words.contains("within 3 seconds"), "{words}");

        world.change_agent("");
        let turn = a.run(&session, "two", "hello").await;
        assert_eq!(text_of(&turn.response_parts), "you said hello");
    }
}

#[tokio::test]
async fn an_agent_that_is_killed_leaves_nothing_behind() {
    let world = World::new(
        r#"on_prompt() { setsid sh -c 'while :; do sleep 1000; done' & text "pid $! pid"; }"#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.prompt(&session, "one", "go").await;
    a.hears(&session, "pid ").await;
    a.state(&session, "working").await;
    let agent = a.meta(&session)["copilot.agent"]["pid"].as_i64().unwrap();
    let agent = nix::unistd::Pid::from_raw(i32::try_from(agent).unwrap());
    nix::sys::signal::kill(agent, nix::sys::signal::Signal::SIGKILL).unwrap();
    let turn = a.ended(&session, "one").await;
    let (kind, words) = error_of(&turn);
    assert_eq!(kind, "agent-crashed");
    assert!(words.contains("signal: 9"), "{words}");
    let text = text_of(&turn.response_parts);
    assert!(
        is_gone(text.split(' ').nth(1).unwrap()),
        "what it started lives"
    );
}

#[tokio::test]
async fn a_new_agent_resumes_the_conversation_where_it_can() {
    let resumes = r#"
        on_initialize() { reply '{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":{"resume":{}}}}'; }
    "#;
    let world = World::new(&format!("{resumes}\n{DIES}")).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "go").await;

    world.change_agent(resumes);
    a.run(&session, "two", "hello").await;
    assert_eq!(world.received_of("session/new").len(), 1);
    let resumed = world.received_of("session/resume");
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0]["params"]["sessionId"], "s");
}

#[tokio::test]
async fn an_agent_that_forgot_starts_anew_and_people_are_told() {
    let resumes = r#"
        on_initialize() { reply '{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":{"resume":{}}}}'; }
        on_resume() { say '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32002,"message":"no such session"}}'; }
    "#;
    let world = World::new(&format!("{resumes}\n{DIES}")).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "go").await;

    world.change_agent(resumes);
    let turn = a.run(&session, "two", "hello").await;
    assert_eq!(turn.state, TurnState::Complete);
    assert_eq!(world.received_of("session/new").len(), 2);
    let notices = notices_of(&turn.response_parts);
    assert!(
        notices.len() == 1 && notices[0].starts_with("memory-lost: "),
        "{notices:?}"
    );
}

#[tokio::test]
async fn an_agent_that_cannot_be_talked_to_is_an_error_that_says_why() {
    for (name, functions, expected) in [
        (
            "another version",
            r#"on_initialize() { reply '{"protocolVersion":2,"agentCapabilities":{}}'; }"#,
            "it speaks version 2 of the Agent Client Protocol, not 1",
        ),
        (
            "no answer that makes sense",
            r#"on_initialize() { reply '{"protocolVersion":"one"}'; }"#,
            "its answer to initialize is not understood",
        ),
        (
            "an error of its own",
            r#"on_new() { say '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32000,"message":"please sign in"}}'; }"#,
            "please sign in",
        ),
        (
            "a conversation without an id",
            r#"on_new() { reply '{}'; }"#,
            "its answer to session/new is not understood",
        ),
    ] {
        let world = World::new(functions).await;
        let mut a = world.client("terminal A").await;
        let session = a.create(&world, json!({})).await;
        let turn = a.run(&session, "one", "go").await;
        let (kind, words) = error_of(&turn);
        assert_eq!(kind, "agent-start-failed", "{name}");
        assert!(
            words.contains(expected) && words.contains("`fake`"),
            "{name}: {words}"
        );
        a.state(&session, "error").await;
        assert!(a.meta(&session).get("copilot.agent").is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let world = World::new("").await;
    world.change_program("no-such-agent-anywhere");
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let (kind, words) = error_of(&a.run(&session, "one", "go").await);
    assert_eq!(kind, "agent-start-failed");
    assert!(
        words.contains("`no-such-agent-anywhere`") && words.contains("PATH"),
        "{words}"
    );
}

#[tokio::test]
async fn a_folder_that_is_gone_is_named() {
    let world = World::new("").await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    a.run(&session, "one", "go").await;
    world.change_agent(DIES);
    let other = a.create(&world, json!({})).await;
    a.run(&other, "one", "go").await;
    std::fs::remove_dir(&world.folder).unwrap();
    let (kind, words) = error_of(&a.run(&other, "two", "go").await);
    assert!(
        matches!(kind.as_str(), "agent-start-failed" | "folder-not-trusted"),
        "{kind}"
    );
    assert!(
        words.contains(&world.folder.display().to_string()),
        "{words}"
    );
}

#[tokio::test]
async fn garbage_between_messages_is_skipped() {
    let world = World::new(
        r#"
        say "Welcome to the fake agent 1.0"
        on_prompt() {
          say ''; say '{'; say '[]'; say '42'; say '{"jsonrpc":"2.0"}'; printf '\377\376\n'
          say '{"jsonrpc":"2.0","id":999,"result":{}}'
          say '{"jsonrpc":"2.0","id":"nobody","result":{}}'
          say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"teleported"}}}'
          say '{"jsonrpc":"2.0","method":"session/update","params":[]}'
          say '{"jsonrpc":"2.0","method":"future/notification","params":{}}'
          say '{"jsonrpc":"2.0","id":"r","method":"fs/read_text_file","params":{"path":"/etc/passwd"}}'
        }
        on_answer() { text "still here"; end; }
        "#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let turn = a.run(&session, "one", "go").await;
    assert_eq!(turn.state, TurnState::Complete);
    assert_eq!(text_of(&turn.response_parts), "still here");
    let refusal = world
        .received()
        .into_iter()
        .find(|m| m["id"] == "r")
        .unwrap();
    assert_eq!(refusal["error"]["code"], -32601);
}

#[tokio::test]
async fn an_error_of_the_model_is_shown_with_its_hint() {
    let world = World::new(
        r#"
        on_prompt() { say '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32000,"message":"The key is wrong.","data":{"kind":"auth","hint":"Set COPILOT_PROVIDER_API_KEY."}}}'; }
        "#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let (kind, words) = error_of(&a.run(&session, "one", "go").await);
    assert_eq!(kind, "auth");
    assert_eq!(words, "The key is wrong.\nSet COPILOT_PROVIDER_API_KEY.");
    // The agent lives and is asked again.
    a.run(&session, "two", "go").await;
    assert_eq!(world.received_of("initialize").len(), 1);
}

#[tokio::test]
async fn permission_is_not_asked_for_a_call_that_has_ended() {
    let world = World::new(
        r#"
        on_prompt() {
          update '{"sessionUpdate":"tool_call","toolCallId":"call","title":"t","status":"completed"}'
          ask call "make install"
        }
        on_answer() { case $line in *'"error"'*) text refused ;; *) text answered ;; esac; end; }
        "#,
    )
    .await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    let turn = a.run(&session, "one", "go").await;
    assert_eq!(text_of(&turn.response_parts), "refused");
}

/// It talks, thinks or calls tools without end, unless it is told to be quiet.
const TALKS: &str = r#"
block=0123456789abcdef
for double in 1 2 3 4 5 6 7 8 9 10 11 12; do block=$block$block; done
on_prompt() {
  case $text in
    talk) while :; do text "$block"; done ;;
    think) while :; do update '{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"'$block'"}}'; done ;;
    call) n=0; while :; do n=$((n+1)); update '{"sessionUpdate":"tool_call","toolCallId":"c'$n'","title":"t","rawInput":{"x":"'$block'"}}'; done ;;
    *) text "you said $text"; end ;;
  esac
}
"#;

#[tokio::test]
async fn an_agent_that_says_too_much_is_ended_and_the_next_prompt_works() {
    let world = World::new(TALKS).await;
    let mut a = world.client("terminal A").await;
    let session = a.create(&world, json!({})).await;
    for how in ["talk", "think", "call"] {
        let turn = a.run(&session, how, how).await;
        let (code, words) = error_of(&turn);
        assert_eq!(code, "agent-crashed", "{how}: {words}");
        assert!(
            words.contains("it said more than 16 MiB in one turn"),
            "{how}: {words}"
        );
        let turn = a.run(&session, &format!("after-{how}"), "hello").await;
        assert_eq!(text_of(&turn.response_parts), "you said hello");
    }
}
