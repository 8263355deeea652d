//! The daemon starts by itself, once, and works with the person's environment.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};

use copilot_tests::{Home, PausePoints, Run, Scenario, binary, is_alive, say, tool, until};
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;

/// Ends a process that is our child and waits for it.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn twenty_commands_at_once_start_one_daemon_and_all_get_an_answer() {
    let home = Home::new(Scenario::new());
    let children: Vec<_> = (0..20)
        .map(|_| {
            home.copilot_command(&["sessions", "list", "--json"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("copilot starts")
        })
        .collect();
    for child in children {
        let run: Run = child.wait_with_output().unwrap().into();
        run.expect_code(0).json();
    }
    assert_eq!(home.daemons().len(), 1);
}

#[test]
fn a_daemon_that_died_is_replaced_by_the_next_command() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let first = home.daemons()[0];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(first).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    copilot_tests::until("the end of the daemon", || {
        (!copilot_tests::is_alive(first)).then_some(())
    });
    assert!(home.socket().exists(), "it left its socket behind");
    assert!(home.sessions().is_empty());
    assert_eq!(home.daemons().len(), 1);
}

#[test]
fn a_second_daemon_in_the_same_home_refuses_to_run() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let output = home
        .command(binary("copilotd"), &["--foreground"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    // Its first line is for whoever started it: `ready`, or why not.
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("already"), "{said}");
    assert_eq!(home.daemons().len(), 1);
}

#[test]
fn a_daemon_that_stops_makes_way_for_the_next_one_only_when_it_writes_no_more() {
    let mut home = Home::new(Scenario::new());
    let points = PausePoints::of(&mut home);
    home.start_daemon();
    let first = home.daemon();
    points.arm("before-close");
    let mut stop = beside(&home, &["daemon", "stop"]);
    points.wait("before-close");
    assert!(!home.socket().exists(), "it still listens");
    assert!(!is_free(&home), "another daemon could open the database");

    let next = beside(&home, &["sessions", "list", "--json"]);
    until("the next daemon", || {
        (home.daemons().len() == 2).then_some(())
    });
    assert!(stop.try_wait().unwrap().is_none(), "it has not stopped yet");
    points.release("before-close");
    let stopped: Run = stop.wait_with_output().unwrap().into();
    stopped.expect_code(0);
    let listed: Run = next.wait_with_output().unwrap().into();
    listed.expect_code(0).json();
    until("the end of the first", || (!is_alive(first)).then_some(()));
    assert_ne!(home.daemon(), first);
}

#[test]
fn whoever_stops_a_daemon_may_start_the_next_one_at_once() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    for _ in 0..5 {
        home.copilot(&["daemon", "stop"]).expect_code(0);
        assert!(is_free(&home), "it is said to have stopped");
        assert!(home.sessions().is_empty());
    }
}

/// `copilot` with these arguments, while the test goes on.
fn beside(home: &Home, arguments: &[&str]) -> Child {
    home.copilot_command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("copilot starts")
}

/// Whether a daemon could become the one of this home.
fn is_free(home: &Home) -> bool {
    let file = File::open(home.path().join("run/copilotd.lock")).expect("the daemon's lock");
    Flock::lock(file, FlockArg::LockSharedNonblock).is_ok()
}

#[test]
fn tools_on_the_persons_path_are_found_by_a_daemon_with_an_empty_environment() {
    let mut home = Home::new(Scenario::new().on(
        "run",
        [
            tool(
                "shell",
                json!({"command": "only-on-my-path > said; echo \"$MY_VARIABLE\" >> said"}),
            ),
            say("Ran."),
        ],
    ));
    let tools = home.root().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let program = tools.join("only-on-my-path");
    std::fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();

    // As a service manager would: no PATH, no HOME, nothing of the person.
    let _daemon = Owned(
        home.command(binary("copilotd"), &["--foreground"])
            .env_clear()
            .env("COPILOTD_HOME", home.path())
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    home.wait_for_socket();

    let path = home
        .environment()
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.clone())
        .unwrap();
    home.set("PATH", &format!("{}:{path}", tools.display()));
    home.set("MY_VARIABLE", "from my shell");
    home.copilot(&["-p", "run", "--allow-all-tools"])
        .expect_code(0);
    assert_eq!(home.read("said").as_deref(), Some("found\nfrom my shell\n"));
}

#[test]
fn a_socket_of_a_service_manager_is_taken_over() {
    let home = Home::new(Scenario::new().on("hello", [say("Hello.")]));
    let run = home.socket().parent().unwrap().to_path_buf();
    std::fs::create_dir_all(&run).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(home.socket()).unwrap());
    // The manager's protocol: the socket is file 3, and the variables name
    // the process they are for.
    let _daemon = Owned(
        home.command(
            "/bin/sh",
            &[
                "-c",
                "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec copilotd --foreground",
            ],
        )
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap(),
    );
    assert!(home.sessions().is_empty());
    let run = home.copilot(&["-p", "hello", "-s"]);
    run.expect_code(0);
    assert_eq!(run.stdout.trim(), "Hello.");
    assert_eq!(home.daemons().len(), 1, "no second daemon was started");
    let after = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(home.socket()).unwrap());
    assert_eq!(inode, after, "the manager's socket is untouched");
}

#[test]
fn the_socket_belongs_to_its_owner_alone() {
    let home = Home::new(Scenario::new());
    home.start_daemon();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.socket().parent().unwrap()), 0o700);
    assert_eq!(mode(&home.socket()), 0o600);
}
