//! Broken and malicious connections are closed; nobody else notices.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use copilot_tests::attached::{Attached, spoken};
use copilot_tests::{Client, Home, Scenario, say, until};
use serde_json::json;

#[test]
fn garbage_closes_only_the_connection_it_came_on() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello to you.")]));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({"allowAllTools": true}));

    let hello = b"\x00\x00\x00\x0f\x00\x00COPILOTD\x00\x01\x00\x01\x00";
    let bombs: [(&str, Vec<u8>); 7] = [
        ("no hello", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a length bomb", vec![0xff; 9]),
        (
            "a wrong magic",
            b"\x00\x00\x00\x0f\x00\x00COPILOTX\x00\x01\x00\x01\x00".to_vec(),
        ),
        ("zeroes", vec![0; 64]),
        (
            "an unknown kind",
            [hello, &b"\x00\x00\x00\x02\x63\x00"[..]].concat(),
        ),
        (
            "an oversized frame",
            [
                hello,
                &b"\x00\x01\x00\x03\x05\x00"[..],
                &vec![b' '; 65_537][..],
            ]
            .concat(),
        ),
        (
            "a chunk of another kind",
            [
                hello,
                &b"\x00\x00\x00\x03\x05\x01{\x00\x00\x00\x03\x03\x00\x00"[..],
            ]
            .concat(),
        ),
    ];
    for (what, bytes) in bombs {
        let mut stream = UnixStream::connect(home.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // The daemon may close before it has read everything.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let ended = std::io::Read::read_to_end(&mut stream, &mut answer);
        assert!(
            ended.is_ok()
                || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "the connection with {what} is closed"
        );
    }

    let turn = screen.prompt("hello");
    screen.trust_folder();
    assert_eq!(
        spoken(&screen.wait_for_end(&turn).response_parts),
        "Hello to you."
    );
}

#[test]
fn a_client_that_stopped_reading_is_gone_as_soon_as_too_much_waits_for_it() {
    const BYTES: usize = 1024 * 1024;
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let mut stopped = Client::connect(&home, "Ctrl+Z");
    // Each reply is as long as its id. It never reads one, and never leaves.
    let id = "x".repeat(BYTES);
    let ping =
        json!({"jsonrpc": "2.0", "id": id, "method": "ping", "params": {"channel": "ahp-root://"}});
    // More than may wait, and what the sockets hold.
    for _ in 0..24 {
        // The daemon may have had enough already.
        let _ = stopped.send(&ping);
    }
    until("its end", || {
        let status = home.copilot(&["daemon", "status", "--json"]).json();
        // The command that asks is one itself.
        (status["clients"] == 1).then_some(())
    });
    drop(stopped);
}

#[test]
fn malformed_messages_are_answered_or_dropped_and_the_session_stays_whole() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello to you.")]));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let id = screen.id().to_owned();
    let mut hostile = Client::connect(&home, "hostile");
    for (method, params) in [
        ("noSuchMethod", json!({})),
        ("subscribe", json!({"channel": 7})),
        ("subscribe", json!({"channel": "ahp-session:/nobody"})),
        (
            "createSession",
            json!({"channel": "ahp-session:/not-a-uuid"}),
        ),
        ("fetchTurns", json!(null)),
        (
            "resourceRead",
            json!({"channel": "ahp-root://", "uri": "file:///etc/passwd"}),
        ),
        (
            "resourceRead",
            json!({"channel": "ahp-root://", "uri": format!("copilot-content:/{id}/../../../etc/passwd")}),
        ),
    ] {
        let answer = hostile.request(method, params.clone());
        assert!(answer.is_err(), "{method} {params}: {answer:?}");
    }
    let chat = screen.chat_channel();
    for action in [
        json!({}),
        json!({"type": "chat/turnStarted"}),
        json!({"type": "chat/turnStarted", "turnId": 7, "startedAt": "x", "message": "y"}),
        json!({"type": "chat/turnComplete", "turnId": "t"}),
        json!({"type": "no/such"}),
        json!([[[[[[[[]]]]]]]]),
    ] {
        hostile.dispatch(&chat, &action);
    }
    hostile
        .request("ping", json!({"channel": "ahp-root://"}))
        .unwrap();
    assert!(screen.chat().turns.is_empty() && screen.chat().active_turn.is_none());
    let turn = screen.prompt("hello");
    screen.trust_folder();
    assert_eq!(
        spoken(&screen.wait_for_end(&turn).response_parts),
        "Hello to you."
    );
}

#[test]
fn a_client_that_never_reads_does_not_delay_the_others() {
    let home = Home::new(Scenario::new().on(
        "count",
        (0..50).map(|number| say(&format!("{number} {}", "x".repeat(20_000)))),
    ));
    home.start_daemon();
    let mut screen = Attached::create(&home, "a screen", json!({}));
    let mut deaf = Attached::attach(&home, "a deaf client", screen.id());
    let turn = screen.prompt("count");
    screen.trust_folder();
    screen.wait_for_end(&turn);
    // It can still come back for a snapshot on a new connection.
    assert!(deaf.client.stream().peer_addr().is_ok());
    let later = Attached::attach(&home, "the same, later", screen.id());
    assert_eq!(later.chat().turns.len(), 1);
}
