//! A word on the desktop when a session begins to need somebody and nobody looks at it.
//!
//! The desktop's own command shows it (`notify-send` of libnotify, `osascript` on macOS): a client of
//! its own would stay in the memory of every daemon for something that is said once in a while. What
//! is said names the session and never what the agent wants: it is readable on a locked screen.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use crate::agent::children;
use crate::agent::environment::SessionEnvironment;

/// A desktop that does not answer is not waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// What is said.
#[derive(Debug, PartialEq, Eq)]
pub struct Notification {
    /// One line, in bold where the desktop has that.
    pub title: String,
    /// What is wrong and what to do, as plain text.
    pub body: String,
}

impl Notification {
    /// For a session in a state of the protocol; `None` for one that needs nobody.
    #[must_use]
    pub fn of(state: &str, title: &str, session: &str) -> Option<Self> {
        let need = match state {
            "needs-permission" => "It needs a permission",
            "needs-answer" => "It has a question",
            "plan-ready" => "Its plan is ready",
            _ => return None,
        };
        let shown: String = title.chars().filter(|c| !c.is_control()).collect();
        let short = session.get(..8).unwrap_or(session);
        Some(Self {
            title: match shown.trim() {
                "" => format!("Session {short}"),
                shown => shown.to_owned(),
            },
            body: format!("{need}: copilot attach {short}"),
        })
    }

    /// Shows it on the desktop of whoever started the session. Nothing is waited for; a desktop that
    /// cannot is noted in the log.
    pub fn show(self, environment: Option<Arc<SessionEnvironment>>) {
        tokio::spawn(async move {
            let environment = environment.as_deref();
            let shown = tokio::time::timeout(LIMIT, self.run(environment)).await;
            let why = match shown {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {LIMIT:?}"),
            };
            tracing::info!(%why, "no word on the desktop");
        });
    }

    async fn run(&self, environment: Option<&SessionEnvironment>) -> Result<(), String> {
        let (program, arguments) = self.command();
        let found = environment.and_then(|e| e.find(program));
        let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(program)));
        if let Some(environment) = environment {
            command.env_clear().envs(environment.vars.iter().cloned());
        }
        command.args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let told = |error| format!("{program}: {error}");
        let (mut child, _own) = children::spawn(command.kill_on_drop(true)).map_err(told)?;
        match child.wait().await.map_err(told)? {
            status if status.success() => Ok(()),
            status => Err(told(std::io::Error::other(status.to_string()))),
        }
    }

    /// The command and its arguments. Titles come from agents: none of them is an option, markup or
    /// a script.
    fn command(&self) -> (&'static str, Vec<OsString>) {
        let words = |all: &[&str]| all.iter().map(OsString::from).collect();
        match cfg!(target_os = "macos") {
            true => {
                const SCRIPT: [&str; 3] = [
                    "on run words",
                    "display notification (item 2 of words) with title (item 1 of words)",
                    "end run",
                ];
                let [begin, show, end] = SCRIPT;
                let all = [
                    "-e",
                    begin,
                    "-e",
                    show,
                    "-e",
                    end,
                    "--",
                    &self.title,
                    &self.body,
                ];
                ("osascript", words(&all))
            }
            false => {
                let body = escaped(&self.body);
                let all = ["--app-name=copilot", "--", &self.title, &body];
                ("notify-send", words(&all))
            }
        }
    }
}

/// The body of a notification may have markup; this has none.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_needs_somebody_says_so_and_never_what_the_agent_wants() {
        let table = [
            ("needs-permission", "It needs a permission"),
            ("needs-answer", "It has a question"),
            ("plan-ready", "Its plan is ready"),
        ];
        for (state, words) in table {
            let said = Notification::of(state, "Fix\nit", "0123456789abcdef").unwrap();
            assert_eq!(said.title, "Fixit", "{state}");
            assert_eq!(said.body, format!("{words}: copilot attach 01234567"));
        }
        let untitled = Notification::of("plan-ready", " ", "0123").unwrap();
        assert_eq!(untitled.title, "Session 0123");
        for state in ["idle", "working", "starting", "stored", "error"] {
            assert_eq!(Notification::of(state, "Fix it", "0123"), None, "{state}");
        }
    }

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn a_title_is_never_an_option_and_a_body_never_markup() {
        let said = Notification {
            title: "--icon=x".to_owned(),
            body: "<b>a & b</b>".to_owned(),
        };
        let (program, arguments) = said.command();
        assert_eq!(program, "notify-send");
        assert_eq!(
            arguments,
            [
                "--app-name=copilot",
                "--",
                "--icon=x",
                "&lt;b&gt;a &amp; b&lt;/b&gt;"
            ]
        );
    }
}
