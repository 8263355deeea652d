//! Commands: whether everything that the shell would start and open for one is allowed.
//!
//! Denials and the guard come before this. Must hold, for any rules and any text: what is
//! allowed here starts nothing but commands that a rule allows or that only read, and opens
//! nothing but files that may be opened.

use std::path::{Path, PathBuf};

use super::decide::{decide as decide_path, withheld};
use super::shell::{self, Command, Parsed, Reach, Read};
use super::subject::Subject;
use super::{AllowAll, Decision, Request, Rule, RuleSet, paths};

/// A command may go to no more folders than these.
const MAX_FOLDERS: usize = 16;
/// A search in more files and folders than these is not looked at.
const MAX_SEARCHED: usize = 50_000;

/// Decides about a command that no rule denies as it stands.
pub(super) fn decide(parsed: &Parsed, rules: &RuleSet, all: AllowAll, folder: &Path) -> Decision {
    let judge = match Judge::new(parsed, rules, folder) {
        Ok(judge) => judge,
        Err(decision) => return decision,
    };
    let opened = match judge.opened() {
        Ok(()) => None,
        Err(denied @ Decision::Deny { .. }) => return denied,
        Err(asked) => Some(asked),
    };
    if let Some(why) = judge.unseen_denial() {
        return Decision::Ask { why };
    }
    match judge.denied_reads() {
        Some(denied @ Decision::Deny { .. }) => return denied,
        Some(asked) => return opened.unwrap_or(asked),
        None => {}
    }
    if all.tools {
        return opened.unwrap_or_else(|| allow("this session allows whatever no rule denies"));
    }
    if let Some(problem) = &parsed.problem {
        return Decision::Ask {
            why: format!("the command has {problem}, so no rule can allow it"),
        };
    }
    let decided = judge.commands();
    match (decided, opened) {
        (denied @ Decision::Deny { .. }, _) => denied,
        (_, Some(asked)) => asked,
        (decided, None) => decided,
    }
}

/// The rules that would allow all of a command that is asked about: one for each part, and each
/// as narrow as can be. Empty when no rules can.
pub(super) fn narrowest(parsed: &Parsed, rules: &RuleSet, folder: &Path) -> Vec<Rule> {
    let Ok(judge) = Judge::new(parsed, rules, folder) else {
        return Vec::new();
    };
    let mut wanted = Vec::new();
    for command in &parsed.commands {
        if judge.covered(command).is_ok() {
            continue;
        }
        match Rule::for_command(&command.simple) {
            Some(rule) if !wanted.contains(&rule) => wanted.push(rule),
            Some(_) => {}
            None => return Vec::new(),
        }
    }
    for (request, decision) in judge.files() {
        match (&decision, Rule::narrowest(&Subject::of(&request, folder))) {
            (Decision::Allow { .. }, _) => {}
            (Decision::Ask { .. }, Some(rule)) if !wanted.contains(&rule) => wanted.push(rule),
            (Decision::Ask { .. }, Some(_)) => {}
            _ => return Vec::new(),
        }
    }
    wanted
}

fn allow(why: &str) -> Decision {
    Decision::Allow {
        why: why.to_owned(),
    }
}

struct Judge<'a> {
    parsed: &'a Parsed,
    rules: &'a RuleSet,
    /// Where the parts of the command may run: what is relative is looked at in all of them.
    folders: Vec<PathBuf>,
}

impl<'a> Judge<'a> {
    fn new(parsed: &'a Parsed, rules: &'a RuleSet, folder: &Path) -> Result<Self, Decision> {
        let mut folders = vec![folder.to_owned()];
        for target in parsed.all().flat_map(shell::entered) {
            let more: Vec<PathBuf> = folders.iter().map(|from| from.join(&target)).collect();
            for place in more {
                if !folders.contains(&place) {
                    folders.push(place);
                }
            }
            if folders.len() > MAX_FOLDERS {
                return Err(Decision::Ask {
                    why: "the command goes to more folders than can be looked at".to_owned(),
                });
            }
        }
        Ok(Self {
            parsed,
            rules,
            folders,
        })
    }

