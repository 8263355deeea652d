//! Opening: whatever lies where the database should be, the daemon starts, and nothing that
//! could not be read is overwritten.
//!
//! * A sound database of ours is opened; one of an older format is migrated.
//! * One of a newer format is refused, untouched.
//! * A damaged one is copied as far as it can be read, kept under another name, and replaced
//!   by the copy.
//! * Anything else is kept under another name, and an empty database takes its place.
//!
//! The steps of a replacement are ordered so that a kill between any two of them loses
//! nothing: the copy is complete and on disk before the damaged file loses its name.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::error::{Notice, OpenError};
use super::salvage::{self, Salvaged};
use super::schema::{self, APPLICATION_ID};
use super::{connection, files, suspect};

/// Being written: worth nothing.
const BUILDING: &str = ".building";
/// What is copied out of, and worth nothing either.
const COPY: &str = ".copy";
/// Complete, and about to take the name of the database.
const READY: &str = ".ready";

/// An open database.
pub(super) struct Opened {
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) notices: Vec<Notice>,
    /// There was nothing here before.
    pub(super) is_new: bool,
    /// Its copy of the high mark of the serial numbers.
    pub(super) stored_numbers: u64,
}

/// What lies at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Not a file that can be read.
    Unusable,
    /// Not an SQLite database, as far as its first bytes say.
    NoDatabase,
    /// An SQLite database of another program.
    Foreign,
    /// Ours, in this format as far as the database file says; the WAL may know better.
    Ours(i64),
}

pub(super) fn open(path: &Path, check_bytes: u64) -> Result<Opened, OpenError> {
    let folder = files::folder_of(path);
    files::private_folder(folder).map_err(in_files("prepare the folder", folder))?;
    let path = &resolve(path);
    let mut notices = Vec::new();
    tidy_up(path, &mut notices)?;
    let found = inspect(path).map_err(in_files("read", path))?;
    let is_new = found == Found::Nothing && notices.is_empty();
    match found {
        Found::Nothing => create(path)?,
        Found::Ours(version) if version > schema::VERSION => return Err(newer(path, version)),
        Found::Ours(_) => {}
        Found::Unusable | Found::Foreign => {
            let what = if found == Found::Foreign {
                "a database of another program"
            } else {
                "something that cannot be read as a file"
            };
            let kept = replace(path, None)?;
            notices.push(Notice(format!(
                "Where the sessions are stored there was {what}; it is kept as {}, and the list \
                 of sessions is empty.",
                kept.display()
            )));
        }
        Found::NoDatabase => notices.push(recover(path)?),
    }
    let connection = match open_sound(path, check_bytes) {
        Ok(connection) => connection,
        Err(Unsound::Newer(version)) => return Err(newer(path, version)),
        Err(Unsound::Damaged) => {
            notices.push(recover(path)?);
            open_sound(path, 0).map_err(|unsound| match unsound {
                Unsound::Failed(error) => in_database("open", path)(error),
                Unsound::Newer(version) => newer(path, version),
                Unsound::Damaged => OpenError::Database {
                    doing: "open",
                    path: path.to_owned(),
                    detail: "what was recovered is damaged again; the disk may be failing"
                        .to_owned(),
                },
            })?
        }
        Err(Unsound::Failed(error)) => return Err(in_database("open", path)(error)),
    };
    suspect::clear(path).map_err(in_files("tidy up beside", path))?;
    let stored_numbers = connection
        .query_row("SELECT next FROM numbers", [], |row| row.get::<_, i64>(0))
        .map_err(in_database("read", path))?;
    Ok(Opened {
        path: path.to_owned(),
        connection,
        notices,
        is_new,
        stored_numbers: stored_numbers.cast_unsigned(),
    })
}

