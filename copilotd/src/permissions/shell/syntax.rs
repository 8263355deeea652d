//! A command line as the simple commands that bash would start, from the tree that
//! tree-sitter makes of it.
//!
//! The tree is not believed: bash is full of corners, and a grammar for editors may cut where
//! bash does not. Every byte between two nodes must be white space of the right kind, every
//! text is read again by [`super::word`], and a kind of node that is not named here is a
//! problem. The walk goes on after a problem, so that denials see what can be seen. Must never
//! run or expand anything.

use tree_sitter::Node;

use super::heredoc;
use super::text;
use super::tree::tree;
use super::word::{self, Substitutions, Word};

/// Commands longer than this are not read. Bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Nesting deeper than this is not read.
const MAX_DEPTH: usize = 60;

/// Words of the shell's grammar: a simple command cannot begin with one, so the tree is wrong
/// where one does.
const RESERVED: &[&str] = &[
    "!", "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for",
    "function", "if", "in", "select", "then", "until", "while", "{", "}",
];

/// Everything that a command line starts, opens and assigns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::permissions) struct Script {
    /// In the order of the text.
    pub(in crate::permissions) commands: Vec<Simple>,
    /// Files that redirections open, in the order of the text.
    pub(in crate::permissions) redirections: Vec<Redirection>,
    /// Assignments that are not in front of a command, and loop variables: the name and
    /// whether it is set to something.
    pub(in crate::permissions) variables: Vec<String>,
    /// Why not all of it can be relied on; reads on after "the command has".
    pub(in crate::permissions) problem: Option<String>,
}

/// One program or builtin with its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::permissions) struct Simple {
    /// Names and values of assignments in front of it.
    pub(in crate::permissions) assignments: Vec<(String, Word)>,
    /// The program first.
    pub(in crate::permissions) words: Vec<Word>,
    /// It may run more than once.
    pub(in crate::permissions) repeated: bool,
}

impl Simple {
    /// The words, with nothing for those that are not known.
    pub(in crate::permissions) fn known_words(&self) -> Vec<String> {
        let known = |word: &Word| word.literal().unwrap_or_default().to_owned();
        self.words.iter().map(known).collect()
    }
}

/// A file that is opened by the shell itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::permissions) struct Redirection {
    /// As it is written.
    pub(in crate::permissions) path: String,
    /// It is created or changed.
    pub(in crate::permissions) writes: bool,
}

/// Reads `command`. Never fails: what cannot be read is a problem of the script.
pub(in crate::permissions) fn parse(command: &str) -> Script {
    let mut walk = Walk {
        source: command,
        uncommented: command.as_bytes().to_vec(),
        script: Script::default(),
        depth: 0,
        loops: 0,
    };
    if command.len() > MAX_BYTES {
        walk.problem("more text than can be read");
    } else if let Some(what) = text::unreadable(command) {
        walk.problem(what);
    } else if let Some(tree) = tree(command) {
        let root = tree.root_node();
        walk.comments(root);
        let count = root.child_count();
        let first = root
            .child(0)
            .map_or(command.len(), |node| node.start_byte());
        let last = count.checked_sub(1).and_then(|at| root.child(at));
        walk.blank(0, first);
        walk.blank(last.map_or(first, |node| node.end_byte()), command.len());
        walk.statements(root);
    } else {
        walk.problem("a text that takes too long to read");
    }
    walk.script
}

struct Walk<'a> {
    source: &'a str,
    /// The same with spaces for the comments.
    uncommented: Vec<u8>,
    script: Script,
    depth: usize,
    /// How many loops are around.
    loops: usize,
}

impl Substitutions for Walk<'_> {
    fn substitution(&mut self, node: Node<'_>) {
        let text = &self.source[node.byte_range()];
        if !text.starts_with("$(") && !text.starts_with("<(") && !text.starts_with(">(") {
            self.problem("a substitution in backquotes");
        }
        self.statements(node);
    }

    fn problem(&mut self, what: &str) {
        self.script.problem.get_or_insert_with(|| what.to_owned());
    }
}

