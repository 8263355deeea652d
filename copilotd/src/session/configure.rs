//! Settings of a session that change while it runs, and what follows from a change.

use ahp_types::actions::{ActionOrigin, SessionConfigChangedAction, StateAction};

use super::actor::Actor;
use super::mode::{self, Mode};
use super::remote;

impl Actor {
    /// The mode that the session is in.
    pub(super) fn mode(&self) -> Mode {
        Mode::of(self.model.session.config.as_ref())
    }

    /// Whether people switched "allow everything" on.
    pub(super) fn allows_all(&self) -> bool {
        mode::allows_all(self.model.session.config.as_ref())
    }

    /// Somebody, called `who`, changed settings; [`crate::host::admit`] made sure that they may.
    pub(super) fn configure(
        &mut self,
        action: SessionConfigChangedAction,
        origin: Option<&ActionOrigin>,
        who: &str,
    ) -> bool {
        let before = (self.mode(), self.allows_all());
        if action.config.contains_key(remote::REMOTE) {
            self.forget_remote_history();
        }
        let action = StateAction::SessionConfigChanged(action);
        let applied = self.model.session(action, origin);
        self.put_devices_out();
        let after = (self.mode(), self.allows_all());
        match (before.0, after.0) {
            (mode, same) if mode == same => {}
            (Mode::Autopilot, mode) => {
                let text = format!("Autopilot stopped: {who} switched to {mode} mode.");
                self.notice(&text, "autopilot-mode");
            }
            (_, mode) => self.notice(&format!("{who} switched to {mode} mode."), "mode"),
        }
        if before.1 != after.1 {
            let now = if after.1 {
                "From here on everything is allowed that no rule denies"
            } else {
                "From here on rules and people decide again"
            };
            self.notice(&format!("{now}, says {who}."), "allow-all");
        }
        if before != after {
            self.tell_agent_mode();
            self.decide_open_permissions_again();
        }
        applied
    }

    /// The daemon itself switches, as the answer to a plan says.
    pub(super) fn switch_mode(&mut self, mode: Mode) {
        if self.mode() == mode {
            return;
        }
        let action = mode::change(mode::MODE, mode.name());
        self.model
            .session(StateAction::SessionConfigChanged(action), None);
        self.tell_agent_mode();
        self.decide_open_permissions_again();
    }

    /// "Allow everything" ends with the session.
    pub(super) fn end_allow_all(&mut self) {
        if self.allows_all() {
            let action = mode::change(mode::ALLOW_ALL, false);
            self.model
                .session(StateAction::SessionConfigChanged(action), None);
        }
    }
}
