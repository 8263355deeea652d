//! One agent process: its pipes, its group, its end.
//!
//! The session talks to it through [`AgentProcess::send`] and a channel of [`AgentEvent`]s. The
//! event channel is bounded: an agent that talks faster than its session listens is slowed down by
//! its own full pipe, and nobody else is.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use confinement::Confinement;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::children::{self, OwnChild};
use super::environment::SessionEnvironment;
use super::rpc::{Incoming, LineBuffer, parse};
use super::{AgentCommand, tree};

/// Messages of an agent that may wait for its session; when full, the agent's pipe fills.
const EVENTS_WAITING: usize = 64;
/// Lines to an agent that may wait; when full, the agent does not read and counts as stuck.
const LINES_WAITING: usize = 256;
/// How much of an agent's last words is kept for the error that people see.
const LAST_WORDS_BYTES: usize = 4 * 1024;

/// What happens on the agent's side.
#[derive(Debug)]
pub enum AgentEvent {
    /// A message.
    Message(Incoming),
    /// It broke the protocol beyond repair, or exited. Nothing comes after this.
    Ended(Ended),
}

/// How an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `exit status: 1`, `signal: 9 (SIGKILL)`, or what it did wrong.
    pub how: String,
    /// The end of what it wrote to its standard error, for people.
    pub last_words: String,
}

/// A running agent. Dropping it kills the process and everything it started.
#[derive(Debug)]
pub struct AgentProcess {
    pid: u32,
    lines: mpsc::Sender<String>,
    stop: CancellationToken,
    /// Set when the process is reaped: its number may belong to another one from then on.
    gone: Arc<AtomicBool>,
}

/// Why a line could not be given to an agent.
#[derive(Debug, PartialEq, Eq)]
pub struct NotReading;

impl AgentProcess {
    /// Process id, which is also its process group.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives the agent one line. Never waits.
    pub fn send(&self, line: String) -> Result<(), NotReading> {
        self.lines.try_send(line).map_err(|_| NotReading)
    }

    /// Kills the process and everything it started; [`AgentEvent::Ended`] follows.
    pub fn kill(&self) {
        if !self.gone.load(Ordering::Acquire) {
            tree::kill_tree(self.pid);
        }
        self.stop.cancel();
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts an agent in `folder` with the person's environment, in its own process group, confined
/// for life when there is a confinement.
pub fn spawn(
    agent: &AgentCommand,
    folder: &Path,
    environment: &SessionEnvironment,
    own_vars: &[(&str, &std::ffi::OsStr)],
    confinement: Option<&Confinement>,
) -> std::io::Result<(AgentProcess, mpsc::Receiver<AgentEvent>)> {
    let mut command = Command::new(resolve(agent, environment));
    command
        .args(&agent.args)
        .current_dir(folder)
        .env_clear()
        .envs(environment.vars.iter().map(|(k, v)| (k, v)))
        .envs(agent.env.iter().map(|(k, v)| (k, v)))
        .envs(own_vars.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    prepare_child(&mut command, environment.umask);
    let (mut child, own) = match confinement {
        None => children::spawn(&mut command)?,
        Some(confinement) => {
            let runtime = tokio::runtime::Handle::current();
            let confined = confinement.run(|| {
                let _runtime = runtime.enter();
                children::spawn(&mut command)
            });
            confined.map_err(std::io::Error::other)??
        }
    };
    let gone = || std::io::Error::other("the agent ended while it was started");
    let pid = child.id().ok_or_else(gone)?;
    let (stdin, stdout) = (
        child.stdin.take().ok_or_else(gone)?,
        child.stdout.take().ok_or_else(gone)?,
    );
    let stderr = child.stderr.take();

    let (line_sender, line_receiver) = mpsc::channel(LINES_WAITING);
    let (event_sender, event_receiver) = mpsc::channel(EVENTS_WAITING);
    let stop = CancellationToken::new();
    let gone = Arc::new(AtomicBool::new(false));
    tokio::spawn(write_lines(stdin, line_receiver, stop.clone()));
    let last_words = stderr.map(|stderr| tokio::spawn(keep_last_words(stderr, stop.clone())));
    tokio::spawn(supervise(Supervisor {
        child,
        pid,
        stdout,
        events: event_sender,
        last_words,
        stop: stop.clone(),
        own,
        gone: Arc::clone(&gone),
    }));
    Ok((
        AgentProcess {
            pid,
            lines: line_sender,
            stop,
            gone,
        },
        event_receiver,
    ))
}

/// A name without a slash is looked up on the session's own `PATH`, not on the daemon's.
fn resolve(agent: &AgentCommand, environment: &SessionEnvironment) -> std::path::PathBuf {
    let program = &agent.program;
    if program.components().count() > 1 {
        return program.clone();
    }
    environment.find(program).unwrap_or_else(|| program.clone())
}

#[allow(unsafe_code)]
fn prepare_child(command: &mut Command, umask: Option<u32>) {
    let prepare = move || {
        if let Some(mask) = umask {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask as _));
        }
        #[cfg(target_os = "linux")]
        nix::sys::prctl::set_child_subreaper(true)?;
        Ok(())
    };
    // SAFETY: the closure runs in the forked child before exec and only makes the system calls
    // umask and prctl; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(prepare);
    }
}

