//! `copilot daemon install` and `uninstall`: the daemon as a service of this person.
//!
//! Owns the order of the steps and what is said about each. Must never overwrite or remove a file that it
//! did not write, end a daemon without being asked to, or let two daemons run for one home.

mod files;
mod manager;
mod units;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipc_proto::paths::Paths;

use files::Found;
use manager::{Invocation, Manager};
use units::{Target, Unit};

/// Why the service was not installed or removed, in words for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// There is no folder for a person's services.
    #[error("there is no home folder: set HOME")]
    NoHome,
    /// The daemon's program is not where it should be.
    #[error("`{}` is not a program: install copilotd next to copilot, or give its path", path.display())]
    NoDaemon {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A path has characters that a unit file cannot hold.
    #[error(
        "the path `{}` has characters that a service manager does not take: use a plainer name",
        path.display()
    )]
    UnusablePath {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else's file is in the way.
    #[error("`{}` was not written by this program, so it is left alone: move it away first", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A daemon runs that the service manager does not know.
    #[error(
        "a daemon that no service manager started is running: run `copilot daemon stop` first, because two \
         daemons must not work on the same sessions"
    )]
    DaemonRuns,
    /// There is no service manager.
    #[error(
        "`{program}` was not found, so this system has no service that can be managed; nothing is lost, \
         because copilot starts the daemon when it needs it"
    )]
    NoManager {
        /// Its command.
        program: &'static str,
    },
    /// There is a service manager, but not for this login.
    #[error(
        "the service manager of your login cannot be reached ({output}): log in directly instead of through \
         su or sudo; copilot starts the daemon by itself until then"
    )]
    Unreachable {
        /// What its command said.
        output: String,
    },
    /// The service manager refused.
    #[error("`{command}` failed: {output}")]
    Manager {
        /// What was run.
        command: String,
        /// What it said.
        output: String,
    },
    /// A unit cannot be read, written or removed.
    #[error("cannot install or remove `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What is said cannot be written.
    #[error("cannot write what was done")]
    Output(#[from] io::Error),
}

/// Installs the daemon at `daemon` as a service of this person, for the folders of `paths`. Doing it again
/// changes nothing. With `dry_run` nothing is changed or run: every file is printed in full after a line
/// `# file: PATH`, and every command after `# run: `.
///
/// # Errors
/// See [`ServiceError`]. Nothing was changed unless a file or a command failed.
pub(crate) fn install(
    paths: &Paths,
    daemon: &Path,
    dry_run: bool,
    out: &mut dyn Write,
) -> Result<(), ServiceError> {
    if !daemon.is_absolute() || !daemon.is_file() {
        return Err(ServiceError::NoDaemon {
            path: daemon.to_owned(),
        });
    }
    let target = Target::new(paths.home(), daemon, |name| std::env::var_os(name));
    let service = Service::of_this_person(&target)?;
    if dry_run {
        return service.describe_install(out);
    }
    let daemon_listens = || UnixStream::connect(paths.socket()).is_ok();
    service.install(&mut run, daemon_listens, out)
}

/// Ends the service and removes its units. Sessions and settings stay. With `dry_run` nothing is changed or
/// run, only said.
///
/// # Errors
/// See [`ServiceError`].
pub(crate) fn uninstall(
    paths: &Paths,
    dry_run: bool,
    out: &mut dyn Write,
) -> Result<(), ServiceError> {
    // Only the names of the units matter here; what is in them was decided when they were installed.
    let target = Target::new(None, Path::new("copilotd"), |_| None);
    Service::of_this_person(&target)?.uninstall(&mut run, dry_run, out)?;
    writeln!(
        out,
        "# sessions stay in {}, settings in {}",
        paths.data_dir.display(),
        paths.config_dir.display()
    )?;
    Ok(())
}

/// What a command came to.
struct Outcome {
    success: bool,
    /// What it said on stderr.
    said: String,
}

