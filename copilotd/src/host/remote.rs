//! What is different for paired devices: which sessions they may start, what they may read; and
//! remote access of a session that is about to start.

use std::path::Path;
use std::sync::Arc;

use ahp_types::common::JsonObject;
use tokio::sync::oneshot;

use super::identity::Trust;
use super::rpc::RpcError;
use super::{Client, Host};
use crate::content::ContentUri;
use crate::remote::{narrow, refusal};
use crate::session::{Input, Launch};

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

    /// Whether a device may read this part of a content of `session`, which is there for it.
    pub(super) async fn may_read_remotely(
        self: &Arc<Self>,
        session: &str,
        uri: &ContentUri,
    ) -> Result<(), RpcError> {
        let not_found = || RpcError::not_found(format!("there is no content {uri}"));
        let handle = self.find(session).await.ok_or_else(not_found)?;
        let (reply, readable) = oneshot::channel();
        let uri = uri.clone();
        let asked = Input::Readable {
            uri: uri.clone(),
            reply,
        };
        handle.inputs.send(asked).await.map_err(|_| not_found())?;
        let readable = readable.await.ok().flatten().ok_or_else(not_found)?;
        match uri.range().map_or(0, |range| range.start) {
            from if from < readable.start => Err(RpcError::denied(format!(
                "devices get only the newest of so much output: from byte {} on",
                readable.start
            ))),
            _ => Ok(()),
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
