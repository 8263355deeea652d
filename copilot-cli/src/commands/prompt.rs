//! `copilot -p PROMPT`: one turn without anyone to ask, printed as it comes.
//!
//! The answer goes to stdout, progress to stderr. The session stays and can be
//! resumed; its agent is ended.

use std::io::Read;
use std::time::Duration;

use ahp_types::actions::{ChatTurnCancelledAction, ChatTurnStartedAction, StateAction};
use ahp_types::state::{ModelSelection, TurnState};
use ipc_proto::control::ControlRequest;
use ipc_proto::paths::Paths;
use nix::sys::stat::{SFlag, fstat};
use tokio::signal::unix::{SignalKind, signal};

use super::{connected_with_environment, find_session, new, resume};
use crate::args::{OutputFormat, RunArgs};
use crate::client::{
    Attached, Identity, OpenRequest, Update, is_unattended, open_requests, session_id, short_id,
    user_message,
};
use crate::error::{CliError, Exit};
use crate::events::{Follower, SessionEvent};
use crate::output::Output;
use crate::text::{Sanitizer, one_line, sanitize, truncate};
use crate::tool_view::ToolStatus;

/// How long a cancelled turn may take to end; the daemon kills its processes after 3 s.
const CANCEL_LIMIT: Duration = Duration::from_secs(6);
/// How long a lost connection is tried to be got back.
const RECONNECT_LIMIT: Duration = Duration::from_secs(15);
/// The most that is read from a pipe, in bytes.
const MAX_PIPE_BYTES: u64 = 8 * 1024 * 1024;

pub(super) async fn run(paths: &Paths, args: RunArgs, out: &mut Output) -> Result<Exit, CliError> {
    if args.remote {
        return Err(CliError::usage(
            "Remote access is only available in interactive sessions",
        ));
    }
    let wanted = resume::wanted(&args);
    let resumed = wanted.is_some();
    if resumed {
        resume::changes_nothing_fixed(&args)?;
    }
    let prompt = full_prompt(args.prompt.as_deref().unwrap_or_default(), piped()?)?;
    let format = args.output_format.unwrap_or_default();
    let identity = Identity::command("-p");
    let mut client = connected_with_environment(paths, &identity).await?;
    let session = match wanted {
        None => new::create(&mut client, &args, true).await?,
        Some(resume::Wanted::Named(id)) => find_session(&mut client, &id).await?.resource,
        Some(resume::Wanted::Newest) => resume::newest(&mut client).await?.resource,
        Some(resume::Wanted::Choose) => {
            return Err(CliError::usage("with -p, name the session: --resume=ID"));
        }
    };
    let mut attached = Attached::subscribe(client, &session, Some(1)).await?;
    if resumed {
        resume::switch_mode(&mut attached, &args).await?;
        resume::switch_remote(&mut attached, &args, out).await?;
    }
    let mut one_shot = OneShot {
        attached,
        paths,
        identity,
        printer: Printer::new(format, args.silent),
        turn: uuid::Uuid::new_v4().to_string(),
        state: None,
        denied: false,
        refused: Vec::new(),
    };
    let result = one_shot.turn(prompt, args.model, out).await;
    // First of all, and also when nobody reads our output any more.
    one_shot.close().await;
    one_shot.printer.finish(out)?;
    let exit = result?;
    if !args.silent && format == OutputFormat::Text {
        out.note(&format!(
            "session {} is kept: copilot --resume={}",
            short_id(&session),
            short_id(&session)
        ));
    }
    Ok(exit)
}

/// What is piped in, if stdin is a pipe or a file. A terminal, `/dev/null` and the
/// like have nothing to say, and a socket may never end.
fn piped() -> Result<Option<String>, CliError> {
    let stdin = std::io::stdin();
    let Ok(stat) = fstat(&stdin) else {
        return Ok(None);
    };
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFIFO && kind != SFlag::S_IFREG {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    stdin
        .lock()
        .take(MAX_PIPE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| CliError::new("could not read the pipe").because(&e))?;
    if bytes.len() as u64 > MAX_PIPE_BYTES {
        return Err(CliError::new("the pipe holds more than 8 MiB")
            .hint("name the file in the prompt instead"));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| CliError::new("the pipe does not hold text in UTF-8"))
}

/// The prompt of the flag and the pipe together.
fn full_prompt(flag: &str, piped: Option<String>) -> Result<String, CliError> {
    let piped = piped.unwrap_or_default();
    let (flag, piped) = (flag.trim(), piped.trim_end());
    match (flag.is_empty(), piped.trim().is_empty()) {
        (false, true) => Ok(flag.to_owned()),
        (true, false) => Ok(piped.to_owned()),
        (false, false) => Ok(format!("{flag}\n\n{piped}")),
        (true, true) => Err(CliError::usage("there is no prompt")
            .hint("give it with -p PROMPT, or pipe it in: `echo PROMPT | copilot -p`")),
    }
}

struct OneShot<'a> {
    attached: Attached,
    paths: &'a Paths,
    identity: Identity,
    printer: Printer,
    turn: String,
    state: Option<TurnState>,
    denied: bool,
    /// Requests that were refused for want of anyone to ask.
    refused: Vec<String>,
}

