//! Whole turns with a scripted model.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{Agent, alive, eventually};

fn tool(name: &str, input: Value) -> Value {
    json!({"tools": [{"name": name, "input": input}]})
}

/// What `cargo xtask demo` makes.
fn demo_repository(folder: &Path) {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::create_dir_all(folder.join("tests")).unwrap();
    fs::write(folder.join("README.md"), "# Demo\n").unwrap();
    fs::write(
        folder.join("src/greeting.sh"),
        "#!/bin/sh\necho \"Helo, world\"\n",
    )
    .unwrap();
    let test = "set -e\n[ \"$(sh src/greeting.sh)\" = \"Hello, world\" ]\necho ok\n";
    fs::write(folder.join("tests/run.sh"), test).unwrap();
    let status = Command::new("git")
        .args(["init", "-q"])
        .current_dir(folder)
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn the_demo_changes_a_file_asks_and_sums_up() {
    let folder = tempfile::tempdir().unwrap();
    demo_repository(folder.path());
    let mut agent = Agent::start(&[("COPILOT_SCRIPTED_MODEL", "demo")]);
    let hello = agent.initialize();
    assert_eq!(hello["agentCapabilities"]["_meta"]["copilot.steer"], true);
    assert_eq!(hello["agentCapabilities"]["loadSession"], false);
    let session = agent.new_session(folder.path());
    let turn = agent.prompt(&session, "Please fix the greeting");

    assert_eq!(
        agent.update("session_info_update")["title"],
        "Please fix the greeting"
    );
    let status = agent.asked("session/request_permission");
    assert_eq!(status["params"]["toolCall"]["kind"], "execute");
    assert_eq!(
        status["params"]["toolCall"]["rawInput"]["command"],
        "git status --short --branch"
    );
    assert_eq!(status["params"]["options"][0]["kind"], "allow_once");
    assert_eq!(status["params"]["options"][1]["kind"], "reject_once");
    agent.allow(&status);

    let edit = agent.asked("session/request_permission");
    let call = &edit["params"]["toolCall"];
    assert_eq!(call["name"], "edit");
    assert_eq!(call["title"], "Edit src/greeting.sh");
    let path = folder
        .path()
        .canonicalize()
        .unwrap()
        .join("src/greeting.sh");
    assert_eq!(call["locations"][0]["path"], json!(path));
    assert_eq!(call["content"][0]["type"], "diff");
    assert!(
        call["content"][0]["oldText"]
            .as_str()
            .unwrap()
            .contains("Helo")
    );
    assert!(
        call["content"][0]["newText"]
            .as_str()
            .unwrap()
            .contains("Hello")
    );
    assert!(fs::read_to_string(&path).unwrap().contains("Helo,"));
    agent.allow(&edit);

    let question = agent.asked("elicitation/create");
    let field = &question["params"]["requestedSchema"]["properties"]["answer"];
    assert_eq!(field["enum"][0], "Run the tests");
    agent.answer(
        &question,
        json!({"action": "accept", "content": {"answer": "Run the tests"}}),
    );
    let test = agent.asked("session/request_permission");
    agent.allow(&test);

    let end = agent.response(turn).unwrap();
    assert_eq!(end["stopReason"], "end_turn");
    let usage = &end["_meta"]["copilot.usage"];
    assert_eq!(usage["model"], "scripted-demo");
    assert!(usage["inputTokens"].as_u64().unwrap() > 1_000);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("\"Hello, world\"")
    );
    assert!(agent.said().contains("the tests pass"));
    assert!(agent.updates("agent_thought_chunk").count() > 1);
    assert_eq!(
        agent.updates("plan").last().unwrap()["entries"][2]["status"],
        "completed"
    );
    // Every call was told of from its beginning to its end: three lists of steps, a file, a
    // search, two commands, an edit and a question.
    let calls = agent.updates("tool_call").count();
    let ended = agent
        .updates("tool_call_update")
        .filter(|update| update["status"] == "completed")
        .count();
    assert_eq!((calls, ended), (9, 9));
    let exit = agent
        .updates("tool_call_update")
        .find(|update| update["_meta"]["terminal_exit"]["exit_code"] == 0);
    assert!(exit.is_some());
    assert_eq!(agent.close(), Some(0));
}

