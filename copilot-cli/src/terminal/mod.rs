//! The terminal client: one attached session on one terminal.
//!
//! Owns the loop and the terminal's modes. What is decided and what is shown is
//! decided in the pure modules beside it; what happened, in the daemon.

mod app;
mod blocks;
mod dialog;
mod diff;
mod editor;
mod guard;
mod keys;
mod line;
mod markdown;
mod pairing;
mod remote;
mod screen;
mod slash;
mod timeline;
mod view;

use std::io::Stdout;
use std::pin::Pin;
use std::time::{Duration, Instant};

use ahp_types::commands::DisposeSessionParams;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use ipc_proto::paths::Paths;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use self::app::{App, Effect, Link, Sent};
use self::diff::Contents;
use self::guard::Guard;
use self::line::{Line, Paint, Style};
use self::pairing::{Pairing, Progress};
use self::screen::Screen;
use self::timeline::Timeline;
use crate::client::{
    Attached, Client, Identity, Mirror, Resumed, Update, clients, read_content, session_id,
    short_id,
};
use crate::error::{CliError, Exit};
use crate::output::{Output, colours};
use crate::text::one_line;

/// How many finished turns an attaching terminal asks for.
pub(crate) const TURNS: i64 = 30;
/// Between two paints at least; faster is not seen, only paid for.
const FRAME: Duration = Duration::from_millis(16);
/// The clock in the status line.
const TICK: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to reconnect.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// What the command line says about this attachment.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Sent at once.
    pub(crate) prompt: Option<String>,
    /// Goes with every message of this terminal.
    pub(crate) model: Option<String>,
    /// Whether the session was created for this terminal.
    pub(crate) created: bool,
    /// Whether remote access was asked for, so that its link is shown. That of a new session is
    /// shown whatever turned it on.
    pub(crate) remote: bool,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Detached,
    /// A signal took the terminal away or asked us to go.
    Signalled,
    Closed,
    Deleted,
}

type Reconnecting = Pin<Box<dyn Future<Output = Result<Resumed, CliError>>>>;

struct Session<'a> {
    attached: Attached,
    paths: &'a Paths,
    identity: Identity,
    app: App,
    timeline: Timeline,
    contents: Contents,
    streaming: Vec<Line>,
    finished: Vec<Line>,
    screen: Screen<Stdout>,
    reconnecting: Option<Reconnecting>,
    pairing: Option<Pairing>,
    backoff: Duration,
    /// Whether the session was closed when we came, or before it was reopened.
    was_closed: bool,
    /// Shown once more turns are here.
    older: bool,
}

/// Runs the terminal client until the person leaves or the session ends.
pub(crate) async fn run(
    attached: Attached,
    paths: &Paths,
    identity: Identity,
    options: Options,
    out: &mut Output,
) -> Result<Exit, CliError> {
    let (columns, rows) = crossterm::terminal::size()?;
    let paint = if colours() {
        Paint::Full
    } else {
        Paint::NoColour
    };
    let guard = Guard::take()?;
    let mut session = Session {
        was_closed: attached.mirror().closed(),
        attached,
        paths,
        identity,
        app: App::new(options.model),
        timeline: Timeline::default(),
        contents: Contents::default(),
        streaming: Vec::new(),
        finished: Vec::new(),
        screen: Screen::new(std::io::stdout(), columns, rows, paint),
        reconnecting: None,
        pairing: None,
        backoff: Duration::ZERO,
        older: false,
    };
    let is_remote = |mirror: &Mirror| mirror.session().and_then(remote::of).is_some();
    if options.remote || options.created && is_remote(session.attached.mirror()) {
        session.app.ask_remote();
    }
    let result = session.run(options.prompt).await;
    let finished = std::mem::take(&mut session.finished);
    let closed = session.screen.close(finished);
    drop(guard);
    let end = result?;
    if end != End::Signalled {
        closed?;
    }
    let mirror = session.attached.mirror();
    let id = short_id(mirror.session_uri());
    let title = mirror
        .session()
        .map(|s| one_line(&s.title))
        .unwrap_or_default();
    match end {
        End::Detached | End::Signalled => {
            if options.created && session.reconnecting.is_none() && is_ours_alone(mirror) {
                let params = DisposeSessionParams {
                    channel: mirror.session_uri().to_owned(),
                    meta: None,
                };
                session
                    .attached
                    .client()
                    .call::<_, serde_json::Value>("disposeSession", &params)
                    .await?;
                out.note("detached; nothing was said, so the session is gone");
            } else {
                let name = if title.is_empty() {
                    String::new()
                } else {
                    format!(" “{title}”")
                };
                out.note(&format!(
                    "detached from{name}; the session goes on: copilot attach {id}"
                ));
            }
        }
        End::Closed => out.note(&format!(
            "the session was closed; copilot --resume={id} reopens it"
        )),
        End::Deleted => out.note("the session was deleted"),
    }
    Ok(Exit::Done)
}

