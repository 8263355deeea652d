//! `view`: a file with line numbers, or the entries of a folder.

use std::{fmt::Write as _, path::Path};

use agent_client_protocol::v1::schema::{ToolCallLocation, ToolKind};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Outcome, Permission, Prepared, Tool, ToolContext, blocking, files, paths, place, read_input,
};
use crate::model::ToolSpec;

/// Most lines that are shown at once.
const MAX_LINES: usize = 2_000;
/// Most characters that are shown of a line.
const MAX_LINE_CHARS: usize = 1_000;
/// Most characters that are shown in all.
const MAX_CHARS: usize = 60_000;
/// Most entries of a folder that are shown.
const MAX_ENTRIES: usize = 1_000;

pub(super) struct View;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
    from_line: Option<usize>,
    to_line: Option<usize>,
}

impl Tool for View {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "view",
            description: "Reads a text file with line numbers, or lists a folder. At most 2000 \
                          lines at once; give a range for more.",
            schema: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Relative to the working folder, or absolute."},
                    "from_line": {"type": "integer", "minimum": 1, "description": "First line, from 1."},
                    "to_line": {"type": "integer", "minimum": 1, "description": "Last line."}
                },
                "required": ["path"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Read
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let input: Input = read_input(input)?;
        let target = paths::resolve(&context.cwd, &input.path)?;
        let from = input.from_line.unwrap_or(1).max(1);
        if input.to_line.is_some_and(|to| to < from) {
            return Err("to_line is before from_line.".to_owned());
        }
        let shown = target.display(&context.cwd);
        let title = match (input.from_line, input.to_line) {
            (None, None) => format!("View {shown}"),
            (_, None) => format!("View {shown} from line {from}"),
            (_, Some(to)) => format!("View {shown}, lines {from} to {to}"),
        };
        let line = input.from_line.and_then(|line| u32::try_from(line).ok());
        let context = context.clone();
        let location = ToolCallLocation::new(&target.path).line(line);
        Ok(Prepared {
            title,
            locations: vec![location],
            content: Vec::new(),
            permission: Permission::to_read(&target),
            details: None,
            run: async move {
                let grant = context.granted();
                let work = move |_: &_| {
                    grant.check(&target.path, &shown)?;
                    if target.path.is_dir() {
                        list(&target.path, &shown)
                    } else {
                        files::read(&target.path, &shown)
                            .and_then(|bytes| number(&bytes, from, input.to_line, &shown))
                    }
                };
                match blocking(&context, work).await {
                    Ok(Ok(text)) => Outcome::completed(text),
                    Ok(Err(reason)) => Outcome::failed(reason),
                    Err(outcome) => outcome,
                }
            }
            .boxed(),
        })
    }
}

fn list(path: &Path, shown: &str) -> Result<String, String> {
    let entries = place::entries(path).map_err(|error| files::describe(shown, &error))?;
    let mut names: Vec<String> = entries
        .into_iter()
        .map(|entry| {
            let name = entry.name.to_string_lossy();
            let mark = match entry {
                _ if entry.is_folder => "/",
                _ if entry.is_link => "@",
                _ => "",
            };
            format!("{name}{mark}")
        })
        .collect();
    names.sort();
    let total = names.len();
    names.truncate(MAX_ENTRIES);
    let mut text = names.join("\n");
    if total == 0 {
        text.push_str("(an empty folder)");
    } else if total > MAX_ENTRIES {
        let _ = write!(text, "\n[{} more entries]", total - MAX_ENTRIES);
    }
    Ok(text)
}

