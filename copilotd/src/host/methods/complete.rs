//! `completions`: what can be typed in a message.

use std::sync::Arc;

use ahp_types::commands::{CompletionItemKind, CompletionsParams, CompletionsResult};
use serde_json::Value;

use super::super::rpc::RpcError;
use super::super::{Client, Host};
use super::done;
use crate::session::Input;

/// Longest beginning of a message for which there may be something to offer, in UTF-16 units.
const LONGEST: usize = 1024;

impl Host {
    pub(super) async fn completions(
        self: &Arc<Self>,
        client: &Arc<Client>,
        request_id: Value,
        params: CompletionsParams,
    ) -> Result<Option<String>, RpcError> {
        let typed = up_to(&params.text, params.offset)
            .ok_or_else(|| RpcError::invalid_params("`offset` is not a place in `text`"))?;
        if params.kind != CompletionItemKind::UserMessage || typed.len() > LONGEST {
            return done(&CompletionsResult { items: Vec::new() });
        }
        let input = Input::Completions {
            client: Arc::clone(client),
            request_id,
            channel: params.channel.clone(),
            typed,
        };
        self.to_session(client, &params.channel, input).await?;
        Ok(None)
    }
}

/// The text before an offset in UTF-16 units; nothing when there is no such place between two
/// characters.
fn up_to(text: &str, offset: i64) -> Option<String> {
    let offset = usize::try_from(offset).ok()?;
    let units: Vec<u16> = text.encode_utf16().take(offset).collect();
    match units.len() == offset {
        true => String::from_utf16(&units).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_utf_16_units() {
        for (text, offset, expected) in [
            ("/mode", 0, Some("")),
            ("/mode", 3, Some("/mo")),
            ("/mode", 5, Some("/mode")),
            ("/mode", 6, None),
            ("/mode", -1, None),
            ("/\u{1f600}x", 3, Some("/\u{1f600}")),
            ("/\u{1f600}x", 2, None),
        ] {
            assert_eq!(up_to(text, offset).as_deref(), expected, "{text} {offset}");
        }
    }
}
