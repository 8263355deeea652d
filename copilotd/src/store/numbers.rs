//! Serial numbers: a number is reserved on disk before anyone sees it, and never again.
//!
//! The high mark is kept in a small file of its own, and a second time in the database. The
//! file has two slots that are overwritten in turn, each with a checksum: a write that is cut
//! short leaves the other one, and it needs no new space, so that numbers can be reserved
//! while the disk is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{Notice, OpenError, StoreError};
use super::files;

/// The slots lie in different blocks of the disk.
const SLOT_BYTES: usize = 4096;

/// The largest number that JSON keeps exact everywhere.
const MAX_NUMBER: u64 = (1 << 53) - 1;

const DOING: &str = "reserve serial numbers";

/// The high mark on disk. All numbers below `next` may have been used.
#[derive(Debug)]
pub(super) struct Numbers {
    file: File,
    next: u64,
    /// The slot to overwrite: not the one that holds `next`.
    slot: usize,
}

impl Numbers {
    /// Reads both copies and begins above them. `stored` is the database's copy, and
    /// `is_new` says that there never was a database here.
    pub(super) fn open(
        database: &Path,
        stored: u64,
        is_new: bool,
    ) -> Result<(Self, Option<Notice>), OpenError> {
        let path = files::beside(database, "-numbers");
        let (found, notice) = read(&path)?;
        let files_error = |doing| {
            let path = path.clone();
            move |source| OpenError::Files {
                doing,
                path,
                source,
            }
        };
        let floor = match found {
            Some((_, found)) => found,
            None if is_new => 1,
            // The database's copy may be behind. Microseconds since 1970 are above whatever
            // a host that began at one, or at an earlier such time, can have reached.
            None => microseconds_since_1970(),
        };
        let next = floor.max(stored).max(1);
        if found.is_none() {
            let content = [slot_text(next), slot_text(next)].concat();
            files::write_atomically(&path, &content).map_err(files_error("write"))?;
        }
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(files_error("open"))?;
        let slot = found.map_or(0, |(slot, _)| 1 - slot);
        Ok((Self { file, next, slot }, notice))
    }

    /// The mark: no number from here on was used.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// On return the numbers are reserved on disk.
    pub(super) fn reserve(&mut self, count: u64) -> Result<Range<u64>, StoreError> {
        let end = self
            .next
            .checked_add(count)
            .filter(|&end| end <= MAX_NUMBER)
            .ok_or_else(|| StoreError::Refused {
                doing: DOING,
                detail: "there are no more".to_owned(),
            })?;
        self.write(end)
            .map_err(|error| StoreError::from_io(DOING, &error))?;
        let reserved = self.next..end;
        self.next = end;
        self.slot = 1 - self.slot;
        Ok(reserved)
    }

    fn write(&mut self, next: u64) -> io::Result<()> {
        self.file
            .seek(SeekFrom::Start((self.slot * SLOT_BYTES) as u64))?;
        self.file.write_all(&slot_text(next))?;
        self.file.sync_data()
    }
}

fn microseconds_since_1970() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| u64::try_from(elapsed.as_micros()).ok())
        .unwrap_or(1)
}

/// Which slot, and the mark in it.
type Slot = (usize, u64);

/// The higher of the slots that are whole, and which it is. A file with none is set aside.
fn read(path: &Path) -> Result<(Option<Slot>, Option<Notice>), OpenError> {
    let content = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
        Ok(found) if found.is_file() => files::tighten(path, 0o600)
            .and_then(|()| File::open(path))
            .and_then(|file| {
                let mut content = Vec::new();
                file.take(2 * SLOT_BYTES as u64).read_to_end(&mut content)?;
                Ok(content)
            }),
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let files_error = |doing| {
        move |source| OpenError::Files {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    let content = match content {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            return Err(files_error("read")(error));
        }
        content => content.unwrap_or_default(),
    };
    let whole = content.chunks(SLOT_BYTES).map(parse_slot).enumerate();
    let found = whole
        .filter_map(|(slot, next)| Some((slot, next?)))
        .max_by_key(|&(_, next)| next);
    if found.is_some() {
        return Ok((found, None));
    }
    let kept = files::set_aside(path).map_err(files_error("rename"))?;
    let notice = Notice(format!(
        "The file with the serial numbers was damaged and is kept as {}; numbering goes on far \
         above all earlier numbers.",
        kept.display()
    ));
    Ok((None, Some(notice)))
}

/// One line for people and programs, filled up with line ends.
fn slot_text(next: u64) -> Vec<u8> {
    let line = format!("copilotd serial numbers 1 next={next}");
    let mut text = format!("{line} check={:016x}", checksum(line.as_bytes())).into_bytes();
    text.resize(SLOT_BYTES, b'\n');
    text
}

fn parse_slot(slot: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(slot).ok()?.trim_end_matches('\n');
    let (line, check) = text.rsplit_once(" check=")?;
    if check != format!("{:016x}", checksum(line.as_bytes())) {
        return None;
    }
    let next = line.strip_prefix("copilotd serial numbers 1 next=")?;
    next.parse().ok().filter(|&next| next <= MAX_NUMBER)
}

/// FNV-1a: against torn writes, not against people.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_read_as_written_and_never_when_a_byte_is_wrong() {
        for next in [1, 77, MAX_NUMBER] {
            let good = slot_text(next);
            assert_eq!(parse_slot(&good), Some(next));
            let length = good.iter().position(|&b| b == b'\n').unwrap();
            for at in 0..length {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert_eq!(parse_slot(&bad), None, "byte {at}");
                assert_eq!(parse_slot(&good[..at]), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn numbers_go_on_above_both_copies() {
        let scratch = tempfile::tempdir().unwrap();
        let database = scratch.path().join("db");
        let (mut numbers, notice) = Numbers::open(&database, 1, true).unwrap();
        assert_eq!((numbers.reserve(10).unwrap(), notice), (1..11, None));
        assert_eq!(numbers.reserve(0).unwrap(), 11..11);
        assert_eq!(numbers.reserve(5).unwrap(), 11..16);
        assert!(numbers.reserve(u64::MAX).is_err());
        assert!(numbers.reserve(MAX_NUMBER).is_err());
        assert_eq!(Numbers::open(&database, 1, false).unwrap().0.next(), 16);
        assert_eq!(Numbers::open(&database, 40, false).unwrap().0.next(), 40);
        let mut ahead = Numbers::open(&database, 40, false).unwrap().0;
        assert_eq!(ahead.reserve(1).unwrap(), 40..41);
        assert_eq!(Numbers::open(&database, 1, true).unwrap().0.next(), 41);
    }

    #[test]
    fn a_damaged_slot_leaves_the_other_and_two_leave_a_jump() {
        let scratch = tempfile::tempdir().unwrap();
        let database = scratch.path().join("db");
        let path = files::beside(&database, "-numbers");
        let mut numbers = Numbers::open(&database, 1, true).unwrap().0;
        numbers.reserve(100).unwrap();
        let mut content = std::fs::read(&path).unwrap();
        content[SLOT_BYTES + 30] ^= 0xff;
        std::fs::write(&path, &content).unwrap();
        assert_eq!(Numbers::open(&database, 1, false).unwrap().0.next(), 101);

        std::fs::write(&path, "garbage").unwrap();
        let before = microseconds_since_1970();
        let (numbers, notice) = Numbers::open(&database, 50, false).unwrap();
        assert!(numbers.next() >= before && numbers.next() < MAX_NUMBER);
        assert!(notice.unwrap().0.contains("db-numbers.damaged-"));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
    }
}
