//! What a person allowed "always here", by repository, kept in `approvals.json` in the data
//! folder: never in the repository, where others could write it.
//!
//! A file that cannot be understood is set aside under another name and reported; it is never
//! overwritten. A rule of a newer version is kept and has no effect.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::settings::{Problem, Severity};
use super::trusted::set_aside;
use crate::content::private;
use crate::permissions::Rule;

/// The layout of the file; frozen.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    repositories: Repositories,
}

/// Rules as people write them, by [`super::Repository::identity`]. Paths are relative to the top
/// of the working tree.
type Repositories = BTreeMap<PathBuf, Vec<String>>;

const VERSION: u32 = 1;
/// The most rules that one repository may have.
const MAX_RULES: usize = 1000;

/// Why an approval was not kept or taken back.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Nobody looks through that many.
    #[error(
        "{} has {MAX_RULES} approvals already; take some back with `copilot permissions reset`",
        repository.display()
    )]
    TooMany {
        /// The repository.
        repository: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the approvals {} cannot be saved: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The approvals of every repository.
#[derive(Debug)]
pub struct Approvals {
    file: PathBuf,
    /// The lock is held while the file is read and written, so that no change is lost.
    stored: Mutex<Repositories>,
}

impl Approvals {
    /// Reads the file, which need not exist. The problem, if any, is for the person.
    #[must_use]
    pub fn open(file: PathBuf) -> (Self, Option<Problem>) {
        let (stored, problem) = match read(&file) {
            Ok(read) => read,
            Err(error) => {
                let message = format!(
                    "{} cannot be read: {error}; what is approved in it is asked until it can",
                    file.display()
                );
                let problem = Problem::file(Severity::Error, message);
                (Repositories::new(), Some(problem))
            }
        };
        let stored = Mutex::new(stored);
        (Self { file, stored }, problem)
    }

    /// The rules of a repository, with relative paths.
    #[must_use]
    pub fn rules(&self, repository: &Path) -> Vec<Rule> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = stored.get(repository);
        let parse = |text: &String| {
            text.parse()
                .inspect_err(|error| tracing::warn!(%error, "an approval is not understood"))
                .ok()
        };
        texts.into_iter().flatten().filter_map(parse).collect()
    }

    /// Every approval: the repository and the rule.
    #[must_use]
    pub fn all(&self) -> Vec<(PathBuf, String)> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = |(repository, rules): (&PathBuf, &Vec<String>)| {
            let repository = repository.clone();
            let pair = move |rule: &String| (repository.clone(), rule.clone());
            rules.iter().map(pair).collect::<Vec<_>>()
        };
        stored.iter().flat_map(pairs).collect()
    }

    /// Adds a rule. On return it is on disk. The problem, if any, is as for [`Approvals::open`].
    ///
    /// # Errors
    /// When it cannot be kept; nothing has changed then.
    pub fn allow(&self, repository: &Path, rule: &Rule) -> Result<Option<Problem>, ApprovalError> {
        self.change(|repositories| {
            let rules = repositories.entry(repository.to_owned()).or_default();
            let text = rule.to_string();
            if rules.contains(&text) {
                return Ok(());
            }
            if rules.len() >= MAX_RULES {
                let repository = repository.to_owned();
                return Err(ApprovalError::TooMany { repository });
            }
            rules.push(text);
            Ok(())
        })
        .map(|((), problem)| problem)
    }

    /// Takes approvals back: of one repository or of all, one rule or every one. Returns how many.
    ///
    /// # Errors
    /// When the file cannot be changed; nothing has changed then.
    pub fn reset(
        &self,
        repository: Option<&Path>,
        rule: Option<&str>,
    ) -> Result<usize, ApprovalError> {
        self.change(|repositories| {
            let mut removed = 0;
            for (name, rules) in repositories.iter_mut() {
                if repository.is_none_or(|repository| repository == name) {
                    let before = rules.len();
                    rules.retain(|text| rule.is_some_and(|rule| rule != text));
                    removed += before - rules.len();
                }
            }
            repositories.retain(|_, rules| !rules.is_empty());
            Ok(removed)
        })
        .map(|(removed, _)| removed)
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Repositories) -> Result<T, ApprovalError>,
    ) -> Result<(T, Option<Problem>), ApprovalError> {
        let failed = |source| ApprovalError::File {
            file: self.file.clone(),
            source,
        };
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        // The file, not the memory, is the truth: a person may have taken something out.
        let (mut repositories, problem) = read(&self.file).map_err(failed)?;
        let before = repositories.clone();
        let changed = change(&mut repositories)?;
        if repositories != before {
            write(&self.file, &repositories).map_err(failed)?;
        }
        *stored = repositories;
        Ok((changed, problem))
    }
}