/// Whether a new session is of no use to anybody once this terminal leaves: nothing was ever said
/// in it, no other client is attached, and no device can come.
fn is_ours_alone(mirror: &Mirror) -> bool {
    let unused = mirror
        .chat()
        .is_some_and(|c| c.turns.is_empty() && c.active_turn.is_none());
    let alone = mirror
        .session()
        .is_some_and(|s| clients(s) <= 1 && remote::of(s).is_none());
    unused && alone
}

/// The session so far as text, for `sessions show`. Changes are read through `client`.
pub(crate) async fn transcript(
    client: &mut Client,
    session: &str,
    mirror: &Mirror,
    colours: bool,
) -> Result<String, CliError> {
    let mut timeline = Timeline::default();
    let mut contents = Contents::default();
    let mut advance = timeline.advance(mirror, &mut contents);
    while !advance.wanted.is_empty() {
        for uri in std::mem::take(&mut advance.wanted) {
            let content = read_content(client, session, &uri).await?;
            contents.put(uri, content.map_err(|e| e.to_string()));
        }
        let more = timeline.advance(mirror, &mut contents);
        advance.finished.extend(more.finished);
        advance.live = more.live;
        advance.wanted = more.wanted;
    }
    let paint = if colours { Paint::Full } else { Paint::Plain };
    let mut text = String::new();
    for line in advance.finished.iter().chain(&advance.live) {
        text.push_str(&line.ansi(paint));
        text.push('\n');
    }
    Ok(text)
}

