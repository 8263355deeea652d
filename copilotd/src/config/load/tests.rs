//! Which text gives which settings, as tables.

use super::*;

fn loaded(text: &str) -> Settings {
    let (settings, problems) = load(text, &Settings::default());
    assert_eq!(problems, [], "{text}");
    settings
}

fn previous() -> Settings {
    loaded(
        r#"{
            "model": "old", "agent": "old", "logLevel": "debug",
            "agents": {"mine": {"command": "old", "env": {"KEY": "secret"}}},
            "permissions": {"allow": ["shell(old)"], "deny": ["shell(rm)"]},
            "trustedFolders": ["/old"]
        }"#,
    )
}

#[test]
fn everything_that_can_be_set() {
    let settings = loaded(
        r#"{
            // for every session
            "$schema": "https://example.com/schema.json",
            "model": "gpt-x", /* not // a comment */
            "agent": "mine",
            "agents": {
                "mine": {
                    "command": "my-agent",
                    "args": ["--acp", "http://not-a-comment"],
                    "env": {"MY_KEY": "secret"},
                    "title": "Mine",
                },
                "small": {"command": "/opt/small"},
            },
            "permissions": {"allow": ["shell(git:*)", "write(src)",], "deny": ["shell(git push)"]},
            "trustedFolders": ["/srv/work", "~/projects"],
            "logLevel": "trace",
            "notifications": false,
            "remoteSessions": true,
            "remote": {"requireGithubRepository": false, "githubHosts": ["ghe.example"],
                "maxSessionBytes": 1000, "onResume": "restore", "relay": "https://relay.example"},
        }"#,
    );
    assert_eq!(settings.model.as_deref(), Some("gpt-x"));
    assert_eq!(settings.agent.as_deref(), Some("mine"));
    let mine = &settings.agents["mine"];
    assert_eq!(mine.command, "my-agent");
    assert_eq!(mine.args, ["--acp", "http://not-a-comment"]);
    assert_eq!(mine.env["MY_KEY"], "secret");
    assert_eq!(mine.title.as_deref(), Some("Mine"));
    assert!(
        !format!("{settings:?}").contains("secret"),
        "no secret in Debug"
    );
    assert!(settings.agents["small"].args.is_empty());
    let written = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        written(&settings.permissions.allow),
        ["shell(git:*)", "write(src)"]
    );
    assert_eq!(written(&settings.permissions.deny), ["shell(git push)"]);
    assert_eq!(
        settings.trusted_folders,
        ["/srv/work", "~/projects"].map(PathBuf::from)
    );
    assert_eq!(settings.log_level, LogLevel::Trace);
    assert!(!settings.notifications());
    let remote = settings.remote;
    assert!(remote.sessions && !remote.require_github_repository());
    assert_eq!(remote.github_hosts, ["ghe.example"]);
    assert_eq!(remote.max_session_bytes(), 1000);
    assert_eq!(remote.on_resume, crate::config::OnResume::Restore);
    assert_eq!(remote.relay.as_deref(), Some("https://relay.example"));
}

#[test]
fn what_is_absent_or_null_is_the_default() {
    for text in [
        "{}",
        "\u{feff}{}",
        "// nothing yet\n{ }",
        r#"{"model": null, "agents": null, "permissions": null, "logLevel": null,}"#,
        r#"{"permissions": {}, "agents": {}, "trustedFolders": []}"#,
    ] {
        let (settings, problems) = load(text, &previous());
        assert_eq!(
            (settings, problems),
            (Settings::default(), vec![]),
            "{text}"
        );
    }
}

