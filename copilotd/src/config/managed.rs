//! The settings of whoever manages this machine: they win over every other source.
//!
//! The file belongs to the administrator and nobody else may write it. Whatever is wrong with it
//! is read strictly: what it says to deny is denied, what it says to allow is not allowed, and
//! allowing everything is forbidden until it is right. Nothing here is ever written.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::json::parse;
use super::load::{Section, deny, is_about_denials, kind_of, rules};
use super::settings::{Problem, Severity};
use super::watcher::{Seen, SettingsWatcher, follow};
use crate::permissions::Rule;

/// Names another folder for the managed settings, in test builds only.
#[cfg(feature = "pause-points")]
const FOLDER_VARIABLE: &str = "COPILOTD_MANAGED_DIR";

/// The managed settings in effect. The default is what no file means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managed {
    /// `permissions.allow`.
    pub allow: Vec<Rule>,
    /// `permissions.deny`.
    pub deny: Vec<Rule>,
    /// `permissions.allowAll` is false, or the file is not right.
    pub allow_all_forbidden: bool,
    /// `remote.allowed` is false, or the file is not right.
    pub remote_forbidden: bool,
    /// Something may be denied that could not be read, and never was.
    pub denials_unknown: bool,
    /// What is wrong with the file.
    pub problems: Vec<Problem>,
}

/// The folder of the managed settings: the platform's, which only an administrator can write.
#[must_use]
pub fn managed_folder() -> PathBuf {
    #[cfg(feature = "pause-points")]
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        return PathBuf::from(folder);
    }
    PathBuf::from(match cfg!(target_os = "macos") {
        true => "/Library/Application Support/copilotd",
        false => "/etc/copilotd",
    })
}

/// The file in `folder`.
#[must_use]
pub fn managed_file(folder: &Path) -> PathBuf {
    folder.join("managed-settings.json")
}

/// Reads the managed settings at `path` and keeps them current, as [`super::start`] does.
#[must_use = "the settings are kept current only as long as the watcher lives"]
pub fn start_managed(path: PathBuf) -> (watch::Receiver<Arc<Managed>>, SettingsWatcher) {
    let file = path.clone();
    follow(path, move |seen, previous| {
        read(seen, foreign_hands(&file), previous)
    })
}

/// From what was seen of the file to what is in effect. `foreign` says who else could have
/// written it.
fn read(seen: Seen, foreign: Option<String>, previous: Option<&Managed>) -> Managed {
    let nothing = Managed {
        denials_unknown: true,
        ..Managed::default()
    };
    let before = previous.unwrap_or(&nothing);
    let mut managed = match seen.text {
        Ok(None) => Managed::default(),
        Ok(Some(text)) => load(&text, before),
        Err(problem) => Managed {
            problems: vec![problem],
            ..before.clone()
        },
    };
    // What somebody else wrote may deny less than it should; that it denies is known.
    managed.denials_unknown =
        before.denials_unknown && managed.problems.iter().any(is_about_denials);
    if let Some(who) = foreign {
        managed.allow.clear();
        let message = format!(
            "{who}, so nothing is allowed because of this file and allowing everything is \
             forbidden; let only root own and write the file and its folder"
        );
        managed
            .problems
            .push(Problem::file(Severity::Error, message));
    }
    let is_wrong = |problem: &Problem| problem.severity == Severity::Error;
    managed.allow_all_forbidden |= managed.problems.iter().any(is_wrong);
    managed.remote_forbidden |= managed.problems.iter().any(is_wrong);
    managed.problems.extend(seen.unwatched);
    managed
}

