//! Slash commands: which fit what is typed, and what those of the terminal do.
//!
//! Some the terminal carries out itself, some the host does as a message, and an agent may have
//! its own. A word that is none of them may still be meant for the agent, which says what it has
//! only once it runs: Enter asks, Enter again sends.

use std::time::Instant;

use ahp_types::state::PendingMessageKind;

use super::app::{App, Effect, Link, cancel_turn};
use super::editor::Edit;
use super::keys::Key;
use super::line::{Line, Style};
use super::remote::{self, Asked};
use crate::client::{
    Command, MODES, Mirror, allows_all, mode, set_remote, switch_allow_all, switch_mode,
};

/// How many are shown at once.
const ROWS: usize = 8;
/// How wide the commands are in a list, in columns.
const LABEL: usize = 22;

/// What a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// The terminal does it.
    Mode,
    Plan,
    AllowAll,
    Remote,
    Cancel,
    Older,
    Exit,
    Help,
    /// The host does it, for every client: it is a message.
    Message,
}

/// The commands that every session has: name, what may follow, what it does for people.
const KNOWN: &[(&str, &str, &str, Does)] = &[
    ("mode", "NAME", "switch the mode", Does::Mode),
    (
        "plan",
        "[PROMPT]",
        "switch to plan mode, and ask for something",
        Does::Plan,
    ),
    (
        "rename",
        "TITLE",
        "give the session another title",
        Does::Message,
    ),
    (
        "undo",
        "[N]",
        "take the file changes of a turn back",
        Does::Message,
    ),
    (
        "allow-all",
        "[on|off]",
        "allow everything that no rule denies",
        Does::AllowAll,
    ),
    (
        "remote",
        "[on|off]",
        "watch and steer this session from another device",
        Does::Remote,
    ),
    ("cancel", "", "interrupt", Does::Cancel),
    ("older", "", "show earlier turns", Does::Older),
    ("exit", "", "detach; the session goes on", Does::Exit),
    ("help", "", "show keys and commands", Does::Help),
];

/// The commands of the agent, as far as they are known.
#[derive(Debug, Default)]
enum OfAgent {
    #[default]
    Unasked,
    Asked,
    Known(Vec<Command>),
}

/// What stands in the input, when it begins with a slash.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'a> {
    /// Nothing special.
    Message,
    /// A command that every session has.
    Known(Does),
    /// A name that is nobody's, as far as anybody has said.
    Doubtful(&'a str),
}

/// The list of commands over the input.
#[derive(Debug, Default)]
pub(super) struct Commands {
    of_agent: OfAgent,
    /// Where arrows have led.
    marked: Option<usize>,
    hidden: bool,
    /// What Enter was pressed on before the host had said what the agent has.
    awaited: Option<String>,
    /// What was said to be no command.
    doubted: Option<String>,
}

impl Commands {
    /// The input has another text now. True: the host is to be asked.
    fn typed(&mut self, text: &str, from_history: bool) -> bool {
        if !text.starts_with('/') {
            *self = Self::default();
            return false;
        }
        self.marked = None;
        self.hidden = from_history;
        self.ask()
    }

    fn ask(&mut self) -> bool {
        let ask = matches!(self.of_agent, OfAgent::Unasked);
        if ask {
            self.of_agent = OfAgent::Asked;
        }
        ask
    }

    /// The input is empty, or who was asked is gone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn of_agent(&self) -> &[Command] {
        match &self.of_agent {
            OfAgent::Known(commands) => commands,
            OfAgent::Unasked | OfAgent::Asked => &[],
        }
    }

    /// The commands that fit `text`, while its first word is being typed.
    fn fitting(&self, text: &str) -> Vec<Command> {
        let Some(begun) = text.strip_prefix('/').filter(|_| !self.hidden) else {
            return Vec::new();
        };
        if begun.contains(char::is_whitespace) {
            return Vec::new();
        }
        let agents = self
            .of_agent()
            .iter()
            .filter(|c| !is_known(&c.name))
            .cloned();
        known()
            .chain(agents)
            .filter(|command| command.name.starts_with(begun))
            .collect()
    }

    /// Which of `fitting` is marked: where arrows led, or else what is typed already.
    fn marked(&self, fitting: &[Command], text: &str) -> usize {
        let typed = || {
            fitting
                .iter()
                .position(|c| text.strip_prefix('/') == Some(&c.name))
        };
        self.marked.or_else(typed).unwrap_or(0)
    }

    /// The list for `text`, which may be empty.
    pub(super) fn rows(&self, text: &str) -> Vec<Line> {
        let fitting = self.fitting(text);
        let marked = self.marked(&fitting, text);
        let from = (marked + 1).saturating_sub(ROWS);
        let row = |(at, command): (usize, &Command)| match at == marked {
            true => row("❯ ", command, Style::BOLD),
            false => row("  ", command, Style::DIM),
        };
        fitting
            .iter()
            .enumerate()
            .skip(from)
            .take(ROWS)
            .map(row)
            .collect()
    }

    fn meaning<'a>(&self, text: &'a str) -> Meaning<'a> {
        let name = text
            .strip_prefix('/')
            .and_then(|rest| rest.split_whitespace().next());
        // A path is no command.
        let is_word = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        match name.filter(is_word) {
            None => Meaning::Message,
            Some("quit") => Meaning::Known(Does::Exit),
            Some(name) => match KNOWN.iter().find(|(known, ..)| *known == name) {
                Some((.., does)) => Meaning::Known(*does),
                None if self.doubted.as_deref() == Some(text) => Meaning::Message,
                None if self.of_agent().iter().any(|c| c.name == name) => Meaning::Message,
                None => Meaning::Doubtful(name),
            },
        }
    }
}

