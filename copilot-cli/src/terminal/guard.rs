//! Taking the terminal, and giving it back whatever happens.

use std::io::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::{cursor, execute, terminal};

/// Whether the terminal is ours now. Global, because the panic hook needs it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// While this lives, the terminal is in raw mode and pastes are bracketed.
#[derive(Debug)]
pub(super) struct Guard(());

impl Guard {
    pub(super) fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self(());
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // First the terminal, so that the words can be read.
            give_back();
            before(info);
        }));
        execute!(io::stdout(), EnableBracketedPaste)?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    // The terminal may be gone (a hangup): then there is nothing to give back.
    let _ = execute!(out, DisableBracketedPaste, cursor::Show);
    let _ = terminal::disable_raw_mode();
    if std::thread::panicking() {
        let _ = out.write_all(b"\r\n");
    }
    let _ = out.flush();
}
