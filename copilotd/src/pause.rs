//! Named points at which a test can hold the daemon, to kill it there.
//!
//! Compiled in with the feature `pause-points`, which only tests use. A test names a folder in
//! `COPILOTD_PAUSE_DIR` and puts the file `NAME.armed` there; the daemon that gets to the point
//! writes `NAME.reached` and stays there, with everything it does, until the file is gone.

/// The daemon is at the point `name`.
#[cfg(feature = "pause-points")]
pub fn reached(name: &str) {
    let Some(folder) = std::env::var_os("COPILOTD_PAUSE_DIR").map(std::path::PathBuf::from) else {
        return;
    };
    let armed = folder.join(format!("{name}.armed"));
    if !armed.exists() {
        return;
    }
    if let Err(error) = std::fs::write(folder.join(format!("{name}.reached")), b"") {
        tracing::error!(%error, name, "a pause point could not be marked");
    }
    while armed.exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Nothing, outside of tests.
#[cfg(not(feature = "pause-points"))]
#[inline(always)]
pub fn reached(_name: &str) {}
