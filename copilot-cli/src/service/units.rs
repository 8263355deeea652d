//! What a service manager is told: the units of the daemon, rendered for given paths.
//!
//! Pure. Owns the placeholders of the templates in `systemd/` and `launchd/` and how a path is quoted in
//! each of their places. Must never read or write a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ipc_proto::paths::{HOME_VARIABLE, Paths};

use super::ServiceError;

const SYSTEMD_SERVICE: &str = include_str!("../../../systemd/copilotd.service");
const SYSTEMD_SOCKET: &str = include_str!("../../../systemd/copilotd.socket");
const LAUNCHD_AGENT: &str = include_str!("../../../launchd/dev.copilotd.plist");

/// What every file that this program installs says near its beginning, and no other file does.
const MARKER: &str = "Installed by `copilot daemon install`";

/// The folders of the platform that a person may have moved. A service manager does not see a shell's
/// variables, so they are written down for it.
const MOVED_FOLDERS: [&str; 2] = ["XDG_CONFIG_HOME", "XDG_DATA_HOME"];

/// One file for a service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name, without a folder.
    pub(super) name: &'static str,
    /// Its content.
    pub(super) text: String,
}

/// What the units are rendered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    daemon: PathBuf,
    /// Where the socket is, when it is not where the service manager's own variables put it.
    socket: Option<PathBuf>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Target {
    /// The daemon at `daemon`, with everything under `home` or, without one, in the platform's folders.
    /// `variable` looks into the environment.
    pub(super) fn new(
        home: Option<&Path>,
        daemon: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let daemon = daemon.to_owned();
        if let Some(home) = home {
            let environment = vec![(HOME_VARIABLE, home.to_owned())];
            return Self {
                daemon,
                socket: Some(Paths::under(home).socket()),
                environment,
            };
        }
        let environment = MOVED_FOLDERS
            .into_iter()
            .filter_map(|name| variable(name).map(|value| (name, PathBuf::from(value))))
            // The platform ignores others.
            .filter(|(_, folder)| folder.is_absolute())
            .collect();
        Self {
            daemon,
            socket: None,
            environment,
        }
    }

    /// The units for systemd.
    pub(super) fn systemd(&self) -> Result<Vec<Unit>, ServiceError> {
        let environment = self
            .environment
            .iter()
            .map(|(name, value)| {
                Ok(format!(
                    "Environment={}",
                    systemd_quoted(&format!("{name}={}", text(value)?))
                ))
            })
            .collect::<Result<Vec<_>, ServiceError>>()?;
        let socket = match &self.socket {
            // A path of its own takes the rest of the line as it is, but for the specifiers.
            Some(path) => text(path)?.replace('%', "%%"),
            None => "%t/copilotd/copilotd.sock".to_owned(),
        };
        let daemon = text(&self.daemon)?;
        // systemd takes these nowhere in the name of a program, quoted or not.
        if daemon.contains(['"', '\'', '\\']) {
            return Err(ServiceError::UnusablePath {
                path: self.daemon.clone(),
            });
        }
        let daemon = systemd_quoted(daemon);
        let service = fill(SYSTEMD_SERVICE, &[("@DAEMON@", &daemon)], &environment);
        let socket = fill(SYSTEMD_SOCKET, &[("@SOCKET@", &socket)], &[]);
        Ok(vec![
            Unit {
                name: "copilotd.service",
                text: service,
            },
            Unit {
                name: "copilotd.socket",
                text: socket,
            },
        ])
    }

    /// The agent for launchd.
    pub(super) fn launchd(&self) -> Result<Vec<Unit>, ServiceError> {
        let environment = self
            .environment
            .iter()
            .flat_map(|(name, value)| {
                let value =
                    text(value).map(|value| format!("\t\t<string>{}</string>", xml_escaped(value)));
                [Ok(format!("\t\t<key>{name}</key>")), value]
            })
            .collect::<Result<Vec<_>, ServiceError>>()?;
        let agent = fill(
            LAUNCHD_AGENT,
            &[("@DAEMON@", &xml_escaped(text(&self.daemon)?))],
            &environment,
        );
        Ok(vec![Unit {
            name: "dev.copilotd.plist",
            text: agent,
        }])
    }
}

/// Whether a file with this content was written by this program, in any version.
pub(super) fn is_ours(content: &str) -> bool {
    content.lines().take(3).any(|line| line.contains(MARKER))
}

/// Fills a template. The line `@ENVIRONMENT@` becomes as many lines as there are variables, or none.
fn fill(template: &str, values: &[(&str, &str)], environment: &[String]) -> String {
    let mut filled = String::new();
    for line in template.lines() {
        if line.trim() == "@ENVIRONMENT@" {
            for variable in environment {
                filled.push_str(variable);
                filled.push('\n');
            }
            continue;
        }
        // One placeholder a line at most, so that a path that looks like one stays a path.
        match values
            .iter()
            .find(|(placeholder, _)| line.contains(placeholder))
        {
            Some((placeholder, value)) => filled.push_str(&line.replace(placeholder, value)),
            None => filled.push_str(line),
        }
        filled.push('\n');
    }
    filled
}

