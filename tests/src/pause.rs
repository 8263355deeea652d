//! Holding the daemon at a named point of its work, to kill it there.
//!
//! The daemon must be built with the feature `pause-points`; `cargo xtask test` does.

use std::path::PathBuf;

use crate::home::Home;
use crate::until;

/// The points of one home's daemons.
pub struct PausePoints {
    folder: PathBuf,
}

impl PausePoints {
    /// Daemons of this home that are started from here on can be held.
    pub fn of(home: &mut Home) -> Self {
        let folder = home.root().join("pause");
        std::fs::create_dir(&folder).expect("a folder for pause points");
        home.set("COPILOTD_PAUSE_DIR", &folder.display().to_string());
        Self { folder }
    }

    /// The next daemon that gets to this point stays there, with everything it does.
    pub fn arm(&self, point: &str) {
        std::fs::write(self.folder.join(format!("{point}.armed")), "").expect("armed");
    }

    /// Waits until a daemon stays at the point.
    pub fn wait(&self, point: &str) {
        let reached = self.folder.join(format!("{point}.reached"));
        let what = format!("the pause at {point} (is copilotd built with `pause-points`?)");
        until(&what, || reached.exists().then_some(()));
    }

    /// Lets a daemon that stays there go on; later ones pass.
    pub fn release(&self, point: &str) {
        for state in ["reached", "armed"] {
            // A point that was never reached has no mark.
            let _ = std::fs::remove_file(self.folder.join(format!("{point}.{state}")));
        }
    }
}
