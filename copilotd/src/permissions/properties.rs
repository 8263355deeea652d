//! What holds for every rule and every request.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::words::split;
use super::{AllowAll, Decision, Request, Rule, RuleSet, Source, decide, lasting_rules};

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("git".to_owned()),
        Just("push".to_owned()),
        "[a-z]{1,6}",
        "-[a-z]",
        "[ -~]{1,8}",
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let commands = prop::collection::vec("[a-z.-]{1,5}|'[ -&(-~]{1,6}'", 1..4);
    let inside = prop_oneof![
        Just("shell".to_owned()),
        Just("write".to_owned()),
        Just("read".to_owned()),
        Just("url".to_owned()),
        commands
            .clone()
            .prop_map(|words| format!("shell({})", words.join(" "))),
        commands.prop_map(|words| format!("shell({}:*)", words.join(" "))),
        "write\\([ -)+->@-~]{1,12}\\)",
        "read\\((~/)?[a-zäö/.() ]{1,12}\\)",
        "url\\((https?://)?(\\*\\.)?[a-z]{1,5}\\.[a-z]{2,4}(:[1-9][0-9]{0,3})?\\)",
        "[a-z_-]{1,8}(\\([a-z_/]{1,8}\\))?",
    ];
    inside.prop_filter_map("not a rule", |text| text.parse().ok())
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        prop::collection::vec(word(), 0..5).prop_map(|words| Request::Shell {
            command: words.join(" ")
        }),
        any::<String>().prop_map(|command| Request::Shell { command }),
        "[a-z/.~]{0,12}".prop_map(|path| Request::Write {
            path: PathBuf::from(path)
        }),
        "[a-z/.~]{0,12}".prop_map(|path| Request::Read {
            path: PathBuf::from(path)
        }),
        "(https?://)?[a-z@:.]{1,10}(/.*)?".prop_map(|url| Request::Url {
            url,
            addresses: Vec::new()
        }),
        "[a-z]{1,6}(\\([a-z]{1,4}\\))?".prop_map(|name| Request::Tool { name }),
    ]
}

fn sourced(rules: Vec<Rule>) -> Vec<(Rule, Source)> {
    rules.into_iter().map(|rule| (rule, Source::Flag)).collect()
}

fn folder() -> &'static Path {
    Path::new("/nowhere/project")
}

/// Asks a real bash, once, how it splits many lines that `split` calls plain.
#[cfg(unix)]
#[test]
fn bash_sees_the_same_words() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use std::process::Command;

    let mut runner = TestRunner::deterministic();
    let text = "[ab =:~_@%+,./'\"$!#^*?\\[\\]{}()<>;&|\\\\-]{1,10}";
    let mut expected = String::new();
    let mut script = String::from("set +o history; show() { printf '<%s>' \"$@\"; echo; }\n");
    for _ in 0..20_000 {
        let line = text.new_tree(&mut runner).unwrap().current();
        if let Ok(words) = split(&line) {
            script.push_str(&format!("show {line}\n"));
            expected.extend(words.iter().map(|word| format!("<{word}>")));
            expected.push('\n');
        }
    }
    assert!(
        expected.lines().count() > 500,
        "too few plain lines to say anything"
    );
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("script");
    std::fs::write(&file, script).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("--norc").arg(file).current_dir(scratch.path());
    match bash.output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), expected),
        Err(error) => eprintln!("no bash to compare with: {error}"),
    }
}

proptest! {
    #[test]
    fn a_rule_reads_back_as_itself(rule in rule()) {
        prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
    }

    #[test]
    fn no_text_breaks_the_parsers(text in any::<String>()) {
        let _ = text.parse::<Rule>();
        let _ = split(&text);
        let shell = Request::Shell { command: text.clone() };
        let url = Request::Url { url: text, addresses: Vec::new() };
        let _ = decide(&shell, &RuleSet::default(), folder());
        let _ = decide(&url, &RuleSet::default(), folder());
    }

    #[test]
    fn deny_beats_allow(
        request in request(),
        allow in prop::collection::vec(rule(), 0..4),
        deny in prop::collection::vec(rule(), 1..4),
        allow_all in any::<bool>(),
    ) {
        let denied = deny.iter().any(|rule| rule.matches_deny(&request, folder()));
        let rules = RuleSet { allow: sourced(allow), deny: sourced(deny), allow_all: if allow_all { AllowAll::EVERYTHING } else { AllowAll::default() }, ..RuleSet::default() };
        let decision = decide(&request, &rules, folder());
        // A command that opens files may be denied for those as well.
        prop_assert!(!denied || matches!(decision, Decision::Deny { .. }), "{:?}", decision);
    }

    #[test]
    fn what_allows_also_denies(request in request(), rule in rule()) {
        if rule.matches_allow(&request, folder()) {
            prop_assert!(rule.matches_deny(&request, folder()));
        }
    }

    #[test]
    fn lasting_rules_allow_what_they_were_made_for(request in request()) {
        let mut rules = RuleSet::default();
        let lasting = lasting_rules(&request, &rules, folder());
        if !lasting.is_empty() {
            rules.allow.extend(lasting.into_iter().map(|rule| (rule, Source::Session)));
            let decision = decide(&request, &rules, folder());
            prop_assert!(matches!(decision, Decision::Allow { .. }), "{:?}", decision);
        }
    }

    #[test]
    fn plain_words_are_what_a_shell_sees(words in prop::collection::vec("[ -~]{0,8}", 1..4)) {
        let command = words.iter().map(|word| super::words::quote(word)).collect::<Vec<_>>().join(" ");
        if let Ok(split) = split(&command) {
            prop_assert_eq!(split, words);
        }
    }
}
