//! Slash commands, as the host offers them.

use ahp_types::commands::{
    CompletionItem, CompletionItemKind, CompletionsParams, CompletionsResult,
};
use serde_json::value::RawValue;

use super::connection::parse;
use super::meta;
use crate::text::one_line;

/// How the host marks an item that is a command.
const META: &str = "copilot.command";

/// A command that can be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Without its slash.
    pub name: String,
    /// What may follow it, as people read it; or nothing.
    pub argument: String,
    /// What it does.
    pub description: String,
}

impl Command {
    /// A command with these words for people.
    pub fn new(name: &str, argument: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            argument: argument.to_owned(),
            description: description.to_owned(),
        }
    }

    /// As it is shown: `/mode NAME`.
    pub fn label(&self) -> String {
        format!("/{} {}", self.name, self.argument)
            .trim_end()
            .to_owned()
    }
}

/// Asks for every command of a chat.
pub(super) fn params(chat: &str) -> CompletionsParams {
    CompletionsParams {
        channel: chat.to_owned(),
        meta: None,
        kind: CompletionItemKind::UserMessage,
        text: "/".to_owned(),
        offset: 1,
    }
}

/// The commands of the answer; whatever is not understood is left out.
pub(super) fn of(raw: &RawValue) -> Vec<Command> {
    let items = parse::<CompletionsResult>(raw).map(|result| result.items);
    items
        .unwrap_or_default()
        .iter()
        .filter_map(command)
        .collect()
}

fn command(item: &CompletionItem) -> Option<Command> {
    let ahp_types::state::MessageAttachment::Simple(attachment) = &item.attachment else {
        return None;
    };
    let about = attachment.meta.as_ref()?.get(META)?.as_object();
    if about?.contains_key("unavailable") {
        return None;
    }
    let name = item.insert_text.trim().strip_prefix('/')?;
    let argument = attachment
        .label
        .split_once(' ')
        .map_or("", |(_, argument)| argument);
    let description = meta::text(about, "description").unwrap_or_default();
    Some(Command::new(
        &one_line(name),
        &one_line(argument),
        &one_line(description),
    ))
}
