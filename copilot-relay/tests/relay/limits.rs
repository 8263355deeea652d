//! Every limit that an end can reach is refused with words and counted.

use copilot_relay::bucket::Rate;
use copilot_relay::metrics::Reason;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Relay, code, id, soon, string};

#[tokio::test]
async fn an_address_asks_for_secrets_only_so_often() {
    let rate = Rate {
        burst: 3,
        per_second: 1.0,
    };
    let relay = Relay::with(|limits| limits.secrets_per_address = rate).await;
    for path in ["/api/v1/machines", "/api/v1/tickets", "/link/v1/poll"] {
        let response = relay.post(path, "", Value::Null).await;
        assert_ne!(response.status(), 429, "{path}");
    }
    let pairing = format!("/api/v1/pairings/{}/ticket", id(9));
    for path in [
        "/api/v1/machines",
        "/api/v1/tickets",
        "/api/v1/devices/claim",
        "/link/v1/poll",
        &pairing,
    ] {
        let response = relay.post(path, "", Value::Null).await;
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(code(response).await, (429, "too-often".into()), "{path}");
    }
    assert_eq!(relay.refused(Reason::Rate), 5);
    relay.clock.advance(std::time::Duration::from_secs(1));
    relay.join(&id(1)).await;
}

#[tokio::test]
async fn there_are_only_so_many_channels_devices_pairings_and_sockets() {
    let relay = Relay::with(|limits| {
        limits.channels_per_device = 2;
        limits.channels_per_machine = 3;
        limits.devices = 2;
        limits.pairings_per_machine = 1;
        limits.sockets_per_device = 2;
    })
    .await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let first_token = relay.pair(&mut machine, &id(7)).await;
    let second = relay.pair(&mut machine, &id(8)).await;

    // A third device: the channel of its pairing ends.
    let (mut third, ..) = relay.begin_pairing(&mut machine, &id(9)).await;
    machine
        .say(json!({"type": "device-admit", "channel": 3, "deviceId": id(6), "name": "x"}))
        .await;
    assert_eq!(third.hear("channel-closed").await["reason"], "failed");
    machine.hear("channel-closed").await;

    // A second pairing while one is open.
    let pairing = json!({"type": "pairing-open", "pairingId": id(10), "expiresInMs": 1_000});
    machine.say(pairing).await;
    machine.settle().await;
    let path = format!("/api/v1/pairings/{}/ticket", id(10));
    let ticket = relay.post(&path, "", Value::Null).await;
    assert_eq!(code(ticket).await, (404, "no-such-pairing".into()));

    let (mut first, _) = relay.device(&first_token).await;
    let (mut second, _) = relay.device(&second).await;
    let open = json!({"type": "channel-open", "request": 1, "machineId": id(1)});
    first.channel(&mut machine, &id(1)).await;
    first.channel(&mut machine, &id(1)).await;
    first.say(open.clone()).await;
    assert_eq!(first.hear("channel-refused").await["reason"], "busy");
    second.channel(&mut machine, &id(1)).await;
    second.say(open).await;
    assert_eq!(second.hear("channel-refused").await["reason"], "busy");

    let (_another, _) = relay.device(&first_token).await;
    let ticket = relay.ticket(&first_token).await;
    let mut too_many = relay.open("device", &ticket).await.unwrap();
    too_many
        .say(json!({"type": "hello", "protocol": 1, "build": "test"}))
        .await;
    assert!(
        too_many
            .ended()
            .await
            .unwrap()
            .contains("As many connections")
    );
    assert_eq!(relay.refused(Reason::Full), 5);
}

#[tokio::test]
async fn a_device_opens_channels_only_so_often() {
    let rate = Rate {
        burst: 2,
        per_second: 1.0,
    };
    let relay = Relay::with(|limits| limits.channel_opens = rate).await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&token).await;
    device.channel(&mut machine, &id(1)).await;
    device.channel(&mut machine, &id(1)).await;
    device
        .say(json!({"type": "channel-open", "request": 1, "machineId": id(1)}))
        .await;
    let refused = device.hear("channel-refused").await;
    assert_eq!(refused["reason"], "busy");
    assert!(string(&refused, "message").contains("too often"));
    assert_eq!(relay.refused(Reason::Rate), 1);
    relay.clock.advance(std::time::Duration::from_secs(1));
    device.channel(&mut machine, &id(1)).await;
}

#[tokio::test]
async fn a_socket_that_sends_too_fast_is_read_more_slowly_and_loses_nothing() {
    let rate = Rate {
        burst: 5,
        per_second: 1.0,
    };
    let relay = Relay::with(|limits| limits.machine_messages = rate).await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    for n in 0..10 {
        machine.say(json!({"type": "ping", "n": n})).await;
    }
    // The hello was one of five; the rest waits for the clock.
    for n in 0..4 {
        assert_eq!(machine.hear("pong").await["n"], n);
    }
    soon("the other answers", async {
        for n in 4..10 {
            let heard = machine.hear("pong");
            tokio::pin!(heard);
            loop {
                tokio::select! {
                    pong = &mut heard => break assert_eq!(pong["n"], n),
                    () = tokio::task::yield_now() => relay.clock.advance(std::time::Duration::from_millis(1)),
                }
            }
        }
    })
    .await;
    assert!(relay.started.relay.metrics.throttled.get() >= 1);
}

#[tokio::test]
async fn bodies_and_heads_are_bounded_in_size_and_time() {
    let relay = Relay::with(|limits| {
        limits.request_head = std::time::Duration::from_millis(50);
        limits.request_body = std::time::Duration::from_millis(50);
    })
    .await;
    let large = json!({"claim": "x".repeat(9_000)});
    let answer = relay.post("/api/v1/devices/claim", "", large).await;
    assert_eq!(code(answer).await, (413, "too-large".into()));

    let speak = async |text: String| {
        let mut stream = TcpStream::connect(relay.started.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // What was not read may reset the connection after the answer.
        let _ = soon("the end", stream.read_to_string(&mut answer)).await;
        answer
    };
    let host = relay.started.address;
    // A head that never ends, a head that is too long, a body that never comes.
    let answer = speak(format!("GET / HTTP/1.1\r\nhost: {host}\r\n")).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    let answer = speak(format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nx: {}\r\n\r\n",
        "x".repeat(20_000)
    ))
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = speak(format!(
        "POST /api/v1/devices/claim HTTP/1.1\r\nhost: {host}\r\ncontent-length: 9\r\n\r\n"
    ))
    .await;
    assert!(
        answer.contains("408") && answer.contains("too-slow"),
        "{answer}"
    );
    assert!(relay.refused(Reason::Slow) >= 2 && relay.refused(Reason::Size) == 1);
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let relay = Relay::with(|limits| limits.connections = 2).await;
    let first = TcpStream::connect(relay.started.address).await.unwrap();
    let _second = TcpStream::connect(relay.started.address).await.unwrap();
    let mut third = TcpStream::connect(relay.started.address).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end", third.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
    assert_eq!(relay.refused(Reason::Connections), 1);
    drop(first);
}
