//! Remote access of a session that is about to start: what was asked for, what the settings say,
//! and what a paired device may start.

use std::path::Path;

use ahp_types::common::JsonObject;

use super::identity::Trust;
use super::rpc::RpcError;
use super::{Client, Host};
use crate::remote::{narrow, refusal};
use crate::session::Launch;

/// The same words whether the folder exists or not: a device does not find out.
const NOT_TRUSTED: &str =
    "a device starts sessions only in folders that are trusted on this machine";

impl Host {
    /// Whether a device may start a session with this.
    pub(super) fn may_start_remotely(
        &self,
        directories: &[String],
        config: &JsonObject,
    ) -> Result<(), RpcError> {
        if config.keys().any(|key| !narrow::may_configure(key)) {
            return Err(RpcError::denied(narrow::NOT_FROM_A_DEVICE));
        }
        let is_trusted = |uri: &String| {
            crate::uri::to_path(uri).is_some_and(|path| self.shared.is_trusted(&path))
        };
        match directories.iter().all(is_trusted) {
            true => Ok(()),
            false => Err(RpcError::denied(NOT_TRUSTED)),
        }
    }

    /// Decides whether remote access is on from the start. A refusal leaves the session of
    /// somebody at the machine as it is, without it; a device could not even see such a session.
    pub(super) async fn remote_at_start(
        &self,
        client: &Client,
        folder: &Path,
        launch: &mut Launch,
    ) -> Result<(), RpcError> {
        let by_device = client.trust() == Trust::Remote;
        let by_setting = self.shared.settings().remote.sessions && !launch.unattended;
        let wanted = by_device || launch.remote.unwrap_or(by_setting);
        launch.remote = Some(false);
        if !wanted {
            return Ok(());
        }
        match refusal::of(&self.shared, folder, launch.unattended).await {
            None => launch.remote = Some(true),
            Some(words) if by_device => return Err(RpcError::denied(words)),
            refused => launch.remote_refusal = refused,
        }
        Ok(())
    }
}
