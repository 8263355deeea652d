//! `edit`: an exact replacement in a file.
//!
//! The text that is replaced must occur exactly once (or `all` be asked for), so that an edit
//! never lands in the wrong place. When it does not occur, the nearest lines are shown.

use std::time::{Duration, Instant};

use agent_client_protocol::v1::schema::{Diff, ToolCallContent, ToolCallLocation, ToolKind};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::{Outcome, Permission, Prepared, Tool, ToolContext, blocking, files, paths, read_input};
use crate::model::ToolSpec;

/// Most lines that near misses are looked for in; further ones are not looked at.
const MAX_SEARCHED_LINES: usize = 20_000;
/// Most lines of `old` that are looked for.
const MAX_WANTED_LINES: usize = 20;
/// Most places that are compared in full.
const MAX_COMPARED: usize = 20;
/// How long comparing may take in all; what is left then is compared roughly.
const COMPARING: Duration = Duration::from_millis(300);
/// A place that is less alike than this is not shown.
const ALIKE: f32 = 0.5;

pub(super) struct Edit;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
    old: String,
    new: String,
    #[serde(default)]
    all: bool,
}

impl Tool for Edit {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "edit",
            description: "Replaces `old` by `new` in a text file. `old` must be copied exactly, \
                          with its indentation, and occur exactly once: take in lines around it \
                          until it does, or set `all`.",
            schema: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Relative to the working folder, or absolute."},
                    "old": {"type": "string", "description": "The text to replace, exactly as it is in the file."},
                    "new": {"type": "string", "description": "The text to put there."},
                    "all": {"type": "boolean", "description": "Replace every occurrence."}
                },
                "required": ["path", "old", "new"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Edit
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let input: Input = read_input(input)?;
        let target = paths::resolve(&context.cwd, &input.path)?;
        let shown = target.display(&context.cwd);
        let change = files::read_text(&target.path, &shown).and_then(|before| {
            replace(&before, &input.old, &input.new, input.all)
                .map(|change| (before, change))
                .map_err(|reason| format!("{shown}: {reason}"))
        });
        let (before, change) = match change {
            Ok(change) => change,
            // These words tell what is in the file, so it must be allowed to read it.
            Err(reason) => return Ok(refusal(&target, &shown, reason)),
        };
        let content: ToolCallContent = Diff::new(&target.path, &change.after)
            .old_text(before.clone())
            .into();
        let diff = vec![content];
        let location = ToolCallLocation::new(&target.path).line(change.line);
        let context = context.clone();
        Ok(Prepared {
            title: format!("Edit {shown}"),
            locations: vec![location],
            content: diff.clone(),
            permission: Permission::Needed,
            details: None,
            run: async move {
                let places = change.places;
                let written = shown.clone();
                let grant = context.granted();
                let work = move |_: &_| {
                    grant.check(&target.path, &written)?;
                    // What was allowed is the change that was shown.
                    if files::read_text(&target.path, &written)? != before {
                        return Err(format!(
                            "{written} was changed by somebody else in the meantime. View it again."
                        ));
                    }
                    files::replace(&target.path, change.after.as_bytes())
                        .map_err(|error| files::describe(&written, &error))
                };
                match blocking(&context, work).await {
                    Ok(Ok(())) if places == 1 => {
                        Outcome::completed(format!("Edited {shown}.")).with_content(diff)
                    }
                    Ok(Ok(())) => Outcome::completed(format!("Edited {shown} in {places} places."))
                        .with_content(diff),
                    Ok(Err(reason)) => Outcome::failed(reason),
                    Err(outcome) => outcome,
                }
            }
            .boxed(),
        })
    }
}

/// An edit that cannot be made, said only when the file may be looked at.
fn refusal(target: &paths::Target, shown: &str, reason: String) -> Prepared {
    Prepared {
        title: format!("Edit {shown}"),
        locations: vec![ToolCallLocation::new(&target.path)],
        content: Vec::new(),
        permission: Permission::to_read(target),
        details: None,
        run: async move { Outcome::failed(reason) }.boxed(),
    }
}

/// A replacement that can be made.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    after: String,
    places: usize,
    /// The first line that changes, from 1.
    line: u32,
}

