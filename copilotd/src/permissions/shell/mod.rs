//! Shell commands: what bash would start, and whether all of it is allowed.
//!
//! [`syntax`] makes simple commands of a text, [`wrappers`] looks through programs that run
//! others, [`read_only`] knows what only reads. Everything here is pure: nothing is run, and
//! the disk is not looked at. What cannot be read for certain is never allowed.

mod find;
mod git;
mod heredoc;
mod read_only;
mod syntax;
mod text;
mod variables;
mod word;
mod wrappers;

use std::path::Path;

use read_only::Read;
use syntax::{Redirection, Script, Simple};
use word::Word;
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
    let all: Vec<&Simple> = parsed.all().collect();
    let changes = all.iter().any(|simple| {
        let program = simple.words.first().and_then(Word::literal);
        program.is_some_and(|name| {
            let known = read_only::check(&simple.words).is_ok();
            SHELL_CHANGING.contains(&name) && (!known || simple.repeated && name == "cd")
        })
    });
    if changes && all.len() > 1 {
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
    /// Every simple command, also those inside of wrappers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Simple> {
        let mut waiting: Vec<&Command> = self.commands.iter().rev().collect();
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(next.inner.iter().flatten().rev());
            Some(&next.simple)
        })
    }
}

impl Command {
    /// What it reads, when it only reads. An error is a whole sentence for people.
    pub(super) fn reads(&self) -> Result<Vec<Read>, String> {
        let program = self.simple.words.first().and_then(Word::literal);
        let Some(inner) = &self.inner else {
            return read_only::check(&self.simple.words)
                .map_err(|why| format!("`{}` is not read-only: {why}", program.unwrap_or("…")));
        };
        let mut reads = match program {
            Some("find") => find::read(self.simple.words.get(1..).unwrap_or_default())?.0,
            _ => Vec::new(),
        };
        for command in inner {
            reads.extend(command.reads()?);
        }
        Ok(reads)
    }
}

/// Whether everything that bash would start for `command` in `folder` only reads, and nothing
/// is written. Whether what it reads may be read is another question, which
/// [`decide`](super::decide()) answers.
///
/// # Errors
/// Why not: a sentence for people without its full stop.
pub fn read_only(command: &str, _folder: &Path) -> Result<(), String> {
    let parsed = parse(command);
    if let Some(problem) = parsed.problem {
        return Err(format!("the command has {problem}"));
    }
    if let Some(written) = parsed.redirections.iter().find(|file| file.writes) {
        return Err(format!("the command writes to `{}`", written.path));
    }
    for command in &parsed.commands {
        command.reads()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
