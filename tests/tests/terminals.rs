//! Real terminals on real sessions.

use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, say, tool, until};
use portable_pty::CommandBuilder;
use serde_json::json;

/// What a permission for a command asks.
const DIALOG: &str = "Run this command?";

fn asks_to_write() -> Scenario {
    Scenario::new()
        .on(
            "write",
            [
                say("I will write now."),
                tool("shell", json!({"command": "touch written"})),
                say("All written."),
            ],
        )
        .on("hello", [say("Hello to you.")])
}

/// A session in which an agent waits for a permission to run `touch written`.
fn waiting(home: &Home) -> Attached {
    home.start_daemon();
    let mut screen = Attached::create(home, "a screen", json!({}));
    screen.prompt("write it");
    screen.trust_folder();
    screen.wait_for_permission();
    screen
}

#[test]
fn two_terminals_show_the_same_and_a_permission_answered_in_one_disappears_in_the_other() {
    let home = Home::new(asks_to_write());
    let session = waiting(&home);
    let mut first = home.terminal(&["attach", session.id()]);
    let mut second = home.terminal(&["attach", session.id()]);
    for terminal in [&first, &second] {
        terminal.wait_for("the permission", |screen| {
            let text = screen.contents();
            text.contains("write it")
                && text.contains("I will write now.")
                && text.contains("touch written")
                && text.contains(DIALOG)
        });
    }
    let (_, call) = copilot_tests::attached::open_permission(session.chat()).unwrap();

    // Enter takes the first choice: allow once.
    first.send("\r");
    for terminal in [&first, &second] {
        terminal.wait_for("the end of the turn without the dialog", |screen| {
            let text = screen.contents();
            text.contains("All written.") && !text.contains(DIALOG)
        });
    }
    // The second one says who: the first one's terminal.
    let name = answered_by(&home, session.id(), &call.tool_call_id);
    assert!(name.starts_with("terminal "), "{name}");
    second.wait_for_text(&name);

    let late = home.copilot(&["answer", session.id(), &call.tool_call_id, "deny"]);
    late.expect_code(1);
    assert!(
        late.stderr.contains(&format!("already answered by {name}")),
        "{late:?}"
    );

    for terminal in [&mut first, &mut second] {
        terminal.send("\x04");
        assert_eq!(terminal.wait(), 0);
    }
}