fn replace(before: &str, old: &str, new: &str, all: bool) -> Result<Change, String> {
    if old.is_empty() {
        return Err("`old` is empty. To make a new file use `create`.".to_owned());
    }
    if old == new {
        return Err("`old` and `new` are the same.".to_owned());
    }
    // Models write line feeds also for files that have carriage returns before them.
    let (old, new) = if before.contains("\r\n") && !before.contains(old) && !old.contains('\r') {
        (old.replace('\n', "\r\n"), new.replace('\n', "\r\n"))
    } else {
        (old.to_owned(), new.to_owned())
    };
    let places: Vec<usize> = before.match_indices(&old).map(|(at, _)| at).collect();
    match places.as_slice() {
        [] => Err(format!(
            "`old` does not occur in the file. {}",
            near_misses(before, &old)
        )),
        [_, _, ..] if !all => {
            let lines: Vec<String> = places
                .iter()
                .take(10)
                .map(|at| line_at(before, *at).to_string())
                .collect();
            Err(format!(
                "`old` occurs {} times (lines {}). Take in more lines around the one you mean, \
                 or set `all`.",
                places.len(),
                lines.join(", ")
            ))
        }
        [first, ..] => Ok(Change {
            after: before.replace(&old, &new),
            places: places.len(),
            line: u32::try_from(line_at(before, *first)).unwrap_or(u32::MAX),
        }),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// The places of `text` that are most like `old`, in words for the model.
fn near_misses(text: &str, old: &str) -> String {
    let lines: Vec<&str> = text.lines().take(MAX_SEARCHED_LINES).collect();
    let wanted: Vec<&str> = old.lines().take(MAX_WANTED_LINES).collect();
    let size = wanted.len().max(1);
    if lines.len() < size {
        return "The file is shorter than that. View it again.".to_owned();
    }
    // A rough measure first: lines that are the same but for blanks, and shared words.
    let mut places: Vec<(usize, usize)> = lines
        .windows(size)
        .enumerate()
        .map(|(start, window)| {
            let score = window.iter().zip(&wanted).map(|(a, b)| rough(a, b)).sum();
            (score, start)
        })
        .filter(|(score, _)| *score > 0)
        .collect();
    places.sort_by_key(|(score, start)| (std::cmp::Reverse(*score), *start));
    let deadline = Instant::now() + COMPARING;
    let compared = wanted.join(
        "
",
    );
    let mut alike: Vec<(f32, usize)> = places
        .iter()
        .take(MAX_COMPARED)
        .map(|(_, start)| {
            let window = lines[*start..*start + size].join("\n");
            let diff = TextDiff::configure()
                .deadline(deadline)
                .diff_chars(compared.as_str(), window.as_str());
            (diff.ratio(), *start)
        })
        .filter(|(ratio, _)| *ratio >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let Some((_, best)) = alike.first() else {
        return "Nothing in the file is like it. View it again.".to_owned();
    };
    let only_blanks = (0..size).all(|at| squeeze(lines[best + at]) == squeeze(wanted[at]));
    let mut words = String::from(if only_blanks {
        "Only blanks differ. The nearest lines are:\n"
    } else {
        "The nearest lines are:\n"
    });
    for (index, (_, start)) in alike.iter().take(3).enumerate() {
        if index > 0 {
            words.push_str("or\n");
        }
        for (at, line) in lines[*start..*start + size].iter().enumerate() {
            words.push_str(&format!("{:>6}\t{line}\n", start + at + 1));
        }
    }
    words
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect()
}

/// How much two lines have in common: cheap, and enough to find candidates.
fn rough(a: &str, b: &str) -> usize {
    let (a, b) = (a.trim(), b.trim());
    if b.is_empty() {
        return 0;
    }
    if a == b {
        return 100 + b.len();
    }
    let longest = a.len().max(b.len());
    let prefix = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let suffix = a
        .bytes()
        .rev()
        .zip(b.bytes().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let words = b
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 1 && a.contains(*word))
        .count();
    (prefix + suffix).min(longest) * 50 / longest.max(1) + 10 * words
}

#[cfg(test)]
mod tests {
    use super::super::testing::{context, prepare, run};
    use super::*;
    use crate::conversation::ToolStatus;

    const CODE: &str = "fn main() {\n    let greeting = \"Helo, world\";\n    \
                        println!(\"{greeting}\");\n    println!(\"{greeting}\");\n}\n";

    #[test]
    fn replacements_are_exact_or_say_why_not() {
        let change = |old: &str, new: &str, all| replace(CODE, old, new, all);
        let one = change("Helo", "Hello", false).unwrap();
        assert_eq!((one.places, one.line), (1, 2));
        assert!(one.after.contains("\"Hello, world\""));
        let two = change("println", "print", true).unwrap();
        assert_eq!((two.places, two.line), (2, 3));
        for (old, new, expected) in [
            ("", "x", "`old` is empty"),
            ("Helo", "Helo", "the same"),
            ("println", "print", "occurs 2 times (lines 3, 4)"),
            ("zzzzqqqq", "x", "Nothing in the file is like it"),
            (
                "let greeting = \"Hello, world\";",
                "x",
                "     2\t    let greeting = \"Helo, world\";",
            ),
            (
                "fn main() {\n  let greeting = \"Helo, world\";",
                "x",
                "Only blanks differ",
            ),
            (&"x\n".repeat(100), "x", "shorter than that"),
        ] {
            let reason = change(old, new, false).unwrap_err();
            assert!(reason.contains(expected), "{old:?}: {reason}");
        }
    }

    #[test]
    fn carriage_returns_are_kept() {
        let change = replace("a\r\nb\r\nc\r\n", "a\nb", "x\ny", false).unwrap();
        assert_eq!(change.after, "x\r\ny\r\nc\r\n");
    }

    #[tokio::test]
    async fn a_file_is_edited_and_the_diff_shown() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().canonicalize().unwrap();
        let path = cwd.join("main.rs");
        std::fs::write(&path, CODE).unwrap();
        let input = json!({"path": "main.rs", "old": "Helo", "new": "Hello"});
        let prepared = prepare(&Edit, &cwd, &input).unwrap();
        assert_eq!(prepared.permission, Permission::Needed);
        assert_eq!(prepared.locations[0].line, Some(2));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), CODE);
        let outcome = prepared.run.await;
        assert_eq!(outcome.status, ToolStatus::Completed);
        let after = CODE.replace("Helo", "Hello");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        let diff: ToolCallContent = Diff::new(&path, after).old_text(CODE.to_owned()).into();
        assert_eq!(outcome.content, [diff]);
    }

    #[tokio::test]
    async fn what_cannot_be_edited_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::fs::write(cwd.join("data"), b"a\0b").unwrap();
        std::fs::write(cwd.join("latin"), b"caf\xe9").unwrap();
        for (path, expected) in [
            ("none", "does not exist"),
            ("data", "binary file"),
            ("latin", "not UTF-8"),
            (".", "is a folder"),
        ] {
            let outcome = run(&Edit, cwd, json!({"path": path, "old": "a", "new": "b"})).await;
            assert_eq!(outcome.status, ToolStatus::Failed);
            assert!(outcome.text.contains(expected), "{path}: {}", outcome.text);
        }
    }

    #[test]
    fn a_file_outside_is_not_told_of_before_it_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().join("work");
        std::fs::create_dir(&cwd).unwrap();
        std::fs::write(folder.path().join("a"), "secret").unwrap();
        let input = json!({"path": "../a", "old": "secrets", "new": "x"});
        let prepared = prepare(&Edit, &cwd, &input).unwrap();
        assert_eq!(prepared.permission, Permission::Needed);
    }

    #[tokio::test]
    async fn a_change_while_the_person_thinks_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::fs::write(cwd.join("a"), "one two").unwrap();
        let (context, _) = context(cwd);
        let input = json!({"path": "a", "old": "one", "new": "1"});
        let prepared = Edit.prepare(&input, &context).unwrap();
        std::fs::write(cwd.join("a"), "one two three").unwrap();
        let outcome = prepared.run.await;
        assert!(outcome.text.contains("in the meantime"), "{}", outcome.text);
        assert_eq!(
            std::fs::read_to_string(cwd.join("a")).unwrap(),
            "one two three"
        );
    }
}
