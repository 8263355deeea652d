//! The environment an agent works with: the person's, never the daemon's own.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ipc_proto::control::Environment;
use tokio::process::Command;

use super::children;

/// Variables that belong to the process that had them and must not be passed on.
const NOT_INHERITED: &[&str] = &[
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "COPILOT_SESSION_ID",
    "COPILOT_AGENT_STATE_DIR",
];

/// What a session's agent is started with. Kept in memory only; `Debug` shows no values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SessionEnvironment {
    /// Variables.
    pub vars: Vec<(OsString, OsString)>,
    /// File mode creation mask, when known.
    pub umask: Option<u32>,
}

impl std::fmt::Debug for SessionEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionEnvironment")
            .field("vars", &self.vars.len())
            .field("umask", &self.umask)
            .finish()
    }
}

impl From<Environment> for SessionEnvironment {
    fn from(given: Environment) -> Self {
        let vars = given
            .vars
            .into_iter()
            .map(|(k, v)| (OsString::from_vec(k), OsString::from_vec(v)));
        Self {
            vars: vars.filter(|(k, _)| is_inherited(k)).collect(),
            umask: given.umask,
        }
    }
}

fn is_inherited(name: &OsString) -> bool {
    let usable = !name.is_empty() && !name.as_encoded_bytes().contains(&b'=');
    usable && !NOT_INHERITED.iter().any(|n| name == n)
}

impl SessionEnvironment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsString> {
        self.vars.iter().find(|(k, _)| k == name).map(|(_, v)| v)
    }

    /// A program on its PATH, in folders that do not depend on where one is.
    #[must_use]
    pub fn find(&self, program: impl AsRef<std::path::Path>) -> Option<PathBuf> {
        let path = self.get("PATH").cloned().unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program.as_ref()))
            .find(|program| program.is_file())
    }

    /// What the login shell of this user would give: for a session that no terminal created.
    /// Falls back to the daemon's own environment when the shell does not answer within 5 s.
    pub async fn of_login_shell() -> Self {
        let asked = tokio::time::timeout(Duration::from_secs(5), ask_login_shell()).await;
        asked.ok().flatten().unwrap_or_else(|| Self {
            vars: std::env::vars_os()
                .filter(|(k, _)| is_inherited(k))
                .collect(),
            umask: None,
        })
    }
}

async fn ask_login_shell() -> Option<SessionEnvironment> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten();
    let shell = user
        .as_ref()
        .map_or_else(|| PathBuf::from("/bin/sh"), |u| u.shell.clone());
    let mut command = Command::new(shell);
    command
        .args(["-l", "-c", "env -0"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(user) = &user {
        command
            .env("HOME", &user.dir)
            .env("USER", &user.name)
            .env("LOGNAME", &user.name);
    }
    let (child, _own) = children::spawn(command.kill_on_drop(true)).ok()?;
    let output = child.wait_with_output().await.ok()?;
    let vars: Vec<_> = output
        .stdout
        .split(|b| *b == 0)
        .filter_map(parse_variable)
        .filter(|(k, _)| is_inherited(k))
        .collect();
    (!vars.is_empty()).then_some(SessionEnvironment { vars, umask: None })
}

fn parse_variable(entry: &[u8]) -> Option<(OsString, OsString)> {
    let equals = entry.iter().position(|b| *b == b'=')?;
    Some((
        OsString::from_vec(entry[..equals].to_vec()),
        OsString::from_vec(entry[equals + 1..].to_vec()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_service_manager_stay_behind() {
        let vars = [
            ("PATH", "/bin"),
            ("LISTEN_FDS", "1"),
            ("COPILOT_SESSION_ID", "x"),
            ("", "y"),
            ("A=B", "z"),
        ];
        let given = Environment {
            vars: vars
                .map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec()))
                .to_vec(),
            umask: Some(0o77),
            cwd: None,
        };
        let environment = SessionEnvironment::from(given);
        assert_eq!(environment.vars.len(), 1);
        assert_eq!(environment.get("PATH").unwrap(), "/bin");
        assert!(!format!("{environment:?}").contains("/bin"));
    }

    #[tokio::test]
    async fn the_login_shell_knows_a_path() {
        let environment = SessionEnvironment::of_login_shell().await;
        assert!(environment.get("PATH").is_some());
    }
}
