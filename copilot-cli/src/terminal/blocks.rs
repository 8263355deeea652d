//! What a finished or running thing looks like: prompts, reasoning, tool calls,
//! notices, errors, the end of a turn. Pure: from state to lines.

use ahp_types::state::{ErrorInfo, InputRequestResponsePart, TurnState, UsageInfo};

use super::diff::{self, Contents};
use super::line::{Colour, Line, Style};
use crate::client::{Answered, Todo, TodoStatus, is_plan};
use crate::events::error_words;
use crate::text::{one_line, output_lines, sanitize, seconds, truncate};
use crate::tool_view::{ToolStatus, ToolView};

/// Lines of output that are shown while a tool runs.
const LIVE_OUTPUT: usize = 8;
/// Lines that are kept of the beginning and of the end of a finished output.
const FIRST_OUTPUT: usize = 5;
const LAST_OUTPUT: usize = 7;
/// Lines of a command.
const COMMAND_LINES: usize = 4;
/// Lines of a change in the timeline.
const DIFF_LINES: usize = 60;
/// Lines of reasoning that are kept.
const REASONING_LINES: usize = 3;

/// What a person asked.
pub(crate) fn prompt(text: &str) -> Vec<Line> {
    let style = Style {
        colour: Some(Colour::Blue),
        ..Style::BOLD
    };
    sanitize(text)
        .lines()
        .enumerate()
        .map(|(index, line)| {
            let mark = if index == 0 { "❯ " } else { "  " };
            Line::styled(mark, style)
                .with(crate::text::expand_tabs(line), Style::BOLD)
                .hanging(2)
        })
        .collect()
}

/// Reasoning, shortened: its beginning when done, its end while it goes on.
pub(crate) fn reasoning(text: &str, done: bool) -> Vec<Line> {
    let style = Style {
        italic: true,
        ..Style::DIM
    };
    let lines: Vec<String> = sanitize(text)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| truncate(&one_line(line), 200))
        .collect();
    let cut = lines.len().saturating_sub(REASONING_LINES);
    let kept: Vec<_> = if done {
        lines.into_iter().take(REASONING_LINES).collect()
    } else {
        lines.into_iter().skip(cut).collect()
    };
    let mut out: Vec<_> = kept
        .into_iter()
        .map(|line| Line::styled("┊ ", Style::DIM).with(line, style).hanging(2))
        .collect();
    if done && cut > 0 {
        out.push(Line::styled(
            format!("┊ … {cut} more lines of reasoning"),
            Style::DIM,
        ));
    }
    out
}

fn glyph(status: ToolStatus) -> (&'static str, Style) {
    match status {
        ToolStatus::Preparing => ("○", Style::DIM),
        ToolStatus::Waiting => ("?", Style::of(Colour::Yellow)),
        ToolStatus::Running => ("●", Style::of(Colour::Yellow)),
        ToolStatus::Completed => ("✓", Style::of(Colour::Green)),
        ToolStatus::Failed | ToolStatus::Denied => ("✗", Style::of(Colour::Red)),
        ToolStatus::Cancelled => ("⊘", Style::DIM),
    }
}

