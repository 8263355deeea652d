//! Turns with a provider on the network: a local server that streams Chat Completions.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::Agent;

const KEY: &str = "sk-test-0123456789";

/// A server, and the requests that it got.
struct Provider {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
}

fn frames(frames: &[Value], done: bool) -> Response {
    let mut body: String = frames
        .iter()
        .map(|frame| format!("data: {frame}\n\n"))
        .collect();
    if done {
        body.push_str("data: [DONE]\n\n");
    }
    ([("content-type", "text/event-stream")], body).into_response()
}

fn delta(delta: Value, finish: Option<&str>) -> Value {
    json!({"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn usage(input: u64, output: u64) -> Value {
    json!({"id": "1", "choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}})
}

fn error(status: StatusCode, message: &str, code: &str) -> Response {
    let body =
        json!({"error": {"message": message, "type": "invalid_request_error", "code": code}});
    (status, axum::Json(body)).into_response()
}

async fn complete(
    State(requests): State<Arc<Mutex<Vec<Value>>>>,
    headers: HeaderMap,
    axum::Json(request): axum::Json<Value>,
) -> Response {
    requests.lock().unwrap().push(request.clone());
    if headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        != Some(&format!("Bearer {KEY}"))
    {
        return error(
            StatusCode::UNAUTHORIZED,
            &format!("Incorrect API key: {KEY}x"),
            "invalid_api_key",
        );
    }
    let messages = request["messages"].as_array().unwrap();
    let results = messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .count();
    match (request["model"].as_str().unwrap(), results) {
        ("two-tools", 0) => frames(
            &[
                delta(
                    json!({"role": "assistant", "reasoning_content": "hm"}),
                    None,
                ),
                delta(json!({"content": "Looking"}), None),
                delta(json!({"content": " around."}), None),
                delta(
                    json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "glob", "arguments": ""}}]}),
                    None,
                ),
                delta(
                    json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"pattern\":"}}]}),
                    None,
                ),
                delta(
                    json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"*.txt\"}"}}]}),
                    None,
                ),
                delta(
                    json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "view", "arguments": "{\"path\":\"note.txt\"}"}}]}),
                    None,
                ),
                delta(json!({}), Some("tool_calls")),
                usage(100, 20),
            ],
            true,
        ),
        ("two-tools", 2) => frames(
            &[
                delta(
                    json!({"role": "assistant", "content": "It says hello."}),
                    None,
                ),
                delta(json!({}), Some("stop")),
                usage(150, 5),
            ],
            true,
        ),
        ("no-end", _) => frames(&[delta(json!({"content": "This is cut"}), None)], false),
        ("broken", _) => {
            let pieces = [
                Ok(format!(
                    "data: {}\n\n",
                    delta(json!({"content": "This is cut"}), None)
                )),
                Err(std::io::Error::other("the connection breaks")),
            ];
            let body = Body::from_stream(futures_util::stream::iter(pieces).then(
                async |piece: Result<String, std::io::Error>| {
                    if piece.is_err() {
                        // What came before is sent while nothing is ready.
                        tokio::task::yield_now().await;
                    }
                    piece
                },
            ));
            ([("content-type", "text/event-stream")], body).into_response()
        }
        ("silent", _) => {
            let body =
                futures_util::stream::iter([Err::<String, _>(std::io::Error::other("closed"))]);
            Body::from_stream(body).into_response()
        }
        ("error-inside", _) => frames(
            &[json!({"error": {"message": "The server is overloaded"}})],
            false,
        ),
        ("busy", _) => error(
            StatusCode::TOO_MANY_REQUESTS,
            "Slow down",
            "rate_limit_exceeded",
        ),
        (model, _) => error(
            StatusCode::NOT_FOUND,
            &format!("The model `{model}` does not exist"),
            "model_not_found",
        ),
    }
}

/// The Responses API: whole, or broken off after the first words.
async fn respond(axum::Json(request): axum::Json<Value>) -> Response {
    let mut events = vec![
        json!({"type": "response.created", "response": {"id": "r", "status": "in_progress"}}),
        json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "Hello"}),
    ];
    match request["model"].as_str().unwrap() {
        "whole" => events.push(json!({"type": "response.completed", "response": {
            "id": "r", "status": "completed", "model": "whole", "output": [],
            "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        }})),
        "unreadable" => events.push(json!({"type": "response.completed", "response": {"id": 1}})),
        "failing" => events.push(json!({"type": "response.failed", "response": {
            "id": "r", "status": "failed", "model": "failing", "error": {"message": "I am overloaded"}
        }})),
        _ => {}
    }
    frames(&events, false)
}

/// The Messages API: whole, or broken off after the first words.
async fn message(headers: HeaderMap, axum::Json(request): axum::Json<Value>) -> Response {
    assert_eq!(headers["x-api-key"], KEY);
    assert!(headers.contains_key("anthropic-version"));
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
    ];
    if request["model"] == "whole" {
        events.extend([
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
            json!({"type": "message_stop"}),
        ]);
    }
    let body: String = events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap()
            )
        })
        .collect();
    ([("content-type", "text/event-stream")], body).into_response()
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/v1/responses", post(respond))
            .route("/v1/messages", post(message))
            .with_state(Arc::clone(&requests));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// Runs one prompt and returns how it ended.
fn prompt(url: &str, key: &str, model: &str) -> (Agent, Result<Value, Value>) {
    prompt_with(&[
        ("COPILOT_PROVIDER_BASE_URL", url),
        ("COPILOT_PROVIDER_API_KEY", key),
        ("COPILOT_MODEL", model),
    ])
}

