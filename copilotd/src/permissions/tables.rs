//! What is decided, as tables. Each row: allow rules, deny rules, request, answer.
//! Rules are separated by ` ; `. Paths are relative to the session's folder.

use std::path::{Path, PathBuf};

use super::{
    AllowAll, Decision, Guard, Request, Rule, RuleSet, Source, decide, label_for, lasting_rules,
    withheld,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    Deny,
    Ask,
}
use Answer::{Allow, Ask, Deny};

fn rules(text: &str, source: &Source) -> Vec<(Rule, Source)> {
    text.split(" ; ")
        .filter(|rule| !rule.is_empty())
        .map(|rule| (rule.parse().unwrap(), source.clone()))
        .collect()
}

fn rule_set(allow: &str, deny: &str) -> RuleSet {
    // In front of the allow rules, `ALL` is --allow-all, and `TOOLS`, `PATHS` and `URLS` are
    // its parts.
    let parts = [
        ("ALL", AllowAll::EVERYTHING),
        ("TOOLS", all(|all| all.tools = true)),
        ("PATHS", all(|all| all.paths = true)),
        ("URLS", all(|all| all.urls = true)),
    ];
    let found = parts
        .iter()
        .find_map(|(word, all)| Some((allow.strip_prefix(word)?, *all)));
    let (allow, allow_all) = found.unwrap_or((allow, AllowAll::default()));
    RuleSet {
        allow: rules(allow, &Source::Flag),
        deny: rules(deny, &Source::Settings(PathBuf::from("/etc/settings.json"))),
        allow_all,
        ..RuleSet::default()
    }
}

fn all(set: fn(&mut AllowAll)) -> AllowAll {
    let mut all = AllowAll::default();
    set(&mut all);
    all
}

fn answer(decision: &Decision) -> Answer {
    match decision {
        Decision::Allow { .. } => Allow,
        Decision::Deny { .. } => Deny,
        Decision::Ask { .. } => Ask,
    }
}

fn check_in(folder: &Path, request: fn(&str) -> Request, table: &[(&str, &str, &str, Answer)]) {
    for (allow, deny, subject, expected) in table {
        let decision = decide(&request(subject), &rule_set(allow, deny), folder);
        assert_eq!(
            answer(&decision),
            *expected,
            "allow [{allow}] deny [{deny}] asked for [{subject}]: {decision:?}"
        );
    }
}

fn check(request: fn(&str) -> Request, table: &[(&str, &str, &str, Answer)]) {
    check_in(Path::new("/nowhere/project"), request, table);
}

fn shell(text: &str) -> Request {
    Request::Shell {
        command: text.to_owned(),
    }
}

fn write(text: &str) -> Request {
    Request::Write {
        path: PathBuf::from(text),
    }
}

fn read(text: &str) -> Request {
    Request::Read {
        path: PathBuf::from(text),
    }
}

fn url(text: &str) -> Request {
    // What the agent found for the host may follow in brackets.
    let (url, addresses) = text.split_once(" [").unwrap_or((text, "]"));
    let addresses = addresses.trim_end_matches(']').split(' ');
    Request::Url {
        url: url.to_owned(),
        addresses: addresses.filter_map(|a| a.parse().ok()).collect(),
    }
}

fn tool(text: &str) -> Request {
    Request::Tool {
        name: text.to_owned(),
    }
}

#[test]
fn commands_are_allowed_by_exact_words_or_by_stem() {
    check(
        shell,
        &[
            ("", "", "git status", Ask),
            ("shell(git status)", "", "git status", Allow),
            ("shell(git status)", "", "  git   status ", Allow),
            ("shell(git status)", "", "git 'status'", Allow),
            ("shell(git status)", "", "git status -s", Ask),
            ("shell(git status)", "", "git", Ask),
            ("shell(git status)", "", "git statusx", Ask),
            ("shell(git)", "", "git status", Ask),
            (
                "shell(git commit -m 'a b')",
                "",
                "git commit -m \"a b\"",
                Allow,
            ),
            ("shell(git commit -m 'a b')", "", "git commit -m a b", Ask),
            ("shell(git:*)", "", "git", Allow),
            ("shell(git:*)", "", "git push --force", Allow),
            ("shell(git:*)", "", "gitk", Ask),
            ("shell(git:*)", "", "git-lfs push", Ask),
            ("shell(npm run:*)", "", "npm run build", Allow),
            ("shell(npm run:*)", "", "npm running", Ask),
            ("shell(npm run:*)", "", "npm install", Ask),
            ("shell", "", "anything at all", Allow),
            ("write ; shell(ls) ; url", "", "ls", Allow),
            ("write", "", "rm x", Ask),
        ],
    );
}

