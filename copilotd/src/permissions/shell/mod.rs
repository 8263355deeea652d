//! Shell commands: what bash would start, and whether all of it is allowed.
//!
//! `syntax` makes simple commands of a text, `wrappers` looks through programs that run
//! others, `read_only` knows what only reads, `repository` what a repository could make git
//! run, `environment` what keeps programs from running something else. Nothing is ever run
//! here. What cannot be read for certain is never allowed.

mod environment;
mod find;
mod git;
mod heredoc;
mod index;
mod read_only;
mod repository;
mod syntax;
mod text;
mod tree;
mod variables;
mod word;
mod wrappers;

use std::path::Path;

pub use environment::pinned;
pub(super) use read_only::{Reach, Read};
pub(super) use repository::plain as plain_repository;
pub(super) use syntax::{Redirection, Simple};
pub(super) use text::{is_invisible, is_plain};
pub(super) use word::Word;

use syntax::Script;
use wrappers::Inner;

/// How deep wrappers are looked through.
const MAX_WRAPPERS: usize = 8;

/// Builtins that change the shell, so that the commands behind them may mean something else.
const SHELL_CHANGING: &[&str] = &[
    ".",
    "alias",
    "bind",
    "builtin",
    "cd",
    "complete",
    "compopt",
    "declare",
    "dirs",
    "disown",
    "enable",
    "eval",
    "exec",
    "export",
    "fc",
    "getopts",
    "hash",
    "history",
    "let",
    "local",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "set",
    "shopt",
    "source",
    "trap",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait",
];

/// One command of a shell text, with what it runs when it is a wrapper.
#[derive(Debug)]
pub(super) struct Command {
    /// As it was written.
    pub(super) simple: Simple,
    /// What it runs, when it runs nothing but that.
    pub(super) inner: Option<Vec<Command>>,
}

/// Everything a shell text does, as far as it can be told.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The commands, in the order of the text.
    pub(super) commands: Vec<Command>,
    /// Files that the shell opens, for wrapped texts too.
    pub(super) redirections: Vec<Redirection>,
    /// Why a person must look; reads on after "the command has".
    pub(super) problem: Option<String>,
}

/// Reads a shell text.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed {
        commands: Vec::new(),
        redirections: Vec::new(),
        problem: None,
    };
    parsed.commands = take(syntax::parse(text), 0, &mut parsed);
    if parsed.commands.is_empty() && parsed.redirections.is_empty() {
        parsed
            .problem
            .get_or_insert_with(|| "no program".to_owned());
    }
    let count = parsed.all().count();
    let changes = parsed.every().any(|command| {
        let simple = &command.simple;
        let program = simple.words.first().and_then(Word::literal);
        program.is_some_and(|name| {
            let known = command.inner.is_some() || read_only::check(&simple.words).is_ok();
            SHELL_CHANGING.contains(&name) && (!known || simple.repeated && name == "cd")
        })
    });
    if changes && count > 1 {
        parsed
            .problem
            .get_or_insert_with(|| "a part that changes what other parts mean".to_owned());
    }
    parsed
}

/// The commands of a script, with everything else of it taken into `parsed`.
fn take(script: Script, depth: usize, parsed: &mut Parsed) -> Vec<Command> {
    if let Some(problem) = script.problem {
        parsed.problem.get_or_insert(problem);
    }
    if script
        .variables
        .iter()
        .any(|name| !variables::is_local(name))
    {
        parsed
            .problem
            .get_or_insert_with(|| "an assignment that may change what runs".to_owned());
    }
    parsed.redirections.extend(script.redirections);
    let commands = script.commands.into_iter();
    commands
        .map(|simple| look_through(simple, depth, parsed))
        .collect()
}

fn look_through(simple: Simple, depth: usize, parsed: &mut Parsed) -> Command {
    let harmless = simple.assignments.iter().all(|(name, value)| {
        let reads = simple.words.first().and_then(Word::literal) == Some("read");
        variables::is_harmless(name, value.literal())
            || reads && name == "IFS"
            || simple.words.is_empty() && variables::is_local(name)
    });
    if !harmless {
        parsed
            .problem
            .get_or_insert_with(|| "an assignment that may change what runs".to_owned());
    }
    let inner = if depth < MAX_WRAPPERS {
        wrappers::inner(&simple)
    } else {
        None
    };
    let inner = inner.map(|inner| match inner {
        Inner::Command(simple) => vec![look_through(simple, depth + 1, parsed)],
        Inner::Commands(all) => all
            .into_iter()
            .map(|simple| look_through(simple, depth + 1, parsed))
            .collect(),
        Inner::Script(script) => take(script, depth + 1, parsed),
    });
    Command { simple, inner }
}

