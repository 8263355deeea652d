//! Which model a turn uses, judged by the environment. The choice is pure; only looking for a
//! local Ollama and reading a scenario file touch the world.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    ErrorKind, Model, ModelError,
    provider::{Flavour, Provider, ProviderConfig, Secret},
    scripted::{Scenario, ScriptedModel},
};

/// A scenario file, or `demo`, instead of a model.
const SCRIPTED_MODEL: &str = "COPILOT_SCRIPTED_MODEL";
const BASE_URL: &str = "COPILOT_PROVIDER_BASE_URL";
const TYPE: &str = "COPILOT_PROVIDER_TYPE";
const API_KEY: &str = "COPILOT_PROVIDER_API_KEY";
const WIRE_API: &str = "COPILOT_PROVIDER_WIRE_API";
const MODEL: &str = "COPILOT_MODEL";
/// Tokens that select GitHub Models, the first one wins.
const GITHUB_TOKENS: [&str; 3] = ["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"];

const GITHUB_MODELS_URL: &str = "https://models.github.ai/inference";
const GITHUB_MODELS_DEFAULT: &str = "openai/gpt-4.1";
const OLLAMA: &str = "http://127.0.0.1:11434";

/// What the environment selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The scenario built into this crate.
    ScriptedDemo,
    /// A scenario file.
    Scripted(PathBuf),
    /// A provider on the network.
    Provider(ProviderConfig),
    /// Nothing is configured: a local Ollama, if one runs.
    LookForOllama {
        /// The model asked for by name, if any.
        model: Option<String>,
    },
}