#[test]
fn the_program_is_the_one_that_was_named() {
    check(
        shell,
        &[
            ("shell(git:*)", "", "./git status", Ask),
            ("shell(git:*)", "", "/tmp/git status", Ask),
            ("shell(git:*)", "", "Git status", Ask),
            ("shell(./run:*)", "", "./run x", Allow),
            ("shell(./run:*)", "", "run x", Ask),
            ("shell(git:*)", "", "env git status", Allow),
            ("shell(git:*)", "", "GIT_PAGER=x git status", Ask),
        ],
    );
}

#[test]
fn deny_beats_allow_and_sees_more() {
    check(
        shell,
        &[
            ("shell(git push)", "shell(git push)", "git push", Deny),
            ("shell(git:*)", "shell(git push)", "git push", Deny),
            (
                "shell(git:*)",
                "shell(git push)",
                "git push --force origin",
                Deny,
            ),
            (
                "shell(git:*)",
                "shell(git push:*)",
                "git push --force",
                Deny,
            ),
            ("shell(git:*)", "shell(git push)", "git status", Allow),
            (
                "shell(git:*)",
                "shell(git push)",
                "git commit -m push",
                Allow,
            ),
            ("ALL", "shell(git push)", "/usr/bin/git push", Deny),
            ("ALL", "shell(/usr/bin/git push)", "git push", Deny),
            ("ALL", "shell(git push)", "git -C sub push", Deny),
            ("ALL", "shell(git push)", "git --no-pager -c a=b push", Deny),
            ("ALL", "shell(git push)", "env X=1 git push", Deny),
            ("ALL", "shell(git push)", "bash -c 'git push'", Deny),
            ("ALL", "shell(git push)", "bash -c 'cd x && git push'", Deny),
            (
                "ALL",
                "shell(git push)",
                "python3 -c 'os.system(\"git push\")'",
                Deny,
            ),
            (
                "ALL",
                "shell(git push)",
                "python3.12 -c 'run([\"git\", \"push\"])'",
                Deny,
            ),
            ("ALL", "shell(git push)", "xargs -n 1 git push", Deny),
            ("ALL", "shell(rm -rf)", "rm -v -rf x", Deny),
            ("ALL", "shell(rm:*)", "rm x", Deny),
            ("ALL", "shell(rm:*)", "rmdir x", Allow),
            ("ALL", "shell", "true", Deny),
            ("ALL", "shell", "a | b", Deny),
            ("ALL", "write", "true", Allow),
        ],
    );
}

#[test]
fn what_cannot_be_read_is_never_allowed_past_a_deny_rule() {
    check(
        shell,
        &[
            ("ALL", "", "ls | wc -l", Allow),
            ("ALL", "url", "ls | wc -l", Allow),
            ("ALL", "shell(git push)", "ls | wc -l", Allow),
            ("ALL", "shell(git push)", "make && git push", Deny),
            ("ALL", "shell(git push)", "echo $(git push)", Deny),
            ("ALL", "shell(git push)", "g'i't pu\\sh; true", Deny),
            ("ALL", "shell(git push)", "X=1 git push", Deny),
            ("ALL", "shell(git push)", "$G push", Ask),
            ("ALL", "shell(git push)", "git {push,}", Ask),
            ("ALL", "shell(git push)", "git 'unclosed", Ask),
            ("ALL", "shell(git push)", "ls -l", Allow),
        ],
    );
}

