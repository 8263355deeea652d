//! The service managers: where their units lie and what is run to make them notice.
//!
//! Pure but for finding the person's folders. Must never run a command itself.

use std::fmt;
use std::path::{Path, PathBuf};

use super::ServiceError;
use super::units::{Target, Unit};

/// A command for a service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    /// The program, looked up on PATH.
    pub(super) program: &'static str,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
}

impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program)?;
        for argument in &self.arguments {
            // To be read, and to be pasted into a shell.
            if argument.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_./:=".contains(c)) {
                write!(formatter, " '{}'", argument.replace('\'', r"'\''"))?;
            } else {
                write!(formatter, " {argument}")?;
            }
        }
        Ok(())
    }
}

/// A service manager of a person's own services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// `systemd --user`.
    Systemd,
    /// launchd, in the domain of the person's login.
    Launchd {
        /// Whose.
        uid: u32,
    },
}

impl Manager {
    /// The one of this system.
    pub(super) fn of_this_system() -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd {
                uid: nix::unistd::getuid().as_raw(),
            }
        } else {
            Self::Systemd
        }
    }

    /// Where it looks for the person's units. `variable` looks into the environment.
    pub(super) fn folder(
        self,
        home: Option<&Path>,
        config_home: Option<PathBuf>,
    ) -> Result<PathBuf, ServiceError> {
        let home = || home.ok_or(ServiceError::NoHome);
        Ok(match self {
            Self::Systemd => match config_home.filter(|folder| folder.is_absolute()) {
                Some(folder) => folder.join("systemd/user"),
                None => home()?.join(".config/systemd/user"),
            },
            Self::Launchd { .. } => home()?.join("Library/LaunchAgents"),
        })
    }

    /// The units for `target`.
    pub(super) fn units(self, target: &Target) -> Result<Vec<Unit>, ServiceError> {
        match self {
            Self::Systemd => target.systemd(),
            Self::Launchd { .. } => target.launchd(),
        }
    }

    /// Succeeds when the service is installed and its manager holds the socket or runs the daemon.
    pub(super) fn is_active(self) -> Invocation {
        match self {
            Self::Systemd => systemctl(&["is-active", "--quiet", "copilotd.socket"]),
            Self::Launchd { uid } => launchctl(&["print", &service(uid)]),
        }
    }

    /// What makes it use the units in `folder`.
    pub(super) fn start(self, folder: &Path, active: bool) -> Vec<Invocation> {
        match self {
            Self::Systemd => vec![
                systemctl(&["daemon-reload"]),
                systemctl(&["enable", "--now", "copilotd.socket"]),
            ],
            Self::Launchd { .. } if active => Vec::new(),
            Self::Launchd { uid } => {
                let agent = folder.join("dev.copilotd.plist");
                vec![launchctl(&[
                    "bootstrap",
                    &domain(uid),
                    &agent.to_string_lossy(),
                ])]
            }
        }
    }

    /// What makes a service that was active use units that changed. Ends the daemon that runs.
    pub(super) fn restart(self, folder: &Path) -> Vec<Invocation> {
        match self {
            Self::Systemd => vec![
                systemctl(&["stop", "copilotd.socket", "copilotd.service"]),
                systemctl(&["start", "copilotd.socket"]),
            ],
            Self::Launchd { .. } => [self.stop(), self.start(folder, false)].concat(),
        }
    }

    /// What makes it let go of the units, before they are removed. Ends the daemon that runs.
    pub(super) fn stop(self) -> Vec<Invocation> {
        match self {
            Self::Systemd => vec![
                systemctl(&["disable", "--now", "copilotd.socket"]),
                systemctl(&["stop", "copilotd.service"]),
            ],
            Self::Launchd { uid } => vec![launchctl(&["bootout", &service(uid)])],
        }
    }

    /// What makes it notice that the units are gone.
    pub(super) fn forget(self) -> Vec<Invocation> {
        match self {
            Self::Systemd => vec![systemctl(&["daemon-reload"])],
            Self::Launchd { .. } => Vec::new(),
        }
    }
}

fn systemctl(arguments: &[&str]) -> Invocation {
    let arguments = ["--user"]
        .iter()
        .chain(arguments)
        .map(|&argument| argument.to_owned());
    Invocation {
        program: "systemctl",
        arguments: arguments.collect(),
    }
}

fn launchctl(arguments: &[&str]) -> Invocation {
    let arguments = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    Invocation {
        program: "launchctl",
        arguments,
    }
}

fn domain(uid: u32) -> String {
    format!("gui/{uid}")
}

fn service(uid: u32) -> String {
    format!("gui/{uid}/dev.copilotd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_lie_where_the_manager_looks() {
        let home = Some(Path::new("/home/ada"));
        let systemd = |moved: Option<&str>| Manager::Systemd.folder(home, moved.map(PathBuf::from));
        assert_eq!(
            systemd(None).unwrap(),
            Path::new("/home/ada/.config/systemd/user")
        );
        assert_eq!(
            systemd(Some("/data/config")).unwrap(),
            Path::new("/data/config/systemd/user")
        );
        assert_eq!(
            systemd(Some("config")).unwrap(),
            Path::new("/home/ada/.config/systemd/user")
        );
        let launchd = Manager::Launchd { uid: 501 };
        assert_eq!(
            launchd.folder(home, None).unwrap(),
            Path::new("/home/ada/Library/LaunchAgents")
        );
        assert!(matches!(
            Manager::Systemd.folder(None, None),
            Err(ServiceError::NoHome)
        ));
    }

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let launchd = Manager::Launchd { uid: 501 };
        let commands = launchd.start(Path::new("/Users/ada's mac/Agents"), false);
        assert_eq!(
            commands[0].to_string(),
            r"launchctl bootstrap gui/501 '/Users/ada'\''s mac/Agents/dev.copilotd.plist'"
        );
        assert_eq!(
            Manager::Systemd.start(Path::new("/x"), true)[1].to_string(),
            "systemctl --user enable --now copilotd.socket"
        );
    }
}
