//! Where a command writes: data to stdout, everything else to stderr.
//!
//! Decides once whether colours are wanted. Never writes to a terminal what
//! was not made safe by the caller (see `text`).

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::CliError;

/// The two streams of the process.
#[derive(Debug)]
pub struct Output {
    stdout: io::BufWriter<io::Stdout>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            stdout: io::BufWriter::new(io::stdout()),
        }
    }
}

impl Output {
    /// Writes data as it is, at once.
    pub fn data(&mut self, text: &str) -> Result<(), CliError> {
        self.stdout.write_all(text.as_bytes())?;
        Ok(self.stdout.flush()?)
    }

    /// Writes one line of data.
    pub fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.write_all(b"\n")?;
        Ok(self.stdout.flush()?)
    }

    /// Writes one value as a line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value)
            .map_err(|e| CliError::new("could not write JSON").because(&e))?;
        self.line(&text)
    }

    /// Tells the person something that is not data. A closed stderr is no error.
    pub fn note(&mut self, text: &str) {
        note(text);
    }
}

/// [`Output::note`] where there is no data to be written.
pub fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    // There is nobody left to tell when this fails.
    let _ = writeln!(stderr, "{text}");
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stdout.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Whether stdout is a terminal.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stdin is a terminal.
pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether colours are wanted on stdout: only on a terminal that can show
/// them, and never with `NO_COLOR` set to anything.
pub fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    stdout_is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