#[test]
fn running_copilot_is_always_asked() {
    check(
        shell,
        &[
            ("ALL", "", "copilot answer x y allow-once", Ask),
            ("shell", "", "copilot sessions list", Ask),
            ("shell(copilot:*)", "", "copilot --version", Ask),
            ("ALL", "", "/usr/local/bin/copilotd --foreground", Ask),
            ("ALL", "", "./target/debug/copilot-agent", Ask),
            ("ALL", "", "true; copilot answer x", Ask),
            ("ALL", "", "true\ncopilot answer x", Ask),
            ("ALL", "", "X=1 copilot answer", Ask),
            ("ALL", "", "env X=1 copilot answer", Ask),
            ("ALL", "", "nohup setsid copilot answer", Ask),
            ("ALL", "", "bash -c 'sleep 1; copilot answer'", Ask),
            ("ALL", "", "co\"pil\"ot answer | cat", Ask),
            ("ALL", "", "if true; then copilot answer; fi", Ask),
            ("ALL", "", "cat $COPILOTD_HOME/config/settings.json", Ask),
            ("ALL", "", "node -e 'spawn(\"copilot\", [\"answer\"])'", Ask),
            ("ALL", "", "echo copilot", Allow),
            ("ALL", "", "cargo test -p copilotd", Allow),
            ("ALL", "shell(copilot)", "copilot answer", Deny),
        ],
    );
}

#[test]
fn urls_are_matched_by_host() {
    check(
        url,
        &[
            ("", "", "https://example.com/", Ask),
            ("url(example.com)", "", "https://example.com/a?b#c", Allow),
            ("url(example.com)", "", "https://EXAMPLE.com", Allow),
            ("url(EXAMPLE.com)", "", "https://example.com", Allow),
            ("url(example.com)", "", "https://example.com./", Allow),
            ("url(example.com)", "", "example.com/a", Allow),
            ("url(example.com)", "", "http://example.com/", Ask),
            ("url(http://example.com)", "", "http://example.com/", Allow),
            ("url(http://example.com)", "", "https://example.com/", Ask),
            ("url(example.com)", "", "https://example.com:443/", Allow),
            ("url(example.com)", "", "https://example.com:8443/", Ask),
            (
                "url(example.com:8443)",
                "",
                "https://example.com:8443/",
                Allow,
            ),
            ("url(example.com)", "", "https://www.example.com/", Ask),
            ("url(*.example.com)", "", "https://www.example.com/", Allow),
            ("url(*.example.com)", "", "https://a.b.example.com/", Allow),
            ("url(*.example.com)", "", "https://example.com/", Ask),
            ("url(*.example.com)", "", "https://badexample.com/", Ask),
            ("url(example.com)", "", "https://example.com.evil.org/", Ask),
            ("url(example.com)", "", "https://example.com@evil.org/", Ask),
            ("url(example.com)", "", "https://evil.org/example.com", Ask),
            (
                "url(example.com)",
                "",
                "https://user:pass@example.com/",
                Ask,
            ),
            (
                "url(example.com)",
                "",
                "https://evil.org\\@example.com/",
                Ask,
            ),
            ("url(example.com)", "", "https://exam\tple.com/", Ask),
            ("url(8.8.8.8)", "", "https://0x08.0x08.2056/", Allow),
            (
                "url([2606:4700::1]:8080)",
                "",
                "https://[2606:4700:0:0:0:0:0:1]:8080/",
                Allow,
            ),
            (
                "url(bücher.example)",
                "",
                "https://xn--bcher-kva.example/",
                Allow,
            ),
            ("url", "", "http://anything.example/", Allow),
            ("url", "", "file:///etc/passwd", Ask),
            ("url", "", "javascript:alert(1)", Ask),
            ("url", "", "not a url", Ask),
            ("ALL", "", "ftp://example.com/", Ask),
            ("URLS", "", "http://example.com/", Allow),
            ("URLS", "url(example.com)", "http://example.com/", Deny),
            ("TOOLS", "", "https://example.com/", Ask),
            ("ALL", "", "https://u@example.com/", Ask),
            ("ALL", "url(example.com)", "https://example.com/", Deny),
            ("ALL", "url(example.com)", "http://example.com:81/", Deny),
            ("ALL", "url(example.com)", "https://u@example.com/", Deny),
            (
                "ALL",
                "url(http://example.com)",
                "https://example.com/",
                Allow,
            ),
            ("ALL", "url(*.example.com)", "https://a.example.com/", Deny),
            ("ALL", "url(example.com)", "https://exam ple.com/", Ask),
            ("url(example.com)", "url", "https://example.com/", Deny),
        ],
    );
}

