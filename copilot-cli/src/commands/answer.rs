//! `copilot answer ID REQUEST CHOICE`: answer a permission or a question.
//!
//! Says 0 only when the host has confirmed that this answer is the one that counts.

use ipc_proto::paths::Paths;

use super::{confirmed, connected, find_session};
use crate::args::AnswerArgs;
use crate::client::{
    Answered, Attached, ChoiceError, Identity, Mirror, OpenRequest, find_request, open_requests,
    resolve_choice, session_answer, short_id,
};
use crate::error::{CliError, Exit};
use crate::output::Output;

pub(super) async fn run(
    paths: &Paths,
    args: AnswerArgs,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let identity = Identity::command("answer");
    let mut client = connected(paths, &identity).await?;
    let session = find_session(&mut client, &args.session).await?;
    let mut attached = Attached::subscribe(client, &session.resource, Some(1)).await?;
    let requests = attached
        .mirror()
        .chat()
        .map(open_requests)
        .unwrap_or_default();
    let request = find(
        &requests,
        &args.request,
        attached.mirror(),
        &short_id(&session.resource),
    )?;
    let answer =
        resolve_choice(request, &args.choice, args.text.as_deref()).map_err(choice_error)?;
    let input = attached.dispatch(answer.into_action()).await?;
    match confirmed(&mut attached, input).await? {
        Ok(()) => {
            out.note(&match attached.mirror().answer(request.id()) {
                Some(answered) => crate::text::one_line(&answered.to_string()),
                None => "answered".to_owned(),
            });
            Ok(Exit::Done)
        }
        Err(reason) => Err(CliError::new(reason)),
    }
}

fn choice_error(error: ChoiceError) -> CliError {
    match error {
        ChoiceError::WordsMissing(_) => {
            CliError::usage(error.to_string()).hint("say it with --text WORDS")
        }
        _ => CliError::usage(error.to_string()),
    }
}

/// The open request that was named, or why there is none.
fn find<'a>(
    requests: &'a [OpenRequest],
    wanted: &str,
    mirror: &Mirror,
    session: &str,
) -> Result<&'a OpenRequest, CliError> {
    if let Some(request) = find_request(requests, wanted).map_err(choice_error)? {
        return Ok(request);
    }
    if let Some((id, answered)) = earlier_answer(mirror, wanted) {
        return Err(CliError::new(format!(
            "the request {id} was already {answered}"
        )));
    }
    Err(if requests.is_empty() {
        // Who asks for the next one may have lost a race for it.
        CliError::new(match last_answer(mirror) {
            Some((id, answered)) if wanted == "next" => format!(
                "the session waits for no answer; the last request, {id}, was already {answered}"
            ),
            _ => "the session waits for no answer".to_owned(),
        })
    } else {
        let ids: Vec<_> = requests.iter().map(OpenRequest::id).collect();
        CliError::new(format!("no open request has the id `{wanted}`"))
            .hint(format!("open are: {}", ids.join(", ")))
    }
    .cause(format!("session {session}")))
}

/// The request that was answered last.
fn last_answer(mirror: &Mirror) -> Option<(String, Answered)> {
    let session = mirror.session()?;
    let answers = session.meta.as_ref()?.get("copilot.answers")?.as_object()?;
    // RFC 3339 in UTC sorts as text.
    let (id, _) = answers
        .iter()
        .max_by_key(|(_, entry)| entry.get("at").and_then(|at| at.as_str()))?;
    Some((id.clone(), session_answer(session, id)?))
}

/// Who answered the request with this id, or the beginning of one, earlier.
fn earlier_answer(mirror: &Mirror, wanted: &str) -> Option<(String, Answered)> {
    let session = mirror.session()?;
    let answers = session.meta.as_ref()?.get("copilot.answers")?.as_object()?;
    let mut ids = answers
        .keys()
        .filter(|id| !wanted.is_empty() && id.starts_with(wanted));
    let id = ids.next()?;
    if ids.next().is_some() && !answers.contains_key(wanted) {
        return None;
    }
    let id = if answers.contains_key(wanted) {
        wanted
    } else {
        id
    };
    Some((id.to_owned(), session_answer(session, id)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{SESSION, envelope, mirror};

    #[test]
    fn a_request_that_was_answered_says_by_whom() {
        let mut mirror = mirror();
        mirror.apply(&envelope(SESSION, 11, json!({"type": "session/metaChanged", "_meta": {
            "copilot.answers": {"call-1": {"by": {"name": "terminal pts/3", "trust": "local"},
                                           "at": "2025-01-01T00:00:00Z", "choice": "allow-once"}}}})));
        let error = find(&[], "call", &mirror, "aaaa").unwrap_err();
        assert_eq!(
            error.message(),
            "the request call-1 was already answered by terminal pts/3: allow-once"
        );
        assert_eq!(error.exit(), Exit::Failed);
        let error = find(&[], "next", &mirror, "aaaa").unwrap_err();
        assert_eq!(
            error.message(),
            "the session waits for no answer; the last request, call-1, was already answered by terminal pts/3: allow-once"
        );
        let error = find(&[], "other", &mirror, "aaaa").unwrap_err();
        assert_eq!(error.message(), "the session waits for no answer");
    }
}
