//! A path is what it really leads to, when it is decided about and when it is used.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use copilot_tests::attached::is_asked;
use copilot_tests::{Attached, Home, Scenario, say, tool};
use serde_json::{Value, json};

fn one_call(name: &str, input: Value) -> Home {
    Home::new(Scenario::new().on("go", [tool(name, input), say("Done.")]))
}

fn outside(home: &Home) -> PathBuf {
    let folder = home.root().join("outside");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A session with these settings that was sent its prompt, in a trusted folder.
fn prompted(home: &Home, config: Value) -> (Attached, String) {
    home.start_daemon();
    let mut screen = Attached::create(home, "a screen", config);
    let turn = screen.prompt("go");
    screen.trust_folder();
    (screen, turn)
}

/// Waits for the end of a turn in which nobody is asked. Returns everything it has.
fn unasked(screen: &mut Attached, turn: &str) -> String {
    let ended = screen.wait("the end, without a question", |_, chat| {
        assert!(!is_asked(chat), "somebody is asked");
        chat.turns.iter().find(|ended| ended.id == turn).cloned()
    });
    serde_json::to_string(&ended.response_parts).unwrap()
}

/// Answers the open permission, and returns why it was asked and everything of the ended turn.
fn answered(screen: &mut Attached, turn: &str, option: &str) -> (Value, String) {
    let (_, call) = screen.wait_for_permission();
    let permission = call.meta.clone().unwrap_or_default()["copilot.permission"].clone();
    assert_eq!(screen.confirm(turn, &call.tool_call_id, option), None);
    let ended = screen.wait_for_end(turn);
    (
        permission,
        serde_json::to_string(&ended.response_parts).unwrap(),
    )
}

#[test]
fn a_folder_that_becomes_a_link_between_check_and_use_leads_nowhere() {
    let home = one_call("create", json!({"path": "sub/new.txt", "content": "x"}));
    let outside = outside(&home);
    home.write("sub/old", "old");
    let (mut screen, turn) = prompted(&home, json!({}));
    screen.wait_for_permission();
    std::fs::rename(home.project().join("sub"), home.project().join("was")).unwrap();
    symlink(&outside, home.project().join("sub")).unwrap();
    let (_, parts) = answered(&mut screen, &turn, "allow-once");
    assert!(parts.contains("leads somewhere else"), "{parts}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(
        std::fs::read_dir(home.project().join("was"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn a_file_that_becomes_a_link_between_check_and_use_is_not_written_through() {
    let home = one_call("edit", json!({"path": "a", "old": "one", "new": "two"}));
    let target = outside(&home).join("target");
    std::fs::write(&target, "one").unwrap();
    home.write("a", "one");
    let (mut screen, turn) = prompted(&home, json!({}));
    screen.wait_for_permission();
    std::fs::remove_file(home.project().join("a")).unwrap();
    symlink(&target, home.project().join("a")).unwrap();
    let (_, parts) = answered(&mut screen, &turn, "allow-once");
    assert!(parts.contains("leads somewhere else"), "{parts}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "one");
}

#[test]
fn a_file_that_becomes_a_link_between_check_and_use_is_not_read_through() {
    let home = one_call("view", json!({"path": "../outside/allowed"}));
    let (allowed, secret) = (
        outside(&home).join("allowed"),
        outside(&home).join("secret"),
    );
    std::fs::write(&allowed, "harmless").unwrap();
    std::fs::write(&secret, "hunter2").unwrap();
    let (mut screen, turn) = prompted(&home, json!({}));
    screen.wait_for_permission();
    std::fs::remove_file(&allowed).unwrap();
    symlink(&secret, &allowed).unwrap();
    let (_, parts) = answered(&mut screen, &turn, "allow-once");
    assert!(parts.contains("leads somewhere else"), "{parts}");
    assert!(!parts.contains("hunter2"), "{parts}");
}

#[test]
fn parents_do_not_lead_out_of_what_a_rule_allows() {
    for path in ["sub/../../outside/x", "link/../outside/x", "link/x"] {
        let home = one_call("create", json!({"path": path, "content": "x"}));
        let outside = outside(&home);
        home.write("sub/old", "old");
        symlink(&outside, home.project().join("link")).unwrap();
        let (mut screen, turn) = prompted(&home, json!({"allowTools": ["write(.)"]}));
        answered(&mut screen, &turn, "deny");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{path}");
    }
}

#[test]
fn a_file_with_other_names_is_asked_about_before_it_is_written() {
    let home = one_call("edit", json!({"path": "a", "old": "one", "new": "two"}));
    let other = outside(&home).join("other");
    home.write("a", "one");
    std::fs::hard_link(home.project().join("a"), &other).unwrap();
    let (mut screen, turn) = prompted(&home, json!({"allowTools": ["write(.)"]}));
    let (permission, _) = answered(&mut screen, &turn, "deny");
    let reason = permission["reason"].as_str().unwrap();
    assert!(reason.contains("hard links"), "{permission}");
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "one");
}

#[test]
fn neither_case_nor_a_mount_hides_what_is_denied() {
    let denying = json!({"allowAllTools": true, "denyTools": ["write(secret)"]});
    let home = one_call("create", json!({"path": "SECRET/x", "content": "x"}));
    let (mut screen, turn) = prompted(&home, denying.clone());
    let parts = unasked(&mut screen, &turn);
    assert!(parts.contains("the rule `write(secret)`"), "{parts}");
    assert!(!home.project().join("SECRET").exists());

    let home = one_call("create", json!({"path": "other/x", "content": "x"}));
    home.write("secret/key", "");
    home.write("other/placeholder", "");
    let Some(_mount) = Mount::bind(
        &home.project().join("secret"),
        &home.project().join("other"),
    ) else {
        return;
    };
    let (mut screen, turn) = prompted(&home, denying);
    let parts = unasked(&mut screen, &turn);
    assert!(parts.contains("the rule `write(secret)`"), "{parts}");
    assert!(!home.project().join("secret/x").exists());
}

/// A folder that is another one as well, until this is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Nothing, with the reason printed, where tests may not mount.
    fn bind(from: &Path, to: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mounted = mount.arg("--bind").arg(from).arg(to).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(to.to_owned())),
            refused => {
                eprintln!("skipped: nothing can be mounted here ({refused:?})");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        let unmounted = unmount.arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn names_that_deceive_are_shown_as_they_are() {
    let name = "a\nwrite: harmless\u{202e}txt.sh";
    let home = one_call("create", json!({"path": name, "content": "x"}));
    let (mut screen, turn) = prompted(&home, json!({}));
    let (_, call) = screen.wait_for_permission();
    let shown = serde_json::to_value(&call).unwrap();
    for text in [
        &shown["_meta"]["copilot.permission"]["subject"],
        &shown["toolInput"],
        &shown["invocationMessage"],
    ] {
        let text = text.as_str().unwrap_or_else(|| panic!("{shown}"));
        assert!(
            text.contains("a\\nwrite: harmless\\u{202e}txt.sh"),
            "{text:?}"
        );
        assert!(!text.contains(['\n', '\u{202e}']), "{text:?}");
    }
    answered(&mut screen, &turn, "allow-once");
    assert_eq!(home.read(name).as_deref(), Some("x"));
}

#[test]
fn secrets_are_asked_about_in_a_trusted_folder_and_left_out_of_searches() {
    let home = Home::new(
        Scenario::new()
            .on(
                "search",
                [tool("grep", json!({"pattern": "token"})), say("Searched.")],
            )
            .on(
                "look",
                [tool("view", json!({"path": ".npmrc"})), say("Looked.")],
            )
            .on(
                "guess",
                [
                    tool(
                        "edit",
                        json!({"path": ".npmrc", "old": "token=", "new": ""}),
                    ),
                    say("Guessed."),
                ],
            ),
    );
    home.write(".npmrc", "token=hunter2\n");
    home.write("private/notes", "token=hunter2\n");
    home.write("src/main", "no token here\n");
    home.start_daemon();
    let config = json!({"allowAllTools": true, "denyTools": ["read(private)"]});
    let mut screen = Attached::create(&home, "a screen", config);
    let turn = screen.prompt("search");
    screen.trust_folder();
    let parts = unasked(&mut screen, &turn);
    assert!(parts.contains("no token here"), "{parts}");
    assert!(!parts.contains("hunter2"), "{parts}");
    for prompt in ["look", "guess"] {
        let turn = screen.prompt(prompt);
        let (permission, parts) = answered(&mut screen, &turn, "deny");
        let reason = permission["reason"].as_str().unwrap();
        assert!(reason.contains("secrets are kept there"), "{permission}");
        assert!(!parts.contains("hunter2"), "{parts}");
    }
}

#[test]
fn what_later_commands_run_is_asked_about() {
    let home = one_call(
        "create",
        json!({"path": ".git/hooks/pre-commit", "content": "x"}),
    );
    let (mut screen, turn) = prompted(
        &home,
        json!({"allowAllTools": true, "allowTools": ["write(.)"]}),
    );
    let (permission, _) = answered(&mut screen, &turn, "deny");
    let reason = permission["reason"].as_str().unwrap();
    assert!(reason.contains("later commands run"), "{permission}");
    assert_eq!(home.read(".git/hooks/pre-commit"), None);
}
