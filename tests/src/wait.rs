//! Waiting for what announces itself to nobody: a process that ends, a file
//! that appears. The only place in the suites that polls.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` gives a value; fails the test at the deadline,
/// naming `what` was awaited.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::park_timeout(PAUSE);
    }
}
