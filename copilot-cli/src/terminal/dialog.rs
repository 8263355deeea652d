//! The dialog of one open request: what is asked, the choices, the answer.
//!
//! Only makes an answer; whether it counts, the host decides. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use ahp_types::state::{ChatInputAnswerValue, ChatInputOption, ChatInputQuestion, ToolInput};

use super::diff::{self, Contents};
use super::editor::{Edit, Editor};
use super::keys::Key;
use super::line::{Colour, Line, Style};
use crate::client::{
    Answer, DENY_WITH_WORDS, OpenRequest, Permission, Question, SUGGEST, is_plan, meta_text,
    question_message, value_of,
};
use crate::text::{expand_tabs, one_line, sanitize};
use crate::tool_view::Edit as FileEdit;

/// Lines of a change in a permission; the dialog scrolls.
const DIFF_LINES: usize = 2000;

/// What a key did.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Nothing,
    Answer(Answer),
    CancelTurn,
}

/// The dialog's own state.
#[derive(Debug, Default)]
pub(crate) struct Dialog {
    id: String,
    selected: usize,
    /// Rows of the body that are scrolled away.
    scroll: usize,
    /// Which question of several.
    question: usize,
    answers: HashMap<String, ChatInputAnswerValue>,
    /// Chosen options of a multi-select.
    chosen: BTreeSet<usize>,
    /// Words being written.
    words: Option<Editor>,
    problem: Option<String>,
}

/// Rows of the dialog.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) rows: Vec<Line>,
    pub(crate) cursor: Option<(usize, usize)>,
}

impl Dialog {
    pub(crate) fn new(request: &OpenRequest) -> Self {
        let mut dialog = Self {
            id: request.id().to_owned(),
            ..Self::default()
        };
        dialog.begin_question(request);
        dialog
    }