fn known() -> impl Iterator<Item = Command> {
    let known = KNOWN.iter();
    known.map(|(name, argument, description, _)| Command::new(name, argument, description))
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, ..)| *known == name)
}

fn row(before: &str, command: &Command, style: Style) -> Line {
    Line::styled(format!("{before}{:<LABEL$} ", command.label()), style)
        .with(
            command.description.clone(),
            if style == Style::BOLD {
                Style::PLAIN
            } else {
                style
            },
        )
        .hanging(LABEL + 3)
}

/// The commands that every session has, for the help.
pub(super) fn help() -> impl Iterator<Item = (String, String)> {
    known().map(|command| (command.label(), command.description))
}

impl App {
    /// Edits the input.
    pub(super) fn write(&mut self, edit: Edit) -> Vec<Effect> {
        let from_history = matches!(edit, Edit::Up | Edit::Down);
        self.editor.apply(edit);
        let ask = self.commands.typed(self.editor.text(), from_history);
        ask.then_some(Effect::Commands).into_iter().collect()
    }

    /// Whether a list of commands is over the input.
    pub(super) fn lists_commands(&self) -> bool {
        !self.commands.fitting(self.editor.text()).is_empty()
    }

    /// Takes a key that is for the list of commands, while there is one.
    pub(super) fn pick(&mut self, key: &Key) -> Option<Vec<Effect>> {
        let text = self.editor.text();
        let fitting = self.commands.fitting(text);
        let at = self.commands.marked(&fitting, text);
        let marked = fitting.get(at)?;
        let is_typed = text.strip_prefix('/') == Some(&marked.name);
        match key {
            Key::Edit(Edit::Up) => {
                self.commands.marked = Some((at + fitting.len() - 1) % fitting.len())
            }
            Key::Edit(Edit::Down) => self.commands.marked = Some((at + 1) % fitting.len()),
            Key::Escape => self.commands.hidden = true,
            Key::Enter if is_typed => return None,
            Key::Enter | Key::Tab => {
                let gap = if marked.argument.is_empty() { "" } else { " " };
                self.editor.set(&format!("/{}{gap}", marked.name));
                self.commands.marked = None;
            }
            _ => return None,
        }
        Some(Vec::new())
    }

    /// The host has said what can be typed.
    pub(crate) fn offered(
        &mut self,
        commands: Vec<Command>,
        mirror: &Mirror,
        now: Instant,
    ) -> Vec<Effect> {
        if !matches!(self.commands.of_agent, OfAgent::Asked) {
            return Vec::new();
        }
        self.commands.of_agent = OfAgent::Known(commands);
        match self.commands.awaited.take() {
            Some(text) if text == self.editor.text().trim() && self.dialog.is_none() => {
                self.submit(mirror, now)
            }
            _ => Vec::new(),
        }
    }

    /// What Enter does with `text`, when that is not to send it.
    pub(super) fn obey(
        &mut self,
        text: &str,
        mirror: &Mirror,
        now: Instant,
    ) -> Option<Vec<Effect>> {
        match self.commands.meaning(text) {
            Meaning::Message | Meaning::Known(Does::Message) => None,
            Meaning::Known(does) => {
                self.take_text();
                self.editor.remember(text);
                let argument = text.split_once(char::is_whitespace);
                let argument = argument.map_or("", |(_, argument)| argument.trim());
                Some(self.carry_out(does, argument, mirror, now))
            }
            Meaning::Doubtful(_) if self.link != Link::Up => None,
            Meaning::Doubtful(name) => match self.commands.of_agent {
                OfAgent::Known(_) => {
                    self.say(
                        format!("there is no command /{name}; Enter again gives it to the agent"),
                        now,
                    );
                    self.commands.doubted = Some(text.to_owned());
                    Some(Vec::new())
                }
                OfAgent::Unasked | OfAgent::Asked => {
                    self.commands.awaited = Some(text.to_owned());
                    let ask = self.commands.ask();
                    Some(ask.then_some(Effect::Commands).into_iter().collect())
                }
            },
        }
    }

