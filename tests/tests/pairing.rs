//! A device is paired by somebody at the machine who types its code, and is let in until it is revoked.

use std::time::{Duration, Instant};

use copilot_tests::attached::Attached;
use copilot_tests::device::{Device, NotPaired, Pairing};
use copilot_tests::{Home, Relay, Remote, Scenario, say, until};
use ipc_proto::control::{ControlReply, ControlRequest, PairingProgress};
use link_proto::channel::RefusalReason;
use link_proto::keys::{PairingSecret, PrivateKey};
use link_proto::links::Link;
use serde_json::{Value, json};

const SETTINGS: &str = r#"{"remote": {"requireGithubRepository": false}}"#;

fn home() -> Home {
    let home = Home::new(Scenario::new().on("hello", [say("Hello from the machine.")]));
    home.write_settings(SETTINGS);
    home.start_daemon();
    home
}

/// A code that is not this one.
pub(super) fn wrong(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

fn refused(
    outcome: Result<(Device, Option<uuid::Uuid>), NotPaired>,
) -> (RefusalReason, String, Option<u8>) {
    match outcome {
        Err(NotPaired::Refused {
            reason,
            message,
            tries_left,
        }) => (reason, message, tries_left),
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn a_paired_device_sees_the_session_that_the_link_was_made_for_and_finds_back_after_its_restart() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let mut terminal = Attached::create(&home, "a terminal", json!({"remote": true}));

    let (pairing, link) = person.begin_pairing(Some(terminal.id()));
    let folder = home.root().join("phone");
    let phone = Pairing::begin(&link, "Ada's\u{7} phone", &folder).unwrap();
    assert_eq!(person.wait_for_device(&pairing), "Ada's phone");
    let reply = person.type_code(&pairing, &phone.code());
    assert!(
        matches!(reply, ControlReply::Pairing(PairingProgress::Paired { .. })),
        "{reply:?}"
    );
    let (phone, session) = phone.finish().unwrap();
    assert_eq!(
        session.map(|id| id.to_string()).as_deref(),
        Some(terminal.id())
    );
    assert_eq!(person.devices()[0].name, "Ada's phone");
    drop(phone);

    // All it has left is its folder.
    let phone = Device::load(&folder);
    let mut screen = Attached::subscribe(phone.client(), terminal.id());
    let turn = terminal.prompt("hello");
    terminal.trust_folder();
    terminal.wait_for_end(&turn);
    screen.wait_for_end(&turn);
    assert_eq!(screen.chat().turns, terminal.chat().turns);
}

#[test]
fn wrong_codes_are_refused_with_words_and_the_third_ends_the_link() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let (pairing, link) = person.begin_pairing(None);
    let folder = home.root().join("phone");
    for left in [2, 1, 0] {
        let phone = Pairing::begin(&link, "phone", &folder).unwrap();
        person.wait_for_device(&pairing);
        let reply = person.type_code(&pairing, &wrong(&phone.code()));
        let (reason, message, tries_left) = refused(phone.finish());
        if left > 0 {
            assert_eq!(
                reply,
                ControlReply::Pairing(PairingProgress::WrongCode { tries_left: left })
            );
            assert_eq!((reason, tries_left), (RefusalReason::WrongCode, Some(left)));
            assert!(message.contains("not the code"), "{message}");
        } else {
            assert!(
                matches!(&reply, ControlReply::Pairing(PairingProgress::Ended { why }) if why.contains("three tries")),
                "{reply:?}"
            );
            assert_eq!(reason, RefusalReason::TooManyTries);
            assert!(message.contains("three tries"), "{message}");
        }
    }
    // A fourth try is refused by the machine, and by the relay once it has heard that the link is over.
    until("the relay knows that the link is over", || {
        let Err(why) = Pairing::begin(&link, "phone", &folder) else {
            panic!("the link still works");
        };
        let by_relay = why.contains("This pairing link is not open");
        let by_machine = why.contains("this link had its three tries; make a new one");
        assert!(by_relay || by_machine, "{why}");
        by_relay.then_some(())
    });
    assert_eq!(person.devices(), []);
}

#[test]
fn who_paired_renamed_and_revoked_is_in_the_audit_and_who_turned_remote_access_on() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let terminal = Attached::create(&home, "a terminal", json!({}));
    let id = terminal.id().to_owned();
    home.copilot(&["remote", "on", &id, "--json"])
        .expect_code(0);
    let (pairing, link) = person.begin_pairing(Some(&id));
    for is_right in [false, true] {
        let phone = Pairing::begin(&link, "phone", &home.root().join("phone")).unwrap();
        person.wait_for_device(&pairing);
        let code = phone.code();
        let typed = if is_right { code } else { wrong(&code) };
        person.type_code(&pairing, &typed);
        assert_eq!(phone.finish().is_ok(), is_right);
    }
    home.copilot(&["devices", "rename", "phone", "tablet"])
        .expect_code(0);
    home.copilot(&["devices", "revoke", "tablet"])
        .expect_code(0);
    let (ended, _) = person.begin_pairing(None);
    person.ask(ControlRequest::EndPairing {
        pairing: ended.clone(),
    });
    home.copilot(&["remote", "off", &id]).expect_code(0);

    let records = home.copilot(&["audit", "--json"]).json_lines();
    let told = |record: &Value| {
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let about = ["name", "reason", "relay"].map(text).concat();
        let about = match record["event"].as_str() {
            Some("config-changed") => record["config"].to_string(),
            Some("pairing-wrong-code") => record["triesLeft"].to_string(),
            _ => about,
        };
        (
            text("event"),
            record["by"]["name"].as_str().unwrap_or_default().to_owned(),
            about,
        )
    };
    let told: Vec<_> = records.iter().map(told).collect();
    let line = |event: &str, by: &str, about: &str| -> (String, String, String) {
        (event.into(), by.into(), about.into())
    };
    assert_eq!(
        told,
        [
            line("relay-joined", "a client", relay.url()),
            line("session-created", "a terminal", ""),
            line("config-changed", "copilot remote", r#"{"remote":true}"#),
            line("pairing-begun", "a client", ""),
            line("pairing-wrong-code", "a client", "2"),
            line("device-paired", "a client", "phone"),
            line("device-renamed", "copilot devices", "tablet"),
            line("device-revoked", "copilot devices", "tablet"),
            line("pairing-begun", "a client", ""),
            line("pairing-ended", "a client", "it was ended"),
            line("config-changed", "copilot remote", r#"{"remote":false}"#),
        ]
    );
    let begun = records.iter().find(|r| r["event"] == "pairing-begun");
    let begun = begun.unwrap();
    assert_eq!(begun["session"], id);
    assert_eq!(begun["pairing"], pairing);
    assert_eq!(begun["by"]["trust"], "local");
    assert_eq!(begun["by"]["pid"], json!(std::process::id()));
    home.copilot(&["audit", "verify"]).expect_code(0);
}

#[test]
fn a_link_works_once() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let (pairing, link) = person.begin_pairing(None);
    let first = Pairing::begin(&link, "first", &home.root().join("first")).unwrap();
    // Somebody photographed the link and was quick.
    let second = Pairing::begin(&link, "second", &home.root().join("second")).unwrap();
    assert_ne!(first.code(), second.code());
    person.wait_for_device(&pairing);
    person.type_code(&pairing, &first.code());
    first.finish().unwrap();
    let (reason, message, _) = refused(second.finish());
    assert_eq!(reason, RefusalReason::Used);
    assert!(message.contains("this link was used already"), "{message}");
    let Err(why) = Pairing::begin(&link, "third", &home.root().join("third")) else {
        panic!("the link still works");
    };
    assert!(
        why.starts_with("This pairing link is not open: it was used, it is too old, or"),
        "{why}"
    );
    let names: Vec<_> = person
        .devices()
        .into_iter()
        .map(|device| device.name)
        .collect();
    assert_eq!(names, ["first"]);
}

#[test]
fn who_knows_the_pairing_but_not_its_secret_gets_nowhere() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let (_, link) = person.begin_pairing(None);
    let Link::Pairing { relay, mut offer } = link.parse().unwrap() else {
        panic!("not a pairing link");
    };
    offer.secret = PairingSecret::generate().unwrap();
    let key = PrivateKey::generate().unwrap();
    let outcome = Pairing::begin_with(relay, offer, key, "thief", &home.root().join("thief"));
    let Err(why) = outcome else {
        panic!("the thief is shown a code");
    };
    assert!(why.contains("the handshake failed"), "{why}");
    assert_eq!(person.devices(), []);
}

