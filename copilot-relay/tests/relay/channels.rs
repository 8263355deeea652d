//! Credit, order and the end of channels.

use std::time::Duration;

use copilot_relay::metrics::Reason;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Relay, Socket, id, soon};

/// A machine, a device and a channel between them.
async fn pair(relay: &Relay) -> (Socket, Socket, u64, u64) {
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&token).await;
    let (at_device, at_machine) = device.channel(&mut machine, &id(1)).await;
    (machine, device, at_device, at_machine)
}

#[tokio::test]
async fn messages_arrive_whole_in_order_and_as_large_as_they_may_be() {
    let relay = Relay::start().await;
    let (mut machine, mut device, at_device, at_machine) = pair(&relay).await;
    for n in 0..50_u8 {
        let size = if n % 10 == 9 {
            65_600
        } else {
            usize::from(n) + 1
        };
        machine.send(at_machine, &vec![n; size]).await;
    }
    for n in 0..50_u8 {
        let (channel, payload) = device.receive().await;
        assert_eq!(channel, at_device);
        assert!(payload.iter().all(|byte| *byte == n), "message {n}");
    }
}

#[tokio::test]
async fn credit_comes_back_as_the_receiver_says_and_not_before() {
    let relay = Relay::with(|limits| limits.window_bytes = 1_000).await;
    let (mut machine, mut device, at_device, at_machine) = pair(&relay).await;
    machine.send(at_machine, &[1; 600]).await;
    assert_eq!(device.receive().await.1.len(), 600);
    let window = |bytes: u64| json!({"type": "window", "channel": at_device, "bytes": bytes});
    // More than it got is not taken for granted.
    device.say(window(5_000)).await;
    let credit = machine.hear("window").await;
    assert_eq!(
        (&credit["channel"], &credit["bytes"]),
        (&json!(at_machine), &json!(600))
    );
    machine.send(at_machine, &[2; 1_000]).await;
    assert_eq!(device.receive().await.1.len(), 1_000);
    // Now there is none.
    machine.send(at_machine, &[3; 1]).await;
    for socket in [&mut machine, &mut device] {
        assert_eq!(socket.hear("channel-closed").await["reason"], "overrun");
        socket.settle().await;
    }
    assert_eq!(relay.refused(Reason::Overrun), 1);
}

#[tokio::test]
async fn a_device_that_does_not_read_costs_one_window_and_delays_nobody() {
    let relay = Relay::start().await;
    let (mut machine, device, _, stuck) = pair(&relay).await;
    let token = relay.pair(&mut machine, &id(8)).await;
    let (mut other, _) = relay.device(&token).await;
    let (at_other, at_machine) = other.channel(&mut machine, &id(1)).await;
    // The first device's socket is open and never read again.
    let window = relay.started.relay.limits.window_bytes as usize;
    for _ in 0..window / 65_536 {
        machine.send(stuck, &[0; 65_536]).await;
    }
    machine.send(at_machine, b"past it").await;
    assert_eq!(other.receive().await, (at_other, b"past it".to_vec()));
    let waiting = relay.started.relay.present().waiting_bytes;
    assert!(waiting <= window as u64, "{waiting}");
    // One byte more than the window ends that channel, and only that.
    machine.send(stuck, &[0]).await;
    let closed = machine.hear("channel-closed").await;
    assert_eq!(
        (&closed["channel"], &closed["reason"]),
        (&json!(stuck), &json!("overrun"))
    );
    machine.send(at_machine, b"still here").await;
    assert_eq!(other.receive().await, (at_other, b"still here".to_vec()));
    drop(device);
}