    /// What is decided about each file that the shell itself opens.
    fn files(&self) -> Vec<(Request, Decision)> {
        let mut files = Vec::new();
        for file in &self.parsed.redirections {
            for folder in &self.folders {
                let path = folder.join(&file.path);
                let request = if file.writes {
                    Request::Write { path }
                } else {
                    Request::Read { path }
                };
                // A redirection does not know `~`; the shell has no file of that name in mind.
                let decision = self.path(&request);
                files.push((request, decision));
            }
        }
        files
    }

    /// Whether every file that the shell itself opens may be.
    fn opened(&self) -> Result<(), Decision> {
        let mut asked = None;
        for (_, decision) in self.files() {
            match decision {
                Decision::Allow { .. } => {}
                Decision::Deny { .. } => return Err(decision),
                Decision::Ask { .. } => {
                    asked.get_or_insert(decision);
                }
            }
        }
        asked.map_or(Ok(()), Err)
    }

    fn path(&self, request: &Request) -> Decision {
        // The first of them is the session's.
        match self.folders.first() {
            Some(folder) => decide_path(request, self.rules, folder),
            None => Decision::Ask {
                why: "it is not known where the command runs".to_owned(),
            },
        }
    }

    /// A rule that might deny this, if it could be read.
    fn unseen_denial(&self) -> Option<String> {
        let denials = || {
            self.rules
                .deny
                .iter()
                .filter(|(rule, _)| rule.kind() == "shell")
        };
        let what = match &self.parsed.problem {
            Some(problem) if denials().next().is_some() => format!("the command has {problem}"),
            _ => {
                let hidden = |simple| denials().any(|(rule, _)| rule.may_deny(simple));
                let simple = self.parsed.all().find(|simple| hidden(simple))?;
                format!("not all of `{}` can be read", shell::shown(simple))
            }
        };
        Some(format!(
            "{what}, so it is not certain that no rule denies it"
        ))
    }

    /// What rules say about reading counts also for a command that a rule allows, as far as it
    /// is known what it reads.
    fn denied_reads(&self) -> Option<Decision> {
        let mut denials = self
            .rules
            .deny
            .iter()
            .filter(|(rule, _)| rule.kind() == "read");
        denials.next()?;
        let mut asked = None;
        for read in self
            .parsed
            .every()
            .flat_map(|command| command.reads().unwrap_or_default())
        {
            for folder in &self.folders {
                let path = folder.join(&read.path);
                let denied = self.path(&Request::Read { path: path.clone() });
                if matches!(denied, Decision::Deny { .. }) {
                    return Some(denied);
                }
                if read.reach == Reach::Below
                    && let Some(why) = self.hidden_below(&path, false)
                {
                    asked = Some(Decision::Ask { why });
                }
            }
        }
        asked
    }

    fn commands(&self) -> Decision {
        if let Some(decision) = self.only_reads() {
            return decision;
        }
        let mut used = None;
        for command in &self.parsed.commands {
            match self.covered(command) {
                Ok(rule) => used = used.or(rule),
                Err(decision) => return decision,
            }
        }
        match (used, self.parsed.commands.as_slice()) {
            (Some(why), [_]) => allow(&format!("{why} allows this command")),
            (Some(why), _) => allow(&format!(
                "{why} allows a part of this command, and every other part is allowed too"
            )),
            (None, _) => allow("every part of this command only reads"),
        }
    }

    /// Allowed, when all of the command only reads: then even git can be kept from running
    /// anything.
    fn only_reads(&self) -> Option<Decision> {
        if self.parsed.redirections.iter().any(|file| file.writes) {
            return None;
        }
        let mut reads = Vec::new();
        for command in &self.parsed.commands {
            if command.needs_pins() && !self.rules.pinned {
                return None;
            }
            reads.extend(command.reads().ok()?);
        }
        self.readable(&reads).ok()?;
        Some(allow(
            "the command only reads, and only in the session's folder",
        ))
    }

