//! Whether the disk has room for more input.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::error::NoSpace;

/// What must stay free: enough to finish running turns and to move the WAL into the
/// database. Bytes.
const RESERVE_BYTES: u64 = 8 * 1024 * 1024;

/// One system call.
pub(super) fn check(folder: &Path) -> Result<(), NoSpace> {
    let found = statvfs(folder).map_err(|error| NoSpace::Unknown(error.to_string()))?;
    // The types of these differ between systems.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let free = (found.blocks_available() as u64).saturating_mul(found.fragment_size() as u64);
    enough(free)
}

fn enough(free_bytes: u64) -> Result<(), NoSpace> {
    if free_bytes >= RESERVE_BYTES {
        return Ok(());
    }
    Err(NoSpace::Full {
        free_bytes,
        reserve_bytes: RESERVE_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_reserve_there_is_no_space() {
        assert_eq!(enough(RESERVE_BYTES), Ok(()));
        let words = enough(RESERVE_BYTES - 1).unwrap_err().to_string();
        assert!(words.contains("is full"), "{words}");
        assert_eq!(check(Path::new("/")), Ok(()));
        assert!(matches!(
            check(Path::new("/nowhere/at/all")),
            Err(NoSpace::Unknown(_))
        ));
    }
}
