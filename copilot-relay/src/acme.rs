//! A certificate from an ACME server (RFC 8555), obtained and renewed by the relay itself.
//!
//! The server convinces itself by `tls-alpn-01` (RFC 8737): it connects to port 443 of the name and is shown a
//! certificate made for that moment. So nothing but the relay's own port has to be reachable, and nothing else
//! is ever served there.
//!
//! Owns the folder `acme` of the relay's folder: the account's key, and the certificate with its key. Must
//! never serve a certificate that was not obtained for all names, or ask the server more often than it allows.

mod kept;
mod resolver;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, LetsEncrypt,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rustls::ServerConfig;

use crate::clock::Clock;
use kept::{Kept, Pem};
use resolver::Resolver;
pub(crate) use resolver::is_challenge;

/// How long the server has for its own checks.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait after the first failure; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Servers allow a handful of failures an hour, and somebody has to mend what fails anyway.
const LAST_RETRY: Duration = Duration::from_secs(6 * 60 * 60);
/// However short a certificate lives.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Which certificate is wanted, and from whom.
#[derive(Clone, Debug)]
pub struct AcmeOptions {
    /// The names it is for; not empty.
    pub domains: Vec<String>,
    /// An address that the server may write to.
    pub contact: Option<String>,
    /// The server's directory.
    pub directory: String,
    /// A certificate in PEM that the server itself is trusted by, when the system does not know it.
    pub root: Option<PathBuf>,
}

impl AcmeOptions {
    /// The directory of Let's Encrypt.
    #[must_use]
    pub fn lets_encrypt() -> &'static str {
        LetsEncrypt::Production.url()
    }
}

/// Why there is no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A file of the folder cannot be used.
    #[error("{} cannot be used: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server refused, or was not reached.
    #[error("{doing}: {source}")]
    Server {
        /// What was being done.
        doing: &'static str,
        /// What came of it.
        source: instant_acme::Error,
    },
    /// The server could not convince itself.
    #[error(
        "the ACME server could not check {domain}: {why}. The name must lead to this relay, and port 443 of it \
         to where the relay listens"
    )]
    NotConvinced {
        /// The name.
        domain: String,
        /// What the server said.
        why: String,
    },
    /// The server gave something that cannot be served.
    #[error("the ACME server's certificate cannot be used: {0}")]
    Unusable(String),
}

/// The certificate that is kept current.
#[derive(Debug)]
pub struct Acme {
    options: AcmeOptions,
    folder: PathBuf,
    resolver: Arc<Resolver>,
    config: Arc<ServerConfig>,
}

