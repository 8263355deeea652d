//! Reading from the network: asked about by origin, and nowhere else is gone.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use copilot_tests::{Attached, Home, Scenario, say, tool};
use serde_json::json;

/// A web server on this machine: `/page` is a page, `/far` leads to the same server under another
/// name. Ends when it is dropped.
struct WebServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Written down first: whoever has the answer may look at once.
                let note = |path: &str| log.lock().unwrap().push(path.to_owned());
                if serve(stream.unwrap(), address, note) == "/stop" {
                    return;
                }
            }
        });
        Self {
            address,
            seen,
            thread: Some(thread),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The paths that were asked for since the last look.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"GET /stop HTTP/1.1\r\n\r\n").unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Answers one request and returns its path, which is noted before.
fn serve(mut stream: TcpStream, address: SocketAddr, note: impl Fn(&str)) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    for line in lines.by_ref() {
        if line.unwrap_or_default().is_empty() {
            break;
        }
    }
    note(&path);
    let answer = match path.as_str() {
        "/far" => format!(
            "302 Found\r\nlocation: http://localhost:{}/page\r\ncontent-length: 0",
            address.port()
        ),
        _ => "200 OK\r\ncontent-type: text/html\r\ncontent-length: 22".to_owned(),
    };
    let body = if path == "/far" {
        ""
    } else {
        "<p>What was there</p>\n"
    };
    let head = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n{body}");
    // Whoever hung up does not want it.
    let _ = stream.write_all(head.as_bytes());
    path
}

#[test]
fn a_private_address_is_asked_about_and_a_redirect_elsewhere_again() {
    let server = WebServer::start();
    let home = Home::new(Scenario::new().on(
        "fetch",
        [
            tool("fetch", json!({"url": server.url("far")})),
            tool(
                "fetch",
                json!({"url": format!("http://localhost:{}/page", server.address.port())}),
            ),
            tool("fetch", json!({"url": server.url("page")})),
            say("Fetched."),
        ],
    ));
    home.start_daemon();
    let config = json!({
        "allowAllTools": true, "allowAllUrls": true, "allowTools": ["url", "url(http://127.0.0.1)"],
    });
    let mut screen = Attached::create(&home, "a screen", config);
    let turn = screen.prompt("fetch");
    screen.trust_folder();
    for (answer, seen) in [
        ("allow-once", &["/far"][..]),
        ("deny", &[]),
        ("allow-once", &["/page"]),
    ] {
        let (_, call) = screen.wait_for_permission();
        assert_eq!(server.seen(), [""; 0], "nothing is sent before the answer");
        let meta = call.meta.clone().unwrap_or_default();
        let permission = &meta["copilot.permission"];
        assert_eq!(permission["kind"], "url", "{permission}");
        let reason = permission["reason"].as_str().unwrap();
        assert!(reason.contains("private network"), "{permission}");
        assert_eq!(screen.confirm(&turn, &call.tool_call_id, answer), None);
        let id = call.tool_call_id.clone();
        screen.wait("the end of the call", |_, chat| {
            let open = copilot_tests::attached::open_permission(chat);
            let over = chat.active_turn.is_none();
            (over || open.is_some_and(|(_, call)| call.tool_call_id != id)).then_some(())
        });
        assert_eq!(server.seen(), seen);
    }
    let ended = screen.wait_for_end(&turn);
    let parts = serde_json::to_string(&ended.response_parts).unwrap();
    assert!(parts.contains("redirects to another place"), "{parts}");
    assert!(parts.contains("What was there"), "{parts}");
}

#[test]
fn nothing_is_sent_where_nobody_can_be_asked() {
    let server = WebServer::start();
    let home = Home::new(Scenario::new().on(
        "fetch",
        [
            tool("fetch", json!({"url": server.url("page")})),
            say("Tried."),
        ],
    ));
    for flags in [
        &["--yolo"][..],
        &["--allow-url", "http://127.0.0.1"],
        &["--yolo", "--deny-url", "127.0.0.1"],
    ] {
        let mut arguments = vec!["-p", "fetch"];
        arguments.extend(flags);
        home.copilot(&arguments).expect_code(5);
    }
    assert_eq!(server.seen(), [""; 0]);
}
