//! What a paired device may do, and everything that it may not.
//!
//! Each table has a row for all there is: every method and action of AHP, every message of the
//! link, every control request of the local socket. A test compares it with where these are
//! defined, so that nothing new is forgotten. The device is a real one behind a real relay; the
//! machine has a session that it may reach and one that it may not know of.

mod actions;
mod link;
mod local_socket;
mod methods;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use copilot_tests::attached::Attached;
use copilot_tests::{Client, Device, Home, Relay, Remote, Scenario, say, tool};
use ipc_proto::control::{ControlReply, ControlRequest};
use serde_json::{Value, json};

/// A session that nobody made.
const NO_SESSION: &str = "00000000-0000-4000-8000-000000000000";

fn home() -> Home {
    let noise = tool("shell", json!({"command": "seq 1 20000"}));
    let home = Home::new(Scenario::new().on("make noise", [noise, say("Done.")]));
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    home.start_daemon();
    home
}

/// The machine, the person at it, and a device.
struct World<'a> {
    home: &'a Home,
    relay: Relay,
    person: Remote<'a>,
    /// A connection of the person's, to look at what is.
    local: Client,
    /// With remote access.
    reached: Attached,
    /// Without.
    hidden: Attached,
    phone: Device,
}

impl<'a> World<'a> {
    fn new(home: &'a Home) -> Self {
        let relay = Relay::start(home);
        let person = Remote::of(home);
        person.join(&relay);
        let session = |config: Value| {
            let mut screen = Attached::create(home, "a terminal", config);
            let turn = screen.prompt("make noise");
            screen.wait("the end, or a question about the folder", |_, chat| {
                let asked = copilot_tests::attached::open_input(chat).is_some();
                (asked || chat.active_turn.is_none()).then_some(())
            });
            if screen.chat().active_turn.is_some() {
                screen.trust_folder();
            }
            screen.wait_for_end(&turn);
            screen
        };
        let reached = session(json!({"remote": true, "allowTools": ["shell"]}));
        let hidden = session(json!({"allowTools": ["shell"]}));
        let phone = person.pair("phone");
        Self {
            home,
            relay,
            person,
            local: Client::connect(home, "the person"),
            reached,
            hidden,
            phone,
        }
    }

    /// Everything that a device must not change, as it is.
    fn picture(&mut self) -> Value {
        let sessions = self
            .local
            .request("listSessions", json!({"channel": "ahp-root://"}))
            .expect("the list");
        let devices = self.person.devices().into_iter();
        let devices: Vec<_> = devices.map(|d| (d.device, d.name, d.paired_at)).collect();
        let approvals = match self
            .person
            .ask(ControlRequest::ListApprovals { folder: None })
        {
            ControlReply::Approvals(all) => format!("{all:?}"),
            other => panic!("no approvals but {other:?}"),
        };
        let status = self.person.status();
        json!({
            "sessions": sessions,
            "devices": devices,
            "approvals": approvals,
            "relay": status.relay,
            "reachable": status.sessions.len(),
            "files": files(&self.home.project()),
            "config": files(&self.home.path().join("config")),
            "trusted": std::fs::read_to_string(self.home.path().join("data/trusted-folders.json")).ok(),
            "daemon": self.home.daemon(),
        })
    }

    /// Does something that must change nothing, and makes sure of it.
    #[track_caller]
    fn changes_nothing<T>(&mut self, what: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.picture();
        let result = act(self);
        assert_eq!(self.picture(), before, "{what}");
        result
    }
}

/// Names and contents of the files of a folder.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = std::fs::read(entry.path()).unwrap_or_default();
        (name, String::from_utf8_lossy(&content).into_owned())
    };
    entries.map(file).collect()
}

/// Where a file of the crate with AHP's types is.
fn ahp_types(file: &str) -> String {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    // What other platforms need may never have been downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("cargo metadata: {error}: {said}")
    });
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages.iter().find(|p| p["name"] == "ahp-types");
    let manifest = package.expect("ahp-types is used")["manifest_path"].as_str();
    let folder = Path::new(manifest.expect("a path"))
        .parent()
        .expect("a folder");
    std::fs::read_to_string(folder.join("src").join(file)).expect("a source file")
}

/// What stands between two texts, for all places where it does.
fn between<'a>(text: &'a str, before: &str, after: &str) -> BTreeSet<&'a str> {
    let rests = text.split(before).skip(1);
    rests
        .filter_map(|rest| Some(rest.split_once(after)?.0))
        .collect()
}

/// The part of a text from one line to another.
fn part<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}
