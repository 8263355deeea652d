//! Remote access of a home: a relay of the test's own, and what a person at the
//! machine does about devices, as the control requests that `copilot` sends.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ipc_proto::control::{
    AwaitPairing, ControlReply, ControlRequest, JoinRelay, PairedDevice, PairingProgress,
    RemoteStatus, Secret, TypeCode,
};
use ipc_proto::message::Message;

use crate::device::{Device, Pairing};
use crate::home::Home;
use crate::hostile_relay::HostileRelay;
use crate::proxy::Authority;
use crate::{binaries, until};

/// A `copilot-relay` that ends with the home.
pub struct Relay {
    child: Child,
    address: SocketAddr,
    url: String,
    data: PathBuf,
}

impl Relay {
    /// One that is reached where it listens.
    pub fn start(home: &Home) -> Self {
        Self::spawn(home, free_address(), None, &[])
    }

    /// One with a certificate for a name that leads nowhere, as behind a proxy.
    pub fn over_tls(home: &Home, authority: &Authority, name: &str) -> Self {
        let public = format!("https://{name}");
        Self::with_certificate(home, authority, name, free_address(), public)
    }

    /// One with a certificate for this machine itself.
    pub fn over_tls_here(home: &Home, authority: &Authority) -> Self {
        let address = free_address();
        let public = format!("https://localhost:{}", address.port());
        Self::with_certificate(home, authority, "localhost", address, public)
    }

    fn with_certificate(
        home: &Home,
        authority: &Authority,
        name: &str,
        address: SocketAddr,
        public: String,
    ) -> Self {
        let (certificate, key) = authority.certify(name);
        let files = [("relay.crt", certificate), ("relay.key", key)].map(|(file, content)| {
            let file = home.root().join(file);
            std::fs::write(&file, content).expect("a file");
            file.display().to_string()
        });
        let arguments = ["--tls-cert", &files[0], "--tls-key", &files[1]];
        Self::spawn(home, address, Some(public), &arguments)
    }

    /// One that is known by the address of somebody who stands before it.
    pub fn behind(home: &Home, hostile: &HostileRelay) -> Self {
        let relay = Self::spawn(home, free_address(), Some(hostile.url()), &[]);
        hostile.pass_on_to(relay.address);
        relay
    }

    /// The same once more, after its end: same address, same folder.
    #[must_use]
    pub fn again(self, home: &Home) -> Self {
        let address = self.address;
        let url = self.url.clone();
        drop(self);
        let own = format!("http://{address}");
        Self::spawn(home, address, (url != own).then_some(url), &[])
    }

