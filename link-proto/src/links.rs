//! The links that a person opens, and the address of the relay they begin with.
//!
//! Everything after `#` stays in the browser. Must never put a pairing secret into an error or `Debug`, nor
//! take a relay's address over which a browser gives a page no keys.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::ids::{MachineId, PairingId};
use crate::keys::{PairingSecret, PublicKey};
use crate::text;

/// How long a pairing link works, in milliseconds.
pub const PAIRING_LIFETIME_MS: u64 = 600_000;
/// How many handshakes and how many codes a pairing link allows.
pub const PAIRING_TRIES: u8 = 3;

const PAIRING_VERSION: u8 = 1;
const PAIRING_BYTES: usize = 1 + 16 + 32 + 16 + 32;

/// Why an address is not a relay's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlError {
    /// Not an http(s) URL at all.
    #[error("a relay's address looks like https://relay.example")]
    NotAnAddress,
    /// `http` to something else than this machine.
    #[error(
        "browsers give a page its keys only over HTTPS, so plain HTTP works on this machine alone. \
         To reach {0} from a phone, give the relay a certificate (its own, by ACME, or a reverse proxy's), \
         use your tailnet's HTTPS name, or a tunnel"
    )]
    PlainHttp(String),
    /// A user, a path, a query or a fragment.
    #[error(
        "a relay's address is only https://name or https://name:port, without anything after it"
    )]
    MoreThanOrigin,
}

/// The address of a relay: an origin, `https`, or `http` on loopback.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayUrl(Url);

impl RelayUrl {
    /// The origin, without a slash at its end.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// An address under the origin; `path` begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// The same for a websocket: `wss`, or `ws` on loopback.
    #[must_use]
    pub fn join_websocket(&self, path: &str) -> String {
        format!("ws{}", self.join(path).trim_start_matches("http"))
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it is an address of this machine itself, with or without encryption.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.0.host().is_some_and(|host| is_loopback(&host))
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(address: &str) -> Result<Self, RelayUrlError> {
        let url = Url::parse(address.trim()).map_err(|_| RelayUrlError::NotAnAddress)?;
        let host = match (url.scheme(), url.host()) {
            ("http" | "https", Some(host)) => host,
            _ => return Err(RelayUrlError::NotAnAddress),
        };
        if !url.username().is_empty()
            || url.password().is_some()
            || url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(RelayUrlError::MoreThanOrigin);
        }
        if url.scheme() == "http" && !is_loopback(&host) {
            return Err(RelayUrlError::PlainHttp(host.to_string()));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayUrl({self})")
    }
}

/// What browsers take for this machine, and so for a secure context.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

/// What a pairing link holds beside the relay's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingOffer {
    /// The machine that pairs.
    pub machine_id: MachineId,
    /// Its key, which the device trusts from then on.
    pub machine_key: PublicKey,
    /// The pairing's name towards the relay.
    pub pairing_id: PairingId,
    /// What proves to the machine that the device has the link.
    pub secret: PairingSecret,
    /// The session it was made for, where the device goes next.
    pub session: Option<Uuid>,
}

impl PairingOffer {
    /// The offer as it stands in a link.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut blob = Zeroizing::new(Vec::with_capacity(PAIRING_BYTES + 16));
        blob.push(PAIRING_VERSION);
        blob.extend(self.machine_id.0);
        blob.extend(self.machine_key.0);
        blob.extend(self.pairing_id.0);
        blob.extend(self.secret.as_bytes());
        if let Some(session) = self.session {
            blob.extend(session.as_bytes());
        }
        Zeroizing::new(text::base64url(&blob))
    }
}

impl FromStr for PairingOffer {
    type Err = LinkError;

