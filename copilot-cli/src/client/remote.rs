//! What a session's state says about remote access. Pure.

use ahp_types::state::SessionState;
use serde_json::Value;

/// Remote access of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remote {
    /// `off`, `connecting`, `connected` or `reconnecting`.
    pub(crate) state: String,
    /// Since when, RFC 3339.
    pub(crate) since: Option<String>,
    /// Why it is not connected.
    pub(crate) why: Option<String>,
    /// The relay's address.
    pub(crate) relay: Option<String>,
    /// The session's own link, which holds no secret.
    pub(crate) link: Option<String>,
    /// How many devices look at the session.
    pub(crate) watching: u64,
}

impl Remote {
    /// Whether devices can come.
    pub(crate) fn is_connected(&self) -> bool {
        self.state == "connected"
    }
}

/// How remote access of the session is; nothing while it is off.
pub(crate) fn remote(session: &SessionState) -> Option<Remote> {
    let shown = session.meta.as_ref()?.get("copilot.remote")?;
    if shown["on"] != Value::Bool(true) {
        return None;
    }
    let text = |key: &str| shown[key].as_str().map(str::to_owned);
    Some(Remote {
        state: text("state").unwrap_or_default(),
        since: text("since"),
        why: text("why"),
        relay: text("relay"),
        link: text("link"),
        watching: shown["devicesWatching"].as_u64().unwrap_or(0),
    })
}

/// Why remote access was refused when the session asked for it by itself.
pub(crate) fn refusal(session: &SessionState) -> Option<&str> {
    let shown = session.meta.as_ref()?.get("copilot.remote")?;
    shown["refused"].as_str()
}

/// Why a link is not connected, without the relay's address where that was said already.
pub(crate) fn because<'a>(why: &'a str, relay: Option<&str>) -> &'a str {
    let relay = relay.unwrap_or_default();
    let begin = format!("the relay {relay} cannot be reached: ");
    why.strip_prefix(&begin).unwrap_or(why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{SESSION, envelope, mirror};

    fn session(meta: Value) -> SessionState {
        let mut mirror = mirror();
        let change = json!({"type": "session/metaChanged", "_meta": {"copilot.remote": meta}});
        mirror.apply(&envelope(SESSION, 11, change));
        mirror.session().cloned().unwrap()
    }

    #[test]
    fn it_is_there_while_it_is_on() {
        let on = json!({"on": true, "state": "connected", "link": "https://r/#m=1&s=2", "devicesWatching": 2});
        let shown = remote(&session(on)).unwrap();
        assert!(shown.is_connected());
        assert_eq!(shown.link.as_deref(), Some("https://r/#m=1&s=2"));
        assert_eq!(shown.watching, 2);
        assert_eq!(
            remote(&session(json!({"on": false, "refused": "no"}))),
            None
        );
        let refused = session(json!({"on": false, "refused": "no"}));
        assert_eq!(refusal(&refused), Some("no"));
        assert_eq!(remote(&session(json!("odd"))), None);
    }

    #[test]
    fn the_relay_is_named_once() {
        let why = "the relay https://r cannot be reached: it is away";
        assert_eq!(because(why, Some("https://r")), "it is away");
        assert_eq!(because(why, Some("https://other")), why);
        assert_eq!(because("this machine slept", None), "this machine slept");
    }
}
