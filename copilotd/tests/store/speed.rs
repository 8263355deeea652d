//! How long things take, on the disk that holds the temporary folder. Prints figures:
//! `cargo test -p copilotd --test store speed -- --ignored --nocapture`

use std::time::{Duration, Instant};

use copilotd::store::{Batch, Store, open};

use crate::harness::{state, summary, tail, turn, write};

fn percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{name}: median {:?}, 99 % {:?}, longest {:?}",
            at(50),
            at(99),
            at(100)
        );
    }
}

fn time(times: usize, mut run: impl FnMut(usize)) -> Vec<Duration> {
    (0..times)
        .map(|n| {
            let started = Instant::now();
            run(n);
            started.elapsed()
        })
        .collect()
}

fn commit(store: &Store, durable: bool) {
    let batch = Batch {
        session: "a".to_owned(),
        durable,
        operations: vec![tail("some words of a streamed answer")],
    };
    store.submit(batch).unwrap().wait().unwrap();
}

#[test]
#[ignore = "long"]
fn figures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let started = Instant::now();
    let (store, _) = open(&path).unwrap();
    percentiles("create and open", vec![started.elapsed()]);
    percentiles("commit, durable", time(500, |_| commit(&store, true)));
    percentiles("commit, not durable", time(5000, |_| commit(&store, false)));
    percentiles(
        "reserve numbers",
        time(500, |_| store.reserve_numbers(1000).map(drop).unwrap()),
    );
    for n in 0..1000 {
        write(
            &store,
            &format!("s{n}"),
            vec![state("x"), summary(&format!("title {n}"), n)],
        );
    }
    for n in 0..5000 {
        let text = format!("turn {n} {}", "some more words ".repeat(60));
        let batch = Batch {
            session: "long".to_owned(),
            durable: false,
            operations: vec![turn(&n.to_string(), &text)],
        };
        store.submit(batch).unwrap().wait().unwrap();
    }
    percentiles(
        "list 50 of 1000",
        time(200, |_| drop(store.summaries(None, 50).unwrap())),
    );
    percentiles(
        "load 20 of 5000 turns",
        time(200, |_| drop(store.load("long", 20).unwrap())),
    );
    percentiles(
        "search 5000 turns",
        time(50, |_| drop(store.search("more turn", 20).unwrap())),
    );
    drop(store);
    percentiles("open again", time(20, |_| drop(open(&path).unwrap())));
}