#[test]
fn private_addresses_are_always_asked() {
    check(
        url,
        &[
            ("url(127.0.0.1)", "", "https://127.0.0.1/", Ask),
            ("url(127.0.0.1)", "", "https://0x7f.1/", Ask),
            ("url(localhost:80)", "", "https://localhost:80/", Ask),
            ("ALL", "", "http://169.254.169.254/latest", Ask),
            ("ALL", "", "http://[fe80::1]/", Ask),
            ("ALL", "", "http://printer.local/", Ask),
            ("url", "", "https://router/", Ask),
            (
                "url(example.com)",
                "",
                "https://example.com/ [93.184.216.34]",
                Allow,
            ),
            (
                "url(example.com)",
                "",
                "https://example.com/ [10.0.0.1]",
                Ask,
            ),
            (
                "url(example.com)",
                "",
                "https://example.com/ [93.184.216.34 ::1]",
                Ask,
            ),
            ("ALL", "", "https://example.com/ [::ffff:192.168.0.1]", Ask),
            ("ALL", "url(localhost)", "http://localhost/", Deny),
        ],
    );
}

#[test]
fn allowing_everything_has_parts() {
    check(
        shell,
        &[
            ("TOOLS", "", "make", Allow),
            ("PATHS", "", "make", Ask),
            ("URLS", "", "make", Ask),
        ],
    );
    check(
        write,
        &[
            ("TOOLS", "", "src/x", Allow),
            ("TOOLS", "", "/nowhere/else", Ask),
            ("PATHS", "", "src/x", Ask),
            ("ALL", "", "/nowhere/else", Allow),
        ],
    );
    check(
        read,
        &[
            ("TOOLS", "", "/nowhere/else", Ask),
            ("PATHS", "", "/nowhere/else", Allow),
            ("PATHS", "read(/nowhere)", "/nowhere/else", Deny),
        ],
    );
    let mut rules = rule_set("TOOLS", "");
    rules.folders = vec![PathBuf::from("/nowhere/added")];
    let folder = Path::new("/nowhere/project");
    for (request, expected) in [
        (read("/nowhere/added/x"), Allow),
        (read("../added/x"), Allow),
        (write("/nowhere/added/x"), Allow),
        (read("/nowhere/other/x"), Ask),
    ] {
        let decision = decide(&request, &rules, folder);
        assert_eq!(answer(&decision), expected, "{request:?}");
    }
}

#[test]
fn whoever_manages_the_machine_has_the_last_word() {
    let folder = Path::new("/nowhere/project");
    let mut rules = rule_set("ALLshell(ls)", "");
    rules.allow_all_forbidden_by = Some(PathBuf::from("/etc/copilotd/managed-settings.json"));
    for (request, expected) in [
        (shell("ls"), Allow),
        (shell("make"), Ask),
        (write("src/x"), Ask),
        (read("/nowhere/else"), Ask),
        (url("https://example.com"), Ask),
        (tool("any"), Ask),
    ] {
        let decision = decide(&request, &rules, folder);
        assert_eq!(answer(&decision), expected, "{request:?}: {decision:?}");
        if let Decision::Ask { why } = decision {
            let expected = "/etc/copilotd/managed-settings.json forbids allowing everything";
            assert!(why.contains(expected), "{why}");
        }
    }
    rules.denials_unknown = Some("the file has a mistake".to_owned());
    rules.deny = rule_set("", "shell(rm)").deny;
    for (request, expected) in [
        (shell("ls"), Ask),
        (read("src/x"), Ask),
        (shell("rm x"), Deny),
    ] {
        let decision = decide(&request, &rules, folder);
        assert_eq!(answer(&decision), expected, "{request:?}: {decision:?}");
    }
    assert_eq!(lasting_rules(&shell("rm x"), &rules, folder), Vec::new());
}

