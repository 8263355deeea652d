//! What a relay costs with many machines and devices connected and few of them active: memory for each
//! connection and processor time, of the real binary over real sockets without TLS.
//!
//! `cargo bench --package copilot-relay`; `docs/performance.md` has the figures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// As many machines, and as many devices.
const PAIRS: u32 = 2_000;
/// Pairs that talk: one in a hundred.
const ACTIVE: u32 = PAIRS / 100;
/// Sealed messages a second from each active machine, and their size.
const MESSAGES_PER_SECOND: u32 = 20;
const MESSAGE_BYTES: usize = 1_024;
const MEASURED: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<TcpStream>;

fn main() {
    let data = tempfile::tempdir().unwrap();
    let many = (PAIRS + 1).to_string();
    let mut relay = Command::new(env!("CARGO_BIN_EXE_copilot-relay"))
        .args(["serve", "--child", "--listen", "127.0.0.1:0"])
        .args(["--max-machines", &many, "--max-devices", &many, "--data"])
        .arg(data.path())
        .env("COPILOT_RELAY_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    raise_file_limit();
    let mut line = String::new();
    BufReader::new(relay.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let token = std::fs::read_to_string(data.path().join("enrolment-token")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(relay.id(), address, token.trim()));
    drop(relay.stdin.take());
    assert!(relay.wait().unwrap().success());
}

async fn measure(pid: u32, address: SocketAddr, enrolment: &str) {
    let before = resident_kib(pid);
    let (talk, begin) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for n in 0..PAIRS {
        let (machine, device, channel) = pair(address, enrolment, n).await;
        // They ping from now on: connecting all of them takes longer than a lease.
        let channel = (n < ACTIVE).then_some(channel);
        tasks.spawn(machine_talks(machine, channel, begin.clone()));
        tasks.spawn(device_listens(device));
    }
    let connected = resident_kib(pid);
    let connections = u64::from(PAIRS) * 2;
    println!(
        "memory: {before} KiB alone, {connected} KiB with {connections} connections: {:.1} KiB a connection",
        (connected - before) as f64 / connections as f64
    );
    talk.send_replace(true);
    let (began, cpu) = (Instant::now(), cpu_seconds(pid));
    tokio::time::sleep(MEASURED).await;
    let used = (cpu_seconds(pid) - cpu) / began.elapsed().as_secs_f64();
    println!(
        "processor: {:.1} % of a core with {ACTIVE} of {PAIRS} pairs active ({} sealed messages of {MESSAGE_BYTES} \
         bytes a second) and a heartbeat of all every {} s",
        used * 100.0,
        ACTIVE * MESSAGES_PER_SECOND,
        HEARTBEAT.as_secs()
    );
    println!("memory after that: {} KiB", resident_kib(pid));
    let numbers = get(address, "/metrics").await;
    for expected in [
        format!("\nrelay_machines_online {PAIRS}\n"),
        format!("\nrelay_device_sockets {PAIRS}\n"),
    ] {
        assert!(numbers.contains(&expected), "{expected} in {numbers}");
    }
    tasks.shutdown().await;
}

/// A machine and a device that is paired with it, with a channel between them; its number at the machine.
async fn pair(address: SocketAddr, enrolment: &str, n: u32) -> (Socket, Socket, u32) {
    // Each pair has an address of its own, as it would have outside.
    let [_, a, b, c] = (n + 2).to_be_bytes();
    let from = Ipv4Addr::new(127, a, b, c).into();
    let machine_id = format!("{n:032x}");
    let join = json!({"enrolmentToken": enrolment, "machineId": machine_id, "name": "machine"});
    let joined = ask(from, address, "/api/v1/machines", "", join).await;
    let token = joined["machineToken"].as_str().unwrap();
    let ticket = ask(from, address, "/api/v1/tickets", token, Value::Null).await;
    let mut machine = open(from, address, "machine", &ticket).await;
    say(
        &mut machine,
        json!({"type": "hello", "protocol": 1, "name": "machine", "build": "bench"}),
    )
    .await;
    hear(&mut machine, "hello").await;

    let pairing = format!("{:032x}", u128::from(n) << 64);
    say(
        &mut machine,
        json!({"type": "pairing-open", "pairingId": pairing, "expiresInMs": 60_000}),
    )
    .await;
    say(&mut machine, json!({"type": "ping", "n": 1})).await;
    hear(&mut machine, "pong").await;
    let path = format!("/api/v1/pairings/{pairing}/ticket");
    let ticket = ask(from, address, &path, "", Value::Null).await;
    let mut pairing = open(from, address, "device", &ticket).await;
    let hello = json!({"type": "hello", "protocol": 1, "build": "bench"});
    say(&mut pairing, hello.clone()).await;
    say(&mut pairing, json!({"type": "channel-open", "request": 1})).await;
    let channel = hear(&mut machine, "channel-opened").await["channel"].take();
    let device_id = format!("{n:032x}");
    say(
        &mut machine,
        json!({"type": "device-admit", "channel": channel, "deviceId": device_id, "name": "device"}),
    )
    .await;
    let claim = hear(&mut pairing, "claim").await["claim"].take();
    let claimed = ask(
        from,
        address,
        "/api/v1/devices/claim",
        "",
        json!({"claim": claim}),
    )
    .await;
    let _ = pairing.close(None).await;

    let token = claimed["deviceToken"].as_str().unwrap();
    let ticket = ask(from, address, "/api/v1/tickets", token, Value::Null).await;
    let mut device = open(from, address, "device", &ticket).await;
    say(&mut device, hello).await;
    hear(&mut device, "machines").await;
    say(
        &mut device,
        json!({"type": "channel-open", "request": 1, "machineId": machine_id}),
    )
    .await;
    hear(&mut device, "channel-opened").await;
    let channel = hear(&mut machine, "channel-opened").await["channel"]
        .as_u64()
        .unwrap();
    // A channel on which the device says nothing is closed.
    let hello = [&1_u32.to_be_bytes()[..], b"hello"].concat();
    device.send(Message::binary(hello)).await.unwrap();
    (machine, device, u32::try_from(channel).unwrap())
}

/// Pings, and when it has a channel sends on it once it may begin.
async fn machine_talks(
    mut machine: Socket,
    channel: Option<u32>,
    mut begin: watch::Receiver<bool>,
) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    let mut talk = tokio::time::interval(Duration::from_secs(1) / MESSAGES_PER_SECOND);
    talk.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = heartbeat.tick() => say(&mut machine, json!({"type": "ping", "n": 1})).await,
            _ = begin.changed() => {}
            _ = talk.tick(), if channel.is_some() && *begin.borrow() => {
                let mut message = channel.unwrap_or_default().to_be_bytes().to_vec();
                message.resize(4 + MESSAGE_BYTES, 7);
                machine.send(Message::binary(message)).await.unwrap();
            }
            message = machine.next() => drop(message.unwrap().unwrap()),
        }
    }
}

