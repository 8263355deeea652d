//! The device's connection to the relay: plain on loopback, with TLS elsewhere.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use link_proto::links::RelayUrl;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::DEADLINE;

/// Whom the devices of this process trust.
static TRUSTED: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// Installs the certificate of an authority, as one does on a phone: all devices of this process
/// trust it from now on, and nobody else.
pub fn install_authority(certificate: &Path) {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert!(
        TRUSTED.set(Arc::new(config)).is_ok(),
        "one authority is enough"
    );
}

/// See the module.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects to a relay.
    pub(super) fn connect(relay: &RelayUrl) -> Result<Self, String> {
        let stream = TcpStream::connect(address(relay)).map_err(words)?;
        stream.set_nodelay(true).map_err(words)?;
        stream
            .set_read_timeout(Some(DEADLINE))
            .and_then(|()| stream.set_write_timeout(Some(DEADLINE)))
            .map_err(words)?;
        if !relay.is_https() {
            return Ok(Self::Plain(stream));
        }
        let trusted = TRUSTED.get().ok_or("this device trusts no authority")?;
        let address = address(relay);
        let (name, _) = address.rsplit_once(':').unwrap_or((&address, ""));
        let name = ServerName::try_from(name.to_owned()).map_err(words)?;
        let connection = ClientConnection::new(Arc::clone(trusted), name).map_err(words)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }
}

/// What a relay is called in `Host`.
pub(super) fn authority(relay: &RelayUrl) -> String {
    let origin = relay.origin();
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.expect("an address").to_owned()
}

/// Where to connect to.
fn address(relay: &RelayUrl) -> String {
    let authority = authority(relay);
    match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority,
        _ => format!("{authority}:{}", if relay.is_https() { 443 } else { 80 }),
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