#[cfg(unix)]
#[test]
fn secrets_and_what_runs_later_must_be_named() {
    let scratch = tempfile::tempdir().unwrap();
    let top = scratch.path().canonicalize().unwrap();
    let (home, project) = (top.join("home"), top.join("home/project"));
    for folder in ["home/.ssh", "home/project/.git/hooks", "managed"] {
        std::fs::create_dir_all(top.join(folder)).unwrap();
    }
    std::fs::write(home.join(".ssh/id"), "").unwrap();
    std::fs::write(project.join("one"), "").unwrap();
    std::fs::hard_link(project.join("one"), project.join("two")).unwrap();
    let table = [
        ("ALL", read("../.ssh/id"), Ask),
        ("read", read("../.ssh/id"), Ask),
        ("read(..)", read("../.ssh/id"), Ask),
        ("read(../.ssh)", read("../.ssh/id"), Allow),
        ("read(../.ssh/id)", read("../.ssh/id"), Allow),
        ("read(../.ssh/id)", read("../.ssh/other"), Ask),
        ("write(../.ssh)", read("../.ssh/id"), Ask),
        ("", read(".npmrc"), Ask),
        ("read(.npmrc)", read(".npmrc"), Allow),
        ("ALL", write(".git/hooks/pre-commit"), Ask),
        ("write(.)", write(".git/config"), Ask),
        ("write(.git/hooks)", write(".git/hooks/pre-commit"), Allow),
        ("write(.git/hooks)", write(".git/config"), Ask),
        ("", read(".git/config"), Allow),
        ("ALL", write(".envrc"), Ask),
        ("write(.)", write("three"), Allow),
        ("write(.)", write("two"), Ask),
        ("ALL", write("two"), Ask),
        ("write(two)", write("two"), Allow),
        ("", read("two"), Allow),
        ("ALLwrite(../../managed/x)", write("../../managed/x"), Ask),
        ("ALL", read("../../managed/x"), Allow),
    ];
    for (allow, request, expected) in table {
        let mut rules = rule_set(allow, "");
        rules.guard = Guard::new(Vec::new(), Some(top.join("managed")));
        rules.guard.home = Some(home.clone());
        let decision = decide(&request, &rules, &project);
        assert_eq!(
            answer(&decision),
            expected,
            "[{allow}] {request:?}: {decision:?}"
        );
    }

    // A search of everything leaves out what a request for it alone would be asked about.
    let mut rules = rule_set("", "read(src/private) ; read(/nowhere)");
    rules.guard.home = Some(home.clone());
    let held = withheld(&read(".."), &rules, &project);
    assert_eq!(held.paths, [home.join(".ssh"), project.join("src/private")]);
    assert!(held.names.contains(&".npmrc"));
    assert_eq!(
        withheld(&read("src"), &rules, &project).paths,
        [project.join("src/private")]
    );
}

#[test]
fn a_rule_of_a_repository_moves_with_it() {
    let table = [
        ("write(/repo/src/a)", "write(src/a)", "write(/copy/src/a)"),
        ("read(/repo)", "read(.)", "read(/copy/.)"),
        ("write(/other/a)", "write(/other/a)", "write(/other/a)"),
        ("write(~/a)", "write(~/a)", "write(~/a)"),
        ("shell(ls)", "shell(ls)", "shell(ls)"),
    ];
    for (made, kept, used) in table {
        let rule: Rule = made.parse().unwrap();
        let relative = rule.relative_to(Path::new("/repo"));
        assert_eq!(relative.to_string(), kept);
        assert_eq!(relative.below(Path::new("/copy")).to_string(), used);
    }
}

#[test]
fn names_that_deceive_are_written_out() {
    assert_eq!(write("a\nb").subject(), "a\\nb");
    assert_eq!(read("exe\u{202e}txt.sh").subject(), "exe\\u{202e}txt.sh");
}

#[test]
fn tools_are_matched_by_server_and_name() {
    check(
        tool,
        &[
            ("", "", "memory", Ask),
            ("memory", "", "memory", Allow),
            ("memory", "", "memory(store)", Allow),
            ("memory(store)", "", "memory(store)", Allow),
            ("memory(store)", "", "memory(drop)", Ask),
            ("memory(store)", "", "memory", Ask),
            ("store", "", "memory(store)", Ask),
            ("shell", "", "shell", Ask),
            ("Memory", "", "memory", Ask),
            ("ALL", "Memory", "memory(store)", Deny),
            ("memory", "memory(drop)", "memory(drop)", Deny),
            ("ALL", "", "anything", Allow),
        ],
    );
}

