//! How the link to the relay is. `link` writes it, sessions show it.

use serde_json::{Value, json};
use tokio::sync::watch;

/// What the link does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing is to be reached, so nothing is dialled.
    #[default]
    Off,
    /// For the first time since it is wanted.
    Connecting,
    /// Devices can come.
    Connected,
    /// It was connected, or should be, and is not.
    Reconnecting,
}

impl LinkState {
    /// The word in states and listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
        }
    }
}

/// The link, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// What it does.
    pub state: LinkState,
    /// Since when, RFC 3339; empty before anything happened.
    pub since: String,
    /// Why it is not connected, in words.
    pub why: Option<String>,
    /// The relay's address as people and devices use it.
    pub relay: Option<String>,
    /// This machine's id towards relays and devices.
    pub machine: Option<String>,
    /// Why no session can be reached at all, and what to do about it.
    pub no_relay: Option<String>,
}

/// Where the status is kept.
#[derive(Debug, Default)]
pub struct Link {
    status: watch::Sender<LinkStatus>,
}

impl Link {
    /// As it is now.
    pub fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    /// Changes it; who watches is told only when it is different.
    pub fn set(&self, change: impl FnOnce(&mut LinkStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    /// To be told when it changes.
    pub fn watch(&self) -> watch::Receiver<LinkStatus> {
        self.status.subscribe()
    }
}

impl LinkStatus {
    /// What it does from now on, and why where that is a failure. A link that is being made again
    /// is so since it was lost.
    pub fn become_state(&mut self, state: LinkState, why: Option<String>) {
        if self.state != state {
            self.since = format!("{:.0}", jiff::Timestamp::now());
        }
        self.state = state;
        self.why = why;
    }

    /// What it does while it is being made.
    #[must_use]
    pub fn dialing(&self) -> LinkState {
        match self.state {
            LinkState::Off => LinkState::Connecting,
            LinkState::Connected => LinkState::Reconnecting,
            same => same,
        }
    }

    /// That the relay cannot be reached now, since when and why; nothing unless that was tried.
    pub fn lost(&self) -> Option<String> {
        if self.state != LinkState::Reconnecting {
            return None;
        }
        let relay = self.relay.as_deref().unwrap_or("of this machine");
        let why = self.why.as_deref().unwrap_or("it does not answer");
        // Most reasons begin with the address.
        let why = why
            .strip_prefix(&format!("the relay {relay} cannot be reached: "))
            .unwrap_or(why);
        let since = &self.since;
        Some(format!(
            "the relay {relay} cannot be reached now: reconnecting since {since} because {why}"
        ))
    }

    /// The link that opens a session on a paired device, once it leads somewhere. No secret.
    pub fn link_to(&self, session: &str) -> Option<String> {
        let (relay, machine) = (self.relay.as_ref()?, self.machine.as_ref()?);
        let relay = relay.trim_end_matches('/');
        Some(format!("{relay}/#m={machine}&s={session}"))
    }

    /// What a session's `_meta` says about the link.
    pub fn for_session(&self, session: &str) -> Value {
        let link = self.link_to(session);
        let mut shown = json!({"on": true, "state": self.state.name()});
        let optional = [
            ("since", Some(&self.since).filter(|since| !since.is_empty())),
            ("why", self.why.as_ref()),
            ("relay", self.relay.as_ref()),
            ("link", link.as_ref()),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                shown[key] = json!(value);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_shows_its_own_link() {
        let mut status = LinkStatus::default();
        assert_eq!(status.for_session("s"), json!({"on": true, "state": "off"}));
        status.state = LinkState::Reconnecting;
        status.since = "2030-01-02T03:04:05Z".into();
        status.why = Some("the relay does not answer".into());
        status.relay = Some("https://relay.example/".into());
        status.machine = Some("00ff".into());
        assert_eq!(
            status.for_session("s"),
            json!({"on": true, "state": "reconnecting", "since": "2030-01-02T03:04:05Z",
                "why": "the relay does not answer", "relay": "https://relay.example/",
                "link": "https://relay.example/#m=00ff&s=s"})
        );
    }

    #[test]
    fn a_relay_that_cannot_be_reached_is_said_with_since_when_and_why() {
        let mut status = LinkStatus {
            since: "2030-01-02T03:04:05Z".into(),
            relay: Some("https://relay.example".into()),
            why: Some("the relay https://relay.example cannot be reached: it is away".into()),
            ..LinkStatus::default()
        };
        for state in [LinkState::Off, LinkState::Connecting, LinkState::Connected] {
            status.state = state;
            assert_eq!(status.lost(), None);
        }
        status.state = LinkState::Reconnecting;
        let words = "the relay https://relay.example cannot be reached now: \
                     reconnecting since 2030-01-02T03:04:05Z because it is away";
        assert_eq!(status.lost().as_deref(), Some(words));
        status.why = Some("this machine slept".into());
        let lost = status.lost().unwrap();
        assert!(lost.ends_with("because this machine slept"), "{lost}");
    }
}
