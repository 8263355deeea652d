//! What of a chat is in the scrollback, and what is still alive at the bottom.
//!
//! A thing goes into the scrollback once, in order, when nothing about it can
//! change any more. Pure: from the mirrored state to lines.

use std::collections::HashMap;

use ahp_types::state::{MessageKind, ResponsePart, ToolCallState};

use super::blocks;
use super::diff::Contents;
use super::line::{Line, Style};
use super::markdown::Markdown;
use crate::client::Mirror;
use crate::text::one_line;
use crate::tool_view::ToolView;
use crate::turn_view::TurnView;

/// What is new.
#[derive(Debug, Default)]
pub(crate) struct Advance {
    /// Goes into the scrollback.
    pub(crate) finished: Vec<Line>,
    /// May still change.
    pub(crate) live: Vec<Line>,
    /// Contents without which something cannot be shown.
    pub(crate) wanted: Vec<String>,
}

#[derive(Debug, Default, Clone)]
struct Part {
    bytes: usize,
    markdown: Markdown,
    opened: bool,
    done: bool,
}

#[derive(Debug, Default)]
struct Progress {
    started: bool,
    ended: bool,
    parts: Vec<Part>,
    /// How many parts it had when it ended, for the case that it is continued.
    ended_with: usize,
    /// Whether the last finished thing was a tool call: those stand together.
    after_tool: bool,
}

impl Progress {
    /// Goes on with a turn that had ended: what it had is in the scrollback.
    fn reopen(&mut self) {
        self.ended = false;
        self.after_tool = false;
        self.parts.resize_with(self.ended_with, || Part {
            bytes: usize::MAX,
            opened: true,
            done: true,
            ..Part::default()
        });
    }
}

/// Remembers what of each turn is in the scrollback.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    turns: HashMap<String, Progress>,
    begun: bool,
}

impl Timeline {
    /// Takes in the new state.
    pub(crate) fn advance(&mut self, mirror: &Mirror, contents: &mut Contents) -> Advance {
        let mut out = Advance::default();
        let Some(chat) = mirror.chat() else {
            return out;
        };
        if !self.begun {
            self.begun = true;
            if chat.turns_next_cursor.is_some() {
                out.finished.push(Line::styled(
                    "… there are earlier turns: /older",
                    Style::DIM,
                ));
            }
        }
        for turn in &chat.turns {
            // It may have been continued and ended while the connection was lost.
            let shown = |p: &Progress| p.ended && p.ended_with >= turn.response_parts.len();
            if self.turns.get(&turn.id).is_some_and(shown) {
                continue;
            }
            if !self.turn(&turn.into(), mirror, contents, &mut out) {
                // Later turns wait, so that the order stays.
                return out;
            }
        }
        if let Some(turn) = &chat.active_turn {
            self.turn(&turn.into(), mirror, contents, &mut out);
        }
        out
    }

    /// Renders what is new of a turn; false when something of it is still alive.
    fn turn(
        &mut self,
        turn: &TurnView<'_>,
        mirror: &Mirror,
        contents: &mut Contents,
        out: &mut Advance,
    ) -> bool {
        let progress = self.turns.entry(turn.id.to_owned()).or_default();
        if !progress.started {
            progress.started = true;
            out.finished.push(Line::empty());
            out.finished.extend(match turn.message.origin.kind {
                MessageKind::User => blocks::prompt(&turn.message.text),
                _ => blocks::notice(&format!("by itself: {}", turn.message.text)),
            });
        }
        if progress.ended {
            progress.reopen();
            out.finished.push(Line::empty());
            out.finished.extend(blocks::notice("continued"));
        }
        let count = turn.parts.len().max(progress.parts.len());
        progress.parts.resize_with(count, Part::default);
        let mut alive = false;
        let mut after_tool = progress.after_tool;
        for (index, (part, seen)) in turn.parts.iter().zip(&mut progress.parts).enumerate() {
            // A later part, or the end of the turn, means that this one is complete.
            let complete = turn.end.is_some() || index + 1 < turn.parts.len();
            let is_tool = matches!(part, ResponsePart::ToolCall(_));
            // Below something alive nothing may go into the scrollback yet, so what
            // is said there is not remembered.
            let mut forgotten = seen.clone();
            let seen = if alive { &mut forgotten } else { seen };
            let ended = turn.end.is_some();
            let piece = match part {
                // Nobody can answer it once the turn has ended.
                ResponsePart::InputRequest(part) if part.response.is_none() && !ended => Piece {
                    pending: true,
                    ..Piece::default()
                },
                part => render(part, seen, complete, mirror, contents, &mut out.wanted),
            };
            for (lines, finished) in [(piece.finished, !alive), (piece.live, false)] {
                if lines.is_empty() {
                    continue;
                }
                let target = if finished {
                    &mut out.finished
                } else {
                    &mut out.live
                };
                let stands_with_the_last = is_tool && after_tool;
                if !seen.opened && !stands_with_the_last {
                    target.push(Line::empty());
                }
                seen.opened |= finished;
                after_tool = is_tool;
                target.extend(lines);
                if finished {
                    progress.after_tool = after_tool;
                }
            }
            if !alive
                && !piece.pending
                && let ResponsePart::ToolCall(part) = part
            {
                forget_contents(&part.tool_call, contents);
            }
            alive |= piece.pending;
        }
        if alive {
            return false;
        }
        if let Some((state, duration)) = turn.end {
            out.finished
                .extend(blocks::turn_end(state, duration, turn.usage));
            progress.ended = true;
            progress.ended_with = turn.parts.len();
            progress.parts.clear();
        }
        true
    }
}

