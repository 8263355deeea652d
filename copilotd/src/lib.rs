//! The daemon that hosts agent sessions. See ARCHITECTURE.md for the map.
//!
//! [`run`] is the whole life of a daemon; the binary only parses its arguments.

pub mod agent;
pub mod audit;
pub mod config;
pub mod content;
pub mod desktop;
pub mod host;
pub mod ipc;
pub mod link;
pub mod logging;
pub mod pause;
pub mod permissions;
pub mod power;
pub mod remote;
pub mod service;
pub mod session;
pub mod store;
pub mod undo;
mod untrusted;
pub mod uri;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ipc_proto::paths::Paths;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Approvals, Loaded, LogLevel, Managed, TrustedFolders};
use crate::host::{Host, Parts, Shared};
use crate::ipc::Daemon;

/// Name and version, as the other side of the local socket sees them.
pub const BUILD: &str = concat!("copilotd ", env!("CARGO_PKG_VERSION"));

/// How a daemon is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is.
    pub paths: Paths,
    /// Level of the log, over the settings.
    pub log_level: Option<LogLevel>,
    /// Log to standard error as well.
    pub log_to_stderr: bool,
    /// Program of the built-in agent.
    pub built_in_agent: PathBuf,
    /// How long a quiet session stays in memory.
    pub park_after: Duration,
}

/// Numbers of actions that are reserved at a time. Unused ones are gaps, which mean nothing; 2^53,
/// which is as far as JavaScript counts, is two million times as many.
const NUMBERS_AT_A_TIME: u64 = 1 << 32;

/// How long an agent has from its start until it can be prompted: time for one that is fetched by
/// its package manager first.
const AGENT_START_LIMIT: Duration = Duration::from_secs(30);

/// How long sessions have to end with the daemon: agents are killed after three seconds, and what a disk
/// does not take in the rest is marked at the next start.
const SUSPEND_LIMIT: Duration = Duration::from_secs(10);

/// How long the link has: it may write something down while the disk fails.
const LINK_LIMIT: Duration = Duration::from_secs(5);

/// Reserves more numbers when half of them are used, for a daemon that never ends.
async fn reserve_numbers(shared: Arc<Shared>) {
    loop {
        shared.sequencer.running_low().await;
        let store = shared.store.clone();
        let reserving =
            tokio::task::spawn_blocking(move || store.reserve_numbers(NUMBERS_AT_A_TIME));
        match reserving.await {
            Ok(Ok(numbers)) => shared.sequencer.extend(numbers.end),
            Ok(Err(error)) => tracing::error!(%error, "no more numbers could be reserved"),
            Err(error) => tracing::error!(%error, "no more numbers could be reserved"),
        }
    }
}

