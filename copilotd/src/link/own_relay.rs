//! The relay of this machine's own: a child process on loopback, for a machine without any other.
//!
//! It keeps its port from one start to the next, because a page's keys belong to an address.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use super::{files, lock};
use crate::agent::children::{self, OwnChild};

const VERSION: u32 = 1;
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to end.
const GOODBYE: Duration = Duration::from_secs(3);

/// What is kept of it, frozen.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Token>,
}

/// Where the own relay is and what is kept of it.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// The program.
    pub(super) program: PathBuf,
    /// The relay's own folder.
    pub(super) data: PathBuf,
    /// What is kept of it.
    pub(super) file: PathBuf,
}

impl Home {
    fn kept(&self) -> Option<Kept> {
        let kept = files::read::<Kept>(&self.file);
        let kept = kept.inspect_err(|error| tracing::warn!(%error, "the own relay begins anew"));
        kept.ok().flatten().filter(|k| k.version == VERSION)
    }

    /// The token with which this machine is known there, if it joined.
    pub(super) fn token(&self) -> Option<Token> {
        self.kept()?.token
    }

    /// Notes the token; none when it is of no use any more.
    pub(super) fn keep_token(&self, token: Option<Token>) {
        if let Some(kept) = self.kept() {
            self.keep(kept.port, token);
        }
    }

    fn keep(&self, port: u16, token: Option<Token>) {
        let kept = Kept {
            version: VERSION,
            port,
            token,
        };
        // It holds nothing that cannot be had again, so it may be written over.
        if let Err(error) = files::write(&self.file, &kept) {
            tracing::error!(%error, "what is known of the own relay could not be kept");
        }
    }

    /// What a machine joins it with.
    pub(super) fn enrolment_token(&self) -> Result<Token, String> {
        let path = self.data.join("enrolment-token");
        let failed = |why: String| format!("{} cannot be used: {why}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|e| failed(e.to_string()))?;
        let text = zeroize::Zeroizing::new(text);
        text.trim()
            .parse()
            .map_err(|_| failed("it holds no token".into()))
    }
}

/// The relay while it runs.
pub(super) struct Running {
    child: Child,
    /// It ends when this is closed.
    stdin: Option<ChildStdin>,
    _own: OwnChild,
}

/// Starts it and waits until it listens: where that is.
pub(super) async fn start(home: &Home) -> Result<(Running, RelayUrl), String> {
    let kept_port = home.kept().map(|k| k.port);
    let started = match kept_port {
        Some(port) => start_on(home, port).await,
        None => Err(String::new()),
    };
    // Its port may be somebody else's by now.
    let (running, url, port) = match (started, kept_port) {
        (Ok(started), _) => started,
        (Err(why), Some(port)) if !is_taken(port) => return Err(why),
        _ => start_on(home, 0).await?,
    };
    if Some(port) != kept_port {
        let token = home.token();
        home.keep(port, token);
    }
    Ok((running, url))
}

fn is_taken(port: u16) -> bool {
    std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_err()
}

async fn start_on(home: &Home, port: u16) -> Result<(Running, RelayUrl, u16), String> {
    let cannot = |why: String| format!("{} cannot be started: {why}", home.program.display());
    let mut command = Command::new(&home.program);
    command
        .args(["serve", "--child", "--listen"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data")
        .arg(&home.data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let (mut child, own) =
        children::spawn(&mut command).map_err(|error| cannot(error.to_string()))?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let said_last = child.stderr.take().map(|stderr| {
        let said = Arc::new(Mutex::new(String::new()));
        // It ends with the relay.
        tokio::spawn(follow(stderr, Arc::clone(&said)));
        said
    });
    let running = Running {
        child,
        stdin,
        _own: own,
    };
    let stdout = stdout.ok_or_else(|| cannot("it has no output".into()))?;
    let mut lines = BufReader::new(stdout).lines();
    let said = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let said = said.map_err(|_| cannot("it does not begin to listen".into()))?;
    let line = said.ok().flatten().unwrap_or_default();
    let url = line.strip_prefix("listening on ").unwrap_or_default();
    let url: RelayUrl = url.parse().map_err(|_| {
        let last = said_last
            .map(|said| lock(&said).clone())
            .unwrap_or_default();
        match last.is_empty() {
            true => cannot("it ended without listening".into()),
            false => cannot(last),
        }
    })?;
    let port = url::Url::parse(&url.origin()).ok().and_then(|u| u.port());
    Ok((running, url, port.unwrap_or(0)))
}

/// Passes what the relay says on to the log, and keeps the last of it. It holds no secrets.
async fn follow(stderr: ChildStderr, last: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = super::api::shown(&line);
        tracing::info!(relay = %line, "own relay");
        *lock(&last) = line;
    }
}

impl Running {
    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("the relay of this machine ended ({status})"),
            Err(error) => format!("the relay of this machine is lost: {error}"),
        }
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        self.stdin = None;
        if tokio::time::timeout(GOODBYE, self.child.wait())
            .await
            .is_err()
        {
            // It is gone either way.
            let _ = self.child.kill().await;
        }
    }
}

/// The program beside this one; `None` when it is not installed.
pub(super) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let beside: &Path = own.parent()?;
    let program = beside.join("copilot-relay");
    program.is_file().then_some(program)
}
