//! Clocks, medians and what the kernel knows of a process.

use std::time::{Duration, Instant};

use copilot_tests::attached::Attached;
use serde_json::json;

/// Prints one figure.
pub(crate) fn figure(what: &str, value: &str) {
    println!("  {what}: {value}");
}

/// Prints the median, the 99th percentile and the worst of some times.
pub(crate) fn times(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let median = times[times.len() / 2];
    let late = times[(times.len() * 99).div_ceil(100) - 1];
    let worst = times[times.len() - 1];
    let count = times.len();
    figure(
        what,
        &format!(
            "{} median, {} at p99, {} worst of {count}",
            ms(median),
            ms(late),
            ms(worst)
        ),
    );
    median
}

/// Milliseconds, for people.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Mebibytes, for people.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// How long it takes from an input of one terminal until another one shows it.
pub(crate) fn echo(from: &mut Attached, to: &mut Attached, round: usize) -> Duration {
    let title = format!("title {round} {}", from.id());
    let channel = from.session_channel();
    let begin = Instant::now();
    let seq = from.client.dispatch(
        &channel,
        &json!({"type": "session/titleChanged", "title": title}),
    );
    to.wait("the title", |session, _| {
        (session.title == title).then_some(())
    });
    let time = begin.elapsed();
    assert_eq!(from.outcome(seq), None);
    time
}

/// How often a process was woken up and what it computed, in clock ticks.
pub(crate) fn activity(pid: u32) -> (u64, u64) {
    let mut wake_ups = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
    {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        wake_ups += status
            .lines()
            .filter(|line| line.contains("voluntary_ctxt_switches"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>();
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    (wake_ups, ticks)
}
