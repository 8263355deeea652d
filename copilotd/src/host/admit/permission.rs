//! Answers to permission requests.

use ahp_types::actions::*;
use ahp_types::state::*;

use super::{
    Admitted, Context, MAX_TEXT_BYTES, Rejection, answer, answered_before, message, shown,
    tool_call_id,
};

pub(super) fn tool_call_confirmed(
    ctx: &Context<'_>,
    a: &ChatToolCallConfirmedAction,
) -> Result<Admitted, Rejection> {
    let id = &a.tool_call_id;
    let choice_of = |option: &ConfirmationOption| option.id.clone();
    if let Some(answer) = ctx.answers.get(id) {
        let approved = !answer.choice.starts_with("deny");
        let named = a.selected_option_id.as_ref();
        let same = a.approved == approved && named.is_none_or(|named| *named == answer.choice);
        return Err(answered_before(ctx, answer, same));
    }
    let Some(turn) = ctx.chat.active_turn.as_ref().filter(|t| t.id == a.turn_id) else {
        return Err(format!(
            "there is no open permission request {} in this chat",
            shown(id)
        ));
    };
    let call = turn.response_parts.iter().find_map(|part| match part {
        ResponsePart::ToolCall(p) if tool_call_id(&p.tool_call) == Some(id) => Some(&p.tool_call),
        _ => None,
    });
    let pending = match call {
        Some(ToolCallState::PendingConfirmation(pending)) => pending,
        Some(_) => return Err("this tool call needs no answer".into()),
        None => {
            return Err(format!(
                "there is no open permission request {} in this chat",
                shown(id)
            ));
        }
    };
    if ctx.cancelling {
        return Err("the turn is being cancelled".into());
    }
    let option = confirmation_option(pending, a)?;
    if a.edited_tool_input.is_some() && pending.editable != Some(true) {
        return Err("the input of this tool call cannot be edited".into());
    }
    if a.edited_tool_input.is_some() && !a.approved {
        return Err("an edited input goes with an approval, not with a denial".into());
    }
    if a.edited_tool_input
        .as_ref()
        .is_some_and(|input| input.len() > MAX_TEXT_BYTES)
    {
        return Err(format!(
            "the input has more than {} KiB",
            MAX_TEXT_BYTES / 1024
        ));
    }
    let words = a
        .user_suggestion
        .as_ref()
        .map(|m| message(m, false))
        .transpose()?;
    if a.approved && words.is_some() {
        return Err("words for the agent go with a denial, not with an approval".into());
    }
    let choice = option.as_ref().map_or_else(
        || if a.approved { "approve" } else { "deny" }.to_owned(),
        choice_of,
    );
    if choice == "deny-with-words" && words.is_none() {
        return Err("say what the agent should do instead, or choose `deny`".into());
    }
    let answer = answer(ctx, choice);
    let mut meta = pending.meta.clone().unwrap_or_default();
    meta.insert("copilot.answeredBy".into(), answer.to_json());
    let action = ChatToolCallConfirmedAction {
        turn_id: turn.id.clone(),
        tool_call_id: id.clone(),
        meta: Some(meta),
        approved: a.approved,
        confirmed: a.approved.then_some(ToolCallConfirmationReason::UserAction),
        reason: (!a.approved).then_some(ToolCallCancellationReason::Denied),
        edited_tool_input: a.edited_tool_input.clone(),
        user_suggestion: words,
        reason_message: None,
        selected_option_id: option.map(|o| o.id),
    };
    Ok(Admitted::Confirm { action, answer })
}

/// The option that was chosen; with none named, the first of the right kind.
fn confirmation_option(
    pending: &ToolCallPendingConfirmationState,
    a: &ChatToolCallConfirmedAction,
) -> Result<Option<ConfirmationOption>, Rejection> {
    let options = pending.options.as_deref().unwrap_or_default();
    let ids = || {
        let ids: Vec<&str> = options.iter().map(|o| o.id.as_str()).collect();
        ids.join(", ")
    };
    let (wanted, word) = match a.approved {
        true => (ConfirmationOptionKind::Approve, "an approval"),
        false => (ConfirmationOptionKind::Deny, "a denial"),
    };
    match &a.selected_option_id {
        None if options.is_empty() => Ok(None),
        None => match options.iter().find(|o| o.kind == wanted) {
            Some(option) => Ok(Some(option.clone())),
            None => Err(format!("none of the choices ({}) is {word}", ids())),
        },
        Some(id) => match options.iter().find(|o| &o.id == id) {
            Some(option) if option.kind == wanted => Ok(Some(option.clone())),
            Some(option) => Err(format!("the choice {} does not go with {word}", option.id)),
            None => Err(format!(
                "{} is not one of the choices ({})",
                shown(id),
                ids()
            )),
        },
    }
}
