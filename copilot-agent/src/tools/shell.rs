//! `shell`: a command line in a real shell.
//!
//! The output goes to the client while the command runs, no faster than the client reads it:
//! a command that writes more is slowed down by its own pipe. What the model reads is bounded.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use agent_client_protocol::v1::schema::{
    Meta, SessionUpdate, ToolCallUpdate, ToolCallUpdateFields, ToolKind,
};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::Command,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Host, Outcome, Permission, Prepared, Tool, ToolContext, confinement_in, read_input,
    shell_output::{Bounded, Decoder},
};
use crate::{conversation::ToolStatus, model::ToolSpec, process::CommandTree, prompt};

const DEFAULT_TIMEOUT_MS: u64 = 120_000;
const MAX_TIMEOUT_MS: u64 = 3_600_000;
/// Most characters of output that the model reads.
const MAX_OUTPUT_CHARS: usize = 30_000;
/// Output is passed on when this much has come …
const FLUSH_BYTES: usize = 16 * 1024;
/// … or when the oldest piece has waited for this long.
const FLUSH_AFTER: Duration = Duration::from_millis(30);
/// How long the pipe is read after the shell has ended: a background process may go on
/// writing to it for ever.
const LINGER: Duration = Duration::from_millis(200);

/// Variables that are for the agent alone: commands do not need the key of its model.
const OWN_SECRETS: [&str; 2] = ["COPILOT_PROVIDER_API_KEY", "COPILOT_GITHUB_TOKEN"];

pub(super) struct Shell;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    command: String,
    description: Option<String>,
    timeout_ms: Option<u64>,
}

