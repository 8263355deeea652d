//! Turning remote access on and off.

use serde_json::{Value, json};

use super::world::World;
use super::{check, rejected};

fn set(config: Value) -> Value {
    json!({"type": "session/configChanged", "config": config})
}

#[test]
fn turning_remote_access_on_and_off() {
    check([
        (
            "on",
            World::idle(),
            set(json!({"remote": true})),
            json!({"configure": {"remote": true}}),
        ),
        (
            "off",
            World::working(),
            set(json!({"remote": false})),
            json!({"configure": {"remote": false}}),
        ),
        (
            "on where something speaks against it",
            World::idle().not_remotely(),
            set(json!({"remote": true})),
            rejected("Remote session disabled: not in a GitHub repository"),
        ),
        (
            "off where something speaks against it",
            World::idle().not_remotely(),
            set(json!({"remote": false})),
            json!({"configure": {"remote": false}}),
        ),
        (
            "something else than on or off",
            World::idle(),
            set(json!({"remote": "on"})),
            rejected("`remote` is true or false"),
        ),
    ]);
}

#[test]
fn other_settings_are_refused_by_name() {
    check([
        (
            "loosening the rules",
            World::idle(),
            set(json!({"allowAllTools": true})),
            rejected("`allowAllTools` holds for the life of a session"),
        ),
        (
            "a setting that there is not",
            World::idle(),
            set(json!({"\u{1b}[2J": 2})),
            rejected("a session has no setting `[2J`"),
        ),
        (
            "nothing in particular",
            World::idle(),
            set(json!({})),
            rejected("no setting is named"),
        ),
        (
            "everything at once",
            World::idle(),
            json!({"type": "session/configChanged", "config": {"remote": true}, "replace": true}),
            rejected("settings of a session are changed one by one, not replaced"),
        ),
    ]);
}
