//! From the text of a settings file to settings: a pure function.
//!
//! A bad value costs its own key only, which keeps what it had; a broken file costs nothing
//! but the change. A mistake never makes the deny rules weaker than they were.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::json::parse;
use super::settings::{
    AgentSettings, AuditSettings, AutopilotSettings, KeepRecords, LogLevel, OnResume,
    PermissionSettings, Problem, RemoteSettings, Settings, Severity,
};
use crate::permissions::Rule;

/// Reads the text of a settings file: JSON with `//` and `/* */` comments and trailing
/// commas. Whatever is wrong keeps its value of `previous` and is reported.
#[must_use]
pub fn load(text: &str, previous: &Settings) -> (Settings, Vec<Problem>) {
    let root = match parse(text) {
        Ok(Value::Object(root)) => root,
        Ok(_) => {
            let message = format!("the settings are not an object `{{ … }}`{KEPT_ALL}");
            return (
                previous.clone(),
                vec![Problem::file(Severity::Error, message)],
            );
        }
        Err((position, message)) => {
            let problem = Problem {
                position: Some(position),
                ..Problem::file(Severity::Error, format!("{message}{KEPT_ALL}"))
            };
            return (previous.clone(), vec![problem]);
        }
    };
    let mut problems = Vec::new();
    let mut top = Section::top(root, &mut problems);
    let settings = Settings {
        model: top.take("model", &previous.model, |value| {
            text_value(value).map(Some)
        }),
        agent: top.take("agent", &previous.agent, |value| {
            text_value(value).map(Some)
        }),
        agents: agents(&mut top, &previous.agents),
        mode: top.take("mode", &previous.mode, |value| {
            text_value(value)?
                .parse()
                .map_err(|wrong| format!("is wrong: {wrong}"))
        }),
        autopilot: autopilot(&mut top, &previous.autopilot),
        permissions: permissions(&mut top, &previous.permissions),
        trusted_folders: top.take("trustedFolders", &previous.trusted_folders, folders),
        log_level: top.take("logLevel", &previous.log_level, log_level),
        notifications: top.take("notifications", &previous.notifications, |value| {
            flag(value).map(Some)
        }),
        remote: remote(&mut top, &previous.remote),
        audit: audit(&mut top, &previous.audit),
    };
    // An editor's pointer to a description of the file.
    top.values.remove("$schema");
    top.finish(
        "model, agent, agents, mode, autopilot, permissions, trustedFolders, logLevel, \
         notifications, remoteSessions, remote, audit",
    );
    (settings, problems)
}

/// Fewer would be an audit that a busy hour removes.
const MIN_AUDIT_RECORDS: u64 = 1000;

const KEPT: &str = "; the previous value stays in effect";
const KEPT_ALL: &str = "; the previous settings stay in effect";

/// One object of the file. Keys are taken out; what is left at the end is unknown.
pub(super) struct Section<'a> {
    /// Empty, or the path of the object with a dot at its end.
    path: String,
    pub(super) values: Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn top(values: Map<String, Value>, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            path: String::new(),
            values,
            problems,
        }
    }

    /// The value of a key: the default when it is absent or null, `previous` when it is bad.
    pub(super) fn take<T: Clone + Default>(
        &mut self,
        key: &str,
        previous: &T,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> T {
        match self.values.remove(key) {
            None | Some(Value::Null) => T::default(),
            Some(value) => read(&value).unwrap_or_else(|wrong| {
                self.report(key, &wrong, KEPT);
                previous.clone()
            }),
        }
    }

    /// The object under a key. `None` when it is absent; `Err` when it is something else.
    pub(super) fn take_object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, ()> {
        match self.values.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => {
                let wrong = format!("must be an object `{{ … }}`, not {}", kind_of(&other));
                self.report(key, &wrong, KEPT);
                Err(())
            }
        }
    }

    pub(super) fn inner(&mut self, key: &str, values: Map<String, Value>) -> Section<'_> {
        Section {
            path: format!("{}{key}.", self.path),
            values,
            problems: self.problems,
        }
    }

    fn report(&mut self, key: &str, wrong: &str, consequence: &str) {
        let key = format!("{}{key}", self.path);
        self.problems.push(Problem {
            message: format!("`{key}` {wrong}{consequence}"),
            key: Some(key),
            severity: Severity::Error,
            position: None,
        });
    }

    pub(super) fn finish(self, known: &str) {
        for unknown in self.values.keys() {
            let key = format!("{}{unknown}", self.path);
            self.problems.push(Problem {
                message: format!("`{key}` is not a setting and has no effect; there are {known}"),
                key: Some(key),
                severity: Severity::Warning,
                position: None,
            });
        }
    }
}

