//! The list of sessions, and finding the one that a person means.

use std::path::Path;

use ahp_types::commands::{ListSessionsParams, ListSessionsResult};
use ahp_types::state::SessionSummary;

use super::{Client, ClientError, ROOT, file_uri, session_id, short_id};
use crate::text::one_line;

/// Why no session is meant, or more than one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing matches.
    #[error("no session has the id or title `{0}`")]
    NotFound(String),
    /// Too short to be the beginning of an id.
    #[error("`{0}` is too short: give 4 or more characters of the id, or the exact title")]
    TooShort(String),
    /// Several match.
    #[error("`{wanted}` could be any of: {}", candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        wanted: String,
        /// Short ids and titles of those that match.
        candidates: Vec<String>,
    },
}

/// The session that `wanted` names: a full id, a unique beginning of 4 or more
/// characters, or an exact title. A full id beats a title, a title a beginning.
pub fn resolve<'a>(
    sessions: &'a [SessionSummary],
    wanted: &str,
) -> Result<&'a SessionSummary, ResolveError> {
    let wanted = wanted.trim();
    let id = session_id(wanted);
    if let Some(exact) = sessions.iter().find(|s| session_id(&s.resource) == id) {
        return Ok(exact);
    }
    let titled: Vec<_> = sessions.iter().filter(|s| s.title == wanted).collect();
    if !wanted.is_empty() && !titled.is_empty() {
        return only(titled, wanted);
    }
    if id.chars().count() < 4 {
        return Err(ResolveError::TooShort(wanted.to_owned()));
    }
    let id = id.to_ascii_lowercase();
    let begins = sessions
        .iter()
        .filter(|s| session_id(&s.resource).starts_with(&id))
        .collect();
    only(begins, wanted)
}

fn only<'a>(
    found: Vec<&'a SessionSummary>,
    wanted: &str,
) -> Result<&'a SessionSummary, ResolveError> {
    match found.as_slice() {
        [] => Err(ResolveError::NotFound(wanted.to_owned())),
        [one] => Ok(one),
        several => Err(ResolveError::Ambiguous {
            wanted: wanted.to_owned(),
            candidates: several
                .iter()
                .map(|s| format!("{} ({})", short_id(&s.resource), one_line(&s.title)))
                .collect(),
        }),
    }
}

/// The session of this folder that changed last.
pub fn newest_in<'a>(sessions: &'a [SessionSummary], folder: &Path) -> Option<&'a SessionSummary> {
    let uri = file_uri(folder);
    sessions
        .iter()
        .filter(|s| {
            s.working_directories
                .as_deref()
                .and_then(<[String]>::first)
                .is_some_and(|first| *first == uri)
        })
        // RFC 3339 in UTC sorts as text.
        .max_by(|a, b| a.modified_at.cmp(&b.modified_at))
}

/// All sessions that the host knows, page by page.
pub async fn list_sessions(client: &mut Client) -> Result<Vec<SessionSummary>, ClientError> {
    let mut sessions = Vec::new();
    let mut cursor = None;
    loop {
        let page: ListSessionsResult = client
            .call(
                "listSessions",
                &ListSessionsParams {
                    channel: ROOT.to_owned(),
                    meta: None,
                    limit: None,
                    cursor: cursor.take(),
                },
            )
            .await?;
        sessions.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(sessions),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(id: &str, title: &str, modified: &str, folder: &str) -> SessionSummary {
        serde_json::from_value(json!({
            "resource": format!("ahp-session:/{id}"), "provider": "copilot", "title": title, "status": 1,
            "createdAt": "2025-01-01T00:00:00Z", "modifiedAt": modified,
            "workingDirectories": [format!("file://{folder}")],
        }))
        .unwrap()
    }

    fn sessions() -> Vec<SessionSummary> {
        vec![
            session("aaaa1111-0", "fix the bug", "2025-01-01T00:00:01Z", "/a"),
            session("aaaa2222-0", "fix the bug", "2025-01-01T00:00:03Z", "/a"),
            session("bbbb3333-0", "aaaa1111-0", "2025-01-01T00:00:02Z", "/b"),
            session("cccc4444-0", "abc", "2025-01-01T00:00:02Z", "/b"),
        ]
    }

    #[test]
    fn an_id_a_beginning_or_a_title_names_a_session() {
        let all = sessions();
        let table = [
            ("aaaa1111-0", "aaaa1111-0"),
            ("ahp-session:/aaaa2222-0", "aaaa2222-0"),
            ("aaaa1", "aaaa1111-0"),
            ("BBBB", "bbbb3333-0"),
            ("abc", "cccc4444-0"),
        ];
        for (wanted, expected) in table {
            let found = resolve(&all, wanted).unwrap();
            assert_eq!(session_id(&found.resource), expected, "{wanted}");
        }
    }

    #[test]
    fn what_names_none_or_several_says_so() {
        let all = sessions();
        assert!(matches!(
            resolve(&all, "dddd"),
            Err(ResolveError::NotFound(_))
        ));
        assert!(matches!(
            resolve(&all, "aaa"),
            Err(ResolveError::TooShort(_))
        ));
        assert!(matches!(resolve(&all, ""), Err(ResolveError::TooShort(_))));
        for several in ["aaaa", "fix the bug"] {
            let error = resolve(&all, several).unwrap_err();
            assert!(error.to_string().contains("aaaa1111"), "{error}");
            assert!(error.to_string().contains("aaaa2222"), "{error}");
        }
    }

    #[test]
    fn the_newest_of_a_folder() {
        let all = sessions();
        let newest = newest_in(&all, Path::new("/a")).unwrap();
        assert_eq!(session_id(&newest.resource), "aaaa2222-0");
        assert!(newest_in(&all, Path::new("/none")).is_none());
    }
}
