//! The link to a relay, over which paired devices come: who this machine is, whom it trusts, and a
//! supervisor that keeps the link as it is wanted. A device is a client of `host` like any other;
//! what it may do is decided there.
//!
//! Nothing is dialled and no relay is started unless a session can be reached from elsewhere or a
//! pairing is open. Must never listen on a network, and never log a token, a secret or a code.

mod alarm;
mod api;
mod backoff;
mod channel;
mod connection;
pub mod devices;
mod earlier;
mod files;
mod identity;
mod network;
mod next;
mod outside;
mod own_relay;
pub mod pairing;
mod poll;
mod supervisor;
mod websocket;
mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use link_proto::ids::{DeviceId, PairingId};
use link_proto::keys::{PairingSecret, Token};
use link_proto::links::{self, PairingOffer, RelayUrl};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::audit::{Event, Record, Who};
use crate::host::Host;
use crate::remote::{LinkState, LinkStatus};
use api::{Access, RelayError};
use devices::{DeviceError, Devices, Paired};
use earlier::Earlier;
use identity::Machine;
use pairing::{Pairings, Progress, Typed, Verdict, Waiting};

pub use supervisor::run;

/// Handshakes of one device in one minute; more are refused.
const HANDSHAKES_A_MINUTE: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a pairing waits for the relay before it is said what is wrong.
const RELAY_PATIENCE: Duration = Duration::from_secs(30);
const LOGIN_VERSION: u32 = 1;

/// The relay of `copilot login`, as it is kept, frozen.
#[derive(Serialize, Deserialize)]
struct KeptLogin {
    version: u32,
    relay: String,
    token: Token,
}

/// See the module.
pub struct Link {
    host: Arc<Host>,
    machine: Machine,
    devices: Devices,
    pairings: Mutex<Pairings>,
    pairings_changed: watch::Sender<()>,
    login: watch::Sender<Option<Access>>,
    login_file: PathBuf,
    earlier: Earlier,
    own_relay: Option<own_relay::Home>,
    /// What talks to relays on this machine, and to others.
    clients: [OnceLock<reqwest::Client>; 2],
    /// Something speaks for looking whether the connection still lives.
    doubt: watch::Sender<()>,
    /// Handshakes of each device since the beginning of its minute.
    attempts: Mutex<HashMap<DeviceId, (Instant, u32)>>,
    tasks: TaskTracker,
}

