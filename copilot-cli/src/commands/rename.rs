//! `copilot sessions rename ID NAME`: another title, which no agent changes again.

use ahp_types::actions::{SessionTitleChangedAction, StateAction};
use ipc_proto::paths::Paths;

use super::{confirmed, connected, find_session};
use crate::client::{Attached, Identity};
use crate::error::{CliError, Exit};

pub(super) async fn run(paths: &Paths, session: &str, name: &str) -> Result<Exit, CliError> {
    let title = name.trim();
    if title.is_empty() {
        return Err(CliError::usage("a session cannot have an empty title"));
    }
    let mut client = connected(paths, &Identity::command("sessions rename")).await?;
    let session = find_session(&mut client, session).await?;
    let mut attached = Attached::subscribe(client, &session.resource, Some(1)).await?;
    let action = StateAction::SessionTitleChanged(SessionTitleChangedAction {
        title: title.to_owned(),
    });
    let input = attached.dispatch(action).await?;
    match confirmed(&mut attached, input).await? {
        Ok(()) => Ok(Exit::Done),
        Err(reason) => Err(CliError::new(format!(
            "the session was not renamed: {reason}"
        ))),
    }
}