fn load(text: &str, previous: &Managed) -> Managed {
    let values = match parse(text) {
        Ok(Value::Object(values)) => values,
        Ok(other) => {
            let message = format!("the settings must be an object, not {}", kind_of(&other));
            return broken(previous, Problem::file(Severity::Error, message));
        }
        Err((position, message)) => {
            let problem = Problem {
                position: Some(position),
                ..Problem::file(Severity::Error, message)
            };
            return broken(previous, problem);
        }
    };
    let mut problems = Vec::new();
    let mut top = Section::top(values, &mut problems);
    let mut managed = Managed::default();
    match top.take_object("permissions") {
        Ok(values) => {
            let mut section = top.inner("permissions", values.unwrap_or_default());
            managed.allow = section.take("allow", &Vec::new(), |value| {
                let (rules, mut wrong) = rules(value)?;
                match wrong.is_empty() {
                    true => Ok(rules),
                    false => Err(wrong.swap_remove(0)),
                }
            });
            managed.deny = deny(&mut section, &previous.deny);
            let allow_all = section.take("allowAll", &Some(false), |value| match value {
                Value::Bool(allowed) => Ok(Some(*allowed)),
                other => Err(format!("must be true or false, not {}", kind_of(other))),
            });
            managed.allow_all_forbidden = allow_all == Some(false);
            section.finish("allow, deny, allowAll");
        }
        Err(()) => managed.deny.clone_from(&previous.deny),
    }
    if let Ok(Some(values)) = top.take_object("remote") {
        let mut section = top.inner("remote", values);
        let allowed = section.take("allowed", &Some(false), |value| match value {
            Value::Bool(allowed) => Ok(Some(*allowed)),
            other => Err(format!("must be true or false, not {}", kind_of(other))),
        });
        managed.remote_forbidden = allowed == Some(false);
        section.finish("allowed");
    }
    top.values.remove("$schema");
    top.finish("permissions, remote");
    managed.problems = problems;
    managed
}

/// A file that says nothing: what was denied stays denied.
fn broken(previous: &Managed, problem: Problem) -> Managed {
    Managed {
        problems: vec![problem],
        ..previous.clone()
    }
}

/// Who else than the administrator may have written the file, as the beginning of a sentence.
/// `None` when nobody, and when there is no file.
#[cfg(unix)]
fn foreign_hands(file: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let real = match file.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("{} cannot be looked at ({error})", file.display())),
    };
    // A link is as safe as the folders on both of its ends.
    let folders = [file.parent(), real.parent()];
    for path in folders.into_iter().flatten().chain([real.as_path()]) {
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(error) => return Some(format!("{} cannot be looked at ({error})", path.display())),
        };
        if !is_administrator(found.uid()) {
            return Some(format!(
                "{} belongs to user {}",
                path.display(),
                found.uid()
            ));
        }
        let by_group = found.mode() & 0o020 != 0 && !is_administrators_group(found.gid());
        if by_group || found.mode() & 0o002 != 0 {
            return Some(format!("{} can be written by others", path.display()));
        }
    }
    None
}

/// Elsewhere nobody has said yet how to tell, so the file is not trusted.
#[cfg(not(unix))]
fn foreign_hands(file: &Path) -> Option<String> {
    let exists = file.exists();
    exists.then(|| format!("it cannot be told who can write {}", file.display()))
}

/// Root; in test builds also whoever runs them.
#[cfg(unix)]
fn is_administrator(user: u32) -> bool {
    user == 0 || cfg!(feature = "pause-points") && user == nix::unistd::geteuid().as_raw()
}