#[cfg(unix)]
#[test]
fn paths_are_matched_by_where_they_lead() {
    use std::os::unix::fs::symlink;

    let scratch = tempfile::tempdir().unwrap();
    let top = scratch.path().canonicalize().unwrap();
    let project = top.join("project");
    std::fs::create_dir_all(project.join("src/deep")).unwrap();
    std::fs::create_dir_all(top.join("other/deep")).unwrap();
    std::fs::write(project.join("src/main.rs"), "").unwrap();
    symlink(top.join("other"), project.join("leads-out")).unwrap();
    symlink(top.join("other/new"), project.join("dangling")).unwrap();
    symlink("src", project.join("leads-in")).unwrap();
    symlink(top.join("other/deep"), project.join("far")).unwrap();
    symlink("loop", project.join("loop")).unwrap();

    check_in(
        &project,
        read,
        &[
            ("", "", "src/main.rs", Allow),
            ("", "", ".", Allow),
            ("", "", "not/yet", Allow),
            ("", "", "leads-in/main.rs", Allow),
            ("", "", "../other/x", Ask),
            ("", "", "src/../../other/x", Ask),
            ("", "", "leads-out/x", Ask),
            ("", "", "dangling", Ask),
            ("", "", "far/../main.rs", Ask),
            ("", "", "loop", Ask),
            ("", "", "/etc/passwd", Ask),
            ("", "", "~/x", Ask),
            ("read(../other)", "", "leads-out/x", Allow),
            ("read(leads-out)", "", "../other/x", Allow),
            ("read(../other)", "", "../otherwise", Ask),
            ("read", "", "/etc/passwd", Allow),
            ("read", "", "loop", Ask),
            ("write", "", "/etc/passwd", Ask),
            ("ALL", "", "/etc/passwd", Allow),
            ("", "read(src)", "src/main.rs", Deny),
            ("ALL", "read(../other)", "leads-out/deep/x", Deny),
            ("ALL", "read(src)", "loop", Ask),
            ("ALL", "write(src)", "src/main.rs", Allow),
        ],
    );
    check_in(
        &project,
        write,
        &[
            ("", "", "src/main.rs", Ask),
            ("write", "", "src/main.rs", Allow),
            ("write(src)", "", "src/main.rs", Allow),
            ("write(src)", "", "src/new/file.rs", Allow),
            ("write(src/main.rs)", "", "src/main.rs", Allow),
            ("write(src/main.rs)", "", "src/main.rs.bak", Ask),
            ("write(src)", "", "src/../build.rs", Ask),
            ("write(.)", "", "build.rs", Allow),
            ("write(.)", "", "leads-out/x", Ask),
            ("write(.)", "", "dangling", Ask),
            ("write(.)", "", "far/../x", Ask),
            ("write(leads-in)", "", "src/main.rs", Allow),
            ("read(src)", "", "src/main.rs", Ask),
            ("write(~/x)", "", "~/x/y", Ask),
            ("ALL", "write(src)", "leads-in/main.rs", Deny),
            ("ALL", "write(leads-in)", "src/main.rs", Deny),
            ("ALL", "write(src)", "./src//deep/../main.rs", Deny),
            ("write", "write(../other)", "dangling", Deny),
            ("ALL", "write(src)", "build.rs", Allow),
        ],
    );

    // Our own folders, by any way that leads there.
    symlink(top.join("own"), project.join("sneaky")).unwrap();
    std::fs::create_dir_all(top.join("own/config")).unwrap();
    let mut rules = rule_set("ALLshell ; write ; read", "");
    rules.guard = Guard::new(vec![top.join("own")], None);
    let own = top.join("own/config/settings.json").display().to_string();
    for (request, expected) in [
        (write(&own), Ask),
        (read(&own), Ask),
        (write("../own/x"), Ask),
        (write("sneaky/config/settings.json"), Ask),
        (read("sneaky/config"), Ask),
        (write(".."), Ask),
        (read("src"), Allow),
        (write("src/main.rs"), Allow),
        (shell(&format!("cat {own}")), Ask),
        (shell("cat ../own/config/settings.json"), Ask),
        (shell("tool --file=../own/x"), Ask),
        (shell("cat ../owner"), Allow),
    ] {
        assert_eq!(
            answer(&decide(&request, &rules, &project)),
            expected,
            "{request:?}"
        );
    }
}

#[test]
fn rules_are_read_and_written() {
    let table = [
        ("shell", "shell"),
        ("  shell(git   push)  ", "shell(git push)"),
        ("shell(git:*)", "shell(git:*)"),
        ("shell(npm run:*)", "shell(npm run:*)"),
        ("shell(git commit -m \"a b\")", "shell(git commit -m 'a b')"),
        ("shell(echo ')')", "shell(echo ')')"),
        ("write(src/a (copy).txt)", "write(src/a (copy).txt)"),
        ("read(~/notes)", "read(~/notes)"),
        ("url(HTTPS://Example.COM)", "url(https://example.com)"),
        ("url(*.example.com:8080)", "url(*.example.com:8080)"),
        ("server(tool)", "server(tool)"),
        ("web-search", "web-search"),
    ];
    for (text, written) in table {
        let rule: Rule = text.parse().unwrap();
        assert_eq!(rule.to_string(), written);
    }
}

