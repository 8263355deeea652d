//! Why a session may not be reached from elsewhere, in the words people know.

use std::path::{Path, PathBuf};

use super::github;
use crate::config::RemoteSettings;
use crate::host::Shared;

/// What a session that nobody attends gets.
pub const ONLY_INTERACTIVE: &str = "Remote access is only available in interactive sessions";

/// What speaks for or against it, once known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    /// Nobody attends the session.
    unattended: bool,
    /// The settings file of whoever manages this machine, when it says no.
    forbidden_by: Option<PathBuf>,
    /// The repository has a remote on GitHub.
    on_github: bool,
    /// There is a relay to go through, or none, and what to do about it.
    no_relay: Option<String>,
}

/// Why `folder`'s session may not be reached from elsewhere; `None` when it may.
pub async fn of(shared: &Shared, folder: &Path, unattended: bool) -> Option<String> {
    let settings = shared.settings().remote;
    let (managed, managed_file) = shared.managed();
    let facts = Facts {
        unattended,
        forbidden_by: managed.remote_forbidden.then(|| managed_file.to_owned()),
        on_github: !settings.require_github_repository()
            || github::is_on_github(folder, &settings.github_hosts).await,
        no_relay: shared.link.status().no_relay,
    };
    decide(&facts, &settings)
}

fn decide(facts: &Facts, settings: &RemoteSettings) -> Option<String> {
    let disabled = |why: &str| Some(format!("Remote session disabled: {why}"));
    if facts.unattended {
        return Some(ONLY_INTERACTIVE.into());
    }
    if let Some(file) = &facts.forbidden_by {
        return disabled(&format!("{} does not allow it", file.display()));
    }
    if settings.require_github_repository() && !facts.on_github {
        return disabled("not in a GitHub repository");
    }
    facts.no_relay.as_deref().and_then(disabled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_speaks_against_it_is_named() {
        let fine = Facts {
            on_github: true,
            ..Facts::default()
        };
        let lifted = RemoteSettings {
            require_github_repository: Some(false),
            ..RemoteSettings::default()
        };
        let usual = RemoteSettings::default();
        for (facts, settings, expected) in [
            (fine.clone(), &usual, None),
            (
                Facts::default(),
                &usual,
                Some("Remote session disabled: not in a GitHub repository"),
            ),
            (Facts::default(), &lifted, None),
            (
                Facts {
                    forbidden_by: Some("/etc/managed.json".into()),
                    ..Facts::default()
                },
                &usual,
                Some("Remote session disabled: /etc/managed.json does not allow it"),
            ),
            (
                Facts {
                    unattended: true,
                    forbidden_by: Some("/etc/managed.json".into()),
                    ..fine.clone()
                },
                &lifted,
                Some("Remote access is only available in interactive sessions"),
            ),
            (
                Facts {
                    no_relay: Some("there is no relay".into()),
                    ..fine
                },
                &usual,
                Some("Remote session disabled: there is no relay"),
            ),
        ] {
            assert_eq!(decide(&facts, settings).as_deref(), expected, "{facts:?}");
        }
    }
}
