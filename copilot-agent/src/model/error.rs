//! What can go wrong with a model, in words for people. Pure: answers of providers are
//! classified here, and nothing of what is made here contains a key.

use serde_json::Value;
use thiserror::Error;

/// The kinds of failure that clients tell apart. Their names are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The key or token was refused.
    Auth,
    /// The provider does not know the model.
    UnknownModel,
    /// The provider could not be reached.
    Connect,
    /// The response broke off.
    Stream,
    /// Too many requests, or no credit left.
    RateLimit,
    /// No model is configured.
    NotConfigured,
    /// Anything else that the provider refused.
    Model,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Auth,
        Self::UnknownModel,
        Self::Connect,
        Self::Stream,
        Self::RateLimit,
        Self::NotConfigured,
        Self::Model,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::UnknownModel => "unknown-model",
            Self::Connect => "connect",
            Self::Stream => "stream",
            Self::RateLimit => "rate-limit",
            Self::NotConfigured => "not-configured",
            Self::Model => "model",
        }
    }
}

/// A failure of a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ModelError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// A sentence for people: what failed, and whose fault it is.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl ModelError {
    /// A failure of `kind`.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// No model is configured: the three ways to get one, and the demo.
    #[must_use]
    pub fn not_configured() -> Self {
        Self::new(
            ErrorKind::NotConfigured,
            "No model is configured, so there is nothing that could answer.",
            "Choose one of three ways: (1) any provider: set COPILOT_PROVIDER_BASE_URL, \
             COPILOT_PROVIDER_API_KEY and COPILOT_MODEL; (2) GitHub Models: set \
             COPILOT_GITHUB_TOKEN, GH_TOKEN or GITHUB_TOKEN; (3) a local model: start Ollama and \
             pull one. To look around without a model: `cargo xtask demo`, or \
             COPILOT_SCRIPTED_MODEL=demo.",
        )
    }

    /// The response of `provider` broke off.
    #[must_use]
    pub fn cut_off(provider: &str, cause: &str) -> Self {
        Self::new(
            ErrorKind::Stream,
            format!("The response of {provider} broke off before it was complete ({cause})."),
            "What had arrived is kept. Send the prompt again, or say `go on`.",
        )
    }
}

/// Most characters of a provider's own words that are passed on.
const QUOTE_CHARS: usize = 300;

/// What a failed HTTP answer of `provider` means. `body` is the answer's text.
#[must_use]
pub(super) fn from_status(status: u16, body: &str, provider: &str, model: &str) -> ModelError {
    let (words, code) = said(body);
    let quoted = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    let about = format!("{words} {code}").to_lowercase();
    let names_the_model = about.contains("model");
    match status {
        // The words are left out: some providers repeat a part of the key in them.
        401 | 403 if !code.contains("model") => ModelError::new(
            ErrorKind::Auth,
            format!("{provider} refused the key ({status})."),
            "Check COPILOT_PROVIDER_API_KEY, or the GitHub token, and that it may use this model.",
        ),
        400 | 401 | 403 | 404 | 422
            if status == 404
                || names_the_model
                    && [
                        "not found",
                        "not_found",
                        "does not exist",
                        "unknown",
                        "unsupported model",
                        "invalid model",
                        "no such",
                        "not supported",
                        "no access",
                    ]
                    .iter()
                    .any(|phrase| about.contains(phrase)) =>
        {
            ModelError::new(
                ErrorKind::UnknownModel,
                format!("{provider} does not know the model {model:?} ({status}{quoted})."),
                "Check COPILOT_MODEL or --model, and that COPILOT_PROVIDER_BASE_URL ends where \
                 the provider says (often in /v1).",
            )
        }
        402 | 429 => ModelError::new(
            ErrorKind::RateLimit,
            format!("{provider} accepts no more requests for now ({status}{quoted})."),
            "Wait a little and send the prompt again, or choose another model.",
        ),
        _ if about.contains("context_length")
            || about.contains("context length")
            || about.contains("maximum context") =>
        {
            ModelError::new(
                ErrorKind::Model,
                format!("The conversation is too long for the model {model:?} of {provider}."),
                "Start a new session, or choose a model with a larger context.",
            )
        }
        500.. => ModelError::new(
            ErrorKind::Model,
            format!("{provider} failed ({status}{quoted})."),
            "The fault is the provider's. Send the prompt again later.",
        ),
        _ => ModelError::new(
            ErrorKind::Model,
            format!("{provider} refused the request ({status}{quoted})."),
            "Check COPILOT_PROVIDER_TYPE, COPILOT_PROVIDER_WIRE_API and the model's abilities: it \
             must be able to call tools.",
        ),
    }
}

