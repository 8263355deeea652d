//! Taking turns back: keeps files before the first thing in a turn that may write, compares
//! after it, and restores when a person asks.
//!
//! The disk is slow and the actor never waits for it: jobs run beside its loop, one at a time
//! and in order, and what must not overtake them (an approval, a prompt) is held until then.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use ahp_types::actions::ChatTurnStartedAction;
use ahp_types::state::{Message, MessageKind, MessageOrigin};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::actor::Actor;
use super::state::now;
use super::turn::{End, Phase};
use crate::audit::{Event, Who};
use crate::host::Shared;
use crate::permissions::{Effect, Request, effect};
use crate::undo::{self, Kept, Limits, Plan, Restored, TurnChanges, UndoError};

/// The command that takes a turn back; see [`super::commands`].
const COMMAND: &str = "/undo";

/// What a client that asks outside of the conversation gets.
pub type UndoReply = Result<UndoOutcome, String>;

/// What taking a turn back would do, or did.
#[derive(Debug, Clone)]
pub enum UndoOutcome {
    /// Nothing was changed.
    Planned(Plan),
    /// It was done.
    Done(TurnChanges, Restored),
}

/// What waits until files are kept.
pub(super) enum Held {
    /// An approval for the agent: the request's id and the result.
    Answer(Value, Value),
    /// The turn's prompt.
    Prompt,
}

enum Job {
    Protect {
        number: u64,
        paths: Vec<PathBuf>,
        held: Held,
    },
    Finish,
    Plan {
        number: Option<u64>,
        reply: oneshot::Sender<UndoReply>,
    },
    Undo {
        number: Option<u64>,
        ordered: Ordered,
    },
}

/// An undo, and where it was asked for.
pub(super) struct Ordered {
    by: Who,
    /// The turn that shows it. It may be over before the files are back.
    turn: Option<String>,
    reply: Option<oneshot::Sender<UndoReply>>,
}

/// What became of a job.
pub(super) enum Done {
    Protected {
        held: Held,
        /// Why the turn cannot be taken back as a whole, if so.
        problem: Option<String>,
    },
    Finished(Result<(), UndoError>),
    Planned(Result<Plan, UndoError>, oneshot::Sender<UndoReply>),
    Undone {
        result: Result<(TurnChanges, Restored), UndoError>,
        ordered: Ordered,
    },
}

/// A session's files and the jobs about them.
pub(super) struct Undo {
    place: PathBuf,
    folder: PathBuf,
    skip: Vec<PathBuf>,
    /// Nothing while a job has it.
    kept: Option<Kept>,
    running: Option<JoinHandle<(Kept, Done)>>,
    /// At most a few for each open request of the agent.
    waiting: VecDeque<Job>,
    /// Whether people know that not everything is kept.
    said_limited: bool,
    /// For whoever asked for the undo that is about to start.
    asked: Option<(Who, Option<oneshot::Sender<UndoReply>>)>,
}

impl Undo {
    pub(super) fn new(session: &str, folder: &Path, shared: &Shared) -> Self {
        let paths = &shared.paths;
        let own = [&paths.config_dir, &paths.data_dir, &paths.runtime_dir];
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let mut undo = Self {
            place: undo::place(&paths.data_dir, session),
            folder: folder.to_owned(),
            skip: own.into_iter().map(real).collect(),
            kept: None,
            running: None,
            waiting: VecDeque::new(),
            said_limited: false,
            asked: None,
        };
        // What a turn changed that was cut off is looked at before anybody else changes more.
        if Kept::was_cut_off(&undo.place) {
            undo.waiting.push_back(Job::Finish);
        }
        undo
    }

    /// What became of the job that runs; never, when none does. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Done> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok((kept, done)) => {
                self.kept = Some(kept);
                Some(done)
            }
            Err(error) => {
                tracing::error!(%error, "keeping files ended by a defect");
                None
            }
        }
    }

    fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
        self.go_on();
    }

    /// Starts the next job when none runs.
    pub(super) fn go_on(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(job) = self.waiting.pop_front() else {
            return;
        };
        let kept = self.kept.take().unwrap_or_else(|| {
            let (place, folder) = (self.place.clone(), self.folder.clone());
            Kept::new(place, folder, self.skip.clone(), Limits::default())
        });
        self.running = Some(tokio::task::spawn_blocking(move || carry_out(kept, job)));
    }

    /// Whether nothing runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Ends what runs and forgets what is only good for the next turn.
    pub(super) async fn rest(&mut self) {
        self.waiting.clear();
        self.next_if_running().await;
        let (place, folder, skip) = (self.place.clone(), self.folder.clone(), self.skip.clone());
        let kept = self.kept.take();
        let tidy = tokio::task::spawn_blocking(move || {
            kept.unwrap_or_else(|| Kept::new(place, folder, skip, Limits::default()))
                .tidy(false)
        });
        match tidy.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what is kept could not be tidied"),
            Err(error) => tracing::error!(%error, "tidying ended by a defect"),
        }
    }

    /// Removes everything.
    pub(super) async fn forget(&mut self) {
        self.waiting.clear();
        self.next_if_running().await;
        let place = self.place.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(place)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(%error, "what was kept of a deleted session could not be removed");
        }
    }

    async fn next_if_running(&mut self) {
        if self.running.is_some() {
            self.next().await;
        }
    }
}

