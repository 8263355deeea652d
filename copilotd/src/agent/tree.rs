//! Finding and killing everything an agent started, and telling whether a process is one of those.
//!
//! On Linux the daemon and every agent are child subreapers, so that a process which detaches
//! itself (double fork, `setsid`, an emptied environment) still has the agent, or the daemon once
//! the agent is gone, among its ancestors. What this does not see: a process that somebody else
//! started on an agent's behalf (`systemd-run`, `at`, a container engine, another user's shell).

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::children;

/// One process as the system describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    zombie: bool,
}

/// Makes orphans of this process's descendants its children. Linux only; elsewhere nothing.
pub fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "orphans of agents cannot be adopted");
    }
}

#[cfg(target_os = "linux")]
fn process(pid: i32) -> Option<Process> {
    parse_stat(
        pid,
        &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?,
    )
}

#[cfg(target_os = "linux")]
fn parent_of(pid: i32) -> Option<i32> {
    process(pid).map(|p| p.parent)
}

#[cfg(not(target_os = "linux"))]
fn parent_of(pid: i32) -> Option<i32> {
    processes()
        .into_iter()
        .find(|p| p.pid == pid)
        .map(|p| p.parent)
}

#[cfg(target_os = "linux")]
fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(process)
        .collect()
}

/// Reads `pid (name) state ppid pgrp …`; the name may hold anything, so the last `)` counts.
#[cfg(target_os = "linux")]
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        zombie: state == "Z" || state == "X",
    })
}

#[cfg(not(target_os = "linux"))]
fn processes() -> Vec<Process> {
    let Ok(output) = std::process::Command::new("ps")
        .args(["-axo", "pid=,ppid=,pgid=,stat="])
        .output()
    else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let mut number = || fields.next()?.parse().ok();
            let (pid, parent, group) = (number()?, number()?, number()?);
            Some(Process {
                pid,
                parent,
                group,
                zombie: fields.next()?.starts_with('Z'),
            })
        })
        .collect()
}

/// When a process started, in the system's own units: with its number it names one process of this
/// boot and no other. `None` when there is none, or where the system does not tell.
pub fn start_time(pid: u32) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = stat.get(stat.rfind(')')? + 1..)?;
        fields.split_ascii_whitespace().nth(19)?.parse().ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

/// Kills a process of an earlier life of this daemon, when it is still the one that was recorded,
/// with everything it started.
pub fn sweep_recorded(pid: u32, recorded_start: u64) {
    if start_time(pid) == Some(recorded_start) {
        kill_tree(pid);
    }
}

/// Kills every process whose environment has `variable=value`: what agents of an earlier life left
/// behind, however it detached itself. Linux only; elsewhere nothing.
pub fn sweep_marked(variable: &str, value: &std::ffi::OsStr) {
    let mut mark = format!("{variable}=").into_bytes();
    mark.extend_from_slice(value.as_encoded_bytes());
    let own = std::process::id() as i32;
    for process in processes().into_iter().filter(|p| p.pid != own) {
        let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        if environ.split(|b| *b == 0).any(|entry| entry == mark) {
            kill_tree(process.pid as u32);
        }
    }
}

/// More ancestors than any process has; the table of processes is not read as one.
const MAX_ANCESTORS: usize = 10_000;

/// Whether `pid` is `ancestor` or descends from it. A process that cannot be seen counts as one:
/// whoever cannot be looked at is not trusted.
pub fn descends_from(pid: u32, ancestor: u32) -> bool {
    let (mut at, ancestor) = (pid as i32, ancestor as i32);
    for _ in 0..MAX_ANCESTORS {
        if at == ancestor {
            return true;
        }
        match parent_of(at) {
            // The first process, or one whose parent is outside of what is seen here.
            Some(0) => return false,
            Some(parent) => at = parent,
            // An ancestor that ended meanwhile gave its children to another: look again.
            None if at == pid as i32 => return true,
            None => at = pid as i32,
        }
    }
    true
}

fn tree_of(root: i32, all: &[Process]) -> Vec<Process> {
    let mut found: HashSet<i32> = HashSet::from([root]);
    loop {
        let before = found.len();
        for process in all {
            if found.contains(&process.parent) || process.group == root {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            break;
        }
    }
    all.iter()
        .filter(|p| found.contains(&p.pid) && !p.zombie)
        .copied()
        .collect()
}

/// Kills the process `root`, everything that descends from it and everything in its group.
///
/// They are stopped first, until no new one appears: a stopped process cannot fork, and its
/// children keep it as their parent. Returns when the signals are sent.
pub fn kill_tree(root: u32) {
    let root = root as i32;
    let own = std::process::id() as i32;
    let mut stopped: HashSet<i32> = HashSet::new();
    for _ in 0..50 {
        let fresh: Vec<i32> = tree_of(root, &processes())
            .iter()
            .map(|p| p.pid)
            .filter(|pid| *pid > 1 && *pid != own && !stopped.contains(pid))
            .collect();
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
            stopped.insert(pid);
        }
    }
    for pid in &stopped {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    let _ = killpg(Pid::from_raw(root), Signal::SIGKILL);
}

/// Kills what dead agents left behind: every child of this process that is not its own (see
/// [`children`]), with all of its descendants, and reaps them.
pub async fn sweep_orphans() {
    for _ in 0..200 {
        if children::with_own(sweep_once) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::warn!("some processes of an ended agent could not be killed");
}

/// How many there were.
fn sweep_once(own: &BTreeSet<u32>) -> usize {
    let this = std::process::id() as i32;
    let orphans: Vec<Process> = processes()
        .into_iter()
        .filter(|p| p.parent == this && !own.contains(&(p.pid as u32)))
        .collect();
    for orphan in &orphans {
        if orphan.zombie {
            let _ = waitpid(Pid::from_raw(orphan.pid), Some(WaitPidFlag::WNOHANG));
        } else {
            kill_tree(orphan.pid as u32);
        }
    }
    orphans.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_descends_from_its_parent_and_not_the_other_way() {
        let own = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(descends_from(own, own));
        assert!(descends_from(own, parent));
        assert!(!descends_from(parent, own));
    }

    #[test]
    fn a_process_that_is_gone_counts_as_an_agents() {
        assert!(descends_from(u32::MAX / 4, std::process::id()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let process = parse_stat(7, "7 (a) b (c)) S 3 5 5 0").unwrap();
        assert_eq!(
            (process.parent, process.group, process.zombie),
            (3, 5, false)
        );
    }
}
