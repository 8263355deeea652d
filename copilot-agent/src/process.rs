//! The processes that tools start: how they are spawned, found again and ended.
//!
//! A command runs in a process group of its own. Ending it ends the group and everything that
//! descends from it, also what called `setsid` or was forked twice: the agent is the
//! subreaper of its descendants (Linux), so that an orphan becomes a child of the agent, and
//! a marker in the environment says which tool call it came from. Nothing outside of the
//! agent's own descendants is ever signalled.

use std::{
    collections::HashSet,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// The variable that marks the processes of a tool call; its value is the call's id.
pub const CALL_MARKER: &str = "COPILOT_TOOL_CALL_ID";

/// How long a process may take to end by itself after SIGTERM.
const POLITE: Duration = Duration::from_millis(500);
/// How long SIGKILL is repeated for what was forked while others were being killed.
const FORCED: Duration = Duration::from_millis(400);

/// Direct children that have an owner who waits for them. The reaper leaves these alone.
static OWNED: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// A process as the system describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    zombie: bool,
    /// The tool call that the environment names. Read for children of the agent only.
    call: Option<String>,
}

/// What is to be ended.
#[derive(Debug, Clone)]
enum Scope {
    /// The processes of one tool call.
    Call { leader: i32, id: String },
    /// Every descendant of the agent.
    Everything,
}

/// A command that runs for a tool call, with all that descends from it.
#[derive(Debug)]
pub struct CommandTree {
    child: Child,
    leader: i32,
    call_id: String,
}

impl CommandTree {
    /// Starts `command` as the leader of a new process group, marked as of call `call_id`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(mut command: Command, call_id: &str) -> io::Result<Self> {
        command
            .process_group(0)
            .env(CALL_MARKER, call_id)
            .kill_on_drop(true);
        // Under the lock, so that the reaper cannot take the child before it is known as owned.
        let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let leader = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| io::Error::other("the process has no id"))?;
        owned.get_or_insert_default().insert(leader);
        drop(owned);
        Ok(Self {
            child,
            leader,
            call_id: call_id.to_owned(),
        })
    }

    /// Waits for the command itself; what it left in the background runs on.
    ///
    /// # Errors
    /// When the system does not tell how it ended.
    pub async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// Ends the command and everything that descends from it: SIGTERM, and after half a
    /// second SIGKILL. Takes less than a second. Returns how the command itself ended.
    pub async fn kill(&mut self) -> Option<std::process::ExitStatus> {
        let scope = Scope::Call {
            leader: self.leader,
            id: self.call_id.clone(),
        };
        let (_, waited) = tokio::join!(
            end(scope),
            tokio::time::timeout(POLITE + FORCED, self.child.wait())
        );
        let status = waited.ok().and_then(Result::ok);
        if status.is_none() {
            tracing::warn!(pid = self.leader, "a command outlived SIGKILL");
        }
        status
    }
}

impl Drop for CommandTree {
    fn drop(&mut self) {
        let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
        owned.get_or_insert_default().remove(&self.leader);
    }
}

/// Makes the agent the parent of its orphaned descendants, where the system can do that, so
/// that none of them gets out of sight.
pub fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "cannot become the subreaper: detached processes may get lost");
    }
}

/// Takes the exit status of adopted orphans, for as long as it is polled, so that they do not
/// stay behind as zombies.
pub async fn reap_orphans() -> std::convert::Infallible {
    let kind = tokio::signal::unix::SignalKind::child();
    match tokio::signal::unix::signal(kind) {
        Ok(mut children) => {
            while children.recv().await.is_some() {
                reap();
            }
        }
        Err(error) => tracing::warn!(%error, "cannot watch for ended processes"),
    }
    std::future::pending().await
}

/// Ends every process that descends from the agent. Takes less than a second.
pub async fn kill_everything() {
    end(Scope::Everything).await;
}

