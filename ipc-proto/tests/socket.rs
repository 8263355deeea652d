//! The transport over real sockets: who may listen, who may connect, and what one bad client costs.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail loudly in its helpers, too"
)]

mod support;

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use bytes::Bytes;
use ipc_proto::client::{ConnectError, connect};
use ipc_proto::control::{ControlReply, ControlRequest};
use ipc_proto::frame::{FrameError, Kind, MAX_AHP_BYTES};
use ipc_proto::hello::{Hello, Refused, Trust, Welcome};
use ipc_proto::message::Message;
use ipc_proto::paths::Paths;
use ipc_proto::server::{BindError, HandshakeError, InstanceLock, Listener};
use ipc_proto::{Connection, client};
use support::{BUILD, client_end, daemon_end, frame, hello, listening, read_frame, scratch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Both ends of a connection.
async fn pair(listener: &Listener, paths: &Paths) -> (Connection, Connection) {
    let socket = paths.socket();
    let serve = async {
        listener
            .accept()
            .await
            .unwrap()
            .handshake("daemon", Trust::Agent)
            .await
            .unwrap()
    };
    let (client, daemon) = tokio::join!(connect(&socket, "client"), serve);
    (client.unwrap(), daemon)
}

/// Answers everything on every connection, each in a task of its own, until the runtime ends.
fn serve(listener: Listener) {
    tokio::spawn(async move {
        loop {
            let incoming = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let Ok(connection) = incoming.handshake(BUILD, Trust::Local).await else {
                    return;
                };
                let (mut reader, mut writer) = connection.split();
                while let Ok(Some(message)) = reader.next().await {
                    let answer = match message {
                        Message::ControlRequest { id, .. } => Message::ControlReply {
                            id,
                            reply: ControlReply::Done,
                        },
                        other => other,
                    };
                    if writer.send(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[tokio::test]
async fn messages_of_every_size_cross_in_both_directions() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let (client, daemon) = pair(&listener, &paths).await;
    assert_eq!(
        client.welcome,
        Welcome {
            version: 1,
            trust: Trust::Agent,
            build: "daemon".into()
        }
    );
    assert_eq!(daemon.welcome, client.welcome);

    let sizes = [
        0,
        1,
        65_535,
        65_536,
        65_537,
        131_072,
        200_000,
        MAX_AHP_BYTES,
    ];
    let messages: Vec<Message> = sizes
        .iter()
        .map(|&size| Message::Ahp((0..size).map(|at| (at % 251) as u8).collect::<Bytes>()))
        .collect();
    let (mut client_reader, mut client_writer) = client.split();
    let (mut daemon_reader, mut daemon_writer) = daemon.split();
    let send = async {
        for message in &messages {
            client_writer.send(message).await.unwrap();
        }
        drop(client_writer);
    };
    let echo = async {
        while let Some(message) = daemon_reader.next().await.unwrap() {
            daemon_writer.feed(&message).await.unwrap();
        }
        daemon_writer.flush().await.unwrap();
        drop(daemon_writer);
    };
    let receive = async {
        let mut received = Vec::new();
        while let Some(message) = client_reader.next().await.unwrap() {
            received.push(message);
        }
        received
    };
    let (_, _, received) = tokio::join!(send, echo, receive);
    // Not assert_eq: nobody wants to read 32 MiB.
    assert!(received == messages);
}

#[tokio::test]
async fn a_reader_that_is_dropped_while_it_waits_loses_nothing() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let (connection, mut raw) = daemon_end(&listener, &paths.socket()).await;
    let (mut reader, _writer) = connection.split();
    let bytes = [frame(5, 1, b"{\"a\":"), frame(5, 0, b"1}")].concat();
    for cut in bytes.chunks(3) {
        raw.write_all(cut).await.unwrap();
        tokio::select! {
            biased;
            message = reader.next() => {
                let expected = Message::Ahp(Bytes::from_static(b"{\"a\":1}"));
                assert_eq!(message.unwrap(), Some(expected));
                return;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    let message = reader.next().await.unwrap();
    assert_eq!(
        message,
        Some(Message::Ahp(Bytes::from_static(b"{\"a\":1}")))
    );
}

#[tokio::test]
async fn a_send_that_was_dropped_inside_a_message_is_not_followed_by_another() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let (connection, _raw) = daemon_end(&listener, &paths.socket()).await;
    let (_reader, mut writer) = connection.split();
    let message = vec![b' '; MAX_AHP_BYTES];
    tokio::select! {
        biased;
        result = writer.send_ahp(&message) => panic!("nobody reads: {result:?}"),
        () = std::future::ready(()) => {}
    }
    let error = writer.send_ahp(b"{}").await.unwrap_err();
    assert!(matches!(error, FrameError::Interrupted), "{error:?}");
}

#[tokio::test]
async fn what_may_not_be_sent_is_refused_before_anything_is_written() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let (client, daemon) = pair(&listener, &paths).await;
    let (_client_reader, mut client_writer) = client.split();
    let (mut daemon_reader, mut daemon_writer) = daemon.split();

    let too_long = client_writer
        .send_ahp(&vec![b' '; MAX_AHP_BYTES + 1])
        .await
        .unwrap_err();
    assert!(matches!(
        too_long,
        FrameError::MessageTooLong { kind: Kind::Ahp }
    ));
    let session = "x".repeat(1024 * 1024);
    let request = Message::ControlRequest {
        id: 1,
        request: ControlRequest::CloseSession { session },
    };
    let too_long = client_writer.send(&request).await.unwrap_err();
    assert!(matches!(
        too_long,
        FrameError::MessageTooLong {
            kind: Kind::ControlRequest
        }
    ));
    let reply = Message::ControlReply {
        id: 1,
        reply: ControlReply::Done,
    };
    let wrong = client_writer.send(&reply).await.unwrap_err();
    assert!(matches!(
        wrong,
        FrameError::UnexpectedKind(Kind::ControlReply)
    ));
    let request = Message::ControlRequest {
        id: 1,
        request: ControlRequest::Status,
    };
    let wrong = daemon_writer.send(&request).await.unwrap_err();
    assert!(matches!(
        wrong,
        FrameError::UnexpectedKind(Kind::ControlRequest)
    ));

    client_writer.send(&request).await.unwrap();
    assert_eq!(daemon_reader.next().await.unwrap(), Some(request));
}

#[tokio::test]
async fn a_bad_client_is_closed_and_a_good_one_does_not_notice() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    serve(listener);
    let socket = paths.socket();
    let (mut reader, mut writer) = connect(&socket, BUILD).await.unwrap().split();

    let greeted = |bytes: Vec<u8>| [hello(1, 1), bytes].concat();
    let bad: [(&str, Vec<u8>); 12] = [
        ("no frames at all", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("another first frame", frame(5, 0, b"{}")),
        (
            "a hello without magic",
            frame(0, 0, b"COPILOT?\0\x01\0\x01\0"),
        ),
        ("a hello that is cut short", frame(0, 0, b"COPILOTD\0\x01")),
        (
            "a hello in pieces",
            frame(0, 1, &Hello::new(BUILD).encode()),
        ),
        (
            "an oversized frame",
            greeted(u32::MAX.to_be_bytes().to_vec()),
        ),
        ("an unknown kind", greeted(frame(77, 0, b""))),
        ("unknown flags", greeted(frame(5, 0x80, b""))),
        ("the wrong direction", greeted(frame(4, 0, &[1, 0]))),
        (
            "a kind that changes",
            greeted([frame(5, 1, b"{"), frame(3, 0, &[1, 0])].concat()),
        ),
        (
            "a length bomb",
            greeted(frame(
                3,
                0,
                &[1, 3, 0xfd, 255, 255, 255, 255, 255, 255, 255, 255],
            )),
        ),
        (
            "a message without end",
            greeted(frame(3, 1, &[b' '; 65_536]).repeat(17)),
        ),
    ];
    for (name, bytes) in bad {
        let raw = UnixStream::connect(&socket).await.unwrap();
        let (mut raw_reader, mut raw_writer) = raw.into_split();
        // The daemon may close before it has read everything.
        let _ = raw_writer.write_all(&bytes).await;
        // Our end stays open: it is the daemon that ends this.
        let mut answer = Vec::new();
        let _ = raw_reader.read_to_end(&mut answer).await;
        assert!(!answer.contains(&0xff), "{name}: {answer:?}");

        let ping = Message::Ahp(Bytes::from(format!("{{\"after\":\"{name}\"}}")));
        writer.send(&ping).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(ping), "{name}");
    }
}

#[tokio::test]
async fn releases_that_share_a_version_meet_and_others_part_with_a_hint() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    // One release newer that still speaks ours, and one with bytes that we do not know at the end.
    let newer = Hello {
        min: 1,
        max: 2,
        build: "copilot next".to_owned(),
    }
    .encode();
    let longer = [newer.clone(), b"and more".to_vec()].concat();
    for payload in [newer, longer] {
        let mut raw = UnixStream::connect(paths.socket()).await.unwrap();
        raw.write_all(&frame(0, 0, &payload)).await.unwrap();
        let incoming = listener.accept().await.unwrap();
        let connection = incoming.handshake(BUILD, Trust::Local).await.unwrap();
        assert_eq!(connection.welcome.version, 1);
        let (kind, payload) = read_frame(&mut raw).await.unwrap();
        assert_eq!(kind, Kind::Welcome as u8);
        assert_eq!(Welcome::decode(&payload).unwrap(), connection.welcome);
    }
    for (min, max, older) in [(2, 3, "the running daemon"), (0, 0, "this command")] {
        let mut raw = UnixStream::connect(paths.socket()).await.unwrap();
        raw.write_all(&hello(min, max)).await.unwrap();
        let error = listener
            .accept()
            .await
            .unwrap()
            .handshake(BUILD, Trust::Local)
            .await
            .unwrap_err();
        assert!(
            matches!(error, HandshakeError::NoSharedVersion { .. }),
            "{error}"
        );
        let (kind, payload) = read_frame(&mut raw).await.unwrap();
        assert_eq!(kind, Kind::Refused as u8);
        let refused = Refused::decode(&payload).unwrap();
        assert_eq!((refused.min, refused.max), (1, 1));
        assert!(refused.hint.starts_with(older), "{}", refused.hint);
        assert_eq!(
            raw.read(&mut [0]).await.unwrap(),
            0,
            "closed after the refusal"
        );
    }
}

/// What a client makes of a daemon that answers its hello with `answer` and closes.
async fn connect_to_a_daemon_that_says(answer: &[u8]) -> ConnectError {
    let (_home, paths) = scratch();
    let listener = tokio::net::UnixListener::bind(paths.socket()).unwrap();
    let socket = paths.socket();
    let daemon = async {
        let (mut raw, _) = listener.accept().await.unwrap();
        read_frame(&mut raw).await.unwrap();
        raw.write_all(answer).await.unwrap();
    };
    tokio::join!(connect(&socket, BUILD), daemon).0.unwrap_err()
}

#[tokio::test]
async fn a_client_says_why_it_is_not_connected() {
    let (_home, paths) = scratch();
    let nobody = connect(&paths.socket(), BUILD).await.unwrap_err();
    assert!(matches!(nobody, ConnectError::NotRunning), "{nobody:?}");
    drop(std::os::unix::net::UnixListener::bind(paths.socket()).unwrap());
    let dead = connect(&paths.socket(), BUILD).await.unwrap_err();
    assert!(matches!(dead, ConnectError::NotRunning), "{dead:?}");

    let refused = Refused {
        min: 2,
        max: 3,
        build: "copilotd next".into(),
        hint: "update".into(),
    };
    let error = connect_to_a_daemon_that_says(&frame(2, 0, &refused.encode())).await;
    assert!(error.to_string().contains("copilotd next") && error.to_string().ends_with("update"));
    assert!(matches!(error, ConnectError::Refused(told) if told == refused));

    let closed = connect_to_a_daemon_that_says(b"").await;
    assert!(matches!(closed, ConnectError::Closed), "{closed:?}");
    let foreign = connect_to_a_daemon_that_says(b"220 mail.example.org ESMTP\r\n").await;
    assert!(matches!(foreign, ConnectError::Protocol(_)), "{foreign:?}");
    let welcome = Welcome {
        version: 2,
        trust: Trust::Local,
        build: String::new(),
    };
    let unoffered = connect_to_a_daemon_that_says(&frame(1, 0, &welcome.encode())).await;
    assert!(
        matches!(unoffered, ConnectError::Protocol(_)),
        "{unoffered:?}"
    );
}

#[tokio::test]
async fn whoever_says_nothing_is_closed_after_a_deadline() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let mut raw = UnixStream::connect(paths.socket()).await.unwrap();
    raw.write_all(&hello(1, 1)[..5]).await.unwrap();
    let incoming = listener.accept().await.unwrap();
    // From here on the clock jumps to the next timer whenever nothing else can happen.
    tokio::time::pause();
    let error = incoming.handshake(BUILD, Trust::Local).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Deadline), "{error:?}");
    assert_eq!(raw.read(&mut [0]).await.unwrap(), 0);

    let silent = tokio::net::UnixListener::bind(paths.runtime_dir.join("silent")).unwrap();
    let unanswered = connect(&paths.runtime_dir.join("silent"), BUILD)
        .await
        .unwrap_err();
    assert!(
        matches!(unanswered, ConnectError::Unresponsive),
        "{unanswered:?}"
    );
    drop(silent);
}

#[tokio::test]
async fn a_probe_without_a_hello_is_told_apart() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    drop(UnixStream::connect(paths.socket()).await.unwrap());
    let error = listener
        .accept()
        .await
        .unwrap()
        .handshake(BUILD, Trust::Local)
        .await
        .unwrap_err();
    assert!(matches!(error, HandshakeError::Closed), "{error:?}");
}

