//! The audit: only ever added to, checked, kept when sessions go, and bounded.

use copilotd::store::{AuditFilter, AuditRow, Operation, Store};
use rusqlite::Connection;

use crate::harness::{Scratch, audit, state, write};

fn rows(store: &Store, filter: &AuditFilter) -> Vec<AuditRow> {
    store.audit(filter, 10_000, usize::MAX).unwrap().0
}

fn events(store: &Store) -> Vec<String> {
    let event = |row: AuditRow| {
        let record: serde_json::Value = serde_json::from_str(&row.record_json).unwrap();
        record["event"].as_str().unwrap().to_owned()
    };
    rows(store, &AuditFilter::default())
        .into_iter()
        .map(event)
        .collect()
}

fn problems(scratch: &Scratch) -> Vec<String> {
    scratch.open().check_audit().unwrap().problems
}

fn record(at: &str, session: &str) -> Operation {
    Operation::Audit {
        record_json: format!(r#"{{"event":"e","at":"{at}","session":"{session}"}}"#),
        keep: 1000,
    }
}

#[test]
fn it_outlives_its_session_and_makes_none() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(&store, "one", vec![state("x"), audit("made", 100)]);
    write(
        &store,
        "one",
        vec![Operation::Delete, audit("deleted", 100)],
    );
    assert_eq!(events(&store), ["made", "deleted"]);
    assert!(store.load("one", 1).unwrap().is_none());
    let check = store.check_audit().unwrap();
    assert_eq!((check.rows, check.first, check.last), (2, 1, 2));
    assert_eq!(check.problems, [""; 0]);
    assert_eq!(check.head, rows(&store, &AuditFilter::default())[1].hash);
}

#[test]
fn it_is_found_by_session_time_and_number() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let days = ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"];
    for (day, session) in [(0, "a"), (0, "b"), (1, "a"), (1, "b")] {
        write(&store, session, vec![record(days[day], session)]);
    }
    let numbers = |session: Option<&str>, since: Option<&str>, after: u64| {
        let filter = AuditFilter {
            session: session.map(str::to_owned),
            since: since.map(str::to_owned),
            after,
        };
        let rows = rows(&store, &filter);
        rows.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None, None, 0), [1, 2, 3, 4]);
    assert_eq!(numbers(Some("a"), None, 0), [1, 3]);
    assert_eq!(numbers(Some("b"), Some(days[1]), 0), [4]);
    assert_eq!(numbers(None, None, 3), [4]);
    assert_eq!(numbers(Some("c"), None, 0), [0; 0]);
    let all = AuditFilter::default();
    let (page, last) = store.audit(&all, 3, usize::MAX).unwrap();
    assert_eq!((page.len(), last), (3, 3));
    let (page, last) = store.audit(&all, 10, 1).unwrap();
    assert_eq!((page.len(), last), (1, 1), "at least one row a page");
    let none = AuditFilter {
        session: Some("c".into()),
        ..AuditFilter::default()
    };
    assert_eq!(store.audit(&none, 10, 1).unwrap().1, 4);
}

#[test]
fn the_database_refuses_to_change_or_remove_a_row() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(
        &store,
        "one",
        vec![audit("first", 100), audit("second", 100)],
    );
    drop(store);
    let connection = Connection::open(scratch.path()).unwrap();
    for sql in [
        "UPDATE audit SET record_json = '{}' WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit",
    ] {
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    connection
        .execute_batch("INSERT OR REPLACE INTO audit VALUES (1, '{}', 'x')")
        .unwrap();
    drop(connection);
    let store = scratch.open();
    assert_eq!(events(&store), ["first", "second"]);
    assert_eq!(store.check_audit().unwrap().problems, [""; 0]);
}

#[test]
fn what_was_done_to_it_behind_our_back_is_found() {
    let altered = "UPDATE audit SET record_json = '{\"event\":\"other\"}' WHERE seq = ";
    let table = [
        (format!("{altered} 1"), "record 1 was altered"),
        (
            format!("{altered} 3"),
            "record 3 or the one before it was altered",
        ),
        (
            "UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 1) WHERE seq = 3".into(),
            "record 3 or the one before it was altered",
        ),
        (
            "DELETE FROM audit WHERE seq IN (2, 3)".into(),
            "the records from 2 to 3 are missing",
        ),
        (
            "DELETE FROM audit WHERE seq <= 2".into(),
            "the records up to 2 are missing, and no record says that they were removed",
        ),
    ];
    for (sql, expected) in table {
        let scratch = Scratch::new();
        let store = scratch.open();
        for text in ["a", "b", "c", "d"] {
            write(&store, "one", vec![audit(text, 100)]);
        }
        drop(store);
        let connection = Connection::open(scratch.path()).unwrap();
        connection
            .execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_removed;")
            .unwrap();
        connection.execute_batch(&sql).unwrap();
        drop(connection);
        assert!(problems(&scratch).contains(&expected.to_owned()), "{sql}");
    }
}

#[test]
fn the_oldest_go_and_a_record_says_so() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for number in 1..=47 {
        write(&store, "one", vec![audit(&format!("e{number}"), 20)]);
    }
    let events = events(&store);
    assert!((20..=24).contains(&events.len()), "{events:?}");
    assert!(events.contains(&"oldest-removed".to_owned()));
    assert!(events.contains(&"e47".to_owned()));
    let check = store.check_audit().unwrap();
    assert_eq!(check.problems, [""; 0]);
    assert!(check.first > 1);
    drop(store);
    // What the removal did not cover cannot be removed.
    let connection = Connection::open(scratch.path()).unwrap();
    let delete = format!("DELETE FROM audit WHERE seq = {}", check.first);
    assert!(connection.execute_batch(&delete).is_err());
}

#[test]
fn a_damaged_database_gives_its_audit_back() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for text in ["a", "b", "c"] {
        write(&store, "one", vec![state(text), audit(text, 100)]);
    }
    drop(store);
    let mut bytes = std::fs::read(scratch.path()).unwrap();
    bytes[..100].fill(0xaa);
    std::fs::write(scratch.path(), bytes).unwrap();
    let (store, notices) = scratch.open_noticing();
    assert_eq!(notices.len(), 1);
    assert_eq!(events(&store), ["a", "b", "c"]);
    write(&store, "one", vec![audit("d", 100)]);
    assert_eq!(store.check_audit().unwrap().problems, [""; 0]);
}
