//! What has shipped on the wire stays: the bytes of every message are compared with checked-in ones.
//!
//! `UPDATE_GOLDEN=1` writes the files. An existing file must never change: a new need is a new variant, and
//! with it a new file.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail loudly in its helpers, too"
)]

mod support;

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use ipc_proto::control::{
    Approval, AuditCheck, AuditPage, AuditQuery, AuditRecord, AwaitPairing, ControlError,
    ControlReply, ControlRequest, DaemonStatus, DeviceRelay, Environment, ErrorCode,
    ExplainPermission, ExplainedPermission, FoundSession, JoinRelay, PairedDevice, PairingBegun,
    PairingProgress, RemoteSession, RemoteStatus, RenameDevice, Secret, TypeCode, UndoChange,
    UndoReport, UndoRequest,
};
use ipc_proto::hello::{Hello, Refused, Trust, Welcome};
use ipc_proto::message::{Message, MessageCodec, Side};
use support::{client_end, daemon_end, listening, scratch};
use tokio::io::AsyncReadExt;
use tokio_util::codec::Decoder;

fn golden_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.hex"))
}

/// Compares with the file, or writes it.
fn check(name: &str, bytes: &[u8]) {
    let lines: Vec<String> = bytes
        .chunks(32)
        .map(|line| {
            line.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        })
        .collect();
    let text = lines.join("\n") + "\n";
    let file = golden_file(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", file.display()));
    assert_eq!(text, golden, "the bytes of {name} have changed");
}

fn status() -> DaemonStatus {
    DaemonStatus {
        pid: 4242,
        version: "0.1.0".to_owned(),
        started_at_unix_ms: 1_750_000_000_123,
        sessions: 300,
        sessions_working: 2,
        clients: 3,
        socket: "/run/user/1000/copilotd/copilotd.sock".to_owned(),
        log_dir: "/home/ada/.local/share/copilotd/logs".to_owned(),
        settings_file: "/home/ada/.config/copilotd/settings.json".to_owned(),
        settings_problems: vec!["`colour` is not a setting".to_owned()],
        service_managed: true,
    }
}

fn requests() -> Vec<ControlRequest> {
    let environment = Environment {
        vars: vec![
            (b"PATH".to_vec(), b"/usr/bin:/bin".to_vec()),
            (b"ODD".to_vec(), vec![0xff]),
        ],
        umask: Some(0o027),
        cwd: Some(b"/home/ada/project".to_vec()),
    };
    let bare = Environment {
        vars: Vec::new(),
        umask: None,
        cwd: None,
    };
    let session = "ahp-session:/6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned();
    vec![
        ControlRequest::Status,
        ControlRequest::Stop { force: false },
        ControlRequest::Stop { force: true },
        ControlRequest::ProvideEnvironment(environment),
        ControlRequest::ProvideEnvironment(bare),
        ControlRequest::CloseSession { session },
        ControlRequest::Search {
            query: "déjà vu".to_owned(),
            limit: 50,
        },
        ControlRequest::ExplainPermission(ExplainPermission {
            session: Some("6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned()),
            folder: b"/home/ada/project".to_vec(),
            kind: "shell".to_owned(),
            subject: "git status".to_owned(),
        }),
        ControlRequest::ListApprovals { folder: None },
        ControlRequest::ResetApprovals {
            folder: Some(b"/home/ada/project".to_vec()),
            rule: Some("shell(git status)".to_owned()),
        },
        ControlRequest::Audit(AuditQuery {
            session: Some("6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned()),
            since: Some("2026-02-25T10:00:00.000Z".to_owned()),
            after: 300,
            wait_ms: 25_000,
        }),
        ControlRequest::CheckAudit,
        ControlRequest::Undo(UndoRequest {
            session: "6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned(),
            turn: Some(3),
            dry_run: true,
        }),
        ControlRequest::RemoteStatus,
        ControlRequest::JoinRelay(JoinRelay {
            relay: "https://relay.example".to_owned(),
            enrolment_token: Secret("token".to_owned()),
        }),
        ControlRequest::LeaveRelay,
        ControlRequest::ListDevices,
        ControlRequest::RenameDevice(RenameDevice {
            device: DEVICE.to_owned(),
            name: "tablet".to_owned(),
        }),
        ControlRequest::RevokeDevice {
            device: DEVICE.to_owned(),
        },
        ControlRequest::BeginPairing {
            session: Some("6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned()),
        },
        ControlRequest::AwaitPairing(AwaitPairing {
            pairing: DEVICE.to_owned(),
            known: Some(PairingProgress::Open),
        }),
        ControlRequest::TypeCode(TypeCode {
            pairing: DEVICE.to_owned(),
            code: Secret("123456".to_owned()),
        }),
        ControlRequest::EndPairing {
            pairing: DEVICE.to_owned(),
        },
        ControlRequest::ListDeviceRelays,
    ]
}

const DEVICE: &str = "000102030405060708090a0b0c0d0e0f";

fn replies() -> Vec<ControlReply> {
    let codes = [
        ErrorCode::NotFound,
        ErrorCode::Denied,
        ErrorCode::Invalid,
        ErrorCode::Internal,
        ErrorCode::Unsupported,
    ];
    let errors = codes.map(|code| {
        ControlReply::Error(ControlError {
            code,
            message: "it did not work".to_owned(),
            hint: (code == ErrorCode::Denied).then(|| "ask a person".to_owned()),
        })
    });
    let mut replies = vec![ControlReply::Done, ControlReply::Status(status())];
    replies.extend(errors);
    let hit = |turn: Option<&str>| FoundSession {
        session: "6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned(),
        title: "fix the parser".to_owned(),
        turn: turn.map(str::to_owned),
        snippet: "…had a déjà vu here…".to_owned(),
    };
    replies.push(ControlReply::Found(vec![hit(None), hit(Some("t1"))]));
    replies.push(ControlReply::Found(Vec::new()));
    replies.push(ControlReply::Explained(ExplainedPermission {
        decision: "ask".to_owned(),
        reason: "no rule allows this command".to_owned(),
    }));
    replies.push(ControlReply::Approvals(vec![Approval {
        repository: "/home/ada/project".to_owned(),
        rule: "shell(git status)".to_owned(),
    }]));
    replies.push(ControlReply::Removed(2));
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned();
    replies.push(ControlReply::Audit(AuditPage {
        records: vec![AuditRecord {
            seq: 301,
            hash: hash.clone(),
            record_json: r#"{"event":"session-closed"}"#.to_owned(),
        }],
        last: 301,
        more: true,
    }));
    replies.push(ControlReply::AuditChecked(AuditCheck {
        records: 2,
        first: 300,
        last: 301,
        head: hash,
        problems: vec!["record 300 was altered".to_owned()],
    }));
    replies.push(ControlReply::Undo(UndoReport {
        turn: 3,
        done: false,
        changes: vec![UndoChange {
            path: "src/main.rs".to_owned(),
            change: "edited".to_owned(),
        }],
        changes_total: 1,
        changed_since: vec!["src/main.rs".to_owned()],
        left: vec!["new".to_owned()],
        lost: vec!["large.bin".to_owned()],
        limited: Some("it has more than 50000 files".to_owned()),
    }));
    replies.push(ControlReply::Remote(RemoteStatus {
        state: "reconnecting".to_owned(),
        since: "2030-01-02T03:04:05Z".to_owned(),
        why: Some("the relay does not answer".to_owned()),
        relay: Some("https://relay.example".to_owned()),
        own_relay: false,
        no_relay: None,
        machine_id: DEVICE.to_owned(),
        machine_name: "tower".to_owned(),
        devices: 2,
        devices_connected: 1,
        sessions: vec![RemoteSession {
            session: "6f1c0a3e-8f0e-4d8b-9c57-0d6f0c8a1b2c".to_owned(),
            title: "fix the parser".to_owned(),
            link: Some("https://relay.example/#m=1&s=2".to_owned()),
        }],
    }));
    replies.push(ControlReply::Devices(vec![PairedDevice {
        device: DEVICE.to_owned(),
        name: "phone".to_owned(),
        paired_at: "2030-01-02T03:04:05Z".to_owned(),
        connected: true,
    }]));
    replies.push(ControlReply::PairingBegun(PairingBegun {
        pairing: DEVICE.to_owned(),
        link: Secret("https://relay.example/#pair=x".to_owned()),
    }));
    let progress = [
        PairingProgress::Open,
        PairingProgress::Waiting {
            name: "phone".to_owned(),
        },
        PairingProgress::WrongCode { tries_left: 2 },
        PairingProgress::Paired {
            device: DEVICE.to_owned(),
            name: "phone".to_owned(),
        },
        PairingProgress::Ended {
            why: "it is over".to_owned(),
        },
    ];
    replies.extend(progress.map(ControlReply::Pairing));
    let comes = |relay: Option<&str>| DeviceRelay {
        device: DEVICE.to_owned(),
        relay: relay.map(str::to_owned),
        comes: relay.is_some(),
    };
    let relays = [comes(Some("https://relay.example")), comes(None)];
    replies.push(ControlReply::DeviceRelays(relays.to_vec()));
    replies
}

/// The file of a request. No wildcard: a new variant does not compile until it has one.
fn request_name(request: &ControlRequest) -> &'static str {
    match request {
        ControlRequest::Status => "request-status",
        ControlRequest::Stop { force: false } => "request-stop",
        ControlRequest::Stop { force: true } => "request-stop-force",
        ControlRequest::ProvideEnvironment(environment) if environment.vars.is_empty() => {
            "request-provide-environment-bare"
        }
        ControlRequest::ProvideEnvironment(_) => "request-provide-environment",
        ControlRequest::CloseSession { .. } => "request-close-session",
        ControlRequest::Search { .. } => "request-search",
        ControlRequest::ExplainPermission(_) => "request-explain-permission",
        ControlRequest::ListApprovals { .. } => "request-list-approvals",
        ControlRequest::ResetApprovals { .. } => "request-reset-approvals",
        ControlRequest::Audit(_) => "request-audit",
        ControlRequest::CheckAudit => "request-check-audit",
        ControlRequest::Undo(_) => "request-undo",
        ControlRequest::RemoteStatus => "request-remote-status",
        ControlRequest::JoinRelay(_) => "request-join-relay",
        ControlRequest::LeaveRelay => "request-leave-relay",
        ControlRequest::ListDevices => "request-list-devices",
        ControlRequest::RenameDevice(_) => "request-rename-device",
        ControlRequest::RevokeDevice { .. } => "request-revoke-device",
        ControlRequest::BeginPairing { .. } => "request-begin-pairing",
        ControlRequest::AwaitPairing(_) => "request-await-pairing",
        ControlRequest::TypeCode(_) => "request-type-code",
        ControlRequest::EndPairing { .. } => "request-end-pairing",
        ControlRequest::ListDeviceRelays => "request-list-device-relays",
    }
}

fn reply_name(reply: &ControlReply) -> &'static str {
    match reply {
        ControlReply::Done => "reply-done",
        ControlReply::Status(_) => "reply-status",
        ControlReply::Error(error) => match error.code {
            ErrorCode::NotFound => "reply-error-not-found",
            ErrorCode::Denied => "reply-error-denied",
            ErrorCode::Invalid => "reply-error-invalid",
            ErrorCode::Internal => "reply-error-internal",
            ErrorCode::Unsupported => "reply-error-unsupported",
        },
        ControlReply::Found(hits) if hits.is_empty() => "reply-found-nothing",
        ControlReply::Found(_) => "reply-found",
        ControlReply::Explained(_) => "reply-explained",
        ControlReply::Approvals(_) => "reply-approvals",
        ControlReply::Removed(_) => "reply-removed",
        ControlReply::Audit(_) => "reply-audit",
        ControlReply::AuditChecked(_) => "reply-audit-checked",
        ControlReply::Undo(_) => "reply-undo",
        ControlReply::Remote(_) => "reply-remote",
        ControlReply::Devices(_) => "reply-devices",
        ControlReply::PairingBegun(_) => "reply-pairing-begun",
        ControlReply::Pairing(progress) => match progress {
            PairingProgress::Open => "reply-pairing-open",
            PairingProgress::Waiting { .. } => "reply-pairing-waiting",
            PairingProgress::WrongCode { .. } => "reply-pairing-wrong-code",
            PairingProgress::Paired { .. } => "reply-pairing-paired",
            PairingProgress::Ended { .. } => "reply-pairing-ended",
        },
        ControlReply::DeviceRelays(_) => "reply-device-relays",
    }
}

/// Checks the bytes in both directions: what is sent, and that the file still reads as the same message.
fn check_message(name: &str, reader: Side, message: &Message, bytes: &[u8]) {
    check(name, bytes);
    let read = MessageCodec::new(reader)
        .decode(&mut BytesMut::from(bytes))
        .unwrap();
    assert_eq!(
        read.as_ref(),
        Some(message),
        "{name} is not read as what was sent"
    );
}

async fn sent(raw: &mut tokio::net::UnixStream) -> Vec<u8> {
    let length = raw.read_u32().await.unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.resize(4 + length as usize, 0);
    raw.read_exact(&mut bytes[4..]).await.unwrap();
    bytes
}

#[tokio::test]
async fn what_a_client_sends() {
    let (_home, paths) = scratch();
    let (connection, mut raw) = client_end(&paths).await;
    let (_reader, mut writer) = connection.split();
    for (id, request) in (1000..).zip(requests()) {
        let name = request_name(&request);
        let message = Message::ControlRequest { id, request };
        writer.send(&message).await.unwrap();
        check_message(name, Side::Daemon, &message, &sent(&mut raw).await);
    }
    let ping = Message::Ahp(Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
    ));
    writer.send(&ping).await.unwrap();
    check_message("ahp", Side::Daemon, &ping, &sent(&mut raw).await);
}

#[tokio::test]
async fn what_a_daemon_sends() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let (connection, mut raw) = daemon_end(&listener, &paths.socket()).await;
    let (_reader, mut writer) = connection.split();
    for (id, reply) in (1000..).zip(replies()) {
        let name = reply_name(&reply);
        let message = Message::ControlReply { id, reply };
        writer.send(&message).await.unwrap();
        check_message(name, Side::Client, &message, &sent(&mut raw).await);
    }
}

#[test]
fn the_frozen_layouts() {
    let hello = Hello {
        min: 1,
        max: 2,
        build: "copilot 0.1.0".to_owned(),
    };
    check("hello", &hello.encode());
    assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);

    for (name, trust) in [
        ("welcome-local", Trust::Local),
        ("welcome-agent", Trust::Agent),
    ] {
        let welcome = Welcome {
            version: 1,
            trust,
            build: "copilotd 0.1.0".to_owned(),
        };
        check(name, &welcome.encode());
        assert_eq!(Welcome::decode(&welcome.encode()).unwrap(), welcome);
    }

    let hint = "update the command".to_owned();
    let refused = Refused {
        min: 2,
        max: 3,
        build: "copilotd 0.3.0".to_owned(),
        hint,
    };
    check("refused", &refused.encode());
    assert_eq!(Refused::decode(&refused.encode()).unwrap(), refused);
}
