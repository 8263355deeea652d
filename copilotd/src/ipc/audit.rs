//! Control requests about the audit.

use std::time::Duration;

use ipc_proto::control::{
    AuditCheck, AuditPage, AuditQuery, AuditRecord, ControlReply, ErrorCode, MAX_AUDIT_RECORDS,
};
use tokio::time::Instant;

use super::control::{Daemon, error};
use crate::store::{AuditFilter, AuditRow, Store, StoreError};

/// Text of one page, in bytes: with what a record adds it stays well below a control message.
const MAX_PAGE_BYTES: usize = 512 * 1024;
/// Longest wait for a record.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Daemon {
    /// A page of the audit. With a wait it comes when there is a record, or when the wait or the
    /// daemon ends; the connection answers nothing else meanwhile.
    pub(super) async fn audit(&self, query: AuditQuery) -> ControlReply {
        let wait = Duration::from_millis(query.wait_ms.into()).min(MAX_WAIT);
        let deadline = Instant::now() + wait;
        let mut filter = AuditFilter {
            session: query.session,
            since: query.since,
            after: query.after,
        };
        // Taken before the first look, so that nothing between the two is missed.
        let mut added = self.host.shared.store.watch_audit();
        loop {
            let asked = filter.clone();
            let read = move |store: &Store| store.audit(&asked, MAX_AUDIT_RECORDS, MAX_PAGE_BYTES);
            let (rows, last) = match self.read(read).await {
                Ok(page) => page,
                Err(reply) => return reply,
            };
            let more = rows.last().is_some_and(|row| row.seq == last);
            filter.after = last;
            let again = tokio::select! {
                changed = added.changed(), if rows.is_empty() => changed.is_ok(),
                () = tokio::time::sleep_until(deadline), if rows.is_empty() => false,
                () = self.stop.cancelled(), if rows.is_empty() => false,
                else => false,
            };
            if !again {
                let records = rows.into_iter().map(record).collect();
                return ControlReply::Audit(AuditPage {
                    records,
                    last,
                    more,
                });
            }
        }
    }

    pub(super) async fn check_audit(&self) -> ControlReply {
        match self.read(Store::check_audit).await {
            Ok(check) => ControlReply::AuditChecked(AuditCheck {
                records: check.rows,
                first: check.first,
                last: check.last,
                head: check.head,
                problems: check.problems,
            }),
            Err(reply) => reply,
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlReply> {
        let store = self.host.shared.store.clone();
        let failed = |words: String| error(ErrorCode::Internal, &words, None);
        match tokio::task::spawn_blocking(move || read(&store)).await {
            Ok(result) => result.map_err(|e| failed(e.to_string())),
            Err(e) => Err(failed(e.to_string())),
        }
    }
}

fn record(row: AuditRow) -> AuditRecord {
    AuditRecord {
        seq: row.seq,
        hash: row.hash,
        record_json: row.record_json,
    }
}
