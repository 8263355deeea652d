//! Permission requests of an agent: decided by rules where they can, by people where not.

use std::path::{Path, PathBuf};

use agent_client_protocol_schema::v1::{
    PermissionOption, PermissionOptionKind, RequestPermissionRequest, ToolKind,
};
use ahp_types::actions::*;
use ahp_types::common::{JsonObject, StringOrMarkdown};
use ahp_types::state::*;
use serde_json::{Value, json};

use super::actor::Actor;
use super::mode::Mode;
use super::state::now;
use super::turn::Turn;
use super::wanted::{addresses, wanted};
use crate::agent::rpc;
use crate::agent::translate::{Asked, Call};
use crate::config::Repository;
use crate::host::admit::{ALLOW_HERE, Answer};
use crate::permissions::{
    Decision, Request, Rule, RuleSet, decide, decide_in_plan_mode, label_for, label_here,
    lasting_rules, real_path, shell, visible, withheld,
};

const INVALID_PARAMS: i64 = -32602;

/// A request that waits for somebody.
pub(super) struct OpenPermission {
    /// The agent's request id.
    pub(super) rpc_id: Value,
    /// The agent's choices, which are not the person's.
    options: Vec<PermissionOption>,
    /// What "for this session" and "always here" add.
    lasting_rules: Vec<Rule>,
    /// What the agent is told with a yes: what was decided about, as it was then.
    granted: JsonObject,
    /// What the tool call would do, to decide again when the mode changes.
    wanted: Vec<Request>,
}

impl Actor {
    /// The agent asks whether it may.
    pub(super) fn permission_requested(&mut self, rpc_id: Value, params: &str) {
        let request: RequestPermissionRequest = match serde_json::from_str(params) {
            Ok(request) => request,
            Err(error) => {
                let message = format!("not a permission request: {error}");
                self.send_line(rpc::refusal(&rpc_id, INVALID_PARAMS, &message));
                return;
            }
        };
        let cancelled = json!({"outcome": {"outcome": "cancelled"}});
        let id = request.tool_call.tool_call_id.0.to_string();
        let Some((turn, mut contents)) =
            self.translating().filter(|(turn, _)| !turn.is_cancelling())
        else {
            self.respond(&rpc_id, &cancelled);
            return;
        };
        if turn.permissions.contains_key(&id) {
            self.send_line(rpc::refusal(
                &rpc_id,
                INVALID_PARAMS,
                "this tool call has an open permission request already",
            ));
            return;
        }
        if turn.translator.has_ended(&id) {
            self.send_line(rpc::refusal(
                &rpc_id,
                INVALID_PARAMS,
                "this tool call has ended already",
            ));
            return;
        }
        let addresses = addresses(request.tool_call.meta.as_ref());
        let (id, effects) = turn
            .translator
            .permission_asked(request.tool_call, &mut contents);
        self.effects(effects);
        let call = self.turn.as_ref().and_then(|t| t.translator.call(&id));
        if let Some(plan) = call.and_then(Call::plan) {
            self.plan_proposed(rpc_id, &id, &plan, request.options);
            return;
        }
        self.model.forget_answer(&id);
        let wanted = match self.turn.as_ref().and_then(|t| t.translator.call(&id)) {
            Some(call) => wanted(call, &self.folder, self.is_built_in(), &addresses),
            None => return,
        };
        match self.decide(&wanted) {
            Decision::Allow { why } => {
                self.allowed_by_rule(&rpc_id, &id, &wanted, &request.options, &why)
            }
            Decision::Deny { why } => {
                self.denied_by_rule(&rpc_id, &id, &wanted, &request.options, &why)
            }
            Decision::Ask { why } if self.launch.unattended => {
                let lasting = rules_for(&wanted, &self.rules(), &self.folder);
                let reason = nobody_to_ask(&lasting, &why);
                self.denied_by_rule(&rpc_id, &id, &wanted, &request.options, &reason);
            }
            Decision::Ask { why } => self.ask(rpc_id, &id, &wanted, request.options, &why),
        }
    }

    fn allowed_by_rule(
        &mut self,
        rpc_id: &Value,
        id: &str,
        wanted: &[Request],
        options: &[PermissionOption],
        why: &str,
    ) {
        let answered = by_policy("allow");
        let asked = Asked {
            title: question(wanted),
            options: Vec::new(),
            permission: permission_json(wanted, why),
            answered: Some(answered.to_json()),
        };
        let mut granted = self.granted(id, wanted);
        granted.extend(environment(wanted));
        self.show(id, asked, Some(ToolCallConfirmationReason::Setting));
        let writes = super::undo::writes(wanted, &self.folder);
        self.approve(rpc_id, outcome(options, true, granted), writes);
    }

