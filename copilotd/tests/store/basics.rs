//! What is put comes back, in order, over restarts; and search finds it.

use std::os::unix::fs::PermissionsExt as _;

use copilotd::store::{Health, Operation, Position, ProcessRecord, StoreError};

use crate::harness::{Scratch, batch, state, summary, tail, turn, write};

#[test]
fn a_session_comes_back_as_it_was_put() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert!(store.load("a", 10).unwrap().is_none());
    write(
        &store,
        "a",
        vec![state("one"), summary("first", 1), tail("x"), tail("y")],
    );
    for n in 0..5 {
        write(
            &store,
            "a",
            vec![
                turn(&format!("t{n}"), "words"),
                Operation::ClearTail,
                tail("z"),
            ],
        );
    }
    drop(store);
    let store = scratch.open();
    let loaded = store.load("a", 2).unwrap().unwrap();
    assert_eq!(loaded.state_json.unwrap(), r#"{"state":"one"}"#);
    assert_eq!(loaded.summary_json.unwrap(), r#"{"title":"first"}"#);
    let turns: Vec<_> = loaded.turns.iter().map(|t| (t.ordinal, &*t.id)).collect();
    assert_eq!(turns, [(3, "t3"), (4, "t4")]);
    assert_eq!(loaded.earlier_turns, 3);
    assert_eq!(loaded.tail.len(), 1);
    assert_eq!(loaded.tail[0].action_json, r#"{"delta":"z"}"#);

    let earlier = store.turns_before("a", 3, 2).unwrap();
    let ids: Vec<_> = earlier.iter().map(|t| &*t.id).collect();
    assert_eq!(ids, ["t1", "t2"]);
    assert_eq!(store.turn_ordinal("a", "t4").unwrap(), Some(4));
    assert_eq!(store.turn_ordinal("a", "t9").unwrap(), None);
    assert_eq!(store.turn_ordinal("b", "t4").unwrap(), None);
    assert_eq!(store.load("a", 0).unwrap().unwrap().earlier_turns, 5);
    assert_eq!(store.health(), Health::Good);
}

#[test]
fn a_turn_completed_again_is_replaced_where_it_is() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(&store, "a", vec![turn("t0", "apple"), turn("t1", "pear")]);
    write(&store, "a", vec![turn("t0", "plum")]);
    let loaded = store.load("a", 10).unwrap().unwrap();
    assert_eq!(loaded.turns.len(), 2);
    assert!(loaded.turns[0].json.contains("plum"));
    assert_eq!(store.search("apple", 10).unwrap(), []);
    assert_eq!(store.search("plum", 10).unwrap().len(), 1);
}

#[test]
fn the_list_is_newest_first_and_read_in_pages() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for n in 0..10 {
        // Pairs share their time: the id decides.
        write(&store, &format!("s{n}"), vec![summary("x", n / 2)]);
    }
    write(&store, "unlisted", vec![state("x")]);
    let mut seen = Vec::new();
    let mut before: Option<Position> = None;
    loop {
        let page = store.summaries(before.as_ref(), 3).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(Position {
            modified_at: last.modified_at.clone(),
            id: last.id.clone(),
        });
        seen.extend(page.into_iter().map(|s| s.id));
    }
    let expected: Vec<String> = (0..10).rev().map(|n| format!("s{n}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(store.unlisted().unwrap(), ["unlisted"]);
}

#[test]
fn a_deleted_session_leaves_nothing_but_its_processes() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let record = ProcessRecord {
        session: "a".to_owned(),
        pid: 4_000_000_000,
        group: 7,
        start_time: u64::MAX,
    };
    let secret = "xylophone";
    write(
        &store,
        "a",
        vec![
            state(secret),
            summary(secret, 1),
            turn("t0", secret),
            tail(secret),
            Operation::RecordProcess(record.clone()),
        ],
    );
    write(&store, "b", vec![state("kept"), summary("kept", 2)]);
    write(&store, "a", vec![Operation::Delete]);
    assert!(store.load("a", 1).unwrap().is_none());
    assert_eq!(store.search(secret, 10).unwrap(), []);
    assert_eq!(store.summaries(None, 10).unwrap().len(), 1);
    assert_eq!(store.processes().unwrap(), [record]);
    write(
        &store,
        "a",
        vec![Operation::ForgetProcess { pid: 4_000_000_000 }],
    );
    assert_eq!(store.processes().unwrap(), []);
    drop(store);
    let bytes = std::fs::read(scratch.path()).unwrap();
    let holds = |word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
    assert!(holds("kept") && !holds(secret));
}

#[test]
fn a_session_can_be_put_again_after_it_was_deleted_in_one_batch() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(&store, "a", vec![state("old"), turn("t0", "old")]);
    write(
        &store,
        "a",
        vec![Operation::Delete, state("new"), turn("t0", "new")],
    );
    let loaded = store.load("a", 10).unwrap().unwrap();
    assert!(loaded.state_json.unwrap().contains("new"));
    assert_eq!((loaded.turns.len(), loaded.turns[0].ordinal), (1, 0));
}

