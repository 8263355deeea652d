//! A word on the desktop: when a session begins to need somebody and nobody looks. The desktop's own
//! command is a script here that keeps what it was told.

use std::os::unix::fs::PermissionsExt;

use copilot_tests::attached::turn_started;
use copilot_tests::{Attached, Client, Home, Scenario, say, tool, until};
use serde_json::json;

/// A home with a desktop; and the file of what it was told, a line each.
fn home() -> (Home, std::path::PathBuf) {
    let touch = |name: &str| tool("shell", json!({"command": format!("touch {name}")}));
    let mut home = Home::new(
        Scenario::new()
            .on("two", [touch("one"), touch("two"), say("Both.")])
            .on("one", [touch("three"), say("One.")]),
    );
    let told = home.root().join("told");
    let folder = home.root().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("notify-send");
    let script = format!(
        "#!/bin/sh\nprintf '%s|' \"$@\" >> '{0}'\necho >> '{0}'\n",
        told.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (_, path) = home
        .environment()
        .iter()
        .find(|(name, _)| name == "PATH")
        .unwrap();
    let path = format!("{}:{path}", folder.display());
    home.set("PATH", &path);
    (home, told)
}

/// A prompt from somebody who does not look.
fn prompt_unseen(home: &Home, id: &str, text: &str) -> String {
    let turn = copilot_tests::attached::fresh_uuid();
    let mut client = Client::connect(home, "a passer-by");
    client.dispatch(&format!("ahp-chat:/{id}"), &turn_started(&turn, text));
    // A client that does not look gets no echo: the list says when the session has it.
    until("the session needs somebody", || {
        let state = home.sessions().into_iter().find(|s| s["id"] == id)?["state"].clone();
        (state == "needs-permission").then_some(())
    });
    turn
}

/// Leaves a session; nobody looks when this returns.
fn leave(mut screen: Attached) -> String {
    let id = screen.id().to_owned();
    for channel in [screen.chat_channel(), screen.session_channel()] {
        screen
            .client
            .request("unsubscribe", json!({"channel": channel}))
            .expect("leaving");
    }
    id
}

#[test]
fn the_desktop_says_it_once_when_a_session_needs_somebody_and_nobody_looks() {
    let (home, told) = home();
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let title = json!({"type": "session/titleChanged", "title": "--icon=<b>"});
    let channel = screen.session_channel();
    let seq = screen.client.dispatch(&channel, &title);
    assert_eq!(screen.outcome(seq), None);
    // Whoever looks is told by the session itself.
    let first = screen.prompt("hello");
    screen.trust_folder();
    screen.wait_for_end(&first);
    let id = leave(screen);

    let turn = prompt_unseen(&home, &id, "two");
    let line = format!(
        "--app-name=copilot|--|--icon=<b>|It needs a permission: copilot attach {}|\n",
        &id[..8]
    );
    let read = || std::fs::read_to_string(&told).ok();
    until("the desktop is told", || (read()? == line).then_some(()));
    let mut screen = Attached::attach(&home, "a screen", &id);
    for _ in 0..2 {
        // The second one is asked while somebody looks.
        let (_, call) = screen.wait_for_permission();
        assert_eq!(
            screen.confirm(&turn, &call.tool_call_id, "allow-once"),
            None
        );
    }
    screen.wait_for_end(&turn);
    leave(screen);

    let turn = prompt_unseen(&home, &id, "one");
    until("the desktop is told again", || {
        (read()? == format!("{line}{line}")).then_some(())
    });
    let mut screen = Attached::attach(&home, "a screen", &id);
    let (_, call) = screen.wait_for_permission();
    assert_eq!(
        screen.confirm(&turn, &call.tool_call_id, "allow-once"),
        None
    );
    screen.wait_for_end(&turn);

    // And not at all where it is not wanted.
    leave(screen);
    home.write_settings(r#"{"notifications": false, "unknownKey": "logged when it was read"}"#);
    until("the setting is in effect", || {
        home.daemon_log().contains("unknownKey").then_some(())
    });
    prompt_unseen(&home, &id, "one");
    home.copilot(&["daemon", "stop", "--force"]).expect_code(0);
    assert_eq!(read(), Some(format!("{line}{line}")));
}
