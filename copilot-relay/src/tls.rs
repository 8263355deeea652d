//! The relay's certificate: files that are read, checked against each other, and read again when they were
//! renewed; or one that the relay obtains by itself ([`crate::acme`]).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::acme::{Acme, AcmeOptions};

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum TlsOptions {
    /// Two files.
    Files {
        /// The chain, in PEM.
        certificate: PathBuf,
        /// Its key, in PEM.
        key: PathBuf,
    },
    /// An ACME server.
    Acme(AcmeOptions),
}

/// TLS of the relay's own.
#[derive(Debug)]
pub enum Tls {
    /// With a certificate from two files.
    Files(Certificate),
    /// With one that it obtains.
    Acme(Acme),
}

impl Tls {
    /// What a new connection is served with.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        match self {
            Self::Files(certificate) => certificate.current(),
            Self::Acme(acme) => acme.current(),
        }
    }

    /// Reads the files again when the certificate in them has changed, or when `always`. What is obtained is
    /// renewed by itself.
    ///
    /// # Errors
    /// When the files cannot be read or do not belong together.
    pub fn renew(&self, always: bool) -> Result<bool, TlsError> {
        match self {
            Self::Files(certificate) => certificate.renew(always),
            Self::Acme(_) => Ok(false),
        }
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {what} in PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// Certificate and key are not usable together.
    #[error("the certificate in {} cannot be used with the key in {}: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}

/// A certificate and its key in two files, and what was read from them last.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<(Arc<ServerConfig>, Option<SystemTime>)>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let changed = changed(certificate);
        let config = configure(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: RwLock::new((config, changed)),
        })
    }

    /// What a new connection is served with.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.0)
    }

    /// Reads both files again when the certificate has changed, or when `always`. What cannot be used leaves
    /// the old certificate in place.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn renew(&self, always: bool) -> Result<bool, TlsError> {
        let changed = changed(&self.certificate);
        let known = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .1;
        if !always && changed == known {
            return Ok(false);
        }
        let config = configure(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (config, changed);
        Ok(true)
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}

fn configure(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let not_pem = |path: &Path, what| TlsError::NotPem {
        path: path.to_owned(),
        what,
    };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| not_pem(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(not_pem(certificate, "certificate"));
    }
    let private =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| not_pem(key, "private key"))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|source| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate that signs itself, in two files.
    fn write(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        crate::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path());
        let tls = Certificate::read(&certificate, &key).unwrap();
        let first = tls.current();
        assert!(!tls.renew(false).unwrap(), "nothing changed");
        write(folder.path());
        assert!(tls.renew(true).unwrap());
        let second = tls.current();
        assert!(!Arc::ptr_eq(&first, &second));
        std::fs::write(&certificate, "no certificate").unwrap();
        let error = tls.renew(true).unwrap_err().to_string();
        assert!(
            error.ends_with("cert.pem holds no certificate in PEM"),
            "{error}"
        );
        assert!(
            Arc::ptr_eq(&second, &tls.current()),
            "the old one is served"
        );
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        crate::install_crypto();
        let one = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let (certificate, _) = write(one.path());
        let (_, key) = write(other.path());
        let error = Certificate::read(&certificate, &key).unwrap_err();
        assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
        let missing = Certificate::read(&one.path().join("x"), &key).unwrap_err();
        assert!(matches!(missing, TlsError::File { .. }), "{missing}");
    }
}