    fn denied_by_rule(
        &mut self,
        rpc_id: &Value,
        id: &str,
        wanted: &[Request],
        options: &[PermissionOption],
        why: &str,
    ) {
        let permission = permission_json(wanted, why);
        let asked = Asked {
            title: question(wanted),
            options: Vec::new(),
            permission,
            answered: None,
        };
        self.show(id, asked, None);
        self.settle_by_policy(rpc_id, id, options, Err(why));
    }

    /// Answers a request that is shown and open, by policy. The verdict is what the agent is told
    /// with a yes, or why it is denied.
    fn settle_by_policy(
        &mut self,
        rpc_id: &Value,
        id: &str,
        options: &[PermissionOption],
        verdict: Result<JsonObject, &str>,
    ) {
        let Some(turn) = &mut self.turn else { return };
        let approved = verdict.is_ok();
        turn.translator.answered(id, approved);
        let answer = by_policy(if approved { "allow" } else { "deny" });
        let mut meta = pending_meta(&self.model.chat, id);
        meta.insert("copilot.answeredBy".into(), answer.to_json());
        let (granted, why) = match verdict {
            Ok(granted) => (granted, None),
            Err(why) => (JsonObject::new(), Some(why)),
        };
        let action = ChatToolCallConfirmedAction {
            turn_id: turn.id.clone(),
            tool_call_id: id.to_owned(),
            meta: Some(meta),
            approved,
            confirmed: approved.then_some(ToolCallConfirmationReason::Setting),
            reason: (!approved).then_some(ToolCallCancellationReason::Denied),
            edited_tool_input: None,
            user_suggestion: None,
            reason_message: why.map(|why| StringOrMarkdown::Plain(why.to_owned())),
            selected_option_id: None,
        };
        self.model
            .chat(StateAction::ChatToolCallConfirmed(action), None);
        self.model.remember_answer(id, answer);
        let meta = why.map(|why| ("copilot.reason".to_owned(), json!(why)));
        let meta = meta.into_iter().chain(granted);
        self.respond(rpc_id, &outcome(options, approved, meta.collect()));
    }

    /// Decides anew about what people were asked, because the mode or the rules changed.
    pub(super) fn decide_open_permissions_again(&mut self) {
        let open = |turn: &Turn| turn.permissions.keys().cloned().collect();
        let ids: Vec<String> = self.turn.as_ref().map(open).unwrap_or_default();
        for id in ids {
            let Some(permission) = self.turn.as_ref().and_then(|t| t.permissions.get(&id)) else {
                continue;
            };
            let verdict = match self.decide(&permission.wanted) {
                Decision::Ask { .. } => continue,
                Decision::Allow { .. } => Ok(()),
                Decision::Deny { why } => Err(why),
            };
            let turn = self.turn.as_mut();
            let Some(permission) = turn.and_then(|t| t.permissions.remove(&id)) else {
                continue;
            };
            let verdict = match &verdict {
                Ok(()) => Ok(permission.granted),
                Err(why) => Err(why.as_str()),
            };
            self.settle_by_policy(&permission.rpc_id, &id, &permission.options, verdict);
        }
    }

    /// The strictest decision about everything that a request wants, in the session's mode.
    pub(super) fn decide(&self, wanted: &[Request]) -> Decision {
        let decide = match self.mode() {
            Mode::Plan => decide_in_plan_mode,
            Mode::Interactive | Mode::Autopilot => decide,
        };
        strictest(wanted, |request| {
            decide(request, &self.rules(), &self.folder)
        })
    }

    fn ask(
        &mut self,
        rpc_id: Value,
        id: &str,
        wanted: &[Request],
        options: Vec<PermissionOption>,
        why: &str,
    ) {
        let lasting_rules = rules_for(wanted, &self.rules(), &self.folder);
        let granted = self.granted(id, wanted);
        let asked = Asked {
            title: question(wanted),
            options: choices(&lasting_rules, &self.folder),
            permission: permission_json(wanted, why),
            answered: None,
        };
        self.show(id, asked, None);
        if let Some(turn) = &mut self.turn {
            turn.permissions.insert(
                id.to_owned(),
                OpenPermission {
                    rpc_id,
                    options,
                    lasting_rules,
                    granted,
                    wanted: wanted.to_vec(),
                },
            );
        }
    }

