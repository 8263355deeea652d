//! What the person is doing: input, dialog, notices. From keys and state to effects.
//!
//! Pure: time comes in as an argument, and effects are carried out by the loop.
//! Never assumes that an effect happened: the mirrored state says so.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ahp_types::actions::{
    ChatPendingMessageRemovedAction, ChatPendingMessageSetAction, ChatTurnCancelledAction,
    ChatTurnResumeAction, ChatTurnStartedAction, StateAction,
};
use ahp_types::state::{Message, ModelSelection, PendingMessageKind};
use jiff::Timestamp;

use super::dialog::{Dialog, Outcome};
use super::diff::Contents;
use super::editor::{Edit, Editor};
use super::keys::Key;
use super::line::{Colour, Line, Style};
use super::pairing::Progress;
use super::remote::{self, Asked, RemotePanel};
use super::slash::Commands;
use crate::client::{
    Answer, Mirror, OpenRequest, cancelling, mode, next_mode, open_requests, switch_mode,
    user_message,
};
use crate::text::one_line;

/// Within this time a second Ctrl+C detaches.
const TWICE: Duration = Duration::from_secs(2);
/// Within this time a second Esc interrupts.
const ESCAPE_TWICE: Duration = Duration::from_secs(1);
/// How long a hint stays.
const HINT: Duration = Duration::from_secs(4);

/// What the loop has to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Ask the host for an action.
    Dispatch(Box<StateAction>, Sent),
    /// Leave; the session goes on.
    Detach,
    /// Paint everything anew.
    Redraw,
    /// Load older turns and show everything from the beginning.
    Older,
    /// Ask the host what can be typed after a slash.
    Commands,
    /// Make a pairing link, if no device can come.
    Pair,
    /// A person typed the code of a device.
    Code(String),
    /// Nobody waits for a device any more.
    EndPairing,
}

/// What an action was for, so that its echo or rejection means something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sent {
    Prompt(String),
    Steer(String),
    Answer(String),
    Cancel,
    Continue,
    /// A setting of the session.
    Setting,
    TakeBack(String),
}

/// The connection, as a person needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// Lost since then.
    Lost(Instant),
}

/// Everything that is this terminal's own.
#[derive(Debug)]
pub(crate) struct App {
    pub(super) editor: Editor,
    pub(super) commands: Commands,
    pub(super) dialog: Option<Dialog>,
    /// Dialogs of other open requests, as they were left.
    aside: Vec<Dialog>,
    pub(super) link: Link,
    pub(super) help: bool,
    /// What is shown of remote access.
    pub(super) remote: RemotePanel,
    pub(super) model: Option<String>,
    /// Lines that go into the scrollback with the next paint.
    notices: Vec<Line>,
    hint: Option<(String, Instant)>,
    last_cancel: Option<Instant>,
    last_escape: Option<Instant>,
    /// Open requests that were seen, with their titles.
    open: HashMap<String, String>,
    ours: HashSet<String>,
    sent: HashMap<i64, Sent>,
}

impl App {
    pub(crate) fn new(model: Option<String>) -> Self {
        Self {
            editor: Editor::default(),
            commands: Commands::default(),
            dialog: None,
            aside: Vec::new(),
            link: Link::Up,
            help: false,
            remote: RemotePanel::default(),
            model,
            notices: Vec::new(),
            hint: None,
            last_cancel: None,
            last_escape: None,
            open: HashMap::new(),
            ours: HashSet::new(),
            sent: HashMap::new(),
        }
    }