#[tokio::test]
async fn an_end_that_closes_a_channel_or_goes_ends_it_for_both() {
    let relay = Relay::start().await;
    let (mut machine, mut device, at_device, at_machine) = pair(&relay).await;
    machine.send(at_machine, b"last").await;
    machine
        .say(json!({"type": "channel-close", "channel": at_machine, "reason": "failed"}))
        .await;
    assert_eq!(device.receive().await.1, b"last");
    for (socket, channel) in [(&mut device, at_device), (&mut machine, at_machine)] {
        let closed = socket.hear("channel-closed").await;
        assert_eq!(
            (&closed["channel"], &closed["reason"]),
            (&json!(channel), &json!("failed"))
        );
    }
    // What comes late for it is nothing.
    device.send(at_device, b"late").await;
    device.settle().await;

    let (_, again) = device.channel(&mut machine, &id(1)).await;
    assert_ne!(again, at_machine, "numbers are not used twice");
    device.close().await;
    assert_eq!(machine.hear("channel-closed").await["reason"], "gone");
}

#[tokio::test]
async fn channels_on_which_nothing_is_said_are_closed() {
    let relay = Relay::with(|limits| limits.lease = Duration::from_secs(100_000)).await;
    let (mut machine, mut device, at_device, at_machine) = pair(&relay).await;
    device.send(at_device, b"hello").await;
    machine.receive().await;
    let (silent, _) = device.channel(&mut machine, &id(1)).await;
    relay
        .clock
        .advance(relay.started.relay.limits.channel_first_message);
    let closed = device.hear("channel-closed").await;
    assert_eq!(
        (&closed["channel"], &closed["reason"]),
        (&json!(silent), &json!("idle"))
    );
    machine.hear("channel-closed").await;
    relay.clock.advance(relay.started.relay.limits.channel_idle);
    let closed = machine.hear("channel-closed").await;
    assert_eq!(
        (&closed["channel"], &closed["reason"]),
        (&json!(at_machine), &json!("idle"))
    );
    assert_eq!(relay.refused(Reason::Idle), 2);
}

#[tokio::test]
async fn what_is_no_message_ends_the_socket_with_words() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let too_large = Message::binary(vec![0; 4 + 65_601]);
    let table = [
        (Message::text("no json"), "malformed"),
        (Message::text(r#"{"type":"ping"}"#), "malformed"),
        (
            Message::text(format!(
                r#"{{"type":"ping","n":1,"x":"{}"}}"#,
                "x".repeat(65_530)
            )),
            "larger than 65536",
        ),
        (Message::binary(vec![0, 0, 0]), "ends before its payload"),
        (too_large, "65604 bytes"),
    ];
    for (message, words) in table {
        let mut machine = relay.machine(&token).await;
        machine.raw(message).await;
        let last = machine.ended().await.unwrap();
        assert!(last.contains(words), "{last}");
    }
    // What is newer is ignored.
    let mut machine = relay.machine(&token).await;
    machine.say(json!({"type": "sing", "song": [1, 2]})).await;
    machine.settle().await;
}

#[tokio::test]
async fn a_socket_begins_with_a_hello_of_a_version_in_common() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let ticket = relay.ticket(&token).await;
    let mut machine = relay.open("machine", &ticket).await.unwrap();
    machine
        .say(json!({"type": "hello", "protocol": 2, "name": "tower", "build": "9.9"}))
        .await;
    let last = machine.ended().await.unwrap();
    assert!(
        last.contains("speaks version 1") && last.ends_with("the relay."),
        "{last}"
    );

    let ticket = relay.ticket(&token).await;
    let mut machine = relay.open("machine", &ticket).await.unwrap();
    machine.send(1, b"before hello").await;
    assert!(machine.ended().await.unwrap().contains("first message"));

    let ticket = relay.ticket(&token).await;
    let mut silent = relay.open("machine", &ticket).await.unwrap();
    soon("the end of a silent socket", async {
        // It may not have begun yet when the clock is advanced.
        let ended = silent.ended();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                last = &mut ended => break assert!(last.unwrap().contains("hello")),
                () = tokio::task::yield_now() => relay.clock.advance(Duration::from_secs(1)),
            }
        }
    })
    .await;
}