fn agents(
    top: &mut Section<'_>,
    previous: &BTreeMap<String, AgentSettings>,
) -> BTreeMap<String, AgentSettings> {
    let entries = match top.take_object("agents") {
        Ok(entries) => entries.unwrap_or_default(),
        Err(()) => return previous.clone(),
    };
    let mut section = top.inner("agents", Map::new());
    let mut agents = BTreeMap::new();
    for (name, value) in entries {
        let agent = match value {
            Value::Object(values) => agent(&mut section.inner(&name, values)),
            other => Err((
                String::new(),
                format!("must be an object, not {}", kind_of(&other)),
            )),
        };
        let agent = agent.or_else(|(key, wrong)| {
            let key = if key.is_empty() {
                name.clone()
            } else {
                format!("{name}.{key}")
            };
            let kept = previous.get(&name).cloned();
            let consequence = if kept.is_some() {
                "; the agent stays as it was"
            } else {
                "; the agent is left out"
            };
            section.report(&key, &wrong, consequence);
            kept.ok_or(())
        });
        if let Ok(agent) = agent {
            agents.insert(name, agent);
        }
    }
    agents
}

/// The error is the key and what is wrong with it.
fn agent(section: &mut Section<'_>) -> Result<AgentSettings, (String, String)> {
    let mut take = |key: &str| section.values.remove(key).filter(|value| !value.is_null());
    let named = |key: &'static str| move |wrong| (key.to_owned(), wrong);
    let (command, args, env, title) = (take("command"), take("args"), take("env"), take("title"));
    let (confine, writable) = (take("confine"), take("writable"));
    let agent = AgentSettings {
        command: command
            .ok_or_else(|| "is missing".to_owned())
            .and_then(|value| text_value(&value))
            .map_err(named("command"))?,
        args: args
            .map_or(Ok(Vec::new()), |value| texts(&value))
            .map_err(named("args"))?,
        env: env
            .map_or(Ok(BTreeMap::new()), |value| variables(&value))
            .map_err(named("env"))?,
        title: title
            .map(|value| text_value(&value))
            .transpose()
            .map_err(named("title"))?,
        confine: confine
            .map_or(Ok(false), |value| {
                let not = || format!("must be true or false, not {}", kind_of(&value));
                value.as_bool().ok_or_else(not)
            })
            .map_err(named("confine"))?,
        writable: writable
            .map_or(Ok(Vec::new()), |value| folders(&value))
            .map_err(named("writable"))?,
    };
    let rest = std::mem::take(&mut section.values);
    Section {
        path: section.path.clone(),
        values: rest,
        problems: section.problems,
    }
    .finish("command, args, env, title, confine, writable");
    Ok(agent)
}

fn autopilot(top: &mut Section<'_>, previous: &AutopilotSettings) -> AutopilotSettings {
    let values = match top.take_object("autopilot") {
        Ok(values) => values.unwrap_or_default(),
        Err(()) => return previous.clone(),
    };
    let mut section = top.inner("autopilot", values);
    let autopilot = AutopilotSettings {
        max_continuations: section.take("maxContinuations", &previous.max_continuations, |v| {
            whole_number(v, 0..=1000).and_then(|n| {
                u32::try_from(n)
                    .map(Some)
                    .map_err(|_| "is too large".to_owned())
            })
        }),
        max_tokens: section.take("maxTokens", &previous.max_tokens, |v| {
            whole_number(v, 1..=1_000_000_000_000).map(Some)
        }),
        max_minutes: section.take("maxMinutes", &previous.max_minutes, |v| {
            whole_number(v, 1..=100_000).map(Some)
        }),
    };
    section.finish("maxContinuations, maxTokens, maxMinutes");
    autopilot
}

fn permissions(top: &mut Section<'_>, previous: &PermissionSettings) -> PermissionSettings {
    let values = match top.take_object("permissions") {
        Ok(values) => values.unwrap_or_default(),
        Err(()) => return previous.clone(),
    };
    let mut section = top.inner("permissions", values);
    let permissions = PermissionSettings {
        allow: section.take("allow", &previous.allow, |value| {
            let (rules, mut wrong) = rules(value)?;
            if wrong.is_empty() {
                Ok(rules)
            } else {
                Err(wrong.swap_remove(0))
            }
        }),
        deny: deny(&mut section, &previous.deny),
    };
    section.finish("allow, deny");
    permissions
}

fn remote(top: &mut Section<'_>, previous: &RemoteSettings) -> RemoteSettings {
    let sessions = top.take("remoteSessions", &previous.sessions, flag);
    let values = match top.take_object("remote") {
        Ok(values) => values.unwrap_or_default(),
        Err(()) => {
            return RemoteSettings {
                sessions,
                ..previous.clone()
            };
        }
    };
    let mut section = top.inner("remote", values);
    let settings = RemoteSettings {
        sessions,
        require_github_repository: section.take(
            "requireGithubRepository",
            &previous.require_github_repository,
            |value| flag(value).map(Some),
        ),
        github_hosts: section.take("githubHosts", &previous.github_hosts, texts),
        max_session_bytes: section.take("maxSessionBytes", &previous.max_session_bytes, |value| {
            match value.as_u64() {
                Some(bytes) => Ok(Some(bytes)),
                None => Err("must be a number of bytes".to_owned()),
            }
        }),
        on_resume: section.take("onResume", &previous.on_resume, |value| {
            match value.as_str() {
                Some("off") => Ok(OnResume::Off),
                Some("restore") => Ok(OnResume::Restore),
                _ => Err("must be \"off\" or \"restore\"".to_owned()),
            }
        }),
        relay: section.take("relay", &previous.relay, |value| {
            text_value(value).map(Some)
        }),
    };
    section.finish("requireGithubRepository, githubHosts, maxSessionBytes, onResume, relay");
    settings
}