fn number(bytes: &[u8], from: usize, to: Option<usize>, shown: &str) -> Result<String, String> {
    if files::is_binary(bytes) {
        return Err(format!("{shown} is a binary file ({} bytes).", bytes.len()));
    }
    let content = String::from_utf8_lossy(bytes);
    let total = content.lines().count();
    if total == 0 {
        return Ok("(an empty file)".to_owned());
    }
    if from > total {
        return Err(format!("{shown} has only {total} lines."));
    }
    let last = to.unwrap_or(total).min(total).min(from + MAX_LINES - 1);
    let mut text = String::new();
    let mut end = from - 1;
    for (index, line) in content.lines().enumerate().take(last).skip(from - 1) {
        if text.len() > MAX_CHARS {
            break;
        }
        let cut: String = line.chars().take(MAX_LINE_CHARS).collect();
        let rest = line[cut.len()..].chars().count();
        let _ = write!(text, "{:>6}\t{cut}", index + 1);
        if rest > 0 {
            let _ = write!(text, " [{rest} more characters]");
        }
        text.push('\n');
        end = index + 1;
    }
    if end < to.unwrap_or(total).min(total) {
        let _ = writeln!(
            text,
            "[up to line {end} of {total}; go on with from_line {}]",
            end + 1
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{prepare, run};
    use super::*;
    use crate::conversation::ToolStatus;
    use std::fs;

    #[tokio::test]
    async fn files_and_folders_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        fs::create_dir(cwd.join("src")).unwrap();
        fs::write(cwd.join("a.txt"), "one\ntwo\nthree\n").unwrap();
        fs::write(cwd.join("long.txt"), "x\n".repeat(3_000)).unwrap();
        fs::write(cwd.join("wide.txt"), "y".repeat(5_000)).unwrap();
        fs::write(cwd.join("empty"), "").unwrap();
        fs::write(cwd.join("data.bin"), b"a\0b").unwrap();
        let ok = ToolStatus::Completed;
        let failed = ToolStatus::Failed;
        for (input, status, expected) in [
            (
                json!({"path": "a.txt"}),
                ok,
                "     1\tone\n     2\ttwo\n     3\tthree\n",
            ),
            (
                json!({"path": "a.txt", "from_line": 2, "to_line": 2}),
                ok,
                "     2\ttwo\n",
            ),
            (
                json!({"path": "a.txt", "from_line": 2, "to_line": 99}),
                ok,
                "     3\tthree\n",
            ),
            (
                json!({"path": "a.txt", "from_line": 9}),
                failed,
                "only 3 lines",
            ),
            (
                json!({"path": "a.txt", "from_line": 2, "to_line": 1}),
                failed,
                "before from_line",
            ),
            (
                json!({"path": "."}),
                ok,
                "a.txt\ndata.bin\nempty\nlong.txt\nsrc/",
            ),
            (json!({"path": "src"}), ok, "empty folder"),
            (json!({"path": "empty"}), ok, "empty file"),
            (
                json!({"path": "long.txt"}),
                ok,
                "[up to line 2000 of 3000; go on with from_line 2001]",
            ),
            (json!({"path": "wide.txt"}), ok, "[4000 more characters]"),
            (json!({"path": "data.bin"}), failed, "binary file (3 bytes)"),
            (json!({"path": "none"}), failed, "none does not exist"),
            (json!({"file": "none"}), failed, "does not fit"),
            (json!("{\"path\":"), failed, "not valid JSON"),
        ] {
            let outcome = run(&View, cwd, input.clone()).await;
            assert_eq!(outcome.status, status, "{input}: {}", outcome.text);
            assert!(outcome.text.contains(expected), "{input}: {}", outcome.text);
        }
    }

    #[test]
    fn reading_outside_needs_a_permission() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::os::unix::fs::symlink("/etc/passwd", cwd.join("link")).unwrap();
        for (path, needed) in [
            ("a", Permission::ReadInside),
            (".", Permission::ReadInside),
            ("/etc/passwd", Permission::Needed),
            ("link", Permission::Needed),
            ("..", Permission::Needed),
        ] {
            let prepared = prepare(&View, cwd, &json!({"path": path})).unwrap();
            assert_eq!(prepared.permission, needed, "{path}");
        }
    }
}
