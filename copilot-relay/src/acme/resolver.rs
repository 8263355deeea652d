//! Which certificate a handshake is answered with: the relay's own, or the one that an ACME server asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// What a server that checks a name speaks, and nothing else (RFC 8737).
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

/// Whether this connection was a check of a name: nothing is said on it.
pub(crate) fn is_challenge(protocol: Option<&[u8]>) -> bool {
    protocol == Some(PROTOCOL)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<CertifiedKey>>,
    /// By name; only while an order is under way.
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    /// From now on everybody gets this certificate.
    pub(super) fn serve(&self, key: CertifiedKey) {
        self.lock().current = Some(Arc::new(key));
    }

    /// Answers the check of a name with this digest of the key authorization.
    pub(super) fn challenge(&self, name: &str, digest: &[u8]) -> Result<(), String> {
        let key = answer(name, digest).map_err(|error| error.to_string())?;
        self.lock()
            .challenges
            .insert(name.to_owned(), Arc::new(key));
        Ok(())
    }

    /// No name is being checked any more.
    pub(super) fn end_challenges(&self) {
        self.lock().challenges.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        let asked = protocols.next() == Some(PROTOCOL) && protocols.next().is_none();
        let state = self.lock();
        if asked {
            return state.challenges.get(hello.server_name()?).cloned();
        }
        state.current.clone()
    }
}

/// A certificate that proves the name to whoever knows the digest, and is nothing to anybody else.
fn answer(
    name: &str,
    digest: &[u8],
) -> Result<CertifiedKey, Box<dyn std::error::Error + Send + Sync>> {
    // Anything else makes the constructor below panic.
    if digest.len() != 32 {
        return Err("the digest is not one of SHA-256".into());
    }
    let pair = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&pair)?;
    let key = PrivateKeyDer::try_from(pair.serialize_der())?;
    Ok(CertifiedKey::new(
        vec![certificate.der().clone()],
        any_supported_type(&key)?,
    ))
}
