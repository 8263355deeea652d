//! `create`: a new file. Never replaces one.

use agent_client_protocol::v1::schema::{Diff, ToolCallContent, ToolCallLocation, ToolKind};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Permission, Prepared, Tool, ToolContext, blocking, files, paths, read_input};
use crate::model::ToolSpec;

pub(super) struct Create;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    path: String,
    content: String,
}

impl Tool for Create {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "create",
            description: "Makes a new file, and the folders it is in. Refuses when the file \
                          exists: use `edit` to change one.",
            schema: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Relative to the working folder, or absolute."},
                    "content": {"type": "string", "description": "The whole content."}
                },
                "required": ["path", "content"],
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
        if input.path.ends_with('/') || target.path.is_dir() {
            return Err(format!("{shown} is a folder."));
        }
        if target.path.exists() {
            return Err(format!("{shown} exists already. Use `edit` to change it."));
        }
        let content: ToolCallContent = Diff::new(&target.path, &input.content).into();
        let diff = vec![content];
        let context = context.clone();
        Ok(Prepared {
            title: format!("Create {shown}"),
            locations: vec![ToolCallLocation::new(&target.path)],
            content: diff.clone(),
            permission: Permission::Needed,
            details: None,
            run: async move {
                let lines = input.content.lines().count();
                if let Err(reason) = context.granted().check(&target.path, &shown) {
                    return Outcome::failed(reason);
                }
                let work = move |_: &_| files::create(&target.path, input.content.as_bytes());
                match blocking(&context, work).await {
                    Ok(Ok(())) => Outcome::completed(format!("Created {shown} ({lines} lines)."))
                        .with_content(diff),
                    Ok(Err(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        Outcome::failed(format!(
                            "{shown} was made by somebody else in the meantime."
                        ))
                    }
                    Ok(Err(error)) => Outcome::failed(files::describe(&shown, &error)),
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
    use crate::conversation::ToolStatus;

    #[tokio::test]
    async fn files_are_made_but_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        std::fs::write(cwd.join("old"), "old").unwrap();
        for (path, status, expected) in [
            (
                "a/b.txt",
                ToolStatus::Completed,
                "Created a/b.txt (2 lines)",
            ),
            ("a/b.txt", ToolStatus::Failed, "exists already"),
            ("old", ToolStatus::Failed, "exists already"),
            ("a", ToolStatus::Failed, "is a folder"),
            ("new/", ToolStatus::Failed, "is a folder"),
            ("old/x", ToolStatus::Failed, "old/x"),
        ] {
            let outcome = run(&Create, cwd, json!({"path": path, "content": "x\ny\n"})).await;
            assert_eq!(outcome.status, status, "{path}: {}", outcome.text);
            assert!(outcome.text.contains(expected), "{path}: {}", outcome.text);
        }
        assert_eq!(
            std::fs::read_to_string(cwd.join("a/b.txt")).unwrap(),
            "x\ny\n"
        );
        assert_eq!(std::fs::read_to_string(cwd.join("old")).unwrap(), "old");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn in_plan_mode_no_file_is_made() {
        use super::super::testing::context;
        let folder = tempfile::tempdir().unwrap();
        let (context, _) = context(folder.path());
        let input = json!({"path": "a", "content": "x"});
        let prepared = Create.prepare(&input, &context).unwrap();
        // It was allowed, and then the mode was switched.
        context.mode.set(crate::mode::Mode::Plan);
        let outcome = prepared.run.await;
        assert_eq!(outcome.status, ToolStatus::Failed, "{}", outcome.text);
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn a_new_file_is_shown_and_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().canonicalize().unwrap();
        let input = json!({"path": "a.txt", "content": "hello"});
        let prepared = prepare(&Create, &cwd, &input).unwrap();
        assert_eq!(prepared.permission, Permission::Needed);
        let diff: ToolCallContent = Diff::new(cwd.join("a.txt"), "hello").into();
        assert_eq!(prepared.content, [diff]);
        assert!(!cwd.join("a.txt").exists());
    }
}
