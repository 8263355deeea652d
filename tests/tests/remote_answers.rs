//! Devices and a terminal answer at once; one answer counts, and everybody learns whose.

use std::sync::{Arc, Barrier};

use copilot_tests::attached::{Attached, confirmed};
use copilot_tests::{Home, Relay, Remote, Scenario, say, tool};
use serde_json::json;

#[test]
fn two_devices_and_a_terminal_that_answer_at_once_a_hundred_times_have_one_winner_whom_all_know() {
    const ROUNDS: usize = 100;
    let home = Home::new(Scenario::new().on(
        "round",
        [
            tool("shell", json!({"command": "touch round"})),
            say("Done."),
        ],
    ));
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    home.start_daemon();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let mut leader = Attached::create(&home, "leader", json!({"remote": true}));
    leader.prompt("round 0");
    leader.trust_folder();

    let id = leader.id().to_owned();
    let screens = [
        Attached::subscribe(person.pair("phone").client(), &id),
        Attached::subscribe(person.pair("tablet").client(), &id),
        Attached::attach(&home, "terminal", &id),
    ];
    let names = ["phone", "tablet", "terminal"];
    let start = Arc::new(Barrier::new(screens.len() + 1));
    let clients: Vec<_> = screens
        .into_iter()
        .enumerate()
        .map(|(number, mut screen)| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                let mut rounds = Vec::new();
                for _ in 0..ROUNDS {
                    let (turn, call) = screen.wait_for_permission();
                    let call = call.tool_call_id;
                    // Everyone has seen the request before anyone answers it.
                    start.wait();
                    let option = ["allow-once", "deny", "allow-once"][number];
                    let rejected = screen.dispatch(&confirmed(&turn, &call, option));
                    screen.wait_for_end(&turn);
                    // Who it was is in the state that everybody has.
                    let answer = screen.wait("who answered", |session, _| {
                        let meta = session.meta.as_ref()?;
                        meta.get("copilot.answers")?.get(&call).cloned()
                    });
                    rounds.push((rejected, answer));
                    // The leader starts the next round when all have seen the end.
                    start.wait();
                }
                rounds
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        start.wait();
        start.wait();
        if round < ROUNDS {
            leader.prompt(&format!("round {round}"));
        }
    }
    let rounds: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("no client fails"))
        .collect();
    for round in 0..ROUNDS {
        let winners: Vec<_> = (0..names.len())
            .filter(|client| rounds[*client][round].0.is_none())
            .map(|client| names[client])
            .collect();
        let &[winner] = winners.as_slice() else {
            panic!("winners of round {round}: {winners:?}");
        };
        for client in &rounds {
            let (rejected, answer) = &client[round];
            assert_eq!(answer["by"]["name"], json!(winner), "round {round}");
            if let Some(reason) = rejected {
                let told = format!("already answered by {winner}");
                assert!(reason.contains(&told), "round {round}: {reason}");
            }
        }
    }
}