#[test]
fn search_finds_titles_and_turns_and_takes_any_query() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(
        &store,
        "a",
        vec![
            summary("Fix the login", 1),
            turn("t0", "the café's\nlogin page has a bug"),
            turn("t1", "nothing here"),
        ],
    );
    write(&store, "b", vec![turn("t0", "another login")]);
    let hits = store.search("LOGIN", 10).unwrap();
    assert_eq!(hits.len(), 3);
    assert_eq!((&*hits[0].session, &hits[0].turn_id), ("a", &None));
    assert_eq!(hits[0].snippet, "Fix the login");
    let found = store.search("cafe bu", 10).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].turn_id.as_deref(), Some("t0"));
    assert_eq!(found[0].title, "Fix the login");
    assert_eq!(found[0].snippet, "the café's login page has a bug");
    assert_eq!(store.search("login", 2).unwrap().len(), 2);
    assert_eq!(store.search("login", 0).unwrap(), []);
    assert_eq!(store.search("login missing", 10).unwrap(), []);
    write(&store, "a", vec![summary("Renamed", 2)]);
    assert_eq!(store.search("fix", 10).unwrap(), []);
    assert_eq!(store.search("rena", 10).unwrap().len(), 1);

    let long = "x".repeat(1 << 20);
    for hostile in [
        "",
        " ",
        "\"",
        "\"\"\"",
        "*",
        "a*b",
        "-",
        "^",
        "AND",
        "NOT",
        "a OR",
        "NEAR(",
        "a:b",
        "text:login",
        "{text}:x",
        "(",
        ")",
        "'; DROP TABLE turns; --",
        "\0",
        "a\0b",
        "\u{feff}",
        "¿?",
        "½",
        "🦀",
        "𠀀",
        "a\u{301}",
        "\u{202e}x",
        "l\"o\"g",
        "+",
        ",",
        "\\",
        "%",
        "_",
        &long,
    ] {
        store.search(hostile, 10).unwrap_or_else(|error| {
            panic!(
                "{:?}: {error}",
                hostile.chars().take(20).collect::<String>()
            )
        });
    }
}

#[test]
fn only_the_owner_can_read_the_files() {
    let scratch = Scratch::new();
    let folder = scratch.folder.path().join("deep/er");
    let (store, _) = copilotd::store::open(&folder.join("db")).unwrap();
    write(&store, "a", vec![state("x")]);
    store.load("a", 1).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names += 1;
    }
    assert_eq!(names, 4, "database, WAL, its index, numbers");
}

#[test]
fn what_was_submitted_before_the_end_is_written_and_nothing_after() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let pending: Vec<_> = (0..500)
        .map(|n| {
            store
                .submit(batch("a", vec![turn(&format!("t{n}"), "x")]))
                .unwrap()
        })
        .collect();
    store.close();
    for committed in pending {
        assert_eq!(committed.wait(), Ok(()));
    }
    let late = store.submit(batch("a", vec![state("late")])).unwrap();
    assert_eq!(late.wait(), Err(StoreError::Closed));
    drop(store);
    let store = scratch.open();
    assert_eq!(store.load("a", 1).unwrap().unwrap().earlier_turns, 499);
}

#[test]
fn numbers_begin_at_one_and_never_repeat() {
    let scratch = Scratch::new();
    let store = scratch.open();
    assert_eq!(store.reserve_numbers(100).unwrap(), 1..101);
    assert_eq!(store.clone().reserve_numbers(1).unwrap(), 101..102);
    drop(store);
    let store = scratch.open();
    assert_eq!(store.reserve_numbers(1).unwrap().start, 102);
    drop(store);
    // The copy in the database alone is not trusted to be the latest.
    std::fs::remove_file(scratch.beside("-numbers")).unwrap();
    assert!(scratch.open().reserve_numbers(1).unwrap().start > 1_700_000_000_000_000);
    // The file alone is enough.
    std::fs::remove_file(scratch.path()).unwrap();
    assert!(scratch.open().reserve_numbers(1).unwrap().start > 1_700_000_000_000_001);
}
