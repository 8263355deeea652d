//! The command line: what can be typed, and nothing about what it does.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Coding agent sessions that outlive the terminal.
#[derive(Debug, Parser)]
#[command(
    name = "copilot",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 no daemon, 4 incompatible versions, 5 denied by a rule, 130 interrupted."
)]
pub struct Cli {
    /// What to do without a subcommand.
    #[command(flatten)]
    pub run: RunArgs,
    /// A subcommand.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Arguments of `copilot` without a subcommand.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Start a session in this folder with this prompt, attached to this terminal
    #[arg(value_name = "PROMPT", conflicts_with_all = ["interactive", "prompt"])]
    pub positional: Option<String>,

    /// The same: start an attached session and run PROMPT at once
    #[arg(short, long, value_name = "PROMPT", conflicts_with = "prompt")]
    pub interactive: Option<String>,

    /// Run PROMPT without asking anything, print the answer, exit; reads a pipe as (part of) the prompt
    #[arg(short, long, value_name = "PROMPT", num_args = 0..=1, default_missing_value = "")]
    pub prompt: Option<String>,

    /// With -p: print only the answer
    #[arg(short, long)]
    pub silent: bool,

    /// With -p: how to print [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub output_format: Option<OutputFormat>,

    /// The model to use
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,

    /// The agent to use, by the name it has in the settings
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,

    /// The mode to work in [default: the setting `mode`, else interactive]
    #[arg(long, value_name = "MODE", value_enum)]
    pub mode: Option<Mode>,

    /// Resume the newest session in this folder
    #[arg(long = "continue", conflicts_with = "resume")]
    pub continue_newest: bool,

    /// Resume a session by its id or title, or choose one from a list
    #[arg(long, value_name = "ID", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub resume: Option<String>,

    /// Allow what RULE names, such as `shell(git:*)`, `write(src/main.rs)` or `url(example.com)`; repeatable
    #[arg(long, value_name = "RULE")]
    pub allow_tool: Vec<String>,

    /// Deny what RULE names; denying beats allowing; repeatable
    #[arg(long, value_name = "RULE")]
    pub deny_tool: Vec<String>,

    /// Allow every tool that no rule denies
    #[arg(long)]
    pub allow_all_tools: bool,

    /// Count every path as inside the folder
    #[arg(long)]
    pub allow_all_paths: bool,

    /// Allow every public URL that no rule denies
    #[arg(long)]
    pub allow_all_urls: bool,

    /// The three above: allow everything that no rule denies
    #[arg(long, visible_alias = "yolo")]
    pub allow_all: bool,

    /// Allow fetching from HOST, such as `example.com`, `*.example.com` or `http://example.com:8080`; repeatable
    #[arg(long, value_name = "HOST")]
    pub allow_url: Vec<String>,

    /// Deny fetching from HOST; repeatable
    #[arg(long, value_name = "HOST")]
    pub deny_url: Vec<String>,

    /// Let paired devices reach the session
    #[arg(long, overrides_with = "no_remote")]
    pub remote: bool,

    /// Do not, whatever the settings say
    #[arg(long, overrides_with = "remote")]
    pub no_remote: bool,

    /// Count DIR as inside the folder; repeatable
    #[arg(long, value_name = "DIR")]
    pub add_dir: Vec<std::path::PathBuf>,
}

impl RunArgs {
    /// Whether any flag says what is allowed or denied.
    pub fn has_rules(&self) -> bool {
        let lists = [
            &self.allow_tool,
            &self.deny_tool,
            &self.allow_url,
            &self.deny_url,
        ];
        lists.iter().any(|list| !list.is_empty())
            || !self.add_dir.is_empty()
            || self.allow_all_tools
            || self.allow_all_paths
            || self.allow_all_urls
            || self.allow_all
    }

    /// What the flags say about remote access.
    pub fn remote_access(&self) -> Option<bool> {
        match (self.remote, self.no_remote) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// The first flag that only means something with `-p`, when there is no `-p`.
    /// (The parser's own check gives way as soon as a prompt is a plain word.)
    pub fn flag_without_prompt(&self) -> Option<&'static str> {
        match self.prompt {
            Some(_) => None,
            None if self.silent => Some("--silent"),
            None if self.output_format.is_some() => Some("--output-format"),
            None => None,
        }
    }
}

