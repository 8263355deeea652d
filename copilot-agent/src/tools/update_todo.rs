//! `update_todo`: the list of steps that people see.

use agent_client_protocol::v1::schema::{
    Plan, PlanEntry, PlanEntryPriority, PlanEntryStatus, SessionUpdate, ToolKind,
};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Permission, Prepared, Tool, ToolContext, read_input};
use crate::model::ToolSpec;

/// Most steps of a list.
const MAX_ITEMS: usize = 100;

pub(super) struct UpdateTodo;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    content: String,
    status: Status,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    InProgress,
    Completed,
}

impl Tool for UpdateTodo {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "update_todo",
            description: "Shows the person your list of steps. Every call replaces the whole list; \
                          keep one step in progress.",
            schema: json!({
                "type": "object",
                "properties": {
                    "items": {
                        "type": "array",
                        "maxItems": MAX_ITEMS,
                        "items": {
                            "type": "object",
                            "properties": {
                                "content": {"type": "string"},
                                "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]}
                            },
                            "required": ["content", "status"],
                            "additionalProperties": false
                        }
                    }
                },
                "required": ["items"],
                "additionalProperties": false
            }),
        }
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Think
    }

    fn prepare(&self, input: &Value, context: &ToolContext) -> Result<Prepared, String> {
        let Input { items } = read_input(input)?;
        if items.len() > MAX_ITEMS {
            return Err(format!("There can be at most {MAX_ITEMS} items."));
        }
        let done = items
            .iter()
            .filter(|item| item.status == Status::Completed)
            .count();
        let summary = format!("{done} of {} done", items.len());
        let context = context.clone();
        Ok(Prepared {
            title: format!("Update the list of steps ({summary})"),
            locations: Vec::new(),
            content: Vec::new(),
            permission: Permission::NotNeeded,
            details: None,
            run: async move {
                let entries = items
                    .into_iter()
                    .map(|item| {
                        let status = match item.status {
                            Status::Pending => PlanEntryStatus::Pending,
                            Status::InProgress => PlanEntryStatus::InProgress,
                            Status::Completed => PlanEntryStatus::Completed,
                        };
                        PlanEntry::new(item.content, PlanEntryPriority::Medium, status)
                    })
                    .collect();
                let update = SessionUpdate::Plan(Plan::new(entries));
                context.host.update(update).await;
                Outcome::completed(format!("The list is shown: {summary}."))
            }
            .boxed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{context, prepare};
    use super::*;

    #[tokio::test]
    async fn the_list_is_sent_as_a_plan() {
        let folder = tempfile::tempdir().unwrap();
        let (context, host) = context(folder.path());
        let input = json!({"items": [
            {"content": "look", "status": "completed"},
            {"content": "change", "status": "in_progress"},
            {"content": "test", "status": "pending"}
        ]});
        let outcome = UpdateTodo.prepare(&input, &context).unwrap().run.await;
        assert!(outcome.text.contains("1 of 3 done"));
        let updates = host.updates.lock().unwrap();
        let sent = serde_json::to_value(&updates[0]).unwrap();
        assert_eq!(sent["sessionUpdate"], "plan");
        assert_eq!(sent["entries"][1]["status"], "in_progress");
    }

    #[test]
    fn an_unknown_status_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let input = json!({"items": [{"content": "x", "status": "done"}]});
        let error = prepare(&UpdateTodo, folder.path(), &input).err().unwrap();
        assert!(error.contains("in_progress"), "{error}");
    }
}