fn carry_out(mut kept: Kept, job: Job) -> (Kept, Done) {
    let done = match job {
        Job::Protect {
            number,
            paths,
            held,
        } => {
            let protected = kept.protect(number, &paths);
            let problem = match protected {
                Ok(()) => kept.limited().map(|why| {
                    format!(
                        "Only files that the agent's tools name can be restored by {COMMAND} here, \
                         not what its commands change: {why}."
                    )
                }),
                Err(error) => Some(format!("This turn cannot be undone: {error}.")),
            };
            Done::Protected { held, problem }
        }
        Job::Finish => Done::Finished(kept.finish().map(drop)),
        Job::Plan { number, reply } => Done::Planned(kept.plan(number), reply),
        Job::Undo { number, ordered } => {
            // A turn that could not be finished before is finished first.
            let result = kept.finish().and_then(|_| kept.undo(number));
            Done::Undone { result, ordered }
        }
    };
    (kept, done)
}

impl Actor {
    /// The place of the running turn in the conversation, from 1.
    fn turn_number(&self) -> u64 {
        self.model.earlier_turns + self.model.chat.turns.len() as u64 + 1
    }

    /// Answers the agent's request with an approval, once what it may change is kept.
    pub(super) fn approve(&mut self, rpc_id: &Value, result: Value, writes: Option<Vec<PathBuf>>) {
        let number = self.turn_number();
        let covered = self
            .undo
            .kept
            .as_ref()
            .is_some_and(|kept| kept.covers(number));
        match writes {
            Some(paths) if !covered || !paths.is_empty() => {
                let held = Held::Answer(rpc_id.clone(), result);
                self.undo.push(Job::Protect {
                    number,
                    paths,
                    held,
                });
            }
            _ => self.respond(rpc_id, &result),
        }
    }

    /// Sends the prompt once the folder is kept: an agent that is not ours may write unasked.
    /// `false`: nothing has to be waited for.
    pub(super) fn keep_before_prompt(&mut self) -> bool {
        if self.is_built_in() {
            return false;
        }
        let number = self.turn_number();
        self.undo.push(Job::Protect {
            number,
            paths: Vec::new(),
            held: Held::Prompt,
        });
        true
    }

    /// A turn ended: what it changed is looked at, if anything was kept before it.
    pub(super) fn compare_after_turn(&mut self) {
        let is_open = self.undo.kept.as_ref().is_some_and(Kept::is_open);
        if is_open || self.undo.running.is_some() {
            self.undo.push(Job::Finish);
        }
    }

    /// A job about files ended.
    pub(super) fn undo_job_ended(&mut self, done: Option<Done>) {
        match done {
            None => {}
            Some(Done::Protected { held, problem }) => {
                if let Some(problem) = problem.filter(|_| !self.undo.said_limited) {
                    self.undo.said_limited = true;
                    self.notice(&problem, "undo-limited");
                }
                self.release(held);
            }
            Some(Done::Finished(Ok(()))) => {}
            Some(Done::Finished(Err(error))) => {
                tracing::error!(session = %self.model.id, %error, "the changes of a turn could not be kept");
            }
            Some(Done::Planned(result, reply)) => {
                let result = result.map(UndoOutcome::Planned);
                // Nobody waits any more when the asking client is gone.
                let _ = reply.send(result.map_err(|e| e.to_string()));
            }
            Some(Done::Undone { result, ordered }) => self.undone(result, ordered),
        }
        self.undo.go_on();
    }

    fn release(&mut self, held: Held) {
        let gone = self
            .turn
            .as_ref()
            .is_none_or(super::turn::Turn::is_cancelling);
        match held {
            Held::Answer(rpc_id, _) if gone => {
                self.respond(&rpc_id, &json!({"outcome": {"outcome": "cancelled"}}));
            }
            Held::Answer(rpc_id, result) => self.respond(&rpc_id, &result),
            Held::Prompt => {
                let waits = self
                    .turn
                    .as_ref()
                    .is_some_and(|t| t.phase == Phase::Keeping);
                if waits {
                    self.send_prompt_now();
                }
            }
        }
    }