#[test]
fn a_denial_reaches_the_model_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = json!({"fallback": [
        {"steps": [tool("create", json!({"path": "a.txt", "content": "x"}))]},
        {"when": {"denied": true, "contains": "put it in b.txt"}, "steps": [
            tool("create", json!({"path": "b.txt", "content": "x"}))
        ]},
        {"when": {"denied": true, "contains": "no rule"}, "steps": [{"say": "understood"}]}
    ]});
    let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
    let turn = agent.prompt(&session, "make a file");
    let first = agent.asked("session/request_permission");
    let denied = json!({"outcome": "selected", "optionId": "reject-once"});
    agent.answer(
        &first,
        json!({"outcome": denied, "_meta": {"copilot.words": "put it in b.txt"}}),
    );
    let second = agent.asked("session/request_permission");
    assert_eq!(second["params"]["toolCall"]["rawInput"]["path"], "b.txt");
    agent.answer(
        &second,
        json!({"outcome": denied, "_meta": {"copilot.reason": "no rule allows it"}}),
    );
    assert_eq!(agent.response(turn).unwrap()["stopReason"], "end_turn");
    assert_eq!(agent.said(), "understood");
    assert!(!folder.path().join("a.txt").exists() && !folder.path().join("b.txt").exists());
}

#[test]
fn a_cancel_ends_a_running_command_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let command =
        "trap '' TERM; (setsid sleep 300 & echo $! > child); echo $$ > shell; sleep 300; sleep 300";
    let scenario = json!({"fallback": [
        {"steps": [tool("shell", json!({"command": command}))]},
        {"steps": [{"say": "never said"}]}
    ]});
    let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
    let turn = agent.prompt(&session, "run");
    let permission = agent.asked("session/request_permission");
    agent.allow(&permission);
    let pid = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    eventually("the command runs", || !pid("shell").is_empty());
    let started = std::time::Instant::now();
    agent.notify("session/cancel", json!({"sessionId": session}));
    assert_eq!(agent.response(turn).unwrap()["stopReason"], "cancelled");
    assert!(
        // Within a second; the rest is for a machine that does other things.
        started.elapsed().as_secs() < 10,
        "{:?}",
        started.elapsed()
    );
    for name in ["shell", "child"] {
        assert!(!alive(pid(name).trim()), "{name}");
    }
    assert_eq!(agent.said(), "");
    // The session goes on.
    let next = agent.prompt(&session, "run");
    let permission = agent.asked("session/request_permission");
    // A permission that is open when the turn is cancelled does not hold it up.
    agent.notify("session/cancel", json!({"sessionId": session}));
    assert_eq!(agent.response(next).unwrap()["stopReason"], "cancelled");
    agent.answer(&permission, json!({"outcome": {"outcome": "cancelled"}}));
}

#[test]
fn a_cancel_ends_the_models_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = json!({"prompts": [
        {"match": "file", "responses": [{"steps": [{"say": "a"}, {"write_file": "here"}, {"wait_for_file": "never"}]}]},
        {"match": "delay", "responses": [{"steps": [{"write_file": "there"}, {"delay_ms": 3_000_000}]}]}
    ]});
    let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
    for (text, marker) in [("file", "here"), ("delay", "there")] {
        let turn = agent.prompt(&session, text);
        eventually("the point is reached", || {
            folder.path().join(marker).exists()
        });
        agent.notify("session/cancel", json!({"sessionId": session}));
        assert_eq!(agent.response(turn).unwrap()["stopReason"], "cancelled");
    }
}

