//! The URIs by which session states refer to content. They say what is meant, not that it may
//! be read.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const CONTENT: &str = "copilot-content:/";
const OUTPUT: &str = "copilot-output:/";

/// A reference to content. `Display` writes it and `FromStr` reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentUri {
    /// `copilot-content:/<session>/<sha256>?from=BYTE&to=BYTE`
    Content {
        /// The session's uuid; checked when it is read.
        session: String,
        /// The name of the blob; checked when it is read.
        sha256: String,
        /// The part that is meant, as for [`ContentUri::Output`].
        range: Option<Range<u64>>,
    },
    /// `copilot-output:/<session>/<tool call id>?from=BYTE&to=BYTE`
    Output {
        /// The session's uuid; checked when it is read.
        session: String,
        /// As the agent gave it.
        tool_call_id: String,
        /// The part that is meant, in bytes; all of it when absent. An end of `u64::MAX`
        /// means to the end, and is not written.
        range: Option<Range<u64>>,
    },
}

/// The text is not a reference to content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{uri}` does not name a content of this host: {why}")]
pub struct UriError {
    /// The text, as it was given.
    pub uri: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl ContentUri {
    /// The part of it that is meant; all of it when absent.
    #[must_use]
    pub fn range(&self) -> Option<&Range<u64>> {
        match self {
            Self::Content { range, .. } | Self::Output { range, .. } => range.as_ref(),
        }
    }

    /// The same content, all of it.
    #[must_use]
    pub fn without_range(&self) -> Self {
        let mut whole = self.clone();
        match &mut whole {
            Self::Content { range, .. } | Self::Output { range, .. } => *range = None,
        }
        whole
    }
}

impl fmt::Display for ContentUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content {
                session,
                sha256,
                range,
            } => {
                write!(f, "{CONTENT}{session}/{sha256}")?;
                write_range(f, range.as_ref())
            }
            Self::Output {
                session,
                tool_call_id,
                range,
            } => {
                let id = utf8_percent_encode(tool_call_id, ENCODED);
                write!(f, "{OUTPUT}{session}/{id}")?;
                write_range(f, range.as_ref())
            }
        }
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, range: Option<&Range<u64>>) -> fmt::Result {
    match range {
        None => Ok(()),
        Some(Range {
            start,
            end: u64::MAX,
        }) => write!(f, "?from={start}"),
        Some(Range { start, end }) => write!(f, "?from={start}&to={end}"),
    }
}

impl FromStr for ContentUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        parse(uri).map_err(|why| UriError {
            uri: uri.chars().take(200).collect(),
            why,
        })
    }
}

fn parse(uri: &str) -> Result<ContentUri, &'static str> {
    let is_content = uri.starts_with(CONTENT);
    let scheme = if is_content { CONTENT } else { OUTPUT };
    let rest = uri
        .strip_prefix(scheme)
        .ok_or("it begins with neither of our schemes")?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let (session, id) = path.split_once('/').ok_or("it names no session")?;
    if id.contains(['/', '#']) {
        return Err("there is something after the name");
    }
    if is_content {
        return Ok(ContentUri::Content {
            session: session.to_owned(),
            sha256: id.to_owned(),
            range: query.map(range).transpose()?,
        });
    }
    let id = percent_decode_str(id)
        .decode_utf8()
        .map_err(|_| "the tool call's id is not UTF-8 text")?;
    Ok(ContentUri::Output {
        session: session.to_owned(),
        tool_call_id: id.into_owned(),
        range: query.map(range).transpose()?,
    })
}

fn range(query: &str) -> Result<Range<u64>, &'static str> {
    let (mut from, mut to) = (None, None);
    for part in query.split('&') {
        let (name, value) = part
            .split_once('=')
            .ok_or("its range is not `from=…&to=…`")?;
        let bound = match name {
            "from" => &mut from,
            "to" => &mut to,
            _ => return Err("its range has something besides `from` and `to`"),
        };
        let number = value
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| value.parse().ok());
        let number = number.flatten().ok_or("its range is not in numbers")?;
        if bound.replace(number).is_some() {
            return Err("its range says the same thing twice");
        }
    }
    let range = from.unwrap_or(0)..to.unwrap_or(u64::MAX);
    if range.start > range.end {
        return Err("its range ends before it begins");
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output(tool_call_id: &str, range: Option<Range<u64>>) -> ContentUri {
        let (session, tool_call_id) = ("s".to_owned(), tool_call_id.to_owned());
        ContentUri::Output {
            session,
            tool_call_id,
            range,
        }
    }

    #[test]
    fn the_written_form_is_frozen() {
        let content = |range| ContentUri::Content {
            session: "s".to_owned(),
            sha256: "abc".to_owned(),
            range,
        };
        let table = [
            (content(None), "copilot-content:/s/abc"),
            (content(Some(2..5)), "copilot-content:/s/abc?from=2&to=5"),
            (output("call-1", None), "copilot-output:/s/call-1"),
            (
                output("a/b ä?#%", None),
                "copilot-output:/s/a%2Fb%20%C3%A4%3F%23%25",
            ),
            (
                output("../x", Some(1..9)),
                "copilot-output:/s/..%2Fx?from=1&to=9",
            ),
            (output("c", Some(7..u64::MAX)), "copilot-output:/s/c?from=7"),
            (output("", None), "copilot-output:/s/"),
        ];
        for (uri, written) in table {
            assert_eq!(uri.to_string(), written);
            assert_eq!(written.parse().as_ref(), Ok(&uri), "{written}");
        }
        assert_eq!(
            "copilot-output:/s/c?to=4".parse(),
            Ok(output("c", Some(0..4)))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "file:///etc/passwd",
            "copilot-content:",
            "copilot-content:/s",
            "copilot-content:/s/a/b",
            "copilot-content:/s/a?from=",
            "copilot-output:/s",
            "copilot-output:/s/a/b",
            "copilot-output:/s/a?",
            "copilot-output:/s/a?from=x",
            "copilot-output:/s/a?from=+1",
            "copilot-output:/s/a?from=",
            "copilot-output:/s/a#x",
            "copilot-output:/s/a?from=1&from=2",
            "copilot-output:/s/a?x=1",
            "copilot-output:/s/a?from=2&to=1",
            "copilot-output:/s/%ff",
            "copilot-output:/s/a?from=99999999999999999999",
        ] {
            assert!(text.parse::<ContentUri>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_id_is_read_back(id in any::<String>(), from in any::<u64>()) {
            let uri = output(&id, Some(from..u64::MAX));
            prop_assert_eq!(uri.to_string().parse::<ContentUri>(), Ok(uri));
        }

        #[test]
        fn no_text_breaks_the_parser(text in any::<String>()) {
            let _ = text.parse::<ContentUri>();
            let _ = format!("{OUTPUT}{text}").parse::<ContentUri>();
        }
    }
}