/// Pings, and gives back the credit of what it gets.
async fn device_listens(mut device: Socket) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            _ = heartbeat.tick() => say(&mut device, json!({"type": "ping", "n": 1})).await,
            message = device.next() => {
                if let Message::Binary(bytes) = message.unwrap().unwrap() {
                    let channel = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                    say(&mut device, json!({"type": "window", "channel": channel, "bytes": bytes.len() - 4})).await;
                }
            }
        }
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

/// The next control message of this kind; others are passed over.
async fn hear(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let message = socket.next().await.unwrap().unwrap();
        if let Message::Text(text) = message {
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(value["type"], "refused", "{value}");
            if value["type"] == kind {
                return value;
            }
        }
    }
}

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

async fn open(from: IpAddr, to: SocketAddr, kind: &str, ticket: &Value) -> Socket {
    let ticket = ticket["ticket"].as_str().unwrap();
    let url = format!("ws://{to}/link/v1/{kind}?ticket={ticket}");
    let small = WebSocketConfig::default().read_buffer_size(2_048);
    let stream = connect(from, to).await;
    let (socket, _) = client_async_with_config(url, stream, Some(small))
        .await
        .unwrap();
    socket
}

/// One request on a connection of its own.
async fn ask(from: IpAddr, to: SocketAddr, path: &str, token: &str, body: Value) -> Value {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(from, to, &request).await;
    serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}"))
}

async fn get(to: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
    exchange(Ipv4Addr::LOCALHOST.into(), to, &request).await
}

/// The body of the answer.
async fn exchange(from: IpAddr, to: SocketAddr, request: &str) -> String {
    let mut stream = connect(from, to).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    // With the line break before it, so that every line can be looked for alike.
    let (_, body) = answer.split_once("\r\n\r").unwrap();
    body.to_owned()
}

/// Memory that the process alone holds.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time of the process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // A tick is a hundredth of a second wherever Linux runs.
    ticks as f64 / 100.0
}

fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
