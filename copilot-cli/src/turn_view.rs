//! One view of a turn, running or finished, for every kind of output.

use ahp_types::state::{ActiveTurn, Message, ResponsePart, Turn, TurnState, UsageInfo};

/// A turn as outputs need it. Its texts are untrusted.
#[derive(Debug)]
pub(crate) struct TurnView<'a> {
    pub(crate) id: &'a str,
    /// When it began, in RFC 3339.
    pub(crate) started_at: Option<&'a str>,
    pub(crate) message: &'a Message,
    pub(crate) parts: &'a [ResponsePart],
    /// How it ended, and how long it took, in milliseconds; none while it runs.
    pub(crate) end: Option<(TurnState, Option<i64>)>,
    pub(crate) usage: Option<&'a UsageInfo>,
}

impl<'a> From<&'a Turn> for TurnView<'a> {
    fn from(turn: &'a Turn) -> Self {
        Self {
            id: &turn.id,
            started_at: turn.started_at.as_deref(),
            message: &turn.message,
            parts: &turn.response_parts,
            end: Some((turn.state, turn.duration)),
            usage: turn.usage.as_ref(),
        }
    }
}

impl<'a> From<&'a ActiveTurn> for TurnView<'a> {
    fn from(turn: &'a ActiveTurn) -> Self {
        Self {
            id: &turn.id,
            started_at: Some(&turn.started_at),
            message: &turn.message,
            parts: &turn.response_parts,
            end: None,
            usage: turn.usage.as_ref(),
        }
    }
}