/// How a session treats what its agent wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Ask before doing what no rule allows
    Interactive,
    /// Read and think, change nothing, end by proposing a plan
    Plan,
    /// Go on until the task is complete
    Autopilot,
}

impl Mode {
    /// The name in a session's config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Plan => "plan",
            Self::Autopilot => "autopilot",
        }
    }
}

/// How `-p` prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The answer as text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach this terminal to a session; without ID, the newest in this folder
    Attach(AttachArgs),
    /// List and manage sessions
    Sessions {
        /// What to do.
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Send a prompt to a session; while it works, the text is queued
    Send {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
        /// The prompt
        #[arg(required_unless_present = "continue_turn")]
        text: Option<String>,
        /// Continue the interrupted turn instead of sending a prompt
        #[arg(long = "continue", conflicts_with = "text")]
        continue_turn: bool,
    },
    /// Answer a permission or a question of a session
    Answer(AnswerArgs),
    /// Cancel the turn that a session is working on
    Cancel {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
    },
    /// Explain what an agent may do, and take back what was allowed for good
    Permissions {
        /// What to do.
        #[command(subcommand)]
        command: PermissionsCommand,
    },
    /// Take the file changes of a turn back
    Undo {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
        /// The turn, counted from 1; the newest that changed files when absent
        #[arg(long, value_name = "N")]
        turn: Option<u64>,
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what was asked, decided and done, by whom and why
    Audit(AuditArgs),
    /// Reach sessions from other devices
    Remote {
        /// What to do.
        #[command(subcommand)]
        command: RemoteCommand,
    },
    /// Pair and revoke the devices that reach sessions from elsewhere
    Devices {
        /// What to do.
        #[command(subcommand)]
        command: DevicesCommand,
    },
    /// Join a relay, through which devices reach sessions of this machine
    Login {
        /// The relay's address, such as `https://relay.example`
        #[arg(long, value_name = "URL")]
        relay: String,
    },
    /// Leave the relay that was joined
    Logout,
    /// Control the daemon that hosts the sessions
    Daemon {
        /// What to do.
        #[command(subcommand)]
        command: DaemonCommand,
    },
}

/// Arguments of `copilot audit`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// Only of this session: its id, 4 or more characters of it, or its exact title; the whole id when it is deleted
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Only from this time on: a time as 2026-02-25T10:00:00Z, a day (UTC) as 2026-02-25, or how long ago as 2h or 3d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Go on printing as records are made
    #[arg(short, long)]
    pub follow: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Something else than showing it.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
}

