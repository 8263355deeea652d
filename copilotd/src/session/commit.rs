//! The end of a step: what happened is kept, then published, then told to the agent. In that order.
//!
//! A step that answers a client is kept durably first, so that an echo is a promise. Streaming text
//! is published at once and kept in pieces; losing the last of it loses nothing that was promised.

use std::sync::Arc;

use ahp_types::actions::StateAction;

use super::actor::Actor;
use super::persist::{EXTRAS, Extras, Kept, texts};
use super::state::Outgoing;
use super::{Asked, Input};
use crate::pause;
use crate::store::{Batch, Health, Operation, StoreError};

/// Completed turns that stay in memory.
pub const TURNS_IN_MEMORY: usize = 30;
/// Streamed text is kept when so much of it has come together, in bytes.
const MERGED_BYTES: usize = 8 * 1024;

/// What waits to be kept: actions whose text is still being put together.
#[derive(Default)]
pub(super) struct Unkept {
    entries: Vec<(bool, StateAction)>,
    bytes: usize,
}

impl Unkept {
    /// Adds an action; adjacent text of the same part becomes one.
    fn push(&mut self, on_chat: bool, action: &StateAction) {
        match (self.entries.last_mut(), action) {
            (Some((true, StateAction::ChatDelta(last))), StateAction::ChatDelta(next))
                if last.part_id == next.part_id && last.turn_id == next.turn_id =>
            {
                last.content.push_str(&next.content);
                self.bytes += next.content.len();
            }
            (Some((true, StateAction::ChatReasoning(last))), StateAction::ChatReasoning(next))
                if last.part_id == next.part_id && last.turn_id == next.turn_id =>
            {
                last.content.push_str(&next.content);
                self.bytes += next.content.len();
            }
            _ => self.entries.push((on_chat, action.clone())),
        }
    }

    fn is_only_text(&self) -> bool {
        let text = |(_, action): &(bool, StateAction)| is_text(action);
        self.bytes < MERGED_BYTES && self.entries.iter().all(text)
    }
}

fn is_text(action: &StateAction) -> bool {
    matches!(
        action,
        StateAction::ChatDelta(_) | StateAction::ChatReasoning(_)
    )
}