#[test]
fn a_device_is_let_in_by_a_second_machine_when_it_shows_its_token() {
    let (first, second) = (home(), home());
    let relay = Relay::start(&first);
    Remote::of(&first).join(&relay);
    let person = Remote::of(&second);
    person.join(&relay);
    // Both stay connected for something.
    let remote = || json!({"remote": true});
    let _sessions = [&first, &second].map(|home| Attached::create(home, "a terminal", remote()));
    let phone = Remote::of(&first).pair("phone");
    let pairs = |pairing: &str, phone: Pairing| {
        assert_eq!(person.wait_for_device(pairing), "phone");
        person.type_code(pairing, &phone.code());
        phone.finish()
    };

    // Without it the second machine could take it from the first.
    let (pairing, link) = person.begin_pairing(None);
    let Link::Pairing { relay, offer } = link.parse().unwrap() else {
        panic!("not a pairing link");
    };
    let folder = second.root().join("phone");
    let again = Pairing::begin_with(relay, offer, phone.key.clone(), "phone", &folder).unwrap();
    let Err(NotPaired::Failed(why)) = pairs(&pairing, again) else {
        panic!("the device got a token");
    };
    assert!(
        why.starts_with("The relay knows this device from another machine"),
        "{why}"
    );
    phone.client();

    let (pairing, link) = person.begin_pairing(None);
    let again = Pairing::begin_as(&phone, &link, &folder).unwrap();
    let (at_second, _) = pairs(&pairing, again).unwrap();
    assert_eq!(at_second.id(), phone.id());
    at_second.client();
    phone.client();
}

#[test]
fn a_revoked_device_is_cut_within_a_second_and_cannot_come_back() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let terminal = Attached::create(&home, "a terminal", json!({"remote": true}));
    let phone = person.pair("phone");
    let tablet = person.pair("tablet");
    let mut on_phone = Attached::subscribe(phone.client(), terminal.id());
    let mut on_tablet = Attached::subscribe(tablet.client(), terminal.id());

    let begin = Instant::now();
    person.revoke(&phone);
    let why = on_phone.client.channel().wait_for_end();
    // At once; the rest is for a machine that does other things.
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}: {why}",
        begin.elapsed()
    );

    // It is kept out by the machine, whatever the relay does (`hostile_relay`), and by the relay once
    // that has heard of it.
    until("the relay does not know it any more", || {
        let Err(why) = phone.channel() else {
            panic!("it came back");
        };
        why.contains("does not know this token").then_some(())
    });
    // The other one stays.
    on_tablet
        .client
        .request("ping", json!({"channel": "ahp-root://"}))
        .unwrap();
    until("the list without the phone", || {
        (person.devices().len() == 1).then_some(())
    });
}