    /// The request that it is about.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn begin_question(&mut self, request: &OpenRequest) {
        self.selected = 0;
        self.scroll = 0;
        self.chosen.clear();
        self.problem = None;
        self.words = self.choices(request).is_empty().then(Editor::default);
        self.propose_default(request);
    }

    /// Begins at the answer that the question proposes.
    fn propose_default(&mut self, request: &OpenRequest) {
        let OpenRequest::Question(question) = request else {
            return;
        };
        let proposed = |options: &[ChatInputOption]| -> Vec<usize> {
            let marked = options.iter().enumerate();
            let marked = marked.filter(|(_, o)| o.recommended == Some(true));
            marked.map(|(index, _)| index).collect()
        };
        let text = match self.current(question) {
            Some(ChatInputQuestion::Text(q)) => q.default_value.clone(),
            Some(ChatInputQuestion::Number(q) | ChatInputQuestion::Integer(q)) => {
                q.default_value.map(|number| number.to_string())
            }
            Some(ChatInputQuestion::Boolean(q)) => {
                self.selected = usize::from(q.default_value == Some(false));
                None
            }
            Some(ChatInputQuestion::SingleSelect(q)) => {
                self.selected = proposed(&q.options).first().copied().unwrap_or(0);
                None
            }
            Some(ChatInputQuestion::MultiSelect(q)) => {
                self.chosen = proposed(&q.options).into_iter().collect();
                None
            }
            Some(ChatInputQuestion::Unknown(_)) | None => None,
        };
        if let (Some(editor), Some(text)) = (&mut self.words, text) {
            editor.set(&text);
        }
    }

    /// The contents that must be fetched to show it in full.
    pub(crate) fn contents(request: &OpenRequest) -> Vec<String> {
        let OpenRequest::Permission(permission) = request else {
            return Vec::new();
        };
        let mut uris: Vec<String> = FileEdit::proposed(permission.call.edits.as_ref())
            .iter()
            .flat_map(FileEdit::contents)
            .map(str::to_owned)
            .collect();
        if let Some(ToolInput::ContentRef(content)) = &permission.call.tool_input {
            uris.push(content.uri.clone());
        }
        uris
    }

    fn current<'a>(&self, question: &'a Question) -> Option<&'a ChatInputQuestion> {
        question.questions().get(self.question)
    }

    /// What can be chosen: label and description. Empty where words are asked for.
    fn choices(&self, request: &OpenRequest) -> Vec<(String, String)> {
        let plain = |label: &str| (label.to_owned(), String::new());
        match request {
            OpenRequest::Permission(permission) => permission
                .options()
                .iter()
                .map(|o| plain(&one_line(&o.label)))
                .collect(),
            OpenRequest::Question(question) => match self.current(question) {
                None => vec![plain("Yes"), plain("No")],
                Some(ChatInputQuestion::Boolean(_)) => vec![plain("Yes"), plain("No")],
                Some(ChatInputQuestion::SingleSelect(q)) => {
                    let mut choices: Vec<_> = q.options.iter().map(option).collect();
                    // Words about a plan have a choice of their own.
                    if q.allow_freeform_input == Some(true) && !is_plan(&question.request) {
                        choices.push(plain("Something else …"));
                    }
                    choices
                }
                Some(ChatInputQuestion::MultiSelect(q)) => q.options.iter().map(option).collect(),
                Some(_) => Vec::new(),
            },
        }
    }

    /// Takes a key.
    pub(crate) fn key(&mut self, key: Key, request: &OpenRequest) -> Outcome {
        self.problem = None;
        let choices = self.choices(request);
        if let Some(editor) = &mut self.words {
            match key {
                Key::Enter => return self.submit_words(request),
                // Words that belong to a choice are left without cancelling anything.
                Key::Escape if !choices.is_empty() => self.words = None,
                Key::Escape => return Outcome::CancelTurn,
                Key::EndOfInput => editor.apply(Edit::Delete),
                Key::Edit(edit) => editor.apply(edit),
                Key::PageUp => self.scroll = self.scroll.saturating_sub(10),
                Key::PageDown => self.scroll += 10,
                Key::Decline => return decline(request),
                Key::Cancel | Key::Queue | Key::Redraw | Key::NextMode | Key::Tab | Key::Expand => {
                }
            }
            return Outcome::Nothing;
        }
        let last = choices.len().saturating_sub(1);
        match key {
            Key::Escape => return Outcome::CancelTurn,
            Key::Decline => return decline(request),
            Key::Enter => return self.choose(self.selected, request),
            Key::Edit(Edit::Up | Edit::Left) => self.selected = self.selected.saturating_sub(1),
            Key::Edit(Edit::Down | Edit::Right) => self.selected = (self.selected + 1).min(last),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(10),
            Key::PageDown => self.scroll += 10,
            Key::Edit(Edit::LineStart) => self.scroll = 0,
            Key::Edit(Edit::LineEnd) => self.scroll = usize::MAX,
            Key::Edit(Edit::Insert(text)) => {
                let number = text.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                match number.filter(|n| *n <= last) {
                    Some(index) if self.is_multi(request) => self.toggle(index),
                    Some(index) => {
                        self.selected = index;
                        return self.choose(index, request);
                    }
                    None if text == " " && self.is_multi(request) => self.toggle(self.selected),
                    // Anything else, a paste above all, must not decide.
                    None => {}
                }
            }
            _ => {}
        }
        Outcome::Nothing
    }

    fn is_multi(&self, request: &OpenRequest) -> bool {
        matches!(request, OpenRequest::Question(q)
            if matches!(self.current(q), Some(ChatInputQuestion::MultiSelect(_))))
    }

    fn toggle(&mut self, index: usize) {
        self.selected = index;
        if !self.chosen.remove(&index) {
            self.chosen.insert(index);
        }
    }

    fn choose(&mut self, index: usize, request: &OpenRequest) -> Outcome {
        match request {
            OpenRequest::Permission(permission) => {
                let options = permission.options();
                let Some(option) = options.get(index) else {
                    return Outcome::Nothing;
                };
                if option.id == DENY_WITH_WORDS {
                    self.selected = index;
                    self.words = Some(Editor::default());
                    return Outcome::Nothing;
                }
                Outcome::Answer(permission.choose(option, None))
            }
            OpenRequest::Question(question) => match self.current(question) {
                None if index == 0 => Outcome::Answer(question.accept(HashMap::new())),
                None => Outcome::Answer(question.decline()),
                Some(q @ ChatInputQuestion::Boolean(_)) => {
                    self.answer(q, if index == 0 { "yes" } else { "no" }, None, question)
                }
                Some(q @ ChatInputQuestion::MultiSelect(select)) => {
                    // By id, so that no label can be mistaken for another.
                    let ids: Vec<String> = self
                        .chosen
                        .iter()
                        .filter_map(|i| select.options.get(*i))
                        .map(|o| o.id.clone())
                        .collect();
                    self.answer(q, &ids.join(","), None, question)
                }
                Some(q @ ChatInputQuestion::SingleSelect(select)) => {
                    match select.options.get(index) {
                        Some(option) if suggests(&option.id, question) => {
                            self.selected = index;
                            self.words = Some(Editor::default());
                            Outcome::Nothing
                        }
                        Some(option) => self.answer(q, &option.id, None, question),
                        None => {
                            self.selected = index;
                            self.words = Some(Editor::default());
                            Outcome::Nothing
                        }
                    }
                }
                Some(_) => Outcome::Nothing,
            },
        }
    }

    fn submit_words(&mut self, request: &OpenRequest) -> Outcome {
        let text = self
            .words
            .as_ref()
            .map(|e| e.text().trim().to_owned())
            .unwrap_or_default();
        match request {
            OpenRequest::Permission(permission) => {
                if text.is_empty() {
                    self.problem = Some("say what to do instead, or Esc to go back".to_owned());
                    return Outcome::Nothing;
                }
                let options = permission.options();
                match options.get(self.selected) {
                    Some(option) => Outcome::Answer(permission.choose(option, Some(text))),
                    None => Outcome::Nothing,
                }
            }
            OpenRequest::Question(question) => match self.current(question) {
                Some(q @ ChatInputQuestion::SingleSelect(select))
                    if select
                        .options
                        .get(self.selected)
                        .is_some_and(|o| suggests(&o.id, question)) =>
                {
                    if text.is_empty() {
                        self.problem = Some("say what should change, or Esc to go back".to_owned());
                        return Outcome::Nothing;
                    }
                    self.answer(q, SUGGEST, Some(&text), question)
                }
                Some(q) => self.answer(q, &text, None, question),
                None => Outcome::Nothing,
            },
        }
    }

    /// Takes the answer to the current question; the last one answers the request.
    fn answer(
        &mut self,
        q: &ChatInputQuestion,
        text: &str,
        words: Option<&str>,
        question: &Question,
    ) -> Outcome {
        match value_of(q, text, words) {
            Ok(value) => {
                let id = crate::client::question_id(q).to_owned();
                // An optional question without an answer is left out.
                if !text.is_empty() || crate::client::question_required(q) {
                    self.answers.insert(id, value);
                }
            }
            Err(_) if text.is_empty() && !crate::client::question_required(q) => {}
            Err(problem) => {
                self.problem = Some(problem.to_string());
                return Outcome::Nothing;
            }
        }
        self.question += 1;
        if self.question < question.questions().len() {
            self.begin_question(&OpenRequest::Question(question.clone()));
            return Outcome::Nothing;
        }
        // What was answered is gone from the screen only when the host says so;
        // until then the last question stays.
        self.question -= 1;
        Outcome::Answer(question.accept(self.answers.clone()))
    }

    /// The dialog in at most `rows` rows.
    pub(crate) fn view(
        &self,
        request: &OpenRequest,
        waiting: usize,
        contents: &Contents,
        columns: usize,
        rows: usize,
    ) -> View {
        let mut head = Line::styled("? ", Style::of(Colour::Yellow)).hanging(2);
        let (title, body) = match request {
            OpenRequest::Permission(p) => permission_body(p, contents),
            OpenRequest::Question(q) => self.question_body(q),
        };
        head.push(title, Style::BOLD);
        if waiting > 1 {
            head.push(format!("  (1 of {waiting})"), Style::DIM);
        }
        let mut top = head.wrap(columns);
        let mut bottom = Vec::new();
        let mut cursor = None;
        let choices = self.choices(request);
        let multi = self.is_multi(request);
        for (index, (label, description)) in choices.iter().enumerate() {
            let selected = index == self.selected;
            let mark = if selected { "❯" } else { " " };
            let check = match (multi, self.chosen.contains(&index)) {
                (false, _) => "",
                (true, true) => "[x] ",
                (true, false) => "[ ] ",
            };
            let style = if selected { Style::BOLD } else { Style::PLAIN };
            let mut line =
                Line::styled(format!("{mark} {}. {check}{label}", index + 1), style).hanging(5);
            if !description.is_empty() {
                line.push(format!("  {description}"), Style::DIM);
            }
            bottom.extend(line.wrap(columns));
        }
        if let Some(editor) = &self.words {
            let (texts, (row, column)) = editor.rows(columns.saturating_sub(2));
            cursor = Some((bottom.len() + row, column + 2));
            for (index, text) in texts.iter().enumerate() {
                let mark = if index == 0 { "› " } else { "  " };
                bottom.push(
                    Line::styled(mark, Style::of(Colour::Yellow)).with(text.clone(), Style::PLAIN),
                );
            }
        }
        if let Some(problem) = &self.problem {
            bottom.push(Line::styled(one_line(problem), Style::of(Colour::Red)).cut(columns));
        }
        let hint = match (&self.words, multi) {
            (Some(_), _) if choices.is_empty() => "Enter answers · Esc cancels the turn",
            (Some(_), _) => "Enter sends · Esc back",
            (None, true) => "Space or a number marks · Enter answers · Esc cancels the turn",
            (None, false) => "a number or ↑↓ and Enter answers · Esc cancels the turn",
        };
        let mut hint = hint.to_owned();
        if decline(request) != Outcome::Nothing {
            hint.push_str(" · Ctrl+X declines");
        }
        if waiting > 1 {
            hint.push_str(" · Tab: the next one");
        }
        bottom.push(Line::styled(hint, Style::DIM).cut(columns));

        let body: Vec<Line> = body.iter().flat_map(|line| line.wrap(columns)).collect();
        let room = rows.saturating_sub(top.len() + bottom.len()).max(1);
        if body.len() <= room {
            top.extend(body);
        } else {
            let window = room.saturating_sub(1).max(1);
            let from = self.scroll.min(body.len() - window);
            let left = body.len() - from - window;
            top.extend(body.into_iter().skip(from).take(window));
            let text = format!("  ↕ PgUp/PgDn: {from} rows above, {left} below");
            top.push(Line::styled(text, Style::of(Colour::Yellow)).cut(columns));
        }
        let cursor = cursor.map(|(row, column)| (top.len() + row, column));
        top.extend(bottom);
        View { rows: top, cursor }
    }

    fn question_body(&self, question: &Question) -> (String, Vec<Line>) {
        let message = question.request.message.as_deref().unwrap_or_default();
        let asked = self
            .current(question)
            .map(question_message)
            .unwrap_or_default();
        let (title, more) = if message.is_empty() {
            (asked, "")
        } else {
            (message, asked)
        };
        let mut lines = sanitize(title)
            .lines()
            .map(expand_tabs)
            .collect::<Vec<_>>()
            .into_iter();
        let title = lines.next().unwrap_or_else(|| "a question".to_owned());
        let mut body: Vec<Line> = lines
            .map(|l| Line::plain(format!("  {l}")).hanging(2))
            .collect();
        if more != message {
            body.extend(
                sanitize(more)
                    .lines()
                    .map(|l| Line::plain(format!("  {}", expand_tabs(l))).hanging(2)),
            );
        }
        if let Some(url) = &question.request.url {
            body.push(
                Line::styled(format!("  {}", one_line(url)), Style::of(Colour::Cyan)).hanging(2),
            );
        }
        if question.questions().len() > 1 {
            let text = format!(
                "  question {} of {}",
                self.question + 1,
                question.questions().len()
            );
            body.push(Line::styled(text, Style::DIM));
        }
        (title, body)
    }
}

