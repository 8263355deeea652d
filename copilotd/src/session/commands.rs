//! Commands in messages: `/mode plan`. What the daemon carries out itself, whoever sends it, and
//! what is offered to somebody who begins to type one.
//!
//! One table has them all. A `/word` that is not in it is for the agent.

use agent_client_protocol_schema::v1::{AvailableCommand, AvailableCommandInput};
use ahp_types::actions::{ChatPendingMessageSetAction, SessionTitleChangedAction, StateAction};
use ahp_types::commands::{CompletionItem, CompletionsResult};
use ahp_types::common::JsonObject;
use ahp_types::state::{
    Message, MessageAttachment, MessageKind, PendingMessageKind, SimpleMessageAttachment,
};
use serde_json::{Value, json};

use super::actor::{Actor, one_line};
use super::mode::{self, Mode};
use super::turn::{End, Phase};
use crate::audit::Who;
use crate::host::identity::{AGENT_MAY_ONLY_READ, Trust};
use crate::host::rpc::{self, RpcError};
use crate::host::{Client, admit};

/// What an offered command, and the attachment that goes with a message, is known by.
const META: &str = "copilot.command";
/// In the `_meta` of a message that is never a command, whatever its text looks like.
const WORDS: &str = "copilot.words";
/// Commands of one agent that are offered; the first.
const OF_AGENT: usize = 100;
/// Longest name of an agent's command, in characters; one with a longer name is not offered.
const NAME_CHARS: usize = 64;
/// How much is shown of what an agent says about a command, in characters.
const DESCRIPTION_CHARS: usize = 200;

/// What a message tells the daemon to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Take the file changes of a turn back: the one of this number, or the newest.
    Undo(Option<u64>),
    /// Switch the mode.
    Mode(Mode),
    /// Switch to plan mode, and give the agent this prompt.
    Plan(Option<String>),
    /// Name the session.
    Rename(String),
}

/// Who carries a command out.
#[derive(Clone, Copy)]
enum By {
    /// The daemon, for everybody.
    Daemon(fn(&str) -> Result<Command, String>),
    /// The daemon, for those who sit at the machine.
    DaemonHere(fn(&str) -> Result<Command, String>),
    /// A terminal at the machine, by itself. What it is told is not this table's to know.
    Terminal,
}

struct Known {
    name: &'static str,
    /// What may follow it, as people read it.
    argument: &'static str,
    description: &'static str,
    by: By,
}

const KNOWN: [Known; 10] = [
    Known {
        name: "mode",
        argument: "NAME",
        description: "switch the mode",
        by: By::Daemon(mode),
    },
    Known {
        name: "plan",
        argument: "[PROMPT]",
        description: "switch to plan mode, and ask for something",
        by: By::Daemon(plan),
    },
    Known {
        name: "rename",
        argument: "TITLE",
        description: "give the session another title",
        by: By::Daemon(rename),
    },
    Known {
        name: "undo",
        argument: "[N]",
        description: "take the file changes of a turn back",
        by: By::DaemonHere(undo),
    },
    Known {
        name: "allow-all",
        argument: "[on|off]",
        description: "allow everything that no rule denies",
        by: By::Terminal,
    },
    Known {
        name: "remote",
        argument: "[on|off]",
        description: "watch and steer this session from another device",
        by: By::Terminal,
    },
    Known {
        name: "cancel",
        argument: "",
        description: "interrupt what runs",
        by: By::Terminal,
    },
    Known {
        name: "older",
        argument: "",
        description: "show earlier turns",
        by: By::Terminal,
    },
    Known {
        name: "exit",
        argument: "",
        description: "leave the session, which goes on",
        by: By::Terminal,
    },
    Known {
        name: "help",
        argument: "",
        description: "show keys and commands",
        by: By::Terminal,
    },
];

impl Known {
    /// Why it is not for a connection of this trust.
    fn unavailable(&self, trust: Trust) -> Option<String> {
        match (trust, self.by) {
            (Trust::Agent, _) => Some(AGENT_MAY_ONLY_READ.to_owned()),
            (Trust::Remote, By::DaemonHere(_) | By::Terminal) => {
                Some(format!("/{} works only at the machine itself", self.name))
            }
            (Trust::Local | Trust::Remote, _) => None,
        }
    }

