//! What ACME leaves on disk: the account's key, and the certificate with its key in one file, so that the two
//! always belong together. Only the relay's user can read them.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::AcmeError;

/// A key and a certificate chain. It is a secret.
pub(super) struct Pem(pub(super) String);

impl Pem {
    pub(super) fn new(key: &str, chain: &str) -> Self {
        Self(format!("{}\n{chain}", key.trim_end()))
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(…)")
    }
}

/// A certificate that can be served.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) key: CertifiedKey,
    /// When two thirds of its life are over.
    pub(super) renew_at: SystemTime,
    names: Vec<String>,
}

impl Kept {
    /// Reads it, or says what is wrong with it.
    pub(super) fn read(pem: &Pem) -> Result<Self, String> {
        let bytes = pem.0.as_bytes();
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let first = chain.first().ok_or("there is no certificate in it")?;
        let private = PrivateKeyDer::from_pem_slice(bytes).map_err(|error| error.to_string())?;
        let (renew_at, names) = describe(first)?;
        let private = any_supported_type(&private).map_err(|error| error.to_string())?;
        let key = CertifiedKey::new(chain, private);
        key.keys_match().map_err(|error| error.to_string())?;
        Ok(Self {
            key,
            renew_at,
            names,
        })
    }

    /// Whether it is for each of these names.
    pub(super) fn is_for(&self, domains: &[String]) -> bool {
        let has = |domain: &String| {
            self.names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(domain))
        };
        domains.iter().all(has)
    }
}

/// When to renew a certificate, and the names it is for.
fn describe(certificate: &CertificateDer<'_>) -> Result<(SystemTime, Vec<String>), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let seconds = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or_default());
    let validity = parsed.validity();
    let from = seconds(validity.not_before.timestamp());
    let life = seconds(validity.not_after.timestamp()).saturating_sub(from);
    let renew_at = SystemTime::UNIX_EPOCH + from + life * 2 / 3;
    let extension = parsed
        .subject_alternative_name()
        .map_err(|error| error.to_string())?;
    let names = extension
        .iter()
        .flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Ok((renew_at, names.collect()))
}

/// A name for something too long to be a file's.
pub(super) fn short_name(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(super) fn make_private(folder: &Path) -> Result<(), AcmeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| unusable(folder, &error))
}

/// A file's text; nothing when there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, AcmeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    let new = path.with_extension("new");
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> AcmeError {
    AcmeError::File {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        (params.self_signed(&key).unwrap(), key)
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        let (certificate, key) = made(&["relay.example", "also.example"]);
        let kept = Kept::read(&Pem::new(&key.serialize_pem(), &certificate.pem())).unwrap();
        let days = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
                / 86_400
        };
        // 90 days from the first of January.
        assert_eq!(days(kept.renew_at), 20_454 + 60);
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(kept.is_for(&names(&["relay.example"])));
        assert!(kept.is_for(&names(&["ALSO.example", "relay.example"])));
        assert!(!kept.is_for(&names(&["relay.example", "other.example"])));
    }

    #[test]
    fn what_does_not_belong_together_is_not_served() {
        let (certificate, _) = made(&["relay.example"]);
        let (_, key) = made(&["relay.example"]);
        for (pem, words) in [
            (Pem::new(&key.serialize_pem(), &certificate.pem()), "keys"),
            (Pem::new(&key.serialize_pem(), ""), "no certificate"),
            (Pem::new("", &certificate.pem()), ""),
            (Pem("cut off".to_owned()), "no certificate"),
        ] {
            let error = Kept::read(&pem).unwrap_err();
            assert!(error.to_lowercase().contains(words), "{error}");
        }
    }

    #[test]
    fn files_are_written_whole_and_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