    /// Somebody asks outside of the conversation.
    pub(super) fn undo_asked(
        &mut self,
        by: Who,
        number: Option<u64>,
        dry_run: bool,
        reply: oneshot::Sender<UndoReply>,
    ) {
        if dry_run {
            self.undo.push(Job::Plan { number, reply });
            return;
        }
        if self.turn.is_some() {
            let words = "a turn is running; cancel it or wait until it ends, then undo";
            // Nobody waits any more when the asking client is gone.
            let _ = reply.send(Err(words.into()));
            return;
        }
        let text = match number {
            Some(number) => format!("{COMMAND} {number}"),
            None => COMMAND.to_owned(),
        };
        self.undo.asked = Some((by, Some(reply)));
        let action = ChatTurnStartedAction {
            turn_id: uuid::Uuid::new_v4().to_string(),
            started_at: now(),
            message: Message {
                text,
                origin: MessageOrigin {
                    kind: MessageKind::User,
                },
                attachments: None,
                model: None,
                agent: None,
                meta: None,
            },
            queued_message_id: None,
            meta: None,
        };
        self.start_turn(action, None);
    }

    /// The daemon's own turn for `/undo`.
    pub(super) fn start_undo(&mut self, number: Option<u64>) {
        let asked = self.undo.asked.take();
        let (by, reply) = asked.unwrap_or_else(|| {
            let by = self.turn_by.clone();
            (
                by.unwrap_or_else(|| Who::without_process("a queued message", "local")),
                None,
            )
        });
        let turn = self.turn.as_ref().map(|turn| turn.id.clone());
        let ordered = Ordered { by, turn, reply };
        self.undo.push(Job::Undo { number, ordered });
    }

    fn undone(&mut self, result: Result<(TurnChanges, Restored), UndoError>, ordered: Ordered) {
        let Ordered { by, turn, reply } = ordered;
        let answer = match result {
            Ok((turn, restored)) => {
                let words = restored.sentence(turn.number);
                self.notice(&words, "undone");
                let paths = || restored.restored.iter();
                let event = Event::Undone {
                    turn: turn.number,
                    paths: paths()
                        .take(PATHS_RECORDED)
                        .map(|p| undo::shown(p))
                        .collect(),
                    count: restored.restored.len(),
                };
                self.record(by, event);
                self.for_agent.push(format!(
                    "The person took back the file changes of an earlier turn of yours. {words} \
                     Read these files again before you rely on what is in them."
                ));
                Ok(UndoOutcome::Done(turn, restored))
            }
            Err(error) => {
                let words = error.to_string();
                self.notice(&words, "undo-refused");
                let reason = words.clone();
                self.record(by, Event::UndoRefused { reason });
                Err(words)
            }
        };
        if let Some(reply) = reply {
            // Nobody waits any more when the asking client is gone.
            let _ = reply.send(answer);
        }
        // The turn that runs now may be another one, which has only begun.
        if self.turn.as_ref().map(|turn| &turn.id) == turn.as_ref() {
            self.end_turn(End::complete());
        }
    }
}

/// Paths of one undo that the audit names; the others are counted.
const PATHS_RECORDED: usize = 100;

/// The files that a request would write to, as far as it says; nothing when it writes none.
pub(super) fn writes(wanted: &[Request], folder: &Path) -> Option<Vec<PathBuf>> {
    let changes = |request: &&Request| matches!(effect(request, folder), Effect::Changes { .. });
    let path = |request: &Request| match request {
        Request::Write { path } => Some(path.clone()),
        _ => None,
    };
    let changing: Vec<&Request> = wanted.iter().filter(changes).collect();
    let paths = changing.iter().copied().filter_map(path).collect();
    (!changing.is_empty()).then_some(paths)
}

/// What the agent is told with its next prompt, as a block of its own.
pub(super) fn note(notes: &[String]) -> Option<String> {
    (!notes.is_empty()).then(|| format!("<note>\n{}\n</note>", notes.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_writes_nothing() {
        let read = Request::Read { path: "a".into() };
        let write = Request::Write { path: "b".into() };
        let shell = Request::Shell {
            command: "make".into(),
        };
        let list = Request::Shell {
            command: "ls".into(),
        };
        let of = |wanted: &[Request]| writes(wanted, Path::new("/"));
        assert_eq!(of(&[read.clone(), list]), None);
        assert_eq!(of(&[read, write]), Some(vec!["b".into()]));
        assert_eq!(of(&[shell]), Some(Vec::new()));
    }
}
