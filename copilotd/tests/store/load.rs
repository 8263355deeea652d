//! Many at once: groups, bounds, and readers in the way.

use std::time::Duration;

use copilotd::store::{Health, Limits, Store, StoreError, open_with};
use rusqlite::Connection;

use crate::harness::{Scratch, batch, state, summary, tail, turn, write};

/// Commits in a write-ahead log: frames that say how long the database is after them.
fn commits_in(wal: &[u8]) -> usize {
    let frames = wal.get(32..).unwrap_or_default().chunks_exact(24 + 4096);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[test]
fn batches_of_many_sessions_share_transactions() {
    let scratch = Scratch::new();
    let store = scratch.open();
    // Holds the writer, so that the rest waits together.
    let lock = Connection::open(scratch.path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let threads: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            std::thread::spawn(move || {
                let session = format!("s{n}");
                let submit = |text: &str| store.submit(batch(&session, vec![tail(text)])).unwrap();
                (0..20).map(|m| submit(&m.to_string())).collect::<Vec<_>>()
            })
        })
        .collect();
    let pending: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    lock.execute_batch("ROLLBACK").unwrap();
    for committed in pending {
        committed.wait().unwrap();
    }
    let commits = commits_in(&std::fs::read(scratch.beside("-wal")).unwrap());
    assert!((1..=6).contains(&commits), "{commits} for 400 batches");
    for n in 0..20 {
        let tail = store.load(&format!("s{n}"), 0).unwrap().unwrap().tail;
        let texts: Vec<_> = tail.into_iter().map(|t| t.action_json).collect();
        let expected: Vec<_> = (0..20).map(|m| format!("{{\"delta\":\"{m}\"}}")).collect();
        assert_eq!(texts, expected, "in the order of each sender");
    }
}

#[test]
fn a_full_queue_refuses_and_has_room_again_when_it_is_written() {
    let scratch = Scratch::new();
    let limits = Limits {
        queue_bytes: 10_000,
        ..Limits::default()
    };
    let (store, _) = open_with(&scratch.path(), limits).unwrap();
    let lock = Connection::open(scratch.path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut pending = Vec::new();
    let refused = loop {
        match store.submit(batch("a", vec![tail(&"x".repeat(1000))])) {
            Ok(committed) => pending.push(committed),
            Err(full) => break full,
        }
    };
    assert!((8..=11).contains(&pending.len()), "{}", pending.len());
    assert!(store.submitted_bytes() >= 10_000);
    assert!(refused.to_string().contains("too much is waiting"));
    assert_eq!(refused.0.operations.len(), 1, "the batch comes back");

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let is_pending = runtime.block_on(async {
        let no_room = tokio::time::timeout(Duration::from_millis(20), store.room());
        no_room.await.is_err()
    });
    assert!(is_pending);
    lock.execute_batch("ROLLBACK").unwrap();
    runtime.block_on(async {
        store.room().await;
        for committed in pending {
            committed.await.unwrap();
        }
        let again = store.submit(*refused.0).unwrap();
        again.await.unwrap();
    });
    assert_eq!(store.submitted_bytes(), 0);
    // A batch that is larger than the queue gets its turn, too.
    write(&store, "a", vec![tail(&"x".repeat(50_000))]);
}

#[test]
fn a_batch_that_can_never_be_stored_fails_alone_and_whole() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let lock = Connection::open(scratch.path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let bad = copilotd::store::Operation::PutState {
        state_json: "not JSON".to_owned(),
    };
    let before = store.submit(batch("a", vec![state("one")])).unwrap();
    let refused = store
        .submit(batch("a", vec![turn("t0", "x"), bad]))
        .unwrap();
    let after = store.submit(batch("b", vec![state("two")])).unwrap();
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(before.wait(), Ok(()));
    assert!(matches!(refused.wait(), Err(StoreError::Refused { .. })));
    assert_eq!(after.wait(), Ok(()));
    let a = store.load("a", 10).unwrap().unwrap();
    assert_eq!((a.turns.len(), a.state_json.is_some()), (0, true));
    assert_eq!(store.health(), Health::Good);
}

fn wal_bytes(scratch: &Scratch) -> u64 {
    scratch
        .beside("-wal")
        .metadata()
        .map_or(0, |found| found.len())
}

fn write_megabytes(store: &Store, count: usize) {
    for n in 0..count {
        // Never the same text twice: what does not change is not written.
        let text = format!("{n}{}", char::from(b'a' + (n % 26) as u8));
        write(
            store,
            "a",
            vec![state(&text.repeat((1 << 20) / text.len()))],
        );
    }
}

#[test]
fn the_wal_stays_bounded_under_readers_and_after_one_that_is_slow() {
    let scratch = Scratch::new();
    let limits = Limits {
        wal_bytes: 4 << 20,
        ..Limits::default()
    };
    let (store, _) = open_with(&scratch.path(), limits).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, stop) = (store.clone(), std::sync::Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    store.load("a", 10).unwrap();
                }
            })
        })
        .collect();
    write_megabytes(&store, 30);
    assert!(wal_bytes(&scratch) < 12 << 20, "{}", wal_bytes(&scratch));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }

    let slow = Connection::open(scratch.path()).unwrap();
    slow.execute_batch("BEGIN").unwrap();
    slow.query_row("SELECT count(*) FROM sessions", [], |row| {
        row.get::<_, i64>(0)
    })
    .unwrap();
    write_megabytes(&store, 10);
    let bytes = wal_bytes(&scratch);
    assert!(bytes >= 8 << 20, "the reader was in the way: {bytes}");
    slow.execute_batch("COMMIT").unwrap();
    write_megabytes(&store, 2);
    write(&store, "a", vec![state("x")]);
    assert!(wal_bytes(&scratch) <= 6 << 20, "{}", wal_bytes(&scratch));
}

#[test]
fn a_lock_of_another_program_is_waited_for() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut health = store.watch_health();
    let lock = Connection::open(scratch.path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let committed = store.submit(batch("a", vec![state("x")])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    // Longer than SQLite waits by itself.
    runtime
        .block_on(health.wait_for(|h| *h != Health::Good))
        .unwrap();
    let Health::Failing { message, .. } = store.health() else {
        panic!("it was failing");
    };
    assert!(message.contains("locked"), "{message}");
    lock.execute_batch("ROLLBACK").unwrap();
    runtime.block_on(committed).unwrap();
    runtime
        .block_on(health.wait_for(|h| *h == Health::Good))
        .unwrap();
}

#[test]
fn a_deletion_gives_the_space_back() {
    let scratch = Scratch::new();
    let store = scratch.open();
    write(&store, "small", vec![summary("small", 1)]);
    for n in 0..8 {
        write(
            &store,
            "a",
            vec![turn(&n.to_string(), &"x".repeat(1 << 20))],
        );
    }
    write(&store, "a", vec![copilotd::store::Operation::Delete]);
    // The next batch is written after the writer has tidied up.
    write(&store, "small", vec![summary("small", 2)]);
    let bytes = scratch.path().metadata().unwrap().len() + wal_bytes(&scratch);
    assert!(bytes < 1 << 20, "{bytes}");
}