/// A question may stay without an answer; a permission may not, and neither may trust.
fn decline(request: &OpenRequest) -> Outcome {
    match request {
        OpenRequest::Question(question) if question.request.id != "trust" => {
            Outcome::Answer(question.decline())
        }
        _ => Outcome::Nothing,
    }
}

/// Whether choosing this means to say what should change in a plan.
fn suggests(option: &str, question: &Question) -> bool {
    option == SUGGEST && is_plan(&question.request)
}

fn option(option: &ahp_types::state::ChatInputOption) -> (String, String) {
    let mut label = one_line(&option.label);
    if option.recommended == Some(true) {
        label.push_str(" (recommended)");
    }
    (
        label,
        option
            .description
            .as_deref()
            .map(one_line)
            .unwrap_or_default(),
    )
}

/// Everything that is about to happen, in full.
fn permission_body(permission: &Permission, contents: &Contents) -> (String, Vec<Line>) {
    let call = &permission.call;
    let title = call
        .confirmation_title
        .as_ref()
        .map_or_else(|| call.invocation_message.as_text(), |t| t.as_text());
    let mut body = Vec::new();
    let asked = call
        .meta
        .as_ref()
        .and_then(|m| m.get("copilot.permission"))
        .and_then(serde_json::Value::as_object);
    let input = match &call.tool_input {
        Some(ToolInput::Inline(text)) => Some(text.clone()),
        Some(ToolInput::ContentRef(content)) => Some(match contents.text(&content.uri) {
            Some(Ok(text)) => text.to_owned(),
            Some(Err(reason)) => format!("(cannot be shown: {reason})"),
            None => "(loading …)".to_owned(),
        }),
        None => None,
    };
    let subject = meta_text(asked, "subject").unwrap_or_default();
    let mut input = input.unwrap_or_default();
    // A change is allowed for all of its paths, also where the input does not say them.
    let is_change = meta_text(asked, "kind") == Some("write");
    if input.is_empty() || is_change {
        let said: HashSet<&str> = input.lines().collect();
        let unsaid: Vec<_> = subject.lines().filter(|l| !said.contains(l)).collect();
        input = [input.lines().collect(), unsaid].concat().join("\n");
    }
    for line in sanitize(&input).lines() {
        let line = expand_tabs(line);
        body.push(
            Line::plain("  ")
                .with(line, Style::of(Colour::Cyan))
                .hanging(4),
        );
    }
    for edit in FileEdit::proposed(call.edits.as_ref()) {
        match diff::lines(&edit, contents, DIFF_LINES) {
            Some(lines) => body.extend(lines.into_iter().map(|line| {
                let mut out = Line::plain("  ").hanging(line.hang + 2);
                out.spans.extend(line.spans);
                out
            })),
            None => body.push(Line::styled("  loading the change …", Style::DIM)),
        }
    }
    let why = [call.intention.as_deref(), meta_text(asked, "reason")];
    for text in why.into_iter().flatten().filter(|t| !t.trim().is_empty()) {
        body.push(Line::styled(format!("  {}", one_line(text)), Style::DIM).hanging(2));
    }
    (one_line(title), body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn permission() -> OpenRequest {
        OpenRequest::Permission(Box::new(Permission {
            turn_id: "t".to_owned(),
            call: serde_json::from_value(json!({
                "toolCallId": "c", "toolName": "shell", "displayName": "Shell",
                "invocationMessage": "run it", "confirmationTitle": "Run a command?",
                "toolInput": "rm -rf build\u{1b}[2J\nls",
                "_meta": {"copilot.permission": {"kind": "shell", "subject": "rm", "reason": "no rule allows it"}},
                "options": [
                    {"id": "allow-once", "label": "Allow once", "kind": "approve"},
                    {"id": "deny", "label": "Deny", "kind": "deny"},
                    {"id": "deny-with-words", "label": "Deny, and say …", "kind": "deny"}]}))
            .unwrap(),
        }))
    }

    fn question(questions: serde_json::Value) -> OpenRequest {
        OpenRequest::Question(Question {
            request: serde_json::from_value(json!({"id": "q", "questions": questions})).unwrap(),
        })
    }

    fn press(dialog: &mut Dialog, request: &OpenRequest, keys: &[Key]) -> Outcome {
        keys.iter()
            .fold(Outcome::Nothing, |_, key| dialog.key(key.clone(), request))
    }

    fn typed(text: &str) -> Key {
        Key::Edit(Edit::Insert(text.to_owned()))
    }

    fn option_of(outcome: &Outcome) -> Option<&str> {
        match outcome {
            Outcome::Answer(Answer::Permission { option_id, .. }) => option_id.as_deref(),
            _ => None,
        }
    }

    #[test]
    fn a_number_or_arrows_and_enter_answer_a_permission() {
        let request = permission();
        let table: &[(&[Key], Option<&str>)] = &[
            (&[Key::Enter], Some("allow-once")),
            (&[typed("2")], Some("deny")),
            (&[Key::Edit(Edit::Down), Key::Enter], Some("deny")),
            (
                &[Key::Edit(Edit::Down), Key::Edit(Edit::Up), Key::Enter],
                Some("allow-once"),
            ),
            (&[typed("9")], None),
            (&[typed("y")], None),
            (&[typed("1\n")], None), // a paste
        ];
        for (keys, expected) in table {
            let outcome = press(&mut Dialog::new(&request), &request, keys);
            assert_eq!(option_of(&outcome), *expected, "{keys:?}");
        }
    }

    #[test]
    fn a_change_names_every_path_that_it_is_allowed_for() {
        let mut request = permission();
        let OpenRequest::Permission(asked) = &mut request else {
            unreachable!()
        };
        asked.call.tool_input = Some(ToolInput::Inline("/p/a\n/p/b".to_owned()));
        let meta =
            json!({"copilot.permission": {"kind": "write", "subject": "/p/a\n/p/b\n/etc/c"}});
        asked.call.meta = meta.as_object().cloned();
        let rows = rows(&Dialog::new(&request), &request, 30);
        let paths: Vec<_> = rows
            .iter()
            .map(|r| r.trim())
            .filter(|r| r.starts_with('/'))
            .collect();
        assert_eq!(paths, ["/p/a", "/p/b", "/etc/c"]);
    }

    #[test]
    fn escape_cancels_the_turn_but_first_leaves_the_words() {
        let request = permission();
        let mut dialog = Dialog::new(&request);
        assert_eq!(
            press(
                &mut dialog,
                &request,
                &[typed("3"), typed("x"), Key::Escape]
            ),
            Outcome::Nothing
        );
        assert_eq!(
            press(&mut dialog, &request, &[Key::Escape]),
            Outcome::CancelTurn
        );
    }

    #[test]
    fn a_denial_with_words_needs_them() {
        let request = permission();
        let mut dialog = Dialog::new(&request);
        assert_eq!(
            press(&mut dialog, &request, &[typed("3"), Key::Enter]),
            Outcome::Nothing
        );
        let outcome = press(&mut dialog, &request, &[typed("use trash"), Key::Enter]);
        assert!(
            matches!(outcome, Outcome::Answer(Answer::Permission { words: Some(ref w), approved: false, .. }) if w == "use trash")
        );
    }

    fn rows(dialog: &Dialog, request: &OpenRequest, rows: usize) -> Vec<String> {
        let view = dialog.view(request, 1, &Contents::default(), 60, rows);
        view.rows.iter().map(Line::text).collect()
    }

    #[test]
    fn a_permission_shows_everything_and_nothing_that_drives_the_terminal() {
        let request = permission();
        assert_eq!(
            rows(&Dialog::new(&request), &request, 20),
            [
                "? Run a command?",
                "  rm -rf build",
                "  ls",
                "  no rule allows it",
                "❯ 1. Allow once",
                "  2. Deny",
                "  3. Deny, and say …",
                "a number or ↑↓ and Enter answers · Esc cancels the turn",
            ]
        );
    }

    #[test]
    fn a_long_permission_scrolls_and_keeps_its_choices() {
        let mut request = permission();
        if let OpenRequest::Permission(p) = &mut request {
            let input: Vec<_> = (1..=50).map(|n| format!("line {n}")).collect();
            p.call.tool_input = Some(ToolInput::Inline(input.join("\n")));
        }
        let mut dialog = Dialog::new(&request);
        let shown = rows(&dialog, &request, 12);
        assert_eq!(shown.len(), 12);
        assert_eq!(shown[1], "  line 1");
        assert!(shown.contains(&"❯ 1. Allow once".to_owned()));
        assert!(shown.iter().any(|r| r.contains("below")), "{shown:?}");
        press(&mut dialog, &request, &[Key::PageDown]);
        assert_eq!(rows(&dialog, &request, 12)[1], "  line 11");
        press(&mut dialog, &request, &[Key::Edit(Edit::LineEnd)]);
        assert!(rows(&dialog, &request, 12).contains(&"  line 50".to_owned()));
    }

    #[test]
    fn several_questions_come_one_after_the_other() {
        let request = question(json!([
            {"kind": "single-select", "id": "a", "message": "Colour?", "allowFreeformInput": true,
             "options": [{"id": "x", "label": "Red"}]},
            {"kind": "multi-select", "id": "b", "message": "Sizes?", "options": [
             {"id": "s", "label": "Small"}, {"id": "l", "label": "Large"}]},
            {"kind": "integer", "id": "c", "message": "How many?", "required": true}]));
        let mut dialog = Dialog::new(&request);
        // "Something else" opens the words.
        press(
            &mut dialog,
            &request,
            &[typed("2"), typed("mauve"), Key::Enter],
        );
        assert!(rows(&dialog, &request, 20)[0].contains("Sizes?"));
        press(
            &mut dialog,
            &request,
            &[typed("2"), typed(" "), typed("1"), Key::Enter],
        );
        assert!(rows(&dialog, &request, 20)[0].contains("How many?"));
        assert_eq!(
            press(&mut dialog, &request, &[typed("x"), Key::Enter]),
            Outcome::Nothing
        );
        assert!(
            rows(&dialog, &request, 20)
                .iter()
                .any(|r| r.contains("is not a number"))
        );
        let Outcome::Answer(answer) = press(
            &mut dialog,
            &request,
            &[Key::Edit(Edit::Backspace), typed("3"), Key::Enter],
        ) else {
            panic!("no answer");
        };
        let action = serde_json::to_value(answer.into_action()).unwrap();
        assert_eq!(
            action["answers"]["a"]["value"]["freeformValues"],
            json!(["mauve"])
        );
        assert_eq!(action["answers"]["b"]["value"]["value"], json!(["s"]));
        assert_eq!(action["answers"]["c"]["value"]["value"], json!(3.0));
    }

    #[test]
    fn a_plan_is_accepted_left_or_sent_back_with_words() {
        let request = OpenRequest::Question(Question {
            request: serde_json::from_value(json!({"id": "plan-1", "message": "# Rename\n1. rename",
                "questions": [{"kind": "single-select", "id": "plan", "message": "Carry out this plan?",
                "required": true, "allowFreeformInput": true, "options": [
                {"id": "accept", "label": "Accept"}, {"id": "accept-autopilot", "label": "Autopilot"},
                {"id": "leave", "label": "Leave"}, {"id": "suggest", "label": "Suggest changes"}]}]}))
            .unwrap(),
        });
        let mut dialog = Dialog::new(&request);
        assert_eq!(
            rows(&dialog, &request, 20)[..7],
            [
                "? # Rename",
                "  1. rename",
                "  Carry out this plan?",
                "❯ 1. Accept",
                "  2. Autopilot",
                "  3. Leave",
                "  4. Suggest changes",
            ]
        );
        let value = |outcome: Outcome| match outcome {
            Outcome::Answer(answer) => {
                let action = serde_json::to_value(answer.into_action()).unwrap();
                action["answers"]["plan"]["value"].clone()
            }
            other => panic!("{other:?}"),
        };
        let accepted = press(&mut dialog, &request, &[typed("2")]);
        assert_eq!(value(accepted)["value"], "accept-autopilot");
        let mut dialog = Dialog::new(&request);
        assert_eq!(
            press(&mut dialog, &request, &[typed("4"), Key::Enter]),
            Outcome::Nothing,
            "words are missing"
        );
        let suggested = value(press(
            &mut dialog,
            &request,
            &[typed("smaller steps"), Key::Enter],
        ));
        assert_eq!(suggested["value"], "suggest");
        assert_eq!(suggested["freeformValues"], json!(["smaller steps"]));
    }

    #[test]
    fn a_question_begins_at_the_answer_that_it_proposes() {
        let options = json!([{"id": "s", "label": "Small"}, {"id": "l", "label": "Large", "recommended": true}]);
        let request = question(json!([
            {"kind": "single-select", "id": "a", "message": "One?", "options": options},
            {"kind": "multi-select", "id": "b", "message": "Many?", "options": options},
            {"kind": "boolean", "id": "c", "message": "Sure?", "defaultValue": false},
            {"kind": "integer", "id": "d", "message": "How many?", "required": true, "defaultValue": 3.0},
            {"kind": "text", "id": "e", "message": "Name?", "defaultValue": "Ada"}]));
        let mut dialog = Dialog::new(&request);
        let keys = vec![Key::Enter; 5];
        let Outcome::Answer(answer) = press(&mut dialog, &request, &keys) else {
            panic!("no answer");
        };
        let answers = serde_json::to_value(answer.into_action()).unwrap()["answers"].clone();
        for (id, expected) in [
            ("a", json!("l")),
            ("b", json!(["l"])),
            ("c", json!(false)),
            ("d", json!(3.0)),
            ("e", json!("Ada")),
        ] {
            assert_eq!(answers[id]["value"]["value"], expected, "{id}");
        }
    }

    #[test]
    fn a_question_can_be_declined_and_a_permission_cannot() {
        let request = question(json!([{"kind": "text", "id": "a", "message": "Name?"}]));
        let declined = press(&mut Dialog::new(&request), &request, &[Key::Decline]);
        let Outcome::Answer(answer) = declined else {
            panic!("{declined:?}");
        };
        let action = serde_json::to_value(answer.into_action()).unwrap();
        assert_eq!(action["response"], "decline");
        let request = permission();
        let nothing = press(&mut Dialog::new(&request), &request, &[Key::Decline]);
        assert_eq!(nothing, Outcome::Nothing);
    }

    #[test]
    fn the_cursor_is_in_the_words() {
        let request = question(json!([{"kind": "text", "id": "a", "message": "Name?"}]));
        let mut dialog = Dialog::new(&request);
        press(&mut dialog, &request, &[typed("日本")]);
        let view = dialog.view(&request, 1, &Contents::default(), 60, 20);
        assert_eq!(view.cursor, Some((1, 6)));
        assert_eq!(view.rows[1].text(), "› 日本");
    }
}