/// Decides by the variables that `variable` gives. `asked_for` is the model of this turn, which
/// beats `COPILOT_MODEL`.
///
/// # Errors
/// When the variables contradict each other or something is missing; the variable is named.
pub fn choose(
    variable: impl Fn(&str) -> Option<String>,
    asked_for: Option<&str>,
) -> Result<Choice, ModelError> {
    let variable = |name: &str| {
        variable(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    if let Some(script) = variable(SCRIPTED_MODEL) {
        return Ok(match script.as_str() {
            "demo" => Choice::ScriptedDemo,
            _ => Choice::Scripted(PathBuf::from(script)),
        });
    }
    let model = asked_for
        .map(|model| model.trim().to_owned())
        .filter(|model| !model.is_empty())
        .or_else(|| variable(MODEL));
    if [BASE_URL, TYPE, API_KEY]
        .iter()
        .any(|name| variable(name).is_some())
    {
        return provider(&variable, model).map(Choice::Provider);
    }
    if let Some(token) = GITHUB_TOKENS.iter().find_map(|name| variable(name)) {
        return ProviderConfig::new(
            Flavour::OpenAi,
            GITHUB_MODELS_URL,
            Some(Secret::new(token)),
            model.unwrap_or_else(|| GITHUB_MODELS_DEFAULT.to_owned()),
        )
        .map(Choice::Provider);
    }
    Ok(Choice::LookForOllama { model })
}

fn provider(
    variable: &impl Fn(&str) -> Option<String>,
    model: Option<String>,
) -> Result<ProviderConfig, ModelError> {
    let responses = match variable(WIRE_API).as_deref() {
        None | Some("completions") => false,
        Some("responses") => true,
        Some(other) => return Err(unknown_value(WIRE_API, other, "completions or responses")),
    };
    let (flavour, default_url) = match variable(TYPE).as_deref() {
        None | Some("openai") if responses => {
            (Flavour::OpenAiResponses, Some("https://api.openai.com/v1"))
        }
        None | Some("openai") => (Flavour::OpenAi, Some("https://api.openai.com/v1")),
        Some("azure") => (Flavour::Azure { responses }, None),
        Some("anthropic") => (Flavour::Anthropic, Some("https://api.anthropic.com")),
        Some(other) => return Err(unknown_value(TYPE, other, "openai, azure or anthropic")),
    };
    let Some(url) = variable(BASE_URL).or_else(|| default_url.map(str::to_owned)) else {
        return Err(missing(BASE_URL, "the address of the Azure resource"));
    };
    let Some(model) = model else {
        return Err(missing(MODEL, "the name of the model to use"));
    };
    ProviderConfig::new(flavour, &url, variable(API_KEY).map(Secret::new), model)
}

fn unknown_value(name: &str, value: &str, known: &str) -> ModelError {
    ModelError::new(
        ErrorKind::NotConfigured,
        format!("{name} is {value:?}, which is not a known value."),
        format!("Set {name} to {known}."),
    )
}

fn missing(name: &str, what: &str) -> ModelError {
    ModelError::new(
        ErrorKind::NotConfigured,
        format!("A model provider is configured, but {name} is not set."),
        format!("Set {name}: {what}."),
    )
}

/// Makes the chosen model.
///
/// # Errors
/// When a scenario cannot be read, or nothing is configured and no Ollama runs.
pub async fn connect(choice: Choice) -> Result<Arc<dyn Model>, ModelError> {
    connect_with(choice, OLLAMA).await
}

async fn connect_with(choice: Choice, ollama: &str) -> Result<Arc<dyn Model>, ModelError> {
    Ok(match choice {
        Choice::ScriptedDemo => Arc::new(ScriptedModel::new(Scenario::demo()?)),
        Choice::Scripted(path) => Arc::new(ScriptedModel::new(Scenario::read(&path)?)),
        Choice::Provider(config) => Arc::new(Provider::new(config)?),
        Choice::LookForOllama { model } => {
            let models = ollama_models(ollama)
                .await
                .ok_or_else(ModelError::not_configured)?;
            let Some(model) = model.or_else(|| models.into_iter().next()) else {
                return Err(ModelError::new(
                    ErrorKind::NotConfigured,
                    "A local Ollama runs, but it has no model.",
                    "Pull one that can call tools, for example: ollama pull qwen3",
                ));
            };
            let url = format!("{ollama}/v1");
            Arc::new(Provider::new(ProviderConfig::new(
                Flavour::OpenAi,
                &url,
                None,
                model,
            )?)?)
        }
    })
}

/// The models of the Ollama at `address`; `None` when there is none.
async fn ollama_models(address: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Tags {
        models: Vec<Tag>,
    }
    #[derive(Deserialize)]
    struct Tag {
        name: String,
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(500))
        .build()
        .ok()?;
    let answer = client
        .get(format!("{address}/api/tags"))
        .send()
        .await
        .ok()?;
    let tags: Tags = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
    Some(tags.models.into_iter().map(|tag| tag.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_from(
        variables: &[(&str, &str)],
        asked_for: Option<&str>,
    ) -> Result<Choice, ModelError> {
        choose(
            |name| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            },
            asked_for,
        )
    }

    fn config(flavour: Flavour, url: &str, key: Option<&str>, model: &str) -> Choice {
        let key = key.map(|key| Secret::new(key.to_owned()));
        Choice::Provider(ProviderConfig::new(flavour, url, key, model.to_owned()).unwrap())
    }

    #[test]
    fn the_environment_selects_a_model() {
        const URL: &str = "http://localhost:9/v1";
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, Choice);
        let cases: Vec<Case<'_>> = vec![
            (&[], None, Choice::LookForOllama { model: None }),
            (
                &[(MODEL, "m")],
                None,
                Choice::LookForOllama {
                    model: Some("m".into()),
                },
            ),
            (
                &[(BASE_URL, "  ")],
                None,
                Choice::LookForOllama { model: None },
            ),
            (
                &[(SCRIPTED_MODEL, "demo"), (API_KEY, "k")],
                None,
                Choice::ScriptedDemo,
            ),
            (
                &[(SCRIPTED_MODEL, "/a.json")],
                None,
                Choice::Scripted("/a.json".into()),
            ),
            (
                &[(BASE_URL, URL), (MODEL, "m"), ("GH_TOKEN", "t")],
                None,
                config(Flavour::OpenAi, URL, None, "m"),
            ),
            (
                &[
                    (BASE_URL, URL),
                    (MODEL, "m"),
                    (API_KEY, "k"),
                    (WIRE_API, "responses"),
                ],
                Some("other"),
                config(Flavour::OpenAiResponses, URL, Some("k"), "other"),
            ),
            (
                &[(API_KEY, "k"), (MODEL, "m")],
                None,
                config(Flavour::OpenAi, "https://api.openai.com/v1", Some("k"), "m"),
            ),
            (
                &[(TYPE, "anthropic"), (API_KEY, "k"), (MODEL, "m")],
                None,
                config(
                    Flavour::Anthropic,
                    "https://api.anthropic.com",
                    Some("k"),
                    "m",
                ),
            ),
            (
                &[
                    ("GITHUB_TOKEN", "c"),
                    ("GH_TOKEN", "b"),
                    ("COPILOT_GITHUB_TOKEN", "a"),
                ],
                None,
                config(
                    Flavour::OpenAi,
                    GITHUB_MODELS_URL,
                    Some("a"),
                    GITHUB_MODELS_DEFAULT,
                ),
            ),
            (
                &[("GITHUB_TOKEN", "c"), (MODEL, "m")],
                None,
                config(Flavour::OpenAi, GITHUB_MODELS_URL, Some("c"), "m"),
            ),
        ];
        for (variables, asked_for, expected) in cases {
            let chosen = choose_from(variables, asked_for).unwrap();
            assert_eq!(chosen, expected, "{variables:?}");
        }
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[(BASE_URL, "http://localhost/v1")], MODEL),
            (&[(TYPE, "azure"), (MODEL, "m")], BASE_URL),
            (&[(TYPE, "other"), (MODEL, "m")], TYPE),
            (
                &[(API_KEY, "k"), (WIRE_API, "soap"), (MODEL, "m")],
                WIRE_API,
            ),
            (&[(BASE_URL, "not a url"), (MODEL, "m")], BASE_URL),
        ];
        for (variables, name) in cases {
            let error = choose_from(variables, None).unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotConfigured);
            assert!(error.message.contains(name), "{error}");
        }
    }

    async fn serve_tags(tags: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/api/tags", axum::routing::get(async move || tags));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        address
    }

    #[tokio::test]
    async fn an_ollama_is_found_by_itself() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let look = |model: Option<&str>| Choice::LookForOllama {
            model: model.map(str::to_owned),
        };
        let with_models = serve_tags(r#"{"models": [{"name": "qwen3:8b"}, {"name": "b"}]}"#).await;
        let found = connect_with(look(None), &with_models).await.unwrap();
        assert_eq!(found.name(), "qwen3:8b");
        let found = connect_with(look(Some("b")), &with_models).await.unwrap();
        assert_eq!(found.name(), "b");

        let empty = serve_tags(r#"{"models": []}"#).await;
        let error = connect_with(look(None), &empty).await.err().unwrap();
        assert!(error.message.contains("no model"), "{error}");

        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        for address in [closed, serve_tags("not an ollama").await] {
            let error = connect_with(look(None), &address).await.err().unwrap();
            assert_eq!(error, ModelError::not_configured());
        }
    }
}