    fn read(&self, argument: &str) -> Option<Result<Command, String>> {
        match self.by {
            By::Daemon(read) | By::DaemonHere(read) => Some(read(argument)),
            By::Terminal => None,
        }
    }
}

fn mode(argument: &str) -> Result<Command, String> {
    match argument {
        "" => Err("/mode takes the name of a mode: interactive, plan or autopilot".to_owned()),
        name => name.parse().map(Command::Mode),
    }
}

fn plan(argument: &str) -> Result<Command, String> {
    Ok(Command::Plan(
        (!argument.is_empty()).then(|| argument.to_owned()),
    ))
}

fn rename(argument: &str) -> Result<Command, String> {
    match argument {
        "" => Err("/rename takes the title that the session is to have".to_owned()),
        title => admit::title(title).map(Command::Rename),
    }
}

fn undo(argument: &str) -> Result<Command, String> {
    let number = match argument {
        "" => Ok(None),
        number => number.parse().map(Some),
    };
    number
        .map(Command::Undo)
        .map_err(|_| "/undo takes the number of a turn or nothing, as in `/undo 3`".to_owned())
}

/// The command of the table that a text begins with, and what follows its name.
fn known(text: &str) -> Option<(&'static Known, &str)> {
    let typed = text.trim().strip_prefix('/')?;
    let (name, argument) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
    let known = KNOWN.iter().find(|known| known.name == name)?;
    Some((known, argument.trim()))
}

/// What a text tells the daemon to do, or why it cannot be told so; nothing when it is for the
/// agent.
fn parse(text: &str) -> Option<Result<Command, String>> {
    let (known, argument) = known(text)?;
    known.read(argument)
}

/// The same of a message: only people give commands, and not in what they say about a denial.
pub(super) fn of(message: &Message) -> Option<Result<Command, String>> {
    let is_words = message.meta.as_ref().is_some_and(|m| m.contains_key(WORDS));
    match message.origin.kind == MessageKind::User && !is_words {
        true => parse(&message.text),
        false => None,
    }
}

/// Makes a message one that is never a command.
pub(super) fn never(message: &mut Message) {
    message.meta = Some(admit::object(WORDS, true.into()));
}

/// Why a client of this trust may not send this, if it is a command.
pub(super) fn refused(trust: Trust, action: &StateAction) -> Option<String> {
    let text = match action {
        StateAction::ChatTurnStarted(a) => &a.message.text,
        StateAction::ChatPendingMessageSet(a) => &a.message.text,
        _ => return None,
    };
    let (known, argument) = known(text)?;
    let unavailable = known.unavailable(trust);
    unavailable.or_else(|| known.read(argument)?.err())
}

/// Whether an attachment is what completing a command left behind. The text has it all.
pub(crate) fn is_completed(attachment: &MessageAttachment) -> bool {
    let MessageAttachment::Simple(attachment) = attachment else {
        return false;
    };
    let meta = attachment.meta.as_ref();
    meta.is_some_and(|meta| meta.contains_key(META))
}

/// A command that the agent says it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfAgent {
    name: String,
    hint: Option<String>,
    description: String,
}

/// The commands of an agent as they can be offered.
pub(super) fn of_agent(announced: Vec<AvailableCommand>) -> Vec<OfAgent> {
    let fits = |command: &AvailableCommand| {
        let name = &command.name;
        let odd = |c: char| c.is_whitespace() || c.is_control();
        !name.is_empty() && name.chars().count() <= NAME_CHARS && !name.contains(odd)
    };
    let offered = |command: AvailableCommand| OfAgent {
        hint: match command.input {
            Some(AvailableCommandInput::Unstructured(input)) => {
                Some(one_line(&input.hint, NAME_CHARS)).filter(|hint| !hint.is_empty())
            }
            _ => None,
        },
        description: one_line(&command.description, DESCRIPTION_CHARS),
        name: command.name,
    };
    let fitting = announced.into_iter().filter(fits);
    // Ours are carried out before the agent's could be.
    let its_own = fitting.filter(|c| KNOWN.iter().all(|known| known.name != c.name));
    its_own.take(OF_AGENT).map(offered).collect()
}

