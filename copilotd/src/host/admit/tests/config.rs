//! The settings of a session: which can be changed, by whom, to what.

use serde_json::{Value, json};

use super::world::World;
use super::{check, rejected};

fn change(config: Value) -> Value {
    json!({"type": "session/configChanged", "config": config})
}

fn configured(config: Value) -> Value {
    json!({ "configure": config })
}

#[test]
fn the_mode_is_anybodys_at_any_time() {
    check([
        (
            "plan while nothing runs",
            World::idle(),
            change(json!({"mode": "plan"})),
            configured(json!({"mode": "plan"})),
        ),
        (
            "autopilot while the agent works",
            World::working(),
            change(json!({"mode": "autopilot"})),
            configured(json!({"mode": "autopilot"})),
        ),
        (
            "plan while a permission is open",
            World::asking(),
            change(json!({"mode": "plan"})),
            configured(json!({"mode": "plan"})),
        ),
        (
            "plan while a cancel is under way",
            World::working().cancelling(),
            change(json!({"mode": "plan"})),
            configured(json!({"mode": "plan"})),
        ),
        (
            "the mode that it is in",
            World::idle(),
            change(json!({"mode": "interactive"})),
            configured(json!({"mode": "interactive"})),
        ),
        (
            "both settings at once",
            World::idle(),
            change(json!({"mode": "autopilot", "allowAll": true})),
            configured(json!({"mode": "autopilot", "allowAll": true})),
        ),
    ]);
}

#[test]
fn a_mode_is_one_of_three_words() {
    for (value, reason) in [
        (
            json!("Plan"),
            "`Plan` is not a mode; use interactive, plan or autopilot",
        ),
        (
            json!("yolo\u{1b}[2J"),
            "`yolo[2J` is not a mode; use interactive, plan or autopilot",
        ),
        (
            json!(""),
            "`` is not a mode; use interactive, plan or autopilot",
        ),
        (json!(1), "`mode` is a text"),
        (json!(null), "`mode` is a text"),
    ] {
        check([(
            "not a mode",
            World::idle(),
            change(json!({ "mode": value })),
            rejected(reason),
        )]);
    }
}

#[test]
fn allowing_everything_can_be_forbidden_and_ending_it_cannot() {
    check([
        (
            "on",
            World::idle(),
            change(json!({"allowAll": true})),
            configured(json!({"allowAll": true})),
        ),
        (
            "off",
            World::working(),
            change(json!({"allowAll": false})),
            configured(json!({"allowAll": false})),
        ),
        (
            "on where it is forbidden",
            World::idle().managed(),
            change(json!({"allowAll": true})),
            rejected("/etc/managed.json forbids to allow everything"),
        ),
        (
            "with a mode, where it is forbidden",
            World::idle().managed(),
            change(json!({"mode": "plan", "allowAll": true})),
            rejected("/etc/managed.json forbids to allow everything"),
        ),
        (
            "off where it is forbidden",
            World::idle().managed(),
            change(json!({"allowAll": false})),
            configured(json!({"allowAll": false})),
        ),
        (
            "neither on nor off",
            World::idle(),
            change(json!({"allowAll": "yes"})),
            rejected("`allowAll` is true or false"),
        ),
    ]);
}

#[test]
fn the_other_settings_hold_for_the_life_of_a_session() {
    for key in ["allowTools", "denyTools", "allowAllTools", "unattended"] {
        check([(
            "loosening the rules",
            World::idle(),
            change(json!({ key: true })),
            rejected(&format!("`{key}` holds for the life of a session")),
        )]);
    }
    check([
        (
            "a setting that there is not",
            World::idle(),
            change(json!({"colour": "red"})),
            rejected("a session has no setting `colour`"),
        ),
        (
            "a mode and something that there is not",
            World::idle(),
            change(json!({"mode": "plan", "x": 1})),
            rejected("a session has no setting `x`"),
        ),
        (
            "a setting with an endless and nasty name",
            World::idle(),
            change(json!({(format!("\u{1b}[2J{}", "x".repeat(5000))): 1})),
            rejected(&format!("a session has no setting `[2J{}`", "x".repeat(57))),
        ),
        (
            "nothing in particular",
            World::idle(),
            change(json!({})),
            rejected("no setting is named"),
        ),
        (
            "everything anew",
            World::idle(),
            json!({"type": "session/configChanged", "config": {"mode": "plan"}, "replace": true}),
            rejected("settings of a session are changed one by one, not replaced"),
        ),
    ]);
}
