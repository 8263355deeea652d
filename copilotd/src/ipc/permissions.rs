//! Control requests about permissions: what would be decided, and what is allowed for good.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipc_proto::control::{
    Approval, ControlReply, ErrorCode, ExplainPermission, ExplainedPermission, MAX_APPROVALS,
};
use tokio::sync::oneshot;

use super::control::{Daemon, error};
use crate::config::Repository;
use crate::host::Shared;
use crate::permissions::{Decision, Request, RuleSet, decide};
use crate::session::{Input, Launch, rule_set};

/// How long a name may take to be looked up for an explanation.
const LOOKUP: Duration = Duration::from_secs(5);

impl Daemon {
    /// What would be decided, with the code that decides.
    pub(super) async fn explain(&self, wanted: ExplainPermission) -> ControlReply {
        let Some(request) = request(&wanted.kind, wanted.subject).await else {
            let message = format!("there is no kind of permission `{}`", wanted.kind);
            return error(ErrorCode::Invalid, &message, None);
        };
        let decision = match wanted.session {
            Some(id) => self.explain_in_session(&id, request).await,
            None => {
                let shared = Arc::clone(&self.host.shared);
                let folder = path(wanted.folder);
                let deciding = move || {
                    // As for the built-in agent.
                    let rules = RuleSet {
                        pinned: true,
                        ..rule_set(&shared, &folder, &Launch::default(), &[])
                    };
                    decide(&request, &rules, &folder)
                };
                let decided = tokio::task::spawn_blocking(deciding).await;
                decided.map_err(|failed| error(ErrorCode::Internal, &failed.to_string(), None))
            }
        };
        let (decision, reason) = match decision {
            Ok(Decision::Allow { why }) => ("allow", why),
            Ok(Decision::Deny { why }) => ("deny", why),
            Ok(Decision::Ask { why }) => ("ask", why),
            Err(failed) => return failed,
        };
        ControlReply::Explained(ExplainedPermission {
            decision: decision.to_owned(),
            reason,
        })
    }

    async fn explain_in_session(
        &self,
        id: &str,
        request: Request,
    ) -> Result<Decision, ControlReply> {
        let gone = || {
            error(
                ErrorCode::NotFound,
                &format!("there is no session {id}"),
                None,
            )
        };
        let session = self.host.find(id).await.ok_or_else(gone)?;
        let (reply, answer) = oneshot::channel();
        let asked = session.inputs.send(Input::Explain { request, reply }).await;
        asked.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    pub(super) async fn list_approvals(&self, folder: Option<Vec<u8>>) -> ControlReply {
        let list = move |shared: &Shared| {
            let repository = folder.map(identity);
            let all = shared.approvals.all().into_iter();
            let approvals = all
                .filter(|(name, _)| repository.as_ref().is_none_or(|wanted| wanted == name))
                .map(|(repository, rule)| Approval {
                    repository: repository.display().to_string(),
                    rule,
                })
                .take(MAX_APPROVALS);
            ControlReply::Approvals(approvals.collect())
        };
        self.blocking(list).await
    }

    pub(super) async fn reset_approvals(
        &self,
        folder: Option<Vec<u8>>,
        rule: Option<String>,
    ) -> ControlReply {
        let reset = move |shared: &Shared| {
            let repository = folder.map(identity);
            match shared
                .approvals
                .reset(repository.as_deref(), rule.as_deref())
            {
                Ok(removed) => ControlReply::Removed(u32::try_from(removed).unwrap_or(u32::MAX)),
                Err(failed) => error(ErrorCode::Internal, &failed.to_string(), None),
            }
        };
        self.blocking(reset).await
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Shared) -> ControlReply + Send + 'static,
    ) -> ControlReply {
        let shared = Arc::clone(&self.host.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|failed| error(ErrorCode::Internal, &failed.to_string(), None))
    }
}

/// What an agent would ask for. `None` for a kind that does not exist.
async fn request(kind: &str, subject: String) -> Option<Request> {
    Some(match kind {
        "shell" => Request::Shell { command: subject },
        "write" => Request::Write {
            path: subject.into(),
        },
        "read" => Request::Read {
            path: subject.into(),
        },
        "url" => Request::Url {
            addresses: look_up(&subject).await,
            url: subject,
        },
        "tool" => Request::Tool { name: subject },
        _ => return None,
    })
}

/// The addresses that the agent's `fetch` would find and ask about; none when there are none.
async fn look_up(url: &str) -> Vec<IpAddr> {
    let with_scheme = match url.contains("://") {
        true => url.to_owned(),
        false => format!("https://{url}"),
    };
    let parsed = url::Url::parse(&with_scheme).ok();
    let Some(host) = parsed.as_ref().and_then(url::Url::host_str) else {
        return Vec::new();
    };
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((host, 0))).await;
    match found {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

fn identity(folder: Vec<u8>) -> PathBuf {
    Repository::of(&path(folder)).identity
}

fn path(bytes: Vec<u8>) -> PathBuf {
    Path::new(&OsString::from_vec(bytes)).to_owned()
}
