//! Whether a request would change something, which is what plan mode goes by.
//!
//! A function of the request alone: rules have no say in it. What is not plainly harmless
//! counts as a change.

use std::path::Path;

use super::{Decision, Request, RuleSet, decide, shell};

/// What carrying out a request would do to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    ReadOnly,
    /// Nothing here, but somebody elsewhere is told what is asked for.
    Fetches,
    /// Something, or it cannot be told.
    Changes {
        /// A clause for people.
        why: String,
    },
}

/// What carrying out `request` would do, for an agent that works in `folder`.
#[must_use]
pub fn effect(request: &Request, folder: &Path) -> Effect {
    let changes = |why: &str| Effect::Changes {
        why: why.to_owned(),
    };
    match request {
        Request::Shell { command } => match shell::read_only(command, folder) {
            Ok(()) => Effect::ReadOnly,
            Err(why) => Effect::Changes { why },
        },
        Request::Write { .. } => changes("this writes a file"),
        Request::Tool { .. } => changes("it is not known what this tool changes"),
        Request::Read { .. } => Effect::ReadOnly,
        Request::Url { .. } => Effect::Fetches,
    }
}

/// Decides about a request in plan mode: what would change something is denied whatever the
/// rules say, and nothing is fetched unless a person says so. For the rest the rules count.
#[must_use]
pub fn decide_in_plan_mode(request: &Request, rules: &RuleSet, folder: &Path) -> Decision {
    let effect = effect(request, folder);
    if let Effect::Changes { why } = effect {
        return Decision::Deny {
            why: format!("nothing is changed in plan mode, and {why}"),
        };
    }
    match decide(request, rules, folder) {
        Decision::Allow { .. } if effect == Effect::Fetches => Decision::Ask {
            why: "nothing is fetched in plan mode unless a person says so".to_owned(),
        },
        decision => decision,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AllowAll, Source};
    use super::*;

    fn shell(command: &str) -> Request {
        Request::Shell {
            command: command.into(),
        }
    }

    fn url(url: &str) -> Request {
        Request::Url {
            url: url.into(),
            addresses: Vec::new(),
        }
    }

    fn all_kinds() -> Vec<(Request, &'static str)> {
        let tool = |name: &str| Request::Tool { name: name.into() };
        vec![
            (shell("touch x"), "changes"),
            (shell("echo x > y"), "changes"),
            (shell("curl https://example.com"), "changes"),
            (shell("cat README.md | grep x"), "reads"),
            (shell("git status"), "reads"),
            (shell("cat $(touch x)"), "changes"),
            (shell("find . -delete"), "changes"),
            (shell("if"), "changes"),
            (Request::Write { path: "x".into() }, "changes"),
            (
                Request::Write {
                    path: "/tmp/x".into(),
                },
                "changes",
            ),
            (tool("anything"), "changes"),
            (tool("memory(read)"), "changes"),
            (Request::Read { path: "x".into() }, "reads"),
            (
                Request::Read {
                    path: "/etc/passwd".into(),
                },
                "reads",
            ),
            (url("https://example.com"), "fetches"),
            (url("nonsense"), "fetches"),
        ]
    }

    fn word(effect: &Effect) -> &'static str {
        match effect {
            Effect::ReadOnly => "reads",
            Effect::Fetches => "fetches",
            Effect::Changes { .. } => "changes",
        }
    }

    #[test]
    fn what_is_not_plainly_harmless_is_a_change() {
        for (request, expected) in all_kinds() {
            let effect = effect(&request, Path::new("/srv/project"));
            assert_eq!(word(&effect), expected, "{request:?}");
        }
    }

    #[test]
    fn no_rule_allows_a_change_or_a_fetch_in_plan_mode() {
        let everything = ["shell", "write", "read", "url", "anything", "memory(read)"];
        let rules = RuleSet {
            allow: everything
                .iter()
                .map(|rule| (rule.parse().unwrap(), Source::Flag))
                .collect(),
            allow_all: AllowAll::EVERYTHING,
            ..RuleSet::default()
        };
        for (request, kind) in all_kinds() {
            let decision = decide_in_plan_mode(&request, &rules, Path::new("/srv/project"));
            let expected = match (kind, &decision) {
                ("changes", Decision::Deny { why }) => {
                    why.starts_with("nothing is changed in plan mode")
                }
                ("fetches", Decision::Ask { .. }) | ("reads", Decision::Allow { .. }) => true,
                _ => false,
            };
            assert!(expected, "{request:?}: {decision:?}");
        }
    }

    #[test]
    fn rules_still_deny_and_ask_in_plan_mode() {
        let rules = RuleSet {
            deny: vec![("url".parse().unwrap(), Source::Flag)],
            ..RuleSet::default()
        };
        let url = url("https://example.com");
        let outside = Request::Read {
            path: "/etc/passwd".into(),
        };
        let folder = Path::new("/srv/project");
        assert!(matches!(
            decide_in_plan_mode(&url, &rules, folder),
            Decision::Deny { .. }
        ));
        assert!(matches!(
            decide_in_plan_mode(&outside, &rules, folder),
            Decision::Ask { .. }
        ));
    }
}
