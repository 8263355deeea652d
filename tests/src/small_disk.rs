//! A disk that is small enough to be filled: the daemon's data on a file system of its own.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use crate::home::Home;

/// See the module. Dropping it takes the disk away, so a test keeps it as long as the home.
pub struct SmallDisk<'a> {
    home: &'a Home,
    folder: PathBuf,
}

impl<'a> SmallDisk<'a> {
    /// Puts the data of a home whose daemon never ran on a disk of this size. Nothing, with the
    /// reason printed, where tests may not mount.
    pub fn under(home: &'a Home, mebibytes: u32) -> Option<Self> {
        let folder = home.path().join("data");
        std::fs::create_dir(&folder).expect("a folder for the data");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mebibytes}m,mode=0700"))
            .arg("tmpfs")
            .arg(&folder)
            .output();
        let refused = match mounted {
            Ok(output) if output.status.success() => return Some(Self { home, folder }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped: a small file system cannot be mounted here ({refused})");
        None
    }

    /// Fills the disk and leaves this many bytes free.
    pub fn fill(&self, leave: usize) {
        let mut filler = File::create(self.folder.join("filler")).expect("a filler");
        let block = vec![0; 4096];
        loop {
            match filler.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("the disk cannot be filled: {error}"),
            }
        }
        let filled = filler.metadata().expect("a filler").len();
        let kept = filled.saturating_sub(leave as u64);
        filler.set_len(kept).expect("a shorter filler");
    }

    /// Makes room again.
    pub fn empty(&self) {
        std::fs::remove_file(self.folder.join("filler")).expect("a filler to remove");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The home prints it too, but finds it only on the disk that goes away here.
            eprintln!("--- the daemon's log\n{}---", self.home.daemon_log());
        }
        // The daemon may still use it: it goes when nobody does.
        let unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(&self.folder)
            .status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.folder.display());
        }
    }
}
