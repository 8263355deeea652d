//! What takes minutes by nature: `cargo xtask test --long`.

use copilot_tests::attached::Attached;
use copilot_tests::{Home, Scenario, say, tool};
use serde_json::json;

#[test]
#[ignore = "long: a thousand turns"]
fn after_a_thousand_turns_every_client_still_has_the_same_conversation() {
    let home = Home::new(Scenario::new().on(
        "turn",
        [
            say("Beginning. "),
            tool("view", json!({"path": "README.md"})),
            say("Done."),
        ],
    ));
    home.start_daemon();
    let mut leader = Attached::create(&home, "leader", json!({"allowAllTools": true}));
    let turn = leader.prompt("turn 0");
    leader.trust_folder();
    leader.wait_for_end(&turn);
    let mut followers: Vec<_> = (0..3)
        .map(|number| Attached::attach(&home, &format!("follower {number}"), leader.id()))
        .collect();
    for number in 1..1000 {
        let turn = leader.prompt(&format!("turn {number}"));
        leader.wait_for_end(&turn);
        for follower in &mut followers {
            follower.wait_for_end(&turn);
        }
    }
    let whole = serde_json::to_value(&leader.chat().turns).unwrap();
    for follower in &followers {
        assert_eq!(serde_json::to_value(&follower.chat().turns).unwrap(), whole);
    }
}