fn answered_by(home: &Home, session: &str, request: &str) -> String {
    let screen = Attached::attach(home, "an observer", session);
    screen.meta()["copilot.answers"][request]["by"]["name"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", screen.describe()))
        .to_owned()
}

#[test]
fn a_whole_session_happens_in_one_terminal() {
    let home = Home::new(asks_to_write());
    let mut terminal = home.terminal(&["-i", "write it"]);
    // The folder, then the command: the first choice of each is yes, once.
    terminal.wait_for("the question of trust", |screen| {
        screen.contents().to_lowercase().contains("trust")
    });
    terminal.send("\r");
    terminal.wait_for("the permission", |screen| {
        screen.contents().contains("touch written") && screen.contents().contains(DIALOG)
    });
    terminal.send("\r");
    terminal.wait_for_text("All written.");
    assert!(home.read("written").is_some());
    terminal.send("hello\r");
    terminal.wait_for_text("Hello to you.");
    terminal.send("\x04");
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn a_new_session_in_which_nothing_was_said_goes_with_its_terminal_unless_another_one_is_attached() {
    let home = Home::new(asks_to_write());
    let mut first = home.terminal(&[]);
    let id = home.only_session();
    let second = home.terminal(&["attach", &id]);
    second.wait_for_text("ask for something");
    first.wait_for_text("+1 attached");
    first.send("\x04");
    assert_eq!(first.wait(), 0);
    second.send("hello\r");
    second.wait_for("the question of trust", |screen| {
        screen.contents().to_lowercase().contains("trust")
    });
    home.copilot(&["sessions", "delete", &id]).expect_code(0);

    let mut alone = home.terminal(&[]);
    home.only_session();
    alone.wait_for_text("ask for something");
    alone.send("\x04");
    assert_eq!(alone.wait(), 0);
    let text = alone.text();
    assert!(text.contains("the session is gone"), "{text}");
    assert!(home.sessions().is_empty());
}

#[test]
fn the_terminal_is_as_it_was_after_leaving() {
    let home = Home::new(asks_to_write());
    let session = waiting(&home);
    let mut shell = CommandBuilder::new("bash");
    shell.args([
        "-c",
        &format!(
            "stty -g; copilot attach {}; echo \"left with $?\"; stty -g",
            session.id()
        ),
    ]);
    let mut terminal = home.in_terminal(shell);
    terminal.wait_for_text("touch written");
    terminal.send("\x04");
    let text = terminal.wait_for("the shell after the client", |screen| {
        let text = screen.contents();
        text.contains("left with 0") && modes_in(&text).len() == 2
    });
    let modes = modes_in(&text);
    assert_eq!(modes[0], modes[1], "the line discipline is restored");
    terminal.look(|screen| {
        assert!(!screen.hide_cursor(), "the cursor is visible");
        assert!(!screen.bracketed_paste(), "pasting is as before");
        assert!(!screen.alternate_screen(), "no other screen is left on");
        assert!(!screen.application_cursor() && !screen.application_keypad());
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert_eq!(screen.fgcolor(), vt100::Color::Default);
    });
    terminal.wait();
}

/// The lines that `stty -g` printed.
fn modes_in(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.matches(':').count() > 20)
        .map(str::to_owned)
        .collect()
}

#[test]
fn typed_text_is_edited_and_wide_characters_and_pastes_arrive_whole() {
    let home = Home::new(asks_to_write());
    home.start_daemon();
    let mut session = Attached::create(&home, "a screen", json!({}));
    let terminal = home.terminal(&["attach", session.id()]);
    terminal.wait_for("bracketed paste", vt100::Screen::bracketed_paste);
    terminal.send("日本 héllo x\x7f\x7f");
    terminal.wait_for("the edited line", |screen| {
        let text = screen.contents();
        text.contains("日本 héllo") && !text.contains("héllo x")
    });
    terminal.send("\x1b[200~ one\ntwo\x1b[201~");
    terminal.wait_for_text("two");
    terminal.send("\r");
    let text = session.wait("the prompt", |_, chat| {
        Some(chat.active_turn.as_ref()?.message.text.clone())
    });
    assert_eq!(text, "日本 héllo one\ntwo");
}

#[test]
fn resizing_keeps_what_was_said() {
    let home = Home::new(asks_to_write());
    let session = waiting(&home);
    let mut terminal = home.terminal(&["attach", session.id()]);
    terminal.wait_for_text("touch written");
    for (rows, cols) in [(24, 60), (12, 30), (40, 120)] {
        terminal.resize(rows, cols);
        terminal.wait_for("the dialog in the new size", |screen| {
            screen.contents().contains("touch written")
        });
    }
    terminal.send("\r");
    terminal.wait_for_text("All written.");
    terminal.send("\x04");
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn control_c_cancels_and_twice_detaches_while_the_session_stays() {
    let home = Home::new(Scenario::new().on(
        "run",
        [
            tool("shell", json!({"command": "touch started; exec sleep 600"})),
            say("never said"),
        ],
    ));
    home.start_daemon();
    let mut session = Attached::create(&home, "a screen", json!({"allowAllTools": true}));
    let turn = session.prompt("run it");
    session.trust_folder();
    until("the command", || home.read("started"));
    let mut terminal = home.terminal(&["attach", session.id()]);
    terminal.wait_for_text("sleep 600");
    terminal.send("\x03");
    let ended = session.wait_for_end(&turn);
    assert_eq!(ended.state, ahp_types::state::TurnState::Cancelled);
    terminal.send("\x03");
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 0);
    assert_eq!(home.sessions().len(), 1);
}

#[test]
fn attaching_to_a_watcher_prints_json_lines() {
    let home = Home::new(asks_to_write());
    let session = waiting(&home);
    let mut watcher = home
        .copilot_command(&["attach", session.id(), "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(watcher.stdout.take().unwrap()));
    let first: serde_json::Value =
        serde_json::from_str(&lines.next().unwrap().unwrap()).expect("a JSON line");
    assert!(first.is_object(), "{first}");
    home.copilot(&["answer", session.id(), "next", "allow-once"])
        .expect_code(0);
    let said = lines
        .map_while(Result::ok)
        .any(|line| line.contains("All written."));
    assert!(said);
    let _ = watcher.kill();
    let _ = watcher.wait();
}