impl Parsed {
    /// Every command, also those inside of wrappers.
    pub(super) fn every(&self) -> impl Iterator<Item = &Command> {
        let mut waiting: Vec<&Command> = self.commands.iter().rev().collect();
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(next.inner.iter().flatten().rev());
            Some(next)
        })
    }

    /// Every simple command, also those inside of wrappers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Simple> {
        self.every().map(|command| &command.simple)
    }
}

impl Command {
    /// What it reads, with all that it runs, when it only reads. An error is a sentence for
    /// people.
    pub(super) fn reads(&self) -> Result<Vec<Read>, String> {
        let Some(inner) = &self.inner else {
            return read_only::check(&self.simple.words)
                .map_err(|why| format!("`{}` is not read-only: {why}", shown(&self.simple)));
        };
        let mut reads = self.own_reads();
        for command in inner {
            reads.extend(command.reads()?);
        }
        Ok(reads)
    }

    /// What it reads itself when it is a wrapper.
    pub(super) fn own_reads(&self) -> Vec<Read> {
        match self.simple.words.split_first() {
            Some((program, arguments)) if program.literal() == Some("find") => {
                find::read(arguments).map_or_else(|_| Vec::new(), |(reads, _)| reads)
            }
            _ => Vec::new(),
        }
    }

    /// Whether it only reads where the environment keeps it from running something else.
    pub(super) fn needs_pins(&self) -> bool {
        let mut words = self.simple.words.iter().map(Word::literal);
        let own = match words.next() {
            Some(Some("git")) => true,
            Some(Some("rg")) => !words.any(|word| word == Some("--no-config")),
            // Without one of these in front, the person's CDPATH decides.
            Some(Some("cd")) => !words.flatten().any(|path| {
                ["/", "./", "../"]
                    .iter()
                    .any(|start| path.starts_with(start))
            }),
            _ => false,
        };
        own || self.inner.iter().flatten().any(Self::needs_pins)
    }
}

/// The folders that a command enters: `cd`, `git -C`.
pub(super) fn entered(simple: &Simple) -> Vec<String> {
    let reads = read_only::check(&simple.words).unwrap_or_default();
    let entered = reads.into_iter().filter(|read| read.reach == Reach::Enter);
    entered.map(|read| read.path).collect()
}

/// Whether its program is found from the folder that it runs in.
pub(super) fn is_relative(simple: &Simple) -> bool {
    let program = simple.words.first().and_then(Word::literal);
    program.is_some_and(|name| name.contains('/') && !name.starts_with('/'))
}

/// A command as it is shown in a reason; what is not known is an ellipsis.
pub(super) fn shown(simple: &Simple) -> String {
    const MAX_SHOWN: usize = 80;
    let words: Vec<&str> = simple
        .words
        .iter()
        .map(|word| word.literal().unwrap_or("…"))
        .collect();
    let text = words.join(" ").replace('\n', " ");
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether everything that bash would start for `command` in `folder` only reads, and nothing
/// is written. Whether what it reads may be read, and what it finds in the folders that it goes
/// to, are other questions, which [`decide`](super::decide()) answers.
///
/// # Errors
/// Why not: a sentence for people without its full stop.
pub fn read_only(command: &str, folder: &Path) -> Result<(), String> {
    let reads = only_reads(&parse(command))?;
    if reads.iter().any(|read| read.reach == Reach::Repository) {
        plain_repository(folder).map_err(|why| format!("git {why}"))?;
    }
    Ok(())
}

/// What a command reads, when its words say that it only reads.
fn only_reads(parsed: &Parsed) -> Result<Vec<Read>, String> {
    if let Some(problem) = &parsed.problem {
        return Err(format!("the command has {problem}"));
    }
    if let Some(written) = parsed.redirections.iter().find(|file| file.writes) {
        return Err(format!("the command writes to `{}`", written.path));
    }
    let mut reads = Vec::new();
    for command in &parsed.commands {
        reads.extend(command.reads()?);
    }
    Ok(reads)
}

/// Whether a program that was started with these arguments is covered by a rule or only reads.
#[cfg(test)]
pub(super) fn starts_allowed(argv: &[String], rules: &super::RuleSet) -> bool {
    let simple = Simple {
        words: argv.iter().cloned().map(Word::Literal).collect(),
        ..Simple::default()
    };
    let by_rule = rules.allow.iter().any(|(rule, _)| rule.covers(&simple));
    by_rule || read_only::check(&simple.words).is_ok()
}

#[cfg(all(test, unix))]
mod hostile;
