//! What speaks against reaching a session from elsewhere, in its words; and that
//! the session itself goes on as it was.

use copilot_tests::attached::{Attached, spoken};
use copilot_tests::{Home, Scenario, binary, say, until};
use serde_json::{Value, json};

const NOT_GITHUB: &str = "Remote session disabled: not in a GitHub repository";
const ONLY_INTERACTIVE: &str = "Remote access is only available in interactive sessions";

fn home() -> Home {
    Home::new(Scenario::new().on("hello", [say("Hello to you.")]))
}

fn github(home: &Home) {
    let add = ["remote", "add", "origin", "git@github.com:owner/repo.git"];
    let output = home.command("git", &add).output().expect("git runs");
    assert!(output.status.success(), "{output:?}");
}

/// The sessions that can be reached.
fn reachable(home: &Home) -> Vec<Value> {
    let status = home.copilot(&["remote", "status", "--json"]).json();
    let sessions = status["sessions"].as_array().expect("a list");
    sessions.iter().map(|s| s["id"].clone()).collect()
}

#[track_caller]
fn says_hello(screen: &mut Attached) {
    let turn = screen.prompt("hello");
    if screen.wait("the end or a question", |_, chat| {
        let asked = copilot_tests::attached::open_input(chat).is_some();
        let ended = chat.turns.iter().any(|t| t.id == turn);
        (asked || ended).then_some(asked)
    }) {
        screen.trust_folder();
    }
    let ended = screen.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "Hello to you.", "{ended:?}");
}

#[track_caller]
fn refused(home: &Home, id: &str, words: &str) {
    let run = home.copilot(&["remote", "on", id]);
    run.expect_code(1);
    assert!(run.stderr.contains(words), "{}", run.stderr);
    assert_eq!(reachable(home), Vec::<Value>::new());
}

#[test]
fn a_repository_that_is_not_on_github_stays_local_unless_the_settings_say_otherwise() {
    let home = home();
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"remote": true}));
    let id = screen.id().to_owned();
    assert_eq!(
        screen.meta()["copilot.remote"],
        json!({"on": false, "refused": NOT_GITHUB})
    );
    refused(&home, &id, NOT_GITHUB);
    says_hello(&mut screen);

    home.write_settings(r#"{"remote": {"githubHosts": ["git.example.com"]}}"#);
    let add = [
        "remote",
        "add",
        "origin",
        "https://git.example.com/owner/repo",
    ];
    assert!(home.command("git", &add).status().unwrap().success());
    copilot_tests::until("the setting in effect", || {
        (home.copilot(&["remote", "on", &id, "--json"]).code == 0).then_some(())
    });
    assert_eq!(reachable(&home), [json!(id)]);
    home.copilot(&["remote", "off", &id]).expect_code(0);
    assert_eq!(reachable(&home), Vec::<Value>::new());
    says_hello(&mut screen);
}

#[test]
fn closing_ends_it_and_resuming_leaves_it_off() {
    let home = home();
    github(&home);
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"remote": true}));
    let id = screen.id().to_owned();
    says_hello(&mut screen);
    assert_eq!(reachable(&home), [json!(id)]);
    home.copilot(&["sessions", "close", &id]).expect_code(0);
    assert_eq!(reachable(&home), Vec::<Value>::new());
    says_hello(&mut screen);
    assert_eq!(reachable(&home), Vec::<Value>::new());
    // And it stays as it is over a restart.
    home.copilot(&["remote", "on", &id, "--json"])
        .expect_code(0);
    home.copilot(&["daemon", "stop"]).expect_code(0);
    home.start_daemon();
    assert_eq!(reachable(&home), [json!(id)]);
}

