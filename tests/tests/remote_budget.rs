//! What a paired device gets of a session that has more than it may have: the newest of it, with a
//! note, while the machine has everything.

use ahp_types::state::TurnState;
use copilot_tests::attached::{Attached, spoken, text_that_begins};
use copilot_tests::remote::Relay;
use copilot_tests::scene::start_shared;
use copilot_tests::{Home, Remote, Scenario, peak_memory_bytes, say, tool};
use serde_json::json;

const MEBIBYTE: u64 = 1024 * 1024;
/// What the daemon may have in memory, whatever a command prints.
const MEMORY_BYTES: u64 = 64 * MEBIBYTE;
/// What a device gets of a session by default.
const LIMIT_BYTES: u64 = 60 * MEBIBYTE;
/// One read of a content.
const READ_BYTES: u64 = 8 * MEBIBYTE;

#[test]
fn a_device_stays_usable_when_a_command_prints_more_than_it_may_have() {
    prints_beside_a_device(80);
}

#[test]
#[ignore = "long: 200 MiB"]
fn a_device_stays_usable_when_a_command_prints_200_mib() {
    prints_beside_a_device(200);
}

fn prints_beside_a_device(mebibytes: u64) {
    let command = format!("yes | head -c {mebibytes}M");
    let input = json!({"command": command, "timeout_ms": 600_000});
    let home = Home::new(
        Scenario::new()
            .on("hello", [say("Hello.")])
            .on("flood", [tool("shell", input), say("Printed.")]),
    );
    start_shared(&home);
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let mut local = Attached::create(&home, "terminal", json!({"allowAllTools": true}));
    let device = person.pair("phone");
    let mut phone = Attached::subscribe(device.client(), local.id());

    let turn = phone.prompt("flood the session");
    local.trust_folder();
    let ended = phone.wait_for_long_end(&turn);
    assert_eq!(ended.state, TurnState::Complete, "{ended:?}");
    assert_eq!(spoken(&ended.response_parts), "Printed.");

    // Usable: it prompts, and sees what comes of it.
    let next = phone.prompt("hello");
    assert_eq!(spoken(&phone.wait_for_end(&next).response_parts), "Hello.");
    let used = peak_memory_bytes(home.daemon());
    assert!(used < MEMORY_BYTES, "{} MiB", used / MEBIBYTE);

    // Whoever comes anew is told that something is left out, and gets the rest.
    let mut client = device.client();
    let chat = client
        .request("subscribe", json!({"channel": phone.chat_channel()}))
        .expect("the chat")["snapshot"]["state"]
        .clone();
    let note = &chat["_meta"]["copilot.leftOut"];
    assert_eq!(note["limitBytes"], json!(LIMIT_BYTES), "{note}");
    assert!(chat.to_string().contains("Hello."), "the newest is there");

    // A device reads the newest bytes of the output and nothing before them; the machine reads all.
    // What else the session holds is far below one read.
    local.wait_for_end(&next);
    let reference =
        text_that_begins(&json!(local.chat().turns), "copilot-output:/").expect("the output");
    let total = mebibytes * MEBIBYTE;
    let cut = total - LIMIT_BYTES;
    let channel = local.session_channel();
    let read = |attached: &mut Attached, from: u64| -> Result<u64, String> {
        let uri = format!("{reference}?from={from}&to={}", from + READ_BYTES);
        let params = json!({"channel": channel, "uri": uri});
        let result = attached.client.request("resourceRead", params);
        let result = result.map_err(|error| error.message)?;
        Ok(result["data"].as_str().map_or(0, |text| text.len() as u64))
    };
    assert_eq!(read(&mut local, 0), Ok(READ_BYTES));
    assert_eq!(read(&mut local, total - READ_BYTES), Ok(READ_BYTES));
    assert_eq!(read(&mut phone, cut + READ_BYTES), Ok(READ_BYTES));
    assert_eq!(read(&mut phone, total - READ_BYTES), Ok(READ_BYTES));
    let before = read(&mut phone, cut - READ_BYTES);
    assert!(
        before.as_ref().map_or(true, |bytes| *bytes == 0),
        "{before:?}"
    );
}
