//! A real model client against a server that streams, and what it says when
//! the provider does not do its part.

use copilot_tests::{Home, ModelServer, Reply};
use serde_json::json;

fn home(url: &str) -> Home {
    let mut home = Home::without_model();
    home.set("COPILOT_PROVIDER_BASE_URL", url);
    home.set("COPILOT_PROVIDER_TYPE", "openai");
    home.set("COPILOT_PROVIDER_API_KEY", ModelServer::KEY);
    home.set("COPILOT_MODEL", "test-model");
    home
}

#[test]
fn a_turn_with_two_tool_calls_completes() {
    let server = ModelServer::start([
        Reply::Tools(vec![
            ("view", json!({"path": "README.md"})),
            ("shell", json!({"command": "echo from the shell > made"})),
        ]),
        Reply::Text("Both are done."),
    ]);
    let home = home(&server.url());
    let run = home.copilot(&["-p", "do two things", "-s", "--allow-all-tools"]);
    run.expect_code(0);
    assert_eq!(run.stdout, "Both are done.\n");
    assert_eq!(home.read("made").as_deref(), Some("from the shell\n"));

    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["model"], json!("test-model"));
    assert_eq!(requests[0]["stream"], json!(true));
    let asked = requests[0]["messages"].to_string();
    assert!(asked.contains("do two things"), "{asked}");
    let results = requests[1]["messages"].to_string();
    assert!(
        results.contains("A scratch project"),
        "the file's content: {results}"
    );
}

#[test]
fn the_second_turn_remembers_the_first() {
    let server = ModelServer::start([Reply::Text("First answer."), Reply::Text("Second answer.")]);
    let home = home(&server.url());
    home.copilot(&["-p", "first question", "-s"]).expect_code(0);
    let id = home.only_session();
    home.copilot(&["send", &id, "second question"])
        .expect_code(0);
    copilot_tests::until("the second request", || {
        (server.requests().len() == 2).then_some(())
    });
    let asked = server.requests()[1]["messages"].to_string();
    for text in ["first question", "First answer.", "second question"] {
        assert!(asked.contains(text), "{text}: {asked}");
    }
}

/// Runs a prompt that must fail and returns what it said.
fn failure(home: &Home) -> String {
    let run = home.copilot(&["-p", "hello"]);
    run.expect_code(1);
    assert!(
        !run.stderr.contains(ModelServer::KEY),
        "the key is never shown"
    );
    assert!(
        !home.daemon_log().contains(ModelServer::KEY),
        "the key is never logged"
    );
    // The session itself says the same.
    let message = run
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("error: "));
    let message = message.unwrap_or_else(|| panic!("an error: {run:?}"));
    let shown = home.copilot(&["sessions", "show", &home.only_session()]);
    shown.expect_code(0);
    assert!(shown.stdout.contains(message), "{message}\n{shown:?}");
    run.stderr
}

#[test]
fn a_wrong_key_is_named_as_such() {
    let server = ModelServer::start([]);
    let mut home = home(&server.url());
    home.set("COPILOT_PROVIDER_API_KEY", "sk-wrong");
    let said = failure(&home);
    assert!(said.contains("COPILOT_PROVIDER_API_KEY"), "{said}");
    assert!(!said.contains("sk-wrong"), "{said}");
}

#[test]
fn an_unknown_model_is_named() {
    let server = ModelServer::start([Reply::Status(
        404,
        "The model `test-model` does not exist or you do not have access to it.",
    )]);
    let said = failure(&home(&server.url()));
    assert!(said.contains("test-model"), "{said}");
}

#[test]
fn a_refused_connection_names_the_address() {
    // Nobody listens there, and no other test is given this port.
    let said = failure(&home("http://127.0.0.1:9/v1"));
    assert!(said.contains("127.0.0.1:9"), "{said}");
}

#[test]
fn a_stream_that_breaks_off_is_an_error_not_an_answer() {
    let server = ModelServer::start([Reply::Dropped("This sentence has no ")]);
    let said = failure(&home(&server.url()));
    assert!(!said.trim().is_empty(), "{said}");
}
