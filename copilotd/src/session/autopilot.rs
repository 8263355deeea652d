//! Autopilot: whether the session goes on by itself after a turn, and why not.
//!
//! [`after_turn`] decides; the session starts the next turn or says in the timeline why it
//! stopped. Permissions are not its business: what a person would be asked waits for a person.

use std::time::{Duration, Instant};

use ahp_types::actions::ChatTurnStartedAction;
use ahp_types::state::{Message, MessageKind, MessageOrigin, ModelSelection, UsageInfo};

use super::actor::Actor;
use super::mode::Mode;
use super::state::now;
use crate::config::AutopilotSettings;

/// What went on since a person last said something.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// Turns that the daemon started.
    continuations: u32,
    /// Of all turns, in and out.
    tokens: u64,
    /// When the first of these turns started.
    began: Option<Instant>,
    /// The model that the person's prompt named.
    model: Option<ModelSelection>,
    /// The turn to start when nobody else's waits: the how manieth of how many.
    next: Option<(u32, u32)>,
}

/// How a turn ended, as far as autopilot cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The agent declared the task complete, or is one whose end of a turn says so.
    Completed,
    /// The agent stopped without saying that the task is complete.
    Unfinished,
    /// The model did not want to go on.
    Refused,
    /// It failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// What comes after a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Another turn, the how manieth of how many.
    Continue(u32, u32),
    /// A person's turn.
    Stop(Stop),
}

/// Why autopilot stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    Completed,
    /// Which limit, for people.
    Limit(String),
    Refused,
    Failed,
    Cancelled,
}

impl Stop {
    /// `copilot.notice` of the notice.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Completed => "autopilot-completed",
            Self::Limit(_) => "autopilot-limit",
            Self::Refused | Self::Failed => "autopilot-error",
            Self::Cancelled => "autopilot-cancelled",
        }
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Completed => "Autopilot stopped: the task is complete.".to_owned(),
            Self::Limit(limit) => {
                format!("Autopilot stopped: {limit}. The next prompt lets it go on.")
            }
            Self::Refused => "Autopilot stopped: the model refused to go on.".to_owned(),
            Self::Failed => "Autopilot stopped: the turn failed.".to_owned(),
            Self::Cancelled => "Autopilot stopped: the turn was cancelled.".to_owned(),
        }
    }
}

/// Decides what comes after a turn. `elapsed` is since the first turn of the run.
pub(super) fn after_turn(
    ended: Ended,
    run: &Run,
    elapsed: Duration,
    limits: &AutopilotSettings,
) -> Next {
    let most = limits.max_continuations();
    let reached = |limit: String| Next::Stop(Stop::Limit(limit));
    match ended {
        Ended::Completed => Next::Stop(Stop::Completed),
        Ended::Refused => Next::Stop(Stop::Refused),
        Ended::Failed => Next::Stop(Stop::Failed),
        Ended::Cancelled => Next::Stop(Stop::Cancelled),
        Ended::Unfinished if run.continuations >= most => reached(format!(
            "it went on {most} times by itself, which is the limit"
        )),
        Ended::Unfinished => match (limits.max_tokens, limits.max_minutes) {
            (Some(tokens), _) if run.tokens >= tokens => {
                reached(format!("it used {} tokens of {tokens}", run.tokens))
            }
            (_, Some(minutes)) if elapsed >= Duration::from_secs(minutes * 60) => reached(format!(
                "it worked for {minutes} minutes, which is the limit"
            )),
            _ => Next::Continue(run.continuations + 1, most),
        },
    }
}

impl Actor {
    /// A turn starts; one that a person asked for begins a new run.
    pub(super) fn note_autopilot_start(&mut self, message: &Message) {
        if message.origin.kind == MessageKind::User {
            self.autopilot = Run {
                model: message.model.clone(),
                ..Run::default()
            };
        }
        self.autopilot.next = None;
        self.autopilot.began.get_or_insert_with(Instant::now);
    }

    /// What comes after a turn that ended so; nothing when the session is not on autopilot.
    pub(super) fn after_turn(&mut self, ended: Ended, usage: Option<&UsageInfo>) -> Option<Next> {
        let used = usage.map_or(0, |u| {
            u.input_tokens.unwrap_or(0).max(0) + u.output_tokens.unwrap_or(0).max(0)
        });
        self.autopilot.tokens += used.unsigned_abs();
        if self.mode() != Mode::Autopilot {
            return None;
        }
        let elapsed = self.autopilot.began.map_or(Duration::ZERO, |b| b.elapsed());
        let limits = &self.model.shared.settings().autopilot;
        let next = after_turn(ended, &self.autopilot, elapsed, limits);
        if let Next::Continue(number, most) = next {
            self.autopilot.next = Some((number, most));
        }
        Some(next)
    }

