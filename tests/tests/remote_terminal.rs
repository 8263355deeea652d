//! `/remote` and Ctrl+E in a real terminal.

use copilot_tests::attached::Attached;
use copilot_tests::device::Pairing;
use copilot_tests::scene::{start_reachable, start_shared};
use copilot_tests::{Home, Pty, Relay, Remote, Scenario, say};
use link_proto::links::Link;
use serde_json::json;

/// Shows or hides the link and its code.
const CTRL_E: &str = "\u{5}";

fn home() -> Home {
    let home = Home::new(Scenario::new().on("hello", [say("Hello to you.")]));
    start_reachable(&home);
    home
}

/// A terminal on a new session, and the session's id.
fn terminal(home: &Home) -> (Pty, String) {
    let terminal = home.terminal(&[]);
    let id = home.only_session();
    terminal.wait_for_text("ask for something");
    (terminal, id)
}

/// Whether a QR code is on the screen: it is drawn with half blocks and takes many rows.
fn has_code(screen: &vt100::Screen) -> bool {
    let text = screen.contents();
    let drawn = text.lines().filter(|line| line.contains(['▀', '▄', '█']));
    drawn.count() >= 15
}

#[test]
fn the_link_its_code_and_who_watches_are_shown_until_remote_access_is_turned_off() {
    let home = home();
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let phone = person.pair("phone");
    let (terminal, id) = terminal(&home);

    terminal.send("/remote on\r");
    let link = format!("{}/#m={}&s={id}", relay.url(), person.status().machine_id);
    let on = format!(
        "Remote access is on: {}, no device is watching",
        relay.url()
    );
    terminal.wait_for("the link and its code", |screen| {
        let text = screen.contents();
        text.contains(&on)
            && text.contains("On a paired device:")
            && text.contains(&link)
            && text.contains(" · remote · ")
            && has_code(screen)
    });
    let mut client = phone.client();
    let root = json!({"channel": "ahp-root://"});
    client.request("subscribe", root).unwrap();
    let mut watching = Attached::subscribe(client, &id);
    terminal.wait_for("who watches", |screen| {
        let text = screen.contents();
        text.contains("one device is watching") && text.contains("remote (1 watching)")
    });

    terminal.send(CTRL_E);
    terminal.wait_for("no link and no code", |screen| {
        !has_code(screen) && !screen.contents().contains(&link)
    });
    terminal.send(CTRL_E);
    terminal.wait_for("the link and its code again", |screen| {
        has_code(screen) && screen.contents().contains(&link)
    });

    terminal.send("/remote off\r");
    terminal.wait_for("that nothing is visible any more", |screen| {
        let text = screen.contents();
        text.contains("no device sees anything of this session any more")
            && !text.contains(&link)
            && !text.contains(" · remote")
            && !has_code(screen)
    });
    watching
        .client
        .wait_for("the end of the session for the phone", |message| {
            message["method"] == "root/sessionRemoved"
        });
    let channel = json!({"channel": watching.session_channel()});
    assert!(watching.client.request("subscribe", channel).is_err());
    assert_eq!(person.status().sessions, []);
}

#[test]
fn a_first_device_is_paired_in_the_terminal() {
    let home = home();
    let relay = Relay::start(&home);
    Remote::of(&home).join(&relay);
    let (terminal, id) = terminal(&home);
    // So that the link is in one row.
    terminal.resize(60, 240);
    terminal.send("/remote on\r");
    let shown = |screen: &vt100::Screen| {
        let text = screen.contents();
        let mut words = text.split_whitespace();
        words
            .find(|word| word.parse::<Link>().is_ok())
            .map(str::to_owned)
    };
    let text = terminal.wait_for("a pairing link and its code", |screen| {
        shown(screen).is_some() && has_code(screen)
    });
    assert!(text.contains("It works once, for ten minutes:"), "{text}");
    let link = terminal.look(shown).unwrap();
    let phone = Pairing::begin(&link, "phone", &home.root().join("phone")).unwrap();
    terminal.wait_for_text("phone shows a code. Type it here and press Enter.");
    terminal.send(&format!("{}\r", phone.code()));
    terminal.wait_for_text("phone is paired");
    let (_, session) = phone.finish().unwrap();
    assert_eq!(session.map(|session| session.to_string()), Some(id));
    terminal.wait_for_text("On a paired device:");
}

#[test]
fn a_new_session_that_the_settings_let_devices_reach_shows_its_link_and_stays_without_its_terminal()
{
    let home = Home::new(Scenario::new());
    start_shared(&home);
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    person.pair("phone");
    let (mut terminal, id) = terminal(&home);
    let link = format!("{}/#m={}&s={id}", relay.url(), person.status().machine_id);
    terminal.wait_for("the link and its code", |screen| {
        screen.contents().contains(&link) && has_code(screen)
    });
    terminal.send("\u{4}");
    assert_eq!(terminal.wait(), 0);
    let text = terminal.text();
    assert!(text.contains("the session goes on"), "{text}");
    assert_eq!(home.only_session(), id);
}

#[test]
fn a_relay_that_is_away_is_said_to_be_and_no_link_is_shown() {
    let home = home();
    let mut relay = Relay::start(&home);
    Remote::of(&home).join(&relay);
    relay.stop();
    let (terminal, _) = terminal(&home);
    terminal.resize(40, 240);
    terminal.send("/remote on\r");
    let on = format!("Remote access is on: {}, reconnecting since ", relay.url());
    let away = format!(
        "no device can be paired: the relay {} cannot be reached now: reconnecting since ",
        relay.url()
    );
    let text = terminal.wait_for("what is wrong", |screen| {
        let text = screen.contents();
        text.contains(&on) && text.contains(&away) && text.contains("remote reconnecting")
    });
    assert!(text.contains("`copilot remote status`"), "{text}");
    assert!(text.contains("no device is watching"), "{text}");
    assert!(!text.contains("/#"), "{text}");
}
