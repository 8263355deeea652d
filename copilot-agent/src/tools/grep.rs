//! `grep`: lines that match a regular expression.

use std::{fmt::Write as _, path::Path};

use agent_client_protocol::v1::schema::{ToolCallLocation, ToolKind};
use futures_util::FutureExt;
use globset::GlobMatcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, sinks::Lossy};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, Permission, Prepared, Tool, ToolContext, blocking, files, grant::Withheld, paths,
    read_input, walk,
};
use crate::model::ToolSpec;

/// Most lines that are listed.
const MAX_MATCHES: usize = 200;
/// Most characters that are shown of a line.
const MAX_LINE_CHARS: usize = 300;
/// Memory for one line while searching: longer ones are not searched.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

pub(super) struct Grep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
}

impl Tool for Grep {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "grep",
            description: "Searches file contents for a regular expression (Rust syntax) and lists \
                          the lines as path:line:text. Ignored and binary files are left out. At \
                          most 200 lines.",
            schema: json!({
                "type": "object",
                "properties": {
                    "pattern": {"type": "string", "description": "The regular expression; (?i) at its start ignores case."},
                    "path": {"type": "string", "description": "A folder or file; the working folder if not given."},
                    "glob": {"type": "string", "description": "Search only files whose path matches, such as *.rs."}
                },
                "required": ["pattern"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Search
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let input: Input = read_input(input)?;
        let matcher = RegexMatcherBuilder::new()
            .line_terminator(Some(b'\n'))
            .build(&input.pattern)
            .map_err(|error| format!("The pattern is not valid: {error}."))?;
        let glob = input.glob.as_deref().map(walk::pattern).transpose()?;
        let target = paths::resolve(&context.cwd, input.path.as_deref().unwrap_or("."))?;
        let shown = target.display(&context.cwd);
        let title = match shown.as_str() {
            "." => format!("Search for {}", input.pattern),
            _ => format!("Search for {} in {shown}", input.pattern),
        };
        let context = context.clone();
        Ok(Prepared {
            title,
            locations: vec![ToolCallLocation::new(&target.path)],
            content: Vec::new(),
            permission: Permission::to_read(&target),
            details: None,
            run: async move {
                if !target.path.exists() {
                    return Outcome::failed(format!("{shown} does not exist."));
                }
                let grant = context.granted();
                if let Err(reason) = grant.check(&target.path, &shown) {
                    return Outcome::failed(reason);
                }
                let cwd = context.cwd.clone();
                let work = move |cancel: &CancellationToken| {
                    let scope = Scope {
                        root: &target.path,
                        glob: glob.as_ref(),
                        withheld: &grant.withheld,
                    };
                    search(&matcher, &scope, &cwd, cancel)
                };
                match blocking(&context, work).await {
                    Ok(text) => Outcome::completed(text),
                    Err(outcome) => outcome,
                }
            }
            .boxed(),
        })
    }
}

/// Which files are searched.
struct Scope<'a> {
    root: &'a Path,
    glob: Option<&'a GlobMatcher>,
    withheld: &'a Withheld,
}

fn search(
    matcher: &RegexMatcher,
    scope: &Scope<'_>,
    cwd: &Path,
    cancel: &CancellationToken,
) -> String {
    let mut searcher = SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(MAX_LINE_BYTES))
        .line_number(true)
        .build();
    let mut text = String::new();
    let mut count = 0;
    for entry in walk::files(scope.root) {
        if cancel.is_cancelled() || count > MAX_MATCHES {
            break;
        }
        let path = entry.path();
        let relative = path.strip_prefix(scope.root).unwrap_or(path);
        if scope.glob.is_some_and(|glob| !glob.is_match(relative))
            || scope.withheld.covers(path, scope.root)
        {
            continue;
        }
        let shown = path.strip_prefix(cwd).unwrap_or(path).display().to_string();
        if let Err(error) = search_file(
            &mut searcher,
            matcher,
            path,
            &shown,
            &mut text,
            &mut count,
            cancel,
        ) {
            tracing::debug!(path = shown, %error, "a file could not be searched");
        }
    }
    if count == 0 {
        return "No line matches.".to_owned();
    }
    if count > MAX_MATCHES {
        text.push_str("[more lines match; use a narrower pattern, path or glob]\n");
    }
    text
}

fn search_file(
    searcher: &mut Searcher,
    matcher: &RegexMatcher,
    path: &Path,
    shown: &str,
    text: &mut String,
    count: &mut usize,
    cancel: &CancellationToken,
) -> std::io::Result<()> {
    searcher.search_file(
        matcher,
        &files::open(path)?,
        Lossy(|number, line| {
            *count += 1;
            if *count > MAX_MATCHES || cancel.is_cancelled() {
                return Ok(false);
            }
            let line = line.trim_end();
            let cut: String = line.chars().take(MAX_LINE_CHARS).collect();
            let mark = if cut.len() < line.len() { " […]" } else { "" };
            let _ = writeln!(text, "{shown}:{number}:{cut}{mark}");
            Ok(true)
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{prepare, run};
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn lines_are_found_by_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        fs::create_dir(cwd.join("src")).unwrap();
        fs::write(cwd.join("src/a.rs"), "fn one() {}\nfn two() {}\n").unwrap();
        fs::write(cwd.join("b.txt"), "Fn here\n").unwrap();
        fs::write(cwd.join("c.bin"), b"fn \0 x").unwrap();
        fs::write(cwd.join("d.log"), "fn ignored\n").unwrap();
        fs::write(cwd.join(".gitignore"), "*.log\n").unwrap();
        for (input, expected) in [
            (
                json!({"pattern": "fn \\w+"}),
                "src/a.rs:1:fn one() {}\nsrc/a.rs:2:fn two() {}\n",
            ),
            (json!({"pattern": "(?i)^fn h"}), "b.txt:1:Fn here\n"),
            (
                json!({"pattern": "two", "path": "src"}),
                "src/a.rs:2:fn two() {}\n",
            ),
            (
                json!({"pattern": "two", "path": "src/a.rs"}),
                "src/a.rs:2:fn two() {}\n",
            ),
            (
                json!({"pattern": "(?i)fn", "glob": "*.txt"}),
                "b.txt:1:Fn here\n",
            ),
            (json!({"pattern": "nowhere"}), "No line matches."),
            (json!({"pattern": "("}), "not valid"),
            (json!({"pattern": "x", "path": "none"}), "does not exist"),
        ] {
            let outcome = run(&Grep, cwd, input.clone()).await;
            assert!(outcome.text.contains(expected), "{input}: {}", outcome.text);
            if expected.ends_with('\n') {
                assert_eq!(outcome.text, expected, "{input}");
            }
        }
        let outside = prepare(&Grep, cwd, &json!({"pattern": "x", "path": "/etc"})).unwrap();
        assert_eq!(outside.permission, Permission::Needed);
    }

    #[tokio::test]
    async fn many_and_long_lines_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("x{}\n", "y".repeat(1_000));
        fs::write(folder.path().join("a"), line.repeat(MAX_MATCHES + 50)).unwrap();
        let outcome = run(&Grep, folder.path(), json!({"pattern": "x"})).await;
        assert_eq!(outcome.text.lines().count(), MAX_MATCHES + 1);
        assert!(outcome.text.lines().all(|line| line.chars().count() < 320));
        assert!(outcome.text.contains("narrower"));
    }
}