async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: mpsc::Receiver<String>,
    stop: CancellationToken,
) {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = stop.cancelled() => None,
        };
        let Some(line) = line else { return };
        let written = tokio::select! {
            written = stdin.write_all(line.as_bytes()) => written,
            () = stop.cancelled() => return,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Reads an agent's standard error to its end and keeps the end of it.
async fn keep_last_words(mut stderr: ChildStderr, stop: CancellationToken) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut block = vec![0; 4096];
    loop {
        let read = tokio::select! {
            read = stderr.read(&mut block) => read.unwrap_or(0),
            () = stop.cancelled() => 0,
        };
        if read == 0 {
            return kept;
        }
        kept.extend_from_slice(&block[..read]);
        let surplus = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..surplus);
    }
}

/// What watches over one agent process until it is gone.
struct Supervisor {
    child: Child,
    pid: u32,
    stdout: ChildStdout,
    events: mpsc::Sender<AgentEvent>,
    last_words: Option<JoinHandle<Vec<u8>>>,
    stop: CancellationToken,
    own: OwnChild,
    gone: Arc<AtomicBool>,
}

async fn supervise(supervisor: Supervisor) {
    let Supervisor {
        mut child,
        pid,
        stdout,
        events,
        last_words,
        stop,
        own,
        gone,
    } = supervisor;
    let mut reading = std::pin::pin!(read_messages(stdout, &events, &stop));
    let broken = tokio::select! {
        broken = &mut reading => broken,
        // Its children may hold the pipe open: what it wrote is still read, but not for ever.
        _ = child.wait() => tokio::time::timeout(Duration::from_millis(200), reading).await.unwrap_or(None),
    };
    if broken.is_none() {
        // Closing its output is how an agent says goodbye; it may take a moment to exit.
        let _ = tokio::time::timeout(Duration::from_millis(500), child.wait()).await;
    }
    tree::kill_tree(pid);
    let status = child.wait().await;
    gone.store(true, Ordering::Release);
    drop(own);
    tree::sweep_orphans().await;
    let how = match (broken, status) {
        (Some(broken), _) => broken,
        (None, Ok(status)) => status.to_string(),
        (None, Err(error)) => error.to_string(),
    };
    let words = match last_words {
        // Everything that held the pipe is dead, so this ends; the limit is for what was missed.
        Some(task) => tokio::time::timeout(Duration::from_millis(200), task).await,
        None => Ok(Ok(Vec::new())),
    };
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    let last_words = String::from_utf8_lossy(&words).trim().to_owned();
    // Nobody listens any more when the session dropped the agent.
    let _ = events
        .send(AgentEvent::Ended(Ended { how, last_words }))
        .await;
}

