//! `copilot-relay`: connects the devices of its owner with sessions on their machines.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use copilot_relay::acme::AcmeOptions;
use copilot_relay::clock::Clock;
use copilot_relay::limits::Limits;
use copilot_relay::store::{SqliteStore, Store as _};
use copilot_relay::tls::TlsOptions;
use copilot_relay::{Options, accounts, install_crypto, start};
use link_proto::ids::MachineId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use url::Url;

/// The relay between machines that run sessions and the devices that watch them. It can read none of what
/// they say.
#[derive(Debug, Parser)]
#[command(name = "copilot-relay", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve machines and devices until a signal ends it.
    Serve(Box<Serve>),
    /// Print the token with which a machine joins; it is made at the first use.
    EnrolmentToken {
        /// The relay's folder.
        #[arg(long, env = "COPILOT_RELAY_DATA", value_name = "DIR")]
        data: PathBuf,
    },
    /// Take out a machine that lost its token, so that it can join again. Its devices lose access to it.
    RemoveMachine {
        /// The machine's id.
        #[arg(value_name = "ID")]
        machine: MachineId,
        /// The relay's folder.
        #[arg(long, env = "COPILOT_RELAY_DATA", value_name = "DIR")]
        data: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen; port 0 is one that is free.
    #[arg(long, env = "COPILOT_RELAY_LISTEN", value_name = "ADDR")]
    listen: SocketAddr,
    /// The relay's folder: its database and the enrolment token.
    #[arg(long, env = "COPILOT_RELAY_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Where browsers and machines reach it, when that is not where it listens.
    #[arg(long, env = "COPILOT_RELAY_PUBLIC_URL", value_name = "URL")]
    public_url: Option<Url>,
    /// A certificate chain in PEM. It is read again when it was renewed.
    #[arg(
        long,
        env = "COPILOT_RELAY_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(
        long,
        env = "COPILOT_RELAY_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Obtain a certificate for this name from an ACME server and renew it. The name must lead to this relay,
    /// and port 443 of it to where the relay listens. You agree to the server's terms. May be repeated.
    #[arg(
        long,
        env = "COPILOT_RELAY_ACME",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "tls_cert"
    )]
    acme: Vec<String>,
    /// An address that the ACME server may write to.
    #[arg(
        long,
        env = "COPILOT_RELAY_ACME_CONTACT",
        value_name = "EMAIL",
        requires = "acme"
    )]
    acme_contact: Option<String>,
    /// The ACME server.
    #[arg(
        long,
        env = "COPILOT_RELAY_ACME_DIRECTORY",
        value_name = "URL",
        requires = "acme",
        default_value = AcmeOptions::lets_encrypt()
    )]
    acme_directory: Url,
    /// The certificate of an ACME server of your own, in PEM.
    #[arg(
        long,
        env = "COPILOT_RELAY_ACME_ROOT",
        value_name = "FILE",
        requires = "acme"
    )]
    acme_root: Option<PathBuf>,
    /// A proxy in front of the relay says at the end of `X-Forwarded-For` where requests come from.
    #[arg(long, env = "COPILOT_RELAY_BEHIND_PROXY")]
    behind_proxy: bool,
    /// How many machines may join.
    #[arg(long, env = "COPILOT_RELAY_MAX_MACHINES", value_name = "N", default_value_t = Limits::default().machines)]
    max_machines: u32,
    /// How many devices may be paired.
    #[arg(long, env = "COPILOT_RELAY_MAX_DEVICES", value_name = "N", default_value_t = Limits::default().devices)]
    max_devices: u32,
    /// Stop when standard input is closed: for a program that starts the relay for itself.
    #[arg(long)]
    child: bool,
}

impl Serve {
    fn tls(&self) -> Option<TlsOptions> {
        if !self.acme.is_empty() {
            return Some(TlsOptions::Acme(AcmeOptions {
                domains: self.acme.clone(),
                contact: self.acme_contact.clone(),
                directory: self.acme_directory.to_string(),
                root: self.acme_root.clone(),
            }));
        }
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsOptions::Files { certificate, key })
    }

    /// A certificate that is obtained says by which name the relay is reached.
    fn public_url(&self) -> anyhow::Result<Option<Url>> {
        match (&self.public_url, self.acme.first()) {
            (None, Some(name)) => {
                let url = Url::parse(&format!("https://{name}"));
                Ok(Some(
                    url.with_context(|| format!("`{name}` is not a name"))?,
                ))
            }
            (url, _) => Ok(url.clone()),
        }
    }
}