/// Runs until a signal or a client says stop.
///
/// # Errors
/// When it cannot start: another daemon runs, a folder cannot be used.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let Options {
        paths,
        log_level,
        log_to_stderr,
        built_in_agent,
        park_after,
    } = options;
    let started_at = SystemTime::now();
    let service_managed = service::is_managed();
    let socket = service::listen(&paths).await?;
    let (settings, _watcher) = config::start(paths.settings_file());
    let managed_file = config::managed_file(&config::managed_folder());
    let (managed, _managed_watcher) = config::start_managed(managed_file);
    let level = log_level.unwrap_or(settings.borrow().settings.log_level);
    let log = logging::init(&paths.log_dir(), level, log_to_stderr)
        .context("the log could not be opened")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        "starting"
    );
    agent::tree::adopt_orphans();

    let (trusted, problem) = TrustedFolders::open(paths.trusted_folders_file(), settings.clone());
    if let Some(problem) = problem {
        tracing::error!(%problem, "trusted folders");
    }
    let (approvals, problem) = Approvals::open(paths.approvals_file());
    if let Some(problem) = problem {
        tracing::error!(%problem, "approvals");
    }
    let (store, notices) = store::open(&paths.data_dir.join("sessions.db"))?;
    for notice in notices {
        tracing::warn!(%notice, "store");
    }
    pause::reached("before-reserve");
    let numbers = store.reserve_numbers(NUMBERS_AT_A_TIME)?;
    pause::reached("after-reserve");
    let shared = Arc::new(Shared::new(Parts {
        paths,
        settings: settings.clone(),
        managed: managed.clone(),
        approvals,
        trusted,
        built_in_agent,
        store,
        numbers,
        park_after,
        agent_start_limit: AGENT_START_LIMIT,
    }));
    let stop = CancellationToken::new();
    // There is one already when a test runs several daemons in its process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = Host::new(shared);
    host.recover().await;
    let link = link::Link::open(Arc::clone(&host));
    if let Err(why) = &link {
        tracing::error!(%why, "no session can be reached from elsewhere");
        host.shared
            .link
            .set(|status| status.no_relay = Some(why.clone()));
    }
    let linked = link
        .clone()
        .ok()
        .map(|link| tokio::spawn(link::run(link, stop.clone())));
    let daemon = Arc::new(Daemon {
        host: Arc::clone(&host),
        link,
        stop: stop.clone(),
        service_managed,
        started_at,
    });

    let numbers = tokio::spawn(reserve_numbers(Arc::clone(&host.shared)));
    let follow = tokio::spawn(follow_settings(settings, Arc::clone(&host), log, log_level));
    let follow_managed = tokio::spawn(follow_managed(managed));
    let serve = tokio::spawn(ipc::serve(socket.listener, daemon, stop.clone()));
    service::tell_ready();
    tracing::info!(inherited_socket = socket.inherited, "ready");

    let reason = wait_for_the_end(&stop).await?;
    tracing::info!(reason, "stopping");
    service::tell_stopping();
    stop.cancel();
    // A second signal does not wait for agents to be killed properly.
    tokio::select! {
        ended = tokio::time::timeout(SUSPEND_LIMIT, host.suspend_all()) => if ended.is_err() {
            tracing::warn!("not waiting any longer for sessions to end");
        },
        _ = wait_for_a_signal() => tracing::warn!("a second signal: not waiting for agents"),
    }
    serve.await.context("accepting clients ended by a defect")?;
    if let Some(mut linked) = linked {
        match tokio::time::timeout(LINK_LIMIT, &mut linked).await {
            Ok(ended) => ended.context("the link ended by a defect")?,
            Err(_) => linked.abort(),
        }
    }
    follow.abort();
    follow_managed.abort();
    numbers.abort();
    let store = host.shared.store.clone();
    pause::reached("before-close");
    // Everything is kept by now; this waits for what was not waited for.
    tokio::task::spawn_blocking(move || store.close())
        .await
        .context("the store did not close")?;
    tracing::info!("stopped");
    // From here on another daemon may write.
    drop(socket.lock);
    Ok(())
}

async fn wait_for_the_end(stop: &CancellationToken) -> anyhow::Result<&'static str> {
    tokio::select! {
        () = stop.cancelled() => Ok("a client asked"),
        name = wait_for_a_signal() => name,
    }
}

async fn wait_for_a_signal() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    // A terminal that closes is no reason to stop: surviving it is the point.
    let mut hangup = signal(SignalKind::hangup()).context("signals cannot be received")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            _ = hangup.recv() => tracing::info!("a terminal closed"),
        }
    }
}

/// Applies settings as they change.
async fn follow_settings(
    mut settings: tokio::sync::watch::Receiver<Arc<Loaded>>,
    host: Arc<Host>,
    log: logging::Guard,
    fixed_level: Option<LogLevel>,
) {
    loop {
        let loaded = Arc::clone(&settings.borrow_and_update());
        for problem in &loaded.problems {
            tracing::warn!(%problem, "settings");
        }
        if fixed_level.is_none() {
            log.set_level(loaded.settings.log_level);
        }
        host.root_changed();
        if settings.changed().await.is_err() {
            return;
        }
    }
}

/// Logs what is wrong with the managed settings; what they say is looked up when it is needed.
async fn follow_managed(mut managed: tokio::sync::watch::Receiver<Arc<Managed>>) {
    loop {
        let current = Arc::clone(&managed.borrow_and_update());
        for problem in &current.problems {
            tracing::error!(%problem, "managed settings");
        }
        if managed.changed().await.is_err() {
            return;
        }
    }
}
