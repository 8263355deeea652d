//! What a daemon costs that nobody uses.

use std::time::Duration;

use copilot_tests::{Home, memory_bytes};

use crate::measure::{activity, figure, mib};

/// How long a daemon is watched that does nothing.
const WATCHED: Duration = Duration::from_secs(10);

pub(crate) fn a_daemon_at_rest() {
    let home = Home::without_model();
    home.start_daemon();
    watch(&home, "no session");
}

/// Prints what the daemon of a home costs while nothing happens; returns its memory in bytes.
pub(crate) fn watch(home: &Home, what: &str) -> u64 {
    let pid = home.daemon();
    let (wake_ups, ticks) = activity(pid);
    std::thread::park_timeout(WATCHED);
    let (wake_ups_after, ticks_after) = activity(pid);
    let memory = memory_bytes(pid);
    figure(&format!("memory, {what}"), &format!("{} PSS", mib(memory)));
    figure(
        &format!("activity in {WATCHED:?}, {what}"),
        &format!(
            "{} wake-ups, {} clock ticks",
            wake_ups_after.saturating_sub(wake_ups),
            ticks_after - ticks
        ),
    );
    memory
}
