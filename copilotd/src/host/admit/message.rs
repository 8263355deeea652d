//! Messages of people, and those that wait: queued, steering, taken back.

use ahp_types::actions::*;
use ahp_types::state::*;

use crate::session::commands;

use super::{Admitted, Context, MAX_QUEUED, MAX_TEXT_BYTES, Rejection, new_id};

pub(super) fn pending_message_set(
    ctx: &Context<'_>,
    a: &ChatPendingMessageSetAction,
) -> Result<Admitted, Rejection> {
    let id = new_id(&a.id, "message")?;
    let message = message(&a.message, false)?;
    if ctx.chat.turns.iter().any(|t| t.id == id)
        || ctx.chat.active_turn.as_ref().is_some_and(|t| t.id == id)
    {
        return Err("duplicate: this message was started before".into());
    }
    if ctx.spent.iter().any(|spent| spent == id) {
        return Err("duplicate: this message was taken back, or the agent has it".into());
    }
    let queued = ctx.chat.queued_messages.as_deref().unwrap_or_default();
    match a.kind {
        PendingMessageKind::Steering => match &ctx.chat.steering_message {
            Some(waiting) if waiting.id == id => {
                return Err("duplicate: this message is waiting already".into());
            }
            Some(_) => {
                return Err("another steering message is waiting; queue this one, or take the other back first".into());
            }
            None if queued.iter().any(|m| m.id == id) => {
                return Err("duplicate: this message is queued already".into());
            }
            None => {}
        },
        PendingMessageKind::Queued => {
            if ctx
                .chat
                .steering_message
                .as_ref()
                .is_some_and(|m| m.id == id)
            {
                return Err("duplicate: this message is waiting already".into());
            }
            match queued.iter().find(|m| m.id == id) {
                Some(same) if same.message == message => {
                    return Err("duplicate: this message is queued already".into());
                }
                Some(_) => {}
                None if queued.len() >= MAX_QUEUED => {
                    return Err(format!(
                        "{MAX_QUEUED} messages are queued; take one back first"
                    ));
                }
                None => {}
            }
        }
    }
    Ok(Admitted::Pend(ChatPendingMessageSetAction {
        kind: a.kind,
        id: id.to_owned(),
        message,
    }))
}

pub(super) fn pending_message_removed(
    ctx: &Context<'_>,
    a: &ChatPendingMessageRemovedAction,
) -> Result<Admitted, Rejection> {
    let there = match a.kind {
        PendingMessageKind::Steering => {
            if ctx.steering_handed_over == Some(a.id.as_str()) {
                return Err("the agent has this message already".into());
            }
            ctx.chat
                .steering_message
                .as_ref()
                .is_some_and(|m| m.id == a.id)
        }
        PendingMessageKind::Queued => ctx
            .chat
            .queued_messages
            .iter()
            .flatten()
            .any(|m| m.id == a.id),
    };
    match there {
        true => Ok(Admitted::TakeBack(a.clone())),
        false => Err("this message does not wait any more".into()),
    }
}

/// The reducer sorts what the order leaves out by id; the host always names everything.
pub(super) fn queued_messages_reordered(
    ctx: &Context<'_>,
    a: &ChatQueuedMessagesReorderedAction,
) -> Result<Admitted, Rejection> {
    let queued: Vec<&String> = ctx
        .chat
        .queued_messages
        .iter()
        .flatten()
        .map(|m| &m.id)
        .collect();
    if queued.is_empty() {
        return Err("nothing is queued".into());
    }
    let mut order: Vec<String> = Vec::with_capacity(queued.len());
    for id in a.order.iter().chain(queued.iter().copied()) {
        if queued.contains(&id) && !order.contains(id) {
            order.push(id.clone());
        }
    }
    Ok(Admitted::Apply(StateAction::ChatQueuedMessagesReordered(
        ChatQueuedMessagesReorderedAction { order },
    )))
}

/// A client's message in the host's wording: text and model only.
pub(super) fn message(m: &Message, may_be_empty: bool) -> Result<Message, Rejection> {
    if m.origin.kind != MessageKind::User {
        return Err("a client sends messages of a user only".into());
    }
    let completed = |all: &Vec<MessageAttachment>| all.iter().all(commands::is_completed);
    if !m.attachments.as_ref().is_none_or(completed) {
        return Err("attachments are not supported; name the files in the text".into());
    }
    if m.agent.is_some() {
        return Err("an agent is chosen when the session is created, not with a message".into());
    }
    if !may_be_empty && m.text.trim().is_empty() {
        return Err("the message is empty".into());
    }
    if m.text.len() > MAX_TEXT_BYTES {
        return Err(format!(
            "the message has more than {} KiB",
            MAX_TEXT_BYTES / 1024
        ));
    }
    let model = match &m.model {
        Some(model)
            if model.id.is_empty()
                || model.id.len() > 200
                || model.id.chars().any(char::is_control) =>
        {
            return Err("this is not the name of a model".into());
        }
        Some(model) => Some(ModelSelection {
            id: model.id.clone(),
            config: None,
        }),
        None => None,
    };
    Ok(Message {
        text: m.text.clone(),
        origin: MessageOrigin {
            kind: MessageKind::User,
        },
        attachments: None,
        model,
        agent: None,
        meta: None,
    })
}
