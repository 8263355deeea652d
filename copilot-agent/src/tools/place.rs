//! Opens files by where they really are, and by nothing else.
//!
//! A path was decided about before it is used, and what is on the way to it may have been
//! exchanged in between. So a path is walked one folder at a time, each opened in the one before,
//! and a symbolic link anywhere on the way is an error: what is opened is what was decided about,
//! or nothing is. One way for all systems; what Linux has for it besides (`openat2`) is refused
//! in many containers.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Component, Path},
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat, renameat},
    sys::stat::{Mode, SFlag, fchmod, fstat, fstatat, mkdirat},
    unistd::{UnlinkatFlags, linkat, unlinkat},
};

/// A name in a folder that is held open.
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
}

/// Opens a folder only to look things up in it, where the system tells that apart.
#[cfg(target_os = "linux")]
const LOOK_UP: OFlag = OFlag::O_PATH;
#[cfg(not(target_os = "linux"))]
const LOOK_UP: OFlag = OFlag::O_RDONLY;

impl Place {
    /// The place of `path`, which is absolute and has no `.`, `..` and links. The folders that
    /// are missing on the way are made when `make_folders`.
    pub(super) fn of(path: &Path, make_folders: bool) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        Ok(Self {
            folder: walk(parent, make_folders)?,
            name: name.to_owned(),
        })
    }

    /// The regular file that is there. Never waits for the other end of a pipe.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened = openat(
            &self.folder,
            self.name.as_os_str(),
            flags | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        Ok(File::from(opened))
    }

    /// Puts a file with this content and mode there, whatever was there before.
    pub(super) fn replace(&self, content: &[u8], mode: Mode) -> io::Result<()> {
        let temporary = Temporary::write(self, content)?;
        fchmod(&temporary.file, mode)?;
        renameat(
            &self.folder,
            temporary.name.as_os_str(),
            &self.folder,
            self.name.as_os_str(),
        )?;
        Ok(())
    }

    /// Puts a file with this content there unless something is there.
    pub(super) fn create(&self, content: &[u8]) -> io::Result<()> {
        let temporary = Temporary::write(self, content)?;
        // A link never replaces anything, unlike a rename.
        let linked = linkat(
            &self.folder,
            temporary.name.as_os_str(),
            &self.folder,
            self.name.as_os_str(),
            AtFlags::empty(),
        );
        match linked {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => Err(io::ErrorKind::AlreadyExists.into()),
            // Some file systems have no links.
            Err(_) => self
                .create_new(&self.name, new_file_mode())?
                .write_all(content),
        }
    }

    fn create_new(&self, name: &OsStr, mode: Mode) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.folder, name, flags, mode)?))
    }
}

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) is_folder: bool,
    pub(super) is_link: bool,
}

/// The entries of the folder at `path`, which is absolute and has no `.`, `..` and links.
pub(super) fn entries(path: &Path) -> io::Result<Vec<Entry>> {
    use std::os::unix::ffi::OsStrExt;

    let found = walk(path, false)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut folder = Dir::openat(&found, ".", flags, Mode::empty())?;
    let mut entries = Vec::new();
    for entry in folder.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        if name == "." || name == ".." {
            continue;
        }
        // Some file systems do not say what an entry is.
        let kind = entry.file_type().or_else(|| {
            let stat = fstatat(&found, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
            match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
                SFlag::S_IFDIR => Some(Type::Directory),
                SFlag::S_IFLNK => Some(Type::Symlink),
                _ => None,
            }
        });
        entries.push(Entry {
            name,
            is_folder: kind == Some(Type::Directory),
            is_link: kind == Some(Type::Symlink),
        });
    }
    Ok(entries)
}

/// The mode of an open file.
pub(super) fn mode_of(file: &File) -> io::Result<Mode> {
    Ok(Mode::from_bits_truncate(fstat(file)?.st_mode))
}

/// Whether an error says that a link was on the way, or no folder where there was one.
pub(super) fn leads_elsewhere(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ELOOP | Errno::ENOTDIR)
    )
}

fn walk(path: &Path, make_folders: bool) -> io::Result<OwnedFd> {
    let flags = LOOK_UP | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut folder = open("/", flags, Mode::empty())?;
    for component in path.components() {
        let name = match component {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            Component::Prefix(_) | Component::CurDir | Component::ParentDir => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        };
        folder = match openat(&folder, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) if make_folders => {
                match mkdirat(&folder, name, Mode::from_bits_truncate(0o777)) {
                    // Somebody else may have been faster; what is there now is looked at.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&folder, name, flags, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(folder)
}

/// As every new file: everything that the mask of the process leaves.
fn new_file_mode() -> Mode {
    Mode::from_bits_truncate(0o666)
}

/// A complete file beside the one it is for, removed when it was not used.
struct Temporary<'a> {
    place: &'a Place,
    name: OsString,
    file: File,
}

impl<'a> Temporary<'a> {
    fn write(place: &'a Place, content: &[u8]) -> io::Result<Self> {
        // File names are limited to 255 bytes.
        let shown: String = place.name.to_string_lossy().chars().take(40).collect();
        let unique = uuid::Uuid::new_v4().simple();
        let name = OsString::from(format!(".{shown}.{unique}.tmp"));
        let file = place.create_new(&name, new_file_mode())?;
        let mut temporary = Self { place, name, file };
        temporary.file.write_all(content)?;
        temporary.file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = unlinkat(
            &self.place.folder,
            self.name.as_os_str(),
            UnlinkatFlags::NoRemoveDir,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_link_on_the_way_is_an_error_and_nothing_happens() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("real/deep")).unwrap();
        fs::write(top.join("real/file"), "kept").unwrap();
        symlink("real", top.join("link")).unwrap();
        symlink("file", top.join("real/last")).unwrap();
        for path in ["link/file", "link/deep/file", "real/last"] {
            let opened = Place::of(&top.join(path), false).and_then(|place| place.open());
            assert!(leads_elsewhere(&opened.unwrap_err()), "{path}");
        }
        let made = Place::of(&top.join("link/new/file"), true).map(|_| ());
        assert!(leads_elsewhere(&made.unwrap_err()));
        assert!(entries(&top.join("link")).is_err());
        assert!(!top.join("real/new").exists());
        assert!(Place::of(&top.join("real/../real/file"), false).is_err());
        assert!(
            Place::of(&top.join("real/file"), false)
                .unwrap()
                .open()
                .is_ok()
        );
    }

    #[test]
    fn folders_are_made_and_listed() {
        let scratch = tempfile::tempdir().unwrap();
        let top = scratch.path().canonicalize().unwrap();
        let place = Place::of(&top.join("a/b/c"), true).unwrap();
        place.create(b"one").unwrap();
        let taken = place.create(b"two").unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        place
            .replace(b"three", Mode::from_bits_truncate(0o750))
            .unwrap();
        assert_eq!(fs::read(top.join("a/b/c")).unwrap(), b"three");
        let file = place.open().unwrap();
        assert_eq!(mode_of(&file).unwrap().bits() & 0o777, 0o750);
        symlink("b", top.join("a/s")).unwrap();
        let mut found: Vec<_> = entries(&top.join("a"))
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.is_folder, entry.is_link))
            .collect();
        found.sort();
        assert_eq!(
            found,
            [("b".into(), true, false), ("s".into(), false, true)]
        );
        assert_eq!(entries(&top.join("a/b")).unwrap().len(), 1);
    }
}
