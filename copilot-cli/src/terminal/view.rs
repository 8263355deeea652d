//! The live area: what is streaming, the list of things to do, queued texts, the
//! dialog or the input, the status line. Pure: from state to rows.

use std::ffi::OsStr;
use std::time::Instant;

use ahp_types::state::ChatState;
use jiff::Timestamp;

use super::app::{App, Link};
use super::blocks;
use super::diff::Contents;
use super::line::{Colour, Line, Style};
use super::remote;
use super::slash;
use crate::client::{
    MODES, Mirror, asks_nothing, cancelling, clients, confinement, mode, needs_someone,
    open_requests, path_of_file_uri, short_path, state_words, todos,
};
use crate::text::{one_line, seconds, truncate};

/// Rows of the input that are shown at once.
const INPUT_ROWS: usize = 8;

/// What an empty input says while an interrupted turn can be continued.
const CONTINUE: &str = "Enter continues the interrupted turn";

/// What is painted, and where the cursor is.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) rows: Vec<Line>,
    pub(crate) cursor: (usize, usize),
}

/// Everything that the live area depends on.
pub(crate) struct Scene<'a> {
    pub(crate) app: &'a App,
    pub(crate) mirror: &'a Mirror,
    pub(crate) contents: &'a Contents,
    /// What the timeline says is still alive.
    pub(crate) streaming: &'a [Line],
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) now: Instant,
    /// The wall clock, for how long a turn takes.
    pub(crate) clock: Timestamp,
    pub(crate) home: Option<&'a OsStr>,
}

/// Lays the live area out. The streaming part gives way when there is little room.
pub(crate) fn live(scene: &Scene<'_>) -> Live {
    let columns = scene.columns;
    let rule = Line::styled("─".repeat(columns), Style::DIM);
    let status = vec![status(scene), hint(scene)];
    let room = scene.rows.saturating_sub(status.len() + 1);
    let requests = scene.mirror.chat().map(open_requests).unwrap_or_default();
    let asked = scene
        .app
        .dialog
        .as_ref()
        .and_then(|d| Some((d, requests.iter().find(|r| r.id() == d.id())?)));
    let (bottom, cursor) = match asked {
        Some((dialog, request)) => {
            let view = dialog.view(request, requests.len(), scene.contents, columns, room);
            let end = (view.rows.len().saturating_sub(1), 0);
            (view.rows, view.cursor.unwrap_or(end))
        }
        None => input(scene),
    };
    let mut middle: Vec<Line> = Vec::new();
    if let Some(session) = scene.mirror.session() {
        middle.extend(blocks::todos(&todos(session)));
    }
    middle.extend(scene.mirror.chat().into_iter().flat_map(pending));
    if scene.app.help {
        middle.extend(help());
    }
    if asked.is_none() {
        middle.extend(scene.app.commands.rows(scene.app.editor.text()));
    }
    let shared = scene.mirror.session().and_then(remote::of);
    middle.extend(scene.app.remote.rows(shared.as_ref(), columns, room));
    let mut middle: Vec<Line> = middle.iter().flat_map(|l| l.wrap(columns)).collect();
    let mut left = room.saturating_sub(bottom.len());
    let cut = middle.len().saturating_sub(left);
    middle.drain(..cut);
    left -= middle.len();
    let mut rows: Vec<Line> = scene
        .streaming
        .iter()
        .flat_map(|line| line.wrap(columns))
        .collect();
    let cut = rows.len().saturating_sub(left);
    rows.drain(..cut);
    rows.extend(middle);
    rows.push(rule);
    let cursor = (rows.len() + cursor.0, cursor.1);
    rows.extend(bottom);
    rows.extend(status);
    Live { rows, cursor }
}

