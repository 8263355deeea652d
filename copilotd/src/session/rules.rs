//! Gathers the rules of a session from all of their sources, in the order in which they count.
//! Decides nothing: that is [`crate::permissions`].

use std::path::Path;

use super::Launch;
use crate::config::Repository;
use crate::host::Shared;
use crate::permissions::{Rule, RuleSet, Source};

/// The rules of a session in `folder` as they are now: settings and approvals change while it
/// runs. Reads a few names around the folder to find its repository.
pub fn rule_set(
    shared: &Shared,
    folder: &Path,
    launch: &Launch,
    session_rules: &[Rule],
) -> RuleSet {
    let (managed, managed_file) = shared.managed();
    let loaded = shared.loaded();
    let repository = Repository::of(folder);
    let approved: Vec<Rule> = shared
        .approvals
        .rules(&repository.identity)
        .iter()
        .map(|rule| rule.below(&repository.root))
        .collect();
    let settings = &loaded.settings.permissions;
    let from_settings = Source::Settings(shared.paths.settings_file());
    let from_managed = Source::Managed(managed_file.to_owned());
    let from = |rules: &[Rule], source: &Source| {
        let sourced = rules.iter().map(|rule| (rule.clone(), source.clone()));
        sourced.collect::<Vec<_>>()
    };
    let allow = [
        from(&managed.allow, &from_managed),
        from(&launch.allow, &Source::Flag),
        from(session_rules, &Source::Session),
        from(&approved, &Source::Here(repository.identity)),
        from(&settings.allow, &from_settings),
    ];
    let deny = [
        from(&managed.deny, &from_managed),
        from(&launch.deny, &Source::Flag),
        from(&settings.deny, &from_settings),
    ];
    let unread = |unknown, file: &Path| {
        let why = || {
            format!(
                "{} has a mistake; `copilot daemon status` names it",
                file.display()
            )
        };
        bool::then(unknown, why)
    };
    RuleSet {
        allow: allow.concat(),
        deny: deny.concat(),
        allow_all: launch.allow_all,
        allow_all_forbidden_by: managed.allow_all_forbidden.then(|| managed_file.to_owned()),
        folders: launch.add_dirs.clone(),
        denials_unknown: unread(managed.denials_unknown, managed_file)
            .or_else(|| unread(loaded.denials_unknown, &shared.paths.settings_file())),
        pinned: false,
        guard: shared.guard.clone(),
    }
}