    fn show(&mut self, id: &str, asked: Asked, confirmed: Option<ToolCallConfirmationReason>) {
        let Some((turn, mut contents)) = self.translating() else {
            return;
        };
        let effect = turn
            .translator
            .ready(id, Some(asked), confirmed, &mut contents);
        self.effects(effect.into_iter().collect());
    }

    /// Somebody answered; [`crate::host::admit`] made sure that it is the first answer.
    pub(super) fn confirm(
        &mut self,
        action: ChatToolCallConfirmedAction,
        answer: Answer,
        origin: Option<&ActionOrigin>,
    ) {
        let id = action.tool_call_id.clone();
        let (approved, words) = (action.approved, action.user_suggestion.clone());
        let open = self.turn.as_mut().and_then(|t| {
            t.translator.answered(&id, approved);
            t.permissions.remove(&id)
        });
        let choice = answer.choice.clone();
        self.model
            .chat(StateAction::ChatToolCallConfirmed(action), origin);
        self.model.remember_answer(&id, answer);
        let Some(open) = open else { return };
        match choice.as_str() {
            "allow-session" => self.session_rules.extend(open.lasting_rules),
            ALLOW_HERE => self.allow_here(&open.lasting_rules),
            _ => {}
        }
        let meta = match (approved, &words) {
            (true, _) => open.granted,
            (false, Some(words)) => {
                JsonObject::from_iter([("copilot.words".to_owned(), json!(words.text))])
            }
            (false, None) => JsonObject::new(),
        };
        let result = outcome(&open.options, approved, meta);
        let writes = super::undo::writes(&open.wanted, &self.folder).filter(|_| approved);
        self.approve(&open.rpc_id, result, writes);
        if let Some(words) = words.filter(|_| !self.is_built_in()) {
            self.words_as_next_message(words);
        }
    }

    /// Keeps rules for the repository. When that fails the answer counts once, and that is said.
    fn allow_here(&mut self, rules: &[Rule]) {
        let repository = Repository::of(&self.folder);
        for rule in rules {
            let rule = rule.relative_to(&repository.root);
            let approvals = &self.model.shared.approvals;
            match approvals.allow(&repository.identity, &rule) {
                Ok(None) => {}
                Ok(Some(problem)) => tracing::warn!(%problem, "the approvals were read anew"),
                Err(error) => {
                    let text = format!("This is allowed once only: {error}");
                    self.notice(&text, "approval");
                    return;
                }
            }
        }
    }

    /// What the agent is told with a yes: where the paths lead that were decided about, and what
    /// a search leaves out.
    fn granted(&self, id: &str, wanted: &[Request]) -> JsonObject {
        let mut granted = JsonObject::new();
        let mut paths: Vec<PathBuf> = wanted
            .iter()
            .filter_map(|request| real_path(request, &self.folder))
            .collect();
        paths.sort();
        paths.dedup();
        let is_path =
            |request: &Request| matches!(request, Request::Read { .. } | Request::Write { .. });
        if wanted.iter().any(is_path) {
            granted.insert("copilot.paths".to_owned(), json!(lossy(&paths)));
        }
        let call = self.turn.as_ref().and_then(|t| t.translator.call(id));
        if call.is_some_and(|call| call.kind == ToolKind::Search) {
            let rules = self.rules();
            let mut left_out = Vec::new();
            let mut names: &[&str] = &[];
            for request in wanted {
                let held = withheld(request, &rules, &self.folder);
                left_out.extend(held.paths);
                names = held.names;
            }
            let held = json!({"paths": lossy(&left_out), "names": names});
            granted.insert("copilot.withheld".to_owned(), held);
        }
        granted
    }
}

/// Paths for a protocol that knows text only. One that is no text names nothing there.
fn lossy(paths: &[PathBuf]) -> Vec<String> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    paths.iter().map(text).collect()
}

/// The strictest decision about everything that is wanted.
fn strictest(wanted: &[Request], decide: impl Fn(&Request) -> Decision) -> Decision {
    let mut strictest = None;
    for request in wanted {
        match decide(request) {
            denied @ Decision::Deny { .. } => return denied,
            asked @ Decision::Ask { .. } => strictest = Some(asked),
            allowed @ Decision::Allow { .. } => strictest = strictest.or(Some(allowed)),
        }
    }
    strictest.unwrap_or_else(|| Decision::Ask {
        why: "it is not known what this would do".into(),
    })
}