    /// Lines for the scrollback.
    pub(crate) fn take_notices(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.notices)
    }

    /// The hint of the moment, while it lasts.
    pub(super) fn hint(&self, now: Instant) -> Option<&str> {
        self.hint
            .as_ref()
            .filter(|(_, since)| now.duration_since(*since) < HINT)
            .map(|(text, _)| text.as_str())
    }

    pub(super) fn say(&mut self, text: impl Into<String>, now: Instant) {
        self.hint = Some((text.into(), now));
    }

    fn note(&mut self, text: impl AsRef<str>) {
        let line = Line::styled(
            format!("ℹ {}", one_line(text.as_ref())),
            Style::of(Colour::Yellow),
        );
        self.notices.push(line.hanging(2));
    }

    /// Takes in a new state: opens and closes dialogs, and says who answered.
    /// Returns the contents that the open dialog needs.
    pub(crate) fn sync(&mut self, mirror: &Mirror, contents: &mut Contents) -> Vec<String> {
        let requests = mirror.chat().map(open_requests).unwrap_or_default();
        let gone: Vec<(String, String)> = self
            .open
            .iter()
            .filter(|(id, _)| !requests.iter().any(|r| r.id() == *id))
            .map(|(id, title)| (id.clone(), title.clone()))
            .collect();
        for (id, title) in gone {
            self.open.remove(&id);
            if self.ours.remove(&id) {
                continue;
            }
            if let Some(answered) = mirror.answer(&id) {
                self.note(format!("{title}: {answered}"));
            }
        }
        for request in &requests {
            self.open
                .entry(request.id().to_owned())
                .or_insert_with(|| title(request));
        }
        let is_open = |dialog: &Dialog| requests.iter().any(|r| r.id() == dialog.id());
        self.aside.retain(is_open);
        if !self.dialog.as_ref().is_some_and(is_open) {
            self.dialog = requests.first().map(|first| self.dialog_of(first));
        }
        let shown = self.dialog.as_ref().map(Dialog::id);
        requests
            .iter()
            .find(|r| Some(r.id()) == shown)
            .map(Dialog::contents)
            .unwrap_or_default()
            .into_iter()
            .filter(|uri| contents.want(uri))
            .collect()
    }

    /// The dialog of a request, as it was left or anew.
    fn dialog_of(&mut self, request: &OpenRequest) -> Dialog {
        let left = self.aside.iter().position(|d| d.id() == request.id());
        left.map_or_else(|| Dialog::new(request), |at| self.aside.remove(at))
    }

    /// Turns to the next open request; requests are answered in any order.
    fn next_request(&mut self, requests: &[OpenRequest]) {
        let shown = self.dialog.as_ref().map(Dialog::id);
        let at = requests.iter().position(|r| Some(r.id()) == shown);
        let next = at.map_or(0, |at| at + 1) % requests.len().max(1);
        if let Some(request) = requests.get(next).filter(|r| Some(r.id()) != shown) {
            let dialog = self.dialog_of(request);
            self.aside.extend(self.dialog.replace(dialog));
        }
    }

    /// The connection is lost, since now.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.link = Link::Lost(now);
        self.commands.forget();
    }

    /// An action got its number.
    pub(crate) fn sent(&mut self, input: i64, what: Sent) {
        self.sent.insert(input, what);
    }

    /// The host took it.
    pub(crate) fn confirmed(&mut self, input: i64) {
        match self.sent.remove(&input) {
            Some(Sent::TakeBack(text)) if self.editor.is_empty() => self.editor.set(&text),
            Some(Sent::TakeBack(text)) => self.editor.remember(&text),
            _ => {}
        }
    }

    /// The host refused it.
    pub(crate) fn rejected(&mut self, input: i64, reason: &str, mirror: &Mirror) -> Vec<Effect> {
        match self.sent.remove(&input) {
            // It could no longer join the turn: then it is the next one.
            Some(Sent::Steer(text)) => {
                return vec![self.pending(PendingMessageKind::Queued, text)];
            }
            Some(Sent::Prompt(text)) => {
                self.note(format!("not sent: {reason}"));
                if self.editor.is_empty() {
                    self.editor.set(&text);
                }
            }
            Some(Sent::Answer(id)) => {
                // The reason names who was first, so that need not be said again.
                self.open.remove(&id);
                self.ours.remove(&id);
                self.note(reason);
            }
            // Someone else may have been first.
            Some(Sent::Continue) if mirror.active_turn().is_none() => {
                self.note(format!("not continued: {reason}"));
            }
            Some(Sent::Setting) => {
                self.remote.refused();
                self.note(reason);
            }
            Some(Sent::Cancel) if mirror.active_turn().is_some() => self.note(reason),
            Some(Sent::Cancel | Sent::Continue | Sent::TakeBack(_)) | None => {}
        }
        Vec::new()
    }

    /// Pasted text.
    pub(crate) fn paste(&mut self, text: String, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        // As one insertion: a newline in it is text and sends nothing.
        self.edit(Edit::Insert(text), mirror, now)
    }

    fn edit(&mut self, edit: Edit, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        self.key(Key::Edit(edit), mirror, now)
    }

    /// Takes a key.
    pub(crate) fn key(&mut self, key: Key, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        match key {
            Key::Cancel => return self.cancel(mirror, now),
            Key::Redraw => return vec![Effect::Redraw],
            // Also while a question is open: it may be why the mode should change.
            Key::NextMode => {
                let now_in = mirror.session().map(mode).unwrap_or_default();
                return self.setting(switch_mode(next_mode(now_in)), now);
            }
            Key::Expand if self.dialog.is_none() && self.editor.is_empty() => {
                return self.expand(mirror, now);
            }
            Key::Expand => return self.edit(Edit::LineEnd, mirror, now),
            // Leaving is always possible; the question stays for whoever comes.
            Key::EndOfInput if self.dialog.is_some() => return vec![Effect::Detach],
            _ => self.last_cancel = None,
        }
        if key != Key::Escape {
            self.last_escape = None;
        }
        if let Some(dialog) = &mut self.dialog {
            let requests = mirror.chat().map(open_requests).unwrap_or_default();
            if key == Key::Tab {
                self.next_request(&requests);
                return Vec::new();
            }
            let Some(request) = requests.iter().find(|r| r.id() == dialog.id()) else {
                return Vec::new();
            };
            if self.link != Link::Up {
                self.say("not connected: the answer was not sent", now);
                return Vec::new();
            }
            return match dialog.key(key, request) {
                Outcome::Nothing => Vec::new(),
                Outcome::Answer(answer) => self.answer(answer),
                Outcome::CancelTurn => cancel_turn(mirror),
            };
        }
        if let Some(effects) = self.pick(&key) {
            return effects;
        }
        match key {
            Key::Enter => self.submit(mirror, now),
            Key::Queue => self.queue(mirror, now),
            Key::EndOfInput if self.editor.is_empty() => vec![Effect::Detach],
            Key::EndOfInput => self.write(Edit::Delete),
            Key::Escape => self.escape(mirror, now),
            Key::Edit(Edit::Insert(text)) if text == "?" && self.editor.is_empty() => {
                self.help = !self.help;
                Vec::new()
            }
            Key::Edit(Edit::Up) if self.editor.is_empty() => match take_back(mirror) {
                Some(effect) => vec![effect],
                None => self.write(Edit::Up),
            },
            Key::Edit(edit) => self.write(edit),
            Key::Tab => self.write(Edit::Insert("    ".to_owned())),
            _ => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer) -> Vec<Effect> {
        let id = match &answer {
            Answer::Permission { tool_call_id, .. } => tool_call_id.clone(),
            Answer::Question { request_id, .. } => request_id.clone(),
        };
        // A second Enter before the host's word must not answer twice.
        if !self.ours.insert(id.clone()) {
            return Vec::new();
        }
        vec![Effect::Dispatch(
            Box::new(answer.into_action()),
            Sent::Answer(id),
        )]
    }

    fn cancel(&mut self, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        if self
            .last_cancel
            .is_some_and(|last| now.duration_since(last) < TWICE)
        {
            return vec![Effect::Detach];
        }
        self.last_cancel = Some(now);
        let effects = cancel_turn(mirror);
        if effects.is_empty() {
            if !self.editor.is_empty() {
                let text = self.take_text();
                self.editor.remember(&text);
            }
            self.say("Ctrl+C again detaches", now);
        } else {
            self.say("cancelling; Ctrl+C again detaches", now);
        }
        effects
    }

    fn escape(&mut self, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        if self.help {
            self.help = false;
            return Vec::new();
        }
        if self.remote.is_open() {
            return self.remote.close();
        }
        if mirror.active_turn().is_none() {
            return Vec::new();
        }
        if self
            .last_escape
            .take()
            .is_some_and(|last| now.duration_since(last) < ESCAPE_TWICE)
        {
            self.say("interrupting", now);
            return cancel_turn(mirror);
        }
        self.last_escape = Some(now);
        self.say("Esc again interrupts", now);
        Vec::new()
    }

    pub(super) fn submit(&mut self, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        let text = self.editor.text().trim().to_owned();
        if text.is_empty() {
            return self.continue_turn(mirror, now);
        }
        if self.remote.wants_code() {
            return self.code(&text, now);
        }
        if let Some(effects) = self.obey(&text, mirror, now) {
            return effects;
        }
        let Some(text) = self.ready_text(now) else {
            return Vec::new();
        };
        let steering = mirror.chat().is_some_and(|c| c.steering_message.is_some());
        match mirror.active_turn() {
            None => vec![self.prompt(text)],
            Some(_) if steering => vec![self.pending(PendingMessageKind::Queued, text)],
            Some(_) => vec![self.pending(PendingMessageKind::Steering, text)],
        }
    }

    /// Goes on with the interrupted turn, if there is one.
    fn continue_turn(&mut self, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        // A second Enter before the host's word must not ask twice.
        let asked = self.sent.values().any(|sent| *sent == Sent::Continue);
        let Some(turn) = mirror.interrupted_turn().filter(|_| !asked) else {
            return Vec::new();
        };
        if self.link != Link::Up {
            self.say("not connected: the turn was not continued", now);
            return Vec::new();
        }
        let action = StateAction::ChatTurnResume(ChatTurnResumeAction {
            turn_id: turn.to_owned(),
        });
        vec![Effect::Dispatch(Box::new(action), Sent::Continue)]
    }

    fn queue(&mut self, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        if self.editor.text().trim().is_empty() {
            return Vec::new();
        }
        let Some(text) = self.ready_text(now) else {
            return Vec::new();
        };
        match mirror.active_turn() {
            None => vec![self.prompt(text)],
            Some(_) => vec![self.pending(PendingMessageKind::Queued, text)],
        }
    }

    /// Empties the input.
    pub(super) fn take_text(&mut self) -> String {
        self.commands.forget();
        self.editor.take()
    }

    /// Takes the text out of the input, if it can be sent now.
    fn ready_text(&mut self, now: Instant) -> Option<String> {
        if self.link != Link::Up {
            self.say("not connected: the text stays here", now);
            return None;
        }
        self.help = false;
        let text = self.take_text();
        self.editor.remember(&text);
        Some(text.trim().to_owned())
    }

    fn message(&self, text: &str) -> Message {
        let mut message = user_message(text);
        message.model = self
            .model
            .clone()
            .map(|id| ModelSelection { id, config: None });
        message
    }

    /// The effect that starts a turn.
    pub(crate) fn prompt(&self, text: String) -> Effect {
        let action = StateAction::ChatTurnStarted(ChatTurnStartedAction {
            turn_id: uuid::Uuid::new_v4().to_string(),
            started_at: Timestamp::now().to_string(),
            message: self.message(&text),
            queued_message_id: None,
            meta: None,
        });
        Effect::Dispatch(Box::new(action), Sent::Prompt(text))
    }

    pub(super) fn pending(&self, kind: PendingMessageKind, text: String) -> Effect {
        let action = StateAction::ChatPendingMessageSet(ChatPendingMessageSetAction {
            kind,
            id: uuid::Uuid::new_v4().to_string(),
            message: self.message(&text),
        });
        let sent = match kind {
            PendingMessageKind::Steering => Sent::Steer(text),
            PendingMessageKind::Queued => Sent::Prompt(text),
        };
        Effect::Dispatch(Box::new(action), sent)
    }

    /// Asks for a change of the session's settings; the status line shows what became of it.
    pub(super) fn setting(&mut self, action: StateAction, now: Instant) -> Vec<Effect> {
        if self.link != Link::Up {
            self.say("not connected: nothing was changed", now);
            return Vec::new();
        }
        vec![Effect::Dispatch(Box::new(action), Sent::Setting)]
    }

    /// Shows or hides the link and its code.
    fn expand(&mut self, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        if self.remote.is_open() {
            return self.remote.close();
        }
        self.remote_command("", mirror, now)
    }

    /// The code that a device shows, as it was typed here.
    fn code(&mut self, text: &str, now: Instant) -> Vec<Effect> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.say("the code has six digits; Esc ends pairing", now);
            return Vec::new();
        }
        self.take_text();
        self.remote.typed();
        vec![Effect::Code(digits)]
    }

    /// Pairing went on.
    pub(crate) fn paired(&mut self, progress: Option<Progress>) {
        if let Some(words) = self.remote.advance(progress) {
            self.note(words);
        }
    }

    /// Remote access was asked for on the command line.
    pub(crate) fn ask_remote(&mut self) {
        self.remote.ask(Asked::On);
    }

    /// What follows from remote access being on now, when that was asked for here.
    pub(crate) fn sync_remote(&mut self, mirror: &Mirror) -> Vec<Effect> {
        match mirror.session().and_then(remote::of) {
            Some(_) => self.remote.is_on(),
            None => {
                let (effects, words) = self.remote.is_off();
                if let Some(words) = words {
                    self.note(words);
                }
                effects
            }
        }
    }
}