#[test]
fn words_join_a_running_turn() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = json!({"fallback": [
        {"steps": [{"write_file": "started"}, {"wait_for_file": "go"}, tool("glob", json!({"pattern": "go"}))]},
        {"when": {"steered": "in French"}, "steps": [{"say": "Bonjour"}]},
        {"steps": [{"say": "Hello"}]}
    ]});
    let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
    let turn = agent.prompt(&session, "greet");
    eventually("the turn runs", || folder.path().join("started").exists());
    let steer = json!({"sessionId": session, "messageId": "m1", "text": "in French please"});
    let steering = agent.request("_copilot/steer", steer.clone());
    // Requests are handled in order, so this answer means that the words are waiting.
    assert!(
        agent
            .call(
                "session/prompt",
                json!({"sessionId": session, "prompt": [{"type": "text", "text": "x"}]})
            )
            .is_err()
    );
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(agent.response(steering).unwrap(), json!({"accepted": true}));
    assert_eq!(agent.response(turn).unwrap()["stopReason"], "end_turn");
    assert_eq!(agent.said(), "Bonjour");
    // Nothing runs any more.
    assert_eq!(
        agent.call("_copilot/steer", steer).unwrap(),
        json!({"accepted": false})
    );
}

#[test]
fn a_conversation_is_resumed_and_loaded_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    let file = cwd.join("scenario.json");
    let scenario = json!({"prompts": [
        {"match": "^first", "responses": [
            {"steps": [{"think": "hm"}, {"say": "looking"}, tool("glob", json!({"pattern": "*.json"}))]},
            {"steps": [{"say": "found"}]}
        ]},
        {"match": "^second", "responses": [{"steps": [{"say": "still here"}]}]}
    ]});
    fs::write(&file, scenario.to_string()).unwrap();
    let variables = [
        ("COPILOT_SCRIPTED_MODEL", file.to_str().unwrap()),
        ("COPILOT_AGENT_STATE_DIR", state.path().to_str().unwrap()),
    ];
    let mut agent = Agent::start(&variables);
    let capabilities = agent.initialize()["agentCapabilities"].clone();
    assert_eq!(capabilities["loadSession"], true);
    assert!(capabilities["sessionCapabilities"]["resume"].is_object());
    let session = agent.new_session(cwd);
    let turn = agent.prompt(&session, "first");
    agent.response(turn).unwrap();
    let shown: Vec<Value> = agent.updates("tool_call").cloned().collect();
    assert_eq!(agent.close(), Some(0));

    let mut agent = Agent::start(&variables);
    agent.initialize();
    let params = json!({"sessionId": session, "cwd": cwd, "mcpServers": []});
    agent.call("session/resume", params.clone()).unwrap();
    assert!(
        agent
            .seen
            .iter()
            .all(|message| message["method"] != "session/update")
    );
    let turn = agent.prompt(&session, "second");
    agent.response(turn).unwrap();
    assert_eq!(agent.said(), "still here");
    assert_eq!(agent.updates("session_info_update").count(), 0);
    assert_eq!(agent.close(), Some(0));

    let mut agent = Agent::start(&variables);
    agent.initialize();
    agent.call("session/load", params).unwrap();
    assert_eq!(agent.said(), "lookingfoundstill here");
    let prompts: Vec<_> = agent.updates("user_message_chunk").collect();
    assert_eq!(prompts.len(), 2);
    let call = agent.updates("tool_call").next().unwrap();
    assert_eq!(call["toolCallId"], shown[0]["toolCallId"]);
    assert_eq!(call["status"], "completed");
    assert!(
        call["content"][0]["content"]["text"]
            .as_str()
            .unwrap()
            .contains("scenario.json")
    );

    for id in ["../x", "3f2a"] {
        let params = json!({"sessionId": id, "cwd": cwd, "mcpServers": []});
        assert!(agent.call("session/load", params).is_err());
    }
}

