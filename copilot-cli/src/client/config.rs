//! The settings of a session that people change while it runs. Pure: from the session's state,
//! and to the actions that ask for a change.

use ahp_types::actions::{SessionConfigChangedAction, StateAction};
use ahp_types::common::JsonObject;
use ahp_types::state::SessionState;
use serde_json::Value;

/// The modes, in the order in which Shift+Tab cycles through them.
pub(crate) const MODES: [&str; 3] = ["interactive", "plan", "autopilot"];

fn value<'a>(session: &'a SessionState, key: &str) -> Option<&'a Value> {
    session.config.as_ref()?.values.get(key)
}

fn is_on(session: &SessionState, key: &str) -> bool {
    value(session, key) == Some(&Value::Bool(true))
}

/// The mode that the host says the session is in.
pub(crate) fn mode(session: &SessionState) -> &str {
    value(session, "mode")
        .and_then(Value::as_str)
        .unwrap_or(MODES[0])
}

/// The mode that comes after this one.
pub(crate) fn next_mode(mode: &str) -> &'static str {
    let at = MODES.iter().position(|name| *name == mode);
    at.and_then(|at| MODES.get(at + 1))
        .copied()
        .unwrap_or(MODES[0])
}

/// Whether people switched "allow everything" on.
pub(crate) fn allows_all(session: &SessionState) -> bool {
    is_on(session, "allowAll")
}

/// Whether everything that no rule denies is allowed, for the moment or for the session's life.
pub(crate) fn asks_nothing(session: &SessionState) -> bool {
    allows_all(session) || is_on(session, "allowAllTools")
}

/// Whether nobody can be asked in the session.
pub(crate) fn is_unattended(session: &SessionState) -> bool {
    is_on(session, "unattended")
}

fn change(key: &str, value: Value) -> StateAction {
    StateAction::SessionConfigChanged(SessionConfigChangedAction {
        config: JsonObject::from_iter([(key.to_owned(), value)]),
        replace: None,
    })
}

/// The action that turns remote access on or off.
pub(crate) fn set_remote(on: bool) -> StateAction {
    change("remote", on.into())
}

/// The action that switches the mode.
pub(crate) fn switch_mode(mode: &str) -> StateAction {
    change("mode", mode.into())
}

/// The action that switches "allow everything".
pub(crate) fn switch_allow_all(on: bool) -> StateAction {
    change("allowAll", on.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_go_round() {
        let mut mode = "interactive";
        let mut seen = Vec::new();
        for _ in 0..3 {
            mode = next_mode(mode);
            seen.push(mode);
        }
        assert_eq!(seen, ["plan", "autopilot", "interactive"]);
        assert_eq!(next_mode("a mode of the future"), "interactive");
    }
}