/// A pairing that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Its id.
    pub id: PairingId,
    /// The link to open on the device. Holds the secret.
    pub link: zeroize::Zeroizing<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Reads what is kept. Nothing is dialled yet; see [`run`].
    ///
    /// # Errors
    /// When what is kept cannot be read, in words for people: nothing can be reached then.
    pub fn open(host: Arc<Host>) -> Result<Arc<Self>, String> {
        let folder = host.shared.paths.data_dir.join("link");
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let machine = Machine::open(&folder.join("machine.json")).map_err(|e| words(&e))?;
        let devices = Devices::open(folder.join("devices.json")).map_err(|e| words(&e))?;
        let login_file = folder.join("relay.json");
        let login = match files::read::<KeptLogin>(&login_file).map_err(|e| words(&e))? {
            Some(kept) if kept.version == LOGIN_VERSION => Some(Access {
                relay: kept.relay.parse().map_err(|e| words(&e))?,
                token: kept.token,
            }),
            Some(_) => {
                let path = login_file;
                return Err(files::FileError::NotUnderstood { path }.to_string());
            }
            None => None,
        };
        let own_relay = own_relay::program().map(|program| own_relay::Home {
            program,
            data: host.shared.paths.data_dir.join("relay"),
            file: folder.join("own-relay.json"),
        });
        Ok(Arc::new(Self {
            host,
            machine,
            devices,
            pairings: Mutex::default(),
            pairings_changed: watch::Sender::new(()),
            login: watch::Sender::new(login),
            login_file,
            earlier: Earlier::new(folder.join("earlier-relays.json")),
            own_relay,
            clients: Default::default(),
            doubt: watch::Sender::new(()),
            attempts: Mutex::default(),
            tasks: TaskTracker::new(),
        }))
    }

    /// The paired devices, and whether each is connected.
    pub fn devices(&self) -> Vec<(Paired, bool)> {
        let here = self.host.devices_here();
        let all = self.devices.all().into_iter();
        all.map(|d| {
            let connected = here.contains(&d.id.to_string());
            (d, connected)
        })
        .collect()
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// When there is no such device, or it cannot be kept.
    pub async fn rename(&self, device: &str, name: &str, by: Who) -> Result<(), DeviceError> {
        let id = device_id(device)?;
        let before = self.devices.find(id).map(|d| d.name);
        self.devices.rename(id, name)?;
        let renamed = Event::DeviceRenamed {
            device: id.to_string(),
            name: self.devices.find(id).map(|d| d.name).unwrap_or_default(),
            before: before.unwrap_or_default(),
        };
        self.record(None, by, renamed).await;
        Ok(())
    }

    /// Trusts a device no more, and cuts it off.
    ///
    /// # Errors
    /// When there is no such device, or it cannot be kept.
    pub async fn revoke(&self, device: &str, by: Who) -> Result<(), DeviceError> {
        let id = device_id(device)?;
        let name = self.devices.find(id).map(|d| d.name).unwrap_or_default();
        self.devices.revoke(id)?;
        tracing::info!(device = %id, "a device was revoked");
        let device = id.to_string();
        let revoked = Event::DeviceRevoked { device, name };
        self.record(None, by, revoked).await;
        Ok(())
    }

    /// Records something for good before anybody is told of it.
    async fn record(&self, session: Option<Uuid>, by: Who, event: Event) {
        let session = session.map(|id| id.to_string());
        let record = Record::now(session.as_deref(), by, event);
        self.host.shared.record_durably(&record).await;
    }

    /// Changes the pairings, and records which of them ended by it, and by whom.
    fn pairings<T>(&self, by: &Who, change: impl FnOnce(&mut Pairings, Instant) -> T) -> T {
        let (result, ended) = {
            let mut pairings = lock(&self.pairings);
            (change(&mut pairings, Instant::now()), pairings.take_ended())
        };
        for ended in ended {
            let by = match ended.is_by_itself() {
                true => Who::daemon(),
                false => by.clone(),
            };
            let session = ended.session.map(|id| id.to_string());
            let event = Event::PairingEnded {
                pairing: ended.id.to_string(),
                reason: ended.why.to_owned(),
            };
            let record = Record::now(session.as_deref(), by, event);
            self.host.shared.record(&record);
        }
        result
    }

    /// Makes a pairing link, for a session or for none, once the relay can be reached: a link that
    /// leads nowhere would only confuse.
    ///
    /// # Errors
    /// Why there is no link, in words for people.
    pub async fn begin_pairing(&self, session: Option<Uuid>, by: Who) -> Result<Begun, String> {
        let id = PairingId::generate().map_err(|e| e.to_string())?;
        let secret = PairingSecret::generate().map_err(|e| e.to_string())?;
        let pairing = id.to_string();
        self.record(session, by.clone(), Event::PairingBegun { pairing })
            .await;
        self.pairings(&by, |p, now| p.open(id, secret.clone(), session, now));
        self.pairings_changed.send_replace(());
        let relay = self.connected_relay().await;
        let relay = relay.inspect_err(|_| self.end_pairing(id, &by))?;
        self.relay_knows(id)
            .await
            .inspect_err(|_| self.end_pairing(id, &by))?;
        let offer = PairingOffer {
            machine_id: self.machine.id,
            machine_key: self.machine.key.public(),
            pairing_id: id,
            secret,
            session,
        };
        let link = links::Link::Pairing { relay, offer }.to_text();
        Ok(Begun { id, link })
    }

    /// Waits until the link is up: the relay's address.
    async fn connected_relay(&self) -> Result<RelayUrl, String> {
        let mut status = self.host.shared.link.watch();
        let settled = |s: &LinkStatus| s.state == LinkState::Connected || s.no_relay.is_some();
        let wait = tokio::time::timeout(RELAY_PATIENCE, status.wait_for(settled)).await;
        let now = match wait {
            Ok(Ok(status)) => status.clone(),
            _ => self.host.shared.link.status(),
        };
        match (now.state, now.relay, now.no_relay) {
            (LinkState::Connected, Some(relay), _) => relay.parse().map_err(|_| relay),
            (_, _, Some(why)) => Err(why),
            _ => Err(now
                .why
                .unwrap_or_else(|| "the relay does not answer".into())),
        }
    }

    /// Waits until the relay has heard of a pairing.
    async fn relay_knows(&self, id: PairingId) -> Result<(), String> {
        let mut changed = self.pairings_changed.subscribe();
        let known = changed.wait_for(|()| lock(&self.pairings).is_announced(id));
        match tokio::time::timeout(RELAY_PATIENCE, known).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("the relay does not answer".into()),
        }
    }

    /// The relay has heard of these pairings.
    fn pairings_announced(&self, ids: impl IntoIterator<Item = PairingId>) {
        for id in ids {
            lock(&self.pairings).announced(id);
        }
        self.pairings_changed.send_replace(());
    }

    /// Waits until a pairing is not as it was any more, at most `patience`; how it is then.
    pub async fn pairing_progress(
        &self,
        id: PairingId,
        known: Option<&Progress>,
        patience: Duration,
    ) -> Option<Progress> {
        let mut changed = self.pairings_changed.subscribe();
        let end = Instant::now() + patience;
        loop {
            changed.mark_unchanged();
            let now = self.pairings(&Who::daemon(), |p, now| p.progress(id, now));
            if now.is_none() || now.as_ref() != known {
                return now;
            }
            let wake = lock(&self.pairings).next_end().map_or(end, |e| e.min(end));
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(wake.into()) => {
                    if Instant::now() >= end {
                        return now;
                    }
                }
            }
        }
    }

    /// Somebody at the machine typed the code that a device shows.
    ///
    /// # Errors
    /// Why nothing was paired, in words for people; with how many codes may be typed yet.
    pub async fn type_code(
        &self,
        id: PairingId,
        code: &str,
        by: Who,
    ) -> Result<Paired, (String, Option<u8>)> {
        let typed = self.pairings(&by, |p, now| p.type_code(id, code, now));
        let session = lock(&self.pairings).session_of(id);
        let pairing = id.to_string();
        self.pairings_changed.send_replace(());
        let waiting = match typed {
            Typed::Right(waiting) => waiting,
            Typed::Wrong(left) => {
                let wrong = Event::PairingWrongCode {
                    pairing,
                    tries_left: left,
                };
                self.record(session, by, wrong).await;
                let tries = if left == 1 { "try is" } else { "tries are" };
                let words = format!("that is not the code; {left} {tries} left");
                return Err((words, Some(left)));
            }
            Typed::NobodyWaits => {
                return Err((
                    "no device shows a code yet; open the link on it first".into(),
                    None,
                ));
            }
            Typed::Ended(why) => return Err((why.into(), Some(0))),
        };
        let relay = self.relay_in_use();
        let device = self
            .devices
            .add(waiting.key, &waiting.name, relay.as_deref());
        let device = device.map_err(|error| (error.to_string(), None))?;
        let session = self.pairings(&by, |p, now| p.paired(id, &device, now));
        let paired = Event::DevicePaired {
            pairing,
            device: device.id.to_string(),
            name: device.name.clone(),
        };
        self.record(session, by, paired).await;
        self.pairings_changed.send_replace(());
        tracing::info!(device = %device.id, name = %device.name, "a device was paired");
        let paired = Verdict::Paired {
            device: device.clone(),
            session,
        };
        // When it went away it is paired all the same, and can be revoked.
        let _ = waiting.verdict.send(paired);
        Ok(device)
    }

    /// Ends a pairing.
    pub fn end_pairing(&self, id: PairingId, by: &Who) {
        self.pairings(by, |p, now| p.end(id, now));
        self.pairings_changed.send_replace(());
    }

    /// Joins a relay and uses it from now on.
    ///
    /// # Errors
    /// Why it is not used, in words for people.
    pub async fn log_in(&self, relay: &str, enrolment_token: &str, by: Who) -> Result<(), String> {
        let relay: RelayUrl = relay
            .parse()
            .map_err(|e: links::RelayUrlError| e.to_string())?;
        let token = enrolment_token.trim().parse();
        let token = token.map_err(|_| {
            "that is not an enrolment token; the relay's owner has it (`copilot-relay enrolment-token`)"
        })?;
        let (id, name) = (self.machine.id, &self.machine.info.name);
        let before = self.login.borrow().clone();
        let known = match &before {
            Some(before) if before.relay == relay => Some(before.token.clone()),
            _ => self.earlier.token(&relay).map_err(|e| e.to_string())?,
        };
        let joined = api::join(
            self.client(&relay)?,
            &relay,
            token,
            known.as_ref(),
            id,
            name,
        )
        .await;
        let token = joined.map_err(|e| e.to_string())?;
        if let Some(before) = before.filter(|before| before.relay != relay) {
            self.earlier.keep(&before).map_err(|e| e.to_string())?;
        }
        let kept = KeptLogin {
            version: LOGIN_VERSION,
            relay: relay.to_string(),
            token: token.clone(),
        };
        files::write(&self.login_file, &kept).map_err(|e| e.to_string())?;
        self.earlier.forget(&relay).map_err(|e| e.to_string())?;
        let joined = Event::RelayJoined {
            relay: relay.to_string(),
        };
        self.record(None, by, joined).await;
        self.login.send_replace(Some(Access { relay, token }));
        Ok(())
    }

    /// Leaves the relay of [`Link::log_in`]. `Ok(false)` when there was none. A relay that cannot
    /// be reached is left all the same, and told nothing.
    ///
    /// # Errors
    /// When it is still used, in words for people.
    pub async fn log_out(&self, by: Who) -> Result<bool, String> {
        let Some(access) = self.login.borrow().clone() else {
            return Ok(false);
        };
        // Until it is known that the relay has heard of it.
        self.earlier.keep(&access).map_err(|e| e.to_string())?;
        files::remove(&self.login_file).map_err(|e| e.to_string())?;
        self.login.send_replace(None);
        let left = Event::RelayLeft {
            relay: access.relay.to_string(),
        };
        self.record(None, by, left).await;
        match api::leave(self.client(&access.relay)?, &access).await {
            Ok(()) | Err(RelayError::Unauthorized { .. }) => {
                let forgotten = self.earlier.forget(&access.relay);
                forgotten.map_err(|e| e.to_string())?;
            }
            Err(error) => tracing::warn!(%error, "the relay was left without a word"),
        }
        Ok(true)
    }

    /// Whether the relay is this machine's own.
    pub fn uses_own_relay(&self) -> bool {
        self.login.borrow().is_none() && self.host.shared.settings().remote.relay.is_none()
    }

    /// This machine's id.
    pub fn machine_id(&self) -> String {
        self.machine.id.to_string()
    }

    /// This machine's name for itself.
    pub fn machine_name(&self) -> &str {
        &self.machine.info.name
    }

    fn client(&self, relay: &RelayUrl) -> Result<&reqwest::Client, String> {
        let kept = &self.clients[usize::from(!relay.is_here())];
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        let client = api::client(relay)?;
        Ok(kept.get_or_init(|| client))
    }

    /// Whether a device may begin one more handshake.
    fn may_try(&self, device: DeviceId) -> bool {
        let now = Instant::now();
        let mut attempts = lock(&self.attempts);
        attempts.retain(|_, (since, _)| now.saturating_duration_since(*since) < MINUTE);
        let (_, count) = attempts.entry(device).or_insert((now, 0));
        *count += 1;
        *count <= HANDSHAKES_A_MINUTE
    }

    fn knock(&self, id: PairingId) -> Result<PairingSecret, &'static str> {
        self.pairings(&Who::daemon(), |p, now| p.knock(id, now))
    }

    fn wait_for_code(&self, id: PairingId, waiting: Waiting) {
        self.pairings(&Who::daemon(), |p, now| p.wait(id, waiting, now));
        self.pairings_changed.send_replace(());
    }

    fn device_left(&self) {
        self.pairings_changed.send_replace(());
    }

    /// Until when pairings need the link, as far as is known now.
    fn pairings_need_link_until(&self) -> Option<Instant> {
        self.pairings(&Who::daemon(), Pairings::link_until)
    }

    fn open_pairings(&self) -> Vec<(PairingId, Duration)> {
        self.pairings(&Who::daemon(), Pairings::open_now)
    }
}

fn device_id(text: &str) -> Result<DeviceId, DeviceError> {
    text.parse()
        .map_err(|_| DeviceError::Unknown(text.to_owned()))
}