/// `wheel`, and on macOS `admin`, whose members are root whenever they like.
#[cfg(unix)]
fn is_administrators_group(group: u32) -> bool {
    group == 0 || cfg!(target_os = "macos") && group == 80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        Seen {
            text: Ok(Some(text.to_owned())),
            unwatched: None,
        }
    }

    fn written(rules: &[Rule]) -> Vec<String> {
        rules.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_right_file_says_what_holds() {
        let text = r#"{
            // For everybody.
            "permissions": {"allow": ["shell(ls)"], "deny": ["shell(git push)"], "allowAll": false},
            "remote": {"allowed": false},
        }"#;
        let managed = read(seen(text), None, None);
        assert_eq!(written(&managed.allow), ["shell(ls)"]);
        assert_eq!(written(&managed.deny), ["shell(git push)"]);
        assert!(managed.allow_all_forbidden && managed.remote_forbidden);
        assert!(!managed.denials_unknown);
        assert_eq!(managed.problems, []);
        let nothing = Seen {
            text: Ok(None),
            unwatched: None,
        };
        assert_eq!(read(nothing, None, Some(&managed)), Managed::default());
        let empty = read(seen("{}"), None, None);
        assert_eq!(empty, Managed::default());
    }

    #[test]
    fn what_is_wrong_is_read_strictly() {
        let good = read(
            seen(r#"{"permissions": {"allow": ["shell(ls)"], "deny": ["url"]}}"#),
            None,
            None,
        );
        assert!(!good.allow_all_forbidden && !good.remote_forbidden);
        assert!(read(seen(r#"{"remote": {"allowed": 1}}"#), None, None).remote_forbidden);
        assert!(!read(seen(r#"{"remote": {"allowed": true}}"#), None, None).remote_forbidden);
        // Each row: the file, whether it is somebody else's, what is allowed and denied then, and
        // whether more may be denied when it is the first that is seen.
        type Row = (
            &'static str,
            bool,
            &'static [&'static str],
            &'static [&'static str],
            bool,
        );
        let table: &[Row] = &[
            ("{ oops", false, &["shell(ls)"], &["url"], true),
            ("[]", false, &["shell(ls)"], &["url"], true),
            (r#"{"permissions": 3}"#, false, &[], &["url"], true),
            (
                r#"{"permissions": {"deny": ["write(a*)", "write(b)"]}}"#,
                false,
                &[],
                &["write(b)", "url"],
                true,
            ),
            (
                r#"{"permissions": {"allow": ["shell("], "deny": []}}"#,
                false,
                &[],
                &[],
                false,
            ),
            (
                r#"{"permissions": {"allowAll": "no"}}"#,
                false,
                &[],
                &[],
                false,
            ),
            (
                r#"{"permissions": {"allow": ["shell"], "deny": ["read"], "allowAll": true}}"#,
                true,
                &[],
                &["read"],
                false,
            ),
        ];
        for (text, foreign, allow, deny, unknown) in table {
            let foreign = || foreign.then(|| "it belongs to somebody".to_owned());
            let managed = read(seen(text), foreign(), Some(&good));
            assert_eq!(written(&managed.allow), *allow, "{text}");
            assert_eq!(written(&managed.deny), *deny, "{text}");
            assert!(managed.allow_all_forbidden, "{text}");
            assert!(!managed.denials_unknown, "{text}");
            assert!(!managed.problems.is_empty(), "{text}");
            let first = read(seen(text), foreign(), None);
            assert!(first.allow_all_forbidden, "{text}");
            assert_eq!(first.denials_unknown, *unknown, "{text}");
        }
        let unreadable = Seen {
            text: Err(Problem::file(Severity::Error, "no".to_owned())),
            unwatched: None,
        };
        let managed = read(unreadable, None, None);
        assert!(managed.allow_all_forbidden && managed.denials_unknown);
    }

    #[test]
    fn a_key_of_a_newer_version_is_only_a_warning() {
        let managed = read(seen(r#"{"newer": 1}"#), None, None);
        assert!(!managed.allow_all_forbidden);
        assert_eq!(managed.problems.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_write_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        let file = managed_file(&folder);
        assert_eq!(foreign_hands(&file), None);
        std::fs::write(&file, "{}").unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&file, 0o644);
        assert!(
            foreign_hands(&file).is_none() || !is_administrator(nix::unistd::geteuid().as_raw())
        );
        mode(&file, 0o646);
        assert!(foreign_hands(&file).is_some());
        mode(&file, 0o644);
        mode(&folder, 0o777);
        assert!(foreign_hands(&file).is_some());
    }
}