impl<'a> Walk<'a> {
    fn text(&self, node: Node<'_>) -> &'a str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// What stands between two bytes besides comments. Not text when the bytes are in the wrong
    /// order.
    fn gap(&self, from: usize, to: usize) -> String {
        let bytes = self.uncommented.get(from..to).unwrap_or(b"?");
        String::from_utf8_lossy(bytes).replace("\\\n", "\u{7f}")
    }

    /// Between two bytes is nothing but white space, line breaks allowed.
    fn blank(&mut self, from: usize, to: usize) {
        if !self
            .gap(from, to)
            .chars()
            .all(|c| " \t\n\u{7f}".contains(c))
        {
            self.problem("text that cannot be read");
        }
    }

    /// Between two bytes is nothing but white space on one line. Two words also need some.
    fn same_line(&mut self, from: usize, to: usize, apart: bool) {
        let gap = self.gap(from, to);
        let blank = gap.chars().all(|c| " \t\u{7f}".contains(c));
        if !blank || (apart && !gap.contains([' ', '\t'])) {
            self.problem("text that cannot be read");
        }
    }

    /// Checks every comment, and takes it out of what gaps are looked for in.
    fn comments(&mut self, root: Node<'_>) {
        let mut cursor = root.walk();
        loop {
            let node = cursor.node();
            if node.kind() == "comment" {
                self.comment(node);
                if let Some(bytes) = self.uncommented.get_mut(node.byte_range()) {
                    bytes.fill(b' ');
                }
            }
            if cursor.goto_first_child() || cursor.goto_next_sibling() {
                continue;
            }
            loop {
                if !cursor.goto_parent() {
                    return;
                }
                if cursor.goto_next_sibling() {
                    break;
                }
            }
        }
    }

    /// The children of a node that leave nothing out at its ends, without comments.
    fn children<'t>(&mut self, node: Node<'t>) -> Vec<Node<'t>> {
        let mut cursor = node.walk();
        let children: Vec<Node<'t>> = node.children(&mut cursor).collect();
        let whole = match (children.first(), children.last()) {
            (Some(first), Some(last)) => {
                first.start_byte() == node.start_byte() && last.end_byte() == node.end_byte()
            }
            _ => false,
        };
        if !whole && node.kind() != "program" {
            self.problem("text that cannot be read");
        }
        children
            .into_iter()
            .filter(|child| {
                if child.is_error() || child.is_missing() {
                    self.problem("something that bash may read in another way");
                }
                child.kind() != "comment"
            })
            .collect()
    }

    /// A comment begins a word and ends with its line, in bash too.
    fn comment(&mut self, node: Node<'_>) {
        let before = self.source[..node.start_byte()].chars().next_back();
        let after = self.source[node.end_byte()..].chars().next();
        let starts = before.is_none_or(|c| " \t\n;&|()".contains(c));
        let escaped = self.source[..node.start_byte()].ends_with("\\\n");
        if !starts || escaped || after.is_some_and(|c| c != '\n') {
            self.problem("a `#` that cannot be read");
        }
    }

    /// Every statement among the children of `node`, whatever stands between them.
    fn statements(&mut self, node: Node<'_>) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.problem("more nesting than can be read");
            self.depth -= 1;
            return;
        }
        if node.is_error() {
            self.problem("something that bash may read in another way");
        }
        let children = self.children(node);
        let mut previous: Option<Node<'_>> = None;
        for child in children {
            if let Some(previous) = previous {
                self.between(previous, child);
            }
            self.statement(child);
            previous = Some(child);
        }
        self.depth -= 1;
    }

    /// What stands between two parts of a list.
    fn between(&mut self, first: Node<'_>, second: Node<'_>) {
        let (from, to) = (first.end_byte(), second.start_byte());
        match (first.is_named(), second.is_named()) {
            // Two statements follow each other: a line break ends the first. A here-document
            // ends with a line of its own.
            (true, true) => {
                if !self.gap(from, to).contains('\n') && !heredoc::ends_with_one(first) {
                    self.problem("text that cannot be read");
                }
                self.blank(from, to);
            }
            // An operator stands on the line of what it follows. What closes a group may not.
            (true, false) => match self.text(second) {
                ";" | "&" | "&&" | "||" | "|" | "|&" => self.same_line(from, to, false),
                _ => self.blank(from, to),
            },
            (false, true) => {
                let operator = self.text(first);
                let glued = operator.starts_with(|c: char| c.is_ascii_alphabetic())
                    || matches!(operator, "{" | "!");
                if glued && from == to {
                    self.problem("text that cannot be read");
                }
                self.blank(from, to);
            }
            _ => self.blank(from, to),
        }
    }

    fn statement(&mut self, node: Node<'_>) {
        match node.kind() {
            "command" => self.command(node),
            "list" | "pipeline" | "subshell" | "if_statement" | "elif_clause" | "else_clause"
            | "do_group" => self.statements(node),
            "negated_command" => self.negated(node),
            "compound_statement" => {
                if self.text(node).starts_with("((") {
                    self.problem("arithmetic");
                }
                self.statements(node);
            }
            "while_statement" => {
                self.loops += 1;
                self.statements(node);
                self.loops -= 1;
            }
            "for_statement" => self.for_loop(node),
            "redirected_statement" => self.redirected(node),
            "variable_assignment" => {
                if let Some((name, _)) = self.assignment(node) {
                    self.script.variables.push(name);
                }
            }
            "variable_assignments" => {
                let children = self.children(node);
                self.on_one_line(&children);
                for child in children {
                    self.statement(child);
                }
            }
            "test_command" => self.test(node),
            "function_definition" => {
                self.problem("a function");
                self.loops += 1;
                self.anything(node);
                self.loops -= 1;
            }
            "file_redirect" | "herestring_redirect" | "heredoc_redirect" => self.redirection(node),
            _ if !node.is_named() => {
                let known = matches!(
                    self.text(node),
                    ";" | "&"
                        | "\n"
                        | "&&"
                        | "||"
                        | "|"
                        | "|&"
                        | "("
                        | ")"
                        | "{"
                        | "}"
                        | "$("
                        | "<("
                        | ">("
                        | "if"
                        | "then"
                        | "elif"
                        | "else"
                        | "fi"
                        | "while"
                        | "until"
                        | "do"
                        | "done"
                );
                if !known {
                    self.problem("an operator that is not known");
                }
            }
            "declaration_command" | "unset_command" => {
                self.problem("a declaration");
                self.anything(node);
            }
            "case_statement" | "c_style_for_statement" => {
                self.problem("a kind of statement that is not looked into");
                self.anything(node);
            }
            _ => {
                self.problem("something that bash may read in another way");
                self.anything(node);
            }
        }
    }

    /// Looks for commands in something that is a problem already, so that denials see them.
    fn anything(&mut self, node: Node<'_>) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.problem("more nesting than can be read");
        } else {
            let mut cursor = node.walk();
            for child in node.named_children(&mut cursor) {
                match child.kind() {
                    "command" => self.command(child),
                    _ => self.anything(child),
                }
            }
        }
        self.depth -= 1;
    }

    /// All of them follow each other on one line, with white space between any two words.
    fn on_one_line(&mut self, children: &[Node<'_>]) {
        for pair in children.windows(2) {
            if let [first, second] = pair {
                self.same_line(first.end_byte(), second.start_byte(), true);
            }
        }
    }

    fn negated(&mut self, node: Node<'_>) {
        let children = self.children(node);
        self.on_one_line(&children);
        for child in children.into_iter().filter(Node::is_named) {
            self.statement(child);
        }
    }

    fn for_loop(&mut self, node: Node<'_>) {
        let children = self.children(node);
        self.loops += 1;
        let mut header = Vec::new();
        for child in children {
            match child.kind() {
                "variable_name" => {
                    self.script.variables.push(self.text(child).to_owned());
                    header.push(child);
                }
                "do_group" => self.statement(child),
                "for" | "in" => header.push(child),
                ";" | "\n" => {}
                _ if child.is_named() => {
                    self.word(child);
                    header.push(child);
                }
                _ => self.problem("a kind of loop that is not looked into"),
            }
        }
        self.on_one_line(&header);
        self.loops -= 1;
    }

    fn word(&mut self, node: Node<'_>) -> Word {
        let source = self.source;
        word::read(node, source, self)
    }

    fn command(&mut self, node: Node<'_>) {
        let mut simple = Simple {
            repeated: self.loops > 0,
            ..Simple::default()
        };
        let children = self.children(node);
        self.on_one_line(&children);
        // What a substitution inside starts comes first, as in bash.
        for child in children {
            self.part(child, &mut simple);
        }
        self.finish(simple);
    }

    /// A part of a simple command.
    fn part(&mut self, node: Node<'_>, simple: &mut Simple) {
        match node.kind() {
            "variable_assignment" => simple.assignments.extend(self.assignment(node)),
            "file_redirect" | "herestring_redirect" | "heredoc_redirect" => self.redirection(node),
            "command_name" => match self.children(node).as_slice() {
                [name] => {
                    let name = self.word(*name);
                    simple.words.push(name);
                }
                _ => self.problem("a program that cannot be read"),
            },
            "subshell" => {
                self.problem("a subshell where none can be");
                self.anything(node);
            }
            "==" | "=~" => self.problem("an operator that is not known"),
            _ => {
                let word = self.word(node);
                simple.words.push(word);
            }
        }
    }

    /// Takes a simple command into the script, when its program is known.
    fn finish(&mut self, simple: Simple) {
        match simple.words.first().map(Word::literal) {
            None => {}
            Some(None) => self.problem("an expansion that decides what runs"),
            Some(Some("")) => self.problem("no program"),
            Some(Some(name)) if name.contains('=') => self.problem("an assignment"),
            Some(Some(name)) if RESERVED.contains(&name) => self.problem("shell grammar"),
            Some(Some(name)) if name.chars().any(|c| c.is_whitespace()) => {
                self.problem("a program with white space in its name");
            }
            Some(Some(_)) => {}
        }
        self.script.commands.push(simple);
    }

    /// The name and the value of an assignment of plain text.
    fn assignment(&mut self, node: Node<'_>) -> Option<(String, Word)> {
        let children = self.children(node);
        let (name, value) = match children.as_slice() {
            [name, equals] if self.text(*equals) == "=" => (*name, Word::Literal(String::new())),
            [name, equals, value] if self.text(*equals) == "=" => {
                if name.end_byte() != equals.start_byte() || equals.end_byte() != value.start_byte()
                {
                    self.problem("an assignment that cannot be read");
                }
                if value.kind() == "array" {
                    self.problem("an array");
                    self.anything(*value);
                    return None;
                }
                (*name, self.word(*value))
            }
            _ => {
                self.problem("a kind of assignment that is not looked into");
                self.anything(node);
                return None;
            }
        };
        let text = self.text(name);
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.kind() != "variable_name" || !plain || node.kind() != "variable_assignment" {
            self.problem("a kind of assignment that is not looked into");
            self.anything(node);
            return None;
        }
        Some((text.to_owned(), value))
    }

    /// `[ … ]` and `[[ … ]]`, as a simple command of their words.
    fn test(&mut self, node: Node<'_>) {
        let mut leaves = Vec::new();
        self.test_words(node, &mut leaves);
        self.on_one_line(&leaves);
        let mut simple = Simple {
            repeated: self.loops > 0,
            ..Simple::default()
        };
        let (Some(first), Some(last)) = (leaves.first(), leaves.last()) else {
            return self.problem("a test that cannot be read");
        };
        if !matches!(
            (self.text(*first), self.text(*last)),
            ("[", "]") | ("[[", "]]")
        ) {
            self.problem("a test that cannot be read");
        }
        for leaf in leaves {
            let word = if leaf.is_named() && leaf.kind() != "test_operator" {
                self.word(leaf)
            } else {
                Word::Literal(self.text(leaf).to_owned())
            };
            simple.words.push(word);
        }
        self.script.commands.push(simple);
    }

    fn test_words<'t>(&mut self, node: Node<'t>, leaves: &mut Vec<Node<'t>>) {
        for child in self.children(node) {
            match child.kind() {
                "unary_expression" | "binary_expression" if self.depth < MAX_DEPTH => {
                    self.depth += 1;
                    self.test_words(child, leaves);
                    self.depth -= 1;
                }
                _ => leaves.push(child),
            }
        }
    }

    /// A statement and its redirections.
    fn redirected(&mut self, node: Node<'_>) {
        let children = self.children(node);
        for pair in children.windows(2) {
            if let [first, second] = pair {
                self.same_line(first.end_byte(), second.start_byte(), false);
            }
        }
        for child in children {
            self.statement(child);
        }
    }

    fn redirection(&mut self, node: Node<'_>) {
        match node.kind() {
            "heredoc_redirect" => self.here_document(node),
            "herestring_redirect" => {
                let children = self.children(node);
                for child in children {
                    match child.kind() {
                        "<<<" => {}
                        "file_descriptor" => self.descriptor(child),
                        _ => {
                            self.word(child);
                        }
                    }
                }
            }
            _ => self.file(node),
        }
    }

    fn descriptor(&mut self, node: Node<'_>) {
        if !self.text(node).bytes().all(|b| b.is_ascii_digit()) {
            self.problem("a redirection that cannot be read");
        }
    }

    fn file(&mut self, node: Node<'_>) {
        let mut operator = "";
        let mut destinations = Vec::new();
        let mut children = self.children(node);
        if let Some(first) = children.first().filter(|c| c.kind() == "file_descriptor") {
            self.descriptor(*first);
            if children
                .get(1)
                .is_none_or(|o| o.start_byte() != first.end_byte())
            {
                self.problem("a redirection that cannot be read");
            }
            children.remove(0);
        }
        for pair in children.windows(2) {
            if let [first, second] = pair {
                self.same_line(first.end_byte(), second.start_byte(), false);
            }
        }
        for child in children {
            if child.is_named() {
                destinations.push(self.word(child));
            } else {
                operator = self.text(child);
            }
        }
        match (operator, destinations.as_slice()) {
            ("<&-" | ">&-", []) => {}
            (_, [Word::Literal(path)]) => self.open(operator, path),
            (_, [_]) => self.problem("an expansion that decides which file is opened"),
            _ => self.problem("a redirection that cannot be read"),
        }
    }

    fn open(&mut self, operator: &str, path: &str) {
        let is_descriptor = !path.is_empty() && path.bytes().all(|b| b.is_ascii_digit());
        let writes = match operator {
            ">&" | "<&" if is_descriptor || path == "-" => return,
            "<" => false,
            ">" | ">>" | ">|" | "&>" | "&>>" | ">&" => true,
            _ => return self.problem("a redirection that cannot be read"),
        };
        if path.is_empty() {
            return self.problem("a redirection to nothing");
        }
        if path.starts_with("/dev/tcp") || path.starts_with("/dev/udp") {
            return self.problem("a connection to the network");
        }
        if matches!(
            path,
            "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/stdin"
        ) {
            return;
        }
        self.script.redirections.push(Redirection {
            path: path.to_owned(),
            writes,
        });
    }

    /// The document itself is checked by its text; what follows on its first line is read as
    /// the statements it is.
    fn here_document(&mut self, node: Node<'_>) {
        if let Err(what) = heredoc::check(node, self.source) {
            self.problem(what);
        }
        let mut cursor = node.walk();
        let children: Vec<Node<'_>> = node.children(&mut cursor).collect();
        for child in children {
            match child.kind() {
                "<<" | "<<-" | "heredoc_start" | "heredoc_end" | "\n" | "&&" | "||" | "|"
                | "|&" => {}
                "file_descriptor" => self.descriptor(child),
                "heredoc_body" => {}
                "pipeline"
                | "file_redirect"
                | "herestring_redirect"
                | "command"
                | "list"
                | "redirected_statement"
                | "subshell"
                | "compound_statement" => {
                    self.statement(child);
                }
                _ => {
                    self.problem("words behind the beginning of a here-document");
                    self.anything(child);
                }
            }
        }
        if node.has_error() {
            self.problem("something that bash may read in another way");
        }
    }
}
