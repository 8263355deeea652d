//! What many tests of remote access begin with.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::json;

use crate::attached::Attached;
use crate::device::{Device, Pairing};
use crate::home::Home;
use crate::remote::{Relay, Remote};

/// Starts the daemon of a home whose sessions can be reached wherever they are.
pub fn start_reachable(home: &Home) {
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    home.start_daemon();
}

/// The same for a home whose new sessions devices reach from the start.
pub fn start_shared(home: &Home) {
    home.write_settings(
        r#"{"remoteSessions": true, "remote": {"requireGithubRepository": false}}"#,
    );
    home.start_daemon();
}

/// A session in a terminal and on a paired phone, and the relay between them.
pub fn terminal_and_phone(home: &Home) -> (Relay, Attached, Attached) {
    start_reachable(home);
    let relay = Relay::start(home);
    let person = Remote::of(home);
    person.join(&relay);
    let terminal = Attached::create(home, "a terminal", json!({"remote": true}));
    let phone = Attached::subscribe(person.pair("phone").client(), terminal.id());
    (relay, terminal, phone)
}

/// Runs `copilot` until it shows a link, opens that on a new device and types its code.
pub fn pair_by_command(home: &Home, arguments: &[&str], name: &str) -> Device {
    let mut command = home
        .copilot_command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("copilot can be started");
    let mut link = String::new();
    BufReader::new(command.stdout.take().expect("a pipe"))
        .read_line(&mut link)
        .expect("text");
    let device = Pairing::begin(link.trim(), name, &home.root().join(name))
        .unwrap_or_else(|why| panic!("{link:?}: {why}"));
    let mut keyboard = command.stdin.take().expect("a pipe");
    writeln!(keyboard, "{}", device.code()).expect("copilot reads its input");
    let (device, _) = device.finish().expect("the device is paired");
    assert!(command.wait().expect("copilot ends").success());
    device
}
