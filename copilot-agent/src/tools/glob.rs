//! `glob`: the files whose paths match a pattern.

use agent_client_protocol::v1::schema::{ToolCallLocation, ToolKind};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, Permission, Prepared, Tool, ToolContext, blocking, files, paths, place, read_input,
    walk,
};
use crate::model::ToolSpec;

/// Most paths that are listed.
const MAX_PATHS: usize = 500;

pub(super) struct Glob;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    pattern: String,
    path: Option<String>,
}

impl Tool for Glob {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "glob",
            description: "Lists files whose path matches a pattern such as `**/*.rs` or \
                          `src/*.{ts,tsx}`. Ignored files are left out. At most 500.",
            schema: json!({
                "type": "object",
                "properties": {
                    "pattern": {"type": "string", "description": "Relative to the folder. Without a slash it matches in every folder."},
                    "path": {"type": "string", "description": "The folder; the working folder if not given."}
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
        let matcher = walk::pattern(&input.pattern)?;
        let target = paths::resolve(&context.cwd, input.path.as_deref().unwrap_or("."))?;
        let shown = target.display(&context.cwd);
        let title = match shown.as_str() {
            "." => format!("Find {}", input.pattern),
            _ => format!("Find {} in {shown}", input.pattern),
        };
        let context = context.clone();
        Ok(Prepared {
            title,
            locations: vec![ToolCallLocation::new(&target.path)],
            content: Vec::new(),
            permission: Permission::to_read(&target),
            details: None,
            run: async move {
                if !target.path.is_dir() {
                    return Outcome::failed(format!("{shown} is not a folder."));
                }
                let grant = context.granted();
                if let Err(reason) = grant.check(&target.path, &shown) {
                    return Outcome::failed(reason);
                }
                let cwd = context.cwd.clone();
                let work = move |cancel: &CancellationToken| {
                    let mut found: Vec<String> = walk::files(&target.path)
                        .take_while(|_| !cancel.is_cancelled())
                        .filter(|entry| !grant.withheld.covers(entry.path(), &target.path))
                        .filter(|entry| {
                            entry
                                .path()
                                .strip_prefix(&target.path)
                                .is_ok_and(|relative| matcher.is_match(relative))
                        })
                        // A folder may have become a link while it was searched.
                        .filter(|entry| {
                            let opened = files::open(entry.path());
                            !opened.is_err_and(|error| place::leads_elsewhere(&error))
                        })
                        .take(MAX_PATHS + 1)
                        .map(|entry| {
                            let path = entry.path();
                            path.strip_prefix(&cwd)
                                .unwrap_or(path)
                                .display()
                                .to_string()
                        })
                        .collect();
                    let more = found.len() > MAX_PATHS;
                    found.truncate(MAX_PATHS);
                    (found, more)
                };
                match blocking(&context, work).await {
                    Ok((found, _)) if found.is_empty() => {
                        Outcome::completed("No file matches.".to_owned())
                    }
                    Ok((found, more)) => {
                        let mut text = found.join("\n");
                        if more {
                            text.push_str("\n[more files match; use a narrower pattern]");
                        }
                        Outcome::completed(text)
                    }
                    Err(outcome) => outcome,
                }
            }
            .boxed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{prepare, run};
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn files_are_found_by_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        for path in [
            "a.rs",
            "src/b.rs",
            "src/deep/c.rs",
            "src/d.txt",
            "out/e.rs",
            ".git/f.rs",
            ".ci/g.yml",
        ] {
            fs::create_dir_all(cwd.join(path).parent().unwrap()).unwrap();
            fs::write(cwd.join(path), "").unwrap();
        }
        fs::write(cwd.join(".gitignore"), "out/\n").unwrap();
        for (input, expected) in [
            (json!({"pattern": "*.rs"}), "a.rs\nsrc/b.rs\nsrc/deep/c.rs"),
            (json!({"pattern": "src/*.rs"}), "src/b.rs"),
            (json!({"pattern": "**/*.{txt,yml}"}), ".ci/g.yml\nsrc/d.txt"),
            (
                json!({"pattern": "*.rs", "path": "src"}),
                "src/b.rs\nsrc/deep/c.rs",
            ),
            (json!({"pattern": "*.py"}), "No file matches."),
            (json!({"pattern": "["}), "not valid"),
            (json!({"pattern": "*", "path": "a.rs"}), "not a folder"),
        ] {
            let outcome = run(&Glob, cwd, input.clone()).await;
            assert!(outcome.text.contains(expected), "{input}: {}", outcome.text);
            if !expected.contains(' ') {
                assert_eq!(outcome.text, expected, "{input}");
            }
        }
        let outside = prepare(&Glob, cwd, &json!({"pattern": "*", "path": "/etc"})).unwrap();
        assert_eq!(outside.permission, Permission::Needed);
    }

    #[tokio::test]
    async fn many_files_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..MAX_PATHS + 5 {
            fs::write(folder.path().join(format!("{index}.x")), "").unwrap();
        }
        let outcome = run(&Glob, folder.path(), json!({"pattern": "*.x"})).await;
        assert_eq!(outcome.text.lines().count(), MAX_PATHS + 1);
        assert!(outcome.text.contains("narrower"));
    }
}