/// What an error inside of a stream means. `body` is the error object that `provider` sent.
#[must_use]
pub(super) fn from_event(body: &Value, provider: &str, model: &str) -> ModelError {
    let (words, code) = said(&body.to_string());
    let about = format!("{words} {code}").to_lowercase();
    if about.contains("rate") && about.contains("limit") || about.contains("quota") {
        return from_status(429, &body.to_string(), provider, model);
    }
    ModelError::new(
        ErrorKind::Stream,
        format!("{provider} ended its response with an error: {words}"),
        "Send the prompt again, or say `go on`.",
    )
}

/// The words and the code in an error's body: providers agree on `error.message` more or less.
fn said(body: &str) -> (String, String) {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        // A page for people, not an answer of an API.
        let is_page = body.trim_start().starts_with('<');
        let words = if is_page { "" } else { body };
        return (shorten(words), String::new());
    };
    let error = match value.get("error") {
        Some(error @ Value::Object(_)) => error,
        _ => &value,
    };
    let text = |key: &str| {
        error
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let message = match (text("message"), value.get("error"), value.as_str()) {
        (message, _, _) if !message.is_empty() => message,
        (_, Some(Value::String(message)), _) => message.clone(),
        (_, _, Some(message)) => message.to_owned(),
        _ => value.to_string(),
    };
    (
        shorten(&message),
        format!("{} {}", text("code"), text("type")),
    )
}

fn shorten(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = text.chars().take(QUOTE_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_classified() {
        use ErrorKind::{Auth, Model, RateLimit, UnknownModel};
        let openai = |message: &str, code: &str| {
            json!({"error": {"message": message, "code": code, "type": "invalid_request_error"}})
                .to_string()
        };
        for (status, body, expected) in [
            (
                401,
                openai("Incorrect API key provided: sk-x", "invalid_api_key"),
                Auth,
            ),
            (403, "forbidden".to_owned(), Auth),
            (
                403,
                openai("No access to model: x", "no_access_model"),
                UnknownModel,
            ),
            (
                404,
                openai("The model `x` does not exist", "model_not_found"),
                UnknownModel,
            ),
            (
                404,
                r#"{"error":"model \"x\" not found, try pulling it first"}"#.to_owned(),
                UnknownModel,
            ),
            (404, "<html>nothing here</html>".to_owned(), UnknownModel),
            (
                400,
                openai("Unknown model: x", "unknown_model"),
                UnknownModel,
            ),
            (400, openai("messages: at least one is required", ""), Model),
            (
                400,
                openai(
                    "This model's maximum context length is 8 tokens",
                    "context_length_exceeded",
                ),
                Model,
            ),
            (
                429,
                openai("Too many requests", "rate_limit_exceeded"),
                RateLimit,
            ),
            (402, "payment required".to_owned(), RateLimit),
            (500, "oops".to_owned(), Model),
            (503, String::new(), Model),
        ] {
            let error = from_status(status, &body, "models.example", "x");
            assert_eq!(error.kind, expected, "{status} {body}: {error}");
            assert!(error.message.contains("models.example"), "{error}");
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn a_refused_key_is_not_quoted() {
        let body = json!({"error": {"message": "Incorrect API key provided: sk-secret"}});
        let error = from_status(401, &body.to_string(), "models.example", "x");
        assert!(!error.message.contains("secret"), "{error}");
    }

    #[test]
    fn long_words_are_shortened() {
        let error = from_status(500, &"x".repeat(5_000), "models.example", "x");
        assert!(error.message.len() < 400);
    }

    #[test]
    fn nothing_configured_names_every_way() {
        let hint = ModelError::not_configured().hint;
        for way in [
            "COPILOT_PROVIDER_BASE_URL",
            "GITHUB_TOKEN",
            "Ollama",
            "cargo xtask demo",
        ] {
            assert!(hint.contains(way), "{way}");
        }
    }
}
