//! The conversation for people, in Markdown: turn by turn, so that a long one need not be in
//! memory as text.
//!
//! Words of the agent are kept as the Markdown that they are; everything else that
//! somebody wrote goes into fences, quotes and code spans that it cannot leave.

use std::collections::HashSet;
use std::time::Duration;

use ahp_types::state::{
    ChatInputAnswer, ChatInputAnswerValue, ChatInputResponseKind, InputRequestResponsePart,
    ResponsePart, TurnState,
};
use similar::TextDiff;

use super::Contents;
use crate::client::{Answered, Mirror, question_id, question_label, question_message};
use crate::events::error_words;
use crate::text::{one_line, output_lines, sanitize, seconds, truncate};
use crate::tool_view::{Edit, ToolStatus, ToolView};
use crate::turn_view::TurnView;

/// Lines of an input or an output; of longer ones the middle is cut.
const MAX_LINES: usize = 200;
/// Lines of a change.
const MAX_DIFF_LINES: usize = 2000;
/// Columns of a line of an input, an output or a change.
const MAX_COLUMNS: usize = 2000;
/// How long a diff may take; after it a coarser one is good enough.
const DIFF_LIMIT: Duration = Duration::from_secs(2);

/// The beginning of the document: the title, and facts with their names.
pub(crate) fn heading(title: &str, facts: &[(&str, String)]) -> String {
    let title = one_line(title);
    let title = if title.is_empty() { "untitled" } else { &title };
    let mut out = format!("# {}\n\n", plain(title));
    for (name, fact) in facts {
        out.push_str(&format!("- {name}: {}\n", code(fact)));
    }
    out
}

/// The contents without which a turn cannot be written, each once.
pub(crate) fn wanted(turn: &TurnView<'_>) -> Vec<String> {
    let calls = turn.parts.iter().filter_map(|part| match part {
        ResponsePart::ToolCall(part) => ToolView::of(&part.tool_call),
        _ => None,
    });
    let mut uris = Vec::new();
    for view in calls {
        uris.extend(view.input_uri.map(str::to_owned));
        for edit in view.edits() {
            uris.extend(edit.contents().map(str::to_owned));
        }
    }
    let mut seen = HashSet::new();
    uris.retain(|uri| seen.insert(uri.clone()));
    uris
}

/// A turn, counted from 1. `mirror` knows who answered what.
pub(crate) fn turn(
    number: usize,
    turn: &TurnView<'_>,
    mirror: &Mirror,
    contents: &Contents,
) -> String {
    let mut blocks = vec![match turn.started_at {
        Some(at) => format!("## Turn {number} · {}", plain(at)),
        None => format!("## Turn {number}"),
    }];
    blocks.push(quote(&turn.message.text));
    for part in turn.parts {
        match part {
            ResponsePart::Markdown(part) => blocks.push(answer(&part.content)),
            ResponsePart::Reasoning(part) => {
                blocks.push(quote(&format!("**Reasoning**\n\n{}", part.content)));
            }
            ResponsePart::ToolCall(part) => {
                if let Some(view) = ToolView::of(&part.tool_call) {
                    tool(&view, contents, &mut blocks);
                }
            }
            ResponsePart::InputRequest(part) => {
                let answered = mirror.answer(&part.request.id);
                question(part, answered.as_ref(), turn.end.is_some(), &mut blocks);
            }
            ResponsePart::SystemNotification(part) => {
                blocks.push(quote(&format!("**Note:** {}", part.content.as_text())));
            }
            ResponsePart::Error(part) => {
                let (message, hint) = error_words(&part.error);
                let kind = code(&part.error.error_type);
                let mut words = format!("**Error** ({kind}): {message}");
                if let Some(hint) = hint {
                    words.push_str(&format!("\n\n{hint}"));
                }
                blocks.push(quote(&words));
            }
            ResponsePart::ContentRef(part) => blocks.push(format!("Content: {}", code(&part.uri))),
            ResponsePart::Unknown(_) => {}
        }
    }
    blocks.push(format!("*{}*", end(turn).join(" · ")));
    let mut out = String::new();
    for block in blocks.iter().filter(|block| !block.trim().is_empty()) {
        out.push('\n');
        out.push_str(block.trim_end());
        out.push('\n');
    }
    out
}