/// What is in the file; nothing when there is none. A file that is not understood is set aside,
/// and the problem says so. An error means that the file is still there.
fn read(file: &Path) -> io::Result<(Repositories, Option<Problem>)> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok((Repositories::new(), None));
        }
        Err(error) => return Err(error),
    };
    let why = match serde_json::from_slice::<Stored>(&bytes) {
        Ok(stored) if stored.version == VERSION => return Ok((stored.repositories, None)),
        Ok(stored) => format!(
            "it has version {}, and this copilotd reads {VERSION}",
            stored.version
        ),
        Err(error) => error.to_string(),
    };
    let aside = set_aside(file)?;
    let message = format!(
        "{} could not be understood ({why}); it was renamed to {}, and what was approved in it is \
         asked again",
        file.display(),
        aside.display()
    );
    let problem = Problem::file(Severity::Error, message);
    Ok((Repositories::new(), Some(problem)))
}

fn write(file: &Path, repositories: &Repositories) -> io::Result<()> {
    if let Some(parent) = file.parent() {
        private::create_folder(parent)?;
    }
    let stored = Stored {
        version: VERSION,
        repositories: repositories.clone(),
    };
    let mut json = serde_json::to_vec_pretty(&stored)?;
    json.push(b'\n');
    private::write_atomically(file, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    #[test]
    fn approvals_are_kept_listed_and_taken_back() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("data/approvals.json");
        let (one, two) = (Path::new("/src/one"), Path::new("/src/two"));
        let (approvals, problem) = Approvals::open(file.clone());
        assert_eq!(problem, None);
        for (repository, text) in [
            (one, "shell(git status)"),
            (one, "write(src/a)"),
            (one, "shell(git status)"),
            (two, "url(example.com)"),
        ] {
            assert_eq!(approvals.allow(repository, &rule(text)).unwrap(), None);
        }
        let (again, _) = Approvals::open(file.clone());
        assert_eq!(
            again.rules(one),
            [rule("shell(git status)"), rule("write(src/a)")]
        );
        assert_eq!(again.rules(Path::new("/src")), []);
        assert_eq!(again.all().len(), 3);
        assert_eq!(again.reset(Some(one), Some("write(src/a)")).unwrap(), 1);
        assert_eq!(again.reset(Some(one), Some("write(src/a)")).unwrap(), 0);
        assert_eq!(again.rules(one), [rule("shell(git status)")]);
        assert_eq!(again.reset(None, None).unwrap(), 2);
        assert_eq!(Approvals::open(file).0.all(), []);
    }

    #[test]
    fn the_file_is_frozen() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("approvals.json");
        let (approvals, _) = Approvals::open(file.clone());
        approvals
            .allow(Path::new("/p"), &rule("shell(ls)"))
            .unwrap();
        let written = "{\n  \"version\": 1,\n  \"repositories\": {\n    \"/p\": [\n      \
                       \"shell(ls)\"\n    ]\n  }\n}\n";
        assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("approvals.json");
        let newer = r#"{"version": 1, "repositories": {"/p": ["future(", "shell(ls)"]}}"#;
        std::fs::write(&file, newer).unwrap();
        let (approvals, _) = Approvals::open(file.clone());
        assert_eq!(approvals.rules(Path::new("/p")), [rule("shell(ls)")]);
        approvals
            .allow(Path::new("/p"), &rule("shell(id)"))
            .unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("future("));
        std::fs::write(&file, "{ oops").unwrap();
        let (approvals, problem) = Approvals::open(file);
        assert!(problem.unwrap().message.contains("was renamed to"));
        assert_eq!(approvals.all(), []);
    }
}
