//! Agents that are kept from writing: which ones are, where they may write, and that a switch to
//! or from plan mode starts them anew between turns.
//!
//! The built-in agent confines its own tools in plan mode. Another one is confined as a whole, for
//! as long as it runs, where the settings say so.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use confinement::Confinement;

use super::actor::Actor;
use super::mode::Mode;
use crate::agent::{AgentCommand, BUILT_IN};

/// Whether what plan mode forbids is also enforced by the system, or only refused when asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Guarantee {
    /// The agent could change something without asking.
    Cooperative,
    /// In plan mode it could not.
    Confined,
}

/// What holds for an agent; `None` for one that is not in the settings any more.
#[must_use]
pub fn guarantee(agent: Option<&AgentCommand>) -> Guarantee {
    let is_confined = match agent {
        Some(agent) if agent.name == BUILT_IN => confinement::is_available(),
        Some(agent) => agent.confine.is_some(),
        None => false,
    };
    match is_confined {
        true => Guarantee::Confined,
        false => Guarantee::Cooperative,
    }
}

/// How an agent is started that is confined as a whole.
pub(super) struct Confined {
    /// Whether nothing of the session's folder may be written.
    pub(super) for_plan: bool,
    pub(super) confinement: Confinement,
    /// Where its temporary files go.
    pub(super) scratch: PathBuf,
}

impl Actor {
    /// How to confine this agent, if that is to be done.
    pub(super) fn confined(&self, agent: &AgentCommand) -> io::Result<Option<Confined>> {
        let Some(writable) = &agent.confine else {
            return Ok(None);
        };
        let scratch = self.scratch();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&scratch)?;
        let for_plan = self.mode() == Mode::Plan;
        let confinement = confinement(for_plan, &self.folder, &scratch, writable);
        Ok(Some(Confined {
            for_plan,
            confinement,
            scratch,
        }))
    }

    /// Whether the agent was started for another mode than the session is in now.
    pub(super) fn is_confined_for_another_mode(&self) -> bool {
        let for_plan = self
            .agent
            .as_ref()
            .and_then(|agent| agent.confined_for_plan);
        for_plan.is_some_and(|for_plan| for_plan != (self.mode() == Mode::Plan))
    }

    /// The temporary files of a confined agent go with its session.
    pub(super) fn remove_scratch(&self) {
        match std::fs::remove_dir_all(self.scratch()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, session = %self.model.id, "temporary files of an agent could not be removed");
            }
            _ => {}
        }
    }

    fn scratch(&self) -> PathBuf {
        let state = self.model.shared.paths.agent_state_dir();
        state.join("confined").join(&self.model.id)
    }
}

fn confinement(for_plan: bool, folder: &Path, scratch: &Path, writable: &[PathBuf]) -> Confinement {
    let own = writable.iter().cloned().chain([scratch.to_owned()]);
    let session = (!for_plan).then(|| folder.to_owned());
    own.chain(session).fold(
        Confinement::read_only().with_network(),
        Confinement::writable,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_writable_outside_of_plan_mode_only() {
        let (folder, scratch) = (Path::new("/srv/project"), Path::new("/scratch"));
        let own = [PathBuf::from("/home/ada/.agent")];
        let base = Confinement::read_only()
            .with_network()
            .writable("/home/ada/.agent")
            .writable("/scratch");
        assert_eq!(confinement(true, folder, scratch, &own), base.clone());
        assert_eq!(
            confinement(false, folder, scratch, &own),
            base.writable("/srv/project")
        );
    }

    #[test]
    fn an_agent_is_confined_when_the_settings_say_so() {
        let agent = |confine| AgentCommand {
            name: "mine".into(),
            title: "Mine".into(),
            program: "mine".into(),
            args: Vec::new(),
            env: Vec::new(),
            confine,
        };
        assert_eq!(guarantee(None), Guarantee::Cooperative);
        assert_eq!(guarantee(Some(&agent(None))), Guarantee::Cooperative);
        assert_eq!(
            guarantee(Some(&agent(Some(Vec::new())))),
            Guarantee::Confined
        );
    }
}