/// How the turn ended and what it used.
fn end(turn: &TurnView<'_>) -> Vec<String> {
    let (state, duration_ms) = match turn.end {
        Some((TurnState::Complete, ms)) => ("completed", ms),
        Some((TurnState::Cancelled, ms)) => ("cancelled", ms),
        Some((TurnState::Error, ms)) => ("failed", ms),
        None => ("still running", None),
    };
    let mut facts = vec![state.to_owned()];
    facts.extend(duration_ms.map(|ms| seconds(ms / 1000)));
    if let Some(usage) = turn.usage {
        let tokens = [
            (usage.input_tokens, "tokens in"),
            (usage.output_tokens, "tokens out"),
            (usage.cache_read_tokens, "tokens from cache"),
        ];
        for (count, what) in tokens {
            facts.extend(count.map(|count| format!("{count} {what}")));
        }
        facts.extend(usage.model.as_deref().map(plain));
    }
    facts
}

fn tool(view: &ToolView<'_>, contents: &Contents, blocks: &mut Vec<String>) {
    let name = one_line(if view.display.is_empty() {
        view.tool
    } else {
        view.display
    });
    let title = truncate(&one_line(view.title), 200);
    blocks.push(if title.is_empty() || title == name {
        format!("### {}", plain(&name))
    } else {
        format!("### {}: {}", plain(&name), plain(&title))
    });
    blocks.push(format!("*{}*", outcome(view)));
    if let Some(words) = view.suggestion {
        blocks.push(quote(words));
    }
    match (view.input, view.input_uri.and_then(|uri| contents.get(uri))) {
        (Some(input), _) => blocks.push(input_block(view, input)),
        (None, Some(Ok(input))) => blocks.push(input_block(view, input)),
        (None, Some(Err(reason))) => blocks.push(missing("input", reason)),
        (None, None) => {}
    }
    for edit in view.edits() {
        blocks.push(change(&edit, contents));
    }
    let output = bounded(output_lines(&view.text()));
    if !output.is_empty() {
        blocks.push(format!("Output:\n\n{}", fenced("text", &output)));
    }
}

/// How a tool call ended, and who let it or did not.
fn outcome(view: &ToolView<'_>) -> String {
    let mut facts = vec![
        match view.status {
            ToolStatus::Preparing => "its input was being written",
            ToolStatus::Waiting => "waits for an answer",
            ToolStatus::Running => "running",
            ToolStatus::Completed => "completed",
            ToolStatus::Failed => "failed",
            ToolStatus::Denied => "denied",
            ToolStatus::Cancelled => "cancelled",
        }
        .to_owned(),
    ];
    facts.extend(view.exit_code().map(|code| format!("exit code {code}")));
    facts.extend(view.answered.as_ref().map(|by| match by.by.as_str() {
        "policy" => format!("answered by a rule: {}", plain(&by.choice)),
        _ => plain(&by.to_string()),
    }));
    facts.extend(view.reason.map(plain));
    facts.join(" · ")
}

fn input_block(view: &ToolView<'_>, input: &str) -> String {
    let language = if view.kind() == "execute" {
        "sh"
    } else if matches!(input.trim_start().chars().next(), Some('{' | '[')) {
        "json"
    } else {
        "text"
    };
    fenced(language, &bounded(output_lines(input)))
}

/// A change of a file as a unified diff.
fn change(edit: &Edit, contents: &Contents) -> String {
    let path = one_line(&edit.path);
    let side = |uri: &Option<String>| match uri.as_ref().map(|uri| contents.get(uri)) {
        None => Ok(""),
        Some(Some(Ok(text))) => Ok(text.as_str()),
        Some(Some(Err(reason))) => Err(reason.as_str()),
        Some(None) => Err("it was not read"),
    };
    let (before, after) = match (side(&edit.before), side(&edit.after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(reason), _) | (_, Err(reason)) => {
            return missing(&format!("change of {}", code(&path)), reason);
        }
    };
    let name = |side: &Option<String>| match side {
        Some(_) => path.as_str(),
        None => "/dev/null",
    };
    let diff = TextDiff::configure()
        .timeout(DIFF_LIMIT)
        .diff_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(name(&edit.before), name(&edit.after))
        .to_string();
    let mut lines: Vec<String> = sanitize(&diff)
        .lines()
        .map(|line| truncate(line, MAX_COLUMNS))
        .collect();
    let hidden = lines.len().saturating_sub(MAX_DIFF_LINES);
    lines.truncate(MAX_DIFF_LINES);
    if hidden > 0 {
        lines.push(format!("… {hidden} more lines of the change"));
    }
    let what = match (&edit.before, &edit.after) {
        (None, _) => "New file",
        (_, None) => "Deleted",
        _ => "Changed",
    };
    format!("{what} {}:\n\n{}", code(&path), fenced("diff", &lines))
}

fn missing(what: &str, reason: &str) -> String {
    format!("*the {what} cannot be shown: {}*", plain(reason))
}

