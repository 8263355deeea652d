//! Models on the network: streamed requests through `genai`.
//!
//! This module owns addresses, headers and the key. The key goes into one header and nowhere
//! else: not into an error, not into a log, not into a `Debug`.

use std::{fmt, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use genai::{
    Client, ModelIden, ServiceTarget,
    adapter::AdapterKind,
    chat::{
        ChatMessage, ChatOptions, ChatRequest, ChatStreamEvent, ContentPart, MessageContent,
        StopReason, StreamEnd, Tool, ToolCall, ToolResponse,
    },
    resolver::{AuthData, Endpoint},
};
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    EndReason, ErrorKind, Model, ModelError, ModelEvent, ModelRequest, ModelStream, Usage,
    error::{from_event, from_status},
};
use crate::conversation::Message;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a provider may be silent. Models that reason without showing it take minutes.
const SILENCE: Duration = Duration::from_secs(600);
/// The version for Azure addresses that name none and need one.
const AZURE_API_VERSION: &str = "2024-10-21";

/// A key or token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// How a provider is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Chat Completions.
    OpenAi,
    /// The Responses API.
    OpenAiResponses,
    /// The Messages API.
    Anthropic,
    /// Chat Completions or Responses, with Azure's header and addresses.
    Azure {
        /// Responses instead of Chat Completions.
        responses: bool,
    },
}

/// A model and where it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    flavour: Flavour,
    /// The address that requests are posted to.
    url: Url,
    key: Option<Secret>,
    model: String,
}

impl ProviderConfig {
    /// A configuration for the provider at `base_url`.
    ///
    /// # Errors
    /// When `base_url` is not an HTTP address.
    pub fn new(
        flavour: Flavour,
        base_url: &str,
        key: Option<Secret>,
        model: String,
    ) -> Result<Self, ModelError> {
        let url = Url::parse(base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .and_then(|url| request_url(flavour, url));
        match url {
            Some(url) => Ok(Self {
                flavour,
                url,
                key,
                model,
            }),
            // The value is not repeated: an address may hold a password.
            None => Err(ModelError::new(
                ErrorKind::NotConfigured,
                "COPILOT_PROVIDER_BASE_URL is not an http or https address.",
                "Set it to something like https://models.example.com/v1",
            )),
        }
    }

    /// The provider's host, for people.
    fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or("the provider");
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(Secret(key)) = &self.key {
            headers.push(match self.flavour {
                Flavour::OpenAi | Flavour::OpenAiResponses => {
                    ("authorization".to_owned(), format!("Bearer {key}"))
                }
                Flavour::Anthropic => ("x-api-key".to_owned(), key.clone()),
                Flavour::Azure { .. } => ("api-key".to_owned(), key.clone()),
            });
        }
        if self.flavour == Flavour::Anthropic {
            headers.push(("anthropic-version".to_owned(), "2023-06-01".to_owned()));
        }
        headers
    }

    fn adapter(&self) -> AdapterKind {
        match self.flavour {
            Flavour::OpenAi | Flavour::Azure { responses: false } => AdapterKind::OpenAI,
            Flavour::OpenAiResponses | Flavour::Azure { responses: true } => {
                AdapterKind::OpenAIResp
            }
            Flavour::Anthropic => AdapterKind::Anthropic,
        }
    }
}

/// Where requests go for a base address as people write it.
fn request_url(flavour: Flavour, mut url: Url) -> Option<Url> {
    let method = match flavour {
        Flavour::OpenAi | Flavour::Azure { responses: false } => ["chat", "completions"].as_slice(),
        Flavour::OpenAiResponses | Flavour::Azure { responses: true } => ["responses"].as_slice(),
        Flavour::Anthropic => ["messages"].as_slice(),
    };
    let is_bare = url.path() == "/";
    let is_deployment = url.path().contains("/deployments/");
    {
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty();
        match flavour {
            Flavour::Anthropic if is_bare => {
                path.push("v1");
            }
            Flavour::Azure { .. } if is_bare => {
                path.extend(["openai", "v1"]);
            }
            _ => {}
        }
        path.extend(method);
    }
    let has_version = url.query_pairs().any(|(name, _)| name == "api-version");
    if matches!(flavour, Flavour::Azure { .. }) && is_deployment && !has_version {
        url.query_pairs_mut()
            .append_pair("api-version", AZURE_API_VERSION);
    }
    Some(url)
}

/// A model on the network.
pub(super) struct Provider {
    client: Client,
    config: ProviderConfig,
}

impl Provider {
    /// A client for `config`. Nothing is sent yet.
    pub(super) fn new(config: ProviderConfig) -> Result<Self, ModelError> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            // A request carries the key; it goes where it was told to and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("copilot-agent/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&config.url) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| {
            ModelError::new(
                ErrorKind::Connect,
                format!("The HTTP client cannot be set up: {}.", root_cause(&error)),
                "Check the proxy variables and the system's certificates.",
            )
        })?;
        let client = Client::builder()
            .with_reqwest(http)
            .build()
            .map_err(|_| ModelError::cut_off(&config.host(), "the client cannot be set up"))?;
        Ok(Self { client, config })
    }
}

