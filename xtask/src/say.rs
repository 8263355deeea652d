//! The only place that writes to the screen: progress and errors on stderr,
//! results on stdout.

use std::io::{IsTerminal, Write};

/// Announces a step, so that a long run shows where it is.
pub(crate) fn step(text: &str) {
    let mut err = std::io::stderr().lock();
    // A closed stderr is not a reason to stop.
    let _ = if err.is_terminal() {
        writeln!(err, "\x1b[1;34m==>\x1b[0m {text}")
    } else {
        writeln!(err, "==> {text}")
    };
}

/// A remark that belongs to the current step.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "    {text}");
}

/// A line of the result.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// An error with everything that caused it.
pub(crate) fn error(error: &anyhow::Error) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "error: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(err, "  caused by: {cause}");
    }
}