#[tokio::test]
async fn the_peer_is_who_the_system_says() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let _client = UnixStream::connect(paths.socket()).await.unwrap();
    let peer = listener.accept().await.unwrap().peer;
    assert_eq!(peer.uid, Some(nix::unistd::geteuid().as_raw()));
    assert_eq!(peer.pid, Some(std::process::id()));
}

/// Run as another user by the test below, in a process of its own.
#[test]
fn helper_that_connects_as_another_user() {
    let Some(socket) = std::env::var_os("IPC_TEST_CONNECT_TO") else {
        return;
    };
    use std::io::{Read, Write};
    let mut raw = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let _ = raw.write_all(&hello(1, 1));
    let mut answer = Vec::new();
    let _ = raw.read_to_end(&mut answer);
    assert!(answer.is_empty(), "another user got an answer: {answer:?}");
}

#[tokio::test]
async fn a_connection_of_another_user_is_closed_at_once() {
    use std::os::unix::process::CommandExt;
    // Only root can start a program as somebody else.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    // Take away every protection but the one that is tested.
    for (path, mode) in [
        (home.path(), 0o755),
        (&paths.runtime_dir, 0o755),
        (&paths.socket(), 0o666),
    ] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let mut stranger = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_connects_as_another_user"])
        .env("IPC_TEST_CONNECT_TO", paths.socket())
        .current_dir("/")
        .uid(65534)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (ended, status) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || ended.send(stranger.wait().unwrap()));
    tokio::select! {
        incoming = listener.accept() => panic!("a stranger came in: {incoming:?}"),
        status = status => assert!(status.unwrap().success()),
    }
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    use std::os::fd::AsRawFd;
    let (_home, paths) = scratch();
    let raw = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )
    .unwrap();
    bind(raw.as_raw_fd(), &UnixAddr::new(&paths.socket()).unwrap()).unwrap();
    listen(&raw, Backlog::new(1).unwrap()).unwrap();
    let path = paths.socket();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { client::connect(&path, BUILD).await.map(drop) })
        })
        .collect();
    // All of them have tried once before anybody is let in.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    serve(Listener::from_fd(raw).unwrap());
    for client in clients {
        client.await.unwrap().unwrap();
    }
}

