//! One rule: its text, and what it covers. Allow matches narrowly, deny matches broadly.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Request;
use super::paths;
use super::shell::{Parsed, Simple, Word};
use super::subject::Subject;
use super::urls::Pattern;
use super::words;

/// One permission rule, as written in flags and settings. `Display` writes it so that
/// `FromStr` reads the same rule back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    AnyShell,
    Shell(Vec<String>),
    ShellStem(Vec<String>),
    Write(Option<String>),
    Read(Option<String>),
    Url(Option<Pattern>),
    Tool { name: String, tool: Option<String> },
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rule `{rule}` {problem}; {FORMS}")]
pub struct RuleError {
    /// The text as it was given.
    pub rule: String,
    /// What is wrong; reads on after the rule.
    pub problem: String,
}

const FORMS: &str = "rules look like shell, shell(git push), shell(git:*), write, write(path), \
                     read, read(path), url, url(host), url(*.host), url(http://host), \
                     server(tool) or the name of a tool";

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse(text.trim()).map(Self).map_err(|problem| RuleError {
            rule: text.trim().to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<Kind, String> {
    let (name, inside) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some("") => {
                return Err(format!(
                    "has nothing between its brackets; `{name}` alone covers all"
                ));
            }
            Some(inside) => (name, Some(inside)),
            None => return Err("does not end with its closing bracket".to_owned()),
        },
    };
    if text.chars().any(char::is_control) {
        return Err("has a control character in it".to_owned());
    }
    match (name, inside) {
        ("shell", None) => Ok(Kind::AnyShell),
        ("shell", Some(command)) => shell(command),
        ("write", path) => path.map(checked_path).transpose().map(Kind::Write),
        ("read", path) => path.map(checked_path).transpose().map(Kind::Read),
        ("url", None) => Ok(Kind::Url(None)),
        ("url", Some(pattern)) => match Pattern::parse(pattern) {
            Ok(pattern) => Ok(Kind::Url(Some(pattern))),
            Err(problem) => Err(problem.to_owned()),
        },
        ("", _) => Err("has no name".to_owned()),
        (other, tool) => tool_rule(other, tool),
    }
}

fn shell(command: &str) -> Result<Kind, String> {
    let (text, is_stem) = match command.strip_suffix(":*") {
        Some(stem) => (stem, true),
        None => (command, false),
    };
    match words::split(text) {
        Ok(words) if is_stem => Ok(Kind::ShellStem(words)),
        Ok(words) => Ok(Kind::Shell(words)),
        Err(words::NotSimple(what)) => Err(format!(
            "names a command that has {what}, and rules cover only plain commands"
        )),
    }
}

fn checked_path(path: &str) -> Result<String, String> {
    if path.contains(['*', '?']) {
        return Err("has a pattern in its path; a folder covers everything in it".to_owned());
    }
    if path.starts_with('~') && path != "~" && !path.starts_with("~/") {
        return Err("names another person's home folder; write its full path".to_owned());
    }
    Ok(path.to_owned())
}

fn tool_rule(name: &str, tool: Option<&str>) -> Result<Kind, String> {
    // `Shell(git push)` would otherwise be a rule about a server that nobody has.
    for known in ["shell", "write", "read", "url"] {
        if name.eq_ignore_ascii_case(known) {
            return Err(format!("is not written in lower case (`{known}`)"));
        }
    }
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "_-./:@+".contains(c))
    };
    if !is_name(name) || !tool.is_none_or(is_name) {
        return Err("is not the name of a tool".to_owned());
    }
    Ok(Kind::Tool {
        name: name.to_owned(),
        tool: tool.map(str::to_owned),
    })
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::AnyShell => f.write_str("shell"),
            Kind::Shell(words) => write!(f, "shell({})", command_text(words)),
            Kind::ShellStem(words) => write!(f, "shell({}:*)", command_text(words)),
            Kind::Write(None) => f.write_str("write"),
            Kind::Write(Some(path)) => write!(f, "write({path})"),
            Kind::Read(None) => f.write_str("read"),
            Kind::Read(Some(path)) => write!(f, "read({path})"),
            Kind::Url(None) => f.write_str("url"),
            Kind::Url(Some(pattern)) => write!(f, "url({pattern})"),
            Kind::Tool { name, tool: None } => f.write_str(name),
            Kind::Tool {
                name,
                tool: Some(tool),
            } => write!(f, "{name}({tool})"),
        }
    }
}

