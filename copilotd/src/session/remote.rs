//! Remote access of one session: the config key that turns it on, and what follows from it.
//!
//! The config in the session's AHP state is the only place where it is kept. Devices are let in
//! and put out between keeping a step and publishing it, so that none sees what comes after.

use ahp_types::actions::*;
use ahp_types::common::JsonObject;
use ahp_types::state::{SessionConfigPropertySchema, SessionConfigState};
use serde_json::{Value, json};

use super::actor::Actor;
use crate::config::OnResume;
use crate::host::ROOT;
use crate::host::identity::Trust;
use crate::remote::refusal;

/// The config key.
pub const REMOTE: &str = "remote";

/// Whether devices may know of the session with this config.
#[must_use]
pub fn is_on(config: Option<&SessionConfigState>) -> bool {
    config.is_some_and(|c| c.values.get(REMOTE) == Some(&Value::Bool(true)))
}

/// What clients are told about the config key.
#[must_use]
pub fn property() -> SessionConfigPropertySchema {
    SessionConfigPropertySchema {
        r#type: "boolean".into(),
        title: "Remote access".into(),
        description: Some("Paired devices may watch and steer; only from this machine".into()),
        default: Some(json!(false)),
        r#enum: None,
        enum_labels: None,
        enum_descriptions: None,
        read_only: Some(false),
        items: None,
        min_items: None,
        max_items: None,
        properties: None,
        required: None,
        additional_properties: None,
        enum_dynamic: None,
        session_mutable: Some(true),
    }
}

fn change(on: bool) -> StateAction {
    StateAction::SessionConfigChanged(SessionConfigChangedAction {
        config: JsonObject::from_iter([(REMOTE.to_owned(), json!(on))]),
        replace: None,
    })
}

impl Actor {
    pub(super) fn is_remote(&self) -> bool {
        is_on(self.model.session.config.as_ref())
    }

    /// Whether this session is there for a connection of this trust.
    pub(super) fn is_there_for(&self, trust: Trust) -> bool {
        trust != Trust::Remote || self.is_remote()
    }

    /// Why an action that turns remote access on is refused. Other actions ask for nothing.
    pub(super) async fn remote_refused(&self, action: &StateAction) -> Option<String> {
        let StateAction::SessionConfigChanged(change) = action else {
            return None;
        };
        if change.config.get(REMOTE) != Some(&Value::Bool(true)) {
            return None;
        }
        refusal::of(&self.model.shared, &self.folder, self.launch.unattended).await
    }

    /// Somebody is turning it on or off, which ends what was remembered about it.
    pub(super) fn forget_remote_history(&mut self) {
        self.remote_before_close = false;
        self.remote_refusal = None;
    }

    /// Closing a session ends remote access, until somebody turns it on again.
    pub(super) fn end_remote(&mut self) {
        if self.is_remote() {
            self.remote_before_close = true;
            self.model.session(change(false), None);
            self.put_devices_out();
        }
    }

    /// Remote access of a closed session that is used again: only where the settings say so, and
    /// nothing speaks against it now.
    pub(super) async fn restore_remote(&mut self) {
        if !self.closed || !std::mem::take(&mut self.remote_before_close) {
            return;
        }
        let shared = &self.model.shared;
        if shared.settings().remote.on_resume != OnResume::Restore {
            return;
        }
        match refusal::of(shared, &self.folder, self.launch.unattended).await {
            None => {
                self.model.session(change(true), None);
            }
            refused => self.remote_refusal = refused,
        }
    }

    /// Devices that watch a session which is not there for them any more watch it no longer.
    pub(super) fn put_devices_out(&mut self) {
        if !self.is_remote() {
            self.clients.retain(|c| c.trust() != Trust::Remote);
        }
    }

    /// What the session's `_meta` says about it.
    pub(super) fn remote_meta(&self) -> Option<Value> {
        if !self.is_remote() {
            let refused = self.remote_refusal.as_ref()?;
            return Some(json!({"on": false, "refused": refused}));
        }
        let mut devices: Vec<&str> = self
            .clients
            .iter()
            .filter_map(|c| Some(c.device()?.id.as_str()))
            .collect();
        devices.sort_unstable();
        devices.dedup();
        let mut shown = self.model.shared.link.status().for_session(&self.model.id);
        shown["devicesWatching"] = json!(devices.len());
        Some(shown)
    }

    /// A new session is there for devices from its first step on.
    pub(super) fn announce_remote(&self) {
        let shared = &self.model.shared;
        shared.remote.set(&self.model.id, self.is_remote());
    }

    /// Between keeping a step and publishing it: puts devices out of a session that is not there
    /// for them any more, or lets them in.
    pub(super) fn turn_devices_over(&self) {
        let (shared, id) = (&self.model.shared, self.model.id.as_str());
        let is = self.is_remote();
        if shared.remote.is_on(id) == is {
            return;
        }
        shared.remote.set(id, is);
        let channel = &self.model.session_uri;
        if is {
            let summary = self.summary_now();
            let params = json!({"channel": ROOT, "summary": summary});
            shared.notify_devices("root/sessionAdded", &params);
        } else {
            let of_this = |c: &str| super::session_of_channel(c) == Some(id);
            shared.sequencer.drop_devices(of_this);
            let params = json!({"channel": ROOT, "session": channel});
            shared.notify_devices("root/sessionRemoved", &params);
        }
    }
}