/// What a step is about, for the pause points of tests.
struct Points(Vec<&'static str>);

impl Points {
    fn of(outbox: &[Outgoing]) -> Self {
        if !cfg!(feature = "pause-points") {
            return Self(Vec::new());
        }
        let name = |outgoing: &Outgoing| match &outgoing.action {
            StateAction::ChatTurnStarted(a) if a.queued_message_id.is_some() => Some("queue-pop"),
            StateAction::ChatTurnStarted(_) => Some("prompt"),
            StateAction::ChatToolCallReady(a) if a.confirmed.is_none() => Some("permission-shown"),
            StateAction::ChatToolCallConfirmed(_) => Some("answer"),
            StateAction::ChatToolCallContentChanged(_) => Some("tool-output"),
            StateAction::ChatTurnComplete(_) => Some("turn-end"),
            StateAction::SessionTitleChanged(_) => Some("title"),
            StateAction::ChatInputRequested(_) => Some("question-shown"),
            StateAction::ChatInputCompleted(_) => Some("reply"),
            StateAction::SessionConfigChanged(_) => Some("configured"),
            StateAction::ChatPendingMessageSet(_) => Some("queued"),
            _ => None,
        };
        Self(outbox.iter().filter_map(name).collect())
    }

    /// `before-append` of a step that answers a permission is `answer.before-append`.
    fn reached(&self, at: &str) {
        for about in &self.0 {
            pause::reached(&format!("{about}.{at}"));
        }
    }
}

impl Actor {
    /// Keeps, publishes and tells what this step did. With `durable` it returns when a crash of the
    /// machine cannot undo it any more.
    pub(super) async fn commit(&mut self, durable: bool) {
        let only_text = !durable && self.said_only_text();
        let outbox = std::mem::take(&mut self.model.outbox);
        let points = Points::of(&outbox);
        points.reached("before-append");
        for outgoing in &outbox {
            self.unkept.push(outgoing.on_chat, &outgoing.action);
        }
        self.record_step(&outbox);
        // Who must be swept after a crash is known before it gets anything to do, and what was
        // decided is in the audit before anybody is told.
        let durable = durable || !self.pending_operations.is_empty();
        let mut operations = std::mem::take(&mut self.pending_operations);
        if !only_text || !self.unkept.is_only_text() {
            operations.extend(self.operations(durable));
        }
        if !operations.is_empty() && !self.keep(operations, durable).await {
            // Nobody is told of what a restart would undo.
            self.unkept_step = true;
        }
        if self.unkept_step {
            return;
        }
        points.reached("before-echo");
        self.turn_devices_over();
        for Outgoing {
            on_chat,
            action,
            origin,
            ..
        } in &outbox
        {
            let channel = match on_chat {
                true => &self.model.chat_uri,
                false => &self.model.session_uri,
            };
            self.model
                .shared
                .sequencer
                .publish(channel, action, origin.as_ref());
        }
        self.catch_up();
        points.reached("after-echo");
        if !only_text {
            self.publish_summary();
            self.tell_desktop();
        }
        points.reached("before-agent");
        self.flush_agent();
        points.reached("after-agent");
    }

    /// Whether all that this step did is to append to a text. Nothing follows from that, and it is
    /// what happens most.
    pub(super) fn said_only_text(&self) -> bool {
        let outbox = &self.model.outbox;
        !outbox.is_empty()
            && outbox.iter().all(|outgoing| is_text(&outgoing.action))
            && self.model.completed.is_empty()
            && self.pending_operations.is_empty()
    }

    /// What the store is to do about this step.
    fn operations(&mut self, durable: bool) -> Vec<Operation> {
        let mut operations = Vec::new();
        let completed = std::mem::take(&mut self.model.completed);
        let extras = self.extras();
        let extras_changed = self.kept_extras.as_ref() != Some(&extras);
        if completed.is_empty() && !durable && !extras_changed && self.unkept.is_only_text() {
            operations.extend(self.summary_operation());
            return operations;
        }
        let unkept = std::mem::take(&mut self.unkept);
        if completed.is_empty() {
            for (on_chat, action) in unkept.entries {
                let channel = if on_chat {
                    &self.model.chat_uri
                } else {
                    &self.model.session_uri
                };
                match serde_json::to_string(&action) {
                    Ok(action_json) => operations.push(Operation::AppendTail {
                        channel: channel.clone(),
                        action_json,
                    }),
                    Err(error) => tracing::error!(%error, "an action could not be encoded"),
                }
            }
            if extras_changed && let Ok(action_json) = serde_json::to_string(&extras) {
                let channel = EXTRAS.to_owned();
                operations.push(Operation::AppendTail {
                    channel,
                    action_json,
                });
            }
        } else {
            for turn in &completed {
                if let Ok(json) = serde_json::to_string(turn) {
                    self.count_turn(&json);
                    let text = super::search::text_of(turn);
                    operations.push(Operation::CompleteTurn {
                        turn_id: turn.id.clone(),
                        json,
                        text,
                    });
                }
            }
            operations.extend(self.state_operation(&extras));
            operations.push(Operation::ClearTail);
            self.forget_old_turns();
        }
        self.kept_extras = Some(extras);
        operations.extend(self.summary_operation());
        operations
    }

    /// The whole state, for a new session and at the end of a turn.
    pub(super) fn state_operation(&mut self, extras: &Extras) -> Option<Operation> {
        let turns = std::mem::take(&mut self.model.chat.turns);
        let kept = Kept {
            session: self.model.session.clone(),
            chat: self.model.chat.clone(),
            created_at: self.model.created_at.clone(),
            extras: extras.clone(),
        };
        self.model.chat.turns = turns;
        let state_json = serde_json::to_string(&kept);
        let state_json =
            state_json.inspect_err(|error| tracing::error!(%error, "a state could not be encoded"));
        Some(Operation::PutState {
            state_json: state_json.ok()?,
        })
    }

    fn summary_operation(&mut self) -> Option<Operation> {
        let summary = self.summary_now();
        if self.kept_summary.as_ref() == Some(&summary) {
            return None;
        }
        let summary_json = serde_json::to_string(&summary).ok()?;
        let (title, modified_at) = (summary.title.clone(), summary.modified_at.clone());
        self.kept_summary = Some(summary);
        Some(Operation::PutSummary {
            summary_json,
            title,
            modified_at,
        })
    }

    /// The first thing that is kept of a new session; `false` when it is not.
    pub(super) async fn keep_first(&mut self) -> bool {
        let extras = self.extras();
        let mut operations = std::mem::take(&mut self.pending_operations);
        operations.extend(self.state_operation(&extras));
        self.kept_extras = Some(extras);
        operations.extend(self.summary_operation());
        self.keep(operations, true).await
    }

    /// Gives a batch to the store. While the disk is full this waits, for as long as it takes or the
    /// daemon runs: the store goes on by itself when there is room, and inputs are refused before they
    /// get here. `false`: the store does not take it, and will not.
    pub(super) async fn keep(&mut self, operations: Vec<Operation>, durable: bool) -> bool {
        let batch = Batch {
            session: self.model.id.clone(),
            durable,
            operations,
        };
        let kept = self.keep_batch(batch).await;
        if let Err(error) = &kept {
            tracing::error!(session = %self.model.id, %error, "a step could not be kept");
        }
        kept.is_ok()
    }

    async fn keep_batch(&mut self, batch: Batch) -> anyhow::Result<()> {
        let store = self.model.shared.store.clone();
        let durable = batch.durable;
        self.looked_at_meanwhile(store.room()).await?;
        let committed = store.submit(batch);
        pause::reached("after-append");
        let committed = committed?;
        if durable {
            let kept = self.looked_at_meanwhile(committed).await;
            pause::reached("after-commit");
            kept??;
        }
        Ok(())
    }

    /// Waits for the store. While the disk fails people can look at the session all the same, and
    /// see what is not kept yet; everything else waits, but not the end of the daemon.
    async fn looked_at_meanwhile<T>(
        &mut self,
        kept: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let ending = self.model.shared.ending.clone();
        let mut health = self.model.shared.store.watch_health();
        let mut kept = std::pin::pin!(kept);
        loop {
            let is_failing = matches!(*health.borrow_and_update(), Health::Failing { .. });
            tokio::select! {
                biased;
                kept = &mut kept => return Ok(kept),
                changed = health.changed() => if changed.is_err() {
                    return Ok(kept.await);
                },
                () = ending.cancelled(), if is_failing => return Err(StoreError::Closed),
                input = self.inbox.next_meanwhile(), if is_failing => self.look(input).await,
                () = self.views.encoded(), if is_failing => {
                    self.run_ahead();
                    self.show_waiting().await;
                }
            }
        }
    }

    /// Carries out an input that only looks, and puts off any other.
    async fn look(&mut self, input: Input) {
        let client = match &input {
            Input::Subscribe(Asked { client, .. }) | Input::Snapshot { client, .. } => {
                Arc::clone(client)
            }
            Input::FetchTurns { .. } => {
                self.input(input).await;
                return;
            }
            _ => {
                self.inbox.defer(input);
                return;
            }
        };
        self.run_ahead();
        self.input(input).await;
        // Shown to the others by a step of its own.
        self.inbox.defer(Input::Attached { client });
    }

    /// Somebody is about to be shown what is not published yet.
    fn run_ahead(&mut self) {
        if !std::mem::replace(&mut self.ahead, true) {
            let sequencer = &self.model.shared.sequencer;
            sequencer.run_ahead(&[&self.model.session_uri, &self.model.chat_uri]);
        }
    }

    /// Everybody has what was published: those who saw it before as well.
    fn catch_up(&mut self) {
        if std::mem::take(&mut self.ahead) {
            let sequencer = &self.model.shared.sequencer;
            sequencer.catch_up(&[&self.model.session_uri, &self.model.chat_uri]);
        }
    }

    /// What AHP has no place for, as it is now.
    pub(super) fn extras(&self) -> Extras {
        Extras {
            allow: texts(&self.launch.allow),
            deny: texts(&self.launch.deny),
            allow_all: self.launch.allow_all.tools,
            allow_all_paths: self.launch.allow_all.paths,
            allow_all_urls: self.launch.allow_all.urls,
            add_dirs: self.launch.add_dirs.clone(),
            unattended: self.launch.unattended,
            session_rules: texts(&self.session_rules),
            acp_session: self.acp_session.clone(),
            trusted: self.trusted,
            closed: self.closed,
            remote_before_close: self.remote_before_close,
            named_by_person: self.named_by_person,
            for_agent: self.for_agent.clone(),
            answers: self.model.answers_in_order(),
            todos: self.model.todos.clone(),
            spent: self.model.spent.iter().cloned().collect(),
            plans: self.model.plans.clone(),
        }
    }

    fn forget_old_turns(&mut self) {
        let turns = &mut self.model.chat.turns;
        if turns.len() > 2 * TURNS_IN_MEMORY {
            let surplus = turns.len() - TURNS_IN_MEMORY;
            turns.drain(..surplus);
            self.model.earlier_turns += surplus as u64;
        }
    }
}
