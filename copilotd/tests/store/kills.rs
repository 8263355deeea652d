//! A process that writes is killed at random moments: what it was told is committed is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use copilotd::store::{Batch, Limits, open_with};

use crate::harness::{Scratch, state, tail, turn};

const FOLDER: &str = "STORE_TEST_FOLDER";

/// The process that is killed. It writes turn after turn, and says so when it was told that
/// one is committed.
#[test]
#[ignore = "run by the test below"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let path = std::path::Path::new(&folder).join(crate::harness::NAME);
    let limits = Limits {
        // The WAL is moved all the time, so that kills fall into it.
        wal_bytes: 64 * 1024,
        ..Limits::default()
    };
    let (store, notices) = open_with(&path, limits).unwrap();
    let mut out = std::io::stdout();
    for notice in notices {
        writeln!(out, "\nnotice {notice}").unwrap();
    }
    let first = store.load("a", 0).unwrap().map_or(0, |s| s.earlier_turns);
    for n in first.. {
        let numbers = store.reserve_numbers(10).unwrap();
        writeln!(out, "\nnumber {}", numbers.start).unwrap();
        let committed = store
            .submit(Batch {
                session: "a".to_owned(),
                durable: n % 3 == 0,
                operations: vec![
                    state(&n.to_string()),
                    turn(&n.to_string(), &"word ".repeat(200)),
                    tail("x"),
                ],
            })
            .unwrap();
        committed.wait().unwrap();
        writeln!(out, "\ncommitted {n}").unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let scratch = Scratch::new();
    let mut highest_number = 0;
    let mut committed = 0;
    for round in 1..=12_u64 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::child", "--ignored", "--nocapture"])
            .env(FOLDER, scratch.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut in_this_life = 0;
        for line in lines {
            let Ok(line) = line else { break };
            if let Some(notice) = line.strip_prefix("notice ") {
                panic!("{notice}");
            } else if let Some(number) = line.strip_prefix("number ") {
                let number: u64 = number.parse().unwrap();
                assert!(number > highest_number, "{number} again");
                highest_number = number;
            } else if let Some(n) = line.strip_prefix("committed ") {
                let n: u64 = n.parse().unwrap();
                assert!(n >= committed, "turn {n} was acknowledged and is gone");
                committed = n + 1;
                in_this_life += 1;
                if in_this_life == round * 7 {
                    // It goes on writing while the kill is on its way.
                    process.kill().unwrap();
                }
            }
        }
        process.wait().unwrap();
        let store = scratch.open();
        let loaded = store.load("a", usize::MAX).unwrap().unwrap();
        let turns = loaded.turns.len() as u64;
        assert!(turns >= committed, "{turns} of {committed}");
        // Whole batches: the state is the one of the last turn.
        assert_eq!(
            loaded.state_json.unwrap(),
            format!("{{\"state\":\"{}\"}}", turns - 1)
        );
        assert_eq!(loaded.tail.len() as u64, turns);
        highest_number = store.reserve_numbers(1).unwrap().start.max(highest_number);
    }
}
