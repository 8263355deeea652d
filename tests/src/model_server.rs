//! A local server that streams Chat Completions, as model providers do.
//!
//! Each request takes the next of the replies it was made with. What was asked
//! is kept for the test to look at.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Streams this text in pieces, then ends the message.
    Text(&'static str),
    /// Asks for these tools: name and arguments.
    Tools(Vec<(&'static str, Value)>),
    /// Refuses with this status and message.
    Status(u16, &'static str),
    /// Streams this text and breaks the connection before the message ends.
    Dropped(&'static str),
}

/// What the server knows.
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Value>>,
    key: &'static str,
}

/// See the module. Ends when it is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ModelServer {
    /// The key the server wants.
    pub const KEY: &'static str = "sk-test-0123456789";

    /// Starts a server on a free port.
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Arc::new(Shared {
            replies: Mutex::new(replies.into_iter().collect()),
            requests: Mutex::new(Vec::new()),
            key: Self::KEY,
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    tokio::select! {
                        result = axum::serve(listener, router) => result.expect("the server runs"),
                        _ = stopped => {}
                    }
                });
        });
        Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// What `COPILOT_PROVIDER_BASE_URL` is.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The bodies of all requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let authorised = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == format!("Bearer {}", shared.key).as_bytes());
    if !authorised {
        return refusal(401, "Incorrect API key provided");
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    shared.requests.lock().unwrap().push(request);
    let reply = shared.replies.lock().unwrap().pop_front();
    match reply {
        None => refusal(500, "the test has no reply left"),
        Some(Reply::Status(status, message)) => refusal(status, message),
        Some(Reply::Text(text)) => {
            let mut events = pieces(text);
            events.push(finish("stop"));
            events.push("data: [DONE]\n\n".to_owned());
            stream(events, false)
        }
        Some(Reply::Tools(calls)) => {
            let mut events: Vec<_> = calls
                .iter()
                .enumerate()
                .map(|(index, (name, arguments))| {
                    event(&json!({"choices": [{"index": 0, "delta": {"tool_calls": [{
                        "index": index,
                        "id": format!("call_{index}"),
                        "type": "function",
                        "function": {"name": name, "arguments": arguments.to_string()},
                    }]}}]}))
                })
                .collect();
            events.push(finish("tool_calls"));
            events.push("data: [DONE]\n\n".to_owned());
            stream(events, false)
        }
        Some(Reply::Dropped(text)) => stream(pieces(text), true),
    }
}

fn refusal(status: u16, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
    (
        StatusCode::from_u16(status).unwrap(),
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// A text as one event a word.
fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ')
        .map(|word| {
            event(&json!({"choices": [{
                "index": 0,
                "delta": {"role": "assistant", "content": word},
            }]}))
        })
        .collect()
}

fn finish(reason: &str) -> String {
    event(&json!({
        "choices": [{"index": 0, "delta": {}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }))
}

fn event(data: &Value) -> String {
    let mut data = data.clone();
    data["id"] = json!("chatcmpl-test");
    data["object"] = json!("chat.completion.chunk");
    data["model"] = json!("test-model");
    format!("data: {data}\n\n")
}

/// Streams events; `broken` ends the connection in the middle of the body.
fn stream(events: Vec<String>, broken: bool) -> Response {
    let items: Vec<Result<String, std::io::Error>> = events
        .into_iter()
        .map(Ok)
        .chain(broken.then(|| Err(std::io::Error::other("the provider went away"))))
        .collect();
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(futures_util::stream::iter(items)),
    )
        .into_response()
}