/// Reads until the agent closes its output; the result says what it did wrong, if anything.
async fn read_messages(
    mut stdout: ChildStdout,
    events: &mpsc::Sender<AgentEvent>,
    stop: &CancellationToken,
) -> Option<String> {
    let mut buffer = LineBuffer::default();
    let mut skipped = 0_u64;
    let mut block = vec![0; 32 * 1024];
    loop {
        let read = tokio::select! {
            read = stdout.read(&mut block) => read.unwrap_or(0),
            () = stop.cancelled() => return None,
        };
        if read == 0 {
            return None;
        }
        let Ok(lines) = buffer.push(&block[..read]) else {
            return Some("it sent a line of more than 64 MiB".into());
        };
        for line in lines {
            match parse(&line) {
                Ok(message) => {
                    let sent = tokio::select! {
                        sent = events.send(AgentEvent::Message(message)) => sent.is_ok(),
                        () = stop.cancelled() => false,
                    };
                    if !sent {
                        return None;
                    }
                }
                // Some agents print a banner; what is not a message is skipped. One that prints
                // nothing else does not fill the log.
                Err(reason) => {
                    skipped += 1;
                    if skipped.is_power_of_two() {
                        tracing::warn!(%reason, skipped, "an agent sent lines that are skipped");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> AgentCommand {
        AgentCommand {
            name: "test".into(),
            title: "test".into(),
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            confine: None,
        }
    }

    fn environment() -> SessionEnvironment {
        SessionEnvironment {
            vars: vec![("PATH".into(), "/usr/bin:/bin".into())],
            umask: Some(0o027),
        }
    }

    #[tokio::test]
    async fn it_speaks_lines_and_its_end_is_told_with_its_last_words() {
        let script = r#"umask >&2; read line; echo "$line"; echo '{"method":"hello"}'; echo oops >&2; exit 3"#;
        let (agent, mut events) =
            spawn(&shell(script), Path::new("/"), &environment(), &[], None).unwrap();
        agent.send("banner\n".into()).unwrap();
        let Some(AgentEvent::Message(Incoming::Notification { method, .. })) = events.recv().await
        else {
            panic!("no message")
        };
        assert_eq!(method, "hello");
        let Some(AgentEvent::Ended(ended)) = events.recv().await else {
            panic!("no end")
        };
        assert_eq!(ended.how, "exit status: 3");
        assert_eq!(ended.last_words, "0027\noops");
    }

    #[tokio::test]
    async fn killing_it_takes_detached_grandchildren_along() {
        let script = r#"setsid sh -c 'trap "" TERM; echo "{\"method\":\"$$\"}"; while :; do sleep 1; done' & wait"#;
        let (agent, mut events) =
            spawn(&shell(script), Path::new("/"), &environment(), &[], None).unwrap();
        let Some(AgentEvent::Message(Incoming::Notification { method, .. })) = events.recv().await
        else {
            panic!("no message")
        };
        let grandchild = nix::unistd::Pid::from_raw(method.parse().unwrap());
        agent.kill();
        let Some(AgentEvent::Ended(_)) = events.recv().await else {
            panic!("no end")
        };
        assert!(is_gone(grandchild), "the grandchild lives");
    }

    #[tokio::test]
    async fn what_is_started_while_another_ones_rest_is_swept_lives() {
        tree::adopt_orphans();
        let leaves = r#"setsid sleep 1000 & echo '{"method":"up"}'; wait"#;
        let reads = r#"read line; echo '{"method":"read"}'; read line"#;
        let start =
            |script| spawn(&shell(script), Path::new("/"), &environment(), &[], None).unwrap();
        let (first, mut first_events) = start(leaves);
        let is_message = |event| matches!(event, Some(AgentEvent::Message(_)));
        assert!(is_message(first_events.recv().await));
        first.kill();
        let mut others = Vec::new();
        let ended = loop {
            tokio::select! {
                biased;
                event = first_events.recv() => break event,
                () = tokio::task::yield_now(), if others.len() < 5 => others.push(start(reads)),
            }
        };
        assert!(matches!(ended, Some(AgentEvent::Ended(_))));
        assert!(!others.is_empty());
        for (agent, events) in &mut others {
            agent.send("go on\n".into()).unwrap();
            assert!(is_message(events.recv().await), "it was swept");
        }
    }

    fn is_gone(pid: nix::unistd::Pid) -> bool {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.contains(") Z "),
        }
    }
}
