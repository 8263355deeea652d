//! `resourceRead`: only what sessions reference, never the file system at large.

use std::sync::Arc;

use ahp_types::commands::*;
use base64::Engine as _;

use super::super::identity::Trust;
use super::super::rpc::RpcError;
use super::super::{Client, Host, ROOT};
use super::done;
use crate::content::{ContentStore, ContentUri, MAX_READ_BYTES};
use crate::session::session_of_channel;

impl Host {
    /// Only what sessions reference; never the file system at large.
    pub(super) async fn resource_read(
        self: &Arc<Self>,
        client: &Client,
        params: ResourceReadParams,
    ) -> Result<Option<String>, RpcError> {
        let not_found = || RpcError::not_found(format!("there is no content {}", params.uri));
        let reference: ContentUri = params.uri.parse().map_err(|_| {
            RpcError::denied("only content that a session references can be read (copilot-content: and copilot-output:)")
        })?;
        let session = match &reference {
            ContentUri::Content { session, .. } | ContentUri::Output { session, .. } => session,
        };
        if !self.is_there_for(client, session) {
            return Err(not_found());
        }
        // A session's channel gives what that session references; the root channel gives any.
        if params.channel != ROOT && session_of_channel(&params.channel) != Some(session) {
            return Err(not_found());
        }
        if client.trust() == Trust::Remote {
            self.may_read_remotely(session, &reference).await?;
        }
        let shared = Arc::clone(&self.shared);
        let read =
            tokio::task::spawn_blocking(move || read_reference(&shared.contents, &reference)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(not_found());
            }
            Ok(Err(error)) if is_callers_fault(&error) => {
                let hint =
                    format!("read it in ranges of at most {MAX_READ_BYTES} bytes (?from=…&to=…)");
                return Err(RpcError::invalid_params(format!("{error}; {hint}")));
            }
            Ok(Err(error)) => {
                return Err(RpcError::internal(format!(
                    "the content could not be read: {error}"
                )));
            }
            Err(_) => return Err(RpcError::internal("the content could not be read")),
        };
        let wants_base64 = params.encoding == Some(ContentEncoding::Base64);
        let (data, encoding) = match String::from_utf8(bytes) {
            Ok(text) if !wants_base64 => (text, ContentEncoding::Utf8),
            Ok(text) => (
                base64::engine::general_purpose::STANDARD.encode(text),
                ContentEncoding::Base64,
            ),
            Err(e) => (
                base64::engine::general_purpose::STANDARD.encode(e.as_bytes()),
                ContentEncoding::Base64,
            ),
        };
        done(&ResourceReadResult {
            data,
            encoding,
            content_type: Some("text/plain".into()),
        })
    }
}

fn read_reference(contents: &ContentStore, reference: &ContentUri) -> std::io::Result<Vec<u8>> {
    match reference {
        ContentUri::Content {
            session,
            sha256,
            range,
        } => contents.read(session, sha256, range.clone()),
        ContentUri::Output {
            session,
            tool_call_id,
            range,
        } => contents.read_output(session, tool_call_id, range.clone()),
    }
}

fn is_callers_fault(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::FileTooLarge | ErrorKind::InvalidInput
    )
}
