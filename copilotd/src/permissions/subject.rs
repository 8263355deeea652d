//! A request, looked at once: the words of its command, the places of its path, the host of
//! its URL. Rules and the guard read this, so that all of them see the same thing.

use std::path::Path;

use super::Request;
use super::paths::Places;
use super::urls::Target;
use super::words::{self, NotSimple};

/// What a request is about.
#[derive(Debug)]
pub(super) enum Subject {
    /// `words` when the command is plain; `crude` always.
    Shell {
        words: Result<Vec<String>, NotSimple>,
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
                words: words::split(command),
                crude: words::crude(command),
            },
            Request::Write { path } => Self::Write(Places::of(path, folder)),
            Request::Read { path } => Self::Read(Places::of(path, folder)),
            Request::Url { url, .. } => Self::Url(Target::parse(url)),
            Request::Tool { name } => Self::Tool(name.clone()),
        }
    }
}
