//! Control requests of the command line: everything that is about the daemon, not about a session's
//! content.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ipc_proto::control::{
    ControlError, ControlReply, ControlRequest, DaemonStatus, ErrorCode, FoundSession, MAX_FOUND,
};
use tokio_util::sync::CancellationToken;

use crate::host::identity::{AGENT_MAY_ONLY_READ, Trust};
use crate::host::{Client, Host, state_word};
use crate::link::Link;
use crate::store::{Hit, Store};

/// The daemon as control requests see it.
pub struct Daemon {
    /// Sessions and clients.
    pub host: Arc<Host>,
    /// The link to devices; the error says why there is none, in words for people.
    pub link: Result<Arc<Link>, String>,
    /// Cancelled when the daemon is to stop.
    pub stop: CancellationToken,
    /// Whether a service manager started it.
    pub service_managed: bool,
    /// When it started.
    pub started_at: SystemTime,
}

impl Daemon {
    /// Answers one request.
    pub async fn control(&self, client: &Client, request: ControlRequest) -> ControlReply {
        if client.trust() == Trust::Agent && !matches!(request, ControlRequest::Status) {
            let shared = &self.host.shared;
            shared.record_refusal(client, None, request_name(&request), AGENT_MAY_ONLY_READ);
            return error(ErrorCode::Denied, AGENT_MAY_ONLY_READ, None);
        }
        match request {
            ControlRequest::Status => ControlReply::Status(self.status().await),
            ControlRequest::Stop { force } => self.stop(force),
            ControlRequest::ProvideEnvironment(environment) => {
                client.set_environment(environment.into());
                ControlReply::Done
            }
            ControlRequest::CloseSession { session } => {
                // A session is named by its URI or by the id in it.
                let id = session.strip_prefix("ahp-session:/").unwrap_or(&session);
                match self.host.close_session(id, client.who()).await {
                    true => ControlReply::Done,
                    false => {
                        let message = format!("there is no session {id}");
                        error(ErrorCode::NotFound, &message, None)
                    }
                }
            }
            ControlRequest::Search { query, limit } => self.search(query, limit).await,
            ControlRequest::ExplainPermission(wanted) => self.explain(wanted).await,
            ControlRequest::ListApprovals { folder } => self.list_approvals(folder).await,
            ControlRequest::ResetApprovals { folder, rule } => {
                self.reset_approvals(folder, rule).await
            }
            ControlRequest::Audit(query) => self.audit(query).await,
            ControlRequest::CheckAudit => self.check_audit().await,
            ControlRequest::Undo(wanted) => self.undo(client, wanted).await,
            request => self.remote_control(client.who(), request).await,
        }
    }

    async fn search(&self, query: String, limit: u32) -> ControlReply {
        let limit = usize::try_from(limit).unwrap_or(MAX_FOUND).min(MAX_FOUND);
        let store = self.host.shared.store.clone();
        let found = tokio::task::spawn_blocking(move || store.search(&query, limit)).await;
        match found {
            Ok(Ok(hits)) => ControlReply::Found(hits.into_iter().map(found_session).collect()),
            Ok(Err(failed)) => error(ErrorCode::Internal, &failed.to_string(), None),
            Err(failed) => error(ErrorCode::Internal, &failed.to_string(), None),
        }
    }

    fn stop(&self, force: bool) -> ControlReply {
        let working = self.working();
        if working > 0 && !force {
            let message = format!("{working} session(s) are working and would be cut off");
            return error(
                ErrorCode::Invalid,
                &message,
                Some("wait for them, cancel them, or use --force"),
            );
        }
        tracing::info!("asked to stop");
        self.stop.cancel();
        ControlReply::Done
    }

    fn working(&self) -> u32 {
        let working = |word: &str| !matches!(word, "idle" | "error" | "stored");
        let sessions = self.host.live_sessions();
        let count = sessions
            .iter()
            .filter(|s| state_word(&s.summary()).is_some_and(working));
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    async fn status(&self) -> DaemonStatus {
        let shared = &self.host.shared;
        let paths = &shared.paths;
        let since = self
            .started_at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let read = |store: &Store| store.count();
        let stored = shared.read_store("count the sessions", read).await;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at_unix_ms: u64::try_from(since.as_millis()).unwrap_or(0),
            sessions: count(stored.unwrap_or(0)),
            sessions_working: self.working(),
            clients: count(self.host.clients()),
            socket: paths.socket().display().to_string(),
            log_dir: paths.log_dir().display().to_string(),
            settings_file: paths.settings_file().display().to_string(),
            settings_problems: shared.settings_problems(),
            service_managed: self.service_managed,
        }
    }
}

fn found_session(hit: Hit) -> FoundSession {
    FoundSession {
        session: hit.session,
        title: hit.title,
        turn: hit.turn_id,
        snippet: hit.snippet,
    }
}

/// The request as the audit names it.
fn request_name(request: &ControlRequest) -> &'static str {
    match request {
        ControlRequest::Status => "control/status",
        ControlRequest::Stop { .. } => "control/stop",
        ControlRequest::ProvideEnvironment(_) => "control/provideEnvironment",
        ControlRequest::CloseSession { .. } => "control/closeSession",
        ControlRequest::Search { .. } => "control/search",
        ControlRequest::ExplainPermission(_) => "control/explainPermission",
        ControlRequest::ListApprovals { .. } => "control/listApprovals",
        ControlRequest::ResetApprovals { .. } => "control/resetApprovals",
        ControlRequest::Audit(_) => "control/audit",
        ControlRequest::CheckAudit => "control/checkAudit",
        ControlRequest::Undo(_) => "control/undo",
        ControlRequest::RemoteStatus => "control/remoteStatus",
        ControlRequest::JoinRelay(_) => "control/joinRelay",
        ControlRequest::LeaveRelay => "control/leaveRelay",
        ControlRequest::ListDevices => "control/listDevices",
        ControlRequest::RenameDevice(_) => "control/renameDevice",
        ControlRequest::RevokeDevice { .. } => "control/revokeDevice",
        ControlRequest::BeginPairing { .. } => "control/beginPairing",
        ControlRequest::AwaitPairing(_) => "control/awaitPairing",
        ControlRequest::TypeCode(_) => "control/typeCode",
        ControlRequest::EndPairing { .. } => "control/endPairing",
        ControlRequest::ListDeviceRelays => "control/listDeviceRelays",
    }
}

/// The answer to what a newer command line asks.
pub(super) fn unknown_request() -> ControlReply {
    let hint = "restart the daemon, so that it is as new as the command line";
    error(
        ErrorCode::Unsupported,
        "this daemon does not know the request",
        Some(hint),
    )
}

pub(super) fn error(code: ErrorCode, message: &str, hint: Option<&str>) -> ControlReply {
    ControlReply::Error(ControlError {
        code,
        message: message.into(),
        hint: hint.map(str::to_owned),
    })
}
