//! Every limit that an end can reach is refused with words and counted.

use std::time::Duration;

use copilot_relay::bucket::Rate;
use copilot_relay::metrics::Reason;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Relay, Socket, code, id, soon, string, until};

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

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up_and_one_that_is_not_there_yet_is_not() {
    let relay = Relay::with(|limits| {
        limits.answer_taken = Duration::from_millis(50);
        limits.hello = Duration::from_secs(1_000);
    })
    .await;
    let token = relay.join(&id(1)).await;
    let poll = relay.post("/link/v1/poll", &token, Value::Null).await;
    let poll = string(&poll.json().await.unwrap(), "poll");
    let receive = relay
        .http
        .get(relay.url("/link/v1/poll/self/receive?after=0"))
        .header("authorization", format!("Poll {poll}"))
        .send();
    let asked = relay.started.relay.metrics.requests.get();
    let waits = tokio::spawn(receive);
    until("it waits", || {
        relay.started.relay.metrics.requests.get() > asked
    })
    .await;

    // Asks on and on, and reads nothing.
    let mut stream = TcpStream::connect(relay.started.address).await.unwrap();
    let asked = format!(
        "GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n",
        relay.started.address
    );
    let asked = asked.repeat(100);
    soon("the end", async {
        while stream.write_all(asked.as_bytes()).await.is_ok() {}
    })
    .await;
    until("it is counted", || relay.refused(Reason::Reader) == 1).await;

    assert!(!waits.is_finished());
    relay.clock.advance(relay.started.relay.limits.poll_wait);
    let answer = soon("the answer", waits).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}

/// A device that is sent more than the system takes in its place, and reads nothing of it.
async fn a_reader_that_stands_still(relay: &Relay, machine: &mut Socket, token: &str) -> Socket {
    let (mut device, _) = relay.device(token).await;
    let (_, channel) = device.channel(machine, &id(1)).await;
    for _ in 0..256 {
        machine.send(channel, &[0; 65_536]).await;
    }
    machine.settle().await;
    device
}

#[tokio::test]
async fn a_socket_that_does_not_read_ends_when_the_relay_decides_so() {
    let relay = Relay::with(|limits| {
        limits.window_bytes = 16 * 1024 * 1024;
        limits.waiting_control_messages = 16;
        limits.last_words = Duration::from_millis(50);
        // Nothing but the decision ends it.
        limits.lease = Duration::from_secs(1_000_000);
    })
    .await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let first = relay.pair(&mut machine, &id(7)).await;
    let second = relay.pair(&mut machine, &id(8)).await;
    let links = || relay.started.relay.links.len();
    until("those who paired leave", || links() == 1).await;

    let _revoked = a_reader_that_stands_still(&relay, &mut machine, &first).await;
    assert_eq!(links(), 2);
    machine
        .say(json!({"type": "device-revoke", "deviceId": id(7)}))
        .await;
    machine.hear("channel-closed").await;
    until("the revoked device is cut", || links() == 1).await;

    let mut flooded = a_reader_that_stands_still(&relay, &mut machine, &second).await;
    assert_eq!(links(), 2);
    for n in 0..40 {
        let ping = json!({"type": "ping", "n": n});
        flooded.raw(Message::text(ping.to_string())).await;
    }
    until("what overflows is cut", || links() == 1).await;
    assert_eq!(relay.refused(Reason::Reader), 1);
}

#[tokio::test]
async fn several_sockets_of_a_device_open_no_more_channels_than_one() {
    let rate = |burst| Rate {
        burst,
        per_second: 1.0,
    };
    let relay = Relay::with(|limits| {
        limits.channel_opens = rate(2);
        limits.channel_opens_at_machine = rate(5);
    })
    .await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    // The channels of these pairings are two of five.
    let first = relay.pair(&mut machine, &id(7)).await;
    let second = relay.pair(&mut machine, &id(8)).await;
    let open = json!({"type": "channel-open", "request": 1, "machineId": id(1)});
    let refused = async |device: &mut Socket| {
        device.say(open.clone()).await;
        let refused = device.hear("channel-refused").await;
        assert_eq!(refused["reason"], "busy");
        assert!(string(&refused, "message").contains("too often"));
    };
    let (mut one, _) = relay.device(&first).await;
    let (mut another, _) = relay.device(&first).await;
    one.channel(&mut machine, &id(1)).await;
    another.channel(&mut machine, &id(1)).await;
    refused(&mut one).await;
    refused(&mut another).await;
    // Another device has its own, but the machine takes one more only.
    let (mut other, _) = relay.device(&second).await;
    other.channel(&mut machine, &id(1)).await;
    refused(&mut other).await;
    assert_eq!(relay.refused(Reason::Rate), 3);
    relay.clock.advance(Duration::from_secs(1));
    one.channel(&mut machine, &id(1)).await;
}

