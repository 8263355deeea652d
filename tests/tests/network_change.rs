//! The network of the machine changes: a link that died with it is made anew at once.

use std::process::Command;
use std::time::{Duration, Instant};

use copilot_tests::attached::Attached;
use copilot_tests::hostile_relay::End;
use copilot_tests::{Home, HostileRelay, Relay, Remote, Scenario, until};
use serde_json::json;

/// Without a change of networks the next heartbeat is due, and missed, after this.
const HEARTBEAT: Duration = Duration::from_secs(30);

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    status.is_ok_and(|status| status.success())
}

/// Puts this test and all that it starts into a network of its own; `false` where that cannot be.
fn own_network() -> bool {
    let has_ip = Command::new("ip").arg("-V").output().is_ok();
    has_ip
        && nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok()
        && ip("link set lo up")
}

#[test]
fn a_link_that_died_with_the_network_is_made_anew_at_once() {
    if !own_network() {
        eprintln!("skipped: there is no `ip`, or this user may make no network");
        return;
    }
    let home = Home::new(Scenario::new());
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    home.start_daemon();
    let hostile = HostileRelay::listen();
    let relay = Relay::behind(&home, &hostile);
    let person = Remote::of(&home);
    person.join(&relay);
    let _session = Attached::create(&home, "a terminal", json!({"remote": true}));
    let connected = || (person.status().state == "connected").then_some(());
    until("the link", connected);
    // A way that still stands is left alone.
    let before = hostile.newest(End::Machine);
    assert!(ip("addr add 192.0.2.2/24 dev lo"));
    hostile.wait_for("a ping that nothing but the change asked for", |passing| {
        passing.leg == before
            && passing.to_relay
            && passing.message.to_text().is_ok_and(|t| t.contains("ping"))
    });
    assert_eq!(hostile.newest(End::Machine), before);

    // From here on what the machine sends leads nowhere.
    hostile.rule(move |passing| match passing.leg == before {
        true => Vec::new(),
        false => vec![passing],
    });
    let begin = Instant::now();
    assert!(ip("addr del 192.0.2.2/24 dev lo"));
    hostile.wait_for("another connection", |passing| {
        passing.end == End::Machine && passing.leg != before
    });
    assert!(begin.elapsed() < HEARTBEAT, "{:?}", begin.elapsed());
    until("the link", connected);
}