    fn spawn(home: &Home, address: SocketAddr, public: Option<String>, arguments: &[&str]) -> Self {
        let data = home.root().join("relay");
        let mut command = home.command(
            binaries::binary("copilot-relay"),
            &["serve", "--listen", &address.to_string(), "--data"],
        );
        command.arg(&data).args(arguments);
        if let Some(public) = &public {
            command.args(["--public-url", public]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("copilot-relay can be started");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the relay says where it listens");
        assert!(line.starts_with("listening on "), "{line:?}");
        Self {
            child,
            address,
            url: public.unwrap_or_else(|| format!("http://{address}")),
            data,
        }
    }

    /// Ends it; [`Relay::again`] starts it once more.
    pub fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// By which address machines and devices know it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a machine joins it with.
    pub fn enrolment_token(&self) -> String {
        std::fs::read_to_string(self.data.join("enrolment-token"))
            .expect("the relay made its token")
            .trim()
            .to_owned()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Free at this moment. The system gives none of these ports to a connection, and another test looks
/// elsewhere.
pub fn free_address() -> SocketAddr {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(16);
    let all = std::iter::repeat_with(|| ASKED.fetch_add(1, Ordering::Relaxed));
    all.take(PORTS as usize)
        .map(|asked| 10_000 + first.wrapping_add(asked) % PORTS)
        .filter(|port| *port != REFUSED)
        .filter_map(|port| u16::try_from(port).ok())
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}

/// How many ports from 10,000 on are tried.
const PORTS: u32 = 20_000;
/// Browsers go to no server on this one of them.
const REFUSED: u32 = 10_080;

/// A person at the machine.
pub struct Remote<'a> {
    home: &'a Home,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Remote<'a> {
    /// Of this home, whose daemon runs.
    pub fn of(home: &'a Home) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Self { home, runtime }
    }

    /// Joins a relay.
    pub fn join(&self, relay: &Relay) {
        let reply = self.ask(ControlRequest::JoinRelay(JoinRelay {
            relay: relay.url().to_owned(),
            enrolment_token: Secret(relay.enrolment_token()),
        }));
        assert_eq!(reply, ControlReply::Done);
    }

    /// Asks the daemon.
    pub fn ask(&self, request: ControlRequest) -> ControlReply {
        self.runtime.block_on(async {
            let (mut reader, mut writer) = ipc_proto::client::connect(&self.home.socket(), "tests")
                .await
                .expect("the daemon answers")
                .split();
            writer
                .send(&Message::ControlRequest { id: 1, request })
                .await
                .expect("the daemon reads");
            loop {
                match reader.next().await.expect("the daemon speaks") {
                    Some(Message::ControlReply { reply, .. }) => return reply,
                    Some(_) => {}
                    None => panic!("the daemon closed the connection"),
                }
            }
        })
    }

    /// How remote access is.
    pub fn status(&self) -> RemoteStatus {
        match self.ask(ControlRequest::RemoteStatus) {
            ControlReply::Remote(status) => status,
            other => panic!("no status but {other:?}"),
        }
    }

    /// The paired devices.
    pub fn devices(&self) -> Vec<PairedDevice> {
        match self.ask(ControlRequest::ListDevices) {
            ControlReply::Devices(devices) => devices,
            other => panic!("no devices but {other:?}"),
        }
    }

    /// Trusts a device no more.
    pub fn revoke(&self, device: &Device) {
        let reply = self.ask(ControlRequest::RevokeDevice {
            device: device.id().to_string(),
        });
        assert_eq!(reply, ControlReply::Done);
    }

    /// Makes a pairing link: its id, and the link.
    pub fn begin_pairing(&self, session: Option<&str>) -> (String, String) {
        match self.ask(ControlRequest::BeginPairing {
            session: session.map(str::to_owned),
        }) {
            ControlReply::PairingBegun(begun) => (begun.pairing, begun.link.0),
            other => panic!("no pairing but {other:?}"),
        }
    }

    /// Waits until a device shows its code; what it calls itself.
    pub fn wait_for_device(&self, pairing: &str) -> String {
        let mut known = None;
        until("a device that shows its code", || {
            let reply = self.ask(ControlRequest::AwaitPairing(AwaitPairing {
                pairing: pairing.to_owned(),
                known: known.clone(),
            }));
            match reply {
                ControlReply::Pairing(PairingProgress::Waiting { name }) => Some(name),
                ControlReply::Pairing(progress) => {
                    known = Some(progress);
                    None
                }
                other => panic!("no progress but {other:?}"),
            }
        })
    }

    /// Types a code.
    pub fn type_code(&self, pairing: &str, code: &str) -> ControlReply {
        self.ask(ControlRequest::TypeCode(TypeCode {
            pairing: pairing.to_owned(),
            code: Secret(code.to_owned()),
        }))
    }

    /// Pairs a device, from the link to the code that is typed.
    pub fn pair(&self, name: &str) -> Device {
        let (pairing, link) = self.begin_pairing(None);
        let folder = self.home.root().join(name);
        let device = Pairing::begin(&link, name, &folder).expect("the link leads to the machine");
        assert_eq!(self.wait_for_device(&pairing), name);
        let reply = self.type_code(&pairing, &device.code());
        assert!(
            matches!(&reply, ControlReply::Pairing(PairingProgress::Paired { name: kept, .. }) if kept == name),
            "{reply:?}"
        );
        device.finish().expect("the device is paired").0
    }
}
