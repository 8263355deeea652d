//! Which of an agent's own modes goes with a mode of the session.
//!
//! An agent's mode is only a word to it: what the session's mode forbids is refused by the
//! daemon in any case. So an agent is never put into a mode in which it would ask less.

use agent_client_protocol_schema::v1::{SessionMode, SessionModeState};

use crate::session::Mode;

/// The modes that an agent announced, and the one it was told to be in.
#[derive(Debug, Clone, Default)]
pub struct AgentModes {
    available: Vec<SessionMode>,
    /// The one it began in.
    first: String,
    current: String,
}

impl From<SessionModeState> for AgentModes {
    fn from(state: SessionModeState) -> Self {
        let current = state.current_mode_id.0.to_string();
        Self {
            available: state.available_modes,
            first: current.clone(),
            current,
        }
    }
}

impl AgentModes {
    /// The agent's mode to switch to, when there is one for `mode` and the agent is not in it.
    pub fn switch_to(&mut self, mode: Mode) -> Option<String> {
        let wanted = self.matching(mode)?;
        if wanted == self.current {
            return None;
        }
        self.current.clone_from(&wanted);
        Some(wanted)
    }

    /// The agent says that it switched by itself. Returns the name of the mode, when that is news.
    pub fn switched_by_agent(&mut self, id: &str) -> Option<String> {
        if id == self.current {
            return None;
        }
        id.clone_into(&mut self.current);
        let known = self.available.iter().find(|m| &*m.id.0 == id);
        Some(known.map_or_else(|| id.to_owned(), |m| m.name.clone()))
    }

    fn matching(&self, mode: Mode) -> Option<String> {
        const PLAN: &[&str] = &["plan", "planning", "planmode", "architect"];
        const ASKS: &[&str] = &["interactive", "default", "ask", "manual"];
        const AUTOPILOT: &[&str] = &["autopilot"];
        let named = |names: &[&str]| {
            let is = |text: &str, name: &str| plain(text) == name;
            names.iter().find_map(|name| {
                let mut modes = self.available.iter();
                let found = modes.find(|m| is(&m.id.0, name) || is(&m.name, name))?;
                Some(found.id.0.to_string())
            })
        };
        let asks = || {
            let began_planning = PLAN.contains(&plain(&self.first).as_str());
            let first = Some(self.first.clone()).filter(|id| !id.is_empty() && !began_planning);
            named(ASKS).or(first)
        };
        match mode {
            Mode::Plan => named(PLAN),
            Mode::Interactive => asks(),
            Mode::Autopilot => named(AUTOPILOT).or_else(asks),
        }
    }
}

/// Letters and digits only, in lower case.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(ids: &[&str], current: &str) -> AgentModes {
        let modes = ids
            .iter()
            .map(|id| SessionMode::new((*id).to_owned(), *id))
            .collect();
        SessionModeState::new(current.to_owned(), modes).into()
    }

    #[test]
    fn modes_are_found_by_name_and_never_one_that_asks_less() {
        use Mode::{Autopilot, Interactive, Plan};
        let own = ["interactive", "plan", "autopilot"];
        let other = ["default", "acceptEdits", "bypassPermissions", "plan"];
        let docs = ["ask", "architect", "code"];
        let table: &[(&[&str], &str, Mode, Option<&str>)] = &[
            (&own, "interactive", Plan, Some("plan")),
            (&own, "interactive", Autopilot, Some("autopilot")),
            (&own, "interactive", Interactive, None),
            (&own, "plan", Interactive, Some("interactive")),
            (&other, "default", Plan, Some("plan")),
            (&other, "plan", Autopilot, Some("default")),
            (&other, "bypassPermissions", Interactive, Some("default")),
            (&docs, "code", Plan, Some("architect")),
            (&docs, "code", Autopilot, Some("ask")),
            (&["Plan Mode", "build"], "build", Plan, Some("Plan Mode")),
            (&["Plan Mode", "build"], "Plan Mode", Interactive, None),
            (&["fast", "slow"], "fast", Plan, None),
            (&[], "", Autopilot, None),
        ];
        for (available, current, mode, expected) in table {
            let switched = modes(available, current).switch_to(*mode);
            assert_eq!(
                switched.as_deref(),
                *expected,
                "{available:?} {current} {mode}"
            );
        }
    }

    #[test]
    fn an_agent_is_told_once_and_again_after_it_switched_by_itself() {
        let mut modes = modes(&["default", "plan"], "default");
        assert_eq!(modes.switch_to(Mode::Plan).as_deref(), Some("plan"));
        assert_eq!(modes.switch_to(Mode::Plan), None);
        assert_eq!(modes.switched_by_agent("plan"), None);
        assert_eq!(
            modes.switched_by_agent("default").as_deref(),
            Some("default")
        );
        assert_eq!(modes.switch_to(Mode::Plan).as_deref(), Some("plan"));
    }
}