#[test]
fn a_bad_value_is_named_and_the_previous_one_kept_while_others_apply() {
    let table = [
        (
            "model",
            r#""model": 5"#,
            "`model` must be a text, not a number",
        ),
        ("model", r#""model": " ""#, "`model` must not be empty"),
        (
            "agent",
            r#""agent": []"#,
            "`agent` must be a text, not a list",
        ),
        (
            "logLevel",
            r#""logLevel": "loud""#,
            "`loud` is not a log level; use error, warn",
        ),
        (
            "trustedFolders",
            r#""trustedFolders": "/x""#,
            "must be a list",
        ),
        (
            "trustedFolders",
            r#""trustedFolders": ["x/y"]"#,
            "`x/y`, which begins neither",
        ),
        (
            "trustedFolders",
            r#""trustedFolders": ["~x"]"#,
            "`~x`, which begins neither",
        ),
        (
            "notifications",
            r#""notifications": 1"#,
            "must be true or false, not a number",
        ),
        (
            "remoteSessions",
            r#""remoteSessions": "yes""#,
            "must be true or false, not a text",
        ),
        ("remote", r#""remote": true"#, "`remote` must be an object"),
        (
            "remote.maxSessionBytes",
            r#""remote": {"maxSessionBytes": -1}"#,
            "must be a number of bytes",
        ),
        (
            "remote.onResume",
            r#""remote": {"onResume": true}"#,
            "must be \"off\" or \"restore\"",
        ),
        ("agents", r#""agents": ["x"]"#, "`agents` must be an object"),
        (
            "permissions",
            r#""permissions": true"#,
            "must be an object `{ … }`, not true or",
        ),
        (
            "permissions.allow",
            r#""permissions": {"allow": "x", "deny": ["shell(rm)"]}"#,
            "must be a list",
        ),
        (
            "permissions.allow",
            r#""permissions": {"allow": ["shell(a)", "shell(b"], "deny": ["shell(rm)"]}"#,
            "[1]: the rule `shell(b` does not end with its closing bracket",
        ),
        (
            "permissions.deny",
            r#""permissions": {"allow": ["shell(old)"], "deny": 1}"#,
            "must be a list",
        ),
    ];
    for (key, text, message) in table {
        // The old values, the bad one instead of the one of its key, and another agent.
        let old = [
            ("model", r#""model": "old""#),
            ("agent", r#""agent": "old""#),
            ("logLevel", r#""logLevel": "debug""#),
            (
                "agents",
                r#""agents": {"mine": {"command": "old", "env": {"KEY": "secret"}}}"#,
            ),
            (
                "permissions",
                r#""permissions": {"allow": ["shell(old)"], "deny": ["shell(rm)"]}"#,
            ),
        ];
        let mut parts: Vec<&str> = old
            .iter()
            .filter(|(name, _)| key.split('.').next() != Some(name))
            .map(|(_, part)| *part)
            .collect();
        parts.push(text);
        if key != "trustedFolders" {
            parts.push(r#""trustedFolders": ["/new"]"#);
        }
        let (settings, problems) = load(&format!("{{{}}}", parts.join(", ")), &previous());
        let mut expected = previous();
        if key != "trustedFolders" {
            expected.trusted_folders = vec![PathBuf::from("/new")];
        }
        assert_eq!(settings, expected, "{text}");
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!(problems[0].key.as_deref(), Some(key), "{text}");
        assert_eq!(problems[0].severity, Severity::Error);
        assert!(
            problems[0].message.contains(message),
            "{text}: {}",
            problems[0]
        );
        assert!(
            problems[0].message.ends_with(KEPT),
            "{text}: {}",
            problems[0]
        );
    }
}

#[test]
fn a_bad_agent_stays_as_it_was_or_is_left_out() {
    let table = [
        (
            r#"{"mine": {"args": []}}"#,
            "agents.mine.command",
            "is missing; the agent stays",
        ),
        (
            r#"{"mine": {"command": 1}}"#,
            "agents.mine.command",
            "must be a text",
        ),
        (
            r#"{"mine": {"command": "x", "args": [1]}}"#,
            "agents.mine.args",
            "has a number in it",
        ),
        (
            r#"{"mine": {"command": "x", "env": {"A=B": ""}}}"#,
            "agents.mine.env",
            "has `=` in it",
        ),
        (
            r#"{"mine": {"command": "x", "env": {"A": 1}}}"#,
            "agents.mine.env",
            "for `A` that is not",
        ),
        (
            r#"{"mine": {"command": "x", "title": ""}}"#,
            "agents.mine.title",
            "must not be empty",
        ),
        (
            r#"{"mine": 7}"#,
            "agents.mine",
            "must be an object, not a number",
        ),
    ];
    for (agents, key, message) in table {
        let (settings, problems) = load(&format!(r#"{{"agents": {agents}}}"#), &previous());
        assert_eq!(settings.agents, previous().agents, "{agents}");
        assert_eq!(problems.len(), 1, "{agents}: {problems:?}");
        assert_eq!(problems[0].key.as_deref(), Some(key));
        assert!(problems[0].message.contains(message), "{}", problems[0]);
    }
    let text = r#"{"agents": {"new": {}, "good": {"command": "x"}}}"#;
    let (settings, problems) = load(text, &previous());
    assert_eq!(settings.agents.keys().collect::<Vec<_>>(), ["good"]);
    assert!(
        problems[0].message.ends_with("the agent is left out"),
        "{}",
        problems[0]
    );
}

#[test]
fn a_mistake_never_weakens_the_deny_rules() {
    let text = r#"{"permissions": {"deny": ["shell(new)", "shell(rm -rf", "url(x/y)"]}}"#;
    let (settings, problems) = load(text, &previous());
    let rules: Vec<String> = settings
        .permissions
        .deny
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(rules, ["shell(new)", "shell(rm)"]);
    assert_eq!(problems.len(), 2);
    assert!(
        problems[0]
            .message
            .starts_with("`permissions.deny` [1]: the rule"),
        "{}",
        problems[0]
    );
    let (settings, problems) = load(r#"{"permissions": {"deny": []}}"#, &previous());
    assert_eq!(
        (settings.permissions.deny, problems),
        (vec![], vec![]),
        "meant is meant"
    );
}

#[test]
fn unknown_keys_are_reported_and_harm_nothing() {
    let text = r#"{
        "logLevel": "warn", "loglevel": "error", "permissions": {"alow": []},
        "agents": {"a": {"command": "x", "cwd": "/"}}
    }"#;
    let (settings, problems) = load(text, &Settings::default());
    assert_eq!(settings.log_level, LogLevel::Warn);
    assert_eq!(settings.agents["a"].command, "x");
    let keys: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.key.as_deref())
        .collect();
    assert_eq!(keys, ["agents.a.cwd", "permissions.alow", "loglevel"]);
    assert!(
        problems
            .iter()
            .all(|problem| problem.severity == Severity::Warning)
    );
    assert!(
        problems[2].message.contains("there are model, agent"),
        "{}",
        problems[2]
    );
}

#[test]
fn a_broken_file_changes_nothing_and_says_where() {
    let table = [
        ("", (1, 1), "the file is empty"),
        (" // only a comment\n", (1, 1), "the file is empty"),
        (
            "{\n  \"model\": \"a\"\n  \"agent\": \"b\"\n}",
            (3, 3),
            "expected `,` or `}`",
        ),
        ("{\n  \"model\": \"a", (2, 13), "EOF while parsing a string"),
        ("{\n  \"model\": tru\n}", (3, 1), "expected ident"),
        ("{\n  /x\n}", (2, 3), "a `/` that begins no comment"),
        ("{}\n/* open", (2, 8), "a comment that is not closed"),
        ("{ /* open", (1, 9), "EOF while parsing an object"),
        ("{ # hash\n}", (1, 3), "key must be a string"),
        ("{\"a\": [,]}", (1, 8), "expected value"),
        ("{} {}", (1, 4), "trailing characters"),
    ];
    for (text, position, message) in table {
        let (settings, problems) = load(text, &previous());
        assert_eq!(settings, previous(), "{text}");
        assert_eq!(problems.len(), 1, "{text}");
        assert!(
            problems[0].message.contains(message),
            "{text}: {}",
            problems[0]
        );
        assert!(
            problems[0].message.ends_with(KEPT_ALL),
            "{text}: {}",
            problems[0]
        );
        assert_eq!(
            problems[0].position,
            Some(position),
            "{text}: {}",
            problems[0]
        );
    }
    let (_, problems) = load("[]", &previous());
    assert!(
        problems[0].message.contains("not an object"),
        "{}",
        problems[0]
    );
    let (_, problems) = load(&"[".repeat(100_000), &previous());
    assert!(
        problems[0].message.contains("recursion limit"),
        "{}",
        problems[0]
    );
}

#[test]
fn no_message_contains_a_variable_of_an_agent() {
    for text in [
        r#"{"agents": {"a": {"command": "x", "env": "secret"}}}"#,
        r#"{"agents": {"a": {"command": "x", "env": {"A": ["secret"]}}}}"#,
        r#"{"agents": {"a": {"command": 1, "env": {"A": "secret"}}}}"#,
        r#"{"agents": {"a": {"command": "x", "env": {"A": "secret" "#,
    ] {
        let (_, problems) = load(text, &Settings::default());
        assert!(!problems.is_empty(), "{text}");
        assert!(!format!("{problems:?}").contains("secret"), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_it(text in "[\\[\\]{}:,\"/*\\\\a \n]{0,40}") {
        let _ = load(&text, &Settings::default());
    }

    #[test]
    fn strict_json_means_the_same_without_its_commas(text in "[\\[\\]{}:,\"/*\\\\a1 \n]{0,20}") {
        if let Ok(strict) = serde_json::from_str::<Value>(&text) {
            proptest::prop_assert_eq!(parse(&text).ok(), Some(strict));
        }
    }
}
