//! What a phone types into a message is carried out where the session is, and everybody sees it.

use copilot_tests::attached::{notices, spoken, turn_started};
use copilot_tests::scene::terminal_and_phone;
use copilot_tests::{Home, Scenario, say};
use serde_json::{Value, json};

fn notice(kind: &str, words: &str) -> Vec<(String, String)> {
    vec![(kind.to_owned(), words.to_owned())]
}

#[test]
fn a_device_is_offered_commands_and_what_it_commands_takes_effect_on_every_screen() {
    let parser = say("First I would read the old one.");
    let home = Home::new(Scenario::new().on("a new parser", [parser]));
    let (_relay, mut terminal, mut phone) = terminal_and_phone(&home);

    let typed = json!({"channel": phone.chat_channel(), "kind": "userMessage",
        "text": "/pl", "offset": 3});
    let offered = phone.client.request("completions", typed).unwrap();
    let offered = offered["items"].as_array().unwrap();
    let inserted: Vec<&Value> = offered.iter().map(|item| &item["insertText"]).collect();
    assert_eq!(inserted, ["/plan "]);

    let turn = phone.prompt("/rename The parser");
    let ended = phone.wait_for_end(&turn);
    let said = notices(&ended.response_parts);
    assert_eq!(
        said,
        notice("renamed", "phone named the session The parser")
    );
    let turn = phone.prompt("/plan a new parser");
    terminal.trust_folder();
    let ended = terminal.wait_for_end(&turn);
    let said = notices(&ended.response_parts);
    assert_eq!(said, notice("mode", "phone switched to plan mode."));
    let answer = spoken(&ended.response_parts);
    assert_eq!(answer, "First I would read the old one.");
    let turn = phone.prompt("/mode interactive");
    for screen in [&mut terminal, &mut phone] {
        screen.wait_for_end(&turn);
        screen.wait_for_mode("interactive");
        assert_eq!(screen.session().title, "The parser");
    }
    assert_eq!(phone.chat().turns, terminal.chat().turns);

    for (text, why) in [
        ("/undo", "/undo works only at the machine itself"),
        ("/remote off", "/remote works only at the machine itself"),
        (
            "/mode fast",
            "`fast` is not a mode; use interactive, plan or autopilot",
        ),
    ] {
        let rejected = phone.dispatch(&turn_started("refused", text));
        assert_eq!(rejected.as_deref(), Some(why));
    }
    let records = home.copilot(&["audit", "--session", terminal.id(), "--json"]);
    let records = records.json_lines();
    let mut switches = records.iter().filter(|r| r["event"] == "config-changed");
    let first = switches.next().expect("the switch is in the audit");
    assert_eq!(first["config"], json!({"mode": "plan"}));
    assert_eq!(first["by"]["name"], "phone");
    assert_eq!(first["by"]["trust"], "remote");
}
