//! Databases that were shipped open for ever.

use std::path::{Path, PathBuf};

use copilotd::store::{AuditFilter, Operation, ProcessRecord, Store};

use crate::harness::{Scratch, audit, state, summary, tail, turn, write};

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/store-v{version}.db"))
}

/// Writes the fixture of the current version, where there is none: what is shipped is never
/// changed. `UPDATE_STORE_FIXTURE=1 cargo test -p copilotd --test store fixture`
#[test]
fn the_current_version_has_a_fixture() {
    let path = fixture(2);
    if path.exists() {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_STORE_FIXTURE").is_some(),
        "{} is missing; UPDATE_STORE_FIXTURE=1 makes it",
        path.display()
    );
    let scratch = Scratch::new();
    let store = scratch.open();
    write(
        &store,
        "one",
        vec![
            state("first"),
            summary("Rename the café", 1),
            turn("t0", "hello world"),
            turn("t1", "a longer answer"),
            tail("running"),
            audit("first", 1000),
            Operation::RecordProcess(ProcessRecord {
                session: "one".to_owned(),
                pid: 42,
                group: 41,
                start_time: u64::MAX - 1,
            }),
        ],
    );
    write(&store, "two", vec![summary("Second", 2)]);
    write(&store, "three", vec![state("never listed")]);
    write(&store, "four", vec![state("deleted"), Operation::Delete]);
    store.reserve_numbers(1000).unwrap();
    drop(store);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(scratch.path(), path).unwrap();
}

#[test]
fn version_1_opens() {
    let scratch = Scratch::new();
    std::fs::copy(fixture(1), scratch.path()).unwrap();
    let store = scratch.open();
    has_everything(&store);
    assert_eq!(store.check_audit().unwrap().rows, 0);
    write(&store, "one", vec![audit("begins", 1000)]);
    let check = store.check_audit().unwrap();
    assert_eq!((check.rows, check.problems.len()), (1, 0));
}

#[test]
fn version_2_opens() {
    let scratch = Scratch::new();
    std::fs::copy(fixture(2), scratch.path()).unwrap();
    let store = scratch.open();
    has_everything(&store);
    let (rows, _) = store.audit(&AuditFilter::default(), 10, 1000).unwrap();
    assert_eq!(rows[0].record_json, r#"{"event":"first"}"#);
    let hash = "a9f93da19e4cf4b64884c9ca40951ce35402db35c3abd8881263b3c6babd487d";
    assert_eq!((rows[0].seq, &*rows[0].hash), (1, hash));
    write(&store, "one", vec![audit("second", 1000)]);
    assert_eq!(store.check_audit().unwrap().problems, [""; 0]);
}

#[test]
fn a_damaged_version_1_is_recovered() {
    let scratch = Scratch::new();
    let mut bytes = std::fs::read(fixture(1)).unwrap();
    // Its header, with the number of its format, and a part of its schema.
    bytes[..200].fill(0);
    std::fs::write(scratch.path(), bytes).unwrap();
    let (store, notices) = scratch.open_noticing();
    assert_eq!(notices.len(), 1);
    assert_eq!(store.load("one", 9).unwrap().unwrap().turns.len(), 2);
    assert_eq!(store.check_audit().unwrap().rows, 0);
}

/// What both fixtures have, whichever format they were written in.
fn has_everything(store: &Store) {
    let listed: Vec<_> = store
        .summaries(None, 10)
        .unwrap()
        .into_iter()
        .map(|s| (s.id, s.modified_at, s.summary_json))
        .collect();
    let expected = [
        ("two", "2025-01-01T00:02:00Z", r#"{"title":"Second"}"#),
        (
            "one",
            "2025-01-01T00:01:00Z",
            r#"{"title":"Rename the café"}"#,
        ),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(listed, expected);
    assert_eq!(store.unlisted().unwrap(), ["three"]);
    let one = store.load("one", 1).unwrap().unwrap();
    assert_eq!(one.state_json.unwrap(), r#"{"state":"first"}"#);
    assert_eq!((one.earlier_turns, &*one.turns[0].id), (1, "t1"));
    assert_eq!(one.turns[0].json, r#"{"id":"t1","text":"a longer answer"}"#);
    assert_eq!(one.tail[0].action_json, r#"{"delta":"running"}"#);
    assert_eq!(one.tail[0].channel, "ahp-chat:/1");
    let process = &store.processes().unwrap()[0];
    assert_eq!((process.pid, process.group), (42, 41));
    assert_eq!(process.start_time, u64::MAX - 1);
    assert_eq!(store.search("cafe", 10).unwrap().len(), 1);
    assert_eq!(store.search("hello", 10).unwrap().len(), 1);
    assert!(store.reserve_numbers(1).unwrap().start >= 1001);
    write(store, "one", vec![turn("t2", "goes on")]);
    assert_eq!(store.turn_ordinal("one", "t2").unwrap(), Some(2));
}