fn command_text(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| words::quote(word)).collect();
    quoted.join(" ")
}

impl Rule {
    /// Whether this rule, as an allow rule, covers the request of an agent working in
    /// `folder`. Narrow: what is not fully understood is not covered.
    #[must_use]
    pub fn matches_allow(&self, request: &Request, folder: &Path) -> bool {
        let subject = Subject::of(request, folder);
        match &subject {
            Subject::Shell { parsed, .. } => {
                parsed.problem.is_none()
                    && parsed.redirections.is_empty()
                    && parsed
                        .commands
                        .iter()
                        .all(|command| self.covers(&command.simple))
            }
            _ => self.allows(&subject, folder),
        }
    }

    /// Whether this rule, as a deny rule, covers the request of an agent working in
    /// `folder`. Broad: what may be meant is covered.
    #[must_use]
    pub fn matches_deny(&self, request: &Request, folder: &Path) -> bool {
        self.denies(&Subject::of(request, folder), folder)
    }

    /// The rule that covers this request and as little else as possible.
    pub(super) fn narrowest(subject: &Subject) -> Option<Self> {
        let kind = match subject {
            Subject::Shell { .. } => return None,
            Subject::Write(places) => Kind::Write(Some(places.only()?.to_str()?.to_owned())),
            Subject::Read(places) => Kind::Read(Some(places.only()?.to_str()?.to_owned())),
            Subject::Url(target) => Kind::Url(Some(Pattern::of(target.as_ref()?)?)),
            // A tool that calls itself `shell` must not earn a rule about commands.
            Subject::Tool(name) => match parse(name) {
                Ok(kind @ Kind::Tool { .. }) => kind,
                _ => return None,
            },
        };
        Self(kind).if_it_reads_back()
    }

    /// The rule that covers this simple command and nothing else.
    pub(super) fn for_command(simple: &Simple) -> Option<Self> {
        let words = simple
            .words
            .iter()
            .map(|word| word.literal().map(str::to_owned));
        let words: Vec<String> = words.collect::<Option<_>>()?;
        if words.is_empty() {
            return None;
        }
        Self(Kind::Shell(words)).if_it_reads_back()
    }

    fn if_it_reads_back(self) -> Option<Self> {
        let rule = self;
        // Odd characters in a path or a name would make a rule that reads as another one.
        (rule.to_string().parse().as_ref() == Ok(&rule)).then_some(rule)
    }

    /// Whether this rule allows the request by naming `top` or something in it: a rule for a
    /// folder around it, or for every path, does not.
    pub(super) fn names(&self, subject: &Subject, top: &Path, folder: &Path) -> bool {
        match &self.0 {
            Kind::Write(Some(path)) | Kind::Read(Some(path)) => {
                paths::place_of(Path::new(path), folder).is_some_and(|place| place.starts_with(top))
                    && self.allows(subject, folder)
            }
            _ => false,
        }
    }

    /// Where a rule that denies reading leads.
    pub(super) fn unreadable_place(&self, folder: &Path) -> Option<PathBuf> {
        match &self.0 {
            Kind::Read(Some(path)) => paths::place_of(Path::new(path), folder),
            _ => None,
        }
    }

    /// The same rule for another copy of the repository: a path below `root` becomes one that
    /// is relative to wherever the repository is.
    #[must_use]
    pub fn relative_to(&self, root: &Path) -> Self {
        self.with_path(|path| {
            let relative = Path::new(path).strip_prefix(root).ok()?;
            let text = relative.to_str()?;
            Some(if text.is_empty() { "." } else { text }.to_owned())
        })
    }

    /// The same rule with its path, when it is relative, below `root`.
    #[must_use]
    pub fn below(&self, root: &Path) -> Self {
        self.with_path(|path| {
            let is_relative = !path.starts_with('~') && Path::new(path).is_relative();
            is_relative.then(|| root.join(path).to_str().map(str::to_owned))?
        })
    }

    fn with_path(&self, change: impl Fn(&str) -> Option<String>) -> Self {
        let changed = |path: &String| Some(change(path).unwrap_or_else(|| path.clone()));
        Self(match &self.0 {
            Kind::Write(Some(path)) => Kind::Write(changed(path)),
            Kind::Read(Some(path)) => Kind::Read(changed(path)),
            other => other.clone(),
        })
    }

