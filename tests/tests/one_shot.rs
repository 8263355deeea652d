//! `copilot -p`: one prompt, one answer, a true exit code.

use copilot_tests::{Home, Scenario, say, tool};
use serde_json::json;

fn scenario() -> Scenario {
    Scenario::new()
        .on("hello", [say("Hello to you.")])
        .on(
            "write",
            [
                tool("shell", json!({"command": "touch written"})),
                say("Tried."),
            ],
        )
        .on(
            "ask",
            [
                tool(
                    "ask_user",
                    json!({"question": "Which?", "choices": ["a", "b"]}),
                ),
                say("Asked."),
            ],
        )
}

#[test]
fn the_answer_alone_is_on_standard_output() {
    let home = Home::new(scenario());
    let run = home.copilot(&["-p", "hello", "-s"]);
    run.expect_code(0);
    assert_eq!(run.stdout, "Hello to you.\n");
}

#[test]
fn a_pipe_is_the_prompt_or_part_of_it() {
    let home = Home::new(scenario());
    let run = home.copilot_with_input(&["-p", "-s"], "hello\n");
    run.expect_code(0);
    assert_eq!(run.stdout, "Hello to you.\n");
    let run = home.copilot_with_input(&["-p", "please say", "-s"], "hello");
    run.expect_code(0);
    assert_eq!(run.stdout, "Hello to you.\n");
}

#[test]
fn json_output_is_one_object_a_line_and_ends_with_the_result() {
    let home = Home::new(scenario());
    let run = home.copilot(&["-p", "hello", "--output-format", "json"]);
    run.expect_code(0);
    let lines = run.json_lines();
    assert!(lines.len() >= 2, "{run:?}");
    assert!(lines.iter().all(serde_json::Value::is_object));
    let all = run.stdout.clone();
    assert!(all.contains("Hello to you."), "{all}");
    assert!(lines.iter().all(|line| line["type"].is_string()), "{all}");
}

#[test]
fn what_no_rule_allows_is_denied_with_a_reason_and_exit_5() {
    let home = Home::new(scenario());
    let run = home.copilot(&["-p", "write"]);
    run.expect_code(5);
    assert!(run.stderr.contains("touch written"), "{run:?}");
    assert!(run.stderr.contains("denied"), "{run:?}");
    assert!(
        run.stderr.contains("--allow-tool"),
        "it says what to do: {run:?}"
    );
    assert_eq!(home.read("written"), None);
}

#[test]
fn what_a_rule_allows_runs() {
    let home = Home::new(scenario());
    home.copilot(&["-p", "write", "--allow-tool", "shell(touch:*)"])
        .expect_code(0);
    assert!(home.read("written").is_some());
}

#[test]
fn a_denying_rule_beats_every_allowance() {
    let home = Home::new(scenario());
    home.copilot(&[
        "-p",
        "write",
        "--allow-all-tools",
        "--deny-tool",
        "shell(touch)",
    ])
    .expect_code(5);
    assert_eq!(home.read("written"), None);
}

#[test]
fn a_question_is_declined_and_the_run_goes_on() {
    let home = Home::new(scenario());
    let run = home.copilot(&["-p", "ask", "-s"]);
    assert_eq!(run.stdout, "Asked.\n", "{run:?}");
}

#[test]
fn what_is_fixed_at_creation_is_refused_to_a_session_that_exists() {
    let home = Home::new(scenario());
    home.copilot(&["-p", "hello", "-s"]).expect_code(0);
    let resume = format!("--resume={}", home.only_session());
    for flags in [
        &["--continue", "--deny-tool", "shell(touch)"][..],
        &["--continue", "--agent", "other"],
        &[&resume, "--allow-all-tools"],
        &[&resume, "--allow-url", "example.com"],
        &[&resume, "--add-dir", "/tmp"],
    ] {
        let run = home.copilot(&[&["-p", "write"], flags].concat());
        run.expect_code(2);
        assert!(
            run.stderr.contains("are set when it is created"),
            "{flags:?}: {run:?}"
        );
    }
    assert_eq!(home.read("written"), None);
    home.copilot(&["-p", "write", "--continue"]).expect_code(5);
}

#[test]
fn a_rule_that_makes_no_sense_is_a_usage_error_that_names_it() {
    let home = Home::new(scenario());
    let run = home.copilot(&["-p", "hello", "--allow-tool", "shell("]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("shell("), "{run:?}");
}

#[test]
fn no_model_is_said_with_the_ways_to_get_one() {
    let home = Home::without_model();
    let run = home.copilot(&["-p", "hello"]);
    run.expect_code(1);
    for word in ["COPILOT_PROVIDER_BASE_URL", "GITHUB_TOKEN", "Ollama"] {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
}

#[test]
fn an_interrupted_run_exits_130_and_ends_its_turn() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool("shell", json!({"command": "touch started; exec sleep 600"})),
            say("never said"),
        ],
    ));
    home.start_daemon();
    let child = home
        .copilot_command(&["-p", "run", "--allow-all-tools"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    copilot_tests::until("the command", || home.read("started"));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let run: copilot_tests::Run = child.wait_with_output().unwrap().into();
    run.expect_code(130);
    copilot_tests::until("the end of the turn", || {
        home.sessions()
            .iter()
            .all(|session| session["state"] != json!("working"))
            .then_some(())
    });
}