#[test]
fn of_twenty_daemons_exactly_one_starts() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_home, paths) = scratch();
    // A dead socket in the way, so that all of them would like to replace it.
    drop(std::os::unix::net::UnixListener::bind(paths.socket()).unwrap());
    let barrier = Barrier::new(20);
    let results: Vec<_> = std::thread::scope(|scope| {
        let bind = || {
            let _runtime = runtime.enter();
            barrier.wait();
            let lock = InstanceLock::acquire(&paths)?;
            Ok((Listener::bind(&paths, &lock)?, lock))
        };
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(bind)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let lost = results
        .iter()
        .filter(|result| matches!(result, Err(BindError::AlreadyRunning)));
    assert_eq!(lost.count(), 19, "{results:?}");
    runtime.block_on(async {
        let _client = UnixStream::connect(paths.socket()).await.unwrap();
        let (listener, _lock) = results
            .iter()
            .find_map(|result| result.as_ref().ok())
            .unwrap();
        listener.accept().await.unwrap();
    });
}

#[tokio::test]
async fn the_files_are_private_and_go_with_the_daemon() {
    let (_home, paths) = scratch();
    let (listener, lock) = listening(&paths);
    assert_eq!(mode(&paths.runtime_dir), 0o700);
    assert_eq!(mode(&paths.socket()), 0o600);
    assert_eq!(mode(&paths.lock_file()), 0o600);
    assert!(matches!(
        InstanceLock::acquire(&paths),
        Err(BindError::AlreadyRunning)
    ));
    drop(listener);
    assert!(!paths.socket().exists());
    // It may have work to do still.
    assert!(InstanceLock::is_held(&paths));
    drop(lock);
    assert!(!InstanceLock::is_held(&paths));
    assert!(paths.lock_file().exists());
    listening(&paths);
}

#[tokio::test]
async fn a_daemon_waits_for_one_that_stopped_listening_and_for_no_other() {
    const FOREVER: Duration = Duration::from_secs(3600);
    let (_home, paths) = scratch();
    let (listener, lock) = listening(&paths);
    let refused = InstanceLock::acquire_after_another(&paths, FOREVER).await;
    assert!(matches!(refused, Err(BindError::AlreadyRunning)));

    drop(listener);
    let refused = InstanceLock::acquire_after_another(&paths, Duration::ZERO).await;
    assert!(matches!(refused, Err(BindError::AlreadyRunning)));
    let next = InstanceLock::acquire_after_another(&paths, FOREVER);
    let mut next = std::pin::pin!(next);
    let early = tokio::time::timeout(Duration::ZERO, &mut next).await;
    assert!(early.is_err(), "{early:?}");
    drop(lock);
    Listener::bind(&paths, &next.await.unwrap()).unwrap();
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_anything_else_is_left_alone() {
    let (_home, paths) = scratch();
    drop(std::os::unix::net::UnixListener::bind(paths.socket()).unwrap());
    drop(listening(&paths));
    let lock = InstanceLock::acquire(&paths).unwrap();

    std::fs::write(paths.socket(), "precious").unwrap();
    let error = Listener::bind(&paths, &lock).unwrap_err();
    assert!(matches!(error, BindError::Occupied { .. }), "{error:?}");
    assert_eq!(std::fs::read(paths.socket()).unwrap(), b"precious");
    std::fs::remove_file(paths.socket()).unwrap();

    // Somebody listens without the lock, as a service manager does.
    let _alive = std::os::unix::net::UnixListener::bind(paths.socket()).unwrap();
    let error = Listener::bind(&paths, &lock).unwrap_err();
    assert!(matches!(error, BindError::AlreadyRunning), "{error:?}");
    assert!(paths.socket().exists());
}

#[tokio::test]
async fn a_socket_that_somebody_put_in_our_place_is_not_removed() {
    let (_home, paths) = scratch();
    let (listener, _lock) = listening(&paths);
    let ours = std::fs::metadata(paths.socket()).unwrap().ino();
    let beside = paths.runtime_dir.join("other.sock");
    let _other = std::os::unix::net::UnixListener::bind(&beside).unwrap();
    std::fs::rename(&beside, paths.socket()).unwrap();
    drop(listener);
    assert_ne!(std::fs::metadata(paths.socket()).unwrap().ino(), ours);
}

#[tokio::test]
async fn a_socket_from_a_service_manager_is_used_and_left_to_it() {
    let (_home, paths) = scratch();
    let managers = std::os::unix::net::UnixListener::bind(paths.socket()).unwrap();
    let handed_over = || OwnedFd::from(managers.try_clone().unwrap());
    let listener = Listener::from_fd(handed_over()).unwrap();
    let (client, daemon) = pair(&listener, &paths).await;
    assert_eq!(client.welcome, daemon.welcome);
    let lock = InstanceLock::acquire(&paths).unwrap();
    assert!(matches!(
        Listener::bind(&paths, &lock),
        Err(BindError::AlreadyRunning)
    ));
    drop(listener);
    assert!(paths.socket().exists());
    Listener::from_fd(handed_over()).unwrap();
}

#[tokio::test]
async fn what_is_no_listening_unix_socket_is_not_adopted() {
    let (connected, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let network = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = tempfile::tempfile().unwrap();
    let wrong: [OwnedFd; 4] = [
        connected.into(),
        datagrams.into(),
        network.into(),
        file.into(),
    ];
    for socket in wrong {
        let error = Listener::from_fd(socket).unwrap_err();
        assert!(matches!(error, BindError::Inherited { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_client_end_reads_what_a_daemon_sends() {
    let (_home, paths) = scratch();
    let (connection, mut raw) = client_end(&paths).await;
    let (mut reader, writer) = connection.split();
    raw.write_all(&frame(4, 0, &[7, 0])).await.unwrap();
    let reply = Message::ControlReply {
        id: 7,
        reply: ControlReply::Done,
    };
    assert_eq!(reader.next().await.unwrap(), Some(reply));
    drop(writer);
    assert_eq!(
        raw.read(&mut [0]).await.unwrap(),
        0,
        "the end of our messages is seen"
    );
    raw.write_all(&frame(9, 0, b"")).await.unwrap();
    assert!(matches!(
        reader.next().await,
        Err(FrameError::UnknownKind(9))
    ));
    assert_eq!(
        reader.next().await.unwrap(),
        None,
        "there is nothing after an error"
    );
}