fn question(
    part: &InputRequestResponsePart,
    answered: Option<&Answered>,
    ended: bool,
    blocks: &mut Vec<String>,
) {
    let request = &part.request;
    let questions = request.questions.as_deref().unwrap_or_default();
    let asked = request
        .message
        .as_deref()
        .or_else(|| questions.first().map(question_message))
        .unwrap_or_default();
    blocks.push(format!("### Question: {}", plain(asked)));
    let answers: Vec<String> = questions
        .iter()
        .filter_map(|question| {
            let given = request.answers.as_ref()?.get(question_id(question))?;
            let ChatInputAnswer::Submitted(given) = given else {
                return None;
            };
            let given = values(&given.value)
                .iter()
                .map(|value| plain(question_label(question, value).unwrap_or(value)))
                .collect::<Vec<_>>();
            let asked = plain(question_message(question));
            Some(format!("- {asked} **{}**\n", given.join(", ")))
        })
        .collect();
    blocks.push(answers.concat());
    let how = match (answered, part.response) {
        (Some(answered), _) => plain(&answered.to_string()),
        (None, Some(ChatInputResponseKind::Accept)) => "answered".to_owned(),
        (None, Some(ChatInputResponseKind::Decline)) => "declined".to_owned(),
        (None, None) if !ended => "waits for an answer".to_owned(),
        (None, _) => "cancelled".to_owned(),
    };
    blocks.push(format!("*{how}*"));
}

/// An answer as texts, option ids and words alike.
fn values(value: &ChatInputAnswerValue) -> Vec<String> {
    let with = |mut values: Vec<String>, more: &Option<Vec<String>>| {
        values.extend(more.iter().flatten().cloned());
        values.retain(|value| !value.is_empty());
        values
    };
    match value {
        ChatInputAnswerValue::Text(v) => vec![v.value.clone()],
        ChatInputAnswerValue::Number(v) => vec![v.value.to_string()],
        ChatInputAnswerValue::Boolean(v) => vec![if v.value { "yes" } else { "no" }.to_owned()],
        ChatInputAnswerValue::Selected(v) => with(vec![v.value.clone()], &v.freeform_values),
        ChatInputAnswerValue::SelectedMany(v) => with(v.value.clone(), &v.freeform_values),
        ChatInputAnswerValue::Unknown(v) => vec![v.to_string()],
    }
}

/// The agent's words. A fence that they left open is closed, so that it does not
/// swallow the rest of the document.
fn answer(text: &str) -> String {
    let mut text = sanitize(text.trim_matches('\n'));
    if let Some((mark, count)) = open_fence(&text) {
        text.push('\n');
        text.extend(std::iter::repeat_n(mark, count));
    }
    text
}

fn open_fence(text: &str) -> Option<(char, usize)> {
    let mut open: Option<(char, usize)> = None;
    for line in text.lines() {
        let line = line.trim_start();
        let Some(mark @ ('`' | '~')) = line.chars().next() else {
            continue;
        };
        let rest = line.trim_start_matches(mark);
        let count = line.len() - rest.len();
        open = match open {
            None if count >= 3 && !(mark == '`' && rest.contains('`')) => Some((mark, count)),
            Some((opened, least)) if mark == opened && count >= least && rest.trim().is_empty() => {
                None
            }
            unchanged => unchanged,
        };
    }
    open
}

fn quote(text: &str) -> String {
    let text = sanitize(text.trim());
    let lines = text.lines().map(|line| format!("> {line}"));
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Lines in a fence that none of them can end.
fn fenced(language: &str, lines: &[String]) -> String {
    let longest = lines.iter().map(|line| backticks(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", lines.join("\n"))
}

/// Text on one line as a code span.
fn code(text: &str) -> String {
    let text = one_line(text);
    match backticks(&text) {
        0 => format!("`{text}`"),
        longest => {
            let mark = "`".repeat(longest + 1);
            format!("{mark} {text} {mark}")
        }
    }
}

/// The longest run of backticks.
fn backticks(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

/// Text on one line in which nothing is Markdown.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '<' | '[') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Lines with the middle cut out when there are too many.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    for line in &mut lines {
        if line.len() > MAX_COLUMNS {
            *line = truncate(line, MAX_COLUMNS);
        }
    }
    if lines.len() > MAX_LINES {
        let hidden = lines.len() - MAX_LINES;
        let middle = MAX_LINES / 2..MAX_LINES / 2 + hidden;
        lines.splice(middle, [format!("… {hidden} lines cut …")]);
    }
    lines
}

#[cfg(test)]
mod tests;
