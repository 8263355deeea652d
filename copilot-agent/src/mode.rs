//! The modes of a session, as this agent understands them: what the model is told, which tools
//! it is offered, and whether tools are confined.
//!
//! The client decides about every permission in every mode; a mode only ever takes away.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use agent_client_protocol::v1::schema::{SessionMode, SessionModeState};

/// A mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Asks before changes.
    #[default]
    Interactive,
    /// Reads and thinks, and ends by proposing a plan.
    Plan,
    /// Goes on until the task is complete.
    Autopilot,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Interactive, Self::Plan, Self::Autopilot];

    /// The mode with this id.
    #[must_use]
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.id() == id)
    }

    /// Its id in the protocol.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Plan => "plan",
            Self::Autopilot => "autopilot",
        }
    }

    /// What the model has to know about it; empty for the ordinary one.
    #[must_use]
    pub fn instructions(self) -> &'static str {
        match self {
            Self::Interactive => "",
            Self::Plan => {
                "\nYou are in plan mode. Nothing may be changed: writing files and running commands \
                 that change anything is refused, whoever asks. Read, search and think, ask with \
                 `ask_user` what only the person can know, and end by calling `exit_plan_mode` with \
                 a plan that somebody else could carry out. Do not say the plan in words instead.\n"
            }
            Self::Autopilot => {
                "\nYou are in autopilot mode. Go on by yourself until the task is complete and \
                 checked, and then call `task_complete`. If something cannot be done, say so there. \
                 Do not end your turn in another way.\n"
            }
        }
    }
}

/// The mode of a session, which the client may switch while a turn runs.
#[derive(Debug, Clone, Default)]
pub struct SharedMode(Arc<AtomicU8>);

impl SharedMode {
    /// The mode now.
    #[must_use]
    pub fn get(&self) -> Mode {
        let at = usize::from(self.0.load(Ordering::Acquire));
        Mode::ALL.get(at).copied().unwrap_or_default()
    }

    /// Switches for everything that is done from now on.
    pub fn set(&self, mode: Mode) {
        self.0.store(mode as u8, Ordering::Release);
    }

    /// The modes as the protocol announces them.
    #[must_use]
    pub fn state(&self) -> SessionModeState {
        let modes = Mode::ALL.map(|mode| {
            let (name, description) = match mode {
                Mode::Interactive => ("Interactive", "Asks before changes"),
                Mode::Plan => ("Plan", "Changes nothing and proposes a plan"),
                Mode::Autopilot => ("Autopilot", "Goes on until the task is complete"),
            };
            SessionMode::new(mode.id(), name).description(description.to_owned())
        });
        SessionModeState::new(self.get().id(), modes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_seen_by_everybody_who_shares_the_mode() {
        let mode = SharedMode::default();
        let other = mode.clone();
        assert_eq!(mode.get(), Mode::Interactive);
        for wanted in Mode::ALL {
            other.set(wanted);
            assert_eq!(mode.get(), wanted);
            assert_eq!(Mode::named(wanted.id()), Some(wanted));
            assert_eq!(&*mode.state().current_mode_id.0, wanted.id());
        }
        assert_eq!(Mode::named("yolo"), None);
    }
}
