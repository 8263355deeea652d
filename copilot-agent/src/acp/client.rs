//! The client of a session, as turns and tools see it.

use agent_client_protocol::{
    Client, Error, is_connection_terminated, is_incoming_transport_closed,
    v1::{
        ConnectionTo,
        schema::{RequestPermissionRequest, SessionNotification, SessionUpdate, ToolCallUpdate},
    },
};
use futures_util::{FutureExt, future::BoxFuture};

use super::{elicitation, permission, transport::Gate};
use crate::tools::{Answer, Decision, Host, Question};

/// What the client said that it can do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClientAbilities {
    /// It can ask a person with a form.
    pub(super) form: bool,
    /// It shows the output of commands while they run.
    pub(super) terminal_output: bool,
    /// It wants to decide about reading inside the session's folder, too.
    pub(super) decides_reads: bool,
}

/// The connection to the client, for one session.
pub(super) struct SessionClient {
    pub(super) session: String,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) gate: Gate,
    pub(super) abilities: ClientAbilities,
}

impl Host for SessionClient {
    fn update(&self, update: SessionUpdate) -> BoxFuture<'_, ()> {
        async move {
            // Nothing may be awaited after this: who gives up waiting has not sent it.
            if !self.gate.enter().await {
                return;
            }
            let notification = SessionNotification::new(self.session.clone(), update);
            if let Err(error) = self.connection.send_notification(notification) {
                tracing::debug!(%error, "an update could not be sent");
            }
        }
        .boxed()
    }

    fn request_permission(&self, call: ToolCallUpdate) -> BoxFuture<'_, Decision> {
        async move {
            let request =
                RequestPermissionRequest::new(self.session.clone(), call, permission::options());
            match self.connection.send_request(request).block_task().await {
                Ok(response) => permission::decision(&response),
                Err(error) if is_gone(&error) => Decision::Cancelled,
                Err(error) => Decision::Denied(format!(
                    "Nobody could be asked for the permission: {}",
                    error.message
                )),
            }
        }
        .boxed()
    }

    fn ask<'a>(&'a self, call_id: &'a str, question: &'a Question) -> BoxFuture<'a, Answer> {
        async move {
            if !self.abilities.form {
                return Answer::Unavailable("the client cannot ask questions".to_owned());
            }
            let request = elicitation::request(&self.session, call_id, question);
            match self.connection.send_request(request).block_task().await {
                Ok(response) => elicitation::answer(response),
                Err(error) => Answer::Unavailable(error.message),
            }
        }
        .boxed()
    }

    fn shows_terminal_output(&self) -> bool {
        self.abilities.terminal_output
    }

    fn decides_reads(&self) -> bool {
        self.abilities.decides_reads
    }
}

/// Whether a request failed because there is no client any more.
fn is_gone(error: &Error) -> bool {
    is_incoming_transport_closed(error) || is_connection_terminated(error)
}
