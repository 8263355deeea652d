//! Answers to questions, and drafts of them.

use std::collections::HashMap;

use ahp_types::actions::*;
use ahp_types::state::*;

use super::{Admitted, Context, MAX_TEXT_BYTES, Rejection, answer, answered_before, shown};
use crate::session::plan;

pub(super) fn input_completed(
    ctx: &Context<'_>,
    a: &ChatInputCompletedAction,
) -> Result<Admitted, Rejection> {
    let choice = choice_of(a, a.answers.as_ref());
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
    if plan::is_plan(&a.request_id) {
        plan::answer(a.response, answers.as_ref())?;
    }
    // What was drafted before counts too.
    let choice = answers
        .as_ref()
        .map_or(choice, |answers| choice_of(a, Some(answers)));
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

pub(super) fn input_answer_changed(
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
            left_out => match default_of(question).filter(|_| left_out.is_none()) {
                Some(value) => {
                    let given = ChatInputAnswered { value };
                    complete.insert(id.clone(), ChatInputAnswer::Submitted(given));
                }
                None => return Err(format!("the question {} needs an answer", shown(id))),
            },
        }
    }
    Ok(complete)
}

/// The answer that a question proposes, if it is one that the question takes. It counts when a
/// question that needs an answer gets none.
fn default_of(question: &ChatInputQuestion) -> Option<ChatInputAnswerValue> {
    use ChatInputAnswerValue as V;
    use ChatInputQuestion as Q;
    let recommended = |options: &[ChatInputOption]| -> Vec<String> {
        let options = options.iter().filter(|o| o.recommended == Some(true));
        options.map(|o| o.id.clone()).collect()
    };
    let value = match question {
        Q::Text(q) => V::Text(ChatInputTextAnswerValue {
            value: q.default_value.clone()?,
        }),
        Q::Number(q) | Q::Integer(q) => V::Number(ChatInputNumberAnswerValue {
            value: q.default_value?,
        }),
        Q::Boolean(q) => V::Boolean(ChatInputBooleanAnswerValue {
            value: q.default_value?,
        }),
        Q::SingleSelect(q) => V::Selected(ChatInputSelectedAnswerValue {
            value: recommended(&q.options).into_iter().next()?,
            freeform_values: None,
        }),
        Q::MultiSelect(q) => V::SelectedMany(ChatInputSelectedManyAnswerValue {
            value: Some(recommended(&q.options)).filter(|ids| !ids.is_empty())?,
            freeform_values: None,
        }),
        Q::Unknown(_) => return None,
    };
    check_answer(question, &value).is_ok().then_some(value)
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

/// How an answer is shown in one word.
fn choice_of(
    a: &ChatInputCompletedAction,
    answers: Option<&HashMap<String, ChatInputAnswer>>,
) -> String {
    match a.response {
        ChatInputResponseKind::Decline => "decline".to_owned(),
        ChatInputResponseKind::Cancel => "cancel".to_owned(),
        ChatInputResponseKind::Accept if plan::is_plan(&a.request_id) => {
            plan::answer(a.response, answers)
                .map_or("accept", |a| a.choice())
                .to_owned()
        }
        ChatInputResponseKind::Accept => choice_in(answers),
    }
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

/// The id of a question of any kind.
fn question_id(question: &ChatInputQuestion) -> Option<&String> {
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
