//! What a person is asked about whatever the rules allow: running our own programs and touching
//! our own files, or else an agent could answer its own requests; changing the managed settings;
//! addresses that are not of the public internet. And what only a rule that names it allows:
//! see [`protected`]. This is about asking a person first; that an agent's connection may not
//! answer at all is decided where connections are.

use std::path::{Path, PathBuf};

use super::paths::{self, Places};
use super::protected::{self, Access};
use super::shell;
use super::subject::Subject;
use super::urls;
use super::words;
use super::{Request, RuleSet};

/// Variables that lead to our own folders.
const OWN_VARIABLES: &[&str] = &["COPILOTD_HOME", "COPILOT_AGENT_STATE_DIR"];

/// Our own programs and folders, about which a person is always asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Config, data and runtime folders of this daemon; absolute.
    pub own_folders: Vec<PathBuf>,
    /// Names of our programs, without a folder.
    pub own_binaries: Vec<String>,
    /// The folder of the managed settings; absolute.
    pub managed_folder: Option<PathBuf>,
    /// The person's home folder, where their secrets are.
    pub home: Option<PathBuf>,
}

impl Default for Guard {
    /// Our programs, and no folders but the home folder.
    fn default() -> Self {
        Self::new(Vec::new(), None)
    }
}

impl Guard {
    /// Our programs and these folders, in the home folder of this process.
    #[must_use]
    pub fn new(own_folders: Vec<PathBuf>, managed_folder: Option<PathBuf>) -> Self {
        let own_binaries = ["copilot", "copilotd", "copilot-agent"];
        Self {
            own_folders,
            own_binaries: own_binaries.map(str::to_owned).to_vec(),
            managed_folder,
            home: std::env::home_dir().filter(|home| home.is_absolute()),
        }
    }

    /// Why a person must be asked about this whatever the rules allow, if so.
    pub(super) fn objection(
        &self,
        request: &Request,
        subject: &Subject,
        rules: &RuleSet,
        folder: &Path,
    ) -> Option<String> {
        let why = match (request, subject) {
            (Request::Shell { command }, Subject::Shell { parsed, crude }) => {
                let known = |simple: &shell::Simple| simple.known_words();
                if parsed.all().any(|simple| self.runs_us(&known(simple)))
                    || crude.iter().any(|part| self.runs_us(part))
                {
                    "the command runs Copilot itself, and an agent must not answer its own requests"
                } else if self.names_our_files(command, crude, folder) {
                    "the command names Copilot's own files, and rules never cover those"
                } else {
                    return None;
                }
            }
            (Request::Url { addresses, .. }, Subject::Url(Some(target))) => {
                let is_private = |address: &std::net::IpAddr| urls::is_private(*address);
                if !target.is_private() && !addresses.iter().any(is_private) {
                    return None;
                }
                "the address is on this machine or in a private network, and rules never cover those"
            }
            (_, Subject::Write(places)) => {
                return self.objection_to_path(places, Access::Write, subject, rules, folder);
            }
            (_, Subject::Read(places)) => {
                return self.objection_to_path(places, Access::Read, subject, rules, folder);
            }
            _ => return None,
        };
        Some(why.to_owned())
    }

    fn objection_to_path(
        &self,
        places: &Places,
        access: Access,
        subject: &Subject,
        rules: &RuleSet,
        folder: &Path,
    ) -> Option<String> {
        let is_write = access == Access::Write;
        let moves = |own: &PathBuf| {
            let place_holds_it = |place: &PathBuf| paths::broadly_inside(own, place);
            is_write && places.all.iter().any(place_holds_it)
        };
        if self
            .resolved_folders()
            .any(|own| places.any_inside(&own) || moves(&own))
        {
            return Some("it is in Copilot's own folders, and rules never cover those".to_owned());
        }
        let managed = self.managed_folder.as_ref().filter(|_| is_write);
        if managed.is_some_and(|managed| places.any_inside(managed) || moves(managed)) {
            return Some("managed settings are kept there, and rules never cover those".to_owned());
        }
        let is_named = |top: &Path| {
            let names = |rule: &super::Rule| rule.names(subject, top, folder);
            rules.allow.iter().any(|(rule, _)| names(rule))
        };
        if let Some(found) = protected::protection(places, self.home.as_deref(), access)
            && !is_named(&found.top)
        {
            return Some(found.why.to_owned());
        }
        if is_write && places.has_other_names && !places.all.iter().any(|place| is_named(place)) {
            return Some(
                "the file has other names as well (hard links), which would change with it"
                    .to_owned(),
            );
        }
        None
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

    /// What is left out when everything below `places` is searched: folders and files that a
    /// request for one of them would be asked about, as far as they are there.
    pub(super) fn withheld(&self, places: &Places) -> Vec<PathBuf> {
        let own = self.resolved_folders();
        own.chain(protected::secret_folders(self.home.as_deref()))
            .filter(|secret| {
                let holds_it =
                    |place: &PathBuf| place != secret && paths::broadly_inside(secret, place);
                places.all.iter().any(holds_it) && secret.exists()
            })
            .collect()
    }
}