impl Tool for Shell {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "shell",
            description: "Runs a command line with bash in the working folder and returns what it \
                          writes, errors included, and its exit code. There is no input and no \
                          terminal: give options instead of answering prompts. Every call is a \
                          new shell.",
            schema: json!({
                "type": "object",
                "properties": {
                    "command": {"type": "string"},
                    "description": {"type": "string", "description": "What it is for, in a few words."},
                    "timeout_ms": {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS, "description": "Two minutes if not given."}
                },
                "required": ["command"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Execute
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let input: Input = read_input(input)?;
        if input.command.contains('\0') {
            return Err("The command contains a NUL character.".to_owned());
        }
        let title = input
            .description
            .as_deref()
            .and_then(prompt::title)
            .or_else(|| prompt::title(&input.command))
            .ok_or("The command is empty.")?;
        let limit = input.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        if !(1..=MAX_TIMEOUT_MS).contains(&limit) {
            return Err(format!("timeout_ms must be from 1 to {MAX_TIMEOUT_MS}."));
        }
        let context = context.clone();
        Ok(Prepared {
            title,
            locations: Vec::new(),
            content: Vec::new(),
            permission: Permission::Needed,
            details: None,
            run: async move {
                match run(&input.command, Duration::from_millis(limit), &context).await {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        Outcome::failed(format!("The command could not be run: {error}."))
                    }
                }
            }
            .boxed(),
        })
    }
}

/// How a command ended.
enum End {
    Exited(ExitStatus),
    TimedOut(Option<ExitStatus>),
    Cancelled(Option<ExitStatus>),
}

async fn run(command: &str, limit: Duration, context: &ToolContext) -> io::Result<Outcome> {
    let confinement = confinement_in(context.mode.get());
    // A place for temporary files of its own, which is gone when the command has ended.
    let scratch = match &confinement {
        Some(_) => Some(tempfile::Builder::new().prefix("copilot-").tempdir()?),
        None => None,
    };
    let scratch = scratch.as_ref().map(tempfile::TempDir::path);
    let (mut tree, pipe) = match confinement.zip(scratch) {
        None => start(command, context, None)?,
        Some((confinement, scratch)) => {
            let runtime = tokio::runtime::Handle::current();
            let confined = confinement.writable(scratch).run(|| {
                let _runtime = runtime.enter();
                start(command, context, Some(scratch))
            });
            confined.map_err(io::Error::other)??
        }
    };
    let mut output = Output::new(pipe, context);
    let deadline = Instant::now() + limit;
    let end = tokio::select! {
        status = tree.wait() => End::Exited(status?),
        () = sleep_until(deadline) => End::TimedOut(None),
        () = context.cancel.cancelled() => End::Cancelled(None),
        never = output.forward() => match never {},
    };
    let end = match end {
        End::TimedOut(_) => End::TimedOut(tree.kill().await),
        End::Cancelled(_) => End::Cancelled(tree.kill().await),
        exited @ End::Exited(_) => {
            output.drain();
            exited
        }
    };
    Ok(output.finish(end, limit, context).await)
}

/// `scratch` is where temporary files go, if not where they always do.
fn start(
    command: &str,
    context: &ToolContext,
    scratch: Option<&Path>,
) -> io::Result<(CommandTree, pipe::Receiver)> {
    // Both streams share one pipe, so that their order is kept.
    let (reader, writer) = io::pipe()?;
    let shell = if Path::new("/bin/bash").exists() {
        "/bin/bash"
    } else {
        "bash"
    };
    let granted = context.granted();
    let attempt = |shell: &str| -> io::Result<CommandTree> {
        let mut process = Command::new(shell);
        process
            .arg("-c")
            .arg(command)
            .current_dir(&context.cwd)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer.try_clone()?)
            // Nobody is there to turn a page or to type a password.
            .env("PAGER", "cat")
            .env("GIT_PAGER", "cat")
            .env("GIT_TERMINAL_PROMPT", "0");
        if let Some(scratch) = scratch {
            process.env("TMPDIR", scratch);
        }
        for name in OWN_SECRETS {
            process.env_remove(name);
        }
        for (name, value) in &granted.environment {
            match value {
                Some(value) => process.env(name, value),
                None => process.env_remove(name),
            };
        }
        CommandTree::spawn(process, &context.call_id)
    };
    let tree = match attempt(shell) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && context.cwd.is_dir() => {
            attempt("/bin/sh")
        }
        result => result,
    }?;
    Ok((tree, pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

/// The output of a running command.
struct Output {
    pipe: Option<pipe::Receiver>,
    decoder: Decoder,
    /// What has been read and not been passed on.
    pending: String,
    kept: Bounded,
    /// The client, when it shows output while it comes.
    live: Option<Arc<dyn Host>>,
    call_id: String,
}

impl Output {
    fn new(pipe: pipe::Receiver, context: &ToolContext) -> Self {
        Self {
            pipe: Some(pipe),
            decoder: Decoder::default(),
            pending: String::new(),
            kept: Bounded::new(MAX_OUTPUT_CHARS),
            live: context
                .host
                .shows_terminal_output()
                .then(|| Arc::clone(&context.host)),
            call_id: context.call_id.clone(),
        }
    }

    /// Reads and passes on until the future is dropped: the end of the output says nothing
    /// about the command, which may have closed it and still run. Can be dropped at any
    /// await without losing anything.
    async fn forward(&mut self) -> std::convert::Infallible {
        let mut buffer = vec![0; FLUSH_BYTES];
        let mut flush_at: Option<Instant> = None;
        loop {
            if self.pending.len() >= FLUSH_BYTES {
                self.flush().await;
                flush_at = None;
            }
            if flush_at.is_none() && !self.pending.is_empty() {
                flush_at = Some(Instant::now() + FLUSH_AFTER);
            }
            let due = async {
                match flush_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let read = async {
                match &mut self.pipe {
                    Some(pipe) => pipe.read(&mut buffer).await,
                    None => std::future::pending().await,
                }
            };
            let read = tokio::select! {
                read = read => Some(read),
                () = due => None,
            };
            match read {
                Some(Ok(count)) if count > 0 => self.take(&buffer[..count]),
                Some(_) => self.pipe = None,
                None => {
                    self.flush().await;
                    flush_at = None;
                }
            }
        }
    }

    /// Reads what the command had written when it ended. Asks the system and not the runtime,
    /// which may not know yet that there is something to read.
    fn drain(&mut self) {
        let until = Instant::now() + LINGER;
        let mut buffer = vec![0; FLUSH_BYTES];
        while let Some(pipe) = &self.pipe {
            match nix::unistd::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.take(&buffer[..count]),
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
            if Instant::now() > until {
                return;
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let start = self.pending.len();
        self.decoder.push(bytes, &mut self.pending);
        self.kept.push(&self.pending[start..]);
    }

    async fn flush(&mut self) {
        if let (Some(host), false) = (&self.live, self.pending.is_empty()) {
            let meta = json!({
                "terminal_output": {"terminal_id": self.call_id, "data": self.pending}
            });
            let update = ToolCallUpdate::new(self.call_id.clone(), ToolCallUpdateFields::new())
                .meta(object(meta));
            host.update(SessionUpdate::ToolCallUpdate(update)).await;
        }
        self.pending.clear();
    }

    async fn finish(mut self, end: End, limit: Duration, context: &ToolContext) -> Outcome {
        let start = self.pending.len();
        self.decoder.finish(&mut self.pending);
        self.kept.push(&self.pending[start..]);
        if matches!(end, End::Exited(_)) {
            self.flush().await;
            if let Some(pipe) = self.pipe.take() {
                // A background process goes on writing; without a reader it would be killed.
                context.background.spawn(discard(pipe));
            }
        } else {
            // A slow client does not delay the end of a command.
            let _ = timeout(LINGER, self.flush()).await;
        }
        let (status, words, code, signal) = describe(&end, limit);
        let mut text = self.kept.finish();
        if text.is_empty() {
            text.push_str("(no output)");
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&words);
        let mut outcome = Outcome::new(status, text);
        if self.live.is_some() {
            let exit = json!({
                "terminal_exit": {"terminal_id": self.call_id, "exit_code": code, "signal": signal}
            });
            outcome.meta = Some(object(exit));
        }
        outcome
    }
}

async fn discard(mut pipe: pipe::Receiver) {
    let mut buffer = vec![0; 4096];
    while matches!(pipe.read(&mut buffer).await, Ok(count) if count > 0) {}
}

/// The status, the words for the model, the exit code and the signal.
fn describe(end: &End, limit: Duration) -> (ToolStatus, String, Option<i32>, Option<String>) {
    let status = match end {
        End::Exited(status) => Some(*status),
        End::TimedOut(status) | End::Cancelled(status) => *status,
    };
    let code = status.and_then(|status| status.code());
    let signal = status.and_then(|status| status.signal()).map(|number| {
        match nix::sys::signal::Signal::try_from(number) {
            Ok(signal) => signal.to_string(),
            Err(_) => format!("signal {number}"),
        }
    });
    let (status, words) = match (end, code, &signal) {
        (End::TimedOut(_), ..) => (
            ToolStatus::Failed,
            format!(
                "[timed out after {:.1} s; the command and all it had started were ended]",
                limit.as_secs_f64()
            ),
        ),
        (End::Cancelled(_), ..) => (
            ToolStatus::Cancelled,
            "[cancelled; the command and all it had started were ended]".to_owned(),
        ),
        (End::Exited(_), Some(0), _) => (ToolStatus::Completed, "[exit code 0]".to_owned()),
        (End::Exited(_), Some(code), _) => (ToolStatus::Failed, format!("[exit code {code}]")),
        (End::Exited(_), None, Some(signal)) => {
            (ToolStatus::Failed, format!("[ended by {signal}]"))
        }
        (End::Exited(_), None, None) => {
            (ToolStatus::Failed, "[ended in an unknown way]".to_owned())
        }
    };
    (status, words, code, signal)
}

fn object(value: Value) -> Meta {
    match value {
        Value::Object(map) => map,
        _ => Meta::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grant;
    use super::super::testing::{context, run as run_tool};
    use super::*;

    async fn shell(command: &str) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        run_tool(&Shell, folder.path(), json!({"command": command})).await
    }

    #[tokio::test]
    async fn commands_run_and_tell_how_they_ended() {
        let ok = ToolStatus::Completed;
        let failed = ToolStatus::Failed;
        for (command, status, expected) in [
            (
                "echo one; echo two >&2; echo three",
                ok,
                "one\ntwo\nthree\n[exit code 0]",
            ),
            ("true", ok, "(no output)\n[exit code 0]"),
            ("printf x; exit 3", failed, "x\n[exit code 3]"),
            ("kill -9 $$", failed, "[ended by SIGKILL]"),
            ("nonexistent-command", failed, "[exit code 127]"),
            ("cat; echo end", ok, "end"),
            ("[[ a == a ]] && echo is-bash", ok, "is-bash"),
            (
                "echo key=$COPILOT_PROVIDER_API_KEY pager=$PAGER",
                ok,
                "key= pager=cat",
            ),
            ("printf '\\xff'", ok, "\u{fffd}"),
            // Closing the output is not the end of the command.
            ("exec >&- 2>&-; sleep 0.2; exit 4", failed, "[exit code 4]"),
        ] {
            let outcome = shell(command).await;
            assert_eq!(outcome.status, status, "{command}: {}", outcome.text);
            assert!(
                outcome.text.contains(expected),
                "{command}: {}",
                outcome.text
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn in_plan_mode_a_command_writes_nothing_but_its_own_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        let (context, _) = context(folder.path());
        context.mode.set(crate::mode::Mode::Plan);
        std::fs::write(folder.path().join("kept"), "kept").unwrap();
        for (command, status, expected) in [
            ("cat kept", ToolStatus::Completed, "kept"),
            ("ls > /dev/null", ToolStatus::Completed, "(no output)"),
            (
                "x=$(mktemp) && echo fine > $x && cat $x",
                ToolStatus::Completed,
                "fine",
            ),
            ("touch new", ToolStatus::Failed, "Permission denied"),
            ("echo x > kept", ToolStatus::Failed, "Permission denied"),
            ("rm kept", ToolStatus::Failed, "Permission denied"),
            (
                "echo x > /dev/tcp/127.0.0.1/9",
                ToolStatus::Failed,
                "Permission denied",
            ),
        ] {
            let input = json!({ "command": command });
            let outcome = Shell.prepare(&input, &context).unwrap().run.await;
            assert_eq!(outcome.status, status, "{command}: {}", outcome.text);
            assert!(
                outcome.text.contains(expected),
                "{command}: {}",
                outcome.text
            );
        }
        assert_eq!(std::fs::read(folder.path().join("kept")).unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_command_runs_with_what_came_with_the_permission() {
        let folder = tempfile::tempdir().unwrap();
        let (context, _) = context(folder.path());
        let environment = [
            ("PAGER".to_owned(), None),
            ("GIT_PAGER".to_owned(), Some("other".to_owned())),
        ];
        let grant = Grant {
            environment: environment.into(),
            ..Grant::default()
        };
        context.grant.set(grant).unwrap();
        let input = json!({"command": "echo ${PAGER-none} $GIT_PAGER"});
        let outcome = Shell.prepare(&input, &context).unwrap().run.await;
        assert!(outcome.text.contains("none other"), "{}", outcome.text);
    }

    #[tokio::test]
    async fn wrong_inputs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (input, expected) in [
            (json!({"command": " "}), "empty"),
            (json!({"command": "ls", "timeout_ms": 0}), "from 1 to"),
            (
                json!({"command": "ls", "timeout_ms": MAX_TIMEOUT_MS + 1}),
                "from 1 to",
            ),
            (json!({"cmd": "ls"}), "does not fit"),
        ] {
            let outcome = run_tool(&Shell, folder.path(), input.clone()).await;
            assert!(outcome.text.contains(expected), "{input}: {}", outcome.text);
        }
    }

    #[tokio::test]
    async fn output_is_streamed_whole_and_bounded_for_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let (context, host) = context(folder.path());
        let input = json!({"command": "seq 1 20000"});
        let outcome = Shell.prepare(&input, &context).unwrap().run.await;
        let streamed = host.terminal_output();
        assert!(streamed.starts_with("1\n2\n") && streamed.ends_with("\n20000\n"));
        assert_eq!(streamed.lines().count(), 20_000);
        assert!(outcome.text.chars().count() < MAX_OUTPUT_CHARS + 200);
        assert!(outcome.text.contains("characters left out"));
        assert!(outcome.text.ends_with("20000\n[exit code 0]"));
        let exit = &outcome.meta.unwrap()["terminal_exit"];
        assert_eq!(exit["exit_code"], 0);
        assert_eq!(exit["terminal_id"], json!(context.call_id));
    }

    #[tokio::test]
    async fn a_background_process_does_not_hold_up_the_call() {
        let folder = tempfile::tempdir().unwrap();
        let (context, _) = context(folder.path());
        let input = json!({"command": "sleep 300 & echo $!"});
        let started = Instant::now();
        let outcome = Shell.prepare(&input, &context).unwrap().run.await;
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{}",
            outcome.text
        );
        let pid: i32 = outcome.text.lines().next().unwrap().parse().unwrap();
        assert!(alive(pid), "the background process goes on");
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_stops_a_flood() {
        let folder = tempfile::tempdir().unwrap();
        let (context, host) = context(folder.path());
        host.stuck.store(true, std::sync::atomic::Ordering::Relaxed);
        let prepared = Shell.prepare(&json!({"command": "yes"}), &context).unwrap();
        let task = tokio::spawn(prepared.run);
        while host.updates.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        context.cancel.cancel();
        let outcome = task.await.unwrap();
        assert_eq!(outcome.status, ToolStatus::Cancelled);
        assert!(started.elapsed() < AT_THE_LATEST, "{:?}", started.elapsed());
        // No more was read than is flushed at once.
        assert!(
            outcome.text.len() < 3 * FLUSH_BYTES,
            "{}",
            outcome.text.len()
        );
        assert!(!outcome.text.contains("left out"));
    }

    /// It takes a second at most; the rest is for a machine that does other things.
    const AT_THE_LATEST: Duration = Duration::from_secs(10);

    /// A command that ignores SIGTERM, with a child in a session of its own and a grandchild
    /// that was forked twice. Each writes its id before the marker is made.
    const STUBBORN: &str = "trap '' TERM
        setsid bash -c 'trap \"\" TERM; echo $$ > one; sleep 300' &
        (setsid bash -c 'trap \"\" TERM; echo $$ > two; while :; do sleep 300; done' &)
        while ! [ -s one -a -s two ]; do sleep 0.01; done
        echo $$ > three
        while :; do sleep 300; done";

    fn pids(folder: &Path) -> Option<Vec<i32>> {
        ["one", "two", "three"]
            .iter()
            .map(|name| {
                std::fs::read_to_string(folder.join(name))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            })
            .collect()
    }

    fn alive(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn cancelling_ends_even_stubborn_processes() {
        crate::process::adopt_orphans();
        let folder = tempfile::tempdir().unwrap();
        let (context, _) = context(folder.path());
        let run = Shell
            .prepare(&json!({"command": STUBBORN}), &context)
            .unwrap()
            .run;
        let task = tokio::spawn(run);
        let pids = loop {
            if let Some(pids) = pids(folder.path()) {
                break pids;
            }
            tokio::task::yield_now().await;
        };
        assert!(pids.iter().all(|pid| alive(*pid)));
        let started = Instant::now();
        context.cancel.cancel();
        let outcome = task.await.unwrap();
        assert_eq!(outcome.status, ToolStatus::Cancelled);
        assert!(started.elapsed() < AT_THE_LATEST, "{:?}", started.elapsed());
        for pid in pids {
            assert!(!alive(pid), "{pid} is still there");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_timeout_ends_everything_as_well() {
        crate::process::adopt_orphans();
        let folder = tempfile::tempdir().unwrap();
        // Everything has to be started within the time; a machine that does other things gets more.
        for seconds in [2, 8, 32] {
            let input = json!({"command": STUBBORN, "timeout_ms": seconds * 1_000});
            let outcome = run_tool(&Shell, folder.path(), input).await;
            assert_eq!(outcome.status, ToolStatus::Failed);
            let expected = format!("timed out after {seconds}.0 s");
            assert!(outcome.text.contains(&expected), "{}", outcome.text);
            let Some(pids) = pids(folder.path()) else {
                continue;
            };
            for pid in pids {
                assert!(!alive(pid), "{pid} is still there");
            }
            return;
        }
        panic!("the command never started everything");
    }
}
