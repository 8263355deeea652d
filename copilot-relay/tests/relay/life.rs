//! Starting, draining, stopping; TLS; the program itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use copilot_relay::tls::TlsOptions;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Relay, code, id, soon};

#[tokio::test]
async fn draining_tells_everybody_takes_nobody_and_waits_until_they_have_left() {
    let relay = Relay::start().await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    let device_token = relay.pair(&mut machine, &id(7)).await;
    let (mut device, _) = relay.device(&device_token).await;
    let ticket = relay.ticket(&token).await;
    let drained = relay.started.drain();
    let leave = async {
        device.hear("draining").await;
        machine.hear("draining").await;
        // Still served while it waits.
        let (at_device, at_machine) = device.channel(&mut machine, &id(1)).await;
        device.send(at_device, b"go on").await;
        assert_eq!(machine.receive().await, (at_machine, b"go on".to_vec()));
        assert_eq!(relay.open("machine", &ticket).await.err(), Some(503));
        let poll = relay.post("/link/v1/poll", &token, Value::Null).await;
        assert_eq!(code(poll).await, (503, "draining".into()));
        let ready = relay.ask(Method::GET, "/readyz", "", Value::Null).await;
        assert_eq!(ready.status(), 503);
        machine.close().await;
        device.close().await;
    };
    soon("the end of draining", async {
        tokio::join!(drained, leave)
    })
    .await;
    soon("the end", relay.started.end()).await;
}

#[tokio::test]
async fn sockets_that_do_not_leave_are_closed_at_the_end() {
    let relay = Relay::with(|limits| limits.drain = std::time::Duration::from_millis(1)).await;
    let token = relay.join(&id(1)).await;
    let mut machine = relay.machine(&token).await;
    soon("the end of draining", relay.started.drain()).await;
    soon("the end", relay.started.end()).await;
    machine.hear("draining").await;
    assert_eq!(machine.ended().await, None);
}

#[tokio::test]
async fn it_serves_tls_with_its_own_certificate() {
    copilot_relay::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let started = copilot_relay::start(copilot_relay::Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: folder.path().join("data"),
        public_url: None,
        tls: Some(TlsOptions::Files { certificate, key }),
        behind_proxy: false,
        is_own: false,
        limits: copilot_relay::limits::Limits::default(),
        clock: copilot_relay::clock::Clock::system(),
    })
    .await
    .unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://{}/", started.address);
    let answer = soon("an answer", http.get(&url).send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["strict-transport-security"],
        "max-age=31536000"
    );

    // A websocket over TLS.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(started.address)
        .await
        .unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("127.0.0.1".try_into().unwrap(), stream)
        .await
        .unwrap();
    let url = format!("wss://{}/link/v1/machine?ticket=none", started.address);
    let refused = tokio_tungstenite::client_async(url, stream)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    started.end().await;
}

/// The program, with its standard output.
struct Program {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    url: String,
    data: tempfile::TempDir,
}

fn program(arguments: &[&str]) -> Program {
    copilot_relay::install_crypto();
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_copilot-relay"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap()
        .to_owned();
    Program {
        child,
        out,
        url,
        data,
    }
}