/// SQLite keeps its files beside the file that a link points to.
fn resolve(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Finishes or undoes what an earlier start was killed in.
fn tidy_up(path: &Path, notices: &mut Vec<Notice>) -> Result<(), OpenError> {
    remove_database(&files::beside(path, BUILDING))?;
    remove_database(&files::beside(path, COPY))?;
    let ready = files::beside(path, READY);
    if files::is_taken(path) {
        // Its original still has its name: it is recovered again.
        return files::remove_if_there(&ready).map_err(in_files("remove", &ready));
    }
    // A WAL without its database must not be taken for the WAL of the next one.
    let is_orphaned = files::COMPANIONS
        .iter()
        .any(|suffix| files::is_taken(&files::beside(path, suffix)));
    if is_orphaned {
        let kept = files::set_aside(path).map_err(in_files("rename what is beside", path))?;
        notices.push(Notice(format!(
            "The database of the sessions was gone; what was beside it is kept as {}-wal.",
            kept.display()
        )));
    }
    if files::is_taken(&ready) {
        files::rename(&ready, path).map_err(in_files("rename", &ready))?;
        notices.push(Notice(
            "The database of the sessions was damaged; its recovery was interrupted and is \
             complete now. The damaged file is kept beside it."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Only for what this module made.
fn remove_database(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let file = files::beside(path, suffix);
        files::remove_if_there(&file).map_err(in_files("remove", &file))?;
    }
    Ok(())
}

/// Looks at the first bytes, without SQLite: it changes nothing.
fn inspect(path: &Path) -> io::Result<Found> {
    let Ok(link) = path.symlink_metadata() else {
        return Ok(Found::Nothing);
    };
    // A pipe would wait for a writer, and a folder or a link to nowhere has no content.
    if !link.is_file() {
        return Ok(Found::Unusable);
    }
    let mut header = Vec::with_capacity(100);
    let read = files::tighten(path, 0o600)
        .and_then(|()| File::open(path))
        .and_then(|file| file.take(100).read_to_end(&mut header));
    match read {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Found::Unusable),
        Err(error) => Err(error),
        Ok(_) => Ok(judge(&header)),
    }
}

/// What the header of a file says.
fn judge(header: &[u8]) -> Found {
    let number = |at: usize| {
        let bytes = header.get(at..at + 4)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    };
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Found::NoDatabase;
    }
    match (number(68), number(60)) {
        (Some(APPLICATION_ID), Some(version)) => Found::Ours(version.into()),
        (Some(_), Some(_)) => Found::Foreign,
        _ => Found::NoDatabase,
    }
}

/// Why a database of ours is not opened as it is.
enum Unsound {
    Damaged,
    Newer(i64),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Unsound {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            // A table or column that is not there: the schema is not the one of its version.
            Some(ErrorCode::Unknown) | None => Self::Damaged,
            Some(_) => Self::Failed(error),
        }
    }
}

/// Opens, looks for damage, migrates. A database up to `check_bytes` long is looked at in
/// full, a longer one only when damage was met in use: there is no scan of a large database
/// at every start, and what is damaged in it shows when it is read.
fn open_sound(path: &Path, check_bytes: u64) -> Result<Connection, Unsound> {
    if ends_within_a_page(path) {
        return Err(Unsound::Damaged);
    }
    let mut connection = connection::writer(path)?;
    let version = schema::version(&connection)?;
    if version > schema::VERSION {
        return Err(Unsound::Newer(version));
    }
    let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
    if bytes <= check_bytes || suspect::is_noted(path) {
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" || !salvage::is_whole(&connection, version)? {
            tracing::warn!(verdict, "the database is damaged");
            return Err(Unsound::Damaged);
        }
    }
    schema::migrate(&mut connection, version)?;
    let has_every_table = connection.prepare(
        "SELECT count(*) FROM sessions, states, turns, tail, processes, numbers, audit, \
         title_search, turn_search",
    );
    drop(has_every_table?);
    connection.query_row("SELECT next FROM numbers", [], |_| Ok(()))?;
    connection::trust(&connection)?;
    // The WAL of a killed daemon; and the header of the file says the new version.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection)
}