#[test]
fn a_one_shot_run_that_resumes_a_session_turns_it_off_when_it_is_told_to() {
    let home = home();
    github(&home);
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"remote": true}));
    says_hello(&mut screen);
    let resume = format!("--resume={}", screen.id());
    assert_eq!(reachable(&home), [json!(screen.id())]);
    home.copilot(&["-p", "hello", "-s", &resume, "--no-remote"])
        .expect_code(0);
    // Its end closes the session, which turns it off as well: what counts is what was first.
    let audit = home.copilot(&["audit", "--session", screen.id(), "--json"]);
    let off = audit.json_lines().into_iter().find(|record| {
        record["event"] == "config-changed" && record["config"]["remote"] == json!(false)
    });
    let by = off.map(|record| record["by"]["name"].clone());
    assert_eq!(by, Some(json!("copilot -p")));
}

#[test]
fn one_shot_runs_refuse_it() {
    let home = home();
    github(&home);
    home.write_settings(r#"{"remoteSessions": true}"#);
    let run = home.copilot(&["-p", "hello", "--remote"]);
    run.expect_code(2);
    assert!(run.stderr.contains(ONLY_INTERACTIVE), "{}", run.stderr);
    let run = home.copilot(&["-p", "hello"]);
    run.expect_code(0);
    assert_eq!(reachable(&home), Vec::<Value>::new());
    refused(&home, &home.only_session(), ONLY_INTERACTIVE);
}

#[test]
fn a_managed_setting_names_its_file() {
    let mut home = home();
    github(&home);
    let managed = home.root().join("managed");
    std::fs::create_dir(&managed).unwrap();
    home.set("COPILOTD_MANAGED_DIR", &managed.display().to_string());
    let file = managed.join("managed-settings.json");
    std::fs::write(&file, r#"{"remote": {"allowed": false}}"#).unwrap();
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let words = format!(
        "Remote session disabled: {} does not allow it",
        file.display()
    );
    refused(&home, screen.id(), &words);
    says_hello(&mut screen);
}

#[test]
fn a_relay_that_was_not_joined_and_one_that_no_browser_would_take_say_what_to_do() {
    let home = home();
    github(&home);
    home.write_settings(r#"{"remote": {"relay": "https://relay.example"}}"#);
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let words = "Remote session disabled: this machine has not joined the relay https://relay.example; \
                 join it with `copilot login --relay https://relay.example`";
    refused(&home, screen.id(), words);
    says_hello(&mut screen);
    let login = ["login", "--relay", "http://192.168.1.5:8080"];
    let run = home.copilot_with_input(&login, "token\n");
    run.expect_code(1);
    for words in ["only over HTTPS", "certificate", "tailnet", "tunnel"] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
}

#[test]
fn without_any_relay_it_says_how_to_get_one() {
    let home = home();
    github(&home);
    let folder = home.root().join("bin");
    std::fs::create_dir(&folder).unwrap();
    for name in ["copilot", "copilotd", "copilot-agent"] {
        std::fs::copy(binary(name), folder.join(name)).unwrap();
    }
    let copilot = folder.join("copilot");
    let start = home.command(&copilot, &["daemon", "start"]).status();
    assert!(start.unwrap().success());
    let mut screen = Attached::create(&home, "a screen", json!({}));
    refused(
        &home,
        screen.id(),
        "Remote session disabled: there is no relay; install `copilot-relay` beside `copilotd`, \
         or join one with `copilot login --relay URL`",
    );
    says_hello(&mut screen);
}

#[test]
fn flags_beat_the_setting() {
    let home = home();
    github(&home);
    home.write_settings(r#"{"remoteSessions": true}"#);
    home.start_daemon();
    let mut off = home.terminal(&["--no-remote"]);
    let id = home.only_session();
    assert_eq!(reachable(&home), Vec::<Value>::new());
    off.send("\u{4}");
    off.wait();
    // Nothing was said in it, so it is gone with its terminal.
    until("the end of the session", || {
        (!home.sessions().iter().any(|s| s["id"] == json!(id))).then_some(())
    });
    let _on = home.terminal(&[]);
    let id = home.only_session();
    assert_eq!(reachable(&home), [json!(id)]);
}

#[test]
fn a_refusal_is_shown_where_the_session_starts() {
    let home = home();
    let screen = home.terminal(&["--remote", "hello"]);
    screen.wait_for_text(NOT_GITHUB);
}