/// How long a child waits for those who are connected: whoever closed its input is going as well.
const DRAIN_AS_CHILD: std::time::Duration = std::time::Duration::from_secs(1);

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Serve(serve) => run(*serve),
        Verb::EnrolmentToken { data } => print_enrolment_token(&data),
        Verb::RemoveMachine { machine, data } => remove_machine(machine, &data),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done when even that cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_enrolment_token(data: &std::path::Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        data.is_dir(),
        "there is no folder {}; name the one the relay is served with",
        data.display()
    );
    let token = accounts::enrolment_token(data)?;
    writeln!(std::io::stdout(), "{}", token.to_text().as_str())?;
    Ok(())
}

/// Beside a relay that runs, which finds the machine gone when it comes the next time.
fn remove_machine(machine: MachineId, data: &std::path::Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        data.join("relay.db").is_file(),
        "there is no relay in {}; name the folder the relay is served with",
        data.display()
    );
    let store = SqliteStore::open(data, Clock::system(), &Limits::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let known = store.machine(machine).await?;
        let known = known.with_context(|| format!("no machine {machine} has joined"))?;
        let devices = store.remove_machine(machine).await?.len();
        let name = known.name;
        writeln!(
            std::io::stdout(),
            "removed {name}; devices that reached it: {devices}"
        )?;
        Ok(())
    })
}

fn run(serve: Serve) -> anyhow::Result<()> {
    install_crypto();
    start_logging();
    raise_file_limit();
    // A child serves one person and should cost little.
    let mut runtime = if serve.child {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = runtime.enable_all().build()?;
    let child = serve.child;
    let tls = serve.tls();
    let options = Options {
        listen: serve.listen,
        public_url: serve.public_url()?,
        data: serve.data,
        tls,
        behind_proxy: serve.behind_proxy,
        is_own: child,
        limits: Limits {
            machines: serve.max_machines,
            devices: serve.max_devices,
            drain: if child {
                DRAIN_AS_CHILD
            } else {
                Limits::default().drain
            },
            ..Limits::default()
        },
        clock: Clock::system(),
    };
    runtime.block_on(async {
        let mut signals = signals(child)?;
        let started = start(options).await?;
        announce(started.relay.origins.public())?;
        // Only where a service manager asked for it.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        while let Some(Signal::Reload) = signals.recv().await {
            started.renew_certificate();
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        tracing::info!("draining");
        tokio::select! {
            () = started.drain() => {}
            () = again(&mut signals) => {
                tracing::warn!("told to stop again: stopping at once");
                return Ok(());
            }
        }
        tokio::select! {
            () = started.end() => {}
            () = again(&mut signals) => tracing::warn!("told to stop again: stopping at once"),
        }
        Ok(())
    })
}

/// Says where the relay listens, to whoever started it.
fn announce(url: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {url}")
        .and_then(|()| out.flush())
        .context("nobody reads where the relay listens")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Stop,
    Reload,
}

/// What tells the relay to stop or to read its certificate again.
fn signals(child: bool) -> anyhow::Result<mpsc::Receiver<Signal>> {
    // Nobody sends signals faster than they are taken; what finds it full is one of many of its kind.
    let (sender, receiver) = mpsc::channel(8);
    for (kind, meaning) in [
        (SignalKind::terminate(), Signal::Stop),
        (SignalKind::interrupt(), Signal::Stop),
        (SignalKind::hangup(), Signal::Reload),
    ] {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        // Lives as long as the process.
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let _ = sender.try_send(meaning);
            }
        });
    }
    if child {
        std::thread::Builder::new()
            .name("parent".to_owned())
            .spawn(move || {
                // Whatever it says; that it ends is what matters.
                let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                let _ = sender.blocking_send(Signal::Stop);
            })?;
    }
    Ok(receiver)
}

async fn again(signals: &mut mpsc::Receiver<Signal>) {
    while let Some(signal) = signals.recv().await {
        if signal == Signal::Stop {
            return;
        }
    }
    std::future::pending().await
}

/// Logs to standard error, where a service manager or the parent collects it.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("COPILOT_RELAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,copilot_relay=info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();
}

/// Every connection is a file; the default limit of many systems is a thousand.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the number of open files could not be raised");
    }
}
