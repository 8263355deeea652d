//! What of a session's steps goes into the audit, in the transaction of the step.

use super::actor::Actor;
use super::state::Outgoing;
use crate::audit::{self, Event, Record, Step, Who};

impl Actor {
    /// Records what this step did, with what it is about to publish.
    pub(super) fn record_step(&mut self, outbox: &[Outgoing]) {
        let client = self.step_by.take();
        let agent = self.agent_as_who();
        let step = Step {
            client: client.as_ref(),
            agent: &agent,
        };
        for outgoing in outbox {
            let step = Step {
                client: outgoing.by.as_ref().or(step.client),
                ..step
            };
            let from_client = outgoing.origin.is_some();
            if let Some((by, event)) = audit::of_step(&step, &outgoing.action, from_client) {
                self.record(by, event);
            }
        }
    }

    /// Records something with the next step that is kept.
    pub(super) fn record(&mut self, by: Who, event: Event) {
        let record = Record::now(Some(&self.model.id), by, event);
        let keep = self.model.shared.audit_keep();
        self.pending_operations.extend(record.operation(keep));
    }

    /// Records that the session was made.
    pub(super) fn record_creation(&mut self, by: Who) {
        let config = self.model.session.config.as_ref();
        let event = Event::SessionCreated {
            folder: self.folder.display().to_string(),
            agent: self.model.session.provider.clone(),
            config: config.map(|c| c.values.clone()).unwrap_or_default(),
        };
        self.record(by, event);
    }

    /// Records that somebody wants the turn to stop.
    pub(super) fn record_cancel(&mut self, turn: String) {
        let by = self.step_by.clone().unwrap_or_else(Who::daemon);
        let action = "chat/turnCancelled".to_owned();
        let id = Some(turn);
        self.record(by, Event::Input { action, id });
    }

    fn agent_as_who(&self) -> Who {
        Who {
            pid: self.agent.as_ref().map(super::agent::AgentConnection::pid),
            ..Who::without_process(&self.model.session.provider, "agent")
        }
    }
}
