//! A full disk refuses what is new, in words, and keeps what was acknowledged. When there is room
//! again everything goes on by itself.

use ahp_types::state::TurnState;
use copilot_tests::attached::{Attached, message, spoken, turn_started};
use copilot_tests::{Home, Scenario, SmallDisk, say, tool, until};
use serde_json::json;

/// Below this the daemon takes no input; its own reserve is within it.
const NEARLY_NOTHING: usize = 4 * 1024 * 1024;
const MEBIBYTES: u32 = 24;
const WORDS: usize = 200_000;

fn scenario() -> Scenario {
    Scenario::new()
        .on("hello", [say("Hello.")])
        .on(
            "busy",
            [
                json!({"write_file": "busy"}),
                json!({"wait_for_file": "go"}),
                // More than anybody frees by giving up.
                json!({"say": "word ".repeat(40), "repeat": WORDS / 40}),
                tool("shell", json!({"command": "echo ran >> runs"})),
                say("Was busy."),
            ],
        )
        .on("later", [say("Now it is later.")])
        .on("again", [say("Still here.")])
}

#[test]
fn a_nearly_full_disk_refuses_input_in_words_and_goes_on_when_there_is_room() {
    let home = Home::new(scenario());
    let Some(disk) = SmallDisk::under(&home, MEBIBYTES) else {
        return;
    };
    let (mut screen, first) = greeted(&home);
    disk.fill(NEARLY_NOTHING);
    refuses(&mut screen);
    let created = screen.client.request(
        "createSession",
        json!({
            "channel": format!("ahp-session:/{}", copilot_tests::attached::fresh_uuid()),
            "workingDirectories": [format!("file://{}", home.project().display())],
            "config": {},
        }),
    );
    let reason = created.expect_err("a session is refused too").message;
    assert!(reason.contains("is full"), "{reason}");
    let sent = home.copilot(&["send", screen.id(), "again"]);
    sent.expect_code(1);
    assert!(sent.stderr.contains("is full"), "{sent:?}");

    disk.empty();
    let next = screen.prompt("again");
    let ended = screen.wait_for_end(&next);
    assert_eq!(spoken(&ended.response_parts), "Still here.");
    survives(&home, screen.id(), &[&first, &next]);
}

/// A turn whose agent waits until it is told to go on.
fn busy(home: &Home, screen: &mut Attached) -> String {
    let turn = screen.prompt("busy");
    until("a busy agent", || home.read("busy"));
    turn
}

/// The agent says the rest while the disk is full to the last byte: what the turn makes now can be kept
/// nowhere.
fn goes_on_without_room(home: &Home, disk: &SmallDisk, screen: &mut Attached) {
    disk.fill(0);
    home.write("go", "");
    screen.wait("all of the text", |_, chat| {
        let turn = chat.active_turn.as_ref()?;
        (spoken(&turn.response_parts).len() == WORDS * "word ".len()).then_some(())
    });
}

#[test]
fn a_turn_can_be_stopped_while_the_disk_is_full() {
    let home = Home::new(scenario());
    let Some(disk) = SmallDisk::under(&home, MEBIBYTES) else {
        return;
    };
    let (mut screen, first) = greeted(&home);
    let turn = busy(&home, &mut screen);
    disk.fill(NEARLY_NOTHING);
    let cancel = json!({"type": "chat/turnCancelled", "turnId": turn, "duration": 0});
    assert_eq!(screen.dispatch(&cancel), None);
    let ended = screen.wait_for_end(&turn);
    assert_eq!(ended.state, TurnState::Cancelled);
    disk.empty();
    survives(&home, screen.id(), &[&first, &turn]);
}

#[test]
fn a_disk_that_fills_up_while_the_agent_works_stops_nothing_that_was_acknowledged() {
    let home = Home::new(scenario());
    let Some(disk) = SmallDisk::under(&home, MEBIBYTES) else {
        return;
    };
    let (mut screen, first) = greeted(&home);
    let turn = busy(&home, &mut screen);
    let rejected = screen.dispatch(&json!({
        "type": "chat/pendingMessageSet", "kind": "queued", "id": "q1", "message": message("later"),
    }));
    assert_eq!(rejected, None);

    goes_on_without_room(&home, &disk, &mut screen);
    refuses(&mut screen);
    // The agent builds nothing on what it cannot keep.
    assert_eq!(home.read("runs"), None);

    disk.empty();
    let ended = screen.wait_for_end(&turn);
    let said = spoken(&ended.response_parts);
    assert_eq!(said.matches("word ").count(), WORDS);
    assert!(said.ends_with("word Was busy."));
    let queued = screen.wait_for_end("q1");
    assert_eq!(spoken(&queued.response_parts), "Now it is later.");
    let next = screen.prompt("again");
    screen.wait_for_end(&next);
    assert_eq!(home.read("runs").as_deref(), Some("ran\n"));
    survives(&home, screen.id(), &[&first, &turn, "q1", &next]);
}

