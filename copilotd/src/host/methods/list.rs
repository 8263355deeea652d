//! `listSessions`: what lives and what is stored, as one list.

use ahp_types::commands::*;
use ahp_types::state::SessionSummary;

use super::super::identity::Trust;
use super::super::rpc::RpcError;
use super::super::{Client, Host};
use super::done;
use crate::session::session_of_channel;
use crate::store::Position;

/// Sessions of one page of a list.
const MAX_PAGE: usize = 200;

impl Host {
    /// Newest first. The cursor is the place in the list by time, so that a page holds under change.
    pub(super) async fn list_sessions(
        &self,
        client: &Client,
        params: &ListSessionsParams,
    ) -> Result<Option<String>, RpcError> {
        let invalid = || RpcError::invalid_params("this cursor is not one of this list");
        let before = match &params.cursor {
            Some(cursor) => Some(position(cursor).ok_or_else(invalid)?),
            None => None,
        };
        let limit = params.limit.and_then(|l| usize::try_from(l).ok());
        let limit = limit.filter(|l| *l > 0).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let live: Vec<SessionSummary> = self.live_sessions().iter().map(|s| s.summary()).collect();
        // What lives is newer than what the store has of it, and may stand elsewhere in the list.
        let at_most = match client.trust() {
            // Most of what is stored is not there for a device.
            Trust::Remote => usize::MAX,
            Trust::Local | Trust::Agent => limit + live.len() + 1,
        };
        let stored = self.stored_summaries(before.clone(), at_most).await;
        let is_live = |s: &SessionSummary| live.iter().any(|l| l.resource == s.resource);
        let mut items: Vec<SessionSummary> = stored.into_iter().filter(|s| !is_live(s)).collect();
        let on_page = |s: &&SessionSummary| {
            before
                .as_ref()
                .is_none_or(|b| key(s) < (&b.modified_at, &b.id))
        };
        items.extend(live.iter().filter(on_page).cloned());
        items.retain(|s| {
            session_of_channel(&s.resource).is_some_and(|id| self.is_there_for(client, id))
        });
        items.sort_by(|a, b| key(b).cmp(&key(a)));
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|s| format!("{} {}", key(s).0, key(s).1));
        done(&ListSessionsResult { next_cursor, items })
    }
}

/// The place of a session in the list: time of the last change, then id.
fn key(summary: &SessionSummary) -> (&str, &str) {
    (
        &summary.modified_at,
        session_of_channel(&summary.resource).unwrap_or_default(),
    )
}

fn position(cursor: &str) -> Option<Position> {
    let (modified_at, id) = cursor.split_once(' ')?;
    let is_id = uuid::Uuid::try_parse(id).is_ok();
    is_id.then(|| Position {
        modified_at: modified_at.to_owned(),
        id: id.to_owned(),
    })
}
