//! `find`: its expressions that only look, and the commands that others run.

use super::read_only::{Reach, Read};
use super::word::Word;

/// Expressions and options without an argument.
const ALONE: &[&str] = &[
    "!",
    "(",
    ")",
    ",",
    "-H",
    "-P",
    "-a",
    "-and",
    "-daystart",
    "-depth",
    "-empty",
    "-executable",
    "-false",
    "-ls",
    "-mount",
    "-nogroup",
    "-not",
    "-nouser",
    "-o",
    "-or",
    "-print",
    "-print0",
    "-prune",
    "-quit",
    "-readable",
    "-true",
    "-writable",
    "-xdev",
];

/// Expressions with one argument.
const WITH_ARGUMENT: &[&str] = &[
    "-amin",
    "-atime",
    "-cmin",
    "-ctime",
    "-group",
    "-iname",
    "-inum",
    "-ipath",
    "-iregex",
    "-iwholename",
    "-links",
    "-maxdepth",
    "-mindepth",
    "-mmin",
    "-mtime",
    "-name",
    "-newer",
    "-path",
    "-perm",
    "-printf",
    "-regex",
    "-regextype",
    "-size",
    "-type",
    "-user",
    "-wholename",
    "-xtype",
];

/// Whether this `find` only looks, and where. An error says why not.
pub(super) fn check(arguments: &[&str]) -> Result<Vec<Read>, String> {
    let words: Vec<Word> = arguments
        .iter()
        .map(|a| Word::Literal((*a).to_owned()))
        .collect();
    match read(&words)? {
        (reads, commands) if commands.is_empty() => Ok(reads),
        _ => Err("it runs other programs".to_owned()),
    }
}

/// What a `find` looks at, and the commands that it runs.
pub(super) fn read(arguments: &[Word]) -> Result<(Vec<Read>, Vec<Vec<Word>>), String> {
    let mut reads = Vec::new();
    let mut commands = Vec::new();
    let mut in_expression = false;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let word = word.literal().ok_or("not all of its arguments are known")?;
        let begins_expression = word.starts_with('-') || matches!(word, "(" | ")" | "!" | ",");
        if !begins_expression {
            if in_expression {
                return Err("its arguments are in an order that is not known".to_owned());
            }
            reads.push(Read::new(word, Reach::Names));
        } else if word == "-exec" {
            in_expression = true;
            commands.push(command(&mut rest)?);
        } else if WITH_ARGUMENT.contains(&word) {
            in_expression = true;
            rest.next()
                .and_then(Word::literal)
                .ok_or("not all of its arguments are known")?;
        } else if ALONE.contains(&word) {
            in_expression |= !matches!(word, "-H" | "-P");
        } else {
            return Err(format!("its `{word}` is not known to be harmless"));
        }
    }
    if reads.is_empty() {
        reads.push(Read::new(".", Reach::Names));
    }
    Ok((reads, commands))
}

/// The command of an `-exec`, up to its end.
fn command<'a>(rest: &mut impl Iterator<Item = &'a Word>) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    for word in rest {
        match word.literal() {
            Some(";") => return Ok(words),
            Some("+") if words.last() == Some(&Word::Many) => return Ok(words),
            Some("{}") => words.push(Word::Many),
            Some(text) if text.contains("{}") => words.push(Word::One),
            _ => words.push(word.clone()),
        }
    }
    Err("the command that it runs has no end".to_owned())
}
