//! The daemon as a service of the person: units, settings.

use copilot_tests::{Home, Scenario, say, tool, until};
use serde_json::json;

#[test]
fn installing_as_a_dry_run_prints_units_that_systemd_accepts_and_writes_nothing() {
    let home = Home::new(Scenario::new());
    let run = home.copilot(&["daemon", "install", "--dry-run"]);
    run.expect_code(0);
    assert!(
        run.stdout.contains("[Service]") && run.stdout.contains("[Socket]"),
        "{run:?}"
    );
    let person = home.root().join("person");
    assert!(
        std::fs::read_dir(&person).unwrap().next().is_none(),
        "nothing was written to the person's home"
    );

    let folder = home.root().join("units");
    std::fs::create_dir(&folder).unwrap();
    let units = units_in(&run.stdout);
    assert_eq!(units.len(), 2, "{run:?}");
    for (name, text) in &units {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut verify = home.command("systemd-analyze", &["--user", "verify"]);
    verify.env("XDG_RUNTIME_DIR", home.root());
    for (name, _) in &units {
        verify.arg(folder.join(name));
    }
    match verify.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        output => {
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
        }
    }
}

/// Name and text of every unit that the dry run printed.
fn units_in(printed: &str) -> Vec<(String, String)> {
    let mut units: Vec<(String, String)> = Vec::new();
    for line in printed.lines() {
        let name = line
            .split(['/', ' ', ':'])
            .find(|word| word.ends_with(".service") || word.ends_with(".socket"));
        match name {
            Some(name) if line.contains('/') && !line.contains('=') => {
                units.push((name.to_owned(), String::new()));
            }
            _ => {
                if let Some((_, text)) = units.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    units.retain(|(_, text)| text.contains('['));
    units
}

#[test]
fn a_changed_setting_takes_effect_without_a_restart_and_a_bad_one_is_named_and_ignored() {
    let home = Home::new(Scenario::new().on(
        "write",
        [
            tool("shell", json!({"command": "touch written"})),
            say("Tried."),
        ],
    ));
    home.start_daemon();
    let before = home.daemons();
    home.copilot(&["-p", "write"]).expect_code(5);

    home.write_settings(
        "{\n  // a rule for every session\n  \"permissions\": {\"allow\": [\"shell(touch:*)\"]}\n}",
    );
    until("the effect of the setting", || {
        (home.copilot(&["-p", "write"]).code == 0).then_some(())
    });

    home.write_settings("{\"permissions\": {\"allow\": [\"shell(\"]}, \"noSuchSetting\": 1}");
    let status = until("the problems in the status", || {
        let status = home.copilot(&["daemon", "status", "--json"]).json();
        (!status["settingsProblems"].as_array()?.is_empty()).then_some(status)
    });
    let problems = status["settingsProblems"].to_string();
    for named in ["permissions", "noSuchSetting"] {
        assert!(problems.contains(named), "{problems}");
    }
    // The rule that worked still does.
    home.copilot(&["-p", "write"]).expect_code(0);

    home.write_settings("{}");
    until("the end of the rule", || {
        (home.copilot(&["-p", "write"]).code == 5).then_some(())
    });
    assert_eq!(home.daemons(), before, "the same daemon all the time");
}