/// Runs a command, or fails when there is no such program.
fn run(invocation: &Invocation) -> io::Result<Outcome> {
    let output = Command::new(invocation.program)
        .args(&invocation.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(Outcome {
        success: output.status.success(),
        said,
    })
}

/// Runs a command; the tests have one of their own.
type Run<'a> = dyn FnMut(&Invocation) -> io::Result<Outcome> + 'a;

/// The daemon as a service: which manager, and which files in which folder.
struct Service {
    manager: Manager,
    folder: PathBuf,
    units: Vec<Unit>,
}

impl Service {
    fn of_this_person(target: &Target) -> Result<Self, ServiceError> {
        let manager = Manager::of_this_system();
        let config_home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let folder = manager.folder(std::env::home_dir().as_deref(), config_home)?;
        Ok(Self {
            manager,
            folder,
            units: manager.units(target)?,
        })
    }

    /// The units with their paths and what is there now.
    fn look(&self) -> Result<Vec<(PathBuf, &Unit, Found)>, ServiceError> {
        let mut looked = Vec::new();
        for unit in &self.units {
            let path = self.folder.join(unit.name);
            let found = files::look(&path, &unit.text)?;
            looked.push((path, unit, found));
        }
        Ok(looked)
    }

    fn describe_install(&self, out: &mut dyn Write) -> Result<(), ServiceError> {
        for (path, unit, _) in self.look()? {
            write!(out, "# file: {}\n{}", path.display(), unit.text)?;
        }
        describe_commands(&self.manager.start(&self.folder, false), out)
    }

    fn install(
        &self,
        run: &mut Run<'_>,
        daemon_listens: impl FnOnce() -> bool,
        out: &mut dyn Write,
    ) -> Result<(), ServiceError> {
        // Everything that can speak against it comes before the first change.
        let found = self.look()?;
        let active = self.is_active(run)?;
        if !active && daemon_listens() {
            return Err(ServiceError::DaemonRuns);
        }
        for (path, unit, found) in &found {
            match found {
                Found::Same => writeln!(out, "unchanged {}", path.display())?,
                Found::Absent | Found::Ours => {
                    files::write(path, &unit.text)?;
                    let word = if *found == Found::Absent {
                        "wrote"
                    } else {
                        "replaced"
                    };
                    writeln!(out, "{word} {}", path.display())?;
                }
            }
        }
        run_all(&self.manager.start(&self.folder, active), run, out)?;
        let replaced = found.iter().any(|(.., found)| *found == Found::Ours);
        if active && replaced {
            writeln!(
                out,
                "the running service keeps its old definition until you run:"
            )?;
            for command in self.manager.restart(&self.folder) {
                writeln!(out, "  {command}")?;
            }
        }
        if self.manager == Manager::Systemd {
            writeln!(out, "to keep it after you log out: loginctl enable-linger")?;
        }
        Ok(())
    }

    fn uninstall(
        &self,
        run: &mut Run<'_>,
        dry_run: bool,
        out: &mut dyn Write,
    ) -> Result<(), ServiceError> {
        let installed: Vec<_> = self
            .look()?
            .into_iter()
            .filter(|(.., found)| *found != Found::Absent)
            .map(|(path, ..)| path)
            .collect();
        if installed.is_empty() {
            writeln!(out, "# the service is not installed")?;
            return Ok(());
        }
        if dry_run {
            describe_commands(&self.manager.stop(), out)?;
            for path in &installed {
                writeln!(out, "# remove: {}", path.display())?;
            }
            return describe_commands(&self.manager.forget(), out);
        }
        if self.is_active(run)? || self.manager == Manager::Systemd {
            run_all(&self.manager.stop(), run, out)?;
        }
        for path in &installed {
            files::remove(path)?;
            writeln!(out, "removed {}", path.display())?;
        }
        run_all(&self.manager.forget(), run, out)
    }

    /// Asks the manager. A manager that cannot be reached is an error, not an inactive service.
    fn is_active(&self, run: &mut Run<'_>) -> Result<bool, ServiceError> {
        let invocation = self.manager.is_active();
        let outcome = attempt(&invocation, run)?;
        // systemctl is asked to be quiet, so what it says is about itself. launchctl always explains.
        let unreachable = self.manager == Manager::Systemd && !outcome.said.is_empty();
        if !outcome.success && unreachable {
            return Err(ServiceError::Unreachable {
                output: outcome.said,
            });
        }
        Ok(outcome.success)
    }
}

fn describe_commands(commands: &[Invocation], out: &mut dyn Write) -> Result<(), ServiceError> {
    for command in commands {
        writeln!(out, "# run: {command}")?;
    }
    Ok(())
}

fn run_all(
    commands: &[Invocation],
    run: &mut Run<'_>,
    out: &mut dyn Write,
) -> Result<(), ServiceError> {
    for command in commands {
        let outcome = attempt(command, run)?;
        if !outcome.success {
            return Err(failed(command, outcome));
        }
        writeln!(out, "ran {command}")?;
    }
    Ok(())
}

fn attempt(invocation: &Invocation, run: &mut Run<'_>) -> Result<Outcome, ServiceError> {
    run(invocation).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ServiceError::NoManager {
            program: invocation.program,
        },
        _ => failed(
            invocation,
            Outcome {
                success: false,
                said: error.to_string(),
            },
        ),
    })
}

fn failed(invocation: &Invocation, outcome: Outcome) -> ServiceError {
    let output = if outcome.said.is_empty() {
        "it did not say why".to_owned()
    } else {
        outcome.said
    };
    ServiceError::Manager {
        command: invocation.to_string(),
        output,
    }
}

#[cfg(test)]
mod tests;