#[test]
fn the_end_of_stdin_and_a_signal_end_everything() {
    for by_signal in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let command = "trap '' TERM; (setsid bash -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 300; done' &)
            while ! [ -s child ]; do sleep 0.01; done; echo $$ > shell; while :; do sleep 300; done";
        let scenario =
            json!({"fallback": [{"steps": [tool("shell", json!({"command": command}))]}]});
        let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
        agent.prompt(&session, "run");
        let permission = agent.asked("session/request_permission");
        agent.allow(&permission);
        let pid = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        eventually("the command runs", || !pid("shell").is_empty());
        let code = if by_signal {
            let id = agent.child.id().to_string();
            let sent = Command::new("kill").args(["-TERM", &id]).status();
            assert!(sent.unwrap().success());
            agent.ended()
        } else {
            agent.close()
        };
        assert_eq!(code, Some(0));
        for name in ["shell", "child"] {
            assert!(!alive(pid(name).trim()), "{name}");
        }
    }
}

#[test]
fn a_flood_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    // Far more than the pipes and the queue hold.
    let scenario = json!({"fallback": [
        {"steps": [{"say": format!("{} ", "x".repeat(150)), "repeat": 20_000}]}
    ]});
    let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
    let turn = agent.prompt(&session, "flood");
    assert_eq!(agent.response(turn).unwrap()["stopReason"], "end_turn");
    assert_eq!(agent.said().len(), 151 * 20_000);
}

#[test]
fn mistakes_are_answered_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = json!({"prompts": [
        {"match": "^fail", "responses": [{"steps": [{"say": "so far"}, {"fail": {"kind": "rate-limit", "message": "Slow down.", "hint": "Wait."}}]}]},
        {"match": "^wrong", "responses": [
            {"steps": [tool("teleport", json!({}))]},
            {"when": {"failed": true, "contains": "no tool \"teleport\""}, "steps": [tool("edit", json!({"path": 1}))]},
            {"when": {"failed": true, "contains": "does not fit"}, "steps": [{"say": "sorry"}]}
        ]}
    ]});
    let (mut agent, session) = Agent::scripted(folder.path(), &scenario);
    let turn = agent.prompt(&session, "fail");
    let error = agent.response(turn).unwrap_err();
    assert_eq!(error["message"], "Slow down.");
    assert_eq!(
        error["data"],
        json!({"kind": "rate-limit", "hint": "Wait."})
    );
    let turn = agent.prompt(&session, "wrong");
    agent.response(turn).unwrap();
    assert!(agent.said().ends_with("sorry"));

    let prompt = json!([{"type": "text", "text": "x"}]);
    for (method, params, words) in [
        (
            "session/new",
            json!({"cwd": "relative", "mcpServers": []}),
            "absolute",
        ),
        (
            "session/new",
            json!({"cwd": "/nowhere/at/all", "mcpServers": []}),
            "/nowhere/at/all",
        ),
        (
            "session/prompt",
            json!({"sessionId": "none", "prompt": prompt}),
            "no such session",
        ),
        (
            "session/prompt",
            json!({"sessionId": session, "prompt": []}),
            "empty",
        ),
        (
            "session/resume",
            json!({"sessionId": session, "cwd": folder.path()}),
            "keeps no conversations",
        ),
    ] {
        let error = agent.call(method, params).unwrap_err();
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{method}: {error}"
        );
    }
    let error = agent.call("session/unknown", json!({})).unwrap_err();
    assert_eq!(error["code"], -32601);

    fs::write(folder.path().join("scenario.json"), r#"{"prompts": [{}]}"#).unwrap();
    let turn = agent.prompt(&session, "fail");
    let error = agent.response(turn).unwrap_err();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("prompts[0]: \"match\" is missing"),
        "{error}"
    );
    assert_eq!(error["data"]["kind"], "not-configured");
}
