//! `copilot send ID TEXT`: a prompt from a script; a busy session queues it. And
//! `copilot send ID --continue`: go on with an interrupted turn.

use ahp_types::actions::{ChatPendingMessageSetAction, ChatTurnResumeAction, StateAction};
use ahp_types::state::PendingMessageKind;
use ipc_proto::paths::Paths;

use super::{confirmed, connected_with_environment, find_session};
use crate::client::{Attached, Identity, Mirror, user_message};
use crate::error::{CliError, Exit};

/// Sends the text, or continues the interrupted turn when there is none.
pub(super) async fn run(
    paths: &Paths,
    session: &str,
    text: Option<String>,
) -> Result<Exit, CliError> {
    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(CliError::usage("there is nothing to send"));
    }
    let identity = Identity::command("send");
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = find_session(&mut client, session).await?;
    let mut attached = Attached::subscribe(client, &session.resource, Some(1)).await?;
    let (action, refused) = match text {
        // Queueing and starting are one input: an idle session starts what is queued
        // at once, so there is no moment in which the other would have been right.
        Some(text) => {
            let action = ChatPendingMessageSetAction {
                kind: PendingMessageKind::Queued,
                id: uuid::Uuid::new_v4().to_string(),
                message: user_message(text),
            };
            let action = StateAction::ChatPendingMessageSet(action);
            (action, "the text was not taken")
        }
        None => (
            resume(attached.mirror())?,
            "the interrupted turn was not continued",
        ),
    };
    let input = attached.dispatch(action).await?;
    match confirmed(&mut attached, input).await? {
        Ok(()) => Ok(Exit::Done),
        Err(reason) => Err(CliError::new(format!("{refused}: {reason}"))),
    }
}

fn resume(mirror: &Mirror) -> Result<StateAction, CliError> {
    if let Some(turn) = mirror.interrupted_turn() {
        return Ok(StateAction::ChatTurnResume(ChatTurnResumeAction {
            turn_id: turn.to_owned(),
        }));
    }
    Err(if mirror.active_turn().is_some() {
        CliError::new("there is no interrupted turn to continue: a turn is running")
    } else {
        CliError::new("there is no interrupted turn to continue")
            .hint("`copilot send ID TEXT` sends a prompt")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{CHAT, envelope, interrupted, mirror};

    #[test]
    fn only_an_interrupted_turn_is_continued() {
        let mut mirror = mirror();
        assert!(resume(&mirror).is_err());
        let start = json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "2025-01-01T00:00:00.000Z",
            "message": {"text": "hi", "origin": {"kind": "user"}}});
        mirror.apply(&envelope(CHAT, 11, start));
        let running = resume(&mirror).unwrap_err();
        assert!(
            running.message().ends_with("a turn is running"),
            "{running}"
        );
        mirror.apply(&envelope(CHAT, 12, interrupted("t")));
        assert_eq!(
            serde_json::to_value(resume(&mirror).unwrap()).unwrap(),
            json!({"type": "chat/turnResume", "turnId": "t"})
        );
    }
}