/// A tool call. `live` is what its terminal shows while it runs. `None` while a
/// content that it refers to is on the way.
pub(crate) fn tool(
    view: &ToolView<'_>,
    live: Option<&str>,
    contents: &Contents,
) -> Option<Vec<Line>> {
    let (mark, style) = glyph(view.status);
    let name = if view.display.is_empty() {
        view.tool
    } else {
        view.display
    };
    let mut title = one_line(view.title);
    if title.is_empty() {
        title = view.input.map(one_line).unwrap_or_default();
    }
    let mut head = Line::styled(format!("{mark} "), style)
        .with(one_line(name), Style::BOLD)
        .hanging(2);
    if !title.is_empty() && title != name {
        head.push(format!(" {}", truncate(&title, 300)), Style::PLAIN);
    }
    let note = match view.status {
        ToolStatus::Waiting => "waits for an answer".to_owned(),
        ToolStatus::Cancelled => "cancelled".to_owned(),
        ToolStatus::Denied => denied(view),
        ToolStatus::Failed => match view.exit_code() {
            Some(code) => format!("exit code {code}"),
            None => "failed".to_owned(),
        },
        _ => view
            .exit_code()
            .map(|c| format!("exit code {c}"))
            .unwrap_or_default(),
    };
    if !note.is_empty() {
        head.push(
            format!("  {note}"),
            if view.status.is_final() {
                style
            } else {
                Style::DIM
            },
        );
    }
    let mut out = vec![head];
    if view.kind() == "execute" {
        out.extend(command(view.input.unwrap_or_default(), &title));
    }
    if let Some(words) = view.suggestion {
        out.push(
            bar()
                .with(format!("“{}”", one_line(words)), Style::PLAIN)
                .hanging(4),
        );
    }
    let running = !view.status.is_final();
    let text = match (live, view.text()) {
        (Some(live), _) if running => live.to_owned(),
        // A terminal that was followed knows more than a result without a preview.
        (Some(live), text) if text.is_empty() => live.to_owned(),
        (_, text) => text,
    };
    let edits = view.edits();
    for edit in &edits {
        for line in diff::lines(edit, contents, DIFF_LINES)? {
            out.push(indented(line));
        }
    }
    // What was read or found is for the agent; that it was is enough for a person.
    let quiet = matches!(view.kind(), "read" | "search") && view.status == ToolStatus::Completed;
    if quiet {
        let count = output_lines(&text).len();
        if count > 0 {
            out.push(bar().with(plural(count, "line"), Style::DIM));
        }
    } else if edits.is_empty() || view.status != ToolStatus::Completed {
        out.extend(bounded_output(&text, running));
    }
    Some(out)
}

/// The command that runs, unless the title says it already.
fn command(input: &str, title: &str) -> Vec<Line> {
    if input.trim().is_empty() || title.contains(&one_line(input)) {
        return Vec::new();
    }
    let lines = output_lines(input);
    let hidden = lines.len().saturating_sub(COMMAND_LINES);
    let mut out: Vec<Line> = lines
        .iter()
        .take(COMMAND_LINES)
        .enumerate()
        .map(|(index, line)| {
            let mark = if index == 0 { "  $ " } else { "    " };
            Line::styled(mark, Style::DIM)
                .with(truncate(line, 2000), Style::of(Colour::Cyan))
                .hanging(4)
        })
        .collect();
    if hidden > 0 {
        let text = format!("    … {} more", plural(hidden, "line"));
        out.push(Line::styled(text, Style::DIM));
    }
    out
}

fn denied(view: &ToolView<'_>) -> String {
    let mut words = match &view.answered {
        Some(a) if a.by == "policy" => "denied by a rule".to_owned(),
        Some(a) => format!("denied by {}", one_line(&a.by)),
        None => "denied".to_owned(),
    };
    if let Some(reason) = view.reason {
        words.push_str(&format!(": {}", one_line(reason)));
    }
    words
}

fn bar() -> Line {
    Line::styled("  │ ", Style::DIM).hanging(4)
}

