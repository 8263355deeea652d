//! Programs and builtins that do nothing but run another command: looked through, so that the
//! command inside is what counts.
//!
//! Only forms that change nothing about the inner command are looked through. `sudo` and its
//! like are not among them: as somebody else, everything is another command.

use super::syntax::{self, Script, Simple};
use super::word::Word;
use super::{find, variables};

/// What a wrapper runs.
#[derive(Debug)]
pub(super) enum Inner {
    /// One command.
    Command(Simple),
    /// The commands of several `-exec`, and the paths they are looked for in.
    Commands(Vec<Simple>),
    /// A text that a shell reads.
    Script(Script),
}

/// What `command` runs, when it is a wrapper in a form that can be looked through.
pub(super) fn inner(command: &Simple) -> Option<Inner> {
    let (program, arguments) = command.words.split_first()?;
    let words = match program.literal()? {
        "nohup" | "exec" | "builtin" => skip(arguments, &[], &[], 0)?,
        "command" => skip(arguments, &[], &[], 0)?,
        "time" => skip(arguments, &["-p"], &[], 0)?,
        "setsid" => skip(arguments, &["-w", "--wait", "-f", "--fork"], &[], 0)?,
        "nice" => skip(arguments, &[], &["-n"], 0)?,
        "stdbuf" => skip(arguments, &["-oL", "-o0", "-eL", "-e0", "-i0"], &[], 0)?,
        "timeout" => skip(
            arguments,
            &["--preserve-status", "--foreground", "-v"],
            &["-s", "-k", "--signal", "--kill-after"],
            1,
        )?,
        "env" => environment(arguments)?,
        "xargs" => xargs(arguments)?,
        "find" => {
            let (_, commands) = find::read(arguments).ok()?;
            if commands.is_empty() {
                return None;
            }
            let commands = commands.into_iter().map(|words| simple(words, true));
            return Some(Inner::Commands(commands.collect()));
        }
        "sh" | "bash" | "dash" => return script(arguments),
        "eval" => {
            let texts: Option<Vec<&str>> = arguments.iter().map(Word::literal).collect();
            return Some(Inner::Script(syntax::parse(&texts?.join(" "))));
        }
        _ => return None,
    };
    let again = command.repeated || program.literal() == Some("xargs");
    (!words.is_empty()).then(|| Inner::Command(simple(words, again)))
}

fn simple(words: Vec<Word>, repeated: bool) -> Simple {
    Simple {
        assignments: Vec::new(),
        words,
        repeated,
    }
}

/// What follows the options named and `operands` words of its own. Any other option means that
/// the form is not known.
fn skip(
    arguments: &[Word],
    alone: &[&str],
    with_value: &[&str],
    operands: usize,
) -> Option<Vec<Word>> {
    let mut rest = arguments;
    loop {
        let (first, behind) = rest.split_first()?;
        let text = first.literal()?;
        if text == "--" {
            rest = behind;
            break;
        }
        let has_value = text
            .split_once('=')
            .is_some_and(|(name, _)| name.starts_with("--") && with_value.contains(&name));
        if alone.contains(&text) || has_value || is_attached(text, with_value) {
            rest = behind;
        } else if with_value.contains(&text) {
            behind.first()?.literal()?;
            rest = behind.get(1..)?;
        } else if text.starts_with('-') {
            return None;
        } else {
            break;
        }
    }
    for _ in 0..operands {
        let (first, behind) = rest.split_first()?;
        if first.literal()?.starts_with('-') {
            return None;
        }
        rest = behind;
    }
    let program = rest.first()?.literal()?;
    (!program.starts_with('-')).then(|| rest.to_vec())
}

/// `-n5`: an option of one letter and its value in one word.
fn is_attached(text: &str, with_value: &[&str]) -> bool {
    text.char_indices().nth(2).is_some_and(|(at, _)| {
        let (option, value) = text.split_at(at);
        with_value.contains(&option) && value.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

/// `env NAME=VALUE … COMMAND`, with variables that change nothing.
fn environment(arguments: &[Word]) -> Option<Vec<Word>> {
    let mut rest = arguments;
    while let Some((first, behind)) = rest.split_first() {
        let text = first.literal()?;
        if text.starts_with('-') {
            return None;
        }
        let Some((name, value)) = text.split_once('=') else {
            break;
        };
        if !variables::is_harmless(name, Some(value)) {
            return None;
        }
        rest = behind;
    }
    Some(rest.to_vec())
}

/// `xargs COMMAND`, which adds words that nobody knows.
fn xargs(arguments: &[Word]) -> Option<Vec<Word>> {
    const ALONE: &[&str] = &["-0", "-r", "-t", "--null", "--no-run-if-empty"];
    const WITH_VALUE: &[&str] = &["-n", "-P", "-L", "-d", "-s"];
    if let [option, replaced, rest @ ..] = arguments
        && option.literal()? == "-I"
    {
        let replaced = replaced.literal().filter(|text| !text.is_empty())?;
        let words = skip(rest, ALONE, WITH_VALUE, 0)?;
        let filled = words.into_iter().map(|word| match word.literal() {
            Some(text) if text.contains(replaced) => Word::Many,
            _ => word,
        });
        return Some(filled.collect());
    }
    let mut words = skip(arguments, ALONE, WITH_VALUE, 0)?;
    words.push(Word::Many);
    Some(words)
}

/// `bash -c TEXT`.
fn script(arguments: &[Word]) -> Option<Inner> {
    match arguments {
        [option, text, ..] if option.literal() == Some("-c") => {
            let text = text.literal()?;
            // Some shells take it for an option.
            (!text.starts_with(['-', '+'])).then(|| Inner::Script(syntax::parse(text)))
        }
        _ => None,
    }
}