/// The rules that a lasting yes adds. Only about one thing: who says yes to several at once has
/// not looked at each.
fn rules_for(wanted: &[Request], rules: &RuleSet, folder: &Path) -> Vec<Rule> {
    match wanted {
        [single] => lasting_rules(single, rules, folder),
        _ => Vec::new(),
    }
}

/// The environment for a command that nobody was asked about: a name that is `null` is taken
/// away.
fn environment(wanted: &[Request]) -> Option<(String, Value)> {
    let [Request::Shell { command }] = wanted else {
        return None;
    };
    let variables = shell::pinned(command).into_iter();
    let values = variables.map(|(name, value)| (name, json!(value)));
    Some((
        "copilot.environment".to_owned(),
        Value::Object(values.collect()),
    ))
}

fn question(wanted: &[Request]) -> String {
    match wanted.first() {
        Some(Request::Shell { .. }) => "Run this command?",
        Some(Request::Write { .. }) => "Make this change?",
        Some(Request::Read { .. }) => "Read this outside the folder?",
        Some(Request::Url { .. }) => "Open this address?",
        Some(Request::Tool { .. }) | None => "Use this tool?",
    }
    .to_owned()
}

fn permission_json(wanted: &[Request], why: &str) -> Value {
    let kind = wanted.first().map_or("tool", Request::kind);
    let subject = wanted
        .iter()
        .map(Request::subject)
        .collect::<Vec<_>>()
        .join("\n");
    json!({"kind": kind, "subject": subject, "reason": why})
}

fn choices(lasting_rules: &[Rule], folder: &Path) -> Vec<ConfirmationOption> {
    let option = |id: &str, label: String, kind| ConfirmationOption {
        id: id.into(),
        label,
        kind,
        group: None,
    };
    let mut choices = vec![option(
        "allow-once",
        "Yes, once".into(),
        ConfirmationOptionKind::Approve,
    )];
    if !lasting_rules.is_empty() {
        for (id, label) in [
            ("allow-session", label_for(lasting_rules, folder)),
            (ALLOW_HERE, label_here(lasting_rules, folder)),
        ] {
            choices.push(option(id, visible(&label), ConfirmationOptionKind::Approve));
        }
    }
    choices.push(option("deny", "No".into(), ConfirmationOptionKind::Deny));
    let words = "No, and tell the agent what to do instead";
    choices.push(option(
        "deny-with-words",
        words.into(),
        ConfirmationOptionKind::Deny,
    ));
    choices
}

/// Why an unattended session refuses what would be asked, and what to do about it.
fn nobody_to_ask(rules: &[Rule], why: &str) -> String {
    let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
    if texts.is_empty() || texts.iter().any(|rule| rule.contains('\'')) {
        return format!("{why}, and nobody can be asked");
    }
    let flags: Vec<String> = texts
        .iter()
        .map(|rule| format!("--allow-tool '{rule}'"))
        .collect();
    format!(
        "{why}, and nobody can be asked; allow it with {}",
        flags.join(" ")
    )
}

fn by_policy(choice: &str) -> Answer {
    Answer {
        client_id: String::new(),
        name: "policy".into(),
        trust: "policy".into(),
        choice: choice.into(),
        at: now(),
    }
}

fn pending_meta(chat: &ChatState, id: &str) -> ahp_types::common::JsonObject {
    let parts = chat.active_turn.iter().flat_map(|t| &t.response_parts);
    let meta = parts.filter_map(|part| match part {
        ResponsePart::ToolCall(p) => match &p.tool_call {
            ToolCallState::PendingConfirmation(s) if s.tool_call_id == id => s.meta.clone(),
            _ => None,
        },
        _ => None,
    });
    meta.into_iter().next_back().unwrap_or_default()
}

/// The answer to the agent. Only ever "once": the daemon keeps every longer memory itself.
pub(super) fn outcome(options: &[PermissionOption], approved: bool, meta: JsonObject) -> Value {
    let order = match approved {
        true => [
            PermissionOptionKind::AllowOnce,
            PermissionOptionKind::AllowAlways,
        ],
        false => [
            PermissionOptionKind::RejectOnce,
            PermissionOptionKind::RejectAlways,
        ],
    };
    let chosen = order
        .iter()
        .find_map(|kind| options.iter().find(|o| o.kind == *kind));
    let outcome = match chosen {
        Some(option) => json!({"outcome": "selected", "optionId": option.option_id}),
        // An agent that offers no way to say no is told that the call is off.
        None => json!({"outcome": "cancelled"}),
    };
    match meta.is_empty() {
        true => json!({ "outcome": outcome }),
        false => json!({"outcome": outcome, "_meta": meta}),
    }
}