fn indented(line: Line) -> Line {
    let mut out = bar();
    out.hang += line.hang;
    out.spans.extend(line.spans);
    out
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn bounded_output(text: &str, running: bool) -> Vec<Line> {
    let lines = output_lines(text);
    let line = |text: &String| bar().with(truncate(text, 2000), Style::DIM);
    let cut = |count: usize| bar().with(format!("… {} cut …", plural(count, "line")), Style::DIM);
    if running {
        let hidden = lines.len().saturating_sub(LIVE_OUTPUT);
        let mut out = Vec::new();
        if hidden > 0 {
            out.push(bar().with(format!("… {} above", plural(hidden, "line")), Style::DIM));
        }
        out.extend(lines.iter().skip(hidden).map(line));
        return out;
    }
    // Cutting one line to say that one line is cut gains nothing.
    if lines.len() <= FIRST_OUTPUT + LAST_OUTPUT + 1 {
        return lines.iter().map(line).collect();
    }
    let hidden = lines.len() - FIRST_OUTPUT - LAST_OUTPUT;
    let mut out: Vec<_> = lines.iter().take(FIRST_OUTPUT).map(line).collect();
    out.push(cut(hidden));
    out.extend(lines.iter().skip(FIRST_OUTPUT + hidden).map(line));
    out
}

/// A question that was answered.
pub(crate) fn answered(part: &InputRequestResponsePart, by: Option<&Answered>) -> Vec<Line> {
    let plan = is_plan(&part.request);
    // A plan is long, and is in the timeline as what the agent proposed.
    let message = part.request.message.as_deref().filter(|_| !plan);
    let asked = message
        .or_else(|| {
            Some(crate::client::question_message(
                part.request.questions.as_ref()?.first()?,
            ))
        })
        .unwrap_or_default();
    let mut out = vec![
        Line::styled("? ", Style::of(Colour::Yellow))
            .with(one_line(asked), Style::BOLD)
            .hanging(2),
    ];
    let how = match by {
        Some(answered) => one_line(&answered.to_string()),
        None => match part.response {
            Some(ahp_types::state::ChatInputResponseKind::Accept) => "answered",
            Some(ahp_types::state::ChatInputResponseKind::Decline) => "declined",
            _ => "cancelled",
        }
        .to_owned(),
    };
    out.push(bar().with(how, Style::PLAIN));
    out
}

/// Something that the host says.
pub(crate) fn notice(text: &str) -> Vec<Line> {
    sanitize(text)
        .lines()
        .map(|line| Line::styled(format!("ℹ {line}"), Style::DIM).hanging(2))
        .collect()
}

/// Why a turn failed.
pub(crate) fn error(error: &ErrorInfo) -> Vec<Line> {
    let (message, hint) = error_words(error);
    let mut out = vec![
        Line::styled("✗ ", Style::of(Colour::Red))
            .with(one_line(message), Style::of(Colour::Red))
            .hanging(2),
    ];
    // Advice may be a list, one way a line.
    for (index, line) in sanitize(hint.unwrap_or_default()).lines().enumerate() {
        let label = if index == 0 { "  hint: " } else { "        " };
        out.push(Line::plain(label).with(line, Style::PLAIN).hanging(8));
    }
    out
}

/// The end of a turn: how it ended, when not well, and what it used.
pub(crate) fn turn_end(
    state: TurnState,
    duration_ms: Option<i64>,
    usage: Option<&UsageInfo>,
) -> Vec<Line> {
    let mut facts = Vec::new();
    if let Some(ms) = duration_ms.filter(|ms| *ms >= 1000) {
        facts.push(seconds(ms / 1000));
    }
    if let Some(usage) = usage {
        if let Some(tokens) = usage.input_tokens {
            facts.push(format!("{} in", tokens_short(tokens)));
        }
        if let Some(tokens) = usage.output_tokens {
            facts.push(format!("{} out", tokens_short(tokens)));
        }
        if let Some(model) = &usage.model {
            facts.push(one_line(model));
        }
    }
    let facts = facts.join(" · ");
    match state {
        TurnState::Cancelled => {
            let text = if facts.is_empty() {
                "⊘ cancelled".to_owned()
            } else {
                format!("⊘ cancelled · {facts}")
            };
            vec![Line::styled(text, Style::of(Colour::Yellow))]
        }
        TurnState::Complete | TurnState::Error if !facts.is_empty() => {
            vec![Line::styled(format!("  {facts}"), Style::DIM)]
        }
        TurnState::Complete | TurnState::Error => Vec::new(),
    }
}

fn tokens_short(tokens: i64) -> String {
    if tokens < 1000 {
        return tokens.to_string();
    }
    format!("{}.{}k", tokens / 1000, tokens % 1000 / 100)
}

/// The list of things to do, while something of it is open.
pub(crate) fn todos(todos: &[Todo]) -> Vec<Line> {
    if todos.iter().all(|t| t.status == TodoStatus::Completed) {
        return Vec::new();
    }
    let done = todos
        .iter()
        .filter(|t| t.status == TodoStatus::Completed)
        .count();
    let mut out = vec![Line::styled(
        format!("To do ({done}/{})", todos.len()),
        Style::BOLD,
    )];
    // What is done goes first when there are too many.
    let skip = todos.len().saturating_sub(8).min(done);
    for todo in todos.iter().skip(skip).take(8) {
        let (mark, style) = match todo.status {
            TodoStatus::Completed => ("☑", Style::DIM),
            TodoStatus::InProgress => ("▸", Style::of(Colour::Yellow)),
            TodoStatus::Pending => ("☐", Style::PLAIN),
        };
        out.push(Line::styled(format!("  {mark} {}", one_line(&todo.content)), style).hanging(4));
    }
    let hidden = todos.len() - skip.min(todos.len());
    if hidden > 8 {
        out.push(Line::styled(format!("  … {} more", hidden - 8), Style::DIM));
    }
    out
}

#[cfg(test)]
mod tests {
    use ahp_types::state::ToolCallState;
    use serde_json::json;

    use super::*;

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|l| l.text() + "\n").collect()
    }

    fn call(extra: serde_json::Value) -> ToolCallState {
        let mut value = json!({"status": "completed", "toolCallId": "c", "toolName": "shell", "displayName": "Shell",
            "invocationMessage": "seq", "pastTenseMessage": "seq", "success": true, "confirmed": "not-needed"});
        value
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn long_output_keeps_both_ends_and_says_what_is_gone() {
        let output: String = (1..=100).map(|n| format!("{n}\n")).collect();
        let done = call(json!({"content": [{"type": "text", "text": output}]}));
        let view = ToolView::of(&done).unwrap();
        let shown = text(&tool(&view, None, &Contents::default()).unwrap());
        assert_eq!(
            shown,
            "✓ Shell seq\n  │ 1\n  │ 2\n  │ 3\n  │ 4\n  │ 5\n  │ … 88 lines cut …\n  │ 94\n  │ 95\n  │ 96\n  │ 97\n  │ 98\n  │ 99\n  │ 100\n"
        );
    }

    #[test]
    fn a_running_tool_shows_its_last_lines() {
        let running = call(json!({"status": "running"}));
        let view = ToolView::of(&running).unwrap();
        let output: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let shown = text(&tool(&view, Some(&output), &Contents::default()).unwrap());
        assert!(
            shown.starts_with("● Shell seq\n  │ … 12 lines above\n  │ 13\n"),
            "{shown}"
        );
        assert!(shown.ends_with("  │ 20\n"), "{shown}");
    }

    #[test]
    fn a_denial_says_by_whom_and_why() {
        let denied = call(
            json!({"status": "cancelled", "reason": "denied", "reasonMessage": "no rule allows it",
            "_meta": {"copilot.answeredBy": {"name": "policy", "choice": "deny"}}}),
        );
        let shown =
            text(&tool(&ToolView::of(&denied).unwrap(), None, &Contents::default()).unwrap());
        assert_eq!(shown, "✗ Shell seq  denied by a rule: no rule allows it\n");
    }

    #[test]
    fn reading_is_quiet_and_failing_is_not() {
        let read = call(
            json!({"content": [{"type": "text", "text": "a\nb\n"}], "_meta": {"copilot.kind": "read"}}),
        );
        let shown = text(&tool(&ToolView::of(&read).unwrap(), None, &Contents::default()).unwrap());
        assert_eq!(shown, "✓ Shell seq\n  │ 2 lines\n");
        let failed = call(json!({"success": false, "content": [
            {"type": "terminal", "resource": "ahp-terminal:/s/c", "title": "x", "result": {"exitCode": 2, "preview": "no\n"}}]}));
        let shown =
            text(&tool(&ToolView::of(&failed).unwrap(), None, &Contents::default()).unwrap());
        assert_eq!(shown, "✗ Shell seq  exit code 2\n  │ no\n");
    }

    #[test]
    fn the_end_of_a_turn_says_what_it_used() {
        let usage: UsageInfo = serde_json::from_value(
            json!({"inputTokens": 12_345, "outputTokens": 67, "model": "m"}),
        )
        .unwrap();
        assert_eq!(
            text(&turn_end(TurnState::Complete, Some(65_000), Some(&usage))),
            "  1m 5s · 12.3k in · 67 out · m\n"
        );
        assert_eq!(
            text(&turn_end(TurnState::Cancelled, Some(10), None)),
            "⊘ cancelled\n"
        );
        assert!(turn_end(TurnState::Complete, None, None).is_empty());
    }

    #[test]
    fn reasoning_is_shortened() {
        let long = "a\n\nb\nc\nd\ne";
        assert_eq!(
            text(&reasoning(long, true)),
            "┊ a\n┊ b\n┊ c\n┊ … 2 more lines of reasoning\n"
        );
        assert_eq!(text(&reasoning(long, false)), "┊ c\n┊ d\n┊ e\n");
    }

    #[test]
    fn todos_are_shown_until_all_is_done() {
        let todo = |content: &str, status| Todo {
            content: content.to_owned(),
            status,
        };
        let list = [
            todo("one", TodoStatus::Completed),
            todo("two", TodoStatus::InProgress),
            todo("three", TodoStatus::Pending),
        ];
        assert_eq!(
            text(&todos(&list)),
            "To do (1/3)\n  ☑ one\n  ▸ two\n  ☐ three\n"
        );
        assert!(todos(&[todo("one", TodoStatus::Completed)]).is_empty());
        assert!(todos(&[]).is_empty());
    }
}
