//! The one place that turns a failure into `error:` / `caused by:` / `hint:` and an exit code.
//!
//! Every command returns [`CliError`]; nothing else in the crate decides how a failure looks.

use std::fmt;
use std::io;

use crate::text::sanitize;

/// What the process exits with. Scripts depend on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked to do.
    Done,
    /// It did not.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// No daemon runs, and none could be started.
    NoDaemon,
    /// This client and the daemon speak no common version.
    Incompatible,
    /// A rule denied something that the agent wanted to do.
    Denied,
    /// The person pressed Ctrl+C.
    Interrupted,
}

impl Exit {
    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoDaemon => 3,
            Self::Incompatible => 4,
            Self::Denied => 5,
            Self::Interrupted => 130,
        }
    }
}

/// A failure in words for the person who typed the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    exit: Exit,
    silent: bool,
}

impl CliError {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Failed, message)
    }

    /// A failure with the given exit code.
    pub fn with_exit(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            exit,
            silent: false,
        }
    }

    /// A mistake in the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::with_exit(Exit::Usage, message)
    }

    /// An end that prints nothing: the reader of our output went away, or
    /// everything worth saying was already said.
    pub fn silent(exit: Exit) -> Self {
        Self {
            silent: true,
            ..Self::with_exit(exit, String::new())
        }
    }

    /// Adds a cause, the nearest first.
    #[must_use]
    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds an error and everything below it as causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let words = error.to_string();
            // Many error types repeat their source in their own words.
            if self.causes.last().is_none_or(|last| !last.contains(&words)) {
                self.causes.push(words);
            }
            next = error.source();
        }
        self
    }

    /// Says what the person can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code that goes with this failure.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The first line, without the word `error`.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The text for stderr: nothing for a silent end.
    pub fn render(&self) -> String {
        if self.silent {
            return String::new();
        }
        // Parts of these words may come from an agent or a file name.
        let mut text = format!("error: {}\n", sanitize(&self.message));
        for cause in &self.causes {
            text.push_str(&format!("caused by: {}\n", sanitize(cause)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {}\n", sanitize(hint)));
        }
        text
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<io::Error> for CliError {
    /// Errors of writing to the terminal or a pipe. A pipe that nobody reads
    /// any more is a normal end (`copilot sessions list | head -1`).
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(Exit::Done);
        }
        Self::new("could not read or write").because(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_message_causes_and_hint_in_order() {
        let error = CliError::new("could not start the daemon")
            .cause("no such file: copilotd")
            .hint("set COPILOTD_BIN to the daemon's path");
        assert_eq!(
            error.render(),
            "error: could not start the daemon\n\
             caused by: no such file: copilotd\n\
             hint: set COPILOTD_BIN to the daemon's path\n"
        );
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NoDaemon, 3),
            (Exit::Incompatible, 4),
            (Exit::Denied, 5),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code);
        }
    }

    #[test]
    fn a_closed_pipe_ends_silently() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.render(), "");
        assert_eq!(error.exit(), Exit::Done);
    }

    #[test]
    fn words_of_others_cannot_drive_the_terminal() {
        let error = CliError::new("bad name \u{1b}[31mred").cause("\u{202e}x");
        assert_eq!(
            error.render(),
            "error: bad name red\ncaused by: \u{fffd}x\n"
        );
    }
}
