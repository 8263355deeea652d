//! The modes of a session, and the part of its config that people change while it runs.
//!
//! The config in the session's AHP state is the only place where the mode is kept. What a mode
//! forbids is decided in [`crate::permissions`].

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use ahp_types::actions::SessionConfigChangedAction;
use ahp_types::common::JsonObject;
use ahp_types::state::{SessionConfigPropertySchema, SessionConfigSchema, SessionConfigState};
use serde_json::{Value, json};

use super::Launch;
use super::persist::texts;
use super::remote;

/// The config key of the mode.
pub const MODE: &str = "mode";
/// The config key of "allow everything that no rule denies, until the session is closed".
pub const ALLOW_ALL: &str = "allowAll";
/// The keys that hold for the life of a session.
pub const FIXED: [&str; 7] = [
    "allowTools",
    "denyTools",
    "allowAllTools",
    "allowAllPaths",
    "allowAllUrls",
    "addDirs",
    "unattended",
];

/// How a session treats what its agent wants to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// What no rule decides is asked.
    #[default]
    Interactive,
    /// Nothing is changed, whatever rules say.
    Plan,
    /// Goes on until the task is complete; asks as interactive does.
    Autopilot,
}

impl Mode {
    /// All of them, in the order in which people cycle through them.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Plan, Self::Autopilot];

    /// The name in config, settings and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Plan => "plan",
            Self::Autopilot => "autopilot",
        }
    }

    /// The mode in a session's config; one without it is from before there were modes.
    #[must_use]
    pub fn of(config: Option<&SessionConfigState>) -> Self {
        let named = config.and_then(|c| c.values.get(MODE)?.as_str());
        named.and_then(|name| name.parse().ok()).unwrap_or_default()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| {
                let clean: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
                format!("`{clean}` is not a mode; use interactive, plan or autopilot")
            })
    }
}

/// Whether a session's config allows everything that no rule denies.
#[must_use]
pub fn allows_all(config: Option<&SessionConfigState>) -> bool {
    config.is_some_and(|c| c.values.get(ALLOW_ALL) == Some(&Value::Bool(true)))
}

/// The action that puts one key of the config to a value, in the host's wording.
#[must_use]
pub fn change(key: &str, value: impl Into<Value>) -> SessionConfigChangedAction {
    SessionConfigChangedAction {
        config: JsonObject::from_iter([(key.to_owned(), value.into())]),
        replace: None,
    }
}

/// The config of a new session.
pub(super) fn config(launch: &Launch) -> SessionConfigState {
    let values = JsonObject::from_iter([
        ("allowTools".to_owned(), json!(texts(&launch.allow))),
        ("denyTools".to_owned(), json!(texts(&launch.deny))),
        ("allowAllTools".to_owned(), json!(launch.allow_all.tools)),
        ("allowAllPaths".to_owned(), json!(launch.allow_all.paths)),
        ("allowAllUrls".to_owned(), json!(launch.allow_all.urls)),
        ("addDirs".to_owned(), json!(launch.add_dirs)),
        ("unattended".to_owned(), json!(launch.unattended)),
        (
            remote::REMOTE.to_owned(),
            json!(launch.remote == Some(true)),
        ),
        (MODE.to_owned(), json!(launch.mode.name())),
        (ALLOW_ALL.to_owned(), json!(false)),
    ]);
    SessionConfigState {
        schema: schema(),
        values,
    }
}

/// What can be set, for clients to show and check.
pub(super) fn schema() -> SessionConfigSchema {
    let property = |kind: &str, title: &str| SessionConfigPropertySchema {
        r#type: kind.into(),
        title: title.into(),
        description: None,
        default: None,
        r#enum: None,
        enum_labels: None,
        enum_descriptions: None,
        read_only: Some(true),
        items: None,
        min_items: None,
        max_items: None,
        properties: None,
        required: None,
        additional_properties: None,
        enum_dynamic: None,
        session_mutable: Some(false),
    };
    let mutable = |property: SessionConfigPropertySchema| SessionConfigPropertySchema {
        read_only: Some(false),
        session_mutable: Some(true),
        ..property
    };
    let mode = SessionConfigPropertySchema {
        default: Some(json!(Mode::default().name())),
        r#enum: Some(Mode::ALL.iter().map(|mode| json!(mode.name())).collect()),
        enum_labels: Some(
            ["Interactive", "Plan", "Autopilot"]
                .map(Into::into)
                .to_vec(),
        ),
        enum_descriptions: Some(
            [
                "Asks before it does what no rule allows",
                "Reads and thinks, changes nothing, ends by proposing a plan",
                "Goes on until the task is complete",
            ]
            .map(Into::into)
            .to_vec(),
        ),
        ..property("string", "Mode")
    };
    let allow_all = SessionConfigPropertySchema {
        description: Some("Until the session is closed; only from this machine".into()),
        default: Some(json!(false)),
        ..property("boolean", "Allow everything that no rule denies")
    };
    let properties = [
        ("allowTools", property("array", "Rules that allow")),
        ("denyTools", property("array", "Rules that deny")),
        (
            "allowAllTools",
            property("boolean", "Allow every tool that no rule denies"),
        ),
        (
            "allowAllPaths",
            property("boolean", "Every path counts as inside the folder"),
        ),
        (
            "allowAllUrls",
            property("boolean", "Allow every public URL that no rule denies"),
        ),
        ("addDirs", property("array", "Folders that count as inside")),
        ("unattended", property("boolean", "Nobody can be asked")),
        (remote::REMOTE, remote::property()),
        (MODE, mutable(mode)),
        (ALLOW_ALL, mutable(allow_all)),
    ];
    SessionConfigSchema {
        r#type: "object".into(),
        properties: HashMap::from(properties.map(|(key, value)| (key.to_owned(), value))),
        required: None,
    }
}

/// The config of a session that was kept, with what can be set now.
pub(super) fn renewed(kept: Option<SessionConfigState>) -> SessionConfigState {
    let fresh = config(&Launch::default());
    let mut values = fresh.values;
    values.extend(kept.map(|c| c.values).unwrap_or_default());
    SessionConfigState {
        schema: fresh.schema,
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_a_name_that_is_read_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert_eq!(
            "fast\n".parse::<Mode>(),
            Err("`fast` is not a mode; use interactive, plan or autopilot".to_owned())
        );
    }

    #[test]
    fn a_session_from_before_there_were_modes_is_interactive() {
        let mut old = config(&Launch::default());
        old.values.remove(MODE);
        old.schema.properties.remove(MODE);
        assert_eq!(Mode::of(Some(&old)), Mode::Interactive);
        let renewed = renewed(Some(old));
        assert_eq!(renewed.values[MODE], "interactive");
        assert!(renewed.schema.properties.contains_key(MODE));
        assert_eq!(Mode::of(None), Mode::Interactive);
    }

    #[test]
    fn what_was_set_stays_when_the_schema_is_renewed() {
        let launch = Launch {
            mode: Mode::Plan,
            unattended: true,
            ..Launch::default()
        };
        let renewed = renewed(Some(config(&launch)));
        assert_eq!(Mode::of(Some(&renewed)), Mode::Plan);
        assert_eq!(renewed.values["unattended"], true);
        assert!(!allows_all(Some(&renewed)));
    }
}
