//! `exit_plan_mode`: proposes a plan, and waits until a person has decided about it.

use agent_client_protocol::v1::schema::ToolKind;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Permission, Prepared, Tool, ToolContext, read_input, text_content};
use crate::{mode::Mode, model::ToolSpec, prompt};

/// Longest plan, in bytes.
const MAX_PLAN_BYTES: usize = 256 * 1024;

pub(super) struct ExitPlanMode;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    plan: String,
    summary: Option<String>,
}

impl Tool for ExitPlanMode {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "exit_plan_mode",
            description: "Shows the person your plan, in plan mode, and waits for the decision: to \
                          carry it out, to change it, or to leave it.",
            schema: json!({
                "type": "object",
                "properties": {
                    "plan": {"type": "string", "description": "The whole plan, in Markdown."},
                    "summary": {"type": "string", "description": "One line that says what it does."}
                },
                "required": ["plan"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::SwitchMode
    }

    fn is_offered_in(&self, mode: Mode) -> bool {
        mode == Mode::Plan
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let input: Input = read_input(input)?;
        if context.mode.get() != Mode::Plan {
            return Err("The session is not in plan mode: carry out what was asked.".to_owned());
        }
        if input.plan.len() > MAX_PLAN_BYTES {
            return Err(format!(
                "The plan has more than {} KiB. Say less.",
                MAX_PLAN_BYTES / 1024
            ));
        }
        let first_line = prompt::title(&input.plan).ok_or("The plan is empty.")?;
        let summary = input.summary.as_deref().and_then(prompt::title);
        let mode = context.mode.clone();
        Ok(Prepared {
            title: format!("Plan: {}", summary.unwrap_or(first_line)),
            locations: Vec::new(),
            content: vec![text_content(input.plan)],
            permission: Permission::Needed,
            details: None,
            run: async move {
                Outcome::completed(match mode.get() {
                    Mode::Autopilot => {
                        "The person accepted the plan. Carry it out by yourself, and call \
                         `task_complete` when everything is done and checked."
                    }
                    _ => "The person accepted the plan. Carry it out.",
                })
            }
            .boxed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::context;
    use super::*;

    #[tokio::test]
    async fn a_plan_is_shown_and_asked_for_in_plan_mode_only() {
        let folder = tempfile::tempdir().unwrap();
        let (context, _) = context(folder.path());
        let plan = json!({"plan": "# Rename it\n1. rename", "summary": "Renames it"});
        assert!(ExitPlanMode.prepare(&plan, &context).is_err());
        context.mode.set(Mode::Plan);
        let prepared = ExitPlanMode.prepare(&plan, &context).unwrap();
        assert_eq!(prepared.permission, Permission::Needed);
        assert_eq!(prepared.title, "Plan: Renames it");
        assert_eq!(prepared.content, [text_content("# Rename it\n1. rename")]);
        context.mode.set(Mode::Autopilot);
        assert!(prepared.run.await.text.contains("task_complete"));
        context.mode.set(Mode::Plan);
        for wrong in [
            json!({"plan": "  "}),
            json!({"plan": "x".repeat(MAX_PLAN_BYTES + 1)}),
        ] {
            assert!(ExitPlanMode.prepare(&wrong, &context).is_err());
        }
    }
}
