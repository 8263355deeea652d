//! Starting, stopping and resuming a turn.

use ahp_types::actions::*;
use ahp_types::state::*;

use super::{Admitted, Context, Rejection, message, new_id, shown};

pub(super) fn turn_started(
    ctx: &Context<'_>,
    a: &ChatTurnStartedAction,
) -> Result<Admitted, Rejection> {
    let id = new_id(&a.turn_id, "turn")?;
    let active = ctx.chat.active_turn.as_ref().map(|t| t.id.as_str());
    if active == Some(id) || ctx.chat.turns.iter().any(|t| t.id == id) {
        return Err(format!("duplicate: the turn {id} was started before"));
    }
    if active.is_some() {
        return Err("a turn is running; queue the message or steer the running turn".into());
    }
    if a.queued_message_id.is_some() {
        return Err("only the host starts queued messages".into());
    }
    Ok(Admitted::StartTurn(ChatTurnStartedAction {
        turn_id: id.to_owned(),
        started_at: ctx.now.to_owned(),
        message: message(&a.message, false)?,
        queued_message_id: None,
        meta: None,
    }))
}

pub(super) fn turn_cancelled(
    ctx: &Context<'_>,
    a: &ChatTurnCancelledAction,
) -> Result<Admitted, Rejection> {
    match &ctx.chat.active_turn {
        Some(turn) if turn.id == a.turn_id && ctx.cancelling => {
            Err("duplicate: this turn is being cancelled already".into())
        }
        Some(turn) if turn.id == a.turn_id => Ok(Admitted::Cancel(turn.id.clone())),
        _ if ctx.chat.turns.iter().any(|t| t.id == a.turn_id) => {
            Err("this turn has ended already".into())
        }
        _ => Err(format!(
            "there is no turn {} in this chat",
            shown(&a.turn_id)
        )),
    }
}

pub(super) fn turn_resumed(
    ctx: &Context<'_>,
    a: &ChatTurnResumeAction,
) -> Result<Admitted, Rejection> {
    match &ctx.chat.active_turn {
        Some(turn) if turn.id == a.turn_id => {
            return Err("duplicate: this turn goes on already".into());
        }
        Some(_) => return Err("a turn is running; queue a message instead".into()),
        None => {}
    }
    let resumable = ctx.chat.turns.last().is_some_and(|turn| {
        let error = turn.response_parts.last();
        turn.id == a.turn_id
            && turn.state == TurnState::Error
            && matches!(error, Some(ResponsePart::Error(e)) if e.resumable == Some(true))
    });
    match resumable {
        true => Ok(Admitted::Resume(a.clone())),
        false => Err("only the last turn can go on, and only when it was interrupted".into()),
    }
}