/// What is new of one part.
#[derive(Default)]
struct Piece {
    finished: Vec<Line>,
    live: Vec<Line>,
    /// Whether it can still change.
    pending: bool,
}

fn render(
    part: &ResponsePart,
    seen: &mut Part,
    complete: bool,
    mirror: &Mirror,
    contents: &mut Contents,
    wanted: &mut Vec<String>,
) -> Piece {
    match part {
        ResponsePart::Markdown(part) => markdown(&part.content, seen, complete),
        ResponsePart::Reasoning(part) if !complete => Piece {
            live: blocks::reasoning(&part.content, false),
            pending: true,
            ..Piece::default()
        },
        ResponsePart::ToolCall(part) => tool(&part.tool_call, seen, mirror, contents, wanted),
        _ if seen.done => Piece::default(),
        other => {
            seen.done = true;
            Piece {
                finished: match other {
                    ResponsePart::Reasoning(part) => blocks::reasoning(&part.content, true),
                    ResponsePart::InputRequest(part) => {
                        blocks::answered(part, mirror.answer(&part.request.id).as_ref())
                    }
                    ResponsePart::SystemNotification(part) => {
                        blocks::notice(part.content.as_text())
                    }
                    ResponsePart::Error(part) => blocks::error(&part.error),
                    ResponsePart::ContentRef(part) => {
                        blocks::notice(&format!("content: {}", one_line(&part.uri)))
                    }
                    _ => Vec::new(),
                },
                ..Piece::default()
            }
        }
    }
}

fn markdown(content: &str, seen: &mut Part, complete: bool) -> Piece {
    let rest = content.get(seen.bytes..).unwrap_or_default();
    let split = if complete {
        rest.len()
    } else {
        rest.rfind('\n').map_or(0, |at| at + 1)
    };
    let (whole, partial) = rest.split_at(split);
    seen.bytes += split;
    let mut finished = seen.markdown.render(whole);
    if !seen.opened {
        // The empty line before the block is ours to make.
        let empty = finished.iter().take_while(|l| l.spans.is_empty()).count();
        finished.drain(..empty);
    }
    Piece {
        finished,
        live: seen.markdown.clone().render(partial),
        pending: !complete,
    }
}

fn tool(
    call: &ToolCallState,
    seen: &mut Part,
    mirror: &Mirror,
    contents: &mut Contents,
    wanted: &mut Vec<String>,
) -> Piece {
    let Some(view) = ToolView::of(call).filter(|_| !seen.done) else {
        return Piece::default();
    };
    for edit in view.edits() {
        wanted.extend(
            edit.contents()
                .filter(|uri| contents.want(uri))
                .map(str::to_owned),
        );
    }
    let output = view.terminal().and_then(|uri| mirror.terminal_text(uri));
    let lines = blocks::tool(&view, output.as_deref(), contents);
    match lines {
        Some(lines) if view.status.is_final() => {
            seen.done = true;
            Piece {
                finished: lines,
                ..Piece::default()
            }
        }
        lines => Piece {
            live: lines.unwrap_or_else(|| {
                vec![Line::styled("● ", Style::DIM).with(one_line(view.title), Style::DIM)]
            }),
            pending: true,
            ..Piece::default()
        },
    }
}

