//! Files below one folder, reached without ever following a link.
//!
//! Every path is walked from an open folder one name at a time, so that nothing that is swapped
//! for a link meanwhile leads out of it. What is written appears whole under its name.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::entry::{Stamp, path_of};

/// Permission bits and the three above them.
pub(super) const MODE_BITS: u32 = 0o7777;

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Folder,
    /// A pipe, socket or device, which is left alone.
    Other,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

impl Root {
    /// Links in `path` itself are the caller's business.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        Ok(Self(nix::fcntl::open(path, flags, Mode::empty())?))
    }

    fn parent(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut folder = self.0.try_clone()?;
        for part in path.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(part) = part else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            folder = openat(&folder, part, folder_flags(), Mode::empty())?;
        }
        Ok((folder, name.to_owned()))
    }

    /// What is there; nothing when there is nothing, or only behind a link.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<(Kind, Stamp)>> {
        let looked = self.parent(path).and_then(|(folder, name)| {
            Ok(fstatat(
                &folder,
                name.as_os_str(),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )?)
        });
        match looked {
            Ok(stat) => Ok(Some((kind(&stat), stamp(&stat)))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The content of a file and what the system says of it.
    pub(super) fn read_file(&self, path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
        let (folder, name) = self.parent(path)?;
        // A pipe in its place would wait for a writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&folder, name.as_os_str(), flags, Mode::empty())?;
        let before = fstat(&file)?;
        if kind(&before) != Kind::File {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut content = Vec::new();
        let mut file = File::from(file);
        file.read_to_end(&mut content)?;
        Ok((content, stamp(&before)))
    }

    pub(super) fn read_link(&self, path: &Path) -> io::Result<OsString> {
        let (folder, name) = self.parent(path)?;
        Ok(readlinkat(&folder, name.as_os_str())?)
    }

    /// Replaces or creates a file, whole.
    pub(super) fn write_file(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        self.replace(path, |folder, name| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let file = openat(folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
            let mut file = File::from(file);
            file.write_all(content)?;
            fchmod(&file, Mode::from_bits_truncate(mode & MODE_BITS))?;
            file.sync_all()
        })
    }

    /// Replaces or creates a link.
    pub(super) fn write_link(&self, path: &Path, target: &str) -> io::Result<()> {
        self.replace(path, |folder, name| {
            Ok(symlinkat(&path_of(target), folder, name)?)
        })
    }

    fn replace(
        &self,
        path: &Path,
        make: impl FnOnce(&OwnedFd, &OsStr) -> io::Result<()>,
    ) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let new = OsString::from(format!(".undo-{}", uuid::Uuid::new_v4().simple()));
        let made = make(&folder, &new).and_then(|()| {
            Ok(renameat(
                &folder,
                new.as_os_str(),
                &folder,
                name.as_os_str(),
            )?)
        });
        if made.is_err() {
            // The first error is the one worth telling.
            let _ = unlinkat(&folder, new.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        made
    }

    /// Makes a folder that its owner can work in.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(mkdirat(&folder, name.as_os_str(), Mode::S_IRWXU)?)
    }

    /// Sets the mode of a folder or file, never of what a link leads to.
    pub(super) fn set_folder_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        let opened = openat(&folder, name.as_os_str(), folder_flags(), Mode::empty())?;
        Ok(fchmod(
            opened.as_fd(),
            Mode::from_bits_truncate(mode & MODE_BITS),
        )?)
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(unlinkat(
            &folder,
            name.as_os_str(),
            UnlinkatFlags::NoRemoveDir,
        )?)
    }

    /// Only when it is empty.
    pub(super) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(unlinkat(
            &folder,
            name.as_os_str(),
            UnlinkatFlags::RemoveDir,
        )?)
    }
}

fn folder_flags() -> OFlag {
    OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC
}

/// There is nothing under this name, or a part of the path is no folder.
fn is_absent(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP))
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
fn stamp(stat: &FileStat) -> Stamp {
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
    Stamp {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        mode: stat.st_mode as u32 & MODE_BITS,
        size: stat.st_size as u64,
        modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}
