//! Every request of the local socket: a device's channel carries none of them, in no form.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;

use copilot_tests::Home;
use ipc_proto::control::{
    AuditQuery, AwaitPairing, ControlRequest, Environment, ExplainPermission, JoinRelay,
    RenameDevice, Secret, TypeCode, UndoRequest,
};
use ipc_proto::message::Message;
use serde_json::json;

use super::{World, home, part};

/// One of each, as dangerous as it can be.
fn requests(world: &World<'_>) -> Vec<ControlRequest> {
    let session = world.reached.id().to_owned();
    let phone = world.phone.id().to_string();
    vec![
        ControlRequest::Status,
        ControlRequest::Stop { force: true },
        ControlRequest::ProvideEnvironment(Environment {
            vars: vec![(b"PATH".to_vec(), b"/nowhere".to_vec())],
            umask: Some(0),
            cwd: Some(b"/".to_vec()),
        }),
        ControlRequest::CloseSession {
            session: session.clone(),
        },
        ControlRequest::Search {
            query: "noise".to_owned(),
            limit: 10,
        },
        ControlRequest::ExplainPermission(ExplainPermission {
            session: Some(session.clone()),
            folder: Vec::new(),
            kind: "shell".to_owned(),
            subject: "make".to_owned(),
        }),
        ControlRequest::ListApprovals { folder: None },
        ControlRequest::ResetApprovals {
            folder: None,
            rule: None,
        },
        ControlRequest::Audit(AuditQuery {
            session: None,
            since: None,
            after: 0,
            wait_ms: 0,
        }),
        ControlRequest::CheckAudit,
        ControlRequest::Undo(UndoRequest {
            session,
            turn: None,
            dry_run: false,
        }),
        ControlRequest::RemoteStatus,
        ControlRequest::JoinRelay(JoinRelay {
            relay: "https://relay.example".to_owned(),
            enrolment_token: Secret("x".to_owned()),
        }),
        ControlRequest::LeaveRelay,
        ControlRequest::ListDevices,
        ControlRequest::RenameDevice(RenameDevice {
            device: phone.clone(),
            name: "the owner".to_owned(),
        }),
        ControlRequest::RevokeDevice { device: phone },
        ControlRequest::BeginPairing { session: None },
        ControlRequest::AwaitPairing(AwaitPairing {
            pairing: "0".repeat(32),
            known: None,
        }),
        ControlRequest::TypeCode(TypeCode {
            pairing: "0".repeat(32),
            code: Secret("000000".to_owned()),
        }),
        ControlRequest::EndPairing {
            pairing: "0".repeat(32),
        },
        ControlRequest::ListDeviceRelays,
    ]
}

/// The name of a request.
fn name(request: &ControlRequest) -> String {
    let shown = format!("{request:?}");
    let name = shown.split(|c: char| !c.is_alphanumeric()).next();
    name.unwrap_or_default().to_owned()
}

/// The requests as they are on the local socket, frame and all. None of them is sent: they end in
/// a socket that passes on the handshake only.
fn on_the_socket(home: &Home, requests: &[ControlRequest]) -> Vec<Vec<u8>> {
    let place = home.root().join("recorder.sock");
    let listener = UnixListener::bind(&place).unwrap();
    let daemon = home.socket();
    let (recorded, frames) = mpsc::channel();
    let recorder = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut daemon = UnixStream::connect(daemon).unwrap();
        daemon.write_all(&frame(&mut client).unwrap()).unwrap();
        client.write_all(&frame(&mut daemon).unwrap()).unwrap();
        while let Ok(frame) = frame(&mut client) {
            recorded.send(frame).unwrap();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connection = ipc_proto::client::connect(&place, "tests").await.unwrap();
        let (_, mut writer) = connection.split();
        for request in requests {
            let request = request.clone();
            writer
                .send(&Message::ControlRequest { id: 1, request })
                .await
                .unwrap();
        }
    });
    drop(runtime);
    recorder.join().unwrap();
    frames.into_iter().collect()
}

/// One frame with its length.
fn frame(from: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

#[test]
fn a_device_asks_the_daemon_itself_for_nothing() {
    let home = home();
    let mut world = World::new(&home);
    let requests = requests(&world);
    let source = include_str!("../../../ipc-proto/src/control.rs");
    let variants = part(source, "pub enum ControlRequest {", "\n}");
    let variants = variants
        .lines()
        .filter_map(|line| line.strip_prefix("    "));
    let variants = variants.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let variants = variants.filter_map(|line| line.split(|c: char| !c.is_alphanumeric()).next());
    let variants: BTreeSet<String> = variants.map(str::to_owned).collect();
    let here: BTreeSet<String> = requests.iter().map(name).collect();
    assert_eq!(here, variants, "every request is here");

    let frames = on_the_socket(&home, &requests);
    assert_eq!(frames.len(), requests.len());
    let mut phone = world.phone.client();
    let mut other = None;
    for (request, frame) in requests.iter().zip(&frames) {
        let name = name(request);
        let method = format!("{}{}", name[..1].to_lowercase(), &name[1..]);
        world.changes_nothing(&name, |world| {
            // As a method, by the name that the audit has for it and by its own.
            for method in [format!("control/{method}"), method] {
                let refused = phone.request(&method, json!({"force": true}));
                assert_eq!(refused.unwrap_err().code, -32601, "{method}");
            }
            // As the bytes that it is on the socket, whole, without its length, and as what is in
            // the frame: an AHP message is JSON, and anything else is answered with an error or
            // ends the channel.
            for bytes in [&frame[..], &frame[4..], &frame[6..]] {
                let mut channel = other.take().unwrap_or_else(|| world.phone.reach());
                channel.send(bytes.to_vec()).unwrap();
                match channel.receive() {
                    Ok(answer) => {
                        assert!(answer.contains("-32700"), "{name}: {answer}");
                        other = Some(channel);
                    }
                    Err(why) => assert!(why.contains("(failed)"), "{name}: {why}"),
                }
            }
        });
    }
}