pub(super) fn cancel_turn(mirror: &Mirror) -> Vec<Effect> {
    let under_way = mirror.session().is_some_and(cancelling);
    match mirror.active_turn() {
        Some(turn) if !under_way => {
            let action = StateAction::ChatTurnCancelled(ChatTurnCancelledAction {
                turn_id: turn.to_owned(),
                duration: 0,
                meta: None,
            });
            vec![Effect::Dispatch(Box::new(action), Sent::Cancel)]
        }
        _ => Vec::new(),
    }
}

/// The effect that takes back what was queued last.
fn take_back(mirror: &Mirror) -> Option<Effect> {
    let chat = mirror.chat()?;
    let queued = chat.queued_messages.as_deref().and_then(<[_]>::last);
    let (kind, message) = match (queued, &chat.steering_message) {
        (Some(message), _) => (PendingMessageKind::Queued, message),
        (None, Some(message)) => (PendingMessageKind::Steering, message),
        (None, None) => return None,
    };
    let action = StateAction::ChatPendingMessageRemoved(ChatPendingMessageRemovedAction {
        kind,
        id: message.id.clone(),
    });
    Some(Effect::Dispatch(
        Box::new(action),
        Sent::TakeBack(message.message.text.clone()),
    ))
}

/// What a request is called when someone else has answered it.
fn title(request: &OpenRequest) -> String {
    let text = match request {
        OpenRequest::Permission(p) => p.call.invocation_message.as_text(),
        OpenRequest::Question(q) => q
            .request
            .message
            .as_deref()
            .or_else(|| q.questions().first().map(crate::client::question_message))
            .unwrap_or("a question"),
    };
    crate::text::truncate(&one_line(text), 60)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::client::mirror_tests::{CHAT, SESSION, envelope, interrupted, mirror};

    /// An app on a session, without a terminal or a host.
    pub(in crate::terminal) struct Run {
        pub(in crate::terminal) app: App,
        pub(in crate::terminal) mirror: Mirror,
        contents: Contents,
        pub(in crate::terminal) now: Instant,
        seq: u64,
    }

    impl Run {
        pub(in crate::terminal) fn new() -> Self {
            Self {
                app: App::new(None),
                mirror: mirror(),
                contents: Contents::default(),
                now: Instant::now(),
                seq: 10,
            }
        }

        pub(in crate::terminal) fn working() -> Self {
            let mut run = Self::new();
            run.act(CHAT, json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "2025-01-01T00:00:00.000Z",
                "message": {"text": "x", "origin": {"kind": "user"}}}));
            run
        }

        pub(in crate::terminal) fn asking() -> Self {
            let mut run = Self::working();
            run.act(CHAT, json!({"type": "chat/toolCallStart", "turnId": "t", "toolCallId": "c", "toolName": "shell", "displayName": "Shell"}));
            run.act(CHAT, json!({"type": "chat/toolCallReady", "turnId": "t", "toolCallId": "c", "invocationMessage": "rm x",
                "options": [{"id": "allow-once", "label": "Allow once", "kind": "approve"}, {"id": "deny", "label": "Deny", "kind": "deny"}]}));
            run
        }

        fn act(&mut self, channel: &str, action: Value) {
            self.seq += 1;
            self.mirror.apply(&envelope(channel, self.seq, action));
            self.app.sync(&self.mirror, &mut self.contents);
        }

        pub(in crate::terminal) fn press(&mut self, key: Key) -> Vec<Effect> {
            self.app.key(key, &self.mirror, self.now)
        }

        pub(in crate::terminal) fn enter(&mut self, text: &str) -> Vec<Effect> {
            self.press(Key::Edit(Edit::Insert(text.to_owned())));
            self.press(Key::Enter)
        }
    }

    /// The one action among the effects, as JSON.
    pub(in crate::terminal) fn action(effects: &[Effect]) -> Value {
        match effects {
            [Effect::Dispatch(action, _)] => serde_json::to_value(action).unwrap(),
            other => panic!("not one action: {other:?}"),
        }
    }

    #[test]
    fn enter_prompts_steers_or_queues() {
        let sent = action(&Run::new().enter("hi"));
        assert_eq!(
            (&sent["type"], &sent["message"]["text"]),
            (&json!("chat/turnStarted"), &json!("hi"))
        );
        let mut run = Run::working();
        assert_eq!(action(&run.enter("a"))["kind"], "steering");
        run.act(
            CHAT,
            json!({"type": "chat/pendingMessageSet", "kind": "steering", "id": "m",
            "message": {"text": "a", "origin": {"kind": "user"}}}),
        );
        assert_eq!(
            action(&run.enter("b"))["kind"],
            "queued",
            "one steers already"
        );
        let mut run = Run::working();
        run.press(Key::Edit(Edit::Insert("c".into())));
        assert_eq!(action(&run.press(Key::Queue))["kind"], "queued");
        assert!(run.press(Key::Queue).is_empty(), "nothing is left to queue");
    }

    #[test]
    fn the_model_goes_with_every_message() {
        let mut run = Run::new();
        run.app.model = Some("m1".into());
        assert_eq!(action(&run.enter("hi"))["message"]["model"]["id"], "m1");
    }

    #[test]
    fn steering_that_comes_too_late_is_queued() {
        let mut run = Run::working();
        run.app.sent(1, Sent::Steer("a".into()));
        let effects = run.app.rejected(1, "no turn is running", &run.mirror);
        assert_eq!(action(&effects)["kind"], "queued");
    }

    #[test]
    fn what_was_not_sent_comes_back() {
        let mut run = Run::new();
        run.enter("hi");
        run.app.sent(1, Sent::Prompt("hi".into()));
        run.app.rejected(1, "a turn is running", &run.mirror);
        assert_eq!(run.app.editor.text(), "hi");
        assert_eq!(
            run.app.take_notices()[0].text(),
            "ℹ not sent: a turn is running"
        );
        let mut run = Run::new();
        run.app.link = Link::Lost(run.now);
        assert!(run.enter("kept").is_empty());
        assert_eq!(run.app.editor.text(), "kept");
    }

    #[test]
    fn enter_on_an_empty_line_continues_an_interrupted_turn_once() {
        let mut run = Run::working();
        assert!(run.press(Key::Enter).is_empty(), "it runs");
        run.act(CHAT, interrupted("t"));
        assert_eq!(
            action(&run.enter("else"))["type"],
            "chat/turnStarted",
            "text is a prompt as ever"
        );
        let resume = run.press(Key::Enter);
        assert_eq!(
            action(&resume),
            json!({"type": "chat/turnResume", "turnId": "t"})
        );
        run.app.sent(1, Sent::Continue);
        assert!(run.press(Key::Enter).is_empty(), "asked already");
        run.app.rejected(1, "the agent is gone", &run.mirror);
        let notices: Vec<_> = run.app.take_notices().iter().map(Line::text).collect();
        assert_eq!(notices, ["ℹ not continued: the agent is gone"]);
        assert_eq!(run.press(Key::Enter), resume, "it may be tried again");
        run.app.link = Link::Lost(run.now);
        assert!(run.press(Key::Enter).is_empty());
        assert!(Run::new().press(Key::Enter).is_empty());
    }

    #[test]
    fn control_c_cancels_then_detaches_within_two_seconds() {
        let mut run = Run::working();
        assert_eq!(
            action(&run.press(Key::Cancel))["type"],
            "chat/turnCancelled"
        );
        assert_eq!(run.press(Key::Cancel), [Effect::Detach]);
        let mut run = Run::new();
        run.press(Key::Edit(Edit::Insert("text".into())));
        assert!(run.press(Key::Cancel).is_empty());
        assert!(run.app.editor.is_empty());
        run.now += Duration::from_secs(3);
        assert!(run.press(Key::Cancel).is_empty(), "too late for the second");
        assert_eq!(run.press(Key::Cancel), [Effect::Detach]);
    }

    #[test]
    fn a_cancel_under_way_is_not_asked_for_again() {
        let mut run = Run::working();
        run.act(
            SESSION,
            json!({"type": "session/metaChanged", "_meta": {"copilot.cancelling": true}}),
        );
        assert!(run.press(Key::Cancel).is_empty());
    }

    #[test]
    fn escape_twice_interrupts_and_once_does_not() {
        let mut run = Run::working();
        assert!(run.press(Key::Escape).is_empty());
        assert_eq!(
            action(&run.press(Key::Escape))["type"],
            "chat/turnCancelled"
        );
        assert!(run.press(Key::Escape).is_empty());
        run.press(Key::Edit(Edit::Left));
        assert!(
            run.press(Key::Escape).is_empty(),
            "another key came between"
        );
        run.now += Duration::from_secs(2);
        assert!(run.press(Key::Escape).is_empty(), "too late");
    }

    #[test]
    fn end_of_input_detaches_only_from_an_empty_line() {
        let mut run = Run::new();
        assert_eq!(run.press(Key::EndOfInput), [Effect::Detach]);
        run.press(Key::Edit(Edit::Insert("x".into())));
        assert!(run.press(Key::EndOfInput).is_empty());
    }

    #[test]
    fn up_takes_back_what_was_queued_last() {
        let mut run = Run::working();
        for id in ["m1", "m2"] {
            run.act(
                CHAT,
                json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": id,
                "message": {"text": format!("text {id}"), "origin": {"kind": "user"}}}),
            );
        }
        let effects = run.press(Key::Edit(Edit::Up));
        assert_eq!(action(&effects)["id"], "m2");
        run.app.sent(1, Sent::TakeBack("text m2".into()));
        run.app.confirmed(1);
        assert_eq!(run.app.editor.text(), "text m2");
    }

    #[test]
    fn the_mode_is_asked_for_and_only_the_host_switches_it() {
        let mut run = Run::asking();
        let wanted = |effects: Vec<Effect>| action(&effects)["config"].clone();
        assert_eq!(wanted(run.press(Key::NextMode)), json!({"mode": "plan"}));
        assert_eq!(
            wanted(run.press(Key::NextMode)),
            json!({"mode": "plan"}),
            "the host has not said so"
        );
        run.act(
            SESSION,
            json!({"type": "session/configChanged", "config": {"mode": "plan"}}),
        );
        assert_eq!(
            wanted(run.press(Key::NextMode)),
            json!({"mode": "autopilot"})
        );
        run.app.sent(1, Sent::Setting);
        run.app.rejected(1, "a file forbids it", &run.mirror);
        assert_eq!(run.app.take_notices()[0].text(), "ℹ a file forbids it");
        run.app.link = Link::Lost(run.now);
        assert!(run.press(Key::NextMode).is_empty());
    }

    #[test]
    fn modes_and_allow_all_have_commands() {
        let mut run = Run::new();
        for (typed, wanted) in [
            ("/mode plan", json!({"mode": "plan"})),
            ("/mode nonsense", json!({"mode": "nonsense"})),
            ("/plan", json!({"mode": "plan"})),
            ("/allow-all", json!({"allowAll": true})),
            ("/allow-all on", json!({"allowAll": true})),
            ("/allow-all off", json!({"allowAll": false})),
        ] {
            assert_eq!(action(&run.enter(typed))["config"], wanted, "{typed}");
        }
        assert!(run.enter("/mode").is_empty());
        assert_eq!(
            run.app.hint(run.now),
            Some("the mode is interactive; /mode interactive|plan|autopilot switches")
        );
        assert!(run.enter("/allow-all perhaps").is_empty());
        let effects = run.enter("/plan a new parser");
        let [Effect::Dispatch(switch, _), Effect::Dispatch(prompt, _)] = effects.as_slice() else {
            panic!("{effects:?}");
        };
        let [switch, prompt] = [switch, prompt].map(|a| serde_json::to_value(a).unwrap());
        assert_eq!(switch["config"], json!({"mode": "plan"}));
        assert_eq!(prompt["message"]["text"], "a new parser");
    }

    #[test]
    fn a_question_mark_helps_on_an_empty_line_only() {
        let mut run = Run::new();
        run.press(Key::Edit(Edit::Insert("?".into())));
        assert!(run.app.help && run.app.editor.is_empty());
        run.press(Key::Edit(Edit::Insert("why".into())));
        run.press(Key::Edit(Edit::Insert("?".into())));
        assert_eq!(run.app.editor.text(), "why?");
    }

    #[test]
    fn a_paste_is_text_whatever_is_in_it() {
        let mut run = Run::new();
        let effects = run.app.paste("a\r\nb\n".into(), &run.mirror, run.now);
        assert!(effects.is_empty());
        assert_eq!(run.app.editor.text(), "a\nb\n");
    }

    #[test]
    fn a_dialog_opens_answers_once_and_closes() {
        let mut run = Run::asking();
        assert!(run.app.dialog.is_some());
        let sent = action(&run.press(Key::Enter));
        assert_eq!(sent["selectedOptionId"], "allow-once");
        assert!(run.press(Key::Enter).is_empty(), "the answer is under way");
        run.act(CHAT, json!({"type": "chat/toolCallConfirmed", "turnId": "t", "toolCallId": "c", "approved": true,
            "confirmed": "user-action", "selectedOptionId": "allow-once"}));
        assert!(run.app.dialog.is_none());
        assert!(
            run.app.take_notices().is_empty(),
            "we know what we answered"
        );
    }

    #[test]
    fn another_clients_answer_closes_the_dialog_and_is_told() {
        let mut run = Run::asking();
        run.act(CHAT, json!({"type": "chat/toolCallConfirmed", "turnId": "t", "toolCallId": "c", "approved": true,
            "confirmed": "user-action", "selectedOptionId": "allow-once",
            "_meta": {"copilot.answeredBy": {"name": "terminal pts/9", "trust": "local", "choice": "allow-once"}}}));
        assert!(run.app.dialog.is_none());
        assert_eq!(
            run.app.take_notices()[0].text(),
            "ℹ rm x: answered by terminal pts/9: allow-once"
        );
    }

    #[test]
    fn requests_are_answered_in_any_order() {
        let mut run = Run::asking();
        for id in ["q-1", "q-2"] {
            run.act(
                CHAT,
                json!({"type": "chat/inputRequested", "request": {"id": id,
                "questions": [{"kind": "text", "id": "a", "message": "Name?"}]}}),
            );
        }
        let shown = |run: &Run| run.app.dialog.as_ref().unwrap().id().to_owned();
        assert_eq!(shown(&run), "c");
        run.press(Key::Tab);
        assert_eq!(shown(&run), "q-1");
        run.press(Key::Edit(Edit::Insert("Ada".into())));
        run.press(Key::Tab);
        let answered = action(&run.press(Key::Decline));
        assert_eq!(
            (&answered["requestId"], &answered["response"]),
            (&json!("q-2"), &json!("decline"))
        );
        run.act(
            CHAT,
            json!({"type": "chat/inputCompleted", "requestId": "q-2", "response": "decline"}),
        );
        assert_eq!(shown(&run), "c", "the oldest that is left");
        run.press(Key::Tab);
        let answered = action(&run.press(Key::Enter));
        assert_eq!(
            answered["answers"]["a"]["value"]["value"], "Ada",
            "what was typed is kept"
        );
    }

    #[test]
    fn losing_the_race_is_told_once() {
        let mut run = Run::asking();
        run.press(Key::Enter);
        run.app.sent(1, Sent::Answer("c".into()));
        run.app
            .rejected(1, "already answered by terminal pts/9 (deny)", &run.mirror);
        run.act(CHAT, json!({"type": "chat/toolCallConfirmed", "turnId": "t", "toolCallId": "c", "approved": false, "reason": "denied",
            "_meta": {"copilot.answeredBy": {"name": "terminal pts/9", "trust": "local", "choice": "deny"}}}));
        let notices: Vec<_> = run.app.take_notices().iter().map(Line::text).collect();
        assert_eq!(notices, ["ℹ already answered by terminal pts/9 (deny)"]);
    }
}
