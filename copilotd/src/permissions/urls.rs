//! What a URL addresses and what a `url(…)` rule covers: scheme, host and port, nothing else.
//! Never connects and never looks a name up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// What a request's URL addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// `user@host`: legal, and mostly there to deceive.
    pub(super) has_userinfo: bool,
}

impl Target {
    /// `None` when the text is not a URL that every program reads the same way.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // Programs disagree about these: some stop, some drop them, some take `\` for `/`.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return None;
        }
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else if begins_with_host(text) {
            format!("https://{text}")
        } else {
            return None;
        };
        let url = Url::parse(&with_scheme).ok()?;
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: tidy_host(url.host_str().filter(|host| !host.is_empty())?),
            port: url.port_or_known_default(),
            has_userinfo: !url.username().is_empty() || url.password().is_some(),
        })
    }

    /// Whether the text alone says that this is no address of the public internet.
    pub(super) fn is_private(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => is_private(address),
            Err(_) => is_private_name(bare),
        }
    }

    /// Something a rule may allow at all: plain web, without a user in it.
    pub(super) fn is_plain_web(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && !self.has_userinfo
    }
}

/// Names that never lead to the public internet, whoever resolves them.
fn is_private_name(name: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "localhost",
        "local",
        "internal",
        "intranet",
        "lan",
        "home.arpa",
        "localdomain",
    ];
    !name.contains('.')
        || ENDINGS.iter().any(|ending| {
            name.strip_suffix(ending)
                .is_some_and(|front| front.is_empty() || front.ends_with('.'))
        })
}

/// Whether an address is on this machine, in a private network, or otherwise not one of the
/// public internet.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        // Shared by providers (RFC 6598), protocol assignments, benchmarks, and what is reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Loopback, unspecified, and IPv4 in its mapped and compatible forms.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => s[5] == 0 || embedded(high, low),
        // IPv4 behind a translator (RFC 6052, and RFC 8215 for local use) and in 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, ..] => true,
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo hides its address; documentation.
        [0x2001, 0, ..] | [0x2001, 0xdb8, ..] => true,
        // Everything beyond 2000::/3 is local, multicast or not given out.
        [first, ..] => first & 0xe000 != 0x2000,
    }
}

/// `host`, `host/…`, `host:80/…`, as people write URLs.
fn begins_with_host(text: &str) -> bool {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.');
    !host.is_empty()
        && host.chars().all(is_host)
        && !port.is_empty()
        && port.chars().all(|c| c.is_ascii_digit())
}

fn tidy_host(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_lowercase()
}

/// The inside of `url(…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    scheme: Option<Scheme>,
    host: String,
    /// `*.host`: names below the host, not the host itself.
    below: bool,
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Pattern {
    /// The error completes a sentence that begins with the rule.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                (Some(Scheme::Https), rest)
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                (Some(Scheme::Http), rest)
            }
            Some(_) => return Err("names a scheme other than http or https"),
        };
        let (below, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.contains(['/', '?', '#']) {
            return Err("has a path, but rules cover whole hosts");
        }
        if rest.contains('@') {
            return Err("has a user name, but rules cover whole hosts");
        }
        if rest.contains('*') {
            return Err("has a `*` that is not the first part of the host");
        }
        // A colon inside brackets belongs to an IPv6 address.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port
                    .parse()
                    .map_err(|_| "has a port that is not a number")?;
                (host, Some(port))
            }
            _ => (rest, None),
        };
        if host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '%' || c == '\\') {
            return Err("has a host that is not a name or an address");
        }
        let host = Host::parse(host.strip_suffix('.').unwrap_or(host))
            .map_err(|_| "has a host that is not a name or an address")?;
        if below && !matches!(host, Host::Domain(_)) {
            return Err("has a `*.` before an address");
        }
        Ok(Self {
            scheme,
            host: tidy_host(&host.to_string()),
            below,
            port,
        })
    }

    /// The narrowest pattern that covers the target.
    pub(super) fn of(target: &Target) -> Option<Self> {
        let scheme = match target.scheme.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Self {
            scheme: (scheme != Scheme::Https).then_some(scheme),
            host: target.host.clone(),
            below: false,
            port: target.port.filter(|port| *port != scheme.default_port()),
        })
    }

    /// Scheme (https unless the pattern says so), host and port, and no user name.
    pub(super) fn allows(&self, target: &Target) -> bool {
        let scheme = self.scheme.unwrap_or(Scheme::Https);
        target.is_plain_web()
            && target.scheme == scheme.name()
            && self.covers_host(&target.host)
            && target.port == Some(self.port.unwrap_or(scheme.default_port()))
    }

    /// The host, and only what the pattern names besides.
    pub(super) fn denies(&self, target: &Target) -> bool {
        self.covers_host(&target.host)
            && self
                .scheme
                .is_none_or(|scheme| target.scheme == scheme.name())
            && self.port.is_none_or(|port| target.port == Some(port))
    }

    fn covers_host(&self, host: &str) -> bool {
        if self.below {
            host.strip_suffix(self.host.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
        } else {
            host == self.host
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.name())?;
        }
        if self.below {
            f.write_str("*.")?;
        }
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_public_internet_is_private() {
        let table = [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("0.0.0.0", true),
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("192.0.0.8", true),
            ("192.0.2.1", true),
            ("198.18.0.1", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("8.8.8.8", false),
            ("1.1.1.1", false),
            ("::", true),
            ("::1", true),
            ("::7f00:1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::7f00:1", true),
            ("64:ff9b::808:808", false),
            ("64:ff9b:1::808:808", true),
            ("2002:7f00:1::", true),
            ("2002:808:808::", false),
            ("2001:0:1::", true),
            ("2001:db8::1", true),
            ("fe80::1", true),
            ("fc00::1", true),
            ("fd12:3456::1", true),
            ("ff02::1", true),
            ("2606:4700:4700::1111", false),
        ];
        for (address, expected) in table {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn some_names_are_private_whoever_resolves_them() {
        let table = [
            ("http://localhost:3000/", true),
            ("http://app.localhost/", true),
            ("http://LOCALHOST./", true),
            ("http://printer.local/", true),
            ("http://metadata.google.internal/", true),
            ("http://intranet/", true),
            ("http://[::1]:80/", true),
            ("http://0x7f.1/", true),
            ("http://2130706433/", true),
            ("https://notlocalhost.example.com/", false),
            ("https://mylan.com/", false),
            ("https://example.com/", false),
        ];
        for (text, expected) in table {
            assert_eq!(
                Target::parse(text).unwrap().is_private(),
                expected,
                "{text}"
            );
        }
    }
}