fn forget_contents(call: &ToolCallState, contents: &mut Contents) {
    if let Some(view) = ToolView::of(call) {
        for edit in view.edits() {
            contents.forget(&edit);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::client::mirror_tests::{CHAT, envelope, interrupted, mirror};

    struct Run {
        mirror: Mirror,
        timeline: Timeline,
        contents: Contents,
        seq: u64,
        wanted: Vec<String>,
    }

    impl Run {
        fn new() -> Self {
            Self {
                mirror: mirror(),
                timeline: Timeline::default(),
                contents: Contents::default(),
                seq: 10,
                wanted: Vec::new(),
            }
        }

        /// Applies an action; returns what went into the scrollback and what is alive.
        fn step(&mut self, action: Value) -> (String, String) {
            self.seq += 1;
            self.mirror.apply(&envelope(CHAT, self.seq, action));
            self.look()
        }

        fn look(&mut self) -> (String, String) {
            let out = self.timeline.advance(&self.mirror, &mut self.contents);
            self.wanted.extend(out.wanted);
            let text = |lines: Vec<Line>| lines.iter().map(|l| l.text() + "\n").collect();
            (text(out.finished), text(out.live))
        }
    }

    fn start() -> Value {
        json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "2025-01-01T00:00:00.000Z",
               "message": {"text": "do it", "origin": {"kind": "user"}}})
    }

    fn part(part: Value) -> Value {
        json!({"type": "chat/responsePart", "turnId": "t", "part": part})
    }

    fn delta(content: &str) -> Value {
        json!({"type": "chat/delta", "turnId": "t", "partId": "p", "content": content})
    }

    fn call(id: &str, kind: &str, extra: Value) -> Value {
        let mut value = json!({"type": format!("chat/{kind}"), "turnId": "t", "toolCallId": id,
                               "toolName": "shell", "displayName": "Shell", "invocationMessage": id});
        value
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        value
    }

    fn done(id: &str, content: Value) -> Value {
        call(
            id,
            "toolCallComplete",
            json!({"result": {"success": true, "pastTenseMessage": id, "content": content}}),
        )
    }

    #[test]
    fn complete_lines_go_up_and_the_rest_stays() {
        let mut run = Run::new();
        assert_eq!(run.step(start()).0, "\n❯ do it\n");
        let markdown = part(json!({"kind": "markdown", "id": "p", "content": "Hel"}));
        assert_eq!(run.step(markdown), (String::new(), "\nHel\n".into()));
        assert_eq!(
            run.step(delta("lo\nwor")),
            ("\nHello\n".into(), "wor\n".into())
        );
        assert_eq!(run.step(delta("ld")), (String::new(), "world\n".into()));
        let end = json!({"type": "chat/turnComplete", "turnId": "t", "duration": 2000});
        assert_eq!(run.step(end), ("world\n  2s\n".into(), String::new()));
        assert_eq!(run.look(), (String::new(), String::new()));
    }

    #[test]
    fn nothing_overtakes_what_is_still_running() {
        let mut run = Run::new();
        run.step(start());
        for id in ["a", "b"] {
            run.step(call(id, "toolCallStart", json!({})));
            run.step(call(
                id,
                "toolCallReady",
                json!({"confirmed": "not-needed"}),
            ));
        }
        // The second ends first: it waits for the first.
        let (finished, live) = run.step(done("b", json!([])));
        assert_eq!(
            (finished.as_str(), live.as_str()),
            ("", "\n● Shell a\n✓ Shell b\n")
        );
        let (finished, live) = run.step(done("a", json!([])));
        assert_eq!(
            (finished.as_str(), live.as_str()),
            ("\n✓ Shell a\n✓ Shell b\n", "")
        );
    }

    #[test]
    fn a_change_waits_for_its_contents() {
        let mut run = Run::new();
        run.step(start());
        run.step(call("a", "toolCallStart", json!({})));
        run.step(call(
            "a",
            "toolCallReady",
            json!({"confirmed": "not-needed"}),
        ));
        let (finished, _) = run.step(done(
            "a",
            json!([{"type": "fileEdit",
            "after": {"uri": "file:///x", "content": {"uri": "copilot-content:/s/1"}}}]),
        ));
        assert_eq!(finished, "");
        assert_eq!(run.wanted, ["copilot-content:/s/1"]);
        run.contents
            .put("copilot-content:/s/1".into(), Ok("one\n".into()));
        let (finished, live) = run.look();
        assert_eq!(
            finished,
            "\n✓ Shell a\n  │ new file /x +1 −0\n  │     1 + one\n"
        );
        assert_eq!(live, "");
    }

    #[test]
    fn a_continued_turn_is_not_shown_again() {
        let mut run = Run::new();
        run.step(start());
        run.step(part(
            json!({"kind": "markdown", "id": "p", "content": "half"}),
        ));
        assert_eq!(
            run.step(interrupted("t")).0,
            "\nhalf\n\n✗ the daemon was restarted\n"
        );
        let resume = json!({"type": "chat/turnResume", "turnId": "t"});
        assert_eq!(run.step(resume), ("\nℹ continued\n".into(), String::new()));
        let rest = part(json!({"kind": "markdown", "id": "q", "content": "the rest\n"}));
        assert_eq!(run.step(rest).0, "\nthe rest\n");
        let end = json!({"type": "chat/turnComplete", "turnId": "t", "duration": 2000});
        assert_eq!(run.step(end).0, "  2s\n");
    }

    #[test]
    fn a_question_that_nobody_answered_does_not_outlive_its_turn() {
        let mut run = Run::new();
        run.step(start());
        let asked =
            json!({"type": "chat/inputRequested", "request": {"id": "q", "message": "Which?"}});
        assert_eq!(run.step(asked), (String::new(), String::new()));
        assert_eq!(
            run.step(interrupted("t")).0,
            "\n? Which?\n  │ cancelled\n\n✗ the daemon was restarted\n"
        );
    }

    #[test]
    fn an_error_ends_the_turn_with_its_hint() {
        let mut run = Run::new();
        run.step(start());
        let error = json!({"type": "chat/error", "turnId": "t", "duration": 1, "part": {"kind": "error",
            "error": {"errorType": "auth", "message": "wrong key\nset COPILOT_PROVIDER_API_KEY"}}});
        assert_eq!(
            run.step(error).0,
            "\n✗ wrong key\n  hint: set COPILOT_PROVIDER_API_KEY\n"
        );
    }
}