/// A path that can stand in a unit.
fn text(path: &Path) -> Result<&str, ServiceError> {
    path.to_str()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| ServiceError::UnusablePath {
            path: path.to_owned(),
        })
}

/// One word for systemd: quoted, with its specifiers switched off.
fn systemd_quoted(word: &str) -> String {
    let escaped = word
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('%', "%%");
    format!("\"{escaped}\"")
}

fn xml_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    fn rendered(units: &[Unit]) -> String {
        units
            .iter()
            .map(|unit| format!("==> {} <==\n{}", unit.name, unit.text))
            .collect()
    }

    #[test]
    fn systemd_units_for_the_platforms_folders() {
        let target = Target::new(None, Path::new("/usr/local/bin/copilotd"), nothing);
        insta::assert_snapshot!(rendered(&target.systemd().unwrap()));
    }

    #[test]
    fn systemd_units_for_a_home_with_every_odd_character() {
        let home = Path::new("/srv/ada's \"100%\" a\\b $HOME @SOCKET@");
        let daemon = Path::new("/srv/100% $HOME #1 @ENVIRONMENT@/copilotd");
        let target = Target::new(Some(home), daemon, nothing);
        insta::assert_snapshot!(rendered(&target.systemd().unwrap()));
    }

    #[test]
    fn launchd_agent_for_a_home_with_every_odd_character() {
        let home = Path::new("/Users/ada/<R&D> \"100%\" @DAEMON@");
        let target = Target::new(Some(home), &home.join("bin/copilotd"), nothing);
        insta::assert_snapshot!(rendered(&target.launchd().unwrap()));
    }

    #[test]
    fn launchd_agent_for_the_platforms_folders() {
        let target = Target::new(None, Path::new("/usr/local/bin/copilotd"), nothing);
        insta::assert_snapshot!(rendered(&target.launchd().unwrap()));
    }

    #[test]
    fn folders_that_were_moved_move_the_daemon_too() {
        let moved = |name: &str| match name {
            "XDG_CONFIG_HOME" => Some("/data/config".into()),
            "XDG_DATA_HOME" => Some("relative, so ignored".into()),
            _ => None,
        };
        let daemon = Path::new("/usr/bin/copilotd");
        let service = Target::new(None, daemon, moved).systemd().unwrap()[0]
            .text
            .clone();
        assert!(
            service.contains("Environment=\"XDG_CONFIG_HOME=/data/config\"\n"),
            "{service}"
        );
        assert!(!service.contains("XDG_DATA_HOME"), "{service}");
        // A home decides alone.
        let home = Path::new("/srv/ada");
        let service = Target::new(Some(home), daemon, moved).systemd().unwrap()[0]
            .text
            .clone();
        assert!(!service.contains("XDG_CONFIG_HOME"), "{service}");
    }

    #[test]
    fn a_path_that_cannot_stand_in_a_unit_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let not_utf8 = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xff"));
        for home in [Path::new("/srv/two\nlines"), not_utf8] {
            let target = Target::new(Some(home), Path::new("/usr/bin/copilotd"), nothing);
            assert!(matches!(
                target.systemd(),
                Err(ServiceError::UnusablePath { .. })
            ));
            assert!(matches!(
                target.launchd(),
                Err(ServiceError::UnusablePath { .. })
            ));
        }
    }

    #[test]
    fn a_program_that_systemd_would_not_start_is_refused_before_it_is_written_down() {
        for daemon in [
            "/opt/ada's/copilotd",
            "/opt/\"x\"/copilotd",
            "/opt/a\\b/copilotd",
        ] {
            let target = Target::new(None, Path::new(daemon), nothing);
            assert!(matches!(
                target.systemd(),
                Err(ServiceError::UnusablePath { .. })
            ));
        }
    }

    #[test]
    fn what_we_write_is_ours_and_other_files_are_not() {
        let target = Target::new(None, Path::new("/usr/bin/copilotd"), nothing);
        for unit in [target.systemd().unwrap(), target.launchd().unwrap()].concat() {
            assert!(is_ours(&unit.text), "{}", unit.name);
            assert!(
                !unit.text.contains('@'),
                "{}: a placeholder was left",
                unit.name
            );
        }
        let foreign =
            "[Unit]\nDescription=my own\n[Service]\n# not Installed by `copilot daemon install`\n";
        assert!(!is_ours(foreign));
        assert!(!is_ours(""));
    }
}
