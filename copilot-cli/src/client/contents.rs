//! Contents that the state refers to, read as text.

use ahp_types::commands::{ContentEncoding, ResourceReadParams, ResourceReadResult};
use serde_json::value::RawValue;

use super::connection::parse;
use super::{Client, ClientError, RpcError};

/// Reads one content of the session; the inner error is the host's reason why there is none.
pub async fn read_content(
    client: &mut Client,
    session: &str,
    uri: &str,
) -> Result<Result<String, RpcError>, ClientError> {
    let params = read_params(session, uri);
    match client
        .call::<_, Box<RawValue>>("resourceRead", &params)
        .await
    {
        Ok(raw) => Ok(content_text(&raw)),
        Err(ClientError::Rpc(error)) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

pub(super) fn read_params(channel: &str, uri: &str) -> ResourceReadParams {
    ResourceReadParams {
        channel: channel.to_owned(),
        meta: None,
        uri: uri.to_owned(),
        encoding: Some(ContentEncoding::Utf8),
    }
}

/// The text of a content. What is not text cannot be shown in a terminal.
pub(super) fn content_text(raw: &RawValue) -> Result<String, RpcError> {
    let unreadable = |message: String| RpcError {
        code: ahp_types::errors::json_rpc_error_codes::INTERNAL_ERROR,
        message,
        hint: None,
    };
    let result: ResourceReadResult = parse(raw).map_err(|e| unreadable(e.to_string()))?;
    match result.encoding {
        ContentEncoding::Utf8 => Ok(result.data),
        ContentEncoding::Base64 => Err(unreadable("not a text".to_owned())),
    }
}