/// What is offered to somebody who typed `typed`, up to the cursor.
pub(super) fn completions(trust: Trust, typed: &str, of_agent: &[OfAgent]) -> Vec<CompletionItem> {
    let Some(begun) = typed.strip_prefix('/') else {
        return Vec::new();
    };
    if begun.contains(char::is_whitespace) {
        return Vec::new();
    }
    let is_for = |known: &&Known| trust == Trust::Remote || !matches!(known.by, By::Terminal);
    let known = KNOWN.iter().filter(is_for).map(|known| {
        let unavailable = known.unavailable(trust);
        (known.name, known.argument, known.description, unavailable)
    });
    let of_agent = of_agent.iter().map(|command| {
        let hint = command.hint.as_deref().unwrap_or_default();
        let unavailable = (trust == Trust::Agent).then(|| AGENT_MAY_ONLY_READ.to_owned());
        (
            command.name.as_str(),
            hint,
            command.description.as_str(),
            unavailable,
        )
    });
    let end = i64::try_from(typed.encode_utf16().count()).unwrap_or(i64::MAX);
    let item = |(name, argument, description, unavailable): (&str, &str, &str, Option<String>)| {
        let (gap, insert_gap) = match argument {
            "" => ("", ""),
            _ => (" ", " "),
        };
        let mut command = json!({"description": description});
        if let Some(why) = unavailable {
            command["unavailable"] = why.into();
        }
        CompletionItem {
            insert_text: format!("/{name}{insert_gap}"),
            range_start: Some(0),
            range_end: Some(end),
            attachment: MessageAttachment::Simple(SimpleMessageAttachment {
                label: format!("/{name}{gap}{argument}"),
                range: None,
                display_kind: None,
                meta: Some(JsonObject::from_iter([(META.to_owned(), command)])),
                model_representation: None,
            }),
        }
    };
    let all = known.chain(of_agent);
    all.filter(|(name, ..)| name.starts_with(begun))
        .map(item)
        .collect()
}

impl Actor {
    /// Offers what can be typed.
    pub(super) fn complete(&self, client: &Client, request_id: &Value, channel: &str, typed: &str) {
        if channel != self.model.chat_uri || !self.is_there_for(client.trust()) {
            let error = RpcError::session_not_found(channel);
            self.reply_error(client, request_id, &error);
            return;
        }
        let of_agent = self.agent.as_ref().map(|agent| agent.commands.as_slice());
        let items = completions(client.trust(), typed, of_agent.unwrap_or_default());
        let reply = rpc::reply(request_id, &CompletionsResult { items });
        client.outbound().push(reply);
    }

    /// Does what the message that started this turn tells the daemon. `true`: the turn goes on
    /// with the agent.
    pub(super) fn begin_command(&mut self, command: Result<Command, String>) -> bool {
        let by = self.turn_by.clone();
        if let Ok(Command::Plan(Some(_))) = &command {
            self.obey(Command::Plan(None), by);
            return true;
        }
        if let Some(turn) = &mut self.turn {
            turn.phase = Phase::Own;
        }
        match command {
            // Its end is that of a job beside this loop.
            Ok(Command::Undo(number)) => {
                self.start_undo(number);
                return false;
            }
            Ok(command) => self.obey(command, by),
            // Kept from a time when it was taken.
            Err(words) => self.notice(&words, "command-refused"),
        }
        self.conclude_turn(End::complete());
        false
    }

    /// A message that waits to join the running turn, and is done at once instead. `false`: it is
    /// for later, or for the agent.
    pub(super) fn obey_at_once(&mut self, action: &ChatPendingMessageSetAction) -> bool {
        if action.kind != PendingMessageKind::Steering || self.turn.is_none() {
            return false;
        }
        let command = match of(&action.message) {
            // These two take a turn of their own.
            None | Some(Err(_) | Ok(Command::Undo(_) | Command::Plan(Some(_)))) => return false,
            Some(Ok(command)) => command,
        };
        self.steering_joined(&action.id);
        let by = self.step_by.clone();
        self.obey(command, by);
        true
    }

    /// Carries a command out that takes no time; `by` is nobody when an earlier life of the
    /// session knew it.
    fn obey(&mut self, command: Command, by: Option<Who>) {
        let name = by.as_ref().map(|who| who.name.clone());
        let name = name.unwrap_or_else(|| "a queued message".to_owned());
        let before = self.model.outbox.len();
        match command {
            Command::Mode(mode) => self.switch_by_command(mode, &name),
            Command::Plan(_) => self.switch_by_command(Mode::Plan, &name),
            Command::Rename(title) => self.rename_by_command(title, &name),
            Command::Undo(_) => {}
        }
        // The step may be somebody else's, in whose wake a queued command comes.
        for outgoing in self.model.outbox.iter_mut().skip(before) {
            outgoing.by.clone_from(&by);
        }
    }

