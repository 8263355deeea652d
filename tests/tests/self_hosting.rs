//! `docs/self-hosting.md` is followed word for word, by the relay, the machine and a device; and its
//! unit is one that systemd takes, and that starts a relay.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use copilot_tests::attached::Attached;
use copilot_tests::device::install_authority;
use copilot_tests::scene::pair_by_command;
use copilot_tests::{DEADLINE, Home, Scenario, binary, free_address, say};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../docs/self-hosting.md");
const UNIT: &str = include_str!("../../systemd/copilot-relay.service");

/// The blocks of this kind on the page, in its order.
fn blocks(kind: &str) -> Vec<String> {
    let begin = format!("```{kind}");
    let mut blocks = Vec::new();
    let mut inside: Option<String> = None;
    for line in PAGE.lines() {
        match &mut inside {
            None if line == begin => inside = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(inside.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    blocks
}

/// A shell that follows the page as far as to the phone, and then waits for its input to end.
struct Follower {
    shell: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Follower {
    /// Starts it and waits until it has come so far.
    fn start(home: &Home, port: u16) -> Self {
        let script = format!(
            "set -euo pipefail\n{}\n\
             # The page, over a certificate that curl trusts through ca.crt alone.\n\
             curl --silent --fail --head --cacert ca.crt https://$NAME:$PORT/\n\
             if curl --silent --cacert ca.crt https://127.0.0.1:$PORT/; then exit 9; fi\n\
             stat --format='%a %n' ca.key relay.key data data/enrolment-token\n\
             echo followed\ncat > /dev/null\n\
             kill %1\nwait %1\n",
            blocks("sh").concat()
        );
        let mut shell = home
            .command("bash", &["-c", &script])
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(complaints(home)).unwrap())
            .spawn()
            .unwrap();
        let mut follower = Self {
            stdout: BufReader::new(shell.stdout.take().unwrap()),
            shell,
            said: String::new(),
        };
        while !follower.said.ends_with("followed\n") {
            let read = follower.stdout.read_line(&mut follower.said).unwrap();
            assert!(read > 0, "{}", follower.describe(home));
        }
        follower
    }

    /// Ends it, and with it the relay.
    fn end(mut self, home: &Home) {
        drop(self.shell.stdin.take());
        let ended = self.shell.wait().unwrap();
        assert!(ended.success(), "{ended}: {}", self.describe(home));
    }

    fn describe(&self, home: &Home) -> String {
        let complaints = std::fs::read_to_string(complaints(home)).unwrap_or_default();
        format!("{}\n{complaints}", self.said)
    }
}

/// A file that was made by following the page.
fn made(home: &Home, file: &str) -> PathBuf {
    home.root().join("person/copilot-relay").join(file)
}

/// Where a follower of the page complains.
fn complaints(home: &Home) -> PathBuf {
    home.root().join("complaints")
}

#[test]
fn the_page_leads_to_a_phone_that_shows_a_session_through_a_relay_trusted_by_name_alone() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello to you.")]));
    let add = ["remote", "add", "origin", "git@github.com:owner/repo.git"];
    assert!(home.command("git", &add).status().unwrap().success());
    let port = free_address().port();
    let follower = Follower::start(&home, port);
    for expected in [
        "ready\n",
        "strict-transport-security: max-age",
        "600 ca.key\n600 relay.key\n700 data\n600 data/enrolment-token\n",
        &format!("listening on https://localhost:{port}\n"),
    ] {
        let seen = follower.describe(&home);
        assert!(follower.said.contains(expected), "{expected:?} in\n{seen}");
    }
    assert!(
        follower.said.lines().any(|line| line.len() == 43),
        "an enrolment token in\n{}",
        follower.said
    );

    // The machine has joined it.
    let mut terminal = Attached::create(&home, "a terminal", json!({}));
    let turn = terminal.prompt("hello");
    terminal.trust_folder();
    terminal.wait_for_end(&turn);
    install_authority(&made(&home, "ca.crt"));
    let phone = pair_by_command(&home, &["remote", "on"], "phone");
    let screen = Attached::subscribe(phone.client(), terminal.id());
    assert_eq!(screen.chat().turns, terminal.chat().turns);
    let status = home.copilot(&["remote", "status", "--json"]).json();
    let told = ["state", "relay", "devicesThisRelay"].map(|key| status[key].clone());
    let relay = format!("https://localhost:{port}");
    assert_eq!(told, [json!("connected"), json!(relay), json!(1)]);
    let watched = &status["sessions"][0]["devicesWatching"];
    assert_eq!(*watched, json!(1), "{status}");

    // It waits for those who are connected.
    drop(screen);
    let run = home.copilot(&["logout"]);
    run.expect_code(0);
    assert!(
        run.stderr.contains("cannot come any more"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("phone"), "{}", run.stderr);
    assert!(phone.channel().is_err());
    let devices = home.copilot(&["devices", "list", "--json"]).json();
    let told = (&devices[0]["relay"], &devices[0]["comes"]);
    assert_eq!(told, (&Value::Null, &json!(false)));
    follower.end(&home);
}

#[test]
fn the_unit_is_one_that_systemd_takes_and_confines() {
    let home = Home::without_model();
    let unit = home.root().join("copilot-relay.service");
    // systemd looks whether the program is there.
    let program = binary("copilot-relay").display().to_string();
    std::fs::write(
        &unit,
        UNIT.replace("/usr/local/bin/copilot-relay", &program),
    )
    .unwrap();
    let analyze = |arguments: &[&str]| {
        let mut command = home.command("systemd-analyze", arguments);
        match command.arg(&unit).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            output => Some(output.unwrap()),
        }
    };
    let Some(verified) = analyze(&["verify"]) else {
        return;
    };
    let complaints = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    let Some(security) = analyze(&["security", "--offline=true", "--threshold=30", "--no-pager"])
    else {
        return;
    };
    let report = String::from_utf8_lossy(&security.stdout);
    assert!(security.status.success(), "{report}");
}

/// The relay as the unit and the page's drop-in start it, in folders of a scratch home.
struct Started {
    relay: Child,
    port: String,
}

/// What the settings of this name have, in the unit and then in the drop-in.
fn settings<'a>(name: &'a str, drop_in: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = UNIT.lines().chain(drop_in.lines());
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

/// Makes authority and certificate as the page says, for the name in the drop-in.
fn certify(home: &Home) {
    let before_the_relay = blocks("sh").into_iter();
    let before_the_relay =
        before_the_relay.take_while(|block| !block.contains("copilot-relay serve"));
    let script = format!("set -eu\n{}", before_the_relay.collect::<String>());
    let output = home
        .command("bash", &["-c", &script])
        .env("NAME", "tower.lan")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The files that the service may read, under the names that it knows them by.
fn provide_credentials(home: &Home, drop_in: &str) -> String {
    let folder = home.root().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    for credential in settings("LoadCredential", drop_in) {
        let (name, file) = credential.split_once(':').unwrap();
        let file = file.strip_prefix("/etc/copilot-relay/").unwrap();
        std::fs::copy(made(home, file), folder.join(name)).unwrap();
    }
    folder.display().to_string()
}

fn start_as_service(home: &Home) -> Started {
    let drop_in = blocks("ini").concat();
    let credentials = provide_credentials(home, &drop_in);
    let state = home.root().join("state");
    for folder in settings("StateDirectory", &drop_in) {
        std::fs::create_dir_all(state.join(folder)).unwrap();
    }
    let state = state.display().to_string();
    let mut environment = BTreeMap::new();
    for assigned in settings("Environment", &drop_in).flat_map(str::split_whitespace) {
        let (name, value) = assigned.split_once('=').unwrap();
        let value = value.replace("%S", &state).replace("%d", &credentials);
        environment.insert(name, value);
    }
    // Its own port may be somebody's on this machine.
    let port = free_address().port().to_string();
    for name in ["COPILOT_RELAY_LISTEN", "COPILOT_RELAY_PUBLIC_URL"] {
        let value = environment.get_mut(name).unwrap();
        let (place, _) = value.rsplit_once(':').unwrap();
        *value = format!("{place}:{port}");
    }
    let start: Vec<&str> = settings("ExecStart", &drop_in)
        .flat_map(str::split_whitespace)
        .collect();
    let (program, arguments) = start.split_first().unwrap();
    assert_eq!(*program, "/usr/local/bin/copilot-relay");
    let place = home.root().join("notify.sock");
    let notified = UnixDatagram::bind(&place).unwrap();
    notified.set_read_timeout(Some(DEADLINE)).unwrap();
    let relay = home
        .command(binary("copilot-relay"), arguments)
        .env_clear()
        .envs(environment)
        .env("NOTIFY_SOCKET", &place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut word = [0; 64];
    let length = notified.recv(&mut word).expect("a word to systemd");
    assert_eq!(&word[..length], b"READY=1\n");
    Started { relay, port }
}

#[test]
fn what_the_unit_and_the_drop_in_of_the_page_say_starts_a_relay_and_ends_it() {
    let home = Home::without_model();
    certify(&home);
    let Started { mut relay, port } = start_as_service(&home);
    let certificate = made(&home, "ca.crt").display().to_string();
    let output = home
        .command("curl", &["--silent", "--show-error", "--fail"])
        .args(["--resolve", &format!("tower.lan:{port}:127.0.0.1")])
        .args(["--cacert", &certificate])
        .arg(format!("https://tower.lan:{port}/readyz"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ready\n",
        "{output:?}"
    );
    let data = home
        .root()
        .join("state/copilot-relay")
        .display()
        .to_string();
    let token = ["enrolment-token", "--data", &data];
    let token = home.command(binary("copilot-relay"), &token).output();
    assert_eq!(token.unwrap().stdout.len(), 44, "a token and a line break");

    kill(
        Pid::from_raw(i32::try_from(relay.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    let ended = relay.wait().unwrap();
    assert!(ended.success(), "{ended}");
}
