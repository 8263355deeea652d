//! A disk that is full: what was acknowledged stays, what waits is kept and written when
//! there is room. Seen on a real full file system where one can be mounted, and everywhere
//! with a limit on the size of files.

use std::path::Path;
use std::process::{Command, Output};

use copilotd::store::{Health, Limits, NoSpace, Store, open_with};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::{NAME, batch, fast_folder, state, turn, write};

const FOLDER: &str = "STORE_TEST_FOLDER";

/// Runs a test of this file in a process of its own, which may set limits for itself.
fn run_child(command: &mut Command, name: &str) -> Output {
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .output()
        .unwrap()
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_passed = output.status.success() && text.contains("1 passed");
    assert!(is_passed, "{text}\n{errors}");
}

/// Writes until the disk refuses, makes room, and sees that nothing was lost.
fn fill_and_make_room(folder: &Path, make_room: impl FnOnce(&Store)) {
    let path = folder.join(NAME);
    let limits = Limits {
        longest_retry: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let (store, _) = open_with(&path, limits).unwrap();
    let mut health = store.watch_health();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let text = "x".repeat(100_000);
    let mut pending = Vec::new();
    let mut acknowledged = 0;
    let mut turns = 0;
    while store.health() == Health::Good {
        let mut committed = store
            .submit(batch(
                "a",
                vec![turn(&turns.to_string(), &text), state(&turns.to_string())],
            ))
            .unwrap();
        turns += 1;
        // Until it is committed, or the disk refuses.
        runtime.block_on(async {
            tokio::select! {
                biased;
                result = &mut committed => {
                    result.unwrap();
                    acknowledged += 1;
                }
                found = health.wait_for(|h| *h != Health::Good) => {
                    found.unwrap();
                    pending.push(committed);
                }
            }
        });
        assert!(turns < 1000, "the disk never refused");
    }
    // Reads go on, and show what was acknowledged, whole.
    let loaded = store.load("a", usize::MAX).unwrap().unwrap();
    assert_eq!(loaded.turns.len(), acknowledged);
    // What comes now waits; numbers can still be reserved.
    for _ in 0..5 {
        pending.push(
            store
                .submit(batch(
                    "a",
                    vec![turn(&turns.to_string(), &text), state(&turns.to_string())],
                ))
                .unwrap(),
        );
        turns += 1;
    }
    let number = store.reserve_numbers(10).unwrap().end;
    make_room(&store);
    for committed in pending {
        committed.wait().unwrap();
    }
    runtime
        .block_on(health.wait_for(|h| *h == Health::Good))
        .unwrap();
    drop(store);
    let (store, notices) = open_with(&path, limits).unwrap();
    assert_eq!(notices, []);
    let loaded = store.load("a", usize::MAX).unwrap().unwrap();
    assert_eq!(loaded.turns.len(), turns);
    assert_eq!(
        loaded.state_json.unwrap(),
        format!("{{\"state\":\"{}\"}}", turns - 1)
    );
    assert!(store.reserve_numbers(1).unwrap().start >= number);
    write(&store, "b", vec![state("after")]);
}

#[test]
#[ignore = "run by the test below"]
fn limited_child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    // SAFETY: no handler is installed; the signal is ignored, so that writes fail instead.
    #[allow(unsafe_code)]
    unsafe {
        nix::sys::signal::signal(
            nix::sys::signal::Signal::SIGXFSZ,
            nix::sys::signal::SigHandler::SigIgn,
        )
        .unwrap();
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 3 << 20, hard).unwrap();
    fill_and_make_room(Path::new(&folder), |store| {
        let Health::Failing { message, .. } = store.health() else {
            panic!("it was failing");
        };
        assert!(message.contains("could not write sessions"), "{message}");
        setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    });
}

#[test]
fn a_file_that_may_not_grow_is_waited_for() {
    let folder = fast_folder();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(FOLDER, folder.path());
    assert_passed(&run_child(&mut command, "no_room::limited_child"));
}

#[test]
#[ignore = "run by the test below"]
fn full_child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    fill_and_make_room(folder, |store| {
        let Health::Failing { message, .. } = store.health() else {
            panic!("it was failing");
        };
        assert!(message.contains("the disk is full"), "{message}");
        assert!(matches!(store.has_space(), Err(NoSpace::Full { .. })));
        std::fs::remove_file(&ballast).unwrap();
        assert_eq!(store.has_space(), Ok(()));
    });
}

#[test]
fn a_full_disk_is_waited_for() {
    let folder = fast_folder();
    // A file system of its own in a namespace of its own: gone with the process.
    let script = r#"mount -t tmpfs -o size=24m none "$0" && exec "$@""#;
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "--map-root-user", "sh", "-c", script]);
    probe.arg(folder.path()).arg("true");
    if !probe.output().is_ok_and(|output| output.status.success()) {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped: this system lets nobody mount a small file system");
        }
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script]);
    command.arg(folder.path());
    command.arg(std::env::current_exe().unwrap());
    command.env(FOLDER, folder.path());
    assert_passed(&run_child(&mut command, "no_room::full_child"));
}
