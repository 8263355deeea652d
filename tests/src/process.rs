//! Looking at processes from outside, through `/proc` (or `ps` elsewhere).

use std::path::Path;

/// Whether a process exists and still runs (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // `pid (name) state …`; the name may contain anything, even a bracket.
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim_start().chars().next());
    match state {
        // The first thread of a killed process may be gone before the others, which hold its
        // files and locks until they are gone too.
        Some('Z') => {
            std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
        }
        Some('X') | None => false,
        Some(_) => true,
    }
}

/// Every running process that has `NAME=VALUE` in the environment it was
/// started with.
pub fn with_environment(name: &str, value: &str) -> Vec<u32> {
    let wanted = format!("{name}={value}");
    running(|pid| environment_has(pid, &wanted))
}

/// Every running process of one session of the daemon.
pub fn of_session(id: &str) -> Vec<u32> {
    with_environment("COPILOT_SESSION_ID", id)
}

/// Every running process that belongs to a scratch folder: by its
/// environment, its working folder or its command line.
pub(crate) fn of_folder(folder: &Path) -> Vec<u32> {
    let needle = folder.display().to_string();
    running(|pid| {
        let mentions = |file: &str| {
            std::fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|bytes| contains(&bytes, needle.as_bytes()))
        };
        mentions("environ")
            || mentions("cmdline")
            || std::fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|cwd| cwd.starts_with(folder))
    })
}

/// What a process has in memory, each shared page counted in parts. Bytes.
pub fn memory_bytes(pid: u32) -> u64 {
    kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:") * 1024
}

/// The most that a process ever had in memory at a time. Bytes.
pub fn peak_memory_bytes(pid: u32) -> u64 {
    kibibytes(&format!("/proc/{pid}/status"), "VmHWM:") * 1024
}

fn kibibytes(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("there is no {name} in {file}"))
}

/// Kills processes at once and without asking.
pub(crate) fn kill(pids: &[u32]) {
    for pid in pids {
        if let Ok(pid) = i32::try_from(*pid) {
            // It may have ended since it was found.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
}

fn running(matches: impl Fn(u32) -> bool) -> Vec<u32> {
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && is_alive(*pid) && matches(*pid))
        .collect()
}

fn environment_has(pid: u32, wanted: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    })
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
