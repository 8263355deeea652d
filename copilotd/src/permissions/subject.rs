//! A request, looked at once: the words of its command, the places of its path, the host of
//! its URL. Rules and the guard read this, so that all of them see the same thing.

use std::path::Path;

use super::Request;
use super::paths::Places;
use super::shell::{self, Parsed};
use super::urls::Target;
use super::words;

/// What a request is about.
#[derive(Debug)]
pub(super) enum Subject {
    /// What the command starts and opens, and its words as they stand in the text.
    Shell {
        parsed: Box<Parsed>,
        crude: Vec<Vec<String>>,
    },
    Write(Places),
    Read(Places),
    /// `None` when the text is not a URL that can be relied on.
    Url(Option<Target>),
    Tool(String),
}

impl Subject {
    pub(super) fn of(request: &Request, folder: &Path) -> Self {
        match request {
            Request::Shell { command } => Self::Shell {
                parsed: Box::new(shell::parse(command)),
                crude: words::crude(command),
            },
            Request::Write { path } => Self::Write(Places::of(path, folder)),
            Request::Read { path } => Self::Read(Places::of(path, folder)),
            Request::Url { url, .. } => Self::Url(Target::parse(url)),
            Request::Tool { name } => Self::Tool(name.clone()),
        }
    }
}