#[test]
fn a_session_can_be_looked_at_while_its_last_step_waits_for_room() {
    let home = Home::new(scenario());
    let Some(disk) = SmallDisk::under(&home, MEBIBYTES) else {
        return;
    };
    let (mut screen, first) = greeted(&home);
    let turn = busy(&home, &mut screen);
    goes_on_without_room(&home, &disk, &mut screen);
    let channel = screen.chat_channel();
    let cancel = json!({"type": "chat/turnCancelled", "turnId": turn, "duration": 0});
    let seq = screen.client.dispatch(&channel, &cancel);
    // They come while the cancel waits to be kept.
    let mut late = Attached::attach(&home, "late", screen.id());
    assert_eq!(late.chat().turns[0].id, first);
    let mut later = Attached::attach(&home, "later", screen.id());
    assert_eq!(
        screen.echo(seq),
        None,
        "what is not kept is not acknowledged"
    );

    disk.empty();
    assert_eq!(screen.outcome(seq), None);
    let next = screen.prompt("again");
    for client in [&mut screen, &mut late, &mut later] {
        client.wait_for_end(&next);
        assert_eq!(client.chat().turns[1].state, TurnState::Cancelled);
    }
    assert_eq!(json!(late.chat()), json!(screen.chat()));
    assert_eq!(json!(later.chat()), json!(screen.chat()));
    survives(&home, screen.id(), &[&first, &turn, &next]);
}

#[test]
fn a_daemon_on_a_full_disk_stops_all_the_same() {
    let home = Home::new(scenario());
    let Some(disk) = SmallDisk::under(&home, MEBIBYTES) else {
        return;
    };
    let (mut screen, first) = greeted(&home);
    let turn = busy(&home, &mut screen);
    goes_on_without_room(&home, &disk, &mut screen);
    home.copilot(&["daemon", "stop", "--force"]).expect_code(0);
    until("the end of the daemon", || {
        home.daemons().is_empty().then_some(())
    });

    disk.empty();
    home.start_daemon();
    let mut after = Attached::attach(&home, "after", screen.id());
    let cut_off = after.wait_for_end(&turn);
    assert_ne!(cut_off.state, TurnState::Complete);
    assert_eq!(after.chat().turns[0].id, first);
    assert_eq!(home.read("runs"), None, "the agent ended with the daemon");
}

#[test]
fn output_that_cannot_be_kept_is_said_to_be_cut() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello.")]).on(
        "print",
        [
            tool(
                "shell",
                json!({"command": "echo first; touch said; until [ -e go ]; do read -t 0.02 <> <(:) || :; done; head -c 300000 /dev/zero | tr '\\0' x"}),
            ),
            say("Printed."),
        ],
    ));
    let Some(disk) = SmallDisk::under(&home, MEBIBYTES) else {
        return;
    };
    let (mut screen, _) = greeted(&home);
    let turn = screen.prompt("print");
    until("the command", || home.read("said"));
    // What it said has arrived and is kept.
    let channel = screen.session_channel();
    let read = |screen: &mut Attached, uri: &str| {
        let params = json!({"channel": channel, "uri": format!("{uri}?from=0&to=6")});
        screen.client.request("resourceRead", params)
    };
    let call = screen.wait("the call", |_, chat| {
        let parts = json!(chat.active_turn.as_ref()?.response_parts);
        let call = parts
            .as_array()?
            .iter()
            .find_map(|p| p["toolCall"]["toolCallId"].as_str())?;
        Some(call.to_owned())
    });
    let uri = format!("copilot-output:/{}/{call}", screen.id());
    until("what it said", || {
        let read = read(&mut screen, &uri).ok()?;
        (read["data"] == "first\n").then_some(())
    });
    disk.fill(0);
    home.write("go", "");
    let notice = screen.wait("a notice", |_, chat| {
        let parts = &chat.active_turn.as_ref()?.response_parts;
        let text = json!(parts).to_string();
        text.contains("output-cut").then_some(text)
    });
    assert!(notice.contains("is not kept"), "{notice}");
    disk.empty();
    let ended = json!(screen.wait_for_end(&turn));
    assert!(ended.to_string().contains(&uri), "{ended}");
    let read = read(&mut screen, &uri).unwrap();
    assert_eq!(read["data"], "first\n");
}

fn greeted(home: &Home) -> (Attached, String) {
    home.start_daemon();
    let mut screen = Attached::create(home, "a screen", json!({"allowAllTools": true}));
    let first = screen.prompt("hello");
    screen.trust_folder();
    screen.wait_for_end(&first);
    (screen, first)
}

#[track_caller]
fn refuses(screen: &mut Attached) {
    let turn = screen.mint("turn");
    let reason = screen
        .dispatch(&turn_started(&turn, "again"))
        .expect("no input is taken");
    assert!(reason.contains("is full"), "{reason}");
}

/// What was acknowledged is there after a crash, for people and for the agent.
fn survives(home: &Home, id: &str, turns: &[&str]) {
    home.kill_daemon();
    home.start_daemon();
    let mut after = Attached::attach(home, "after", id);
    let kept: Vec<_> = after.chat().turns.iter().map(|turn| &turn.id).collect();
    assert_eq!(kept, turns, "{}", after.describe());
    let next = after.prompt("again");
    let ended = after.wait_for_end(&next);
    assert_eq!(spoken(&ended.response_parts), "Still here.");
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(!parts.contains("memory-lost"), "{parts}");
}