fn flag(value: &Value) -> Result<bool, String> {
    let wrong = || format!("must be true or false, not {}", kind_of(value));
    value.as_bool().ok_or_else(wrong)
}

fn audit(top: &mut Section<'_>, previous: &AuditSettings) -> AuditSettings {
    let values = match top.take_object("audit") {
        Ok(values) => values.unwrap_or_default(),
        Err(()) => return previous.clone(),
    };
    let mut section = top.inner("audit", values);
    let keep_records = section.take("keepRecords", &previous.keep_records, keep_records);
    section.finish("keepRecords");
    AuditSettings { keep_records }
}

fn keep_records(value: &Value) -> Result<KeepRecords, String> {
    let number = value.as_u64().filter(|n| *n >= MIN_AUDIT_RECORDS);
    let wrong = || format!("must be a whole number, {MIN_AUDIT_RECORDS} or more");
    number.map(KeepRecords).ok_or_else(wrong)
}

/// A mistake in one rule must not open what another one closes: the good rules apply, and
/// those that were there before stay as well.
pub(super) fn deny(section: &mut Section<'_>, previous: &Vec<Rule>) -> Vec<Rule> {
    let mut wrong = Vec::new();
    let mut denied = section.take("deny", previous, |value| {
        let (rules, bad) = rules(value)?;
        wrong = bad;
        Ok(rules)
    });
    if !wrong.is_empty() {
        let added: Vec<Rule> = previous
            .iter()
            .filter(|rule| !denied.contains(rule))
            .cloned()
            .collect();
        denied.extend(added);
    }
    for wrong in wrong {
        section.report(
            "deny",
            &wrong,
            "; the other rules and the previous ones are in effect",
        );
    }
    denied
}

/// Whether a problem may hide that something is denied.
pub(super) fn is_about_denials(problem: &Problem) -> bool {
    let key = problem.key.as_deref();
    problem.severity == Severity::Error
        && matches!(key, None | Some("permissions" | "permissions.deny"))
}

/// The rules that are right, and what is wrong with the others.
pub(super) fn rules(value: &Value) -> Result<(Vec<Rule>, Vec<String>), String> {
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for (index, text) in texts(value)?.iter().enumerate() {
        match text.parse() {
            Ok(rule) => rules.push(rule),
            Err(error) => wrong.push(format!("[{index}]: {error}")),
        }
    }
    Ok((rules, wrong))
}

fn folders(value: &Value) -> Result<Vec<PathBuf>, String> {
    let folders: Vec<PathBuf> = texts(value)?.into_iter().map(PathBuf::from).collect();
    let is_clear = |folder: &PathBuf| {
        folder.is_absolute()
            || folder
                .components()
                .next()
                .is_some_and(|c| c.as_os_str() == "~")
    };
    match folders.iter().find(|folder| !is_clear(folder)) {
        Some(folder) => Err(format!(
            "has `{}`, which begins neither with `/` nor with `~/`",
            folder.display()
        )),
        None => Ok(folders),
    }
}

fn log_level(value: &Value) -> Result<LogLevel, String> {
    text_value(value)?
        .parse()
        .map_err(|wrong| format!("is wrong: {wrong}"))
}

fn whole_number(value: &Value, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    match value.as_u64() {
        Some(number) if range.contains(&number) => Ok(number),
        _ => Err(format!(
            "must be a whole number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// A text that says something and can be passed to a program.
fn text_value(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err("must not be empty".to_owned()),
        Value::String(text) if text.contains('\0') => Err("has a NUL character in it".to_owned()),
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("must be a text, not {}", kind_of(other))),
    }
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let Value::Array(values) = value else {
        return Err(format!(
            "must be a list `[ … ]` of texts, not {}",
            kind_of(value)
        ));
    };
    let read = |value: &Value| match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::String(_) => Err("has a NUL character in it".to_owned()),
        other => Err(format!(
            "must be a list of texts, but has {} in it",
            kind_of(other)
        )),
    };
    values.iter().map(read).collect()
}

fn variables(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let Value::Object(values) = value else {
        return Err(format!(
            "must be an object of texts, not {}",
            kind_of(value)
        ));
    };
    let mut variables = BTreeMap::new();
    for (name, value) in values {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("has a variable whose name is empty or has `=` in it".to_owned());
        }
        match value {
            Value::String(text) if !text.contains('\0') => {
                variables.insert(name.clone(), text.clone());
            }
            _ => return Err(format!("has a value for `{name}` that is not a text")),
        }
    }
    Ok(variables)
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
