//! The demo without a person: a terminal starts the session and is closed,
//! a watcher follows it, `copilot answer` answers, and everything is checked.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::Value;

use super::{PROMPT, project};
use crate::scratch::Scratch;
use crate::{interrupt, say};

/// How long the demo may be silent before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the list of sessions, which announces itself to nobody
/// who has no session yet.
const PAUSE: Duration = Duration::from_millis(50);

/// What was seen of the session, to be checked at the end.
#[derive(Default)]
struct Seen {
    permissions: usize,
    questions: usize,
    last_text: String,
    ended: Option<String>,
}

pub(super) fn run(scratch: &Scratch, folder: &Path) -> Result<()> {
    say::step("starting a session in a terminal of its own, and closing that terminal");
    let id = start_and_detach(scratch, folder)?;
    say::note(&format!("session {id} goes on without it"));

    say::step("watching it from outside (`copilot attach --json`) and answering");
    let mut watcher = Watcher::start(scratch, folder, &id)?;
    let mut seen = Seen::default();
    while seen.ended.is_none() {
        let event = watcher.next()?;
        follow(scratch, folder, &id, &event, &mut seen)?;
    }

    say::step("the transcript");
    let shown = scratch.copilot(folder, &["sessions", "show", &id])?;
    say::line(String::from_utf8_lossy(&shown.stdout).trim_end());
    say::step("what really changed");
    let diff = project::diff(folder)?;
    say::line(diff.trim_end());

    check(&seen, &diff, folder)?;
    say::step("the demo is complete");
    say::line(&format!(
        "permissions answered: {}; questions answered: {}; {} corrected, the project's tests pass",
        seen.permissions,
        seen.questions,
        project::CHANGED,
    ));
    say::line(&format!(
        "the agent's last words:\n{}",
        seen.last_text.trim()
    ));
    Ok(())
}

/// Runs `copilot -i` in a real terminal until the session exists, then closes
/// the terminal. Closing one only detaches.
fn start_and_detach(scratch: &Scratch, folder: &Path) -> Result<String> {
    let pair = native_pty_system()
        .openpty(PtySize {
            rows: 40,
            cols: 120,
            ..PtySize::default()
        })
        .context("cannot open a pseudo terminal")?;
    let mut command = CommandBuilder::new(scratch.binary("copilot"));
    command.args(["-i", PROMPT]);
    command.cwd(folder);
    for variable in scratch.foreign() {
        command.env_remove(variable);
    }
    for (name, value) in scratch.environment() {
        command.env(name, value);
    }
    command.env("TERM", "xterm-256color");
    let mut child = pair
        .slave
        .spawn_command(command)
        .context("cannot start copilot")?;
    drop(pair.slave);
    let mut reader = pair
        .master
        .try_clone_reader()
        .context("cannot read the terminal")?;
    let mut writer = pair
        .master
        .take_writer()
        .context("cannot write to the terminal")?;
    // Ends with the terminal. A terminal answers where its cursor is.
    let screen = std::thread::spawn(move || {
        let mut drawn = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let Some(bytes) = buffer.get(..count) else {
                break;
            };
            if bytes.windows(4).any(|window| window == b"\x1b[6n") {
                let _ = writer.write_all(b"\x1b[1;1R");
            }
            drawn.extend_from_slice(bytes);
        }
        drawn
    });

    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        if let Some(id) = session_at_work(scratch, folder)? {
            break Ok(id);
        }
        if let Some(status) = child.try_wait().context("cannot watch copilot")? {
            break Err(anyhow::anyhow!(
                "copilot ended ({status:?}) before there was a session"
            ));
        }
        if Instant::now() > deadline || interrupt::happened() {
            break Err(anyhow::anyhow!("no session appeared"));
        }
        std::thread::sleep(PAUSE);
    };
    let _ = child.kill();
    let _ = child.wait();
    drop(pair.master);
    let drawn = screen.join().unwrap_or_default();
    found.with_context(|| {
        format!(
            "the terminal showed: {}",
            String::from_utf8_lossy(&drawn).escape_debug()
        )
    })
}

