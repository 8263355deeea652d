//! What a client may do to a session: decided here, before any reducer runs.
//!
//! The reducers apply, they do not validate. [`admit`] is the allow-list in front of them: pure,
//! with a table of tests for every client action. It turns an action into what the session is to
//! do, in the host's own words (client `_meta` dropped, who answered and how filled in), or into a
//! sentence that says why not.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::*;
use serde_json::{Value, json};

use super::identity::{AGENT_MAY_ONLY_READ, Identity, Trust};
use crate::remote::narrow;
use crate::session::mode::{self, Mode};
use crate::session::remote;

/// Longest text of a message or draft, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// Messages that may wait in the queue.
pub const MAX_QUEUED: usize = 100;
const MAX_ID_BYTES: usize = 128;

/// The option of a permission that allows it in this repository for good.
pub const ALLOW_HERE: &str = "allow-here";

/// An answer that a permission or question got.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The answering client's id; correlates a retry.
    pub client_id: String,
    /// Name shown to others; `policy` when a rule decided.
    pub name: String,
    /// `local`, `remote` or `policy`.
    pub trust: String,
    /// Option id, or `accept` / `decline` / `cancel`.
    pub choice: String,
    /// When, RFC 3339.
    pub at: String,
}

impl Answer {
    /// As it appears in `_meta`.
    pub fn to_json(&self) -> Value {
        json!({"name": self.name, "trust": self.trust, "choice": self.choice, "at": self.at})
    }
}

/// What [`admit`] may look at.
pub struct Context<'a> {
    /// The session's reduced state.
    pub session: &'a SessionState,
    /// Its chat's reduced state.
    pub chat: &'a ChatState,
    /// URI of the session channel.
    pub session_uri: &'a str,
    /// Who asks.
    pub identity: &'a Identity,
    /// Answers given so far, by request id.
    pub answers: &'a HashMap<String, Answer>,
    /// Id of the steering message that the agent holds, which cannot be taken back.
    pub steering_handed_over: Option<&'a str>,
    /// Ids of messages that were taken back or joined a turn.
    pub spent: &'a VecDeque<String>,
    /// Whether a cancel is under way.
    pub cancelling: bool,
    /// Why this session may not be reached from elsewhere; asked for when it is being turned on.
    pub remote_refused: Option<&'a str>,
    /// The file that forbids to allow everything, when there is one.
    pub allow_all_forbidden_by: Option<&'a Path>,
    /// The host's clock, RFC 3339.
    pub now: &'a str,
}

/// What the session is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Admitted {
    /// Reduce and publish this action.
    Apply(StateAction),
    /// Start a turn.
    StartTurn(ChatTurnStartedAction),
    /// Go on with an interrupted turn.
    Resume(ChatTurnResumeAction),
    /// Answer a permission request.
    Confirm {
        /// The host's own wording of the action.
        action: ChatToolCallConfirmedAction,
        /// What to remember about it.
        answer: Answer,
    },
    /// Answer a question.
    CompleteInput {
        /// The host's own wording of the action.
        action: ChatInputCompletedAction,
        /// What to remember about it.
        answer: Answer,
    },
    /// Keep a message for later, and start it when nothing runs.
    Pend(ChatPendingMessageSetAction),
    /// Change settings of the session.
    Configure(SessionConfigChangedAction),
    /// Forget a message that waits.
    TakeBack(ChatPendingMessageRemovedAction),
    /// Stop the turn of this id.
    Cancel(String),
}

/// Why not, for the client that asked. Begins with `duplicate:` when the same input already took
/// effect.
pub type Rejection = String;