fn input(scene: &Scene<'_>) -> (Vec<Line>, (usize, usize)) {
    let mark = Style {
        colour: Some(Colour::Blue),
        ..Style::BOLD
    };
    let editor = &scene.app.editor;
    if editor.is_empty() {
        let text = match scene.mirror.active_turn() {
            _ if scene.app.remote.wants_code() => "type the code that the device shows",
            Some(_) => "Enter steers, Ctrl+Q queues",
            None if scene.mirror.interrupted_turn().is_some() => CONTINUE,
            None => "ask for something, ? for help",
        };
        let line = Line::styled("❯ ", mark)
            .with(text, Style::DIM)
            .cut(scene.columns);
        return (vec![line], (0, 2));
    }
    let (texts, (row, column)) = editor.rows(scene.columns.saturating_sub(2));
    // The rows around the cursor.
    let from = (row + 1).saturating_sub(INPUT_ROWS);
    let rows = texts
        .iter()
        .enumerate()
        .skip(from)
        .take(INPUT_ROWS)
        .map(|(index, text)| {
            let prefix = if index == 0 { "❯ " } else { "  " };
            Line::styled(prefix, mark).with(text.clone(), Style::PLAIN)
        })
        .collect();
    (rows, (row - from, column + 2))
}

fn pending(chat: &ChatState) -> Vec<Line> {
    let line = |what: &str, text: &str| {
        Line::styled(format!("⏳ {what}: "), Style::DIM)
            .with(truncate(&one_line(text), 200), Style::DIM)
            .hanging(2)
    };
    let mut out: Vec<Line> = Vec::new();
    if let Some(message) = &chat.steering_message {
        out.push(line("joins the turn", &message.message.text));
    }
    for message in chat.queued_messages.iter().flatten() {
        out.push(line("queued", &message.message.text));
    }
    out
}

fn help() -> Vec<Line> {
    let keys = [
        ("Enter", "send; while the agent works, join the turn"),
        ("Enter, empty line", "continue an interrupted turn"),
        ("Ctrl+Q", "queue for after the turn"),
        ("↑", "take back the last queued text; history"),
        ("Alt+Enter, Ctrl+J", "new line"),
        ("Esc Esc, Ctrl+C", "interrupt"),
        ("Ctrl+C twice, Ctrl+D", "detach; the session goes on"),
        ("Shift+Tab", "the next mode: interactive, plan, autopilot"),
        ("Ctrl+L", "redraw"),
        (
            "Ctrl+E, empty line",
            "show or hide the link for other devices",
        ),
        ("/", "list the commands, the agent's own too"),
    ];
    let keys = keys
        .iter()
        .map(|(key, what)| ((*key).to_owned(), (*what).to_owned()));
    keys.chain(slash::help())
        .map(|(key, what)| {
            Line::styled(format!("  {key:<22}"), Style::BOLD)
                .with(what, Style::PLAIN)
                .hanging(24)
        })
        .collect()
}

/// The model that the session works with, as far as it is known.
fn model(app: &App, chat: Option<&ChatState>) -> Option<String> {
    let used = chat.and_then(|chat| {
        let active = chat.active_turn.as_ref();
        active
            .and_then(|t| t.message.model.as_ref().map(|m| m.id.clone()))
            .or_else(|| active.and_then(|t| t.usage.as_ref()?.model.clone()))
            .or_else(|| {
                chat.turns
                    .last()
                    .and_then(|t| t.usage.as_ref()?.model.clone())
            })
    });
    app.model.clone().or(used)
}

