//! What a URL addresses and what a `url(…)` rule covers: scheme, host and port, nothing else.
//! Never connects and never looks a name up.

use std::fmt;

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

    /// Something a rule may allow at all: plain web, without a user in it.
    pub(super) fn is_plain_web(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && !self.has_userinfo
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