    fn from_str(blob: &str) -> Result<Self, LinkError> {
        let blob = Zeroizing::new(text::unbase64url(blob).ok_or(LinkError::Damaged)?);
        match blob.first() {
            None => return Err(LinkError::Damaged),
            Some(&PAIRING_VERSION) => {}
            Some(_) => return Err(LinkError::Newer),
        }
        let mut rest = &blob[1..];
        let offer = Self {
            machine_id: MachineId(take(&mut rest)?),
            machine_key: PublicKey(take(&mut rest)?),
            pairing_id: PairingId(take(&mut rest)?),
            secret: PairingSecret::from_bytes(*Zeroizing::new(take(&mut rest)?)),
            session: match rest.len() {
                0 => None,
                16 => Some(Uuid::from_bytes(take(&mut rest)?)),
                _ => return Err(LinkError::Damaged),
            },
        };
        if offer.machine_key.is_degenerate() {
            return Err(LinkError::Damaged);
        }
        Ok(offer)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], LinkError> {
    let (bytes, after) = rest.split_first_chunk::<N>().ok_or(LinkError::Damaged)?;
    *rest = after;
    Ok(*bytes)
}

/// Why a text is not a link of ours. Says nothing of the link, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It begins with something else than a relay's address.
    #[error(transparent)]
    Relay(#[from] RelayUrlError),
    /// Neither a session link nor a pairing link.
    #[error("this is neither a link to a session nor a pairing link")]
    NotALink,
    /// Cut off or changed on its way.
    #[error(
        "this link is incomplete or damaged; copy all of it, or make a new one with `copilot devices pair`"
    )]
    Damaged,
    /// A version that this program does not know.
    #[error("this link was made by a newer version; update this program to use it")]
    Newer,
}

/// A link that a person opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// To a session; holds no secret and opens only on a paired device.
    Session {
        /// The relay.
        relay: RelayUrl,
        /// The machine it runs on.
        machine_id: MachineId,
        /// The session.
        session: Uuid,
    },
    /// To pair a device, once.
    Pairing {
        /// The relay.
        relay: RelayUrl,
        /// What to pair with.
        offer: PairingOffer,
    },
}

