//! The name under which this process is known to the others.

use ahp_types::commands::Implementation;
use ahp_types::common::JsonObject;

/// Who this client is: an id for reconnecting and a title for people.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Names this process towards the host, also after a reconnect.
    pub client_id: String,
    /// What others read when this client answers something.
    pub title: String,
}

impl Identity {
    /// An attached terminal, named after its device (`terminal pts/3`).
    pub fn terminal() -> Self {
        let tty = nix::unistd::ttyname(std::io::stdin()).ok().map(|path| {
            path.to_string_lossy()
                .trim_start_matches("/dev/")
                .to_owned()
        });
        Self::titled(match tty {
            Some(tty) => format!("terminal {tty}"),
            None => "terminal".to_owned(),
        })
    }

    /// A command, named as it is typed (`copilot answer`).
    pub fn command(name: &str) -> Self {
        Self::titled(format!("copilot {name}"))
    }

    fn titled(title: String) -> Self {
        Self {
            client_id: uuid::Uuid::new_v4().to_string(),
            title,
        }
    }

    /// How a `reconnect` says it.
    pub fn reconnect_meta(&self) -> JsonObject {
        JsonObject::from_iter([("copilot.clientTitle".to_owned(), self.title.clone().into())])
    }

    /// The same as AHP writes it.
    pub fn implementation(&self) -> Implementation {
        Implementation {
            name: "copilot".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            title: Some(self.title.clone()),
        }
    }
}