    /// Carries out a command of the terminal.
    fn carry_out(
        &mut self,
        does: Does,
        argument: &str,
        mirror: &Mirror,
        now: Instant,
    ) -> Vec<Effect> {
        match does {
            Does::Mode => return self.mode_command(argument, mirror, now),
            Does::Plan => return self.plan_command(argument, mirror, now),
            Does::AllowAll => return self.allow_all_command(argument, mirror, now),
            Does::Remote => return self.remote_command(argument, mirror, now),
            Does::Exit => return vec![Effect::Detach],
            Does::Cancel => {
                let effects = cancel_turn(mirror);
                if effects.is_empty() {
                    self.say("nothing is running", now);
                }
                return effects;
            }
            Does::Older => {
                if mirror.chat().is_none_or(|c| c.turns_next_cursor.is_none()) {
                    self.say("there are no earlier turns", now);
                } else {
                    return vec![Effect::Older];
                }
            }
            Does::Help => self.help = true,
            Does::Message => {}
        }
        Vec::new()
    }

    fn mode_command(&mut self, name: &str, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        if !name.is_empty() {
            return self.setting(switch_mode(name), now);
        }
        let now_in = mirror.session().map(mode).unwrap_or_default();
        let modes = MODES.join("|");
        self.say(format!("the mode is {now_in}; /mode {modes} switches"), now);
        Vec::new()
    }

    fn plan_command(&mut self, prompt: &str, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        // The mode is switched before the prompt is sent, and both keep their order.
        let mut effects = self.setting(switch_mode("plan"), now);
        if !effects.is_empty() && !prompt.is_empty() {
            effects.push(match mirror.active_turn() {
                None => self.prompt(prompt.to_owned()),
                Some(_) => self.pending(PendingMessageKind::Queued, prompt.to_owned()),
            });
        }
        effects
    }

    fn allow_all_command(&mut self, argument: &str, mirror: &Mirror, now: Instant) -> Vec<Effect> {
        let wanted = match argument {
            "" => !mirror.session().is_some_and(allows_all),
            "on" => true,
            "off" => false,
            _ => {
                self.say("/allow-all is followed by on, off or nothing", now);
                return Vec::new();
            }
        };
        self.setting(switch_allow_all(wanted), now)
    }

