//! A real terminal: a pty with a program in it and a screen that understands
//! what the program draws.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::wait::DEADLINE;

/// Rows and columns of a new terminal: room for a whole small session.
const SIZE: (u16, u16) = (40, 120);

/// How much of what a program wrote last is shown when a test fails.
const RAW_BYTES: usize = 2000;

/// A program in a terminal.
pub struct Pty {
    shared: Arc<Shared>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    before: Option<Modes>,
}

/// The terminal's settings as the kernel has them: input, output, control and
/// local flags.
pub type Modes = (u32, u32, u32, u32);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser<Answers>,
    raw: Vec<u8>,
    ended: bool,
}

/// What a terminal answers when it is asked about itself.
#[derive(Default)]
struct Answers {
    pending: Vec<u8>,
}

impl vt100::Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _second: Option<u8>,
        parameters: &[&[u16]],
        final_character: char,
    ) {
        match (first, parameters, final_character) {
            // Where is the cursor?
            (None, [[6]], 'n') => {
                let (row, column) = screen.cursor_position();
                self.pending
                    .extend(format!("\x1b[{};{}R", row + 1, column + 1).into_bytes());
            }
            // What kind of terminal is this?
            (None, _, 'c') => self.pending.extend(b"\x1b[?62c"),
            _ => {}
        }
    }
}

impl Pty {
    /// Starts a program in a new terminal.
    pub fn spawn(command: CommandBuilder) -> Self {
        let (rows, cols) = SIZE;
        let pair = native_pty_system()
            .openpty(size(rows, cols))
            .expect("a pty can be opened");
        let before = modes(pair.master.as_ref());
        let child = pair
            .slave
            .spawn_command(command)
            .expect("the program starts in the pty");
        // Ours would keep the terminal open after the program has gone.
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a pty is readable");
        let writer = Arc::new(Mutex::new(
            pair.master.take_writer().expect("a pty is writable"),
        ));
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                parser: vt100::Parser::new_with_callbacks(rows, cols, 2000, Answers::default()),
                raw: Vec::new(),
                ended: false,
            }),
            changed: Condvar::new(),
        });
        // Ends when the last program lets go of the terminal.
        std::thread::spawn({
            let (shared, writer) = (Arc::clone(&shared), Arc::clone(&writer));
            move || {
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = reader.read(&mut buffer) {
                    let answer = {
                        let mut state = shared.state.lock().unwrap();
                        state.raw.extend_from_slice(&buffer[..count]);
                        state.parser.process(&buffer[..count]);
                        std::mem::take(&mut state.parser.callbacks_mut().pending)
                    };
                    shared.changed.notify_all();
                    if !answer.is_empty() {
                        let _ = writer.lock().unwrap().write_all(&answer);
                    }
                }
                shared.state.lock().unwrap().ended = true;
                shared.changed.notify_all();
            }
        });
        Self {
            shared,
            master: pair.master,
            child,
            writer,
            before,
        }
    }

    /// Types. `\r` is Enter, `\x03` Ctrl+C, `\x04` Ctrl+D.
    pub fn send(&self, keys: &str) {
        self.writer
            .lock()
            .unwrap()
            .write_all(keys.as_bytes())
            .expect("the terminal takes input");
    }

    /// Changes the terminal's size; the program is told by the kernel.
    pub fn resize(&self, rows: u16, cols: u16) {
        self.shared
            .state
            .lock()
            .unwrap()
            .parser
            .screen_mut()
            .set_size(rows, cols);
        self.master
            .resize(size(rows, cols))
            .expect("a pty can be resized");
    }

    /// Waits until the screen is as described and returns its text.
    pub fn wait_for(&self, what: &str, matches: impl Fn(&vt100::Screen) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.state.lock().unwrap();
        loop {
            let screen = state.parser.screen();
            if matches(screen) {
                return screen.contents();
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let why = if state.ended {
                    "the program ended"
                } else {
                    "it took too long"
                };
                panic!(
                    "never on the screen: {what} ({why})\n--- screen\n{}\n--- last bytes\n{}\n---",
                    screen.contents(),
                    String::from_utf8_lossy(
                        state
                            .raw
                            .last_chunk::<RAW_BYTES>()
                            .map_or(&state.raw[..], |raw| raw)
                    )
                    .escape_debug(),
                );
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until this text is somewhere on the screen.
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contents().contains(text))
    }

    /// Waits until this text is nowhere on the screen.
    pub fn wait_until_gone(&self, text: &str) -> String {
        self.wait_for(&format!("the end of {text:?}"), |screen| {
            !screen.contents().contains(text)
        })
    }

    /// What is on the screen now.
    pub fn text(&self) -> String {
        self.shared.state.lock().unwrap().parser.screen().contents()
    }

    /// Looks at the screen, for modes and colours.
    pub fn look<T>(&self, question: impl FnOnce(&vt100::Screen) -> T) -> T {
        question(self.shared.state.lock().unwrap().parser.screen())
    }

    /// The process in the terminal.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("the program has started")
    }

    /// Ends the program as the kernel's out-of-memory killer would.
    pub fn kill(mut self) {
        crate::process::kill(&[self.pid()]);
        let _ = self.child.wait();
    }

    /// Waits for the program to end by itself and returns its exit code.
    pub fn wait(&mut self) -> u32 {
        {
            let end = Instant::now() + DEADLINE;
            let mut state = self.shared.state.lock().unwrap();
            while !state.ended {
                let left = end.saturating_duration_since(Instant::now());
                assert!(
                    !left.is_zero(),
                    "the program does not end\n--- screen\n{}\n---",
                    state.parser.screen().contents()
                );
                state = self.shared.changed.wait_timeout(state, left).unwrap().0;
            }
        }
        self.child
            .wait()
            .expect("the program can be waited for")
            .exit_code()
    }

    /// The terminal's settings before the program started and now.
    pub fn modes(&self) -> (Option<Modes>, Option<Modes>) {
        (self.before, modes(self.master.as_ref()))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

fn modes(master: &dyn MasterPty) -> Option<Modes> {
    let termios = master.get_termios()?;
    Some((
        termios.input_flags.bits(),
        termios.output_flags.bits(),
        termios.control_flags.bits(),
        termios.local_flags.bits(),
    ))
}