    fn switch_by_command(&mut self, wanted: Mode, name: &str) {
        if self.mode() == wanted {
            self.notice(&format!("The session is in {wanted} mode already."), "mode");
            return;
        }
        self.configure(mode::change(mode::MODE, wanted.name()), None, name);
    }

    fn rename_by_command(&mut self, title: String, name: &str) {
        self.named_by_person = true;
        let text = format!("{name} named the session {title}");
        let action = SessionTitleChangedAction { title };
        self.model
            .session(StateAction::SessionTitleChanged(action), None);
        self.notice(&text, "renamed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        serde_json::from_value(json!({"text": text, "origin": {"kind": "user"}})).unwrap()
    }

    #[test]
    fn a_text_is_a_command_or_is_for_the_agent() {
        let plan = |prompt: &str| Command::Plan(Some(prompt.to_owned()));
        let rename = |title: &str| Command::Rename(title.to_owned());
        for (text, expected) in [
            ("/undo", Some(Ok(Command::Undo(None)))),
            (" /undo 3\n", Some(Ok(Command::Undo(Some(3))))),
            ("/undo it", Some(Err("`/undo 3`"))),
            ("/undo 1 2", Some(Err("`/undo 3`"))),
            ("/mode plan", Some(Ok(Command::Mode(Mode::Plan)))),
            (
                "/mode  autopilot ",
                Some(Ok(Command::Mode(Mode::Autopilot))),
            ),
            ("/mode", Some(Err("interactive, plan or autopilot"))),
            ("/mode fast", Some(Err("`fast` is not a mode"))),
            ("/mode plan it", Some(Err("`plan it` is not a mode"))),
            ("/plan", Some(Ok(Command::Plan(None)))),
            ("/plan a new\nparser", Some(Ok(plan("a new\nparser")))),
            ("/rename The parser", Some(Ok(rename("The parser")))),
            ("/rename", Some(Err("takes the title"))),
            ("/rename two\nlines", Some(Err("no line breaks"))),
            ("/undone", None),
            ("/modeplan", None),
            ("/Mode plan", None),
            ("please /undo", None),
            ("/home/ada is full", None),
            ("/", None),
            ("", None),
            ("/explain this", None),
            // A terminal's own; from elsewhere it is a prompt like any other.
            ("/allow-all", None),
            ("/remote on", None),
        ] {
            match (parse(text), expected) {
                (Some(Err(why)), Some(Err(part))) => assert!(why.contains(part), "{text}: {why}"),
                (found, expected) => {
                    let found = found.map(|f| f.map_err(|_| ""));
                    assert_eq!(found, expected, "{text}");
                }
            }
        }
    }

    #[test]
    fn only_people_give_commands_and_not_in_what_they_say_about_a_denial() {
        assert_eq!(of(&message("/undo")), Some(Ok(Command::Undo(None))));
        let mut words = message("/undo");
        never(&mut words);
        assert_eq!(of(&words), None);
        let mut by_host = message("/undo");
        by_host.origin.kind = MessageKind::SystemNotification;
        assert_eq!(of(&by_host), None);
    }

    #[test]
    fn who_may_not_send_what() {
        for (trust, text, expected) in [
            (Trust::Local, "/undo", None),
            (Trust::Local, "/undo x", Some("`/undo 3`")),
            (Trust::Local, "/allow-all", None),
            (Trust::Remote, "/mode plan", None),
            (Trust::Remote, "/mode x", Some("is not a mode")),
            (Trust::Remote, "/plan x", None),
            (Trust::Remote, "/rename x", None),
            (
                Trust::Remote,
                "/undo",
                Some("/undo works only at the machine itself"),
            ),
            (
                Trust::Remote,
                "/undo x",
                Some("/undo works only at the machine itself"),
            ),
            (
                Trust::Remote,
                "/allow-all on",
                Some("/allow-all works only at the machine"),
            ),
            (
                Trust::Remote,
                "/remote off",
                Some("/remote works only at the machine itself"),
            ),
            (Trust::Remote, "/explain this", None),
        ] {
            let pending = json!({"type": "chat/pendingMessageSet", "kind": "queued", "id": "m", "message": message(text)});
            let started = json!({"type": "chat/turnStarted", "turnId": "t", "startedAt": "now", "message": message(text)});
            for action in [pending, started] {
                let action: StateAction = serde_json::from_value(action).unwrap();
                let why = refused(trust, &action);
                match expected {
                    None => assert_eq!(why, None, "{text}"),
                    Some(part) => assert!(
                        why.as_ref().is_some_and(|w| w.contains(part)),
                        "{text}: {why:?}"
                    ),
                }
            }
        }
    }

    fn offered(trust: Trust, typed: &str, of_agent: &[OfAgent]) -> Vec<Value> {
        let items = completions(trust, typed, of_agent);
        items
            .iter()
            .map(|i| serde_json::to_value(i).unwrap())
            .collect()
    }

    fn names(items: &[Value]) -> Vec<&str> {
        items
            .iter()
            .map(|i| i["insertText"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn what_is_offered_depends_on_what_was_typed_and_by_whom() {
        for (trust, typed, expected) in [
            (
                Trust::Local,
                "/",
                &["/mode ", "/plan ", "/rename ", "/undo "][..],
            ),
            (
                Trust::Remote,
                "/",
                &[
                    "/mode ",
                    "/plan ",
                    "/rename ",
                    "/undo ",
                    "/allow-all ",
                    "/remote ",
                    "/cancel",
                    "/older",
                    "/exit",
                    "/help",
                ],
            ),
            (Trust::Remote, "/re", &["/rename ", "/remote "]),
            (Trust::Remote, "/mode", &["/mode "]),
            (Trust::Remote, "/mode ", &[]),
            (Trust::Remote, "/x", &[]),
            (Trust::Remote, " /", &[]),
            (Trust::Remote, "", &[]),
            (Trust::Remote, "a /", &[]),
        ] {
            assert_eq!(names(&offered(trust, typed, &[])), expected, "{typed}");
        }
    }

    #[test]
    fn an_offer_says_what_it_does_and_why_it_is_not_for_a_device() {
        let items = offered(Trust::Remote, "/m", &[]);
        let expected = json!({"insertText": "/mode ", "rangeStart": 0, "rangeEnd": 2,
            "attachment": {"type": "simple", "label": "/mode NAME",
                "_meta": {"copilot.command": {"description": "switch the mode"}}}});
        assert_eq!(items, [expected]);
        let why = |trust, typed: &str| {
            let item = offered(trust, typed, &[]).remove(0);
            item["attachment"]["_meta"][META]["unavailable"].clone()
        };
        assert_eq!(
            why(Trust::Remote, "/undo"),
            "/undo works only at the machine itself"
        );
        assert_eq!(why(Trust::Local, "/undo"), Value::Null);
        assert_eq!(why(Trust::Agent, "/mode"), AGENT_MAY_ONLY_READ);
    }

    #[test]
    fn an_agents_own_commands_are_offered_after_ours_and_never_instead() {
        let hint = |hint: &str| json!({"hint": hint});
        let announced = json!([
            {"name": "review", "description": "Review it\nwell", "input": hint("what")},
            {"name": "mode", "description": "another mode"},
            {"name": "two words", "description": ""},
            {"name": "", "description": ""},
            {"name": "x".repeat(NAME_CHARS + 1), "description": ""},
            {"name": "clean", "description": "y".repeat(1000)},
        ]);
        let announced: Vec<AvailableCommand> = serde_json::from_value(announced).unwrap();
        let of_agent = of_agent(announced);
        let items = offered(Trust::Local, "/", &of_agent);
        let labels: Vec<&Value> = items.iter().map(|i| &i["attachment"]["label"]).collect();
        assert_eq!(labels[4..], ["/review what", "/clean"]);
        assert_eq!(names(&items)[4..], ["/review ", "/clean"]);
        let described = |item: &Value| item["attachment"]["_meta"][META]["description"].clone();
        assert_eq!(described(&items[4]), "Review it");
        assert!(described(&items[5]).as_str().unwrap().chars().count() <= DESCRIPTION_CHARS);
        let many = (0..1000)
            .map(|n| AvailableCommand::new(format!("c{n}"), ""))
            .collect();
        assert_eq!(super::of_agent(many).len(), OF_AGENT);
    }
}
