//! A certificate from a real ACME server: Pebble, Let's Encrypt's own for tests, which checks the relay's name
//! over real sockets as the real one does.
//!
//! Debian and Ubuntu have it as the package `pebble`. Where it is missing the test says so; `cargo xtask test`
//! and `ci` see to it that it is there where they can.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::support::DEADLINE;

/// What the relay is called; the test's own name server leads every name to this machine.
const NAME: &str = "relay.example";
/// So short that the test sees it renewed.
const LIFE_S: u64 = 6;
/// Set where a missing server is a failure.
const REQUIRED: &str = "COPILOT_TEST_REQUIRE_PEBBLE";

#[tokio::test]
async fn a_certificate_is_obtained_renewed_and_taken_up_again_after_a_restart() {
    let Some(server) = Pebble::start() else {
        return;
    };
    let relay = server.relay();
    let root = server.root().await;
    let first = served(&root, server.tls, None).await;
    let second = served(&root, server.tls, Some(&first)).await;
    assert_ne!(first, second, "it was renewed");
    drop(relay);

    let kept = server.folder.path().join("data/acme/certificate.pem");
    assert!(kept.is_file(), "the certificate is kept");
    assert!(!server.said().contains("PRIVATE"), "no key is in the log");
    let accounts = server.accounts();
    let _relay = server.relay();
    served(&root, server.tls, None).await;
    assert_eq!(server.accounts(), accounts, "the account is kept as well");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_named_in_the_log_and_serves_nothing() {
    let Some(server) = Pebble::start() else {
        return;
    };
    // Nobody listens where the server looks.
    let elsewhere = free();
    let _relay = server.relay_on(elsewhere);
    let said = until("the failure in the log", || {
        let said = server.said();
        said.contains("there is no new certificate").then_some(said)
    });
    assert!(
        said.contains(&format!("could not check {NAME}")) && said.contains("port 443"),
        "{said}"
    );
    let refused = browser(&server.root().await)
        .get(format!("https://{NAME}:{}/healthz", elsewhere.port()))
        .send()
        .await;
    assert!(refused.is_err(), "there is nothing to serve it with");
}

/// The server, its name server and its folder.
struct Pebble {
    folder: tempfile::TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    /// Where it looks for the relay, as it would at port 443.
    tls: SocketAddr,
    _server: Running,
    _names: Running,
}

impl Pebble {
    /// Nothing where it is not installed.
    fn start() -> Option<Self> {
        let is_here = |name: &str| {
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|folder| folder.join(name).is_file())
        };
        if !(is_here("pebble") && is_here("pebble-challtestsrv")) {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "pebble is not installed: apt-get install pebble"
            );
            eprintln!("skipped: pebble is not installed (apt-get install pebble)");
            return None;
        }
        copilot_relay::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path("pebble.crt"), made.cert.pem()).unwrap();
        std::fs::write(path("pebble.key"), made.signing_key.serialize_pem()).unwrap();
        let [directory, management, tls, names, control] = [(); 5].map(|()| free());
        let config = json!({"pebble": {
            "listenAddress": directory.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": path("pebble.crt"),
            "privateKey": path("pebble.key"),
            "httpPort": 1,
            "tlsPort": tls.port(),
            "certificateValidityPeriod": LIFE_S,
        }});
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let mut name_server = Command::new("pebble-challtestsrv");
        name_server
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args([
                "-dns01",
                &names.to_string(),
                "-management",
                &control.to_string(),
            ]);
        let mut server = Command::new("pebble");
        server
            .args(["-dnsserver", &names.to_string(), "-config"])
            .arg(path("pebble.json"))
            .env("PEBBLE_VA_NOSLEEP", "1");
        let started = Self {
            _names: Running::start(name_server, &path("names.log")),
            _server: Running::start(server, &path("pebble.log")),
            folder,
            directory,
            management,
            tls,
        };
        until("the ACME server", || {
            std::net::TcpStream::connect(directory).ok()
        });
        until("its management", || {
            std::net::TcpStream::connect(management).ok()
        });
        Some(started)
    }

    /// The relay where the server looks for it.
    fn relay(&self) -> Running {
        self.relay_on(self.tls)
    }

    fn relay_on(&self, address: SocketAddr) -> Running {
        let mut relay = Command::new(env!("CARGO_BIN_EXE_copilot-relay"));
        relay
            .args([
                "serve",
                "--acme",
                NAME,
                "--acme-contact",
                "ada@relay.example",
            ])
            .args([
                "--acme-directory",
                &format!("https://localhost:{}/dir", self.directory.port()),
            ])
            .arg("--acme-root")
            .arg(self.folder.path().join("pebble.crt"))
            .args([
                "--public-url",
                &format!("https://{NAME}:{}", address.port()),
            ])
            .args(["--listen", &address.to_string(), "--data"])
            .arg(self.folder.path().join("data"));
        Running::start(relay, &self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("relay.log")
    }

    /// What the relay has logged.
    fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The accounts that the relay has made itself.
    fn accounts(&self) -> Vec<String> {
        let mut accounts: Vec<String> = std::fs::read_dir(self.folder.path().join("data/acme"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("account-"))
            .collect();
        accounts.sort();
        let contents = accounts.iter().map(|name| {
            std::fs::read_to_string(self.folder.path().join("data/acme").join(name)).unwrap()
        });
        contents.collect()
    }

    /// What the server's certificates are vouched for with.
    async fn root(&self) -> reqwest::Certificate {
        let own = std::fs::read(self.folder.path().join("pebble.crt")).unwrap();
        let own = reqwest::Certificate::from_pem(&own).unwrap();
        let manager = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([own])
            .build()
            .unwrap();
        let url = format!("https://localhost:{}/roots/0", self.management.port());
        let root = manager
            .get(url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        reqwest::Certificate::from_pem(&root).unwrap()
    }
}

/// A browser that trusts this and nothing else, and remembers no earlier connection.
fn browser(root: &reqwest::Certificate) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_info(true)
        .tls_certs_only([root.clone()])
        .resolve(NAME, SocketAddr::from(([127, 0, 0, 1], 0)))
        .build()
        .unwrap()
}

/// The certificate with which the relay answers, once it answers with another one than this.
async fn served(root: &reqwest::Certificate, at: SocketAddr, but: Option<&[u8]>) -> Vec<u8> {
    let end = Instant::now() + DEADLINE;
    loop {
        let answer = browser(root)
            .get(format!("https://{NAME}:{}/healthz", at.port()))
            .send()
            .await;
        let why = match answer {
            Ok(answer) => {
                assert!(answer.status().is_success(), "{answer:?}");
                let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
                let certificate = info.peer_certificate().unwrap().to_vec();
                if but != Some(&*certificate) {
                    return certificate;
                }
                "still the old one".to_owned()
            }
            Err(error) => format!("{error:?}"),
        };
        assert!(Instant::now() < end, "no certificate: {why}");
        tokio::task::yield_now().await;
    }
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::yield_now();
    }
}

/// Free at this moment, and another one each time. The system gives none of these ports to a
/// connection, and another test looks elsewhere.
fn free() -> SocketAddr {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(16);
    let ports = std::iter::repeat_with(|| ASKED.fetch_add(1, Ordering::Relaxed))
        .map(|asked| 10_000 + first.wrapping_add(asked) % 20_000)
        .filter_map(|port| u16::try_from(port).ok());
    ports
        .take(20_000)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}

/// A process that ends with the test; what it says is in a file.
struct Running(Child);

impl Running {
    fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
