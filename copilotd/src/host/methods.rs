//! The AHP methods: each decodes its parameters, checks trust, and replies or hands over to the
//! session's actor.

mod complete;
mod connect;
mod create;
mod list;
mod resource;
mod subscribe;

use std::sync::Arc;

use ahp_types::actions::{ActionOrigin, StateAction};
use ahp_types::commands::*;
use ahp_types::errors::{ahp_error_codes, json_rpc_error_codes};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::identity::{AGENT_MAY_ONLY_READ, Trust};
use super::rpc::{self, RpcError};
use super::{Client, Host};
use crate::remote::narrow;
use crate::session::{Input, SessionHandle, session_of_channel};

impl Host {
    /// Handles one message. `Err` closes the connection, with the reason.
    pub async fn handle(
        self: &Arc<Self>,
        client: &Arc<Client>,
        message: &[u8],
    ) -> Result<(), String> {
        let incoming = match rpc::parse(message) {
            Ok(incoming) => incoming,
            Err(error) => {
                client.outbound().push(rpc::error(&Value::Null, &error));
                return Ok(());
            }
        };
        // Replies are dropped: this host asks clients nothing.
        let Some(method) = &incoming.method else {
            return Ok(());
        };
        let id = incoming.id.clone();
        let result = match incoming.jsonrpc.as_str() {
            "2.0" => {
                self.method(client, method, id.as_ref(), incoming.params)
                    .await
            }
            other => Err(RpcError::invalid_request(format!(
                "this host speaks JSON-RPC 2.0, not `{other}`"
            ))),
        };
        match (id, result) {
            (Some(id), Ok(Some(reply))) => client.outbound().push(rpc::reply_raw(&id, &reply)),
            (Some(id), Err(error)) => {
                let fatal = error.code == ahp_error_codes::UNSUPPORTED_PROTOCOL_VERSION;
                let words = error.message.clone();
                client.outbound().push(rpc::error(&id, &error));
                if fatal {
                    return Err(words);
                }
            }
            (None, Err(error)) => {
                tracing::info!(client = client.id(), %method, %error, "a notification was refused")
            }
            // Replied to by the session, or a notification.
            _ => {}
        }
        Ok(())
    }

    /// `Ok(None)`: somebody else replies.
    async fn method(
        self: &Arc<Self>,
        client: &Arc<Client>,
        method: &str,
        id: Option<&Value>,
        params: Option<&RawValue>,
    ) -> Result<Option<String>, RpcError> {
        if !client.is_initialized() && !matches!(method, "initialize" | "reconnect" | "ping") {
            return Err(RpcError::invalid_request(
                "the first request must be `initialize`",
            ));
        }
        if !narrow::may_call(client.trust(), method) {
            let why = "a device may not do this";
            self.shared.record_refusal(client, None, method, why);
            return Err(no_method(method));
        }
        if client.trust() == Trust::Agent && matches!(method, "createSession" | "disposeSession") {
            self.shared
                .record_refusal(client, None, method, AGENT_MAY_ONLY_READ);
            return Err(RpcError::denied(AGENT_MAY_ONLY_READ));
        }
        let id_or_null = || id.cloned().unwrap_or_default();
        match method {
            "initialize" => {
                self.initialize(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "reconnect" => {
                self.reconnect(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "subscribe" => {
                self.subscribe(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "unsubscribe" => {
                let params: UnsubscribeParams = rpc::params(params)?;
                self.unsubscribe(client, &params.channel).await;
                done(&json!({}))
            }
            "listSessions" => self.list_sessions(client, &rpc::params(params)?).await,
            "createSession" => self.create_session(client, rpc::params(params)?).await,
            "disposeSession" => {
                let params: DisposeSessionParams = rpc::params(params)?;
                let disposed = match session_of_channel(&params.channel) {
                    Some(id) => self.dispose_session(id, client.who()).await,
                    None => false,
                };
                match disposed {
                    true => done(&json!(null)),
                    false => Err(RpcError::session_not_found(&params.channel)),
                }
            }
            "fetchTurns" => {
                let params: FetchTurnsParams = rpc::params(params)?;
                let input = Input::FetchTurns {
                    client: Arc::clone(client),
                    request_id: id_or_null(),
                    cursor: params.cursor,
                };
                self.to_session(client, &params.channel, input).await?;
                Ok(None)
            }
            "resourceRead" => self.resource_read(client, rpc::params(params)?).await,
            "dispatchAction" => {
                self.dispatch_action(client, rpc::params(params)?).await?;
                Ok(None)
            }
            "completions" => {
                self.completions(client, id_or_null(), rpc::params(params)?)
                    .await
            }
            "ping" => done(&json!(null)),
            other => Err(no_method(other)),
        }
    }

    async fn to_session(
        self: &Arc<Self>,
        client: &Client,
        channel: &str,
        input: Input,
    ) -> Result<(), RpcError> {
        let handle = self.session_behind(client, channel).await?;
        let sent = handle.inputs.send(input).await;
        sent.map_err(|_| RpcError::session_not_found(channel))
    }

    /// The session of a channel, if it is there for the client.
    async fn session_behind(
        self: &Arc<Self>,
        client: &Client,
        channel: &str,
    ) -> Result<SessionHandle, RpcError> {
        let handle = match session_of_channel(channel) {
            Some(id) if self.is_there_for(client, id) => self.find(id).await,
            _ => None,
        };
        handle.ok_or_else(|| RpcError::session_not_found(channel))
    }

    async fn dispatch_action(
        self: &Arc<Self>,
        client: &Arc<Client>,
        params: DispatchActionParams,
    ) -> Result<(), RpcError> {
        let DispatchActionParams {
            channel,
            client_seq,
            action,
        } = params;
        let origin = ActionOrigin {
            client_id: client.identity().client_id,
            client_seq,
        };
        let known = match session_of_channel(&channel) {
            Some(id) if self.is_there_for(client, id) => self.find(id).await.is_some(),
            _ => false,
        };
        // What cannot be kept is refused, not forgotten. Stopping what fills the disk is not.
        let no_space = match &action {
            StateAction::ChatTurnCancelled(_) => None,
            _ => self.shared.store.has_space().err(),
        };
        if !known || channel.starts_with("ahp-terminal:") || no_space.is_some() {
            let reason = match (known, no_space) {
                (true, Some(no_space)) => no_space.to_string(),
                (true, None) => "the output of a command takes no input".to_owned(),
                (false, _) => super::no_session_behind(&channel),
            };
            self.reject(client, &channel, &action, &origin, &reason);
            return Ok(());
        }
        let input = Input::Dispatch {
            client: Arc::clone(client),
            channel: channel.clone(),
            origin,
            action: Box::new(action),
        };
        self.to_session(client, &channel, input).await
    }

    fn reject(
        &self,
        client: &Client,
        channel: &str,
        action: &StateAction,
        origin: &ActionOrigin,
        reason: &str,
    ) {
        self.shared.sequencer.send_to(
            client.outbound(),
            channel,
            action,
            Some(origin),
            Some(reason),
        );
    }
}

fn no_method(method: &str) -> RpcError {
    let message = format!("this host has no method `{method}`");
    RpcError::new(json_rpc_error_codes::METHOD_NOT_FOUND, message)
}

fn done(result: &impl serde::Serialize) -> Result<Option<String>, RpcError> {
    let encoded = serde_json::to_string(result);
    encoded
        .map(Some)
        .map_err(|e| RpcError::internal(format!("the reply could not be encoded: {e}")))
}