impl Link {
    /// The link as text; erased when dropped, because a pairing link holds a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Session {
                relay,
                machine_id,
                session,
            } => format!("{relay}/#m={machine_id}&s={session}"),
            Self::Pairing { relay, offer } => format!("{relay}/#pair={}", *offer.to_text()),
        })
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(link: &str) -> Result<Self, LinkError> {
        let (relay, fragment) = link.trim().split_once('#').ok_or(LinkError::NotALink)?;
        let relay = relay.parse()?;
        if let Some(blob) = fragment.strip_prefix("pair=") {
            return Ok(Self::Pairing {
                relay,
                offer: blob.parse()?,
            });
        }
        let (machine, session) = fragment
            .strip_prefix("m=")
            .and_then(|rest| rest.split_once("&s="))
            .ok_or(LinkError::NotALink)?;
        Ok(Self::Session {
            relay,
            machine_id: machine.parse().map_err(|_| LinkError::Damaged)?,
            session: session.parse().map_err(|_| LinkError::Damaged)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SESSION: Uuid = Uuid::from_bytes([0x55; 16]);

    fn offer(session: Option<Uuid>) -> PairingOffer {
        PairingOffer {
            machine_id: MachineId([1; 16]),
            machine_key: PublicKey([2; 32]),
            pairing_id: PairingId([3; 16]),
            secret: PairingSecret::from_bytes([4; 32]),
            session,
        }
    }

    #[test]
    fn a_relay_is_an_origin_that_gives_a_page_its_keys() {
        for (address, origin, socket) in [
            (
                "https://relay.example",
                "https://relay.example",
                "wss://relay.example/x",
            ),
            (
                "https://Relay.Example:443/",
                "https://relay.example",
                "wss://relay.example/x",
            ),
            (
                "https://10.0.0.7:8443",
                "https://10.0.0.7:8443",
                "wss://10.0.0.7:8443/x",
            ),
            (
                "http://localhost:7777",
                "http://localhost:7777",
                "ws://localhost:7777/x",
            ),
            (
                "http://127.0.0.1:80/",
                "http://127.0.0.1",
                "ws://127.0.0.1/x",
            ),
            (
                "http://[::1]:7777",
                "http://[::1]:7777",
                "ws://[::1]:7777/x",
            ),
            (
                "https://relay.localhost:8443",
                "https://relay.localhost:8443",
                "wss://relay.localhost:8443/x",
            ),
        ] {
            let relay: RelayUrl = address.parse().unwrap();
            assert_eq!(relay.origin(), origin);
            assert_eq!(relay.join("/x"), format!("{origin}/x"));
            assert_eq!(relay.join_websocket("/x"), socket);
            assert_eq!(relay.is_https(), origin.starts_with("https"));
            let is_here = ["localhost", "127.0.0.1", "[::1]"].map(|here| origin.contains(here));
            assert_eq!(relay.is_here(), is_here.contains(&true));
        }
        for address in [
            "",
            "relay.example",
            "ftp://relay.example",
            "https://",
            "ws://127.0.0.1",
        ] {
            assert_eq!(
                address.parse::<RelayUrl>(),
                Err(RelayUrlError::NotAnAddress),
                "{address}"
            );
        }
        for address in [
            "https://relay.example/sub",
            "https://me@relay.example",
            "https://:pw@relay.example",
            "https://relay.example/?a",
            "https://relay.example/#",
        ] {
            assert_eq!(
                address.parse::<RelayUrl>(),
                Err(RelayUrlError::MoreThanOrigin),
                "{address}"
            );
        }
    }

    #[test]
    fn plain_http_on_a_network_is_refused_with_the_choices() {
        for address in [
            "http://192.168.1.7:7777",
            "http://relay.example",
            "http://localhost.example",
            "http://[fe80::1]",
            "http://0.0.0.0:7777",
        ] {
            let error = address.parse::<RelayUrl>().unwrap_err();
            assert!(matches!(error, RelayUrlError::PlainHttp(_)), "{address}");
            let words = error.to_string();
            for choice in ["certificate", "ACME", "reverse proxy", "tailnet", "tunnel"] {
                assert!(words.contains(choice), "{words}");
            }
        }
    }

    #[test]
    fn links_are_frozen() {
        let relay: RelayUrl = "https://relay.example".parse().unwrap();
        for (link, text) in [
            (
                Link::Session {
                    relay: relay.clone(),
                    machine_id: MachineId([1; 16]),
                    session: SESSION,
                },
                "https://relay.example/#m=01010101010101010101010101010101&s=55555555-5555-5555-5555-555555555555",
            ),
            (
                Link::Pairing {
                    relay: relay.clone(),
                    offer: offer(None),
                },
                "https://relay.example/#pair=AQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgMDAwMDAwMDAwMDAwMDAwMEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBA",
            ),
            (
                Link::Pairing {
                    relay,
                    offer: offer(Some(SESSION)),
                },
                "https://relay.example/#pair=AQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgMDAwMDAwMDAwMDAwMDAwMEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBFVVVVVVVVVVVVVVVVVVVVU",
            ),
        ] {
            assert_eq!(*link.to_text(), text);
            assert_eq!(text.parse::<Link>(), Ok(link));
        }
    }

    #[test]
    fn what_is_wrong_with_a_link_is_said_without_the_link() {
        let blob = offer(None).to_text();
        for (link, error) in [
            ("https://relay.example/".to_owned(), LinkError::NotALink),
            (
                "https://relay.example/#about".to_owned(),
                LinkError::NotALink,
            ),
            (
                "https://relay.example/#m=01&s=02".to_owned(),
                LinkError::Damaged,
            ),
            (
                "https://relay.example/#pair=".to_owned(),
                LinkError::Damaged,
            ),
            (
                format!("https://relay.example/#pair={}", &blob[..60]),
                LinkError::Damaged,
            ),
            (
                format!("https://relay.example/#pair={}AAAA", *blob),
                LinkError::Damaged,
            ),
            (
                format!("https://relay.example/#pair=Ag{}", &blob[2..]),
                LinkError::Newer,
            ),
            (
                format!("http://10.0.0.7/#pair={}", *blob),
                LinkError::Relay(RelayUrlError::PlainHttp("10.0.0.7".to_owned())),
            ),
        ] {
            assert_eq!(link.parse::<Link>(), Err(error), "{link}");
        }
        assert!(!format!("{:?}", offer(None)).contains("4, 4"));
    }

    #[test]
    fn a_machine_key_that_agrees_with_everybody_is_refused() {
        let mut without_key = offer(None);
        without_key.machine_key = PublicKey([0; 32]);
        assert_eq!(
            without_key.to_text().parse::<PairingOffer>(),
            Err(LinkError::Damaged)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_a_link_or_an_error(text in ".{0,200}", blob in proptest::collection::vec(any::<u8>(), 0..130)) {
            let _ = text.parse::<Link>();
            let _ = format!("https://r.example/#{text}").parse::<Link>();
            let _ = format!("https://r.example/#pair={}", text::base64url(&blob)).parse::<Link>();
        }
    }
}