impl Program {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Its log, when it has ended well.
    fn ended(mut self) -> String {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_child_says_where_it_listens_and_ends_with_its_parent() {
    let mut program = program(&["--child"]);
    assert!(program.url.starts_with("http://127.0.0.1:"));
    let mut input = program.child.stdin.take().unwrap();
    input.write_all(b"this ends nothing\n").unwrap();
    drop(input);
    let mut rest = String::new();
    program.out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "nothing else is said on standard output");
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn the_program_drains_at_the_first_signal_and_stops_at_the_second() {
    let idle = program(&[]);
    kill(idle.pid(), Signal::SIGTERM).unwrap();
    assert!(
        idle.child.stdin.is_some(),
        "without --child its input says nothing"
    );
    let mut idle = idle;
    assert!(idle.child.wait().unwrap().success());

    let busy = program(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = std::fs::read_to_string(busy.data.path().join("enrolment-token")).unwrap();
    let mut machine = runtime.block_on(async {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = json!({"enrolmentToken": token.trim(), "machineId": id(1), "name": "tower"});
        let join = http
            .post(format!("{}/api/v1/machines", busy.url))
            .json(&body);
        let joined: Value = join.send().await.unwrap().json().await.unwrap();
        let ticket = http
            .post(format!("{}/api/v1/tickets", busy.url))
            .bearer_auth(joined["machineToken"].as_str().unwrap());
        let ticket: Value = ticket.send().await.unwrap().json().await.unwrap();
        let ticket = ticket["ticket"].as_str().unwrap();
        let address = busy.url.strip_prefix("http://").unwrap();
        let mut machine = crate::support::connect(address, "machine", ticket)
            .await
            .unwrap();
        machine
            .say(json!({"type": "hello", "protocol": 1, "name": "tower", "build": "test"}))
            .await;
        machine.hear("hello").await;
        machine
    });
    kill(busy.pid(), Signal::SIGTERM).unwrap();
    runtime.block_on(async { machine.hear("draining").await });
    // The machine stays, so the relay waits, until it is told again.
    kill(busy.pid(), Signal::SIGTERM).unwrap();
    let log = busy.ended();
    assert!(log.contains("told to stop again"), "{log}");
    for secret in [token.trim(), &id(1)] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn what_cannot_be_served_safely_is_refused_with_the_ways_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_copilot-relay"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let said = run(&["serve", "--listen", "0.0.0.0:0", "--data", data]);
    assert!(
        said.starts_with("error: ") && said.contains("--public-url"),
        "{said}"
    );
    let public = ["--public-url", "http://relay.lan"];
    let said = run(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--data",
        data,
        public[0],
        public[1],
    ]);
    assert!(
        said.contains("plain HTTP is for this machine only"),
        "{said}"
    );
    let said = run(&["enrolment-token", "--data", "/nowhere/at/all"]);
    assert!(said.contains("there is no folder"), "{said}");
}

#[test]
fn a_machine_that_lost_its_token_is_taken_out_and_the_own_relay_never_asks_for_it() {
    copilot_relay::install_crypto();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let join = |relay: &Program| {
        let token = std::fs::read_to_string(relay.data.path().join("enrolment-token")).unwrap();
        let body = json!({"enrolmentToken": token.trim(), "machineId": id(1), "name": "tower"});
        let request = http
            .post(format!("{}/api/v1/machines", relay.url))
            .json(&body);
        runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let body: Value = answer.json().await.unwrap();
            let ticket = http
                .post(format!("{}/api/v1/tickets", relay.url))
                .bearer_auth(body["machineToken"].as_str().unwrap_or_default());
            ticket.send().await.unwrap();
            (status, body)
        })
    };
    let relay = program(&[]);
    assert_eq!(join(&relay).0, 200);
    let (status, body) = join(&relay);
    assert_eq!(status, 409);
    let remedy = format!("copilot-relay remove-machine {} --data DIR", id(1));
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .ends_with(&remedy)
    );
    let remove = || {
        let output = Command::new(env!("CARGO_BIN_EXE_copilot-relay"))
            .args(["remove-machine", &id(1), "--data"])
            .arg(relay.data.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    assert_eq!(
        remove(),
        (true, "removed tower; devices that reached it: 0\n".into())
    );
    let gone = format!("error: no machine {} has joined\n", id(1));
    assert_eq!(remove(), (false, gone));
    assert_eq!(join(&relay).0, 200);

    let own = program(&["--child"]);
    assert_eq!((join(&own).0, join(&own).0), (200, 200));
}

#[test]
fn the_enrolment_token_is_printed_for_who_may_read_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let print = || {
        let output = Command::new(env!("CARGO_BIN_EXE_copilot-relay"))
            .arg("enrolment-token")
            .arg("--data")
            .arg(folder.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let token = print();
    assert_eq!(token.trim().len(), 43);
    assert_eq!(print(), token);
}
