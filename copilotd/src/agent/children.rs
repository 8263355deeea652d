//! The children of this process that are its own: agents and helpers. Every other one is something
//! that an ended agent left behind, and is swept.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::process::{Child, Command};

/// A process has one set of children, however many hosts run in it.
static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn lock() -> MutexGuard<'static, BTreeSet<u32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a child from being taken for what an agent left behind. Dropped when it was reaped.
#[derive(Debug)]
pub struct OwnChild(Option<u32>);

impl Drop for OwnChild {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            lock().remove(&pid);
        }
    }
}

/// Starts a child of ours. No sweep sees it before it is known.
///
/// # Errors
///
/// What the system says of a program that cannot be started.
pub fn spawn(command: &mut Command) -> io::Result<(Child, OwnChild)> {
    let mut own = lock();
    let child = command.spawn()?;
    let pid = child.id();
    own.extend(pid);
    Ok((child, OwnChild(pid)))
}

/// Gives a look at which children are ours; none is started meanwhile.
pub(super) fn with_own<T>(look: impl FnOnce(&BTreeSet<u32>) -> T) -> T {
    look(&lock())
}