/// Decides about one dispatched action.
pub fn admit(
    ctx: &Context<'_>,
    channel: &str,
    action: &StateAction,
) -> Result<Admitted, Rejection> {
    if ctx.identity.trust == Trust::Agent {
        return Err(AGENT_MAY_ONLY_READ.into());
    }
    if ctx.identity.trust == Trust::Remote {
        narrow::may_dispatch(action)?;
    }
    let on_chat = channel == ctx.chat.resource;
    let on_session = channel == ctx.session_uri;
    let name = type_of(action);
    if name.starts_with("chat/") && !on_chat || name.starts_with("session/") && !on_session {
        return Err(format!(
            "{} does not belong on the channel {}",
            shown(&name),
            shown(channel)
        ));
    }
    match action {
        StateAction::ChatTurnStarted(a) => turn_started(ctx, a),
        StateAction::ChatTurnCancelled(a) => turn_cancelled(ctx, a),
        StateAction::ChatTurnResume(a) => turn_resumed(ctx, a),
        StateAction::ChatToolCallConfirmed(a) => tool_call_confirmed(ctx, a),
        StateAction::ChatInputCompleted(a) => input_completed(ctx, a),
        StateAction::ChatInputAnswerChanged(a) => input_answer_changed(ctx, a),
        StateAction::ChatPendingMessageSet(a) => pending_message_set(ctx, a),
        StateAction::ChatPendingMessageRemoved(a) => pending_message_removed(ctx, a),
        StateAction::ChatQueuedMessagesReordered(a) => queued_messages_reordered(ctx, a),
        StateAction::ChatDraftChanged(a) => {
            let draft = a.draft.as_ref().map(|m| message(m, true)).transpose()?;
            Ok(Admitted::Apply(StateAction::ChatDraftChanged(
                ChatDraftChangedAction { draft },
            )))
        }
        StateAction::SessionTitleChanged(a) => title_changed(a),
        StateAction::ChatIsReadChanged(_)
        | StateAction::ChatIsArchivedChanged(_)
        | StateAction::SessionIsReadChanged(_)
        | StateAction::SessionIsArchivedChanged(_) => Ok(Admitted::Apply(action.clone())),
        StateAction::SessionConfigChanged(a) => config_changed(ctx, a),
        StateAction::Unknown(value) => Err(unknown(value)),
        _ => Err(format!("only the host may send {name}")),
    }
}

