//! Where a relay is reached: the names by which requests may call it, and the pages that may call it at all.
//!
//! A relay on loopback answers to every name of loopback, one that has a public URL to that one as well. All
//! other names are refused, so that a page that lets its own name resolve to the relay reaches nothing.

use std::net::SocketAddr;

use url::{Host, Url};

/// Why a URL cannot be a relay's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Something more or less than scheme, host and port.
    #[error("`{0}` is not the URL of a relay; it looks like https://relay.example.org")]
    NotAnOrigin(String),
    /// Plain HTTP somewhere else than on loopback.
    #[error(
        "plain HTTP is for this machine only: browsers give a page its keys and its offline cache only over \
         HTTPS. Give the relay a certificate (--tls-cert and --tls-key), let it get one (--acme), put a reverse proxy, \
         a tunnel or a tailnet's HTTPS in front of it and name its address with --public-url https://…, or \
         listen on 127.0.0.1. docs/self-hosting.md shows each"
    )]
    Plain,
    /// Nothing says by which name it is reached.
    #[error(
        "the relay listens on all addresses of this machine; say by which one it is reached: \
         --public-url https://relay.example.org"
    )]
    NoName,
}

/// The names of one relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    public: String,
    secure: bool,
    /// `scheme://authority` of each, the public one first.
    all: Vec<String>,
}

impl Origins {
    /// Of a relay that listens on `listen`, with TLS of its own or not, and is known by `public_url`.
    ///
    /// # Errors
    /// When it could not be reached safely.
    pub fn new(
        listen: SocketAddr,
        tls: bool,
        public_url: Option<&Url>,
    ) -> Result<Self, OriginError> {
        let own_scheme = if tls { "https" } else { "http" };
        let loopback = listen.ip().is_loopback();
        let public = match public_url {
            Some(url) => origin_of(url)?,
            None if listen.ip().is_unspecified() => return Err(OriginError::NoName),
            None => origin(own_scheme, &listen.ip().to_string(), listen.port()),
        };
        let secure = public.starts_with("https://");
        let public_is_loopback = match public_url {
            Some(url) => is_loopback(url),
            None => loopback,
        };
        if !(secure || loopback && public_is_loopback) {
            return Err(OriginError::Plain);
        }
        let mut all = vec![public.clone()];
        if loopback && public_is_loopback {
            for host in ["127.0.0.1", "localhost", "::1"] {
                let name = origin(own_scheme, host, listen.port());
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
        Ok(Self {
            public,
            secure,
            all,
        })
    }

    /// The URL to give to people, without a slash at the end.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Whether browsers reach it over HTTPS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The origin that a request with this `Host` is addressed to, when it is the relay's.
    #[must_use]
    pub fn addressed(&self, host: &str) -> Option<&str> {
        self.all
            .iter()
            .find(|origin| authority(origin).is_some_and(|own| same_authority(own, host, origin)))
            .map(String::as_str)
    }
}

fn origin_of(url: &Url) -> Result<String, OriginError> {
    let refused = || OriginError::NotAnOrigin(url.to_string());
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    if !plain {
        return Err(refused());
    }
    let host = url.host_str().ok_or_else(refused)?;
    let port = url.port_or_known_default().ok_or_else(refused)?;
    Ok(origin(url.scheme(), host, port))
}

/// As browsers write it: no port where it is the scheme's own.
fn origin(scheme: &str, host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    if default_port(scheme) == Some(port) {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

/// A client may name the port that is the scheme's own.
fn same_authority(own: &str, host: &str, origin: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let default = match origin.split_once("://") {
        Some(("https", _)) => ":443",
        _ => ":80",
    };
    host == own || host.strip_suffix(default) == Some(own)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listen: &str, tls: bool, public: Option<&str>) -> Result<Origins, OriginError> {
        let public = public.map(|url| url.parse().unwrap());
        Origins::new(listen.parse().unwrap(), tls, public.as_ref())
    }

    #[test]
    fn where_a_relay_can_be_reached() {
        let plain = Err(OriginError::Plain);
        let public = |origin: &str| Ok(origin.to_owned());
        let table = [
            // Listens on, has TLS, is known as, and what follows.
            (
                "127.0.0.1:8080",
                false,
                None,
                public("http://127.0.0.1:8080"),
            ),
            ("[::1]:8080", false, None, public("http://[::1]:8080")),
            (
                "127.0.0.1:80",
                false,
                Some("http://localhost"),
                public("http://localhost"),
            ),
            ("192.0.2.7:8080", false, None, plain.clone()),
            (
                "0.0.0.0:8080",
                false,
                Some("http://192.0.2.7:8080"),
                plain.clone(),
            ),
            ("127.0.0.1:8080", false, Some("http://relay.lan"), plain),
            ("192.0.2.7:443", true, None, public("https://192.0.2.7")),
            ("0.0.0.0:443", true, None, Err(OriginError::NoName)),
            (
                "0.0.0.0:443",
                true,
                Some("https://Relay.Example"),
                public("https://relay.example"),
            ),
            // TLS ends in front of it.
            (
                "127.0.0.1:8080",
                false,
                Some("https://relay.example:8443/"),
                public("https://relay.example:8443"),
            ),
            (
                "10.0.0.2:8080",
                false,
                Some("https://relay.example"),
                public("https://relay.example"),
            ),
        ];
        for (listen, tls, url, expected) in table {
            let got = origins(listen, tls, url).map(|origins| origins.public().to_owned());
            assert_eq!(got, expected, "{listen} {tls} {url:?}");
        }
        for url in [
            "https://relay.example/path",
            "https://a@relay.example",
            "ftp://relay.example",
            "https://relay.example?x",
        ] {
            let got = origins("127.0.0.1:1", true, Some(url));
            assert!(matches!(got, Err(OriginError::NotAnOrigin(_))), "{url}");
        }
    }

    #[test]
    fn by_which_names_it_may_be_called() {
        let own = origins("127.0.0.1:8080", false, None).unwrap();
        for (host, origin) in [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("localhost:8080", Some("http://localhost:8080")),
            ("LOCALHOST:8080", Some("http://localhost:8080")),
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("localhost", None),
            ("localhost:8081", None),
            ("evil.example:8080", None),
            ("", None),
        ] {
            assert_eq!(own.addressed(host), origin, "{host}");
        }
        let public = origins("127.0.0.1:8080", false, Some("https://relay.example")).unwrap();
        assert!(public.is_secure() && !own.is_secure());
        for (host, known) in [
            ("relay.example", true),
            ("relay.example:443", true),
            ("relay.example:80", false),
            ("relay.example.evil", false),
            // Behind a proxy the names of loopback are nobody's to use.
            ("localhost:8080", false),
        ] {
            assert_eq!(public.addressed(host).is_some(), known, "{host}");
        }
    }
}
