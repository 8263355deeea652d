//! Work that cannot write where it may not: done on a thread of its own that the kernel confines,
//! with everything that the work starts.
//!
//! Owns what is forbidden and how it is enforced; decides nothing about when. On Linux this is
//! Landlock (Linux 6.2 and newer); elsewhere there is no confinement, and [`Confinement::run`] says
//! so instead of doing the work.
//!
//! Not forbidden, because Landlock has no word for it: reading, UDP, changing the mode, owner and
//! times of files. Not forbidden on kernels that do not know that restriction yet: TCP (known since
//! Linux 6.7), and talking to other programs over sockets in the file system.

use std::path::PathBuf;
use std::sync::OnceLock;

/// What confined work may do besides reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    writable: Vec<PathBuf>,
    network: bool,
}

/// The work was not done, because it could not be confined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this system cannot confine programs ({why}); Landlock of Linux 6.2 or newer can")]
pub struct NotConfined {
    why: String,
}

impl Confinement {
    /// Nothing may be written but to devices such as `/dev/null`, and no TCP connection opened
    /// where the kernel can forbid that.
    #[must_use]
    pub fn read_only() -> Self {
        Self::default()
    }

    /// This file, or everything in this folder, may be written. One that does not exist when the
    /// work starts may not.
    #[must_use]
    pub fn writable(mut self, path: impl Into<PathBuf>) -> Self {
        self.writable.push(path.into());
        self
    }

    /// Network connections may be opened.
    #[must_use]
    pub fn with_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Does `work` on a thread of its own under this confinement, and waits for it. Processes that
    /// it starts stay confined for life.
    ///
    /// # Errors
    /// When the system cannot confine it. Then nothing of it was done.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NotConfined> {
        let confined = || system::confine_this_thread(self).map(|()| work());
        std::thread::scope(|scope| match scope.spawn(confined).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

/// Whether this system can confine. The kernel is asked once.
#[must_use]
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| Confinement::read_only().run(|| ()).is_ok())
}

#[cfg(target_os = "linux")]
mod system {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
        RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    };

    use super::{Confinement, NotConfined};

    /// What is always writable: devices that keep nothing.
    const DEVICES: [&str; 5] = [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
    ];
    /// Linux 6.2. Older versions cannot keep a file from being emptied.
    const AT_LEAST: ABI = ABI::V3;

    pub(super) fn confine_this_thread(confinement: &Confinement) -> Result<(), NotConfined> {
        let not = |why: String| NotConfined { why };
        match restrict(confinement) {
            Ok(RulesetStatus::NotEnforced) => Err(not("Landlock is switched off".to_owned())),
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
            Err(error) => Err(not(error.to_string())),
        }
    }

    fn restrict(confinement: &Confinement) -> Result<RulesetStatus, RulesetError> {
        // Sockets in the file system are a way out as the network is.
        let writing = AccessFs::from_write(match confinement.network {
            true => ABI::V8,
            false => ABI::V10,
        });
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_write(AT_LEAST))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(writing)?
            .scope(Scope::from_all(ABI::V6))?;
        if !confinement.network {
            ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
        }
        let devices = DEVICES.iter().map(std::path::PathBuf::from);
        let writable = confinement.writable.iter().cloned().chain(devices);
        let mut created = ruleset.create()?;
        for path in writable {
            // What is not there cannot be written.
            let Ok(place) = PathFd::new(&path) else {
                continue;
            };
            let allowed = match path.is_dir() {
                true => writing,
                false => writing & AccessFs::from_file(ABI::V10),
            };
            created = created.add_rule(PathBeneath::new(place, allowed))?;
        }
        Ok(created.restrict_self()?.ruleset)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Confinement, NotConfined};

    pub(super) fn confine_this_thread(_: &Confinement) -> Result<(), NotConfined> {
        Err(NotConfined {
            why: format!("it is {}", std::env::consts::OS),
        })
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// Runs this in a shell under the confinement; whether it succeeded.
    fn succeeds(confinement: &Confinement, script: &str) -> bool {
        let run = || {
            Command::new("/bin/sh")
                .args(["-c", script])
                .output()
                .unwrap()
        };
        confinement.run(run).unwrap().status.success()
    }

    #[test]
    fn nothing_is_written_created_emptied_renamed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("kept"), "kept").unwrap();
        let read_only = Confinement::read_only();
        for script in [
            format!("echo x >> {path}/kept"),
            format!("echo x > {path}/new"),
            format!(": > {path}/kept"),
            format!("truncate -s 0 {path}/kept"),
            format!("mv {path}/kept {path}/moved"),
            format!("rm -f {path}/kept"),
            format!("mkdir {path}/folder"),
            format!("ln -s x {path}/link"),
            format!("ln {path}/kept {path}/hard"),
            format!("setsid -w sh -c 'echo x > {path}/kept'"),
        ] {
            assert!(!succeeds(&read_only, &script), "{script}");
        }
        assert!(succeeds(
            &read_only,
            &format!("cat {path}/kept > /dev/null")
        ));
        assert_eq!(fs::read(folder.path().join("kept")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_named_is_writable_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        fs::create_dir(&inside).unwrap();
        let path = folder.path().display();
        let confinement = Confinement::read_only()
            .writable(&inside)
            .writable("/does/not/exist");
        assert!(succeeds(&confinement, &format!("echo x > {path}/inside/x")));
        assert!(!succeeds(&confinement, &format!("echo x > {path}/x")));
        assert!(!succeeds(
            &confinement,
            &format!("echo x > {path}/inside/../x")
        ));
    }

    #[test]
    fn no_connection_is_opened_unless_it_may_be() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connects = |confinement: &Confinement| {
            confinement
                .run(|| TcpStream::connect(address).is_ok())
                .unwrap()
        };
        assert!(!connects(&Confinement::read_only()));
        assert!(connects(&Confinement::read_only().with_network()));
    }

    #[test]
    fn only_the_work_is_confined() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let inside = Confinement::read_only().run(|| fs::write(&file, "x").is_ok());
        assert_eq!(inside, Ok(false));
        fs::write(&file, "x").unwrap();
    }
}
