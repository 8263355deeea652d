//! The state of the root channel: the agents, and the folders that are trusted for good.
//!
//! It changes only here, and is locked while it is shown or changed, so that whoever subscribes
//! misses no change.

use std::sync::{Mutex, PoisonError};

use ahp::reducers::{ReduceOutcome, apply_action_to_root};
use ahp_types::actions::{RootAgentsChangedAction, RootConfigChangedAction, StateAction};
use ahp_types::common::JsonObject;
use ahp_types::state::{ConfigPropertySchema, ConfigSchema, RootConfigState, RootState};
use serde_json::json;

use super::admit::object;
use super::{ROOT, Shared};

/// The key of the host's config under which the trusted folders are.
pub(super) const TRUSTED_FOLDERS: &str = "copilot.trustedFolders";

/// See the module.
pub(super) struct Root {
    state: Mutex<RootState>,
}

impl Root {
    pub(super) fn new(shared: &Shared) -> Self {
        let schema = ConfigSchema {
            r#type: "object".into(),
            properties: [(TRUSTED_FOLDERS.to_owned(), property())].into(),
            required: None,
        };
        let state = RootState {
            agents: shared.agents(),
            active_sessions: None,
            terminals: None,
            config: Some(RootConfigState {
                schema,
                values: values(shared),
            }),
            meta: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Shows the state as it is, in one step with what `show` does.
    pub(super) fn show<T>(&self, show: impl FnOnce(&RootState) -> T) -> T {
        show(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Publishes what is different now.
    pub(super) fn update(&self, shared: &Shared) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: of two changes at once the later one is published last.
        let (config, agents) = (values(shared), shared.agents());
        let shown = state.config.as_ref().map(|config| &config.values);
        let mut actions = Vec::new();
        if shown != Some(&config) {
            let replace = None;
            actions.push(StateAction::RootConfigChanged(RootConfigChangedAction {
                config,
                replace,
            }));
        }
        if state.agents != agents {
            let action = RootAgentsChangedAction { agents };
            actions.push(StateAction::RootAgentsChanged(action));
        }
        for action in actions {
            if apply_action_to_root(&mut state, &action) == ReduceOutcome::Applied {
                shared.sequencer.publish(ROOT, &action, None);
            }
        }
    }
}

fn values(shared: &Shared) -> JsonObject {
    object(TRUSTED_FOLDERS, json!(shared.trusted_folders()))
}

fn property() -> ConfigPropertySchema {
    let plain = |kind: &str, title: &str| ConfigPropertySchema {
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
    };
    ConfigPropertySchema {
        description: Some("Sessions can be started in these and in folders inside them".into()),
        items: Some(Box::new(plain("string", "An absolute path"))),
        ..plain("array", "Folders that are trusted for good")
    }
}