/// SQLite would fill a last page that is cut with zeros. With a WAL it may be a page that was
/// being moved when the daemon was killed, and is whole in the WAL.
fn ends_within_a_page(path: &Path) -> bool {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    length(&files::beside(path, "-wal")) == 0 && length(path) % schema::PAGE_BYTES != 0
}

fn create(path: &Path) -> Result<(), OpenError> {
    build(path, None)?;
    let ready = files::beside(path, READY);
    files::rename(&ready, path).map_err(in_files("rename", &ready))
}

/// Replaces what is at the path, which is kept under the returned name.
fn replace(path: &Path, from: Option<&Path>) -> Result<PathBuf, OpenError> {
    Ok(replace_counting(path, from)?.0)
}

fn replace_counting(path: &Path, from: Option<&Path>) -> Result<(PathBuf, Salvaged), OpenError> {
    let salvaged = build(path, from)?;
    let kept = files::set_aside(path).map_err(in_files("rename", path))?;
    let ready = files::beside(path, READY);
    files::rename(&ready, path).map_err(in_files("rename", &ready))?;
    Ok((kept, salvaged))
}

fn recover(path: &Path) -> Result<Notice, OpenError> {
    let (kept, Salvaged { sessions, turns }) = replace_counting(path, Some(path))?;
    tracing::warn!(sessions, turns, "the database was damaged and is recovered");
    let kept = kept.display();
    Ok(Notice(if sessions == 0 {
        format!(
            "The database of the sessions was damaged and nothing in it could be read; it is \
             kept as {kept}, and the list of sessions is empty."
        )
    } else {
        format!(
            "The database of the sessions was damaged; {sessions} sessions with {turns} completed \
             turns were recovered, and the damaged file is kept as {kept}."
        )
    }))
}

/// A complete database on disk under the name that [`READY`] says, with what can be read of
/// another one in it.
fn build(path: &Path, from: Option<&Path>) -> Result<Salvaged, OpenError> {
    let building = files::beside(path, BUILDING);
    let ready = files::beside(path, READY);
    let copy = files::beside(path, COPY);
    files::create_private(&building)
        .map(drop)
        .map_err(in_files("create", &building))?;
    if let Some(from) = from {
        copy_database(from, &copy).map_err(in_files("copy", from))?;
    }
    let fill = || -> rusqlite::Result<Salvaged> {
        schema::create(&building)?;
        if from.is_none() {
            return Ok(Salvaged::default());
        }
        let mut to = connection::writer(&building)?;
        connection::trust(&to)?;
        let salvaged = salvage::salvage(&copy, &mut to)?;
        to.close().map_err(|(_, error)| error)?;
        Ok(salvaged)
    };
    let salvaged = fill().map_err(in_database("write", &building))?;
    remove_database(&copy)?;
    File::open(&building)
        .and_then(|file| file.sync_all())
        .and_then(|()| files::rename(&building, &ready))
        .map_err(in_files("write", &building))?;
    Ok(salvaged)
}

/// A copy with its WAL, to read out of.
fn copy_database(from: &Path, to: &Path) -> io::Result<()> {
    for suffix in ["", "-wal"] {
        let (from, to) = (files::beside(from, suffix), files::beside(to, suffix));
        if !files::is_taken(&from) {
            continue;
        }
        let mut copy = files::create_private(&to)?;
        io::copy(&mut File::open(&from)?, &mut copy)?;
        // Of a database shorter than a page SQLite would not look into the WAL, but delete it.
        let length = copy.metadata()?.len();
        if suffix.is_empty() && length < schema::PAGE_BYTES {
            copy.set_len(schema::PAGE_BYTES)?;
        }
    }
    Ok(())
}

fn newer(path: &Path, found: i64) -> OpenError {
    OpenError::Newer {
        path: path.to_owned(),
        found,
        known: schema::VERSION,
    }
}

fn in_files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Files {
        doing,
        path,
        source,
    }
}

fn in_database(doing: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Database {
        doing,
        path,
        detail: error.to_string(),
    }
}