/// `copilot audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no record was altered or taken out
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `copilot attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The session: its id, 4 or more characters of it, or its exact title
    #[arg(value_name = "ID")]
    pub session: Option<String>,
    /// Print what happens as JSON lines instead of taking the terminal
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `copilot answer`.
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// The session: its id, 4 or more characters of it, or its exact title
    #[arg(value_name = "ID")]
    pub session: String,
    /// The request: its id, the beginning of it, or `next` for the oldest open one
    pub request: String,
    /// The choice: an option's id, its number, the beginning of its label, or the answer itself; also `decline`, or a JSON object for several questions
    pub choice: String,
    /// Words that go with the choice, such as what to do instead
    #[arg(long, value_name = "WORDS")]
    pub text: Option<String>,
}

/// `copilot sessions …`.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List sessions that are not closed
    List {
        /// Also those that are closed
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one session: what it did and what it waits for
    Show {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Find sessions by words in their titles and conversations
    Search {
        /// The words; all of them must be there
        #[arg(value_name = "WORDS", required = true)]
        words: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the whole conversation of a session
    Export {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
        /// How to print
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
        format: ExportFormat,
    },
    /// Give a session another title
    Rename {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
        /// The new title
        name: String,
    },
    /// End the current turn
    Stop {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
    },
    /// End the session's agent; the session can be resumed
    Close {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
    },
    /// Delete the session and its data
    Delete {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: String,
    },
}

/// `copilot remote …`.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Show the link, the relay and who watches: of one session, or of all that can be reached
    Status {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let paired devices reach a session; without ID, the newest in this folder
    On {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: Option<String>,
        /// Print JSON, and pair no device
        #[arg(long)]
        json: bool,
    },
    /// Hide a session from devices again; without ID, the newest in this folder
    Off {
        /// The session: its id, 4 or more characters of it, or its exact title
        #[arg(value_name = "ID")]
        session: Option<String>,
    },
}

/// `copilot devices …`.
#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// List the paired devices
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Pair a device: shows a link, then asks for the code that the device shows
    Pair {
        /// The session that the device shows first
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// Print what happens as JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Give a device another name
    Rename {
        /// The device: its id, 4 or more characters of it, or its exact name
        device: String,
        /// The new name
        name: String,
    },
    /// Trust a device no more, and cut it off
    Revoke {
        /// The device: its id, 4 or more characters of it, or its exact name
        device: String,
    },
}

/// `copilot permissions …`.
#[derive(Debug, Subcommand)]
pub enum PermissionsCommand {
    /// Say whether something would be allowed, denied or asked, and why
    Explain(ExplainArgs),
    /// List what is allowed for good in this repository
    List {
        /// In every repository
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take back what is allowed for good in this repository
    Reset {
        /// Only this rule, as it is listed
        rule: Option<String>,
        /// In every repository
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `copilot permissions explain`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["command", "read", "write", "url", "tool"])))]
pub struct ExplainArgs {
    /// Running this command
    pub command: Option<String>,
    /// Reading this path
    #[arg(long, value_name = "PATH")]
    pub read: Option<String>,
    /// Writing this path
    #[arg(long, value_name = "PATH")]
    pub write: Option<String>,
    /// Fetching this URL
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Using this tool, such as `server(tool)`
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// By the rules and in the folder of this session: its id, 4 or more characters of it, or its exact title
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How `copilot sessions export` prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A document for people, in Markdown.
    #[default]
    Md,
    /// One JSON object for programs.
    Json,
}

/// `copilot daemon …`.
#[derive(Debug, Subcommand)]
pub enum DaemonCommand {
    /// Start the daemon, if none runs
    Start,
    /// Stop the daemon
    Stop {
        /// Also while agents work
        #[arg(long)]
        force: bool,
    },
    /// Say whether a daemon runs, and what it does
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the daemon's log
    Logs {
        /// Go on printing as it grows
        #[arg(short, long)]
        follow: bool,
        /// How many lines from the end
        #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
        lines: usize,
    },
    /// Install the daemon as a service of this user
    Install {
        /// Only print what would be written and run
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove the service
    Uninstall {
        /// Only print what would be removed and run
        #[arg(long)]
        dry_run: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("copilot").chain(args.iter().copied()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_word_is_a_prompt_and_a_verb_is_a_verb() {
        let cli = parse(&["fix the bug"]).unwrap();
        assert_eq!(cli.run.positional.as_deref(), Some("fix the bug"));
        assert!(cli.command.is_none());
        let cli = parse(&["attach", "abcd"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Attach(_))));
        assert!(parse(&[]).unwrap().run.positional.is_none());
    }

    #[test]
    fn one_shot_takes_its_prompt_from_the_flag_or_the_pipe() {
        assert_eq!(
            parse(&["-p", "hi"]).unwrap().run.prompt.as_deref(),
            Some("hi")
        );
        assert_eq!(parse(&["-p"]).unwrap().run.prompt.as_deref(), Some(""));
        let cli = parse(&["-p", "hi", "-s", "--output-format", "json"]).unwrap();
        assert!(cli.run.silent);
        assert_eq!(cli.run.output_format, Some(OutputFormat::Json));
    }

    #[test]
    fn resume_takes_an_id_only_with_an_equals_sign() {
        assert_eq!(
            parse(&["--resume"]).unwrap().run.resume.as_deref(),
            Some("")
        );
        let cli = parse(&["--resume=abcd"]).unwrap();
        assert_eq!(cli.run.resume.as_deref(), Some("abcd"));
        let cli = parse(&["--resume", "go on"]).unwrap();
        assert_eq!(cli.run.resume.as_deref(), Some(""));
        assert_eq!(cli.run.positional.as_deref(), Some("go on"));
    }

    #[test]
    fn rules_are_repeatable() {
        let cli = parse(&[
            "-p",
            "x",
            "--allow-tool",
            "shell(git:*)",
            "--allow-tool",
            "write(a)",
            "--deny-tool",
            "shell(git push)",
        ])
        .unwrap();
        assert_eq!(cli.run.allow_tool, ["shell(git:*)", "write(a)"]);
        assert_eq!(cli.run.deny_tool, ["shell(git push)"]);
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        let table: &[(&[&str], ErrorKind)] = &[
            (&["-p", "a", "-i", "b"], ErrorKind::ArgumentConflict),
            (&["-p", "a", "b"], ErrorKind::ArgumentConflict),
            (&["--continue", "--resume"], ErrorKind::ArgumentConflict),
            (
                &["answer", "abcd", "next"],
                ErrorKind::MissingRequiredArgument,
            ),
            (
                &["sessions"],
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ),
            (&["--no-such-flag"], ErrorKind::UnknownArgument),
            (&["send", "abcd"], ErrorKind::MissingRequiredArgument),
            (
                &["send", "abcd", "go on", "--continue"],
                ErrorKind::ArgumentConflict,
            ),
            (&["sessions", "search"], ErrorKind::MissingRequiredArgument),
            (
                &["permissions", "explain"],
                ErrorKind::MissingRequiredArgument,
            ),
            (
                &["permissions", "explain", "ls", "--read", "x"],
                ErrorKind::ArgumentConflict,
            ),
            (
                &["sessions", "rename", "abcd"],
                ErrorKind::MissingRequiredArgument,
            ),
            (
                &["sessions", "export", "abcd", "--format", "pdf"],
                ErrorKind::InvalidValue,
            ),
            (
                &["daemon", "logs", "-n", "many"],
                ErrorKind::ValueValidation,
            ),
        ];
        for (args, kind) in table {
            let error = parse(args).expect_err(&format!("{args:?} should not parse"));
            assert_eq!(error.kind(), *kind, "{args:?}");
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn a_prompt_or_the_interrupted_turn_is_sent() {
        let send = |args: &[&str]| match parse(args).unwrap().command {
            Some(Command::Send {
                text,
                continue_turn,
                ..
            }) => (text, continue_turn),
            other => panic!("{other:?}"),
        };
        assert_eq!(send(&["send", "abcd", "hi"]), (Some("hi".into()), false));
        assert_eq!(send(&["send", "abcd", "--continue"]), (None, true));
    }

    #[test]
    fn the_audit_is_shown_or_checked() {
        let audit = |args: &[&str]| match parse(args).unwrap().command {
            Some(Command::Audit(args)) => args,
            other => panic!("{other:?}"),
        };
        let shown = audit(&[
            "audit",
            "--session",
            "abcd",
            "--since",
            "2h",
            "-f",
            "--json",
        ]);
        assert_eq!(shown.session.as_deref(), Some("abcd"));
        assert_eq!(shown.since.as_deref(), Some("2h"));
        assert!(shown.follow && shown.json && shown.command.is_none());
        let checked = audit(&["audit", "verify"]);
        assert!(matches!(
            checked.command,
            Some(AuditCommand::Verify { json: false })
        ));
    }

    #[test]
    fn help_of_sessions_and_send_stays() {
        let mut cli = Cli::command().term_width(100);
        cli.build();
        let mut text = String::new();
        for path in [
            &["sessions"][..],
            &["sessions", "list"],
            &["sessions", "search"],
            &["sessions", "export"],
            &["sessions", "rename"],
            &["send"],
        ] {
            let mut command = &mut cli;
            for name in path {
                command = command.find_subcommand_mut(name).unwrap();
            }
            text.push_str(&format!("$ copilot {} --help\n", path.join(" ")));
            text.push_str(&command.render_help().to_string());
            text.push('\n');
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn flags_of_one_shot_need_it() {
        let table: &[(&[&str], Option<&str>)] = &[
            (&["-s", "hi"], Some("--silent")),
            (&["--output-format", "json"], Some("--output-format")),
            (&["-s", "-p", "hi"], None),
            (&["hi"], None),
        ];
        for (args, flag) in table {
            assert_eq!(
                parse(args).unwrap().run.flag_without_prompt(),
                *flag,
                "{args:?}"
            );
        }
    }

    #[test]
    fn help_names_every_way_in() {
        let help = Cli::command().render_help().to_string();
        for word in [
            "attach",
            "sessions",
            "send",
            "answer",
            "cancel",
            "audit",
            "daemon",
            "--prompt",
            "--resume",
            "--continue",
            "--mode",
            "--allow-tool",
            "--deny-tool",
            "permissions",
            "--allow-all-tools",
            "--allow-all-paths",
            "--allow-all-urls",
            "--yolo",
            "--allow-url",
            "--deny-url",
            "--add-dir",
            "Exit codes",
        ] {
            assert!(help.contains(word), "{word} is missing in\n{help}");
        }
    }
}
