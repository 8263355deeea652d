//! Control requests about taking turns back.

use std::path::PathBuf;

use ipc_proto::control::{
    ControlReply, ErrorCode, MAX_UNDO_PATHS, UndoChange, UndoReport, UndoRequest,
};

use super::control::{Daemon, error};
use crate::host::Client;
use crate::session::UndoOutcome;
use crate::undo::{self, ChangeKind, Plan, Restored, TurnChanges};

/// Bytes of the paths of one list, so that all of them fit into a message.
const MAX_LIST_BYTES: usize = 128 * 1024;

impl Daemon {
    pub(super) async fn undo(&self, client: &Client, wanted: UndoRequest) -> ControlReply {
        let UndoRequest {
            session,
            turn,
            dry_run,
        } = wanted;
        let asked = self.host.undo(&session, client.who(), turn, dry_run).await;
        match asked {
            Ok(Some(UndoOutcome::Planned(plan))) => ControlReply::Undo(planned(&plan)),
            Ok(Some(UndoOutcome::Done(turn, restored))) => {
                ControlReply::Undo(done(&turn, &restored))
            }
            Ok(None) => {
                let message = format!("there is no session {session}");
                error(ErrorCode::NotFound, &message, None)
            }
            Err(message) => error(ErrorCode::Invalid, &message, None),
        }
    }
}

fn planned(plan: &Plan) -> UndoReport {
    let lost = plan.turn.changes.iter().filter(|change| change.is_lost());
    let lost: Vec<PathBuf> = lost.map(undo::Change::path).collect();
    UndoReport {
        changed_since: paths(&plan.changed_since),
        lost: paths(&lost),
        ..report(&plan.turn)
    }
}

fn done(turn: &TurnChanges, restored: &Restored) -> UndoReport {
    UndoReport {
        done: true,
        left: paths(&restored.left),
        lost: paths(&restored.lost),
        ..report(turn)
    }
}

fn report(turn: &TurnChanges) -> UndoReport {
    let changes = turn.changes.iter().map(|change| UndoChange {
        path: undo::shown(&change.path()),
        change: word(change.kind()).to_owned(),
    });
    UndoReport {
        turn: turn.number,
        done: false,
        changes: fitting(changes, |change| change.path.len()),
        changes_total: turn.changes.len() as u64,
        changed_since: Vec::new(),
        left: Vec::new(),
        lost: Vec::new(),
        limited: turn.limited.clone(),
    }
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Edited => "edited",
        ChangeKind::Deleted => "deleted",
    }
}

fn paths(paths: &[PathBuf]) -> Vec<String> {
    fitting(paths.iter().map(|path| undo::shown(path)), String::len)
}

/// The first ones, as many as fit.
fn fitting<T>(all: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut left = MAX_LIST_BYTES;
    let fits = |one: &T| match left.checked_sub(bytes(one)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    all.take(MAX_UNDO_PATHS).take_while(fits).collect()
}
