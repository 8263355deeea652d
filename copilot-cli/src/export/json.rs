//! The conversation for programs. The schema is a public interface (`docs/export.md`):
//! fields are only ever added, and `version` changes when one means something else.

use ahp_types::common::JsonObject;
use ahp_types::state::{ActiveTurn, SessionState, Turn};
use serde::Serialize;
use serde_json::Value;

use crate::client::Mirror;

/// What the document is, for programs that are given one.
const FORMAT: &str = "copilot-session";
const VERSION: u32 = 1;

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    format: &'static str,
    version: u32,
    /// The session, as `sessions list --json` has it.
    session: Value,
    /// Who answered which request, by the request's id.
    answers: Option<&'a JsonObject>,
    /// The finished turns as AHP has them, the oldest first.
    turns: &'a [Turn],
    /// The turn that was running.
    active_turn: Option<&'a ActiveTurn>,
}

impl<'a> Document<'a> {
    /// The document of a session whose turns are all here.
    pub(crate) fn new(session: Value, mirror: &'a Mirror) -> Self {
        let chat = mirror.chat();
        Self {
            format: FORMAT,
            version: VERSION,
            session,
            answers: mirror.session().and_then(answers),
            turns: chat.map(|c| c.turns.as_slice()).unwrap_or_default(),
            active_turn: chat.and_then(|c| c.active_turn.as_ref()),
        }
    }
}

fn answers(session: &SessionState) -> Option<&JsonObject> {
    session.meta.as_ref()?.get("copilot.answers")?.as_object()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::mirror_tests::{CHAT, SESSION, envelope, mirror};

    #[test]
    fn the_schema_is_stable() {
        let mut mirror = mirror();
        let start = |id: &str| {
            json!({"type": "chat/turnStarted", "turnId": id, "startedAt": "2025-01-01T00:00:00.000Z",
                "message": {"text": "hi", "origin": {"kind": "user"}}})
        };
        let answers =
            json!({"q": {"by": {"name": "terminal pts/3", "trust": "local"}, "choice": "yes"}});
        let meta = json!({"type": "session/metaChanged", "_meta": {"copilot.answers": answers}});
        let end = json!({"type": "chat/turnComplete", "turnId": "a", "duration": 5});
        mirror.apply(&envelope(CHAT, 11, start("a")));
        mirror.apply(&envelope(CHAT, 12, end));
        mirror.apply(&envelope(CHAT, 13, start("b")));
        mirror.apply(&envelope(SESSION, 14, meta));
        let turn = |id: &str| {
            json!({"id": id, "startedAt": "2025-01-01T00:00:00.000Z", "responseParts": [],
                "message": {"text": "hi", "origin": {"kind": "user"}}})
        };
        let mut done = turn("a");
        done["state"] = json!("complete");
        done["duration"] = json!(5);
        let document = Document::new(json!({"id": "s"}), &mirror);
        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({"format": "copilot-session", "version": 1, "session": {"id": "s"},
                "answers": answers, "turns": [done], "activeTurn": turn("b")})
        );
    }
}
