//! A session: a folder, a conversation, and at most one running turn.
//!
//! The turn owns the conversation while it runs and gives it back when it ends, however it
//! ends. Whoever else wants something of a running turn, to cancel it or to add words, goes
//! through here.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{conversation::Conversation, mode::SharedMode};

/// Texts that may wait to join a turn. When it is full a further one is not accepted, which
/// its sender is told.
const STEERING_CAPACITY: usize = 64;

/// A text that wants to join a running turn. Whoever sent it learns whether it did, at once: the
/// answer leaves before anything that the turn does next.
pub struct Steering {
    text: String,
    answer: Option<Box<dyn FnOnce(bool) + Send>>,
}

impl Steering {
    /// `answer` is called once: with `true` when the text joins, with `false` when it no longer can.
    pub fn new(text: String, answer: impl FnOnce(bool) + Send + 'static) -> Self {
        let answer: Box<dyn FnOnce(bool) + Send> = Box::new(answer);
        Self {
            text,
            answer: Some(answer),
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text has joined.
    pub fn joined(mut self) {
        if let Some(answer) = self.answer.take() {
            answer(true);
        }
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer(false);
        }
    }
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Steering({} bytes)", self.text.len())
    }
}

#[derive(Debug)]
enum State {
    Idle(Conversation),
    Running {
        cancel: CancellationToken,
        steering: mpsc::Sender<Steering>,
    },
}

/// A session. Shared by the server and its running turn.
#[derive(Debug)]
pub struct Session {
    id: String,
    cwd: PathBuf,
    mode: SharedMode,
    state: Mutex<State>,
}

impl Session {
    /// A session in `cwd`, which has no symbolic links, with what was said so far.
    #[must_use]
    pub fn new(id: String, cwd: PathBuf, conversation: Conversation) -> Arc<Self> {
        Arc::new(Self {
            id,
            cwd,
            mode: SharedMode::default(),
            state: Mutex::new(State::Idle(conversation)),
        })
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder.
    #[must_use]
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The mode, which the client may switch at any time.
    #[must_use]
    pub fn mode(&self) -> &SharedMode {
        &self.mode
    }

    /// Starts a turn. `None` when one is running.
    #[must_use]
    pub fn begin_turn(self: &Arc<Self>) -> Option<RunningTurn> {
        let cancel = CancellationToken::new();
        let (sender, receiver) = mpsc::channel(STEERING_CAPACITY);
        let mut state = self.state();
        if matches!(*state, State::Running { .. }) {
            return None;
        }
        let running = State::Running {
            cancel: cancel.clone(),
            steering: sender,
        };
        match std::mem::replace(&mut *state, running) {
            State::Idle(conversation) => Some(RunningTurn {
                session: Arc::clone(self),
                conversation: Some(conversation),
                cancel,
                steering: receiver,
            }),
            State::Running { .. } => None,
        }
    }

    /// Cancels the running turn, if there is one.
    pub fn cancel(&self) {
        if let State::Running { cancel, .. } = &*self.state() {
            cancel.cancel();
        }
    }

    /// Offers a text to the running turn; its sender learns what became of it.
    pub fn steer(&self, text: Steering) {
        if let State::Running { steering, .. } = &*self.state() {
            // When it is full or closed the text is dropped, and says so.
            let _ = steering.try_send(text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run a turn. The session is idle again when it is dropped.
#[derive(Debug)]
pub struct RunningTurn {
    session: Arc<Session>,
    /// Always there until the drop.
    conversation: Option<Conversation>,
    cancel: CancellationToken,
    steering: mpsc::Receiver<Steering>,
}

impl RunningTurn {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Cancelled when the turn is.
    #[must_use]
    pub fn cancel_token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// What was said so far.
    #[must_use]
    pub fn conversation(&self) -> Option<&Conversation> {
        self.conversation.as_ref()
    }

    /// What was said so far, to add to it.
    pub fn conversation_mut(&mut self) -> Option<&mut Conversation> {
        self.conversation.as_mut()
    }

    /// The next text that wants to join, if any waits.
    pub fn next_steering(&mut self) -> Option<Steering> {
        self.steering.try_recv().ok()
    }
}

impl Drop for RunningTurn {
    fn drop(&mut self) {
        if let Some(conversation) = self.conversation.take() {
            *self.session.state() = State::Idle(conversation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Arc<Session> {
        let conversation = Conversation::create(None, "s", Path::new("/")).unwrap();
        Session::new("s".to_owned(), "/".into(), conversation)
    }

    #[tokio::test]
    async fn there_is_one_turn_at_a_time() {
        let session = session();
        let turn = session.begin_turn().unwrap();
        assert!(session.begin_turn().is_none());
        session.cancel();
        assert!(turn.cancel_token().is_cancelled());
        drop(turn);
        let next = session.begin_turn().unwrap();
        assert!(!next.cancel_token().is_cancelled());
    }

    #[test]
    fn texts_join_or_are_told_that_they_cannot() {
        let session = session();
        let (answers, told) = std::sync::mpsc::channel();
        let text = |words: &'static str| {
            let answers = answers.clone();
            let tell = move |joined| answers.send((words, joined)).unwrap();
            Steering::new(words.to_owned(), tell)
        };
        session.steer(text("nobody listens"));
        assert_eq!(told.try_recv(), Ok(("nobody listens", false)));
        let mut turn = session.begin_turn().unwrap();
        session.steer(text("one"));
        session.steer(text("two"));
        let steering = turn.next_steering().unwrap();
        assert_eq!(steering.text(), "one");
        assert!(told.try_recv().is_err());
        steering.joined();
        assert_eq!(told.try_recv(), Ok(("one", true)));
        drop(turn);
        assert_eq!(told.try_recv(), Ok(("two", false)));
    }
}
