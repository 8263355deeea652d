//! The order of the answers: deny, what is always asked, plainly harmless, allow, ask.

use std::path::{Path, PathBuf};

use super::subject::Subject;
use super::urls::Target;
use super::{AllowAll, Request, Rule, RuleSet, Source};
use super::{command, paths, protected};

/// What to do with a request. `why` is a sentence for people without its full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go on unasked.
    Allow {
        /// The rule and its source, or why none is needed.
        why: String,
    },
    /// Refuse unasked.
    Deny {
        /// The rule and its source.
        why: String,
    },
    /// A person decides.
    Ask {
        /// Why no rule could decide.
        why: String,
    },
}

/// Decides about a request of an agent that works in `folder` (absolute).
///
/// Looks at the names and links of the paths in question, so it may block for the time of a
/// few calls to the file system.
#[must_use]
pub fn decide(request: &Request, rules: &RuleSet, folder: &Path) -> Decision {
    let subject = Subject::of(request, folder);
    let denied = rules
        .deny
        .iter()
        .find(|(rule, _)| rule.denies(&subject, folder));
    if let Some((rule, source)) = denied {
        return Decision::Deny {
            why: format!("the rule `{rule}` {source} denies {}", noun(request)),
        };
    }
    if let Some(why) = rules.guard.objection(request, &subject, rules, folder) {
        return Decision::Ask { why };
    }
    if let Some(why) = &rules.denials_unknown {
        return Decision::Ask {
            why: format!("it is not known what is denied, because {why}"),
        };
    }
    let all = match rules.allow_all_forbidden_by {
        None => rules.allow_all,
        Some(_) => AllowAll::default(),
    };
    if let Subject::Shell { parsed, .. } = &subject {
        return with_prohibition(command::decide(parsed, rules, all, folder), rules);
    }
    let inside = is_inside(&subject, rules, folder);
    if matches!(subject, Subject::Read(_)) && inside {
        return Decision::Allow {
            why: "reading inside the session's folders needs no rule".to_owned(),
        };
    }
    let allowed = rules
        .allow
        .iter()
        .find(|(rule, _)| rule.allows(&subject, folder));
    if let Some((rule, source)) = allowed {
        return Decision::Allow {
            why: format!("the rule `{rule}` {source} allows {}", noun(request)),
        };
    }
    if is_covered(all, &subject, inside) {
        return Decision::Allow {
            why: "this session allows whatever no rule denies".to_owned(),
        };
    }
    let why = no_rule(request, &subject);
    with_prohibition(Decision::Ask { why }, rules)
}

/// The decision, which says it where something is asked because it is forbidden to allow
/// everything.
fn with_prohibition(decision: Decision, rules: &RuleSet) -> Decision {
    match (decision, &rules.allow_all_forbidden_by) {
        (Decision::Ask { mut why }, Some(file)) if rules.allow_all.is_any() => {
            let file = file.display();
            why.push_str(&format!(", and {file} forbids allowing everything"));
            Decision::Ask { why }
        }
        (decision, _) => decision,
    }
}

/// Whether allowing everything of a kind covers this.
fn is_covered(all: AllowAll, subject: &Subject, inside: bool) -> bool {
    match subject {
        Subject::Tool(_) => all.tools,
        Subject::Shell { .. } => false,
        Subject::Write(places) => all.tools && (inside || all.paths && places.certain),
        Subject::Read(places) => all.paths && places.certain,
        Subject::Url(target) => all.urls && target.as_ref().is_some_and(Target::is_plain_web),
    }
}

/// The rules that a lasting yes adds: they cover this request and as little else as possible,
/// one for each part of a command. None when no rules can be made, or when they would not help,
/// as for our own programs; the choice is not offered then.
#[must_use]
pub fn lasting_rules(request: &Request, rules: &RuleSet, folder: &Path) -> Vec<Rule> {
    let subject = Subject::of(request, folder);
    let narrowest = match &subject {
        Subject::Shell { parsed, .. } => command::narrowest(parsed, rules, folder),
        _ => Rule::narrowest(&subject).into_iter().collect(),
    };
    let mut with_them = rules.clone();
    let sourced = narrowest.iter().map(|rule| (rule.clone(), Source::Session));
    with_them.allow.extend(sourced);
    match decide(request, &with_them, folder) {
        Decision::Allow { .. } => narrowest,
        _ => Vec::new(),
    }
}

/// Where a path that is read or written really leads: absolute, without links, and what is to
/// be opened if it is allowed. `None` when that is not one place, and for everything else.
#[must_use]
pub fn real_path(request: &Request, folder: &Path) -> Option<PathBuf> {
    match Subject::of(request, folder) {
        Subject::Write(places) | Subject::Read(places) => places.only().map(Path::to_owned),
        _ => None,
    }
}

/// What a search that was allowed leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Absolute; these and what is in them.
    pub paths: Vec<PathBuf>,
    /// Files and folders of these names, whatever their case.
    pub names: &'static [&'static str],
}

/// What of the folder that a request wants to read must stay unread in a search of all of it:
/// what a rule denies, and what would be asked about by itself.
#[must_use]
pub fn withheld(request: &Request, rules: &RuleSet, folder: &Path) -> Withheld {
    let Subject::Read(places) = Subject::of(request, folder) else {
        return Withheld::default();
    };
    let denied = rules.deny.iter();
    let mut paths: Vec<PathBuf> = denied
        .filter_map(|(rule, _)| rule.unreadable_place(folder))
        .filter(|denied| {
            places
                .all
                .iter()
                .any(|top| paths::broadly_inside(denied, top))
        })
        .collect();
    paths.extend(rules.guard.withheld(&places));
    paths.sort();
    paths.dedup();
    Withheld {
        paths,
        names: protected::SECRET_NAMES,
    }
}

/// Whether a path can lead nowhere but into the session's folders.
fn is_inside(subject: &Subject, rules: &RuleSet, folder: &Path) -> bool {
    let (Subject::Read(places) | Subject::Write(places)) = subject else {
        return false;
    };
    std::iter::once(folder)
        .chain(rules.folders.iter().map(PathBuf::as_path))
        .filter_map(paths::resolve)
        .any(|top| places.all_inside(&top))
}

fn no_rule(request: &Request, subject: &Subject) -> String {
    match subject {
        Subject::Url(None) => "the URL cannot be read, so no rule can allow it".to_owned(),
        Subject::Url(Some(target)) if target.has_userinfo => {
            "the URL has a user name in it, so no rule can allow it".to_owned()
        }
        Subject::Write(places) | Subject::Read(places) if !places.certain => {
            "it cannot be told where the path leads, so no rule can allow it".to_owned()
        }
        Subject::Read(_) => {
            "the path is outside the session's folders, and no rule allows reading it".to_owned()
        }
        _ => format!("no rule allows {}", noun(request)),
    }
}

fn noun(request: &Request) -> &'static str {
    match request {
        Request::Shell { .. } => "this command",
        Request::Write { .. } => "writing this path",
        Request::Read { .. } => "reading this path",
        Request::Url { .. } => "this URL",
        Request::Tool { .. } => "this tool",
    }
}