impl OneShot<'_> {
    async fn turn(
        &mut self,
        prompt: String,
        model: Option<String>,
        out: &mut Output,
    ) -> Result<Exit, CliError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut follower = Follower::default();
        if let Some(chat) = self.attached.mirror().chat() {
            follower.skip_finished(chat);
        }
        self.printer.session(&self.attached, out)?;
        let mut message = user_message(prompt);
        message.model = model.map(|id| ModelSelection { id, config: None });
        let input = self
            .attached
            .dispatch(StateAction::ChatTurnStarted(ChatTurnStartedAction {
                turn_id: self.turn.clone(),
                started_at: jiff::Timestamp::now().to_string(),
                message,
                queued_message_id: None,
                meta: None,
            }))
            .await?;
        let mut deadline: Option<tokio::time::Instant> = None;
        loop {
            self.print(&mut follower, out)?;
            self.refuse_requests().await?;
            if let Some(state) = self.state {
                return self.exit(state, deadline.is_some());
            }
            let late = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let update = tokio::select! {
                update = self.attached.next() => update,
                // A second Ctrl+C does not wait.
                _ = interrupt.recv() => {
                    if deadline.is_some() {
                        return Err(CliError::silent(Exit::Interrupted));
                    }
                    deadline = Some(self.cancel().await?);
                    continue;
                }
                _ = terminate.recv(), if deadline.is_none() => {
                    deadline = Some(self.cancel().await?);
                    continue;
                }
                () = late => {
                    return Err(CliError::with_exit(
                        Exit::Interrupted,
                        "interrupted, and the turn did not end in time",
                    ));
                }
            };
            match update {
                Ok(Update::Rejected { input: seq, reason }) if seq == input => {
                    return Err(CliError::new(format!("the prompt was not taken: {reason}")));
                }
                Ok(Update::Removed) => return Err(CliError::new("the session was deleted")),
                Ok(_) => self.attached.settle().await?,
                Err(error) if error.is_lost() => self.reconnect().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Prints what is new, and notices how our turn ends.
    fn print(&mut self, follower: &mut Follower, out: &mut Output) -> Result<(), CliError> {
        for event in follower.advance(self.attached.mirror()) {
            if let SessionEvent::Result {
                turn,
                state,
                denied,
                ..
            } = &event
                && *turn == self.turn
            {
                self.state = Some(*state);
                self.denied |= *denied > 0;
            }
            self.printer.event(&event, out)?;
        }
        Ok(())
    }

    fn exit(&self, state: TurnState, interrupted: bool) -> Result<Exit, CliError> {
        match state {
            _ if interrupted => Ok(Exit::Interrupted),
            TurnState::Error => match self.printer.error.clone() {
                Some(error) => Err(error),
                None => Err(CliError::new("the turn failed")),
            },
            TurnState::Cancelled => Err(CliError::new("the turn was cancelled by another client")),
            TurnState::Complete if self.denied || !self.refused.is_empty() => Ok(Exit::Denied),
            TurnState::Complete => Ok(Exit::Done),
        }
    }

    /// A resumed session may still want to ask; here is nobody.
    async fn refuse_requests(&mut self) -> Result<(), CliError> {
        let unattended = self.attached.mirror().session().is_some_and(is_unattended);
        let ours = self.attached.mirror().active_turn() == Some(self.turn.as_str());
        let Some(chat) = self
            .attached
            .mirror()
            .chat()
            .filter(|_| ours && !unattended)
        else {
            return Ok(());
        };
        for request in open_requests(chat) {
            if self.refused.iter().any(|id| id == request.id()) {
                continue;
            }
            let answer = match &request {
                OpenRequest::Question(question) => Some(question.decline()),
                OpenRequest::Permission(permission) => permission
                    .options()
                    .iter()
                    .find(|o| o.id == "deny")
                    .map(|o| permission.choose(o, None)),
            };
            if let Some(answer) = answer {
                self.refused.push(request.id().to_owned());
                self.attached.dispatch(answer.into_action()).await?;
            }
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<tokio::time::Instant, CliError> {
        self.attached
            .dispatch(StateAction::ChatTurnCancelled(ChatTurnCancelledAction {
                turn_id: self.turn.clone(),
                duration: 0,
                meta: None,
            }))
            .await?;
        Ok(tokio::time::Instant::now() + CANCEL_LIMIT)
    }

    async fn reconnect(&mut self) -> Result<(), CliError> {
        let attempt = async {
            let mut pause = Duration::from_millis(50);
            loop {
                match self
                    .attached
                    .reconnect(self.paths.clone(), self.identity.clone())
                    .await
                {
                    Ok(resumed) => return Ok(resumed),
                    Err(error) if error.exit() == Exit::NoDaemon => {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_secs(2));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let resumed = tokio::time::timeout(RECONNECT_LIMIT, attempt)
            .await
            .map_err(|_| CliError::new("the daemon went away and did not come back"))??;
        if !self.attached.resume(resumed).await? {
            return Err(CliError::new(
                "the daemon was restarted and does not have the session any more",
            ));
        }
        Ok(())
    }

    /// Ends the session's agent. The session itself stays; when this fails the
    /// daemon still has the agent, which costs no one an answer.
    async fn close(&mut self) {
        let session = self.attached.mirror().session_uri().to_owned();
        let request = ControlRequest::CloseSession { session };
        let _ = self.attached.client().control(request).await;
    }
}

/// Turns events into what a person or a program reads.
struct Printer {
    format: OutputFormat,
    silent: bool,
    safe: Sanitizer,
    /// Whether the last thing on stdout ended its line.
    at_line_start: bool,
    /// Whether something else came since the last text.
    interrupted: bool,
    any_text: bool,
    error: Option<CliError>,
}

impl Printer {
    fn new(format: OutputFormat, silent: bool) -> Self {
        Self {
            format,
            silent,
            safe: Sanitizer::default(),
            at_line_start: true,
            interrupted: false,
            any_text: false,
            error: None,
        }
    }

    fn session(&self, attached: &Attached, out: &mut Output) -> Result<(), CliError> {
        if self.format == OutputFormat::Json {
            let mirror = attached.mirror();
            out.json(&SessionEvent::Session {
                session: session_id(mirror.session_uri()).to_owned(),
                title: mirror
                    .session()
                    .map(|s| s.title.clone())
                    .unwrap_or_default(),
                state: mirror.state().to_owned(),
            })?;
        }
        Ok(())
    }

    fn event(&mut self, event: &SessionEvent, out: &mut Output) -> Result<(), CliError> {
        if let SessionEvent::Error {
            message,
            hint,
            kind,
            ..
        } = event
        {
            let error = CliError::new(if message.is_empty() { kind } else { message });
            self.error = Some(match hint {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
        if self.format == OutputFormat::Json {
            return out.json(event);
        }
        match event {
            SessionEvent::Text { text, .. } => {
                let text = self.safe.push(text);
                if self.interrupted && self.any_text && !text.is_empty() {
                    out.data(if self.at_line_start { "\n" } else { "\n\n" })?;
                }
                self.interrupted = false;
                self.any_text = true;
                self.at_line_start = text.ends_with('\n');
                out.data(&text)?;
            }
            SessionEvent::ToolCall { tool, title, .. } => {
                self.progress(&format!("● {}: {}", one_line(tool), short(title)), out);
            }
            SessionEvent::ToolResult {
                tool,
                status,
                reason,
                ..
            } if *status != ToolStatus::Completed => {
                let word = match status {
                    ToolStatus::Denied => "denied",
                    ToolStatus::Cancelled => "cancelled",
                    _ => "failed",
                };
                let why = reason.as_deref().map(|r| format!(": {}", one_line(r)));
                self.progress(
                    &format!("✗ {} {word}{}", one_line(tool), why.unwrap_or_default()),
                    out,
                );
            }
            SessionEvent::Notice { text, .. } => self.progress(&sanitize(text), out),
            _ => {}
        }
        Ok(())
    }

    fn progress(&mut self, text: &str, out: &mut Output) {
        self.interrupted = true;
        if self.silent {
            return;
        }
        // On one screen the note must not end up in the middle of a line of the answer.
        if !self.at_line_start && crate::output::stdout_is_terminal() && out.data("\n").is_ok() {
            self.at_line_start = true;
        }
        out.note(text);
    }

    /// Ends the last line.
    fn finish(&mut self, out: &mut Output) -> Result<(), CliError> {
        if self.format == OutputFormat::Text && !self.at_line_start {
            self.at_line_start = true;
            out.data("\n")?;
        }
        Ok(())
    }
}

/// A title that fits a line of progress.
fn short(title: &str) -> String {
    truncate(&one_line(title), 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_and_the_pipe_make_one_prompt() {
        let table = [
            ("a", None, Some("a")),
            ("", Some("b\n"), Some("b")),
            ("a", Some("b\nc\n"), Some("a\n\nb\nc")),
            (" a ", Some("\n\n"), Some("a")),
            ("", Some(" \n"), None),
            ("", None, None),
        ];
        for (flag, pipe, expected) in table {
            let prompt = full_prompt(flag, pipe.map(str::to_owned));
            assert_eq!(prompt.as_deref().ok(), expected, "{flag:?} {pipe:?}");
        }
        let error = full_prompt("", None).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
    }
}