fn status(scene: &Scene<'_>) -> Line {
    let mirror = scene.mirror;
    let session = mirror.session();
    let state = match scene.app.link {
        Link::Lost(_) => "not connected".to_owned(),
        Link::Up if session.is_some_and(cancelling) => "cancelling".to_owned(),
        Link::Up => state_words(mirror.state()),
    };
    let style = match (scene.app.link, mirror.state()) {
        (Link::Lost(_), _) | (_, "error") => Style::of(Colour::Red),
        (_, "working" | "starting") => Style::of(Colour::Yellow),
        (_, state) if needs_someone(state) => Style::of(Colour::Magenta),
        _ => Style::of(Colour::Green),
    };
    let mut line = Line::styled(format!("● {}", one_line(&state)), style);
    let turn = mirror.chat().and_then(|chat| chat.active_turn.as_ref());
    if let Some(started) = turn.and_then(|t| t.started_at.parse::<Timestamp>().ok()) {
        let elapsed = (scene.clock.as_second() - started.as_second()).max(0);
        line.push(format!(" {}", seconds(elapsed)), style);
    }
    let folder = session
        .and_then(|s| path_of_file_uri(s.working_directories.as_ref()?.first()?))
        .map(|path| short_path(&path, scene.home));
    let title = session.map(|s| truncate(&s.title, 40));
    let mode = session.map(mode).filter(|name| *name != MODES[0]);
    if let Some(mode) = mode {
        line.push(
            format!(" · {} mode", one_line(mode)),
            Style::of(Colour::Cyan),
        );
    }
    if session.is_some_and(asks_nothing) {
        line.push(" · allows everything", Style::of(Colour::Red));
    }
    match session.and_then(|s| confinement(s.meta.as_ref())) {
        Some("confined") => line.push(" · confined", Style::DIM),
        Some(other) => line.push(format!(" · {}", one_line(other)), Style::of(Colour::Yellow)),
        None => {}
    }
    if let Some(shared) = session.and_then(remote::of) {
        let (words, style) = remote::in_status(&shared);
        line.push(format!(" · {words}"), style);
    }
    let others = session.map_or(0, clients).saturating_sub(1);
    let others = (others > 0).then(|| format!("+{others} attached"));
    for fact in [title, model(scene.app, mirror.chat()), folder, others]
        .into_iter()
        .flatten()
        .filter(|fact| !fact.trim().is_empty())
    {
        line.push(format!(" · {}", one_line(&fact)), Style::DIM);
    }
    line.cut(scene.columns)
}