/// The only session there is, once it has taken the prompt.
fn session_at_work(scratch: &Scratch, folder: &Path) -> Result<Option<String>> {
    let output = scratch.copilot(folder, &["sessions", "list", "--json"])?;
    ensure!(
        output.status.success(),
        "`copilot sessions list` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let sessions: Value = serde_json::from_slice(&output.stdout)
        .context("`copilot sessions list --json` printed no JSON")?;
    Ok(sessions
        .get(0)
        .filter(|session| {
            let state = session.get("state").and_then(Value::as_str);
            !matches!(state, None | Some("idle" | "starting"))
        })
        .and_then(|session| session.get("id"))
        .and_then(Value::as_str)
        .map(str::to_owned))
}

/// Tells one event of the session and answers when it asks something.
fn follow(
    scratch: &Scratch,
    folder: &Path,
    id: &str,
    event: &Value,
    seen: &mut Seen,
) -> Result<()> {
    let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    match field("type") {
        "turn" => say::line(&format!("> {}", field("prompt"))),
        "text" => seen.last_text.push_str(field("text")),
        "tool_call" => {
            seen.last_text.clear();
            // The input of a plain tool is JSON, which its title says better.
            let input = event.get("input").and_then(Value::as_str);
            let what = input.filter(|input| !input.starts_with('{'));
            say::line(&format!(
                "* {}: {}",
                field("tool"),
                first_line(what.unwrap_or_else(|| field("title"))),
            ));
        }
        "tool_result" => {
            if let Some(who) = answered(event) {
                say::line(&format!("  answered by {who}"));
            }
            say::line(&format!("  {}", field("status")));
        }
        "permission" => {
            seen.permissions += 1;
            say::line(&format!("? {}", field("title")));
            answer(scratch, folder, id, field("id"), "allow-once")?;
        }
        "question" => {
            let request = field("id");
            say::line(&format!("? {}", question_text(event)));
            if request == "trust" {
                answer(scratch, folder, id, request, "trust-once")?;
            } else {
                seen.questions += 1;
                answer(scratch, folder, id, request, "1")?;
            }
        }
        "answered" => {
            if let Some(who) = answered(event) {
                say::line(&format!("  answered by {who}"));
            }
        }
        "notice" => say::line(&format!("  {}", field("text"))),
        "error" => bail!("the turn failed: {}", field("message")),
        "result" => seen.ended = Some(field("state").to_owned()),
        "end" => bail!("the session ended before its turn did"),
        _ => {}
    }
    Ok(())
}

fn answer(scratch: &Scratch, folder: &Path, id: &str, request: &str, choice: &str) -> Result<()> {
    let output = scratch.copilot(folder, &["answer", id, request, choice])?;
    ensure!(
        output.status.success(),
        "`copilot answer {id} {request} {choice}` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn answered(event: &Value) -> Option<String> {
    let answered = event.get("answered")?;
    let text = |name: &str| answered.get(name).and_then(Value::as_str);
    Some(format!("{}: {}", text("by")?, text("choice")?))
}

fn question_text(event: &Value) -> String {
    let message = event.get("message").and_then(Value::as_str);
    let question = event
        .pointer("/questions/0/message")
        .and_then(Value::as_str);
    message.or(question).unwrap_or("a question").to_owned()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The promises of the demo.
fn check(seen: &Seen, diff: &str, folder: &Path) -> Result<()> {
    ensure!(
        seen.ended.as_deref() == Some("complete"),
        "the turn ended as {:?}",
        seen.ended
    );
    ensure!(seen.permissions > 0, "no permission was asked");
    ensure!(seen.questions > 0, "no question was asked");
    ensure!(
        diff.contains("-echo \"Helo, world\"") && diff.contains("+echo \"Hello, world\""),
        "{} was not corrected",
        project::CHANGED
    );
    ensure!(project::tests_pass(folder)?, "the project's own tests fail");
    ensure!(
        !seen.last_text.trim().is_empty(),
        "there is no final message"
    );
    Ok(())
}

/// `copilot attach ID --json`, line by line.
struct Watcher {
    child: Child,
    lines: Receiver<std::io::Result<String>>,
}

impl Watcher {
    fn start(scratch: &Scratch, folder: &Path, id: &str) -> Result<Self> {
        let mut child = scratch
            .command("copilot")
            .args(["attach", id, "--json"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `copilot attach`")?;
        let stdout = child
            .stdout
            .take()
            .context("`copilot attach` has no output")?;
        // Full when the demo is busy answering: the watcher then waits.
        let (sender, lines) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    fn next(&mut self) -> Result<Value> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let line = line.context("cannot read from `copilot attach`")?;
                serde_json::from_str(&line)
                    .with_context(|| format!("`copilot attach --json` printed {line:?}"))
            }
            Err(RecvTimeoutError::Timeout) => bail!("nothing happened for {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("`copilot attach` ended early"),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
