//! Output without end: it costs no memory, delays nobody for good and is kept to the last byte.

use ahp_types::state::TurnState;
use copilot_tests::attached::{Attached, spoken, text_that_begins};
use copilot_tests::{Home, Scenario, SlowClients, peak_memory_bytes, say, tool};
use serde_json::json;

const MEBIBYTE: u64 = 1024 * 1024;
/// What the daemon may have in memory while a command prints more than that.
const MEMORY_BYTES: u64 = 64 * MEBIBYTE;
/// What waits for one client at most, and what is on its way to it.
const MEMORY_BYTES_A_CLIENT: u64 = 16 * MEBIBYTE;

/// A command that prints so many mebibytes when the file `go` is there.
fn flood(mebibytes: u64) -> Scenario {
    let wait = "until [ -e go ]; do read -t 0.02 <> <(:) || :; done";
    let command = format!("echo first; {wait}; yes | head -c {mebibytes}M");
    let input = json!({"command": command, "timeout_ms": 600_000});
    Scenario::new()
        .on("hello", [say("Hello.")])
        .on("flood", [tool("shell", input), say("Printed.")])
}

#[test]
fn a_command_that_prints_more_than_the_daemon_may_have_is_kept_whole() {
    prints_and_keeps(80);
}

#[test]
#[ignore = "long: 200 MiB"]
fn a_command_that_prints_200_mib_is_kept_whole() {
    prints_and_keeps(200);
}

fn prints_and_keeps(mebibytes: u64) {
    let home = Home::new(flood(mebibytes));
    let (mut screen, turn) = flooding(&home);
    home.write("go", "");
    wait_for_the_end(&mut screen, &turn);
    let used = peak_memory_bytes(home.daemon());
    assert!(used < MEMORY_BYTES, "{} MiB", used / MEBIBYTE);

    let reference =
        text_that_begins(&json!(screen.chat().turns), "copilot-output:/").expect("the output");
    let total = "first\n".len() as u64 + mebibytes * MEBIBYTE;
    let mut read = 0;
    while read < total {
        let uri = format!("{reference}?from={read}&to={}", read + 8 * MEBIBYTE);
        let channel = screen.session_channel();
        let params = json!({"channel": channel, "uri": uri});
        let result = screen.client.request("resourceRead", params).unwrap();
        let text = result["data"].as_str().unwrap();
        let text = match read {
            0 => text.strip_prefix("first\n").expect("the first line"),
            _ => text,
        };
        assert!(
            text.split_terminator('\n').all(|line| line == "y"),
            "at {read}"
        );
        read += result["data"].as_str().unwrap().len() as u64;
    }
    assert_eq!(read, total);
}

#[test]
fn slow_clients_cost_little_and_find_everything_when_they_come_back() {
    let home = Home::new(flood(60));
    let (mut screen, turn) = flooding(&home);
    let output = text_that_begins(&json!(screen.chat()), "ahp-terminal:/").expect("live output");
    let slow = SlowClients::watching(&home, screen.id(), &[output]);
    home.write("go", "");
    wait_for_the_end(&mut screen, &turn);
    let used = peak_memory_bytes(home.daemon());
    let most = MEMORY_BYTES + 3 * MEMORY_BYTES_A_CLIENT;
    assert!(used < most, "{} MiB", used / MEBIBYTE);

    let next = screen.prompt("hello");
    let ended = screen.wait_for_end(&next);
    assert_eq!(spoken(&ended.response_parts), "Hello.");
    for mut client in slow.stop() {
        client.reconnect(&home).expect("it is welcome");
        client.wait_for_end(&next);
        let host = Attached::attach(&home, "newcomer", screen.id());
        assert_eq!(json!(client.chat()), json!(host.chat()));
    }
}

/// A session whose command has begun.
fn flooding(home: &Home) -> (Attached, String) {
    home.start_daemon();
    let mut screen = Attached::create(home, "a screen", json!({"allowAllTools": true}));
    let turn = screen.prompt("flood");
    screen.trust_folder();
    screen.wait("live output", |_, chat| {
        text_that_begins(&json!(chat), "ahp-terminal:/")
    });
    (screen, turn)
}

fn wait_for_the_end(screen: &mut Attached, turn: &str) {
    let ended = screen.wait_for_long_end(turn);
    assert_eq!(ended.state, TurnState::Complete, "{ended:?}");
    assert_eq!(spoken(&ended.response_parts), "Printed.");
}
