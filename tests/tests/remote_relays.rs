//! Which devices come through which relay, and what is said while a relay is away.

use copilot_tests::attached::Attached;
use copilot_tests::scene::{pair_by_command, start_reachable};
use copilot_tests::{Home, Relay, Remote, Scenario, say, until};
use serde_json::{Value, json};

fn home() -> Home {
    let home = Home::new(Scenario::new().on("hello", [say("Hello to you.")]));
    start_reachable(&home);
    home
}

/// What `copilot devices list` says of each: its name, and whether it can come now.
fn devices(home: &Home) -> Vec<(String, bool)> {
    let listed = home.copilot(&["devices", "list", "--json"]).json();
    let device = |d: &Value| {
        let name = d["name"].as_str().unwrap_or_default().to_owned();
        (name, d["comes"] == json!(true))
    };
    listed.as_array().unwrap().iter().map(device).collect()
}

fn known(name: &str, comes: bool) -> (String, bool) {
    (name.to_owned(), comes)
}

fn log_in(home: &Home, relay: &Relay) -> String {
    let login = ["login", "--relay", relay.url()];
    let run = home.copilot_with_input(&login, &relay.enrolment_token());
    run.expect_code(0);
    run.stderr
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn a_device_counts_only_while_it_can_come_through_the_relay_in_use() {
    let home = home();
    let terminal = Attached::create(&home, "a terminal", json!({}));
    let on = ["remote", "on", terminal.id()];
    let laptop = pair_by_command(&home, &on, "laptop");

    // The way to a phone is shown though a device is paired: that one needs none.
    let run = home.copilot(&on);
    run.expect_code(0);
    contains(&run.stderr, &["a phone needs HTTPS", "--acme"]);
    let own = laptop.relay.origin();
    assert!(run.stdout.starts_with(&format!("{own}/#m=")), "{run:?}");

    let relay = Relay::start(&home);
    let words = log_in(&home, &relay);
    contains(
        &words,
        &["do not come through this one: laptop", "devices pair"],
    );
    assert_eq!(devices(&home), [known("laptop", false)]);
    let phone = pair_by_command(&home, &on, "phone");
    assert_eq!(phone.relay.origin(), relay.url());
    assert_eq!(
        devices(&home),
        [known("laptop", false), known("phone", true)]
    );
    let run = home.copilot(&on);
    run.expect_code(0);
    let link = format!("{}/#m=", relay.url());
    assert!(run.stdout.starts_with(&link), "{run:?}");
    assert!(!run.stderr.contains("a phone needs HTTPS"), "{run:?}");
    let status = home.copilot(&["remote", "status"]);
    contains(&status.stdout, &["2 paired, 1 of them through this relay"]);

    let run = home.copilot(&["logout"]);
    run.expect_code(0);
    contains(
        &run.stderr,
        &["cannot come any more", "joined again: phone\n"],
    );
    assert_eq!(
        devices(&home),
        [known("laptop", true), known("phone", false)]
    );
    // And so it is.
    laptop.reach();
    log_in(&home, &relay);
    assert_eq!(
        devices(&home),
        [known("laptop", false), known("phone", false)]
    );
    assert!(phone.channel().is_err());
}

#[test]
fn the_status_of_a_session_says_how_the_link_is_and_how_many_devices_watch() {
    let home = home();
    let terminal = Attached::create(&home, "a terminal", json!({}));
    let status = ["remote", "status", terminal.id()];
    let run = home.copilot(&status);
    contains(&run.stdout, &["off; `copilot remote on ", "turns it on"]);
    let relay = Relay::start(&home);
    let person = Remote::of(&home);
    person.join(&relay);
    let phone = person.pair("phone");
    home.copilot(&["remote", "on", terminal.id()])
        .expect_code(0);
    contains(&home.copilot(&status).stdout, &["no device is watching"]);
    let screen = Attached::subscribe(phone.client(), terminal.id());
    let run = home.copilot(&status);
    run.expect_code(0);
    contains(
        &run.stdout,
        &[
            "connected since ",
            relay.url(),
            "1 paired, 1 connected",
            "one device is watching",
        ],
    );
    let json = home.copilot(&[&status[..], &["--json"]].concat()).json();
    let told = ["remote", "state", "relay", "devicesWatching"].map(|key| json[key].clone());
    let expected = [
        json!(true),
        json!("connected"),
        json!(relay.url()),
        json!(1),
    ];
    assert_eq!(told, expected, "{json}");
    let all = home.copilot(&["remote", "status", "--json"]).json();
    assert_eq!(all["sessions"][0]["devicesWatching"], json!(1), "{all}");
    drop(screen);
    until("nobody who watches", || {
        let json = home.copilot(&[&status[..], &["--json"]].concat()).json();
        (json["devicesWatching"] == json!(0)).then_some(())
    });
}

#[test]
fn a_relay_that_is_away_is_said_to_be_since_when_and_why_and_comes_back_by_itself() {
    let home = home();
    let mut relay = Relay::start(&home);
    let url = relay.url().to_owned();
    Remote::of(&home).join(&relay);
    let terminal = Attached::create(&home, "a terminal", json!({}));
    relay.stop();

    let away = format!("the relay {url} cannot be reached now: reconnecting since 2");
    let run = home.copilot(&["remote", "on", terminal.id()]);
    run.expect_code(0);
    contains(
        &run.stderr,
        &[
            "remote access is on for this session",
            &away,
            " because ",
            "`copilot remote status` says how it is",
            "no device is paired yet",
            "once the relay is reached, `copilot devices pair` pairs one",
        ],
    );
    assert_eq!(run.stdout, "", "no link that leads nowhere");
    let run = home.copilot(&["devices", "pair"]);
    run.expect_code(1);
    let refused = format!("no device can be paired: {away}");
    contains(
        &run.stderr,
        &[&refused, " because ", "hint: `copilot remote status`"],
    );
    let status = home.copilot(&["remote", "status", terminal.id()]);
    contains(&status.stdout, &["reconnecting since 2", " because ", &url]);

    let _relay = relay.again(&home);
    until("the link", || {
        let status = home.copilot(&["remote", "status", "--json"]).json();
        (status["state"] == json!("connected")).then_some(())
    });
    pair_by_command(&home, &["remote", "on", terminal.id()], "phone");
}

#[test]
fn a_machine_joins_again_whatever_became_of_its_link_and_nobody_else_takes_its_place() {
    let home = home();
    let terminal = Attached::create(&home, "a terminal", json!({}));
    let mut relay = Relay::start(&home);
    log_in(&home, &relay);
    let phone = pair_by_command(&home, &["remote", "on", terminal.id()], "phone");
    // Once more, by way of another relay, and after one that heard nothing of it.
    log_in(&home, &relay);
    phone.reach();
    let elsewhere = Home::new(Scenario::new());
    let other = Relay::start(&elsewhere);
    log_in(&home, &other);
    log_in(&home, &relay);
    phone.reach();
    let url = relay.url().to_owned();
    relay.stop();
    home.copilot(&["logout"]).expect_code(0);
    let relay = relay.again(&home);
    assert_eq!(relay.url(), url);
    log_in(&home, &relay);
    phone.reach();
}