    /// The kind of request that this rule is about, as `Request::kind` names it.
    pub(super) fn kind(&self) -> &'static str {
        match self.0 {
            Kind::AnyShell | Kind::Shell(_) | Kind::ShellStem(_) => "shell",
            Kind::Write(_) => "write",
            Kind::Read(_) => "read",
            Kind::Url(_) => "url",
            Kind::Tool { .. } => "tool",
        }
    }

    /// Whether this rule allows the simple command. Words that are not known may follow those of
    /// a stem and stand nowhere else.
    pub(super) fn covers(&self, simple: &Simple) -> bool {
        let literal = |word: &Word, text: &String| word.literal() == Some(text);
        let begins = |words: &[String]| {
            simple.words.len() >= words.len()
                && simple
                    .words
                    .iter()
                    .zip(words)
                    .all(|(word, text)| literal(word, text))
        };
        match &self.0 {
            Kind::AnyShell => simple
                .words
                .first()
                .is_some_and(|word| word.literal().is_some()),
            Kind::Shell(exact) => simple.words.len() == exact.len() && begins(exact),
            Kind::ShellStem(stem) => begins(stem),
            _ => false,
        }
    }

    /// Whether this rule would deny the simple command if all of its words were known.
    pub(super) fn may_deny(&self, simple: &Simple) -> bool {
        let (Kind::Shell(stem) | Kind::ShellStem(stem)) = &self.0 else {
            return false;
        };
        let words: Vec<Option<&str>> = simple.words.iter().map(Word::literal).collect();
        words.contains(&None) && begins_with(&words, stem)
    }

    /// Whether the rule covers the request as an allow rule. Commands have parts, of which each
    /// is looked at: see [`Self::covers`].
    pub(super) fn allows(&self, subject: &Subject, folder: &Path) -> bool {
        match (&self.0, subject) {
            (Kind::Write(None), Subject::Write(places))
            | (Kind::Read(None), Subject::Read(places)) => places.certain,
            (Kind::Write(Some(path)), Subject::Write(places))
            | (Kind::Read(Some(path)), Subject::Read(places)) => {
                paths::place_of(Path::new(path), folder).is_some_and(|top| places.all_inside(&top))
            }
            (Kind::Url(None), Subject::Url(Some(target))) => target.is_plain_web(),
            (Kind::Url(Some(pattern)), Subject::Url(Some(target))) => pattern.allows(target),
            (Kind::Tool { name, tool }, Subject::Tool(asked)) => {
                covers_tool(name, tool.as_deref(), asked, |a, b| a == b)
            }
            _ => false,
        }
    }

    pub(super) fn denies(&self, subject: &Subject, folder: &Path) -> bool {
        match (&self.0, subject) {
            (Kind::AnyShell, Subject::Shell { .. }) => true,
            (Kind::Shell(stem) | Kind::ShellStem(stem), Subject::Shell { parsed, crude }) => {
                denies_command(stem, parsed, crude)
            }
            (Kind::Write(None), Subject::Write(_))
            | (Kind::Read(None), Subject::Read(_))
            | (Kind::Url(None), Subject::Url(_)) => true,
            (Kind::Write(Some(path)), Subject::Write(places))
            | (Kind::Read(Some(path)), Subject::Read(places)) => {
                let path = Path::new(path);
                let spelled =
                    paths::expand_home(path).map(|path| paths::normalise(&folder.join(path)));
                [paths::place_of(path, folder), spelled]
                    .iter()
                    .flatten()
                    .any(|top| places.any_inside(top))
            }
            (Kind::Url(Some(pattern)), Subject::Url(Some(target))) => pattern.denies(target),
            (Kind::Tool { name, tool }, Subject::Tool(asked)) => {
                covers_tool(name, tool.as_deref(), asked, str::eq_ignore_ascii_case)
            }
            _ => false,
        }
    }
}

/// A command is denied when a part of it begins with the stem. Where it cannot be read, or other
/// programs may be run (`env`, `bash -c` and the like), the stem is looked for everywhere.
fn denies_command(stem: &[String], parsed: &Parsed, crude: &[Vec<String>]) -> bool {
    let denied = |simple: &Simple| {
        // A word that is not known is not the one that is looked for.
        let words = simple
            .words
            .iter()
            .map(|word| Some(word.literal().unwrap_or_default()));
        begins_with(&words.collect::<Vec<_>>(), stem)
    };
    let runs_others = |simple: &Simple| {
        let program = simple.words.first().and_then(Word::literal);
        program.is_none_or(words::is_runner)
    };
    if parsed.all().any(denied) {
        return true;
    }
    if parsed.problem.is_none() && !parsed.all().any(runs_others) {
        return false;
    }
    crude.iter().any(|part| {
        let part: Vec<Option<&str>> = part.iter().map(|word| Some(word.as_str())).collect();
        (0..part.len()).any(|start| begins_with(&part[start..], stem))
    })
}