    /// Whether a part is allowed; the rule that does it, if one was needed.
    fn covered(&self, command: &Command) -> Result<Option<String>, Decision> {
        let simple = &command.simple;
        let moves = self.folders.len() > 1;
        let by_rule = self
            .rules
            .allow
            .iter()
            .find(|(rule, _)| rule.covers(simple));
        if let Some((rule, source)) = by_rule
            && !(moves && shell::is_relative(simple))
        {
            return Ok(Some(format!("the rule `{rule}` {source}")));
        }
        let mut why = match command.reads() {
            Ok(reads) if reads.iter().any(|read| read.reach == Reach::Repository) => {
                "git is read-only only in a command that is read-only as a whole".to_owned()
            }
            Ok(_) if command.needs_pins() && !self.rules.pinned => {
                "it may be configured to run something else".to_owned()
            }
            Ok(reads) => match self.readable(&reads) {
                Ok(()) => return Ok(None),
                Err(decision) => return Err(decision),
            },
            Err(why) => why,
        };
        if let Some(inner) = &command.inner {
            let mut used = None;
            let mut all = true;
            for part in inner {
                match self.covered(part) {
                    Ok(rule) => used = used.or(rule),
                    Err(denied @ Decision::Deny { .. }) => return Err(denied),
                    Err(Decision::Ask { why: part }) => {
                        why = part;
                        all = false;
                    }
                    Err(Decision::Allow { .. }) => {}
                }
            }
            if all {
                self.readable(&command.own_reads())?;
                return Ok(used);
            }
            return Err(Decision::Ask { why });
        }
        if self.parsed.commands.len() == 1 && self.parsed.all().count() == 1 {
            return Err(Decision::Ask {
                why: "no rule allows this command".to_owned(),
            });
        }
        Err(Decision::Ask {
            why: format!("no rule allows its part `{}`", shell::shown(simple)),
        })
    }

    /// Whether all of this may be read, wherever the command runs.
    fn readable(&self, reads: &[Read]) -> Result<(), Decision> {
        let ask = |why: String| Err(Decision::Ask { why });
        for read in reads {
            for folder in &self.folders {
                let path = folder.join(&read.path);
                let request = Request::Read { path: path.clone() };
                match self.path(&request) {
                    Decision::Allow { .. } => {}
                    Decision::Ask { why } => {
                        return ask(format!("it reads `{}`, and {why}", read.path));
                    }
                    denied @ Decision::Deny { .. } => return Err(denied),
                }
                match read.reach {
                    Reach::Itself | Reach::Enter => {}
                    Reach::File if path.is_dir() => {
                        return ask(format!("`{}` is a folder", read.path));
                    }
                    Reach::File => {}
                    Reach::Names | Reach::Below => {
                        let contents = read.reach == Reach::Below;
                        if let Some(why) = self.hidden_below(&path, contents) {
                            return ask(why);
                        }
                    }
                    Reach::Repository => {
                        let place = paths::resolve(&path).unwrap_or(path);
                        if let Err(why) = shell::plain_repository(&place) {
                            return ask(format!("git {why}"));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Why a folder cannot be searched as a whole, if so: something below may not be read. A
    /// search for names alone does not look at `names`.
    fn hidden_below(&self, top: &Path, contents: bool) -> Option<String> {
        let request = Request::Read {
            path: top.to_owned(),
        };
        let held = withheld(&request, self.rules, self.folders.first()?);
        if let Some(hidden) = held.paths.first() {
            let hidden = hidden.display();
            return Some(format!("it reads all of a folder, with `{hidden}` in it"));
        }
        if !contents {
            return None;
        }
        let mut left = MAX_SEARCHED;
        let mut waiting = vec![paths::resolve(top)?];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().to_lowercase();
                if held.names.contains(&name.as_str()) {
                    return Some(format!("it reads all of a folder, with a `{name}` in it"));
                }
                if left == 0 {
                    return Some("it reads more files than can be looked at before".to_owned());
                }
                left -= 1;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push(entry.path());
                }
            }
        }
        None
    }
}
