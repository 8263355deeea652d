//! A scratch world for tests that are not written in Rust: a home, a relay, terminals and a person
//! at the machine, driven by JSON lines on standard input.
//!
//! Each line is `{"id", "do", …}` and is answered with `{"id", "ok"}` or `{"id", "error"}`. The end
//! of the input ends the world and everything in it.

// A test's harness fails loudly; what it says goes to whoever drives it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::io::{BufRead as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use copilot_tests::remote::{Relay, Remote};
use copilot_tests::{Home, Pty, until};
use serde_json::{Value, json};

fn main() {
    let scenario = std::env::args().nth(1).expect("the path of a scenario");
    let mut home = Home::without_model();
    home.set("COPILOT_SCRIPTED_MODEL", &scenario);
    home.write_settings(r#"{"remote": {"requireGithubRepository": false}}"#);
    home.start_daemon();
    let mut world = World {
        relay: Some(Relay::start(&home)),
        terminals: Vec::new(),
        home: &home,
    };
    Remote::of(&home).join(world.relay.as_ref().expect("a relay"));
    say(&json!({"ready": world.relay.as_ref().map(Relay::url)}));
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("text");
        let request: Value = serde_json::from_str(&line).expect("JSON");
        let answer = catch_unwind(AssertUnwindSafe(|| world.answer(&request)));
        match answer {
            Ok(ok) => say(&json!({"id": request["id"], "ok": ok})),
            Err(panic) => {
                let words = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                say(&json!({"id": request["id"], "error": words}));
            }
        }
    }
}

fn say(message: &Value) {
    println!("{message}");
    // Whoever drives it may be gone; then the input ends as well.
    let _ = std::io::stdout().flush();
}

struct World<'a> {
    relay: Option<Relay>,
    terminals: Vec<Pty>,
    home: &'a Home,
}

impl World<'_> {
    fn answer(&mut self, request: &Value) -> Value {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let remote = || Remote::of(self.home);
        match text("do") {
            "terminal" => {
                let arguments = words(&request["arguments"]);
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                self.terminals.push(self.home.terminal(&arguments));
                json!(self.terminals.len() - 1)
            }
            "keys" => {
                self.terminal(request).send(text("keys"));
                Value::Null
            }
            "wait" => json!(self.terminal(request).wait_for_text(text("text"))),
            "screen" => json!(self.terminal(request).text()),
            "copilot" => {
                let arguments = words(&request["arguments"]);
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let run = self.home.copilot(&arguments);
                json!({"code": run.code, "stdout": run.stdout, "stderr": run.stderr})
            }
            "session" => json!(self.home.only_session()),
            "pairing" => {
                let (pairing, link) = remote().begin_pairing(request["session"].as_str());
                json!({"pairing": pairing, "link": link})
            }
            "code" => json!(format!(
                "{:?}",
                remote().type_code(text("pairing"), text("code"))
            )),
            "write" => {
                self.home.write(text("name"), text("content"));
                Value::Null
            }
            "read" => json!(self.home.read(text("name"))),
            "until-file" => {
                until("the file", || self.home.read(text("name")));
                Value::Null
            }
            "relay-stop" => {
                self.relay.as_mut().expect("a relay that runs").stop();
                Value::Null
            }
            "relay-start" => {
                self.relay = self.relay.take().map(|relay| relay.again(self.home));
                Value::Null
            }
            "daemon-kill" => {
                self.home.kill_daemon();
                Value::Null
            }
            "daemon-start" => {
                self.home.start_daemon();
                Value::Null
            }
            other => panic!("nothing is called {other:?}"),
        }
    }

    fn terminal(&self, request: &Value) -> &Pty {
        let number = request["terminal"].as_u64().unwrap_or_default();
        usize::try_from(number)
            .ok()
            .and_then(|number| self.terminals.get(number))
            .expect("a terminal that was opened")
    }
}

fn words(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).expect("a list of words")
}