impl Model for Provider {
    fn name(&self) -> &str {
        &self.config.model
    }

    fn respond(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelStream, ModelError>> {
        let config = self.config.clone();
        async move {
            let options = ChatOptions::default()
                .with_capture_usage(true)
                .with_capture_tool_calls(true);
            let target = ServiceTarget {
                endpoint: Endpoint::from_owned(config.url.to_string()),
                auth: AuthData::RequestOverride {
                    url: config.url.to_string(),
                    headers: config.headers().into(),
                },
                model: ModelIden::new(config.adapter(), config.model.clone()),
            };
            let response = self
                .client
                .exec_chat_stream(target, chat_request(request), Some(&options))
                .await
                .map_err(|error| explain(error, &config))?;
            Ok(events(response.stream.boxed(), config))
        }
        .boxed()
    }
}

fn events(
    stream: BoxStream<'static, genai::Result<ChatStreamEvent>>,
    config: ProviderConfig,
) -> ModelStream {
    let ended = false;
    stream::unfold(
        (stream, config, ended),
        |(mut stream, config, ended)| async move {
            if ended {
                return None;
            }
            let cut_off = || ModelError::cut_off(&config.host(), "it has no end marker");
            let (items, ended) = match stream.next().await {
                Some(Ok(event)) => match event {
                    ChatStreamEvent::Chunk(chunk) => {
                        (vec![Ok(ModelEvent::Text(chunk.content))], false)
                    }
                    ChatStreamEvent::ReasoningChunk(chunk) => {
                        (vec![Ok(ModelEvent::Reasoning(chunk.content))], false)
                    }
                    ChatStreamEvent::End(end) if is_made_up(&end, config.adapter()) => {
                        (vec![Err(cut_off())], true)
                    }
                    ChatStreamEvent::End(end) => (end_events(end), true),
                    // Tool calls come whole with the end; the rest is of no interest.
                    ChatStreamEvent::Start
                    | ChatStreamEvent::Heartbeat
                    | ChatStreamEvent::ThoughtSignatureChunk(_)
                    | ChatStreamEvent::ToolCallChunk(_) => (Vec::new(), false),
                },
                Some(Err(error)) => (vec![Err(explain(error, &config))], true),
                None => (vec![Err(cut_off())], true),
            };
            Some((stream::iter(items), (stream, config, ended)))
        },
    )
    .flatten()
    .boxed()
}

/// Whether the provider never sent this end. For the Responses API `genai` makes one up when
/// the stream is over, without the id that a real one has and without the tool calls.
fn is_made_up(end: &StreamEnd, adapter: AdapterKind) -> bool {
    adapter == AdapterKind::OpenAIResp && end.captured_response_id.is_none()
}

fn end_events(mut end: StreamEnd) -> Vec<Result<ModelEvent, ModelError>> {
    let usage = end.captured_usage.take().unwrap_or_default();
    let reason = match end.captured_stop_reason.take() {
        Some(StopReason::MaxTokens(_)) => EndReason::MaxTokens,
        Some(StopReason::ContentFilter(_)) => EndReason::Refusal,
        _ => EndReason::Complete,
    };
    let tokens = |count: Option<i32>| count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    end.captured_into_tool_calls()
        .unwrap_or_default()
        .into_iter()
        .map(|call| ModelEvent::ToolCall {
            name: call.fn_name,
            input: parsed(call.fn_arguments),
        })
        .chain([ModelEvent::End {
            reason,
            usage: Usage {
                input_tokens: tokens(usage.prompt_tokens),
                output_tokens: tokens(usage.completion_tokens),
            },
        }])
        .map(Ok)
        .collect()
}

/// The input of a tool call. No arguments at all mean an empty object.
fn parsed(arguments: Value) -> Value {
    match arguments {
        Value::Null => json!({}),
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    }
}

fn chat_request(request: ModelRequest) -> ChatRequest {
    let messages = request.messages.into_iter().filter_map(|message| {
        Some(match message {
            Message::User { text, .. } => ChatMessage::user(text),
            Message::Assistant {
                text, tool_calls, ..
            } => {
                let mut parts = Vec::new();
                if !text.is_empty() {
                    parts.push(ContentPart::Text(text));
                }
                parts.extend(tool_calls.into_iter().map(|call| {
                    ContentPart::ToolCall(ToolCall {
                        call_id: call.id,
                        fn_name: call.name,
                        // Providers refuse anything but an object.
                        fn_arguments: match call.input {
                            input @ Value::Object(_) => input,
                            _ => json!({}),
                        },
                        thought_signatures: None,
                    })
                }));
                if parts.is_empty() {
                    return None;
                }
                ChatMessage::assistant(MessageContent::from_parts(parts))
            }
            Message::Tool(result) => ChatMessage::from(
                ToolResponse::new(result.id, result.text).with_fn_name(result.name),
            ),
        })
    });
    let tools = request.tools.into_iter().map(|tool| {
        Tool::new(tool.name)
            .with_description(tool.description)
            .with_schema(tool.schema)
    });
    ChatRequest::from_messages(messages.collect())
        .with_system(request.system)
        .with_tools(tools)
}

/// Puts a failure of `genai` into words. Its own are for developers and may quote addresses.
fn explain(error: genai::Error, config: &ProviderConfig) -> ModelError {
    let error = explain_raw(error, config);
    match &config.key {
        Some(Secret(key)) if error.message.contains(key.as_str()) => ModelError {
            message: error.message.replace(key.as_str(), "[key]"),
            ..error
        },
        _ => error,
    }
}

fn explain_raw(error: genai::Error, config: &ProviderConfig) -> ModelError {
    let host = config.host();
    match error {
        genai::Error::HttpError { status, body, .. } => {
            from_status(status.as_u16(), &body, &host, &config.model)
        }
        genai::Error::ChatResponse { body, .. } => from_event(&body, &host, &config.model),
        genai::Error::WebStream { error, .. } => match error.downcast::<genai::Error>() {
            Ok(error) => explain_raw(*error, config),
            Err(error) => match error.downcast_ref::<reqwest::Error>() {
                Some(error) if error.is_connect() => ModelError::new(
                    ErrorKind::Connect,
                    format!("{host} cannot be reached: {}.", root_cause(error)),
                    "Check COPILOT_PROVIDER_BASE_URL, the network and the proxy, and that the \
                     provider runs.",
                ),
                Some(error) => ModelError::cut_off(&host, &root_cause(error)),
                None => ModelError::cut_off(&host, "it is not readable"),
            },
        },
        // Words of the provider come as a parse error at no line.
        genai::Error::StreamParse { serde_error, .. } if serde_error.line() == 0 => {
            let body = json!({"message": serde_error.to_string()});
            from_event(&body, &host, &config.model)
        }
        genai::Error::StreamParse { .. } => ModelError::cut_off(&host, "it is not readable"),
        other => {
            tracing::debug!(kind = ?std::mem::discriminant(&other), "unexpected model error");
            ModelError::new(
                ErrorKind::Model,
                format!("The request to {host} could not be made."),
                "Check COPILOT_PROVIDER_TYPE and COPILOT_PROVIDER_WIRE_API.",
            )
        }
    }
}

/// The innermost cause: what the system said, without an address.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_people_mean() {
        use Flavour::{Anthropic, Azure, OpenAi, OpenAiResponses};
        let azure = Azure { responses: false };
        for (flavour, base, expected) in [
            (
                OpenAi,
                "https://a.example/v1",
                "https://a.example/v1/chat/completions",
            ),
            (
                OpenAi,
                "https://a.example/v1/",
                "https://a.example/v1/chat/completions",
            ),
            (
                OpenAi,
                "http://localhost:1",
                "http://localhost:1/chat/completions",
            ),
            (
                OpenAiResponses,
                "https://a.example/v1",
                "https://a.example/v1/responses",
            ),
            (
                Anthropic,
                "https://a.example",
                "https://a.example/v1/messages",
            ),
            (
                Anthropic,
                "https://a.example/v1",
                "https://a.example/v1/messages",
            ),
            (
                azure,
                "https://r.example",
                "https://r.example/openai/v1/chat/completions",
            ),
            (
                azure,
                "https://r.example/openai/deployments/d",
                "https://r.example/openai/deployments/d/chat/completions?api-version=2024-10-21",
            ),
            (
                azure,
                "https://r.example/openai/deployments/d?api-version=2",
                "https://r.example/openai/deployments/d/chat/completions?api-version=2",
            ),
        ] {
            let config = ProviderConfig::new(flavour, base, None, "m".to_owned()).unwrap();
            assert_eq!(config.url.as_str(), expected);
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let key = Some(Secret::new("sk-123".to_owned()));
        let config =
            ProviderConfig::new(Flavour::OpenAi, "https://a.example", key, "m".to_owned()).unwrap();
        assert!(!format!("{config:?}").contains("sk-123"));
        let error = genai::Error::ChatResponse {
            model_iden: ModelIden::new(AdapterKind::OpenAI, "m"),
            body: json!({"message": "what is sk-123?"}),
        };
        let error = explain(error, &config);
        assert!(!error.message.contains("sk-123"), "{error}");
    }

    #[test]
    fn inputs_of_tool_calls_are_parsed_where_they_can_be() {
        for (arguments, expected) in [
            (json!({"a": 1}), json!({"a": 1})),
            (json!(r#"{"a": 1}"#), json!({"a": 1})),
            (json!(""), json!({})),
            (Value::Null, json!({})),
            (json!("{\"a\": "), json!("{\"a\": ")),
        ] {
            assert_eq!(parsed(arguments), expected);
        }
    }
}