fn prompt_with(variables: &[(&str, &str)]) -> (Agent, Result<Value, Value>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "hello\n").unwrap();
    let mut agent = Agent::start(variables);
    agent.initialize();
    let session = agent.new_session(folder.path());
    let turn = agent.prompt(&session, "What does the note say?");
    let result = agent.response(turn);
    (agent, result)
}

#[test]
fn a_turn_with_two_tool_calls_is_completed() {
    let provider = Provider::start();
    let (agent, result) = prompt(&provider.url(), KEY, "two-tools");
    let end = result.unwrap();
    assert_eq!(end["stopReason"], "end_turn");
    assert_eq!(
        end["_meta"]["copilot.usage"],
        json!({"inputTokens": 250, "outputTokens": 25, "model": "two-tools"})
    );
    assert_eq!(agent.said(), "Looking around.It says hello.");
    assert_eq!(agent.updates("agent_thought_chunk").count(), 1);
    let titles: Vec<_> = agent
        .updates("tool_call")
        .map(|call| call["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["Find *.txt", "View note.txt"]);

    let requests = provider.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    let roles = |request: &Value| -> Vec<String> {
        let messages = request["messages"].as_array().unwrap().iter();
        messages
            .map(|message| message["role"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(roles(&requests[0]), ["system", "user"]);
    assert_eq!(
        roles(&requests[1]),
        ["system", "user", "assistant", "tool", "tool"]
    );
    assert_eq!(requests[0]["stream"], true);
    assert_eq!(requests[0]["tools"].as_array().unwrap().len(), 9);
    let messages = requests[1]["messages"].as_array().unwrap();
    assert_eq!(
        messages[2]["tool_calls"][1]["id"],
        messages[4]["tool_call_id"]
    );
    assert!(messages[4]["content"].as_str().unwrap().contains("hello"));
}

#[test]
fn failures_are_told_by_kind_in_words_and_without_the_key() {
    let provider = Provider::start();
    let url = provider.url();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    for (url, key, model, kind, words) in [
        (&url, "sk-wrong-key", "two-tools", "auth", "refused the key"),
        (
            &url,
            KEY,
            "nonsense",
            "unknown-model",
            "does not know the model \"nonsense\"",
        ),
        (&closed, KEY, "two-tools", "connect", "cannot be reached"),
        (&url, KEY, "no-end", "stream", "broke off"),
        (&url, KEY, "broken", "stream", "broke off"),
        (&url, KEY, "silent", "stream", "broke off"),
        (&url, KEY, "error-inside", "stream", "overloaded"),
        (&url, KEY, "busy", "rate-limit", "no more requests"),
    ] {
        let (agent, result) = prompt(url, key, model);
        let error = result.unwrap_err();
        assert_eq!(error["data"]["kind"], kind, "{model}: {error}");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{model}: {error}"
        );
        assert!(!error["data"]["hint"].as_str().unwrap().is_empty());
        for message in &agent.seen {
            let text = message.to_string();
            assert!(!text.contains(key) && !text.contains(KEY), "{text}");
        }
        if matches!(model, "no-end" | "broken") {
            assert_eq!(agent.said(), "This is cut");
        }
    }
    // Nothing was tried twice.
    assert_eq!(provider.requests.lock().unwrap().len(), 7);
}

#[test]
fn the_other_wire_formats_end_only_with_their_end_marker() {
    let url = Provider::start().url();
    let responses = ("COPILOT_PROVIDER_WIRE_API", "responses");
    let anthropic = ("COPILOT_PROVIDER_TYPE", "anthropic");
    for (format, model, failure) in [
        (responses, "whole", None),
        (responses, "cut", Some("broke off")),
        (responses, "unreadable", Some("broke off")),
        (responses, "failing", Some("I am overloaded")),
        (anthropic, "whole", None),
        (anthropic, "cut", Some("broke off")),
    ] {
        let (agent, result) = prompt_with(&[
            ("COPILOT_PROVIDER_BASE_URL", &url),
            ("COPILOT_PROVIDER_API_KEY", KEY),
            ("COPILOT_MODEL", model),
            format,
        ]);
        assert_eq!(agent.said(), "Hello", "{format:?} {model}: {result:?}");
        match (result, failure) {
            (Ok(end), None) => assert_eq!(
                end,
                json!({"stopReason": "end_turn", "_meta": {"copilot.usage": {
                    "inputTokens": 7, "outputTokens": 3, "model": "whole"
                }, "copilot.complete": false}})
            ),
            (Err(error), Some(words)) => {
                assert_eq!(error["data"]["kind"], "stream", "{error}");
                assert!(
                    error["message"].as_str().unwrap().contains(words),
                    "{error}"
                );
            }
            (result, _) => panic!("{format:?} {model}: {result:?}"),
        }
    }
}

#[test]
fn nothing_configured_says_how_to_get_a_model() {
    if TcpStream::connect("127.0.0.1:11434").is_ok() {
        // An Ollama runs on this machine, so there is a model.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(&[]);
    agent.initialize();
    let session = agent.new_session(folder.path());
    let turn = agent.prompt(&session, "hello");
    let error = agent.response(turn).unwrap_err();
    assert_eq!(error["data"]["kind"], "not-configured", "{error}");
    let hint = error["data"]["hint"].as_str().unwrap();
    assert!(hint.contains("cargo xtask demo") && hint.contains("COPILOT_PROVIDER_BASE_URL"));
}