    /// Starts the next turn by itself, if that is what comes next.
    pub(super) fn continue_on_autopilot(&mut self) {
        let Some((number, most)) = self.autopilot.next.take() else {
            return;
        };
        if self.mode() != Mode::Autopilot {
            return;
        }
        self.autopilot.continuations = number;
        let message = Message {
            text: format!(
                "Go on until the task is complete and checked, then say that it is ({number} of {most})."
            ),
            origin: MessageOrigin {
                kind: MessageKind::SystemNotification,
            },
            attachments: None,
            model: self.autopilot.model.clone(),
            agent: None,
            meta: None,
        };
        let action = ChatTurnStartedAction {
            turn_id: uuid::Uuid::new_v4().to_string(),
            started_at: now(),
            message,
            queued_message_id: None,
            meta: None,
        };
        self.start_turn(action, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(
        max_continuations: Option<u32>,
        max_tokens: Option<u64>,
        max_minutes: Option<u64>,
    ) -> AutopilotSettings {
        AutopilotSettings {
            max_continuations,
            max_tokens,
            max_minutes,
        }
    }

    #[test]
    fn it_goes_on_until_it_is_done_or_a_limit_is_reached() {
        let run = |continuations, tokens| Run {
            continuations,
            tokens,
            ..Run::default()
        };
        let none = limits(None, None, None);
        let minutes = |m: u64| Duration::from_secs(m * 60);
        let limit = |words: &str| Next::Stop(Stop::Limit(words.to_owned()));
        use Ended::{Cancelled, Completed, Failed, Refused, Unfinished};
        let table = [
            (
                Completed,
                run(0, 0),
                0,
                none.clone(),
                Next::Stop(Stop::Completed),
            ),
            // Being done counts also where a limit is reached.
            (
                Completed,
                run(10, 0),
                0,
                none.clone(),
                Next::Stop(Stop::Completed),
            ),
            (Failed, run(0, 0), 0, none.clone(), Next::Stop(Stop::Failed)),
            (
                Refused,
                run(0, 0),
                0,
                none.clone(),
                Next::Stop(Stop::Refused),
            ),
            (
                Cancelled,
                run(0, 0),
                0,
                none.clone(),
                Next::Stop(Stop::Cancelled),
            ),
            (
                Unfinished,
                run(0, 0),
                0,
                none.clone(),
                Next::Continue(1, 10),
            ),
            (
                Unfinished,
                run(9, 0),
                0,
                none.clone(),
                Next::Continue(10, 10),
            ),
            (
                Unfinished,
                run(10, 0),
                0,
                none.clone(),
                limit("it went on 10 times by itself, which is the limit"),
            ),
            (
                Unfinished,
                run(0, 0),
                0,
                limits(Some(0), None, None),
                limit("it went on 0 times by itself, which is the limit"),
            ),
            (
                Unfinished,
                run(1, 5000),
                0,
                limits(None, Some(5000), None),
                limit("it used 5000 tokens of 5000"),
            ),
            (
                Unfinished,
                run(1, 4999),
                0,
                limits(None, Some(5000), None),
                Next::Continue(2, 10),
            ),
            (
                Unfinished,
                run(1, 0),
                30,
                limits(None, None, Some(30)),
                limit("it worked for 30 minutes, which is the limit"),
            ),
            (
                Unfinished,
                run(1, 0),
                29,
                limits(None, Some(1), Some(30)),
                Next::Continue(2, 10),
            ),
            (
                Unfinished,
                run(1, 1 << 40),
                1000,
                none,
                Next::Continue(2, 10),
            ),
        ];
        for (ended, run, elapsed, limits, expected) in table {
            let next = after_turn(ended, &run, minutes(elapsed), &limits);
            assert_eq!(next, expected, "{ended:?} {run:?} {elapsed} {limits:?}");
        }
    }

    #[test]
    fn every_stop_says_why() {
        for (stop, kind, word) in [
            (Stop::Completed, "autopilot-completed", "complete"),
            (
                Stop::Limit("it used 2 tokens of 1".into()),
                "autopilot-limit",
                "2 tokens",
            ),
            (Stop::Refused, "autopilot-error", "refused"),
            (Stop::Failed, "autopilot-error", "failed"),
            (Stop::Cancelled, "autopilot-cancelled", "cancelled"),
        ] {
            assert_eq!(stop.kind(), kind);
            assert!(stop.words().contains(word), "{}", stop.words());
        }
    }
}
