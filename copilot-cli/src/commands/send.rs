//! `copilot send ID TEXT`: a prompt from a script. A busy session queues it.

use ahp_types::actions::{ChatPendingMessageSetAction, StateAction};
use ahp_types::state::PendingMessageKind;
use ipc_proto::paths::Paths;

use super::{confirmed, connected_with_environment, find_session};
use crate::client::{Attached, Identity, user_message};
use crate::error::{CliError, Exit};

pub(super) async fn run(paths: &Paths, session: &str, text: String) -> Result<Exit, CliError> {
    if text.trim().is_empty() {
        return Err(CliError::usage("there is nothing to send"));
    }
    let identity = Identity::command("send");
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = find_session(&mut client, session).await?;
    let mut attached = Attached::subscribe(client, &session.resource, Some(1)).await?;
    // Queueing and starting are one input: an idle session starts what is queued at
    // once, so there is no moment in which the other would have been right.
    let input = attached
        .dispatch(StateAction::ChatPendingMessageSet(
            ChatPendingMessageSetAction {
                kind: PendingMessageKind::Queued,
                id: uuid::Uuid::new_v4().to_string(),
                message: user_message(text),
            },
        ))
        .await?;
    match confirmed(&mut attached, input).await? {
        Ok(()) => Ok(Exit::Done),
        Err(reason) => Err(CliError::new(format!("the text was not taken: {reason}"))),
    }
}
