//! What every request and every socket of one relay shares.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::accounts::Accounts;
use crate::bucket::Buckets;
use crate::clock::Clock;
use crate::http::origin::Origins;
use crate::limits::Limits;
use crate::link::Polls;
use crate::metrics::{Metrics, Present};
use crate::places::Places;
use crate::store::Store;
use crate::switchboard::Switchboard;

/// Addresses whose rate of asking for secrets is remembered.
const REMEMBERED_ADDRESSES: usize = 65_536;

/// How far along a relay is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It takes nobody new and waits for those who are here to leave.
    Draining,
    /// It ends.
    Ending,
}

/// One relay.
pub struct Relay {
    /// What it remembers.
    pub store: Arc<dyn Store>,
    /// Whose machines they are.
    pub accounts: Arc<dyn Accounts>,
    /// Who is connected.
    pub switchboard: Arc<dyn Switchboard>,
    /// What it allows.
    pub limits: Limits,
    /// Its time.
    pub clock: Clock,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Where it is reached.
    pub origins: Origins,
    /// Whether it is a machine's own, which joins again without the token that it may have lost: whoever can
    /// read the enrolment token there can read the machine's key as well.
    pub is_own: bool,
    /// How far along it is.
    pub phase: watch::Sender<Phase>,
    /// Machines without websockets.
    pub polls: Polls,
    /// Sockets and long polls, to wait for at the end.
    pub links: TaskTracker,
    /// Connections at this moment.
    pub places: Arc<Places>,
    secrets: Mutex<Buckets<IpAddr>>,
}

impl Relay {
    /// Puts one together.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        accounts: Arc<dyn Accounts>,
        switchboard: Arc<dyn Switchboard>,
        metrics: Arc<Metrics>,
        limits: Limits,
        clock: Clock,
        origins: Origins,
    ) -> Self {
        Self {
            secrets: Mutex::new(Buckets::new(
                limits.secrets_per_address,
                REMEMBERED_ADDRESSES,
            )),
            places: Places::new(limits.connections, limits.connections_per_address),
            store,
            accounts,
            switchboard,
            limits,
            clock,
            metrics,
            origins,
            is_own: false,
            phase: watch::Sender::new(Phase::Serving),
            polls: Polls::default(),
            links: TaskTracker::new(),
        }
    }

    /// Whether it takes anybody new.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
    }

    /// Waits until the relay ends.
    pub async fn ending(&self) {
        // The sender lives as long as the relay.
        let _ = self
            .phase
            .subscribe()
            .wait_for(|phase| *phase == Phase::Ending)
            .await;
    }

    /// Counts one request for a secret from this address.
    ///
    /// # Errors
    /// How long the address has to wait.
    pub fn ask_for_secret(&self, address: IpAddr) -> Result<(), Duration> {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(network_of(address), self.clock.now())
    }

    /// What there is.
    #[must_use]
    pub fn present(&self) -> Present {
        Present {
            connections: self.places.taken() as u64,
            ..self.switchboard.present()
        }
    }
}

/// What stands for whoever is at an address: in IPv6 the network of 64 bits, for anybody has all of one.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(network_of(address), network.parse::<IpAddr>().unwrap());
        }
    }
}
