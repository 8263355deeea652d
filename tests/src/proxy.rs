//! A company's proxy and its certificate authority: the only way from a machine to a relay whose
//! name nobody else knows.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

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
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    // Dropped last: it ends all connections.
    _runtime: tokio::runtime::Runtime,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, inspection) = (Arc::clone(&shared), inspection.clone());
                tokio::spawn(async move {
                    // Either end may go at any time.
                    let _ = serve(stream, relay, inspection, &seen).await;
                });
            }
        });
        Self {
            address,
            seen,
            _runtime: runtime,
        }
    }

    /// Its address, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
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
    let head = read_head(&mut stream).await?;
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
    let head = read_head(&mut stream).await?;
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
    let line = head.windows(2).position(|w| w == b"\r\n").unwrap_or(0) + 2;
    upstream.write_all(&head[..line]).await?;
    upstream.write_all(b"connection: close\r\n").await?;
    upstream.write_all(&head[line..]).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await?;
    Ok(())
}

/// The beginning of a request, at least to the end of its head.
async fn read_head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}
