//! Whoever manages the machine has the last word, and each refusal names the file.

use std::path::PathBuf;

use copilot_tests::attached::{fresh_uuid, is_asked};
use copilot_tests::{Attached, Client, Home, Scenario, say, tool, until};
use serde_json::json;

/// Everything that allows everything.
const ALL: &[&str] = &[
    "--allow-all",
    "--yolo",
    "--allow-all-tools",
    "--allow-all-paths",
    "--allow-all-urls",
];

struct Managed {
    home: Home,
    file: PathBuf,
}

impl Managed {
    /// A home whose machine is managed, without settings so far.
    fn new() -> Self {
        let folder = "managed";
        let mut home = Home::new(
            Scenario::new()
                .on(
                    "touch",
                    [
                        tool("shell", json!({"command": "touch written"})),
                        say("Tried."),
                    ],
                )
                .on(
                    "escape",
                    [
                        tool(
                            "create",
                            json!({"path": "../managed/managed-settings.json", "content": "{}"}),
                        ),
                        say("Tried."),
                    ],
                ),
        );
        let folder = home.root().join(folder);
        std::fs::create_dir(&folder).unwrap();
        home.set("COPILOTD_MANAGED_DIR", &folder.display().to_string());
        let file = folder.join("managed-settings.json");
        Self { home, file }
    }

    fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    fn forbid(&self) {
        self.write(r#"{"permissions": {"allowAll": false, "deny": ["shell(touch:*)"]}}"#);
    }

    fn names_the_file(&self, text: &str) {
        let file = self.file.display().to_string();
        assert!(text.contains(&file), "{file} is not named: {text}");
    }
}

#[test]
fn no_flag_allows_everything_where_that_is_forbidden() {
    let managed = Managed::new();
    managed.forbid();
    for flag in ALL {
        let run = managed.home.copilot(&["-p", "touch", flag]);
        assert_ne!(run.code, 0, "{flag}: {run:?}");
        managed.names_the_file(&run.stderr);
        assert!(run.stderr.contains("forbidden"), "{flag}: {run:?}");
    }
    assert_eq!(managed.home.read("written"), None);
}

#[test]
fn no_client_allows_everything_where_that_is_forbidden() {
    let managed = Managed::new();
    managed.forbid();
    managed.home.start_daemon();
    let mut client = Client::connect(&managed.home, "a client");
    for key in ["allowAllTools", "allowAllPaths", "allowAllUrls"] {
        let folder = managed.home.project();
        let refused = client
            .request(
                "createSession",
                json!({
                    "channel": format!("ahp-session:/{}", fresh_uuid()),
                    "workingDirectories": [format!("file://{}", folder.display())],
                    "config": {key: true},
                }),
            )
            .expect_err("the session is refused");
        managed.names_the_file(&refused.message);
    }
}

#[test]
fn what_is_denied_for_the_machine_is_denied_whoever_allows_it() {
    let managed = Managed::new();
    managed.forbid();
    let home = &managed.home;
    home.write_settings(r#"{"permissions": {"allow": ["shell(touch:*)"]}}"#);
    let run = home.copilot(&["-p", "touch", "--allow-tool", "shell(touch written)"]);
    run.expect_code(5);
    managed.names_the_file(&run.stderr);

    // Not in a session either, where nobody is even asked.
    let mut screen = Attached::create(home, "a screen", json!({"allowTools": ["shell"]}));
    let turn = screen.prompt("touch");
    screen.trust_folder();
    let ended = screen.wait("the end, without a question", |_, chat| {
        assert!(!is_asked(chat), "somebody is asked");
        chat.turns.iter().find(|ended| ended.id == turn).cloned()
    });
    managed.names_the_file(&serde_json::to_string(&ended.response_parts).unwrap());
    assert_eq!(home.read("written"), None);
}

#[test]
fn a_session_that_runs_already_is_held_to_it_too() {
    let managed = Managed::new();
    let home = &managed.home;
    home.start_daemon();
    let config = json!({"allowAllTools": true, "allowAllPaths": true, "allowAllUrls": true});
    let mut screen = Attached::create(home, "a screen", config);
    let turn = screen.prompt("touch");
    screen.trust_folder();
    screen.wait_for_end(&turn);
    assert!(home.read("written").is_some(), "it was allowed before");
    std::fs::remove_file(home.project().join("written")).unwrap();

    managed.forbid();
    let explain = |command: &str| {
        let id = screen.id().to_owned();
        let explain = [
            "permissions",
            "explain",
            command,
            "--session",
            &id,
            "--json",
        ];
        home.copilot(&explain).json()
    };
    let denied = until("the new managed settings", || {
        let explained = explain("touch written");
        (explained["decision"] == "deny").then_some(explained)
    });
    managed.names_the_file(denied["reason"].as_str().unwrap());
    let other = explain("make");
    assert_eq!(other["decision"], "ask", "{other}");
    managed.names_the_file(other["reason"].as_str().unwrap());

    let turn = screen.prompt("touch");
    let ended = screen.wait_for_end(&turn);
    managed.names_the_file(&serde_json::to_string(&ended.response_parts).unwrap());
    assert_eq!(home.read("written"), None);
}

#[test]
fn an_agent_does_not_change_managed_settings_unasked() {
    let managed = Managed::new();
    let home = &managed.home;
    home.start_daemon();
    let config = json!({
        "allowAllTools": true, "allowAllPaths": true,
        "allowTools": ["write(../managed)", "write"],
    });
    let mut screen = Attached::create(home, "a screen", config);
    let turn = screen.prompt("escape");
    screen.trust_folder();
    let (_, call) = screen.wait_for_permission();
    let permission = call.meta.unwrap_or_default()["copilot.permission"].clone();
    let reason = permission["reason"].as_str().unwrap();
    assert!(reason.contains("managed settings"), "{permission}");
    assert_eq!(screen.confirm(&turn, &call.tool_call_id, "deny"), None);
    screen.wait_for_end(&turn);
    assert!(!managed.file.exists());
}

#[test]
fn a_managed_file_that_is_wrong_is_read_strictly_and_said() {
    use std::os::unix::fs::PermissionsExt;
    let managed = Managed::new();
    managed.write("{ oops");
    let home = &managed.home;
    let run = home.copilot(&["-p", "touch", "--allow-all"]);
    assert_ne!(run.code, 0);
    managed.names_the_file(&run.stderr);
    let run = home.copilot(&["-p", "touch", "--allow-tool", "shell(touch:*)"]);
    run.expect_code(5);
    managed.names_the_file(&run.stderr);
    let status = home.copilot(&["daemon", "status"]);
    managed.names_the_file(&status.stdout);

    // Right again, but for everybody to write: what it allows does not count.
    managed.write(r#"{"permissions": {"allow": ["shell"], "deny": ["url"]}}"#);
    until("the file to be read", || {
        let explained = home.copilot(&["permissions", "explain", "make", "--json"]);
        (explained.json()["decision"] == "allow").then_some(())
    });
    managed.write(r#"{"permissions": {"allow": ["shell"], "deny": ["read"]}}"#);
    std::fs::set_permissions(&managed.file, PermissionsExt::from_mode(0o666)).unwrap();
    until("the file not to be trusted", || {
        let explained = home.copilot(&["permissions", "explain", "make", "--json"]);
        (explained.json()["decision"] == "ask").then_some(())
    });
    let denied = home.copilot(&["permissions", "explain", "--read", "x"]);
    managed.names_the_file(&denied.stdout);
    let run = home.copilot(&["-p", "touch", "--yolo"]);
    managed.names_the_file(&run.stderr);
    assert_eq!(home.read("written"), None);
}

#[test]
fn settings_that_never_could_be_read_allow_nothing_unasked() {
    let home = Managed::new().home;
    home.write_settings("{ oops");
    let explain = || home.copilot(&["permissions", "explain", "--read", "README.md"]);
    let asked = explain();
    assert!(
        asked
            .stdout
            .starts_with("ask: it is not known what is denied"),
        "{asked:?}"
    );
    assert!(asked.stdout.contains("settings.json"), "{asked:?}");
    home.copilot(&["-p", "touch", "--allow-all"]).expect_code(5);
    home.write_settings("{}");
    until("the settings to be read", || {
        explain().stdout.starts_with("allow:").then_some(())
    });
    home.copilot(&["-p", "touch", "--allow-all"]).expect_code(0);
    assert!(home.read("written").is_some());
}
