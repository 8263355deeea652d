//! The daemon's log: one file a day, readable by its owner only, seven of them.
//!
//! Logging never holds up a session: lines go into a bounded queue that a thread empties, and
//! lines that find it full are dropped and counted. What is logged is up to those who log;
//! other crates are heard only when they warn.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::LogLevel;
use crate::content::private;

/// Days that are kept, today included.
const MAX_FILES: usize = 7;
/// Lines that may wait to be written. When it is full, lines are dropped and counted.
const MAX_QUEUED_LINES: usize = 8 * 1024;
/// Crates whose lines the level is about.
const OWN_CRATES: [&str; 2] = ["copilotd", "ipc_proto"];

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder or the file cannot be written.
    #[error("the log in {} cannot be written: {source}", folder.display())]
    File {
        /// The folder of the log.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// [`init`] was called twice.
    #[error("logging was already started in this process")]
    AlreadyStarted,
}

/// Keeps the log going; what is queued is written when it is dropped.
#[derive(Debug)]
pub struct Guard {
    level: reload::Handle<Targets, Registry>,
    dropped: Vec<ErrorCounter>,
    _workers: Vec<WorkerGuard>,
}

impl Guard {
    /// Changes the level at once.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only when the subscriber is gone, and then nothing is logged at all.
        let _ = self.level.reload(targets(level));
    }

    /// How many lines were dropped since the start because the queue was full.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.iter().map(ErrorCounter::dropped_lines).sum()
    }
}

/// Starts logging to `copilotd.<date>.log` (UTC) in `folder`, which is created, and to stderr
/// when the daemon runs in the foreground.
pub fn init(folder: &Path, level: LogLevel, foreground_stderr: bool) -> Result<Guard, LogError> {
    let (subscriber, guard) = build(folder, level, foreground_stderr)?;
    subscriber
        .try_init()
        .map_err(|_| LogError::AlreadyStarted)?;
    Ok(guard)
}

fn build(
    folder: &Path,
    level: LogLevel,
    foreground_stderr: bool,
) -> Result<(impl Subscriber + Send + Sync + 'static, Guard), LogError> {
    let file = DailyFile::open(folder.to_owned(), today()).map_err(|source| LogError::File {
        folder: folder.to_owned(),
        source,
    })?;
    let (file, file_worker) = queue(file, "log-file");
    let mut dropped = vec![file.error_counter()];
    let mut workers = vec![file_worker];
    let stderr = foreground_stderr.then(|| {
        // A terminal that is stopped or a pipe that is full must not stop a session either.
        let (stderr, worker) = queue(io::stderr(), "log-stderr");
        dropped.push(stderr.error_counter());
        workers.push(worker);
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        lines(stderr, colours)
    });
    let (filter, level) = reload::Layer::new(targets(level));
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(lines(file, false))
        .with(stderr);
    Ok((
        subscriber,
        Guard {
            level,
            dropped,
            _workers: workers,
        },
    ))
}

fn queue(writer: impl Write + Send + 'static, thread: &str) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_QUEUED_LINES)
        .lossy(true)
        .thread_name(thread)
        .finish(writer)
}

fn lines<S>(writer: NonBlocking, colours: bool) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fmt::layer().with_writer(writer).with_ansi(colours)
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OWN_CRATES.map(|name| (name, level)))
}

fn today() -> jiff::civil::Date {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

/// The log file of the day; another day is another file.
struct DailyFile {
    folder: PathBuf,
    day: jiff::civil::Date,
    file: File,
}

impl DailyFile {
    fn open(folder: PathBuf, day: jiff::civil::Date) -> io::Result<Self> {
        private::create_folder(&folder)?;
        let file = open_day(&folder, day)?;
        Ok(Self { folder, day, file })
    }

    /// Goes on in the file of `day`. When that cannot be opened the old one goes on: a log in
    /// the wrong file is better than none.
    fn turn_to(&mut self, day: jiff::civil::Date) {
        if day != self.day {
            self.day = day;
            if let Ok(file) = open_day(&self.folder, day) {
                self.file = file;
            }
        }
    }
}

impl Write for DailyFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.turn_to(today());
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open_day(folder: &Path, day: jiff::civil::Date) -> io::Result<File> {
    let name = format!("copilotd.{day}.log");
    let file = private::options()
        .append(true)
        .create(true)
        .open(folder.join(&name))?;
    // Old files that cannot be removed are no reason not to log.
    let _ = remove_old(folder, &OsString::from(name));
    Ok(file)
}

/// Removes all but the newest files. Their names sort by date.
fn remove_old(folder: &Path, current: &OsString) -> io::Result<()> {
    let mut names: Vec<OsString> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| name != current && is_log(name))
        .collect();
    names.sort();
    let excess = (names.len() + 1).saturating_sub(MAX_FILES);
    for name in &names[..excess.min(names.len())] {
        std::fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

/// `copilotd.<date>.log`, and nothing that somebody else put there.
fn is_log(name: &OsString) -> bool {
    name.to_str()
        .and_then(|name| name.strip_prefix("copilotd.")?.strip_suffix(".log"))
        .is_some_and(|date| date.parse::<jiff::civil::Date>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(folder: &Path) -> String {
        std::fs::read_to_string(folder.join(format!("copilotd.{}.log", today()))).unwrap()
    }

    #[test]
    fn the_level_changes_live_and_other_crates_stay_quiet() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("logs");
        let (subscriber, guard) = build(&folder, LogLevel::Info, false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "copilotd::x", "first");
            tracing::debug!(target: "copilotd::x", "hidden");
            tracing::info!(target: "notify", "chatter");
            tracing::warn!(target: "notify", "warned");
            guard.set_level(LogLevel::Debug);
            tracing::debug!(target: "copilotd::x", "second");
            tracing::debug!(target: "notify", "chatter");
            guard.set_level(LogLevel::Error);
            tracing::warn!(target: "copilotd::x", "hidden");
            tracing::warn!(target: "notify", "hidden");
            tracing::error!(target: "ipc_proto", "third");
        });
        assert_eq!(guard.dropped_lines(), 0);
        drop(guard); // writes what is queued
        let text = logged(&folder);
        let words: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(words, ["first", "warned", "second", "third"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("logs");
        drop(build(&folder, LogLevel::Info, false).unwrap());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(
            mode(&folder.join(format!("copilotd.{}.log", today()))),
            0o600
        );
    }

    #[test]
    fn seven_days_are_kept_and_nothing_else_is_touched() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().to_owned();
        std::fs::write(folder.join("copilotd.notes.log"), "").unwrap();
        let first: jiff::civil::Date = "2026-02-25".parse().unwrap();
        let mut log = DailyFile::open(folder.clone(), first).unwrap();
        for days in 0..10_i64 {
            log.turn_to(first.checked_add(jiff::Span::new().days(days)).unwrap());
            log.file.write_all(b"line\n").unwrap();
        }
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), MAX_FILES + 1);
        assert_eq!(names[0], "copilotd.2026-02-28.log");
        assert_eq!(names[MAX_FILES - 1], "copilotd.2026-03-06.log");
        assert_eq!(names[MAX_FILES], "copilotd.notes.log");
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        /// Blocks until it is let go, as a full disk or a stopped terminal would.
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let (mut writer, worker) = queue(Stuck(stuck), "log-test");
        for _ in 0..MAX_QUEUED_LINES + 10 {
            writer.write_all(b"line\n").unwrap();
        }
        let dropped = writer.error_counter().dropped_lines();
        assert!((9..=10).contains(&dropped), "{dropped}");
        drop(release);
        drop(worker);
    }
}