fn hint(scene: &Scene<'_>) -> Line {
    if let Link::Lost(since) = scene.app.link {
        let text = format!(
            "the daemon went away; reconnecting since {} · Ctrl+D detaches",
            seconds(i64::try_from(scene.now.duration_since(since).as_secs()).unwrap_or(0))
        );
        return Line::styled(text, Style::of(Colour::Red)).cut(scene.columns);
    }
    let listed = scene.app.dialog.is_none() && scene.app.lists_commands();
    let text = match scene.app.hint(scene.now) {
        Some(hint) => hint,
        None if listed => "↑ ↓ choose · Tab puts it in · Esc hides the list",
        None if scene.mirror.active_turn().is_some() => "Esc Esc interrupts · Ctrl+D detaches",
        None => "Ctrl+D detaches · ? help",
    };
    Line::styled(one_line(text), Style::DIM).cut(scene.columns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{CHAT, SESSION, envelope, interrupted, mirror};
    use crate::terminal::editor::Edit;
    use crate::terminal::keys::Key;

    fn scene<'a>(
        app: &'a App,
        mirror: &'a Mirror,
        contents: &'a Contents,
        streaming: &'a [Line],
        rows: usize,
    ) -> Scene<'a> {
        Scene {
            app,
            mirror,
            contents,
            streaming,
            columns: 50,
            rows,
            now: Instant::now(),
            clock: "2025-01-01T00:01:05Z".parse().unwrap(),
            home: None,
        }
    }

    fn text(live: &Live) -> Vec<String> {
        live.rows.iter().map(Line::text).collect()
    }

    #[test]
    fn idle_shows_the_input_and_the_status() {
        let (app, mirror, contents) = (App::new(Some("m1".into())), mirror(), Contents::default());
        let live = live(&scene(&app, &mirror, &contents, &[], 24));
        assert_eq!(
            text(&live),
            [
                "─".repeat(50).as_str(),
                "❯ ask for something, ? for help",
                "● idle · a title · m1",
                "Ctrl+D detaches · ? help"
            ]
        );
        assert_eq!(live.cursor, (1, 2));
    }

    #[test]
    fn the_cursor_follows_wide_text_over_lines() {
        let (mut app, mirror, contents) = (App::new(None), mirror(), Contents::default());
        for edit in [
            Edit::Insert("日本".into()),
            Edit::Insert("\n".into()),
            Edit::Insert("é".into()),
        ] {
            app.key(Key::Edit(edit), &mirror, Instant::now());
        }
        let live = live(&scene(&app, &mirror, &contents, &[], 24));
        assert_eq!(text(&live)[1..3], ["❯ 日本", "  é"]);
        assert_eq!(live.cursor, (2, 3));
    }

    #[test]
    fn what_streams_gives_way_and_never_the_input() {
        let (app, mut mirror, contents) = (App::new(None), mirror(), Contents::default());
        mirror.apply(&envelope(CHAT, 11, json!({"type": "chat/turnStarted", "turnId": "t",
            "startedAt": "2025-01-01T00:00:00.000Z", "message": {"text": "x", "origin": {"kind": "user"}}})));
        mirror.apply(&envelope(
            CHAT,
            12,
            json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "m",
            "message": {"text": "then this", "origin": {"kind": "user"}}}),
        ));
        mirror.apply(&envelope(
            SESSION,
            13,
            json!({"type": "session/metaChanged", "_meta": {"copilot.state": "working",
            "copilot.todos": [{"content": "one", "status": "in_progress"}]}}),
        ));
        let streaming: Vec<Line> = (1..=30).map(|n| Line::plain(format!("line {n}"))).collect();
        let live = live(&scene(&app, &mirror, &contents, &streaming, 10));
        let shown = text(&live);
        assert_eq!(shown.len(), 10);
        assert_eq!(
            shown[..5],
            ["line 28", "line 29", "line 30", "To do (0/1)", "  ▸ one"]
        );
        assert_eq!(shown[5], "⏳ queued: then this");
        assert!(shown[8].starts_with("● working 1m 5s"), "{shown:?}");
        assert_eq!(live.cursor, (7, 2));
    }

    #[test]
    fn an_interrupted_turn_is_offered_on_an_empty_line_only() {
        let (mut app, mut mirror, contents) = (App::new(None), mirror(), Contents::default());
        mirror.apply(&envelope(CHAT, 11, json!({"type": "chat/turnStarted", "turnId": "t",
            "startedAt": "2025-01-01T00:00:00.000Z", "message": {"text": "x", "origin": {"kind": "user"}}})));
        mirror.apply(&envelope(CHAT, 12, interrupted("t")));
        let shown = text(&live(&scene(&app, &mirror, &contents, &[], 24)));
        assert_eq!(shown[1], "❯ Enter continues the interrupted turn");
        app.key(
            Key::Edit(Edit::Insert("no".into())),
            &mirror,
            Instant::now(),
        );
        let shown = text(&live(&scene(&app, &mirror, &contents, &[], 24)));
        assert_eq!(shown[1], "❯ no");
    }

    #[test]
    fn the_mode_and_allowing_everything_are_shown() {
        let (app, mut mirror, contents) = (App::new(None), mirror(), Contents::default());
        let change =
            json!({"type": "session/configChanged", "config": {"mode": "plan", "allowAll": true}});
        mirror.apply(&envelope(SESSION, 11, change));
        let known = json!({"type": "session/metaChanged", "_meta": {"copilot.state": "idle", "copilot.confinement": "confined"}});
        mirror.apply(&envelope(SESSION, 12, known));
        let shown = text(&live(&scene(&app, &mirror, &contents, &[], 24)));
        let words = "● idle · plan mode · allows everything · conf";
        assert!(shown[2].starts_with(words), "{shown:?}");
    }

    #[test]
    fn a_lost_connection_is_said() {
        let (mut app, mirror, contents) = (App::new(None), mirror(), Contents::default());
        app.link = Link::Lost(Instant::now());
        let shown = text(&live(&scene(&app, &mirror, &contents, &[], 24)));
        assert!(shown[2].starts_with("● not connected"), "{shown:?}");
        assert!(shown[3].contains("reconnecting"), "{shown:?}");
    }
}
