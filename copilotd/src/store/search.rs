//! Full-text search over titles and conversations.

use rusqlite::{Connection, Result, params};

/// A place where the words were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Id of the session.
    pub session: String,
    /// Its title.
    pub title: String,
    /// The turn, or nothing when the title itself was found.
    pub turn_id: Option<String>,
    /// The text around the words, as plain text on one line.
    pub snippet: String,
}

/// As many words as are looked for; the rest of a longer query is left out.
const MAX_WORDS: usize = 32;

/// Sessions whose title has all words first, then turns, the best first.
pub(super) fn search(connection: &Connection, query: &str, limit: usize) -> Result<Vec<Hit>> {
    let Some(expression) = expression(query) else {
        return Ok(Vec::new());
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut hits = Vec::new();
    let mut titles = connection.prepare_cached(
        "SELECT sessions.id, sessions.title FROM title_search
         JOIN sessions ON sessions.key = title_search.rowid
         WHERE title_search MATCH ?1 ORDER BY title_search.rank LIMIT ?2",
    )?;
    let found = titles.query_map(params![expression, limit], |row| {
        let title: String = row.get(1)?;
        Ok(Hit {
            session: row.get(0)?,
            snippet: title.clone(),
            title,
            turn_id: None,
        })
    })?;
    for hit in found {
        hits.push(hit?);
    }
    let left = limit.saturating_sub(i64::try_from(hits.len()).unwrap_or(i64::MAX));
    let mut turns = connection.prepare_cached(
        "SELECT turns.session, coalesce(sessions.title, ''), turns.turn_id,
                snippet(turn_search, 0, '', '', '…', 24)
         FROM turn_search JOIN turns ON turns.key = turn_search.rowid
         LEFT JOIN sessions ON sessions.id = turns.session
         WHERE turn_search MATCH ?1 ORDER BY turn_search.rank LIMIT ?2",
    )?;
    let found = turns.query_map(params![expression, left], |row| {
        Ok(Hit {
            session: row.get(0)?,
            title: row.get(1)?,
            turn_id: row.get(2)?,
            snippet: one_line(&row.get::<_, String>(3)?),
        })
    })?;
    for hit in found {
        hits.push(hit?);
    }
    Ok(hits)
}

/// The words of the query, each quoted so that nothing in it has a meaning of its own; the
/// last one may be the beginning of a word. Nothing when there is no word.
fn expression(query: &str) -> Option<String> {
    let mut words: Vec<String> = query
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .take(MAX_WORDS)
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
        .collect();
    words.last_mut()?.push('*');
    Some(words.join(" "))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_and_what_holds_no_word_is_left_out() {
        for (query, expected) in [
            ("", None),
            ("  \t\n\0", None),
            ("\" * ( ) - : ^ + {}", None),
            ("fix", Some("\"fix\"*")),
            ("fix bug", Some("\"fix\" \"bug\"*")),
            ("a OR b", Some("\"a\" \"OR\" \"b\"*")),
            ("say \"hi\"", Some("\"say\" \"\"\"hi\"\"\"*")),
            ("a\0b", Some("\"a\" \"b\"*")),
            ("NEAR(x, 5) -y", Some("\"NEAR(x,\" \"5)\" \"-y\"*")),
            ("日本 語", Some("\"日本\" \"語\"*")),
        ] {
            assert_eq!(expression(query).as_deref(), expected, "{query:?}");
        }
        let long = "word ".repeat(1000);
        assert_eq!(expression(&long).unwrap().split(' ').count(), MAX_WORDS);
    }
}