fn turn_started(ctx: &Context<'_>, a: &ChatTurnStartedAction) -> Result<Admitted, Rejection> {
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

fn turn_cancelled(ctx: &Context<'_>, a: &ChatTurnCancelledAction) -> Result<Admitted, Rejection> {
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

fn turn_resumed(ctx: &Context<'_>, a: &ChatTurnResumeAction) -> Result<Admitted, Rejection> {
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

fn tool_call_confirmed(
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
    if let Some(option) = &option {
        may_choose(ctx.identity.trust, &option.id)?;
    }
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

/// Whether a connection of this trust may choose the option of a permission. What is remembered
/// for good is for people at the machine itself.
fn may_choose(trust: Trust, option: &str) -> Result<(), Rejection> {
    match (trust, option) {
        (Trust::Local, _) => Ok(()),
        (_, ALLOW_HERE) => Err("only somebody at the machine itself can allow for good".into()),
        (Trust::Remote, _) => Ok(()),
        (Trust::Agent, _) => Err(AGENT_MAY_ONLY_READ.into()),
    }
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

fn input_completed(ctx: &Context<'_>, a: &ChatInputCompletedAction) -> Result<Admitted, Rejection> {
    let choice = match a.response {
        ChatInputResponseKind::Accept => choice_in(a.answers.as_ref()),
        ChatInputResponseKind::Decline => "decline".to_owned(),
        ChatInputResponseKind::Cancel => "cancel".to_owned(),
    };
    if let Some(answer) = ctx.answers.get(&a.request_id) {
        // All of it may have been drafted before, and the choice with it.
        let sent_drafts = a.response == ChatInputResponseKind::Accept
            && a.answers.as_ref().is_none_or(HashMap::is_empty)
            && !matches!(answer.choice.as_str(), "decline" | "cancel");
        let same = choice == answer.choice || sent_drafts;
        return Err(answered_before(ctx, answer, same));
    }
    let request = open_input(ctx, &a.request_id)?;
    if ctx.cancelling {
        return Err("the turn is being cancelled".into());
    }
    let answers = match a.response {
        ChatInputResponseKind::Accept => Some(accepted_answers(request, a.answers.as_ref())?),
        _ => None,
    };
    // What was drafted before counts too.
    let choice = answers
        .as_ref()
        .map_or(choice, |answers| choice_in(Some(answers)));
    let action = ChatInputCompletedAction {
        request_id: a.request_id.clone(),
        response: a.response,
        answers,
    };
    Ok(Admitted::CompleteInput {
        action,
        answer: answer(ctx, choice),
    })
}

fn input_answer_changed(
    ctx: &Context<'_>,
    a: &ChatInputAnswerChangedAction,
) -> Result<Admitted, Rejection> {
    if let Some(answer) = ctx.answers.get(&a.request_id) {
        return Err(answered_before(ctx, answer, false));
    }
    let request = open_input(ctx, &a.request_id)?;
    if ctx.cancelling {
        return Err("the turn is being cancelled".into());
    }
    let question = request
        .questions
        .iter()
        .flatten()
        .find(|q| question_id(q) == Some(&a.question_id))
        .ok_or_else(|| {
            format!(
                "there is no question {} in this request",
                shown(&a.question_id)
            )
        })?;
    match &a.answer {
        Some(ChatInputAnswer::Submitted(given)) => check_answer(question, &given.value)?,
        Some(ChatInputAnswer::Draft(given)) => check_draft(question, &given.value)?,
        _ => {}
    }
    Ok(Admitted::Apply(StateAction::ChatInputAnswerChanged(
        ChatInputAnswerChangedAction {
            answer: a.answer.clone().map(without_skipped_words),
            ..a.clone()
        },
    )))
}

fn open_input<'a>(ctx: &Context<'a>, id: &str) -> Result<&'a ChatInputRequest, Rejection> {
    let parts = ctx.chat.active_turn.iter().flat_map(|t| &t.response_parts);
    parts
        .filter_map(|part| match part {
            ResponsePart::InputRequest(p) if p.request.id == id && p.response.is_none() => {
                Some(&p.request)
            }
            _ => None,
        })
        .next()
        .ok_or_else(|| format!("there is no open question {} in this chat", shown(id)))
}

fn accepted_answers(
    request: &ChatInputRequest,
    given: Option<&HashMap<String, ChatInputAnswer>>,
) -> Result<HashMap<String, ChatInputAnswer>, Rejection> {
    let questions = request.questions.as_deref().unwrap_or_default();
    let mut answers = request.answers.clone().unwrap_or_default();
    for (id, answer) in given.into_iter().flatten() {
        if !questions.iter().any(|q| question_id(q) == Some(id)) {
            return Err(format!(
                "there is no question {} in this request",
                shown(id)
            ));
        }
        answers.insert(id.clone(), answer.clone());
    }
    let mut complete = HashMap::new();
    for question in questions {
        let Some(id) = question_id(question) else {
            continue;
        };
        match answers.remove(id) {
            Some(ChatInputAnswer::Draft(given) | ChatInputAnswer::Submitted(given)) => {
                check_answer(question, &given.value)?;
                complete.insert(id.clone(), ChatInputAnswer::Submitted(given));
            }
            Some(skipped @ ChatInputAnswer::Skipped(_)) if !is_required(question) => {
                complete.insert(id.clone(), without_skipped_words(skipped));
            }
            None if !is_required(question) => {}
            _ => return Err(format!("the question {} needs an answer", shown(id))),
        }
    }
    Ok(complete)
}

/// Words beside a skipped question have no reader.
fn without_skipped_words(answer: ChatInputAnswer) -> ChatInputAnswer {
    match answer {
        ChatInputAnswer::Skipped(_) => ChatInputAnswer::Skipped(ChatInputSkipped {
            freeform_values: None,
        }),
        given => given,
    }
}

fn check_answer(
    question: &ChatInputQuestion,
    value: &ChatInputAnswerValue,
) -> Result<(), Rejection> {
    use ChatInputAnswerValue as V;
    use ChatInputQuestion as Q;
    let wrong = || Err("the answer is not of the kind that the question asks for".to_owned());
    match (question, value) {
        (Q::Text(q), V::Text(v)) => {
            let length = v.value.chars().count() as i64;
            if v.value.len() > MAX_TEXT_BYTES || q.max.is_some_and(|max| length > max) {
                return Err("the answer is too long".into());
            }
            if q.min.is_some_and(|min| length < min)
                || q.required == Some(true) && v.value.trim().is_empty()
            {
                return Err("the answer is too short".into());
            }
            Ok(())
        }
        (Q::Number(q) | Q::Integer(q), V::Number(v)) => {
            if !v.value.is_finite() {
                return Err("the answer is not a number".into());
            }
            if matches!(question, Q::Integer(_)) && v.value.fract() != 0.0 {
                return Err("the answer is not a whole number".into());
            }
            if q.min.is_some_and(|min| v.value < min) || q.max.is_some_and(|max| v.value > max) {
                return Err("the number is outside the range that was asked for".into());
            }
            Ok(())
        }
        (Q::Boolean(_), V::Boolean(_)) => Ok(()),
        (Q::SingleSelect(q), V::Selected(v)) => {
            let free: Vec<&String> = v.freeform_values.iter().flatten().collect();
            let is_option = q.options.iter().any(|o| o.id == v.value);
            match (q.allow_freeform_input == Some(true), free.as_slice()) {
                (_, []) if is_option => Ok(()),
                (true, []) if !v.value.is_empty() => free_text([&v.value]),
                (_, []) => Err(format!("{} is not one of the choices", shown(&v.value))),
                (false, _) => Err("this question takes no answer in other words".into()),
                (true, [words]) if v.value.is_empty() || is_option => free_text([*words]),
                (true, _) => Err("this question takes one answer".into()),
            }
        }
        (Q::SingleSelect(q), V::Text(v)) if q.allow_freeform_input == Some(true) => {
            free_text([&v.value])
        }
        (Q::MultiSelect(q), V::SelectedMany(v)) => {
            if let Some(other) = v
                .value
                .iter()
                .find(|id| !q.options.iter().any(|o| &o.id == *id))
            {
                return Err(format!("{} is not one of the choices", shown(other)));
            }
            let twice = |(at, id): &(usize, &String)| v.value[..*at].contains(*id);
            if let Some((_, id)) = v.value.iter().enumerate().find(twice) {
                return Err(format!("{} was chosen twice", shown(id)));
            }
            let free = v.freeform_values.iter().flatten().count();
            if free > 0 && q.allow_freeform_input != Some(true) {
                return Err("this question takes no answer in other words".into());
            }
            let count = (v.value.len() + free) as i64;
            if q.min.is_some_and(|min| count < min) || q.max.is_some_and(|max| count > max) {
                return Err("too few or too many choices were taken".into());
            }
            free_text(v.freeform_values.iter().flatten())
        }
        _ => wrong(),
    }
}

/// A draft is on its way to an answer: it may still be too short, too small or incomplete.
fn check_draft(
    question: &ChatInputQuestion,
    value: &ChatInputAnswerValue,
) -> Result<(), Rejection> {
    use ChatInputAnswerValue as V;
    use ChatInputQuestion as Q;
    let texts: Vec<&String> = match (question, value) {
        (Q::Text(_), V::Text(v)) => vec![&v.value],
        (Q::SingleSelect(q), V::Text(v)) if q.allow_freeform_input == Some(true) => vec![&v.value],
        (Q::Number(_) | Q::Integer(_), V::Number(v)) if v.value.is_finite() => Vec::new(),
        (Q::Boolean(_), V::Boolean(_)) => Vec::new(),
        (Q::SingleSelect(_), V::Selected(v)) => {
            let free = v.freeform_values.iter().flatten();
            free.chain([&v.value]).collect()
        }
        (Q::MultiSelect(_), V::SelectedMany(v)) => {
            let free = v.freeform_values.iter().flatten();
            free.chain(&v.value).collect()
        }
        _ => return Err("the answer is not of the kind that the question asks for".into()),
    };
    // Also an empty text takes room.
    let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
    match bytes > MAX_TEXT_BYTES {
        true => Err("the answer is too long".into()),
        false => Ok(()),
    }
}

fn free_text<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<(), Rejection> {
    for text in texts {
        if text.len() > MAX_TEXT_BYTES {
            return Err("the answer is too long".into());
        }
        if text.trim().is_empty() {
            return Err("the answer is empty".into());
        }
    }
    Ok(())
}

fn pending_message_set(
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

fn pending_message_removed(
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
fn queued_messages_reordered(
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

fn title_changed(a: &SessionTitleChangedAction) -> Result<Admitted, Rejection> {
    let title = a.title.trim();
    if title.is_empty()
        || title.chars().count() > MAX_TITLE_CHARS
        || title.chars().any(char::is_control)
    {
        return Err(format!(
            "a title has 1 to {MAX_TITLE_CHARS} characters and no line breaks"
        ));
    }
    Ok(Admitted::Apply(StateAction::SessionTitleChanged(
        SessionTitleChangedAction {
            title: title.to_owned(),
        },
    )))
}

fn config_changed(
    ctx: &Context<'_>,
    a: &SessionConfigChangedAction,
) -> Result<Admitted, Rejection> {
    if a.replace == Some(true) {
        return Err("settings of a session are changed one by one, not replaced".into());
    }
    if a.config.is_empty() {
        return Err("no setting is named".into());
    }
    let mut config = JsonObject::new();
    for (key, value) in &a.config {
        let value = match key.as_str() {
            remote::REMOTE => json!(remote_access(ctx, value)?),
            mode::MODE => {
                let name = value.as_str().ok_or("`mode` is a text")?;
                json!(name.parse::<Mode>()?.name())
            }
            mode::ALLOW_ALL => json!(allow_all(ctx, value)?),
            key if mode::FIXED.contains(&key) => {
                return Err(format!("`{key}` holds for the life of a session"));
            }
            key => return Err(format!("a session has no setting {}", shown(key))),
        };
        config.insert(key.clone(), value);
    }
    Ok(Admitted::Configure(SessionConfigChangedAction {
        config,
        replace: None,
    }))
}

/// Turning it on is for those who sit at the machine, where nothing speaks against it.
fn remote_access(ctx: &Context<'_>, value: &Value) -> Result<bool, Rejection> {
    let on = value.as_bool().ok_or("`remote` is true or false")?;
    match ctx.remote_refused {
        Some(why) if on => Err(why.to_owned()),
        _ => Ok(on),
    }
}

/// Allowing everything is for those who sit at the machine, where nothing forbids it. Ending it is
/// for everybody.
fn allow_all(ctx: &Context<'_>, value: &Value) -> Result<bool, Rejection> {
    let on = value.as_bool().ok_or("`allowAll` is true or false")?;
    if on && ctx.identity.trust != Trust::Local {
        return Err("only somebody at this machine may allow everything".into());
    }
    match ctx.allow_all_forbidden_by {
        Some(file) if on => Err(format!("{} forbids to allow everything", file.display())),
        _ => Ok(on),
    }
}

/// A client's message in the host's wording: text and model only.
fn message(m: &Message, may_be_empty: bool) -> Result<Message, Rejection> {
    if m.origin.kind != MessageKind::User {
        return Err("a client sends messages of a user only".into());
    }
    if m.attachments.as_ref().is_some_and(|a| !a.is_empty()) {
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

fn new_id<'a>(id: &'a str, what: &str) -> Result<&'a str, Rejection> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match !id.is_empty() && id.len() <= MAX_ID_BYTES && id.chars().all(fine) {
        true => Ok(id),
        false => Err(format!(
            "the {what} id must have 1 to {MAX_ID_BYTES} letters, digits, or any of - _ . :"
        )),
    }
}

fn answer(ctx: &Context<'_>, choice: String) -> Answer {
    Answer {
        client_id: ctx.identity.client_id.clone(),
        name: ctx.identity.name.clone(),
        trust: ctx.identity.trust.name().into(),
        choice,
        at: ctx.now.to_owned(),
    }
}

/// `same` says whether it is the same answer again, which is a retry when the same client gives it.
fn answered_before(ctx: &Context<'_>, answer: &Answer, same: bool) -> Rejection {
    if same && answer.client_id == ctx.identity.client_id {
        return "duplicate: this answer was given before".into();
    }
    format!("already answered by {} ({})", answer.name, answer.choice)
}

/// How an accepted question is shown in one word: the chosen option, or `accept`.
fn choice_in(answers: Option<&HashMap<String, ChatInputAnswer>>) -> String {
    let mut values = answers.into_iter().flatten().map(|(_, a)| a);
    match (values.next(), values.next()) {
        (Some(ChatInputAnswer::Submitted(a) | ChatInputAnswer::Draft(a)), None) => match &a.value {
            ChatInputAnswerValue::Selected(v) if !v.value.is_empty() => v.value.clone(),
            ChatInputAnswerValue::Boolean(v) => v.value.to_string(),
            ChatInputAnswerValue::Number(v) => v.value.to_string(),
            _ => "accept".into(),
        },
        _ => "accept".into(),
    }
}

fn unknown(value: &Value) -> Rejection {
    let name = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let known = serde_json::from_value::<ActionType>(json!(name))
        .is_ok_and(|t| !matches!(t, ActionType::Unknown(_)));
    match known {
        true => format!("malformed {name}: its fields are not those of the protocol"),
        false => format!("this host does not know the action {}", shown(name)),
    }
}

/// The wire name of an action.
pub fn type_of(action: &StateAction) -> String {
    let value = serde_json::to_value(action).unwrap_or_default();
    value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The id of a tool call in any state.
pub fn tool_call_id(call: &ToolCallState) -> Option<&String> {
    Some(match call {
        ToolCallState::Streaming(s) => &s.tool_call_id,
        ToolCallState::PendingConfirmation(s) => &s.tool_call_id,
        ToolCallState::Running(s) => &s.tool_call_id,
        ToolCallState::AuthRequired(s) => &s.tool_call_id,
        ToolCallState::PendingResultConfirmation(s) => &s.tool_call_id,
        ToolCallState::Completed(s) => &s.tool_call_id,
        ToolCallState::Cancelled(s) => &s.tool_call_id,
        ToolCallState::Unknown(_) => return None,
    })
}

/// The id of a question of any kind.
pub fn question_id(question: &ChatInputQuestion) -> Option<&String> {
    Some(match question {
        ChatInputQuestion::Text(q) => &q.id,
        ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q) => &q.id,
        ChatInputQuestion::Boolean(q) => &q.id,
        ChatInputQuestion::SingleSelect(q) => &q.id,
        ChatInputQuestion::MultiSelect(q) => &q.id,
        ChatInputQuestion::Unknown(_) => return None,
    })
}

fn is_required(question: &ChatInputQuestion) -> bool {
    let required = match question {
        ChatInputQuestion::Text(q) => q.required,
        ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q) => q.required,
        ChatInputQuestion::Boolean(q) => q.required,
        ChatInputQuestion::SingleSelect(q) => q.required,
        ChatInputQuestion::MultiSelect(q) => q.required,
        ChatInputQuestion::Unknown(_) => None,
    };
    required.unwrap_or(false)
}

/// A client's string in a message for people: short and on one line.
fn shown(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("`{clean}`")
}

/// An object with one entry.
pub fn object(key: &str, value: Value) -> JsonObject {
    JsonObject::from_iter([(key.to_owned(), value)])
}

#[cfg(test)]
mod tests;