#[test]
fn a_bad_rule_is_explained() {
    let table = [
        ("", "has no name"),
        ("(x)", "has no name"),
        ("shell(", "closing bracket"),
        ("shell(git", "closing bracket"),
        ("shell()", "`shell` alone covers all"),
        ("shell(git | sh)", "has a pipe"),
        ("shell(*)", "has a pattern"),
        ("shell(:*)", "no program"),
        ("Shell(git push)", "lower case (`shell`)"),
        ("write(src/**)", "a folder covers everything in it"),
        ("read(~root/x)", "home folder"),
        ("url(example.com/path)", "has a path"),
        ("url(u@example.com)", "has a user name"),
        ("url(ftp://example.com)", "http or https"),
        ("url(a.*.com)", "not the first part"),
        ("url(example.com:x)", "port"),
        ("url(*.1.2.3.4)", "before an address"),
        ("a tool", "not the name of a tool"),
        ("server(*)", "not the name of a tool"),
        ("write(a\nb)", "control character"),
    ];
    for (text, problem) in table {
        let error = text.parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
        assert!(
            error.contains("shell(git:*)"),
            "the accepted forms are shown: {error}"
        );
    }
}

#[test]
fn reasons_name_the_rule_and_where_it_is_from() {
    let set = rule_set("shell(git:*)", "shell(git push)");
    let folder = Path::new("/nowhere");
    let table = [
        (
            "git push",
            "the rule `shell(git push)` in /etc/settings.json denies this command",
        ),
        (
            "git log",
            "the rule `shell(git:*)` given at the start of the session allows this command",
        ),
        ("rm x", "no rule allows this command"),
        ("rm x | wc", "no rule allows its part `rm x`"),
    ];
    for (command, expected) in table {
        let (Decision::Allow { why } | Decision::Deny { why } | Decision::Ask { why }) =
            decide(&shell(command), &set, folder);
        assert_eq!(why, expected);
    }
}

#[test]
fn the_rest_of_the_session_is_offered_where_a_rule_can_help() {
    let folder = Path::new("/nowhere/project");
    let table = [
        (
            shell("git status"),
            Some("Yes, and allow `git status` for this session"),
        ),
        (
            shell("git commit -m 'a b'"),
            Some("Yes, and allow `git commit -m 'a b'` for this session"),
        ),
        (
            shell("git status | cat"),
            Some("Yes, and allow `git status` for this session"),
        ),
        (
            shell("make && git push"),
            Some("Yes, and allow `make` and `git push` for this session"),
        ),
        (shell("git push $WHERE"), None),
        (shell("make `date`"), None),
        (shell("copilot answer"), None),
        (
            write("src/x"),
            Some("Yes, and allow writing `src/x` for this session"),
        ),
        (write("pages/[id]*.tsx"), None),
        (
            read("/etc/hosts"),
            Some("Yes, and allow reading `/etc/hosts` for this session"),
        ),
        (
            url("https://example.com/a"),
            Some("Yes, and allow everything at `example.com` for this session"),
        ),
        (
            url("http://example.com:81/a"),
            Some("Yes, and allow everything at `http://example.com:81` for this session"),
        ),
        (url("https://u@example.com/a"), None),
        (
            tool("memory(store)"),
            Some("Yes, and allow the tool `memory(store)` for this session"),
        ),
        (tool("shell"), None),
        (tool("shell(git push)"), None),
        (tool("two words"), None),
    ];
    for (request, expected) in table {
        let rules = lasting_rules(&request, &RuleSet::default(), folder);
        let label = (!rules.is_empty()).then(|| label_for(&rules, folder));
        assert_eq!(label.as_deref(), expected, "{request:?}");
    }
    // An unread command is asked every time while something is denied.
    let denying = rule_set("", "shell(git status)");
    assert_eq!(
        lasting_rules(&shell("git status"), &denying, folder),
        Vec::new()
    );
}