/// Whether the command has the words of the stem in front, by any path to the program and
/// with options in between: `/usr/bin/git -C x push` begins with `git push`. A word that is not
/// known may be any words.
fn begins_with(words: &[Option<&str>], stem: &[String]) -> bool {
    let (Some(program), Some(denied)) = (words.first(), stem.first()) else {
        return false;
    };
    let Some(program) = program else {
        return true;
    };
    if words::base_name(program) != words::base_name(denied) {
        return false;
    }
    // Where the next word of the stem may stand. An option may take the word after it along.
    let mut open = vec![false; words.len() + 2];
    open[1] = true;
    for wanted in &stem[1..] {
        let mut next = vec![false; words.len() + 2];
        for (at, word) in words.iter().enumerate().skip(1) {
            if open[at] {
                let Some(word) = word else {
                    return true;
                };
                next[at + 1] |= word == wanted;
                if word.starts_with('-') {
                    open[at + 1] = true;
                    open[at + 2] = true;
                }
            }
        }
        open = next;
    }
    open[1..].contains(&true)
}

/// `name` covers the tool `name` and every tool of the server `name`.
fn covers_tool(
    name: &str,
    tool: Option<&str>,
    asked: &str,
    same: impl Fn(&str, &str) -> bool,
) -> bool {
    let server_and_tool = asked
        .strip_suffix(')')
        .and_then(|front| front.split_once('('));
    match (tool, server_and_tool) {
        (None, None) => same(name, asked),
        (None, Some((server, _))) => same(name, server),
        (Some(tool), Some((server, asked_tool))) => same(name, server) && same(tool, asked_tool),
        (Some(_), None) => false,
    }
}

/// As many characters of a subject as a choice in a dialog shows; the dialog shows it whole.
const MAX_LABEL_CHARS: usize = 80;

/// The words of the choice that adds these rules for the rest of the session in this folder.
#[must_use]
pub fn label_for(rules: &[Rule], folder: &Path) -> String {
    format!(
        "Yes, and allow {} for this session",
        all_covered(rules, folder)
    )
}

/// The words of the choice that adds these rules for good, in the repository of this folder.
#[must_use]
pub fn label_here(rules: &[Rule], folder: &Path) -> String {
    format!(
        "Always here (this repository): {}",
        all_covered(rules, folder)
    )
}

fn all_covered(rules: &[Rule], folder: &Path) -> String {
    let each: Vec<String> = rules.iter().map(|rule| covered(rule, folder)).collect();
    match each.split_last() {
        Some((last, front)) if !front.is_empty() => format!("{} and {last}", front.join(", ")),
        _ => each.concat(),
    }
}

fn covered(rule: &Rule, folder: &Path) -> String {
    // What is in the folder is named from there, as everywhere else.
    let path = |path: &str| match Path::new(path).strip_prefix(folder) {
        Ok(inside) if !inside.as_os_str().is_empty() => shortened(&inside.to_string_lossy()),
        _ => shortened(path),
    };
    match &rule.0 {
        Kind::AnyShell => "every command that can be read".to_owned(),
        Kind::Shell(words) => format!("`{}`", shortened(&command_text(words))),
        Kind::ShellStem(words) => {
            format!(
                "commands that begin with `{}`",
                shortened(&command_text(words))
            )
        }
        Kind::Write(None) => "writing everywhere".to_owned(),
        Kind::Write(Some(written)) => format!("writing `{}`", path(written)),
        Kind::Read(None) => "reading everywhere".to_owned(),
        Kind::Read(Some(written)) => format!("reading `{}`", path(written)),
        Kind::Url(None) => "every URL".to_owned(),
        Kind::Url(Some(pattern)) => format!("everything at `{}`", shortened(&pattern.to_string())),
        Kind::Tool { .. } => format!("the tool `{}`", shortened(&rule.to_string())),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_LABEL_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