async fn end(scope: Scope) {
    let polite_until = Instant::now() + POLITE;
    signal(&scope, Signal::SIGTERM);
    while Instant::now() < polite_until {
        if remaining(&scope).is_empty() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let forced_until = Instant::now() + FORCED;
    loop {
        signal(&scope, Signal::SIGKILL);
        reap();
        if remaining(&scope).is_empty() || Instant::now() >= forced_until {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn signal(scope: &Scope, signal: Signal) {
    if let Scope::Call { leader, .. } = scope {
        report(killpg(Pid::from_raw(*leader), signal));
    }
    for pid in remaining(scope) {
        report(kill(Pid::from_raw(pid), signal));
    }
}

fn report(result: nix::Result<()>) {
    match result {
        // It ended by itself in the meantime.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::debug!(%error, "a process could not be signalled"),
    }
}

fn remaining(scope: &Scope) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    select(&processes(own), own, scope)
}

/// The living processes of `scope`. `own` is the agent's id.
fn select(processes: &[Process], own: i32, scope: &Scope) -> Vec<i32> {
    let mut found: HashSet<i32> = processes
        .iter()
        .filter(|process| process.pid != own)
        .filter(|process| match scope {
            Scope::Everything => process.parent == own,
            Scope::Call { leader, id } => {
                process.pid == *leader
                    || process.group == *leader
                    // An adopted orphan. One that cleared its environment counts as well:
                    // a command must not be able to hide like that.
                    || (process.parent == own && process.call.as_ref().is_none_or(|call| call == id))
            }
        })
        .map(|process| process.pid)
        .collect();
    loop {
        let before = found.len();
        for process in processes {
            if process.pid != own && found.contains(&process.parent) {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            break;
        }
    }
    processes
        .iter()
        .filter(|process| !process.zombie && found.contains(&process.pid))
        .map(|process| process.pid)
        .collect()
}

fn reap() {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
    for process in processes(own) {
        let is_owned = owned
            .as_ref()
            .is_some_and(|owned| owned.contains(&process.pid));
        if process.zombie && process.parent == own && !is_owned {
            // Its status is of no interest, and it may be gone already.
            let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Every process of the system. Empty where there is no /proc: then only groups are ended.
#[cfg(target_os = "linux")]
fn processes(own: i32) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
            let mut process = parse_stat(pid, &String::from_utf8_lossy(&stat))?;
            if process.parent == own && !process.zombie {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                process.call = call_in(&environment);
            }
            Some(process)
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn processes(_own: i32) -> Vec<Process> {
    Vec::new()
}

/// Reads `/proc/<pid>/stat`: `pid (name) state parent group …`, where the name may contain
/// anything, also parentheses.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn parse_stat(pid: i32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Process {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        zombie: matches!(state, "Z" | "X"),
        call: None,
    })
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn call_in(environment: &[u8]) -> Option<String> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable
            .strip_prefix(CALL_MARKER.as_bytes())?
            .strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, group: i32, call: Option<&str>) -> Process {
        Process {
            pid,
            parent,
            group,
            zombie: false,
            call: call.map(str::to_owned),
        }
    }

    #[test]
    fn a_call_is_its_group_its_descendants_and_its_orphans() {
        let own = 10;
        let mut all = vec![
            process(1, 0, 1, None),
            process(10, 1, 10, None),
            process(20, 10, 20, Some("call-a")), // the command
            process(21, 20, 20, None),           // in its group
            process(22, 21, 22, None),           // with a session of its own
            process(23, 10, 23, Some("call-a")), // forked twice, adopted
            process(24, 23, 24, None),           // below the adopted one
            process(25, 10, 25, None),           // adopted, with a cleared environment
            process(30, 10, 30, Some("call-b")), // of another call
            process(31, 30, 30, None),
            process(40, 1, 40, None), // of somebody else
        ];
        let scope = Scope::Call {
            leader: 20,
            id: "call-a".to_owned(),
        };
        assert_eq!(select(&all, own, &scope), [20, 21, 22, 23, 24, 25]);
        all[2].zombie = true;
        assert_eq!(select(&all, own, &scope), [21, 22, 23, 24, 25]);
        assert_eq!(
            select(&all, own, &Scope::Everything),
            [21, 22, 23, 24, 25, 30, 31]
        );
    }

    #[test]
    fn stat_lines_with_strange_names_are_read() {
        let process = parse_stat(7, "7 (a) b) Z 3 5 5 0 -1").unwrap();
        assert_eq!((process.parent, process.group), (3, 5));
        assert!(process.zombie);
        assert_eq!(parse_stat(7, "garbage"), None);
    }

    #[test]
    fn the_marker_is_found_in_an_environment() {
        let environment = b"A=1\0COPILOT_TOOL_CALL_ID=call-7\0B=2\0";
        assert_eq!(call_in(environment).as_deref(), Some("call-7"));
        assert_eq!(call_in(b"COPILOT_TOOL_CALL_IDX=1\0"), None);
    }
}
