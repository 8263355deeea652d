//! The order of the answers: deny, our own things, plainly harmless, allow, ask.

use std::path::Path;

use super::paths;
use super::subject::Subject;
use super::{Request, Rule, RuleSet, Source};

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
    if let Some(why) = rules.guard.objection(request, &subject, folder) {
        return Decision::Ask {
            why: why.to_owned(),
        };
    }
    if is_read_inside(&subject, folder) {
        return Decision::Allow {
            why: "reading inside the session's folder needs no rule".to_owned(),
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
    if rules.allow_all {
        return match unseen_denial(request, &subject, rules) {
            Some(why) => Decision::Ask { why },
            None => Decision::Allow {
                why: "this session allows whatever no rule denies".to_owned(),
            },
        };
    }
    Decision::Ask {
        why: no_rule(request, &subject),
    }
}

/// The rule that the choice "for this session" would add: it covers this request and as
/// little else as possible. `None` when no rule can be made, as for a compound command, or
/// when a rule would not help, as for our own programs; the choice is not offered then.
#[must_use]
pub fn session_rule(request: &Request, rules: &RuleSet, folder: &Path) -> Option<Rule> {
    let rule = Rule::narrowest(&Subject::of(request, folder))?;
    let mut with_it = rules.clone();
    with_it.allow.push((rule.clone(), Source::Session));
    matches!(decide(request, &with_it, folder), Decision::Allow { .. }).then_some(rule)
}

fn is_read_inside(subject: &Subject, folder: &Path) -> bool {
    match subject {
        Subject::Read(places) => {
            paths::resolve(folder).is_some_and(|folder| places.all_inside(&folder))
        }
        _ => false,
    }
}

/// Something that cannot be read, while rules exist that might deny it if it could.
fn unseen_denial(request: &Request, subject: &Subject, rules: &RuleSet) -> Option<String> {
    if !rules
        .deny
        .iter()
        .any(|(rule, _)| rule.kind() == request.kind())
    {
        return None;
    }
    let what = match subject {
        Subject::Shell {
            words: Err(what), ..
        } => format!("the command has {}", what.0),
        Subject::Url(None) => "the URL cannot be read".to_owned(),
        Subject::Write(places) | Subject::Read(places) if !places.certain => {
            "it cannot be told where the path leads".to_owned()
        }
        _ => return None,
    };
    Some(format!(
        "{what}, so it is not certain that no rule denies it"
    ))
}

fn no_rule(request: &Request, subject: &Subject) -> String {
    match subject {
        Subject::Shell {
            words: Err(what), ..
        } => {
            format!(
                "the command has {}, and rules allow only plain commands",
                what.0
            )
        }
        Subject::Url(None) => "the URL cannot be read, so no rule can allow it".to_owned(),
        Subject::Url(Some(target)) if target.has_userinfo => {
            "the URL has a user name in it, so no rule can allow it".to_owned()
        }
        Subject::Write(places) | Subject::Read(places) if !places.certain => {
            "it cannot be told where the path leads, so no rule can allow it".to_owned()
        }
        Subject::Read(_) => {
            "the path is outside the session's folder, and no rule allows reading it".to_owned()
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