    /// `/remote` with what follows it.
    pub(super) fn remote_command(
        &mut self,
        argument: &str,
        mirror: &Mirror,
        now: Instant,
    ) -> Vec<Effect> {
        let is_on = mirror.session().and_then(remote::of).is_some();
        match (argument, is_on) {
            ("on", false) => {
                self.remote.ask(Asked::On);
                self.setting(set_remote(true), now)
            }
            ("off", true) => {
                let mut effects = self.remote.close();
                effects.extend(self.setting(set_remote(false), now));
                effects
            }
            ("" | "on", true) => self.remote.open(),
            ("", false) => {
                self.say("remote access is off; /remote on turns it on", now);
                Vec::new()
            }
            ("off", false) => {
                self.say("remote access is off", now);
                Vec::new()
            }
            _ => {
                self.say("/remote is followed by on, off or nothing", now);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::app::tests::{Run, action};

    fn write(run: &mut Run, text: &str) -> Vec<Effect> {
        run.press(Key::Edit(Edit::Insert(text.to_owned())))
    }

    fn rows(run: &Run) -> Vec<String> {
        let rows = run.app.commands.rows(run.app.editor.text());
        rows.iter().map(Line::text).collect()
    }

    /// The host says what an agent has.
    fn offered(run: &mut Run, names: &[&str]) -> Vec<Effect> {
        let commands = names
            .iter()
            .map(|name| Command::new(name, "", "of the agent"))
            .collect();
        run.app.offered(commands, &run.mirror, run.now)
    }

    #[test]
    fn commands_are_carried_out_here_or_are_messages() {
        let mut run = Run::new();
        assert_eq!(run.enter("/exit"), [Effect::Detach]);
        assert_eq!(run.enter("/quit"), [Effect::Detach]);
        assert!(run.enter("/help").is_empty());
        assert!(run.app.help);
        let undo = run.enter("/undo 3");
        assert_eq!(action(&undo)["message"]["text"], "/undo 3");
        let rename = run.enter("/rename The parser");
        assert_eq!(action(&rename)["message"]["text"], "/rename The parser");
        assert_eq!(
            action(&run.enter("/home/ada is full"))["type"],
            "chat/turnStarted"
        );
        let cancel = Run::working().enter("/cancel");
        assert_eq!(action(&cancel)["type"], "chat/turnCancelled");
    }

    #[test]
    fn what_nobody_knows_is_given_to_the_agent_only_when_it_is_said_twice() {
        let mut run = Run::new();
        assert_eq!(write(&mut run, "/nonsense please"), [Effect::Commands]);
        assert!(
            run.press(Key::Enter).is_empty(),
            "the host has not answered yet"
        );
        assert!(offered(&mut run, &["review"]).is_empty());
        let doubt = "there is no command /nonsense; Enter again gives it to the agent";
        assert_eq!(run.app.hint(run.now), Some(doubt));
        assert_eq!(run.app.editor.text(), "/nonsense please");
        let sent = run.press(Key::Enter);
        assert_eq!(action(&sent)["message"]["text"], "/nonsense please");
        assert!(run.app.editor.is_empty());
        // And every time anew.
        write(&mut run, "/nonsense please");
        offered(&mut run, &[]);
        assert!(run.press(Key::Enter).is_empty());
        write(&mut run, "!");
        assert!(run.press(Key::Enter).is_empty(), "another text");
    }

    #[test]
    fn a_command_of_the_agent_is_sent_at_once_and_as_soon_as_it_is_known() {
        let mut run = Run::new();
        write(&mut run, "/review the parser");
        assert!(offered(&mut run, &["review"]).is_empty());
        let sent = run.press(Key::Enter);
        assert_eq!(action(&sent)["message"]["text"], "/review the parser");
        write(&mut run, "/review it");
        assert!(run.press(Key::Enter).is_empty());
        let sent = offered(&mut run, &["review"]);
        assert_eq!(action(&sent)["message"]["text"], "/review it");
        // Not when it is another text by then.
        write(&mut run, "/review it");
        assert!(run.press(Key::Enter).is_empty());
        write(&mut run, " again");
        assert!(offered(&mut run, &["review"]).is_empty());
        assert_eq!(run.app.editor.text(), "/review it again");
    }

    #[test]
    fn nothing_is_awaited_from_a_host_that_is_away() {
        let mut run = Run::new();
        write(&mut run, "/review it");
        assert!(run.press(Key::Enter).is_empty());
        run.app.lost(run.now);
        assert!(
            offered(&mut run, &["review"]).is_empty(),
            "it is of another connection"
        );
        assert!(run.press(Key::Enter).is_empty());
        assert_eq!(
            run.app.hint(run.now),
            Some("not connected: the text stays here")
        );
        run.app.link = Link::Up;
        assert_eq!(run.press(Key::Enter), [Effect::Commands], "asked anew");
    }

    #[test]
    fn a_list_shows_what_fits_and_keys_pick_from_it() {
        let mut run = Run::new();
        write(&mut run, "/");
        assert_eq!(rows(&run).len(), ROWS, "as many as there is room for");
        assert_eq!(rows(&run)[0], "❯ /mode NAME             switch the mode");
        offered(&mut run, &["review", "mode"]);
        run.press(Key::Edit(Edit::Up));
        assert_eq!(
            rows(&run)[ROWS - 1],
            "❯ /review                of the agent"
        );
        run.press(Key::Edit(Edit::Down));
        run.press(Key::Edit(Edit::Down));
        assert_eq!(
            rows(&run)[1],
            "❯ /plan [PROMPT]         switch to plan mode, and ask for something"
        );
        assert!(run.press(Key::Tab).is_empty());
        assert_eq!(run.app.editor.text(), "/plan ");
        assert!(rows(&run).is_empty());
        run.press(Key::Edit(Edit::KillToStart));

        write(&mut run, "/e");
        assert!(run.press(Key::Enter).is_empty(), "puts it in");
        assert_eq!(run.app.editor.text(), "/exit");
        assert_eq!(run.press(Key::Enter), [Effect::Detach]);

        write(&mut run, "/");
        run.press(Key::Escape);
        assert!(rows(&run).is_empty());
        write(&mut run, "mo");
        assert_eq!(rows(&run).len(), 1, "it is shown again for another text");
    }

    #[test]
    fn what_is_typed_in_full_is_marked_before_what_only_begins_with_it() {
        let mut run = Run::new();
        write(&mut run, "/");
        offered(&mut run, &["review-all", "review"]);
        write(&mut run, "review");
        assert_eq!(rows(&run)[1], "❯ /review                of the agent");
        let sent = run.press(Key::Enter);
        assert_eq!(action(&sent)["message"]["text"], "/review");
    }

    #[test]
    fn the_list_leaves_the_history_alone() {
        let mut run = Run::new();
        run.enter("first");
        run.enter("/help");
        run.press(Key::Edit(Edit::Up));
        assert_eq!(run.app.editor.text(), "/help");
        assert!(rows(&run).is_empty());
        run.press(Key::Edit(Edit::Up));
        assert_eq!(run.app.editor.text(), "first");
    }
}
