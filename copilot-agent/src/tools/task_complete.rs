//! `task_complete`: declares that the task is done, which ends the turn.

use agent_client_protocol::v1::schema::ToolKind;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Permission, Prepared, Tool, ToolContext, read_input, text_content};
use crate::{mode::Mode, model::ToolSpec, prompt};

/// The name of the tool.
pub(crate) const NAME: &str = "task_complete";

pub(super) struct TaskComplete;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    summary: String,
}

impl Tool for TaskComplete {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: NAME,
            description: "Declares that the task is complete, or that it cannot be completed. Call \
                          it alone and last: it ends your work.",
            schema: json!({
                "type": "object",
                "properties": {
                    "summary": {"type": "string", "description": "What was done and how it was checked, in Markdown."}
                },
                "required": ["summary"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Other
    }

    fn is_offered_in(&self, mode: Mode) -> bool {
        mode == Mode::Autopilot
    }

    fn prepare(&self, input: &Value, _context: &ToolContext) -> Result<Prepared, String> {
        let Input { summary } = read_input(input)?;
        let title = prompt::title(&summary).ok_or("The summary is empty.")?;
        Ok(Prepared {
            title,
            locations: Vec::new(),
            content: Vec::new(),
            permission: Permission::NotNeeded,
            details: None,
            run: async move {
                let shown = text_content(summary);
                Outcome::completed("The task is declared complete.").with_content(vec![shown])
            }
            .boxed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::prepare;
    use super::*;

    #[test]
    fn a_summary_is_needed_and_no_permission() {
        let folder = tempfile::tempdir().unwrap();
        assert!(prepare(&TaskComplete, folder.path(), &json!({"summary": " "})).is_err());
        let prepared = prepare(
            &TaskComplete,
            folder.path(),
            &json!({"summary": "All done"}),
        );
        let prepared = prepared.unwrap();
        assert_eq!(prepared.permission, Permission::NotNeeded);
        assert_eq!(prepared.title, "All done");
    }
}
