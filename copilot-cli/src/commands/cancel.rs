//! `copilot cancel ID` and `copilot sessions stop ID`: end the current turn.

use std::time::Duration;

use ahp_types::actions::{ChatTurnCancelledAction, StateAction};
use ipc_proto::paths::Paths;

use super::{connected, find_session};
use crate::client::{Attached, Identity, Update};
use crate::error::{CliError, Exit};
use crate::output::Output;

/// How long the turn may take to end; the daemon kills its processes after 3 s.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(
    paths: &Paths,
    verb: &str,
    session: &str,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let identity = Identity::command(verb);
    let mut client = connected(paths, &identity).await?;
    let session = find_session(&mut client, session).await?;
    let mut attached = Attached::subscribe(client, &session.resource, Some(1)).await?;
    let Some(turn) = attached.mirror().active_turn().map(str::to_owned) else {
        out.note("the session is not working on anything");
        return Ok(Exit::Done);
    };
    let input = attached
        .dispatch(StateAction::ChatTurnCancelled(ChatTurnCancelledAction {
            turn_id: turn.clone(),
            duration: 0,
            meta: None,
        }))
        .await?;
    let ended = async {
        // The turn may also end by itself before the cancel arrives, which is as good.
        while attached.mirror().active_turn() == Some(turn.as_str()) {
            match attached.next().await? {
                Update::Rejected { input: seq, reason }
                    if seq == input && attached.mirror().active_turn() == Some(&turn) =>
                {
                    return Err(CliError::new(format!(
                        "the turn was not cancelled: {reason}"
                    )));
                }
                Update::Removed => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, ended).await.map_err(|_| {
        CliError::new("the turn did not end in time")
            .hint("`copilot sessions close ID` ends its agent")
    })??;
    Ok(Exit::Done)
}
