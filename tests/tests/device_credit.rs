//! A device that takes nothing is cut off, and costs little until then; the others notice nothing.

use copilot_tests::attached::{Attached, text_that_begins};
use copilot_tests::scene::start_shared;
use copilot_tests::{Home, Relay, Remote, Scenario, peak_memory_bytes, say, tool};
use link_proto::control::{CloseReason, ToDevice};
use serde_json::json;

const MEBIBYTE: u64 = 1024 * 1024;
/// What a device may cost that asks for much and takes nothing: what waits for it, what is on its way
/// to it, and what is being made.
const MEMORY_BYTES: u64 = 24 * MEBIBYTE;

fn home(scenario: Scenario) -> Home {
    let home = Home::new(scenario);
    start_shared(&home);
    home
}

#[test]
fn a_device_that_gives_no_credit_is_cut_off_when_too_much_waits_for_it() {
    let much = (0..150).map(|number| say(&format!("{number} {}", "x".repeat(100_000))));
    let home = home(Scenario::new().on("count", much));
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let mut terminal = Attached::create(&home, "a terminal", json!({}));
    let phone = person.pair("phone");
    let mut deaf = Attached::subscribe(phone.client(), terminal.id());
    let turn = terminal.prompt("count");
    terminal.trust_folder();
    // It hears what the relay says and works off nothing of what the machine does.
    let socket = deaf.client.channel().socket();
    let reason = socket.wait_for(|said| match said {
        ToDevice::ChannelClosed { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, Ok(CloseReason::Done));
    // It is welcome when it comes again, and finds everything.
    let mut again = Attached::subscribe(phone.client(), terminal.id());
    again.wait_for_end(&turn);
    let mut local = Attached::attach(&home, "another", terminal.id());
    local.wait_for_end(&turn);
    assert_eq!(again.chat().turns, local.chat().turns);
}

#[test]
fn what_a_device_asks_for_waits_while_it_does_not_take_the_answers() {
    let input = json!({"command": "yes | head -c 1M"});
    let home = home(Scenario::new().on("print", [tool("shell", input), say("Printed.")]));
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let mut terminal = Attached::create(&home, "a terminal", json!({"allowAllTools": true}));
    let turn = terminal.prompt("print");
    terminal.trust_folder();
    terminal.wait_for_end(&turn);
    let output = text_that_begins(&json!(terminal.chat().turns), "copilot-output:/");
    let output = output.expect("the output");
    let phone = person.pair("phone");
    let mut greedy = Attached::subscribe(phone.client(), terminal.id());
    let channel = greedy.session_channel();
    let before = peak_memory_bytes(home.daemon());

    // Far more than may wait for a device, all of it asked for before the first answer is looked at.
    let ids = 1000..1040;
    for id in ids.clone() {
        let params = json!({"channel": channel, "uri": output});
        let request = json!({
            "jsonrpc": "2.0", "id": id, "method": "resourceRead", "params": params,
        });
        greedy.client.send(&request).unwrap();
    }
    for id in ids {
        let answer = greedy
            .client
            .wait_for("an answer", |message| message["id"] == json!(id));
        let read = answer["result"]["data"].as_str().map(str::len);
        assert_eq!(read, Some(1024 * 1024), "{}", answer["error"]);
    }
    let used = peak_memory_bytes(home.daemon()).saturating_sub(before);
    assert!(used < MEMORY_BYTES, "{} MiB", used / MEBIBYTE);
}
