//! "Always here": kept for the repository, shown, explained and taken back.

use copilot_tests::attached::is_asked;
use copilot_tests::{Attached, Home, Scenario, say, tool};
use serde_json::{Value, json};

fn home() -> Home {
    Home::new(Scenario::new().on(
        "touch",
        [
            tool("shell", json!({"command": "touch written"})),
            say("Tried."),
        ],
    ))
}

fn run_unasked(screen: &mut Attached) {
    let turn = screen.prompt("touch");
    screen.wait("the end, without a question", |_, chat| {
        assert!(!is_asked(chat), "somebody is asked");
        chat.turns
            .iter()
            .any(|ended| ended.id == turn)
            .then_some(())
    });
}

#[test]
fn what_is_allowed_here_holds_for_the_repository_until_it_is_taken_back() {
    let home = home();
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let turn = screen.prompt("touch");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    let options = call.options.clone().unwrap_or_default();
    let here = options.iter().find(|option| option.id == "allow-here");
    let label = &here.expect("the choice is offered").label;
    assert!(
        label.starts_with("Always here (this repository)"),
        "{label}"
    );
    assert!(label.contains("`touch written`"), "{label}");
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-here"),
        None
    );
    screen.wait_for_end(&turn);

    run_unasked(&mut screen);
    // Another session, and the daemon after a restart.
    home.copilot(&["daemon", "stop"]).expect_code(0);
    home.start_daemon();
    let mut other = Attached::create(&home, "another screen", json!({}));
    run_unasked(&mut other);

    // A linked working tree is the same repository, another folder is not.
    let git = ["worktree", "add", "--quiet", "../linked"];
    assert!(home.command("git", &git).status().unwrap().success());
    std::fs::create_dir(home.root().join("elsewhere")).unwrap();
    let decision = |folder: &str| -> Value {
        let mut explain =
            home.copilot_command(&["permissions", "explain", "touch written", "--json"]);
        explain.current_dir(home.root().join(folder));
        serde_json::from_slice(&explain.output().unwrap().stdout).unwrap()
    };
    let linked = decision("linked");
    assert_eq!(linked["decision"], "allow", "{linked}");
    let reason = linked["reason"].as_str().unwrap();
    assert!(
        reason.contains("the rule `shell(touch written)` approved for"),
        "{linked}"
    );
    assert_eq!(decision("elsewhere")["decision"], "ask");

    // Nothing of it is in the repository.
    let clean = home
        .command("git", &["status", "--porcelain"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&clean.stdout), "?? written\n");
    let listed = home.copilot(&["permissions", "list", "--json"]).json();
    let project = home.project().canonicalize().unwrap();
    assert_eq!(
        listed,
        json!([{"repository": project.display().to_string(), "rule": "shell(touch written)"}])
    );
    home.copilot(&["permissions", "reset", "shell(other)"])
        .expect_code(1);
    let removed = home.copilot(&["permissions", "reset", "--json"]).json();
    assert_eq!(removed, json!({"removed": 1}));
    assert_eq!(
        home.copilot(&["permissions", "list", "--json"]).json(),
        json!([])
    );
    other.prompt("touch");
    other.wait_for_permission();
}

#[test]
fn every_decision_explains_itself() {
    let home = home();
    home.write_settings(
        r#"{"permissions": {"allow": ["shell(make:*)"], "deny": ["shell(git push)"]}}"#,
    );
    let settings = home.path().join("config/settings.json");
    let settings = settings.display();
    for (what, expected) in [
        (
            &["make all"][..],
            format!("allow: the rule `shell(make:*)` in {settings} allows this command"),
        ),
        (
            &["git push --force"],
            format!("deny: the rule `shell(git push)` in {settings} denies this command"),
        ),
        (
            &["cargo build"],
            "ask: no rule allows this command".to_owned(),
        ),
        (
            &["--read", "README.md"],
            "allow: reading inside the session's folders needs no rule".to_owned(),
        ),
        (
            &["--write", "README.md"],
            "ask: no rule allows writing this path".to_owned(),
        ),
        (
            &["--read", "~/.ssh/id_ed25519"],
            "ask: secrets are kept there, and no rule names it".to_owned(),
        ),
        (
            &["--url", "http://127.0.0.1/"],
            "ask: the address is on this machine or in a private network, and rules never cover \
             those"
                .to_owned(),
        ),
        (
            &["--tool", "memory(store)"],
            "ask: no rule allows this tool".to_owned(),
        ),
    ] {
        let mut arguments = vec!["permissions", "explain"];
        arguments.extend(what);
        let run = home.copilot(&arguments);
        run.expect_code(0);
        assert_eq!(run.stdout.trim_end(), expected, "{what:?}");
    }
}

#[test]
fn flags_widen_what_counts_as_inside() {
    let home = Home::new(Scenario::new().on(
        "look",
        [
            tool("view", json!({"path": "../outside/notes"})),
            say("Looked."),
        ],
    ));
    std::fs::create_dir(home.root().join("outside")).unwrap();
    std::fs::write(home.root().join("outside/notes"), "notes").unwrap();
    home.copilot(&["-p", "look"]).expect_code(5);
    home.copilot(&["-p", "look", "--allow-all-tools"])
        .expect_code(5);
    home.copilot(&["-p", "look", "--add-dir", "../outside"])
        .expect_code(0);
    home.copilot(&["-p", "look", "--allow-all-paths"])
        .expect_code(0);
    home.copilot(&["-p", "look", "--yolo"]).expect_code(0);
}