impl Acme {
    /// Takes up what an earlier run obtained; nothing is asked of anybody yet.
    ///
    /// # Errors
    /// When the folder cannot be used. A kept certificate that cannot be used is obtained again.
    pub fn open(options: AcmeOptions, data: &Path) -> Result<Self, AcmeError> {
        let folder = data.join("acme");
        kept::make_private(&folder)?;
        let resolver = Arc::new(Resolver::default());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<_>);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), resolver::PROTOCOL.to_vec()];
        Ok(Self {
            options,
            folder,
            resolver,
            config: Arc::new(config),
        })
    }

    /// What a new connection is served with. Without a certificate handshakes fail, but for the server's.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Obtains the certificate and renews it when two thirds of its life are over, for ever.
    pub async fn keep(&self, clock: &Clock) {
        let mut renew_at = self.take_kept();
        let mut failures = 0;
        loop {
            let wait = match renew_at {
                Some(at) => at.duration_since(SystemTime::now()).unwrap_or_default(),
                None => Duration::ZERO,
            };
            clock.sleep_until(clock.now() + wait).await;
            match self.obtain().await {
                Ok(kept) => {
                    failures = 0;
                    tracing::info!(domains = ?self.options.domains, "a certificate was obtained");
                    renew_at = Some(kept.renew_at.max(SystemTime::now() + LEAST_WAIT));
                    self.resolver.serve(kept.key);
                }
                Err(error) => {
                    let retry = retry_after(failures);
                    failures += 1;
                    tracing::error!(%error, retry_in_s = retry.as_secs(), "there is no new certificate");
                    renew_at = Some(SystemTime::now() + retry);
                }
            }
        }
    }

    /// Serves the certificate of an earlier run; when to renew it. `None`: now.
    fn take_kept(&self) -> Option<SystemTime> {
        let path = self.certificate_file();
        let pem = match std::fs::read_to_string(&path) {
            Ok(pem) => Pem(pem),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the kept certificate cannot be read");
                return None;
            }
        };
        let kept = match Kept::read(&pem) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the kept certificate cannot be used");
                return None;
            }
        };
        if !kept.is_for(&self.options.domains) {
            tracing::info!("the kept certificate is for other names");
            return None;
        }
        // One that is over is better than none: who trusts nothing else is told what is wrong.
        let renew_at = kept.renew_at;
        self.resolver.serve(kept.key);
        Some(renew_at)
    }

    fn certificate_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    async fn obtain(&self) -> Result<Kept, AcmeError> {
        let account = self.account().await?;
        let names: Vec<Identifier> = self
            .options
            .domains
            .iter()
            .cloned()
            .map(Identifier::Dns)
            .collect();
        let mut order = account
            .new_order(&NewOrder::new(&names))
            .await
            .map_err(server("the ACME server took no order"))?;
        let proven = self.prove(&mut order).await;
        self.resolver.end_challenges();
        proven?;
        let policy = RetryPolicy::new().timeout(PATIENCE);
        let key = order
            .finalize()
            .await
            .map_err(server("the ACME server did not finish the order"))?;
        let chain = order
            .poll_certificate(&policy)
            .await
            .map_err(server("the ACME server gave no certificate"))?;
        let pem = Pem::new(&key, &chain);
        let kept = Kept::read(&pem).map_err(AcmeError::Unusable)?;
        if !kept.is_for(&self.options.domains) {
            return Err(AcmeError::Unusable("it is for other names".to_owned()));
        }
        kept::write(&self.certificate_file(), pem.0.as_bytes())?;
        Ok(kept)
    }

    /// Convinces the server that the names are ours.
    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        let refused = || server("the ACME server could not be convinced");
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(refused())?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(AcmeError::Unusable(
                    "it offers no tls-alpn-01 challenge".to_owned(),
                ));
            };
            let name = challenge.identifier().to_string();
            let digest = challenge.key_authorization().digest();
            self.resolver
                .challenge(&name, digest.as_ref())
                .map_err(AcmeError::Unusable)?;
            challenge.set_ready().await.map_err(refused())?;
        }
        let policy = RetryPolicy::new().timeout(PATIENCE);
        match order.poll_ready(&policy).await {
            Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
            // What went wrong with which name is in the authorizations.
            Ok(_) | Err(instant_acme::Error::Api(_)) => Err(why_invalid(order).await),
            Err(error) => Err(refused()(error)),
        }
    }

    /// The account of an earlier run, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let not_reached = || server("the ACME server cannot be reached");
        let builder = match &self.options.root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        };
        let builder = builder.map_err(not_reached())?;
        // Another server knows nothing of this account.
        let path = self.folder.join(format!(
            "account-{}.json",
            kept::short_name(&self.options.directory)
        ));
        let unusable = |why: String| AcmeError::File {
            path: path.clone(),
            why,
        };
        if let Some(text) = kept::read(&path)? {
            let credentials: AccountCredentials =
                serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
            return builder
                .from_credentials(credentials)
                .await
                .map_err(not_reached());
        }
        let contact = self
            .options
            .contact
            .as_ref()
            .map(|to| format!("mailto:{to}"));
        let contacts: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount {
            contact: &contacts,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder
            .create(&new, self.options.directory.clone(), None)
            .await
            .map_err(server("the ACME server gave no account"))?;
        let text =
            serde_json::to_string(&credentials).map_err(|error| unusable(error.to_string()))?;
        kept::write(&path, text.as_bytes())?;
        Ok(account)
    }
}

fn server(doing: &'static str) -> impl Fn(instant_acme::Error) -> AcmeError {
    move |source| AcmeError::Server { doing, source }
}

/// What the server says of the names that it could not check.
async fn why_invalid(order: &mut Order) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        // What it said at first may have been read before it tried.
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let error = state.challenges.iter().find_map(|one| one.error.as_ref());
        if let Some(error) = error {
            return AcmeError::NotConvinced {
                domain,
                why: error.to_string(),
            };
        }
    }
    AcmeError::NotConvinced {
        domain: "a name".to_owned(),
        why: "it does not say why".to_owned(),
    }
}

/// How long to wait after so many failures in a row before this one.
fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_further_and_further_apart_and_never_stop() {
        let minutes = |failures| retry_after(failures).as_secs() / 60;
        assert_eq!([0, 1, 2, 3].map(minutes), [1, 2, 4, 8]);
        assert_eq!([8, 9, 40, u32::MAX].map(minutes), [256, 360, 360, 360]);
    }
}