impl Session<'_> {
    async fn run(&mut self, prompt: Option<String>) -> Result<End, CliError> {
        let mut events = EventStream::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.changed().await?;
        if let Some(prompt) = prompt.filter(|p| !p.trim().is_empty()) {
            let effect = self.app.prompt(prompt);
            self.carry_out(vec![effect]).await?;
        }
        let mut dirty = true;
        let mut painted: Option<Instant> = None;
        loop {
            let due = painted.map_or(Duration::ZERO, |at| FRAME.saturating_sub(at.elapsed()));
            if dirty && due.is_zero() {
                self.paint()?;
                dirty = false;
                painted = Some(Instant::now());
            }
            let ticking = self.attached.mirror().active_turn().is_some()
                || self.app.link != Link::Up
                || self.app.hint(Instant::now()).is_some();
            tokio::select! {
                // Keys first: a flood of output must not hold up a Ctrl+C.
                biased;
                _ = terminate.recv() => return Ok(End::Signalled),
                _ = hangup.recv() => return Ok(End::Signalled),
                // Ctrl+C is a key here; a signal comes from elsewhere.
                _ = interrupt.recv() => return Ok(End::Signalled),
                event = events.next() => {
                    match event {
                        None | Some(Err(_)) => return Ok(End::Signalled),
                        Some(Ok(event)) => {
                            let effects = self.input(event);
                            if self.carry_out(effects).await? {
                                return Ok(End::Detached);
                            }
                        }
                    }
                    dirty = true;
                }
                resumed = wait(&mut self.reconnecting) => {
                    if let Some(end) = self.reconnected(resumed).await? {
                        return Ok(end);
                    }
                    dirty = true;
                }
                progress = next(&mut self.pairing) => {
                    if progress.is_none() {
                        self.pairing = None;
                    }
                    self.app.paired(progress);
                    dirty = true;
                }
                () = tokio::time::sleep(due), if dirty => {}
                update = self.attached.next(), if self.reconnecting.is_none() => {
                    match update {
                        Ok(update) => {
                            if let Some(end) = self.updated(update).await? {
                                return Ok(end);
                            }
                        }
                        Err(error) if error.is_lost() => self.lost(),
                        Err(error) => return Err(error.into()),
                    }
                    dirty = true;
                }
                _ = tick.tick(), if ticking => dirty = true,
            }
        }
    }

    fn input(&mut self, event: Event) -> Vec<Effect> {
        let mirror = self.attached.mirror();
        match event {
            Event::Key(event) => match keys::key(event) {
                Some(key) => self.app.key(key, mirror, Instant::now()),
                None => Vec::new(),
            },
            Event::Paste(text) => self.app.paste(text, mirror, Instant::now()),
            Event::Resize(columns, rows) => {
                self.screen.resize(columns, rows);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Does what was asked for; true when that is to leave.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<bool, CliError> {
        for effect in effects {
            match effect {
                Effect::Detach => return Ok(true),
                Effect::Redraw => self.screen.redraw(),
                Effect::Dispatch(action, sent) => self.dispatch(*action, sent).await?,
                Effect::Pair => {
                    let session = session_id(self.attached.mirror().session_uri()).to_owned();
                    self.pairing = Some(Pairing::start(self.paths.clone(), session));
                }
                Effect::Code(code) => {
                    if let Some(pairing) = &self.pairing {
                        pairing.code(code);
                    }
                }
                Effect::EndPairing => self.pairing = None,
                Effect::Commands => match self.attached.ask_for_commands().await {
                    Ok(()) => {}
                    Err(error) if error.is_lost() => self.lost(),
                    Err(error) => return Err(error.into()),
                },
                Effect::Older => match self.attached.fetch_older().await {
                    Ok(asked) => self.older = asked,
                    Err(error) if error.is_lost() => self.lost(),
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(false)
    }

    async fn dispatch(
        &mut self,
        action: ahp_types::actions::StateAction,
        sent: Sent,
    ) -> Result<(), CliError> {
        match self.attached.dispatch(action).await {
            Ok(input) => self.app.sent(input, sent),
            Err(error) if error.is_lost() => self.lost(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn updated(&mut self, update: Update) -> Result<Option<End>, CliError> {
        match update {
            Update::Removed => return Ok(Some(End::Deleted)),
            Update::Nothing => return Ok(None),
            Update::State => {}
            Update::Confirmed(input) => self.app.confirmed(input),
            Update::Rejected { input, reason } => {
                let effects = self.app.rejected(input, &reason, self.attached.mirror());
                self.carry_out(effects).await?;
            }
            Update::Content { uri, result } => {
                self.contents.put(uri, result.map_err(|e| e.to_string()));
            }
            Update::Commands(commands) => {
                let mirror = self.attached.mirror();
                let effects = self.app.offered(commands, mirror, Instant::now());
                if self.carry_out(effects).await? {
                    return Ok(Some(End::Detached));
                }
            }
            Update::OlderTurns(Err(error)) => {
                self.older = false;
                self.finished
                    .extend(blocks::notice(&format!("no earlier turns: {error}")));
            }
            Update::OlderTurns(Ok(())) => {
                if std::mem::take(&mut self.older) {
                    self.timeline = Timeline::default();
                    self.finished.clear();
                    self.screen.forget();
                    self.finished.push(Line::styled(
                        "── from the beginning of what is loaded ──",
                        Style::DIM,
                    ));
                }
            }
        }
        self.changed().await
    }

    /// Takes the new state into the timeline and the dialog, and asks for what they need.
    async fn changed(&mut self) -> Result<Option<End>, CliError> {
        let wanted = {
            let mirror = self.attached.mirror();
            let mut wanted = self.app.sync(mirror, &mut self.contents);
            self.finished.extend(self.app.take_notices());
            let advance = self.timeline.advance(mirror, &mut self.contents);
            self.finished.extend(advance.finished);
            self.streaming = advance.live;
            wanted.extend(advance.wanted);
            wanted
        };
        if self.reconnecting.is_none() {
            if let Err(error) = self.ask(&wanted).await {
                if !error.is_lost() {
                    return Err(error.into());
                }
                self.lost();
            }
        } else if !wanted.is_empty() {
            self.contents.forget_asked();
        }
        let effects = self.app.sync_remote(self.attached.mirror());
        Box::pin(self.carry_out(effects)).await?;
        let closed = self.attached.mirror().closed();
        let closing = closed && !self.was_closed;
        self.was_closed = closed;
        Ok(closing.then_some(End::Closed))
    }

    async fn ask(&mut self, contents: &[String]) -> Result<(), crate::client::ClientError> {
        self.attached.settle().await?;
        for uri in contents {
            self.attached.read(uri).await?;
        }
        Ok(())
    }

    fn lost(&mut self) {
        if self.app.link == Link::Up {
            self.app.lost(Instant::now());
            self.backoff = Duration::ZERO;
        }
        self.contents.forget_asked();
        self.older = false;
        let pause = self.backoff;
        self.backoff = (self.backoff * 2).clamp(Duration::from_millis(100), MAX_BACKOFF);
        let attempt = self
            .attached
            .reconnect(self.paths.clone(), self.identity.clone());
        self.reconnecting = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            attempt.await
        }));
    }

    async fn reconnected(
        &mut self,
        resumed: Result<Resumed, CliError>,
    ) -> Result<Option<End>, CliError> {
        self.reconnecting = None;
        let resumed = match resumed {
            Ok(resumed) => resumed,
            Err(error) if error.exit() == Exit::NoDaemon => {
                self.lost();
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match self.attached.resume(resumed).await {
            Ok(true) => {
                self.app.link = Link::Up;
                self.changed().await
            }
            Ok(false) => Err(CliError::new(
                "the daemon was restarted and does not have this session any more",
            )),
            Err(error) if error.is_lost() => {
                self.lost();
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn paint(&mut self) -> Result<(), CliError> {
        self.finished.extend(self.app.take_notices());
        let home = std::env::var_os("HOME");
        let live = view::live(&view::Scene {
            app: &self.app,
            mirror: self.attached.mirror(),
            contents: &self.contents,
            streaming: &self.streaming,
            columns: self.screen.columns(),
            rows: self.screen.rows(),
            now: Instant::now(),
            clock: Timestamp::now(),
            home: home.as_deref(),
        });
        let finished = std::mem::take(&mut self.finished);
        Ok(self.screen.paint(finished, &live.rows, live.cursor)?)
    }
}

/// What pairing says next; never, while none is under way.
async fn next(pairing: &mut Option<Pairing>) -> Option<Progress> {
    match pairing {
        Some(pairing) => pairing.next().await,
        None => std::future::pending().await,
    }
}

/// The end of an attempt to reconnect; never, while none is under way.
async fn wait(reconnecting: &mut Option<Reconnecting>) -> Result<Resumed, CliError> {
    match reconnecting {
        Some(attempt) => attempt.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{CHAT, SESSION, envelope, mirror};

    #[test]
    fn a_new_session_is_kept_when_something_was_said_and_when_somebody_else_is_there_or_can_come() {
        let us = json!({"name": "terminal pts/1", "trust": "local"});
        let other = json!({"name": "terminal pts/2", "trust": "local"});
        let table = [
            (json!({"copilot.clients": [us]}), true),
            (
                json!({"copilot.remote": {"on": false, "refused": "no"}}),
                true,
            ),
            (json!({"copilot.clients": [us, other]}), false),
            (
                json!({"copilot.remote": {"on": true, "state": "off"}}),
                false,
            ),
        ];
        for (meta, gone) in table {
            let mut mirror = mirror();
            let change = json!({"type": "session/metaChanged", "_meta": meta});
            mirror.apply(&envelope(SESSION, 11, change));
            assert_eq!(is_ours_alone(&mirror), gone, "{meta}");
        }
        let mut said = mirror();
        let turn = json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "2025-01-01T00:00:00.000Z",
            "message": {"text": "hi", "origin": {"kind": "user"}}});
        said.apply(&envelope(CHAT, 11, turn));
        assert!(!is_ours_alone(&said));
    }
}
