//! What an agent may never be allowed in advance: running our own programs and touching our
//! own files, or else it could answer its own requests. This is about asking a person first;
//! that an agent's connection may not answer at all is decided where connections are.

use std::path::{Path, PathBuf};

use super::Request;
use super::paths;
use super::subject::Subject;
use super::words;

/// Variables that lead to our own folders.
const OWN_VARIABLES: &[&str] = &["COPILOTD_HOME", "COPILOT_AGENT_STATE_DIR"];

/// Our own programs and folders, about which a person is always asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Config, data and runtime folders of this daemon; absolute.
    pub own_folders: Vec<PathBuf>,
    /// Names of our programs, without a folder.
    pub own_binaries: Vec<String>,
}

impl Default for Guard {
    /// Our programs, and no folders.
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Guard {
    /// Our programs, and these folders.
    #[must_use]
    pub fn new(own_folders: Vec<PathBuf>) -> Self {
        let own_binaries = ["copilot", "copilotd", "copilot-agent"];
        Self {
            own_folders,
            own_binaries: own_binaries.map(str::to_owned).to_vec(),
        }
    }

    /// Why a person must be asked about this whatever the rules allow, if so.
    pub(super) fn objection(
        &self,
        request: &Request,
        subject: &Subject,
        folder: &Path,
    ) -> Option<&'static str> {
        match (request, subject) {
            (Request::Shell { command }, Subject::Shell { words, crude }) => {
                let plain = words.as_deref().unwrap_or_default();
                if self.runs_us(plain) || crude.iter().any(|part| self.runs_us(part)) {
                    Some(
                        "the command runs Copilot itself, and an agent must not answer its own requests",
                    )
                } else if self.names_our_files(command, crude, folder) {
                    Some("the command names Copilot's own files, and rules never cover those")
                } else {
                    None
                }
            }
            (_, Subject::Write(places) | Subject::Read(places)) => self
                .resolved_folders()
                .any(|own| {
                    let contains_it = || {
                        places
                            .all
                            .iter()
                            .any(|place| paths::broadly_inside(&own, place))
                    };
                    places.any_inside(&own)
                        || (matches!(subject, Subject::Write(_)) && contains_it())
                })
                .then_some("it is in Copilot's own folders, and rules never cover those"),
            _ => None,
        }
    }

    /// The program, or one that another program of the same words may run, is ours.
    fn runs_us(&self, words: &[String]) -> bool {
        let is_ours = |word: &String| {
            let name = words::base_name(word);
            self.own_binaries
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name))
        };
        let mut rest = words.iter().skip_while(|word| words::is_assignment(word));
        match rest.next() {
            Some(program) if words::is_runner(program) => rest.any(is_ours),
            Some(program) => is_ours(program),
            None => false,
        }
    }

    fn names_our_files(&self, command: &str, crude: &[Vec<String>], folder: &Path) -> bool {
        if OWN_VARIABLES.iter().any(|name| command.contains(name)) {
            return true;
        }
        // By name only: a command can have very many words, and links inside them are the
        // business of the one who confirms it.
        let spelled: Vec<PathBuf> = crude
            .iter()
            .flatten()
            .flat_map(|word| word.split(['=', ':', ',']))
            .filter_map(|word| paths::expand_home(Path::new(word)))
            .map(|path| paths::normalise(&folder.join(path)))
            .collect();
        self.resolved_folders().any(|own| {
            own.to_str().is_some_and(|own| command.contains(own))
                || spelled.iter().any(|path| paths::broadly_inside(path, &own))
        })
    }

    /// Each folder as it was given and as it really is.
    fn resolved_folders(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.own_folders.iter().flat_map(|own| {
            let real = paths::resolve(own).filter(|real| real != own);
            std::iter::once(own.clone()).chain(real)
        })
    }
}
