//! A company's proxy and its certificate authority: the only way from a machine to a relay whose
//! name nobody else knows.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::listener::{Listener, asked_to_close, lock, read_head};

/// An authority that only those trust who are told to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Writes its own certificate, for those who are to trust it.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let file = folder.join("ca.crt");
        std::fs::write(&file, &self.certificate).expect("a file");
        file
    }

    /// A certificate for a name, and its key.
    pub fn certify(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// How to look into what passes, and who is asked in turn.
#[derive(Clone)]
struct Inspection {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    name: ServerName<'static>,
}

#[derive(Default)]
struct Seen {
    /// What was to be connected to.
    asked_for: Vec<String>,
    /// The first lines of requests that were looked into.
    requests: Vec<String>,
    /// Of those, the websockets that were not let through.
    refused: usize,
}

/// See the module.
pub struct Proxy {
    seen: Arc<Mutex<Seen>>,
    // Dropped last: it ends all connections.
    listener: Listener,
}

impl Proxy {
    /// Passes bytes to `relay`, whatever name it is asked for.
    pub fn passing(relay: SocketAddr) -> Self {
        Self::start(relay, None)
    }

    /// Looks into what passes, with a certificate for `name` of its own authority, and lets no
    /// websocket through.
    pub fn inspecting(relay: SocketAddr, authority: &Authority, name: &str) -> Self {
        let (certificate, key) = authority.certify(name);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).expect("PEM");
        roots.add(own).expect("an authority");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let inspection = Inspection {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
            name: ServerName::try_from(name.to_owned()).expect("a name"),
        };
        Self::start(relay, Some(inspection))
    }

    fn start(relay: SocketAddr, inspection: Option<Inspection>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let listener = Listener::start(move |stream| {
            let (seen, inspection) = (Arc::clone(&shared), inspection.clone());
            async move {
                // Either end may go at any time.
                let _ = serve(stream, relay, inspection, &seen).await;
            }
        });
        Self { seen, listener }
    }

    /// Its address, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// What it was asked to connect to, so far.
    pub fn asked_for(&self) -> Vec<String> {
        lock(&self.seen).asked_for.clone()
    }

    /// The requests that it looked into, so far.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.seen).requests.clone()
    }

    /// How many websockets it did not let through.
    pub fn refused(&self) -> usize {
        lock(&self.seen).refused
    }
}

async fn serve(
    mut stream: TcpStream,
    relay: SocketAddr,
    inspection: Option<Inspection>,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    let head = read_head(&mut stream).await;
    let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    if method != Some("CONNECT") {
        let no = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n";
        return stream.write_all(no).await;
    }
    lock(seen).asked_for.push(target.to_owned());
    let mut upstream = TcpStream::connect(relay).await?;
    let yes = b"HTTP/1.1 200 Connection established\r\n\r\n";
    stream.write_all(yes).await?;
    let Some(inspection) = inspection else {
        tokio::io::copy_bidirectional(&mut stream, &mut upstream).await?;
        return Ok(());
    };
    let mut stream = inspection.acceptor.accept(stream).await?;
    let head = read_head(&mut stream).await;
    let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let first = text.lines().next().unwrap_or_default().to_owned();
    let is_upgrade = text.contains("\r\nupgrade:");
    {
        let mut seen = lock(seen);
        seen.requests.push(first);
        seen.refused += usize::from(is_upgrade);
    }
    if is_upgrade {
        let no = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(no).await?;
        return stream.shutdown().await;
    }
    // One request a connection, so that each is looked into.
    let mut upstream = inspection
        .connector
        .connect(inspection.name, upstream)
        .await?;
    upstream.write_all(&asked_to_close(&head)).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await?;
    Ok(())
}
