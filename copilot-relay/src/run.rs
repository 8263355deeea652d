//! The life of a relay: put together, listening, draining, gone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use crate::accounts::{SingleUser, enrolment_token};
use crate::acme::Acme;
use crate::clock::Clock;
use crate::http::origin::Origins;
use crate::http::router;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::relay::{Phase, Relay};
use crate::serve::{Serving, serve};
use crate::store::SqliteStore;
use crate::switchboard::Local;
use crate::tls::{Certificate, Tls, TlsOptions};

/// How often channels are looked at whether they are idle.
const SWEEP: Duration = Duration::from_secs(10);
/// How often the certificate's file is looked at whether it was renewed.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(60 * 60);

/// How a relay is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is one that is free.
    pub listen: SocketAddr,
    /// Its folder, which is made.
    pub data: PathBuf,
    /// Where it is reached, when that is not where it listens.
    pub public_url: Option<Url>,
    /// Where its certificate comes from; nothing: no TLS of its own.
    pub tls: Option<TlsOptions>,
    /// Whether a proxy in front of it says where requests come from.
    pub behind_proxy: bool,
    /// Whether it is the own relay of the machine that started it.
    pub is_own: bool,
    /// What it allows.
    pub limits: Limits,
    /// Its time.
    pub clock: Clock,
}

/// A relay that listens.
pub struct Started {
    /// The relay.
    pub relay: Arc<Relay>,
    /// Where it listens.
    pub address: SocketAddr,
    tls: Option<Arc<Tls>>,
    serving: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    /// Keeps a certificate that is obtained current.
    certificate: Option<JoinHandle<()>>,
}

/// Starts a relay.
///
/// # Errors
/// When its folder, its address or its certificate cannot be used, or it could not be reached safely.
pub async fn start(options: Options) -> anyhow::Result<Started> {
    let Options {
        listen,
        data,
        public_url,
        tls,
        behind_proxy,
        is_own,
        limits,
        clock,
    } = options;
    make_private(&data)
        .with_context(|| format!("the data folder {} cannot be used", data.display()))?;
    let tls = tls
        .map(|tls| open_tls(tls, &data))
        .transpose()?
        .map(Arc::new);
    // Before it listens: what could not be reached safely is never opened.
    Origins::new(listen, tls.is_some(), public_url.as_ref())?;
    let enrolment = enrolment_token(&data)?;
    let store = SqliteStore::open(&data, clock.clone(), &limits)
        .with_context(|| format!("the database in {} cannot be used", data.display()))?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("the relay cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let origins = Origins::new(address, tls.is_some(), public_url.as_ref())?;
    let metrics = Arc::new(Metrics::default());
    let switchboard = Local::new(clock.clone(), limits.clone(), Arc::clone(&metrics));
    let mut relay = Relay::new(
        Arc::new(store),
        Arc::new(SingleUser::new(&enrolment)),
        Arc::new(switchboard),
        metrics,
        limits,
        clock,
        origins,
    );
    relay.is_own = is_own;
    let relay = Arc::new(relay);
    let serving = Serving {
        router: router(Arc::clone(&relay)),
        relay: Arc::clone(&relay),
        tls: tls.clone(),
        behind_proxy,
    };
    tracing::info!(url = relay.origins.public(), "listening");
    Ok(Started {
        address,
        serving: tokio::spawn(serve(listener, serving)),
        housekeeping: tokio::spawn(keep_house(Arc::clone(&relay), tls.clone())),
        certificate: tls.clone().map(|tls| {
            let clock = relay.clock.clone();
            tokio::spawn(async move {
                if let Tls::Acme(acme) = &*tls {
                    acme.keep(&clock).await;
                }
            })
        }),
        relay,
        tls,
    })
}

fn open_tls(options: TlsOptions, data: &Path) -> anyhow::Result<Tls> {
    Ok(match options {
        TlsOptions::Files { certificate, key } => {
            Tls::Files(Certificate::read(&certificate, &key)?)
        }
        TlsOptions::Acme(options) => Tls::Acme(Acme::open(options, data)?),
    })
}

impl Started {
    /// Reads the certificate again.
    pub fn renew_certificate(&self) {
        renew(self.tls.as_deref(), true);
    }

    /// Takes nobody new, tells those who are here to connect again, and waits for them until the limit.
    pub async fn drain(&self) {
        self.relay.phase.send_replace(Phase::Draining);
        self.relay.switchboard.drain();
        self.relay.links.close();
        let limits = &self.relay.limits;
        if tokio::time::timeout(limits.drain, self.relay.links.wait())
            .await
            .is_err()
        {
            tracing::info!(sockets = self.relay.links.len(), "not everybody has left");
        }
    }

    /// Ends everything, with a few seconds for the last words.
    pub async fn end(self) {
        self.relay.phase.send_replace(Phase::Ending);
        self.relay.links.close();
        let last_words = self.relay.limits.last_words;
        let _ = tokio::time::timeout(last_words * 2, self.relay.links.wait()).await;
        self.housekeeping.abort();
        if let Some(certificate) = &self.certificate {
            certificate.abort();
        }
        // A panic in it was reported where it happened.
        let _ = self.serving.await;
    }
}

/// What has to be done now and then.
async fn keep_house(relay: Arc<Relay>, tls: Option<Arc<Tls>>) {
    let mut certificate_at = relay.clock.now() + LOOK_AT_CERTIFICATE;
    loop {
        let now = relay.clock.now();
        relay.clock.sleep_until(now + SWEEP).await;
        relay.switchboard.sweep();
        if relay.clock.now() >= certificate_at {
            certificate_at = relay.clock.now() + LOOK_AT_CERTIFICATE;
            renew(tls.as_deref(), false);
        }
    }
}

fn renew(tls: Option<&Tls>, always: bool) {
    match tls.map(|tls| tls.renew(always)) {
        Some(Ok(true)) => tracing::info!("the certificate was read again"),
        Some(Ok(false)) | None => {}
        Some(Err(error)) => tracing::error!(%error, "the old certificate is still served"),
    }
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}
