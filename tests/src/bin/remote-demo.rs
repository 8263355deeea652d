//! `cargo xtask demo --remote`: a session in a real terminal, and a device
//! without a screen that watches and steers it through a relay. Every step is
//! checked; the first that is off ends the program with what was seen.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::panic)]

use ahp_types::state::TurnState;
use copilot_tests::attached::{Attached, message, spoken};
use copilot_tests::device::Pairing;
use copilot_tests::scene::start_shared;
use copilot_tests::{Home, Remote, Scenario, say, tool, until};
use serde_json::json;

fn step(text: &str) {
    println!("==> {text}");
}

fn scenario() -> Scenario {
    Scenario::new()
        .on(
            "greet",
            [
                tool("shell", json!({"command": "echo Hello > greeting.txt"})),
                tool(
                    "ask_user",
                    json!({"question": "In which colour?", "choices": ["red", "blue"]}),
                ),
                say("The greeting is written."),
            ],
        )
        .on(
            "sign",
            [
                json!({"write_file": "signing"}),
                json!({"wait_for_file": "steered"}),
                tool("view", json!({"path": "greeting.txt"})),
                say("Signed."),
            ],
        )
        .on(
            "wait",
            [
                json!({"write_file": "waiting"}),
                json!({"wait_for_file": "never"}),
                say("This is never said."),
            ],
        )
}

fn main() {
    step("starting the daemon, with remote access for new sessions");
    let home = Home::new(scenario());
    start_shared(&home);

    step("starting a session in a terminal, and trusting its folder there");
    let terminal = home.terminal(&["-i", "greet everybody"]);
    let id = home.only_session();
    let mut local = Attached::attach(&home, "the machine", &id);
    local.trust_folder();

    step("pairing a device through the machine's own relay");
    let person = Remote::of(&home);
    let (pairing, link) = person.begin_pairing(Some(&id));
    let device = Pairing::begin(&link, "phone", &home.root().join("phone"))
        .expect("the link leads to the machine");
    println!("    the device shows {}", device.code());
    println!(
        "    the machine asks for the code of \"{}\"",
        person.wait_for_device(&pairing)
    );
    person.type_code(&pairing, &device.code());
    let (device, session) = device.finish().expect("the device is paired");
    assert_eq!(session.map(|id| id.to_string()).as_deref(), Some(&*id));
    println!(
        "    through {}",
        person
            .status()
            .relay
            .unwrap_or_else(|| device.relay.origin())
    );

    step("the device sees the running session");
    let mut client = device.client();
    let listed = client
        .request("listSessions", json!({"channel": "ahp-root://"}))
        .expect("a list");
    assert!(listed.to_string().contains(&id), "{listed}");
    let mut phone = Attached::subscribe(client, &id);

    step("the device approves a command");
    let (turn, call) = phone.wait_for_permission();
    println!(
        "    {}",
        call.tool_input
            .as_ref()
            .map_or_else(String::new, |input| format!("{input:?}"))
    );
    assert_eq!(phone.confirm(&turn, &call.tool_call_id, "allow-once"), None);

    step("the device answers a question");
    let request = phone.wait_for_input();
    println!("    {}", request.message.as_deref().unwrap_or_default());
    let question = request
        .questions
        .as_ref()
        .and_then(|questions| questions.first())
        .map(|question| serde_json::to_value(question).expect("JSON")["id"].clone())
        .and_then(|id| id.as_str().map(str::to_owned))
        .expect("a question");
    assert_eq!(phone.answer(&request.id, &question, "blue"), None);
    let ended = phone.wait_for_end(&turn);
    assert_eq!(spoken(&ended.response_parts), "The greeting is written.");
    assert!(home.read("greeting.txt").is_some(), "the command ran");

    step("the device sends a prompt, and steers while the agent works");
    let turn = phone.prompt("sign it");
    until("the agent at work", || home.read("signing"));
    let steering = phone.mint("steering");
    assert_eq!(
        phone.dispatch(&json!({
            "type": "chat/pendingMessageSet",
            "kind": "steering",
            "id": steering,
            "message": message("with both names"),
        })),
        None
    );
    home.write("steered", "");
    let ended = phone.wait_for_end(&turn);
    let parts = serde_json::to_string(&ended.response_parts).expect("JSON");
    assert!(parts.contains("with both names"), "{parts}");

    step("the device sends another one, and cancels it");
    let turn = phone.prompt("wait for ever");
    until("the agent at work", || home.read("waiting"));
    assert_eq!(
        phone.dispatch(&json!({"type": "chat/turnCancelled", "turnId": turn, "duration": 0})),
        None
    );
    let ended = phone.wait_for_end(&turn);
    assert_eq!(ended.state, TurnState::Cancelled);

    step("the transcripts of terminal and device agree");
    local.wait_for_end(&turn);
    assert_eq!(phone.chat().turns, local.chat().turns);
    let shown = terminal.wait_for_text("Signed.");
    for turn in &phone.chat().turns {
        println!("    > {}", turn.message.text);
        let words = spoken(&turn.response_parts);
        if !words.is_empty() {
            println!("      {words}");
        }
    }
    assert!(shown.contains("sign it"), "{shown}");
    step("the remote demo is complete");
}