#[tokio::test]
async fn nobody_uses_up_what_others_need_as_well() {
    let relay = Relay::with(|limits| {
        limits.channels_per_device = 2;
        limits.channels_per_machine = 3;
        limits.pairing_channels_per_machine = 1;
        limits.sockets_per_pairing = 2;
        limits.tickets_per_party = 3;
    })
    .await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let first = relay.pair(&mut machine, &id(7)).await;
    let second = relay.pair(&mut machine, &id(8)).await;
    let open = json!({"type": "channel-open", "request": 1, "machineId": id(1)});
    let busy = async |socket: &mut Socket| {
        socket.say(open.clone()).await;
        assert_eq!(socket.hear("channel-refused").await["reason"], "busy");
    };

    // A device has no more channels by having more sockets, and another device has its own.
    let (mut one, _) = relay.device(&first).await;
    let (mut another, _) = relay.device(&first).await;
    one.channel(&mut machine, &id(1)).await;
    another.channel(&mut machine, &id(1)).await;
    busy(&mut one).await;
    let (mut other, _) = relay.device(&second).await;
    other.channel(&mut machine, &id(1)).await;
    busy(&mut other).await;

    // Devices that took all of theirs keep nobody from pairing, once.
    let (_pairs, ..) = relay.begin_pairing(&mut machine, &id(9)).await;
    let path = format!("/api/v1/pairings/{}/ticket", id(9));
    let ticket = async || relay.post(&path, "", Value::Null).await;
    let granted = async || string(&ticket().await.json().await.unwrap(), "ticket");
    let mut waits = relay.greet(&granted().await).await;
    busy(&mut waits).await;

    // Two sockets of one pairing, and not a third.
    let mut third = relay.open("device", &granted().await).await.unwrap();
    third
        .say(json!({"type": "hello", "protocol": 1, "build": "test"}))
        .await;
    assert!(third.ended().await.unwrap().contains("As many"));
    waits.close().await;
    until("one has left", || {
        relay.started.relay.present().pairing_sockets == 1
    })
    .await;
    relay.greet(&granted().await).await;

    // Tickets that nobody uses.
    for _ in 0..3 {
        assert_eq!(ticket().await.status(), 200);
        assert_eq!(relay.ticket(&first).await.len(), 43);
    }
    assert_eq!(code(ticket().await).await, (503, "full".into()));
    let full = relay.post("/api/v1/tickets", &first, Value::Null).await;
    assert_eq!(code(full).await, (503, "full".into()));
    relay.ticket(&second).await;
}

#[tokio::test]
async fn behind_a_proxy_connections_are_counted_for_whom_it_names() {
    let relay = Relay::behind_proxy(|limits| limits.connections_per_address = 1).await;
    let token = relay.join(&id(1)).await;
    let address = relay.started.address.to_string();
    // A connection of the proxy, kept open.
    let mut first = TcpStream::connect(&address).await.unwrap();
    let ask = |whose: &str| {
        format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nx-forwarded-for: {whose}\r\n\r\n")
    };
    let answer = async |stream: &mut TcpStream, whose: &str| {
        stream.write_all(ask(whose).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        soon("an answer", stream.read_exact(&mut answer))
            .await
            .unwrap();
        // The rest of it comes at once or does not matter.
        let mut rest = vec![0; 4096];
        let _ = soon("its rest", stream.read(&mut rest)).await;
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    assert_eq!(answer(&mut first, "192.0.2.7").await, "200");
    assert_eq!(answer(&mut first, "192.0.2.7").await, "200");
    let mut second = TcpStream::connect(&address).await.unwrap();
    assert_eq!(answer(&mut second, "192.0.2.7").await, "429");
    assert_eq!(relay.refused(Reason::Connections), 1);
    assert_eq!(answer(&mut second, "192.0.2.8").await, "200");
    // The first connection carries somebody else's request now.
    assert_eq!(answer(&mut first, "192.0.2.9").await, "200");
    assert_eq!(answer(&mut second, "192.0.2.7").await, "200");
    drop((first, second));

    // A socket has its place until it is closed.
    until("they are closed", || {
        relay.started.relay.places.taken() <= 1
    })
    .await;
    let ticket = relay.ticket(&token).await;
    let socket = relay.named("192.0.2.7", "machine", &ticket).await.unwrap();
    let ticket = relay.ticket(&token).await;
    let refused = relay.named("192.0.2.7", "machine", &ticket).await;
    assert_eq!(refused.err(), Some(429));
    socket.close().await;
    soon("the place is free", async {
        while relay.named("192.0.2.7", "machine", &ticket).await.is_err() {}
    })
    .await;
}
