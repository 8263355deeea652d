//! Files that are cut anywhere, and pages of garbage: it opens, what it shows is what was
//! once stored, and the damaged file is kept as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use copilotd::store::{Health, Limits, Store, StoreError, open_with};
use tempfile::TempDir;

use crate::harness::{
    NAME, Scratch, batch, copy_all, fast_folder, state, summary, tail, turn, write,
};

/// Small steps of a fixed pseudo-random sequence.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

const SESSIONS: usize = 8;
const TURNS: usize = 6;

/// A database like those of people: short and long rows, overflow pages, deleted rows.
/// Returns the numbers that were reserved.
fn fill(store: &Store) -> u64 {
    write(store, "gone", vec![state("gone"), turn("t0", "gone")]);
    write(store, "gone", vec![copilotd::store::Operation::Delete]);
    for n in 0..SESSIONS {
        let session = format!("session-{n}");
        let long = "word ".repeat(if n % 4 == 0 { 1500 } else { 30 });
        write(store, &session, vec![state(&long), summary("title", n)]);
        for t in 0..TURNS {
            let words = format!("turn {t} of {n} {long}");
            write(
                store,
                &session,
                vec![turn(&format!("t{t}"), &words), tail("x")],
            );
        }
    }
    store.reserve_numbers(500).unwrap().end
}

/// The files of a database, closed cleanly or as a kill leaves them.
fn original(is_killed: bool) -> (TempDir, u64) {
    let scratch = Scratch::new();
    let store = scratch.open();
    let numbers = fill(&store);
    if is_killed {
        let copy = fast_folder();
        copy_all(scratch.folder.path(), copy.path());
        return (copy, numbers);
    }
    drop(store);
    (scratch.folder, numbers)
}

/// All that a store shows, by what names it.
fn contents(store: &Store) -> Result<BTreeMap<String, String>, StoreError> {
    let mut seen = BTreeMap::new();
    let mut ids: Vec<String> = store
        .summaries(None, 1000)?
        .into_iter()
        .map(|s| s.id)
        .collect();
    ids.extend(store.unlisted()?);
    for id in ids {
        let loaded = store.load(&id, 1000)?.expect("it was listed");
        for (n, turn) in loaded.turns.iter().enumerate() {
            assert_eq!(turn.ordinal, n as u64, "turns are numbered without gaps");
            seen.insert(format!("{id} turn {}", turn.id), turn.json.clone());
        }
        seen.extend(loaded.state_json.map(|s| (format!("{id} state"), s)));
        seen.extend(loaded.summary_json.map(|s| (format!("{id} summary"), s)));
        seen.insert(format!("{id} tail"), "x".repeat(loaded.tail.len().min(1)));
    }
    Ok(seen)
}

struct Outcome {
    /// Names of what was shown.
    shown: usize,
    is_set_aside: bool,
}

/// Opens what lies in the folder and checks all that must hold whatever the damage.
fn check(folder: &Path, whole: &BTreeMap<String, String>, numbers: u64, what: &str) -> Outcome {
    let path = folder.join(NAME);
    let before = ["", "-wal"].map(|s| {
        (
            s,
            std::fs::read(folder.join(format!("{NAME}{s}"))).unwrap_or_default(),
        )
    });
    let before = BTreeMap::from(before);
    let (store, notices) = copilotd::store::open(&path).unwrap_or_else(|e| panic!("{what}: {e}"));
    let shown = contents(&store).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (name, value) in &shown {
        if name.ends_with("tail") {
            continue;
        }
        let original = whole.get(name);
        assert!(
            original == Some(value),
            "{what}: {name} was never stored: {} bytes, not {:?}; {notices:?}",
            value.len(),
            original.map(String::len)
        );
    }
    let next = store.reserve_numbers(1).unwrap().start;
    assert!(next >= numbers, "{what}: number {next} is used again");
    write(
        &store,
        "new",
        vec![state("new"), summary("new", 100), turn("t0", "quokka")],
    );
    assert_eq!(store.search("quokka", 10).unwrap().len(), 1, "{what}");
    let kept: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| {
            p.to_string_lossy().contains(".damaged") && !p.to_string_lossy().ends_with("-wal")
        })
        .filter(|p| !p.to_string_lossy().ends_with("-shm"))
        .collect();
    for (kept, suffix) in kept.iter().flat_map(|k| [(k, ""), (k, "-wal")]) {
        let kept = std::fs::read(format!("{}{suffix}", kept.display())).unwrap_or_default();
        assert!(
            kept == before[suffix],
            "{what}: {suffix} kept as it was; {notices:?}"
        );
    }
    assert_eq!(notices.is_empty(), kept.is_empty(), "{what}: {notices:?}");
    drop(store);
    let (store, notices) = copilotd::store::open(&path).unwrap();
    assert_eq!(notices, [], "{what}: the second start is quiet");
    assert!(store.load("new", 1).unwrap().is_some(), "{what}");
    Outcome {
        shown: shown.len(),
        is_set_aside: !kept.is_empty(),
    }
}

fn whole_of(folder: &Path) -> BTreeMap<String, String> {
    let copy = fast_folder();
    copy_all(folder, copy.path());
    let (store, notices) = copilotd::store::open(&copy.path().join(NAME)).unwrap();
    assert_eq!(notices, []);
    contents(&store).unwrap()
}

fn cut_at_random(is_killed: bool, suffix: &str, times: usize, seed: u64) -> Vec<(f64, Outcome)> {
    let (folder, numbers) = original(is_killed);
    let whole = whole_of(folder.path());
    assert_eq!(whole.len(), SESSIONS * (TURNS + 3));
    let victim = format!("{NAME}{suffix}");
    let length = usize::try_from(folder.path().join(&victim).metadata().unwrap().len()).unwrap();
    let mut dice = Dice(seed);
    (0..times)
        .map(|n| {
            let at = match n {
                0 => 0,
                1 => 1,
                2 => 99,
                3 => 4096,
                4 => length - 1,
                _ => dice.roll(length),
            };
            let copy = fast_folder();
            copy_all(folder.path(), copy.path());
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(copy.path().join(&victim))
                .unwrap();
            file.set_len(at as u64).unwrap();
            let what = format!("{victim} of {length} cut at {at}");
            let outcome = check(copy.path(), &whole, numbers, &what);
            (at as f64 / length as f64, outcome)
        })
        .collect()
}

fn assert_much_is_recovered(outcomes: &[(f64, Outcome)]) {
    let whole = SESSIONS * (TURNS + 3);
    for (part, outcome) in outcomes {
        assert!(outcome.is_set_aside, "cut at {part}");
        if *part > 0.95 {
            assert!(outcome.shown * 2 > whole, "{} at {part}", outcome.shown);
        }
    }
    let shown: usize = outcomes.iter().map(|(_, o)| o.shown).sum();
    let average = shown as f64 / outcomes.len() as f64 / whole as f64;
    assert!(average > 0.25, "only {average} of it came back");
}

#[test]
fn a_database_cut_anywhere_is_recovered_as_far_as_it_goes() {
    assert_much_is_recovered(&cut_at_random(false, "", 120, 11));
}

#[test]
fn a_database_cut_while_its_wal_is_there() {
    // Nearly everything is in the WAL, and comes back.
    let outcomes = cut_at_random(true, "", 60, 12);
    for (part, outcome) in outcomes {
        let is_recovered = outcome.shown * 2 > SESSIONS * (TURNS + 3);
        assert!(is_recovered, "cut at {part}: {}", outcome.shown);
    }
}

#[test]
fn a_wal_cut_anywhere_leaves_an_earlier_moment() {
    let outcomes = cut_at_random(true, "-wal", 150, 13);
    for (part, outcome) in outcomes {
        assert!(!outcome.is_set_aside, "cut at {part}");
    }
}

#[test]
#[ignore = "long"]
fn a_thousand_cuts() {
    assert_much_is_recovered(&cut_at_random(false, "", 1000, 21));
    cut_at_random(true, "", 1000, 22);
    cut_at_random(true, "-wal", 1000, 23);
}

#[test]
fn a_wal_that_is_gone_or_garbage_leaves_an_earlier_moment() {
    let (folder, numbers) = original(true);
    let whole = whole_of(folder.path());
    for garbage in [None, Some(vec![0xa5; 50_000]), Some(Vec::new())] {
        let copy = fast_folder();
        copy_all(folder.path(), copy.path());
        let wal = copy.path().join(format!("{NAME}-wal"));
        match &garbage {
            None => std::fs::remove_file(&wal).unwrap(),
            Some(bytes) => std::fs::write(&wal, bytes).unwrap(),
        }
        check(copy.path(), &whole, numbers, "a WAL that is not one");
    }
}

#[test]
fn a_file_whose_beginning_was_written_over_is_recovered() {
    let (folder, numbers) = original(false);
    let whole = whole_of(folder.path());
    for bytes in [1, 100, 5000] {
        let copy = fast_folder();
        copy_all(folder.path(), copy.path());
        let mut content = std::fs::read(copy.path().join(NAME)).unwrap();
        content[..bytes].fill(b'\n');
        std::fs::write(copy.path().join(NAME), content).unwrap();
        let outcome = check(copy.path(), &whole, numbers, &format!("{bytes} bytes"));
        assert!(outcome.is_set_aside);
        assert!(
            outcome.shown * 10 > whole.len() * 9,
            "{bytes}: {}",
            outcome.shown
        );
    }
}

fn spoil_page(path: &Path, page: usize, pattern: usize) {
    use std::os::unix::fs::FileExt as _;
    let mut dice = Dice(page as u64 * 31 + pattern as u64 + 1);
    let bytes: Vec<u8> = match pattern {
        0 => vec![0; 4096],
        1 => vec![0xff; 4096],
        _ => (0..4096)
            .map(|_| u8::try_from(dice.roll(256)).unwrap())
            .collect(),
    };
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&bytes, page as u64 * 4096).unwrap();
}

fn pages_of(folder: &Path) -> usize {
    usize::try_from(folder.join(NAME).metadata().unwrap().len()).unwrap() / 4096
}

#[test]
fn any_page_of_garbage_is_recovered_around() {
    let (folder, numbers) = original(false);
    let whole = whole_of(folder.path());
    let pages = pages_of(folder.path());
    let mut shown = 0;
    for page in 0..pages {
        let copy = fast_folder();
        copy_all(folder.path(), copy.path());
        spoil_page(&copy.path().join(NAME), page, page % 3);
        let what = format!("page {page} of {pages}");
        let recovered = check(copy.path(), &whole, numbers, &what).shown;
        // At the worst it is the one page that leads to all rows of a table.
        assert!(recovered >= SESSIONS * 2, "{what}: {recovered}");
        shown += recovered;
    }
    let average = shown as f64 / pages as f64 / whole.len() as f64;
    assert!(average > 0.9, "only {average} of it came back");
}

#[test]
fn damage_in_a_large_database_is_met_when_it_is_read_and_repaired_at_the_next_start() {
    let (folder, numbers) = original(false);
    let whole = whole_of(folder.path());
    // Nothing is looked at in advance, as in a large database.
    let limits = Limits {
        check_bytes: 0,
        ..Limits::default()
    };
    let mut met = 0;
    for page in 1..pages_of(folder.path()) {
        let copy = fast_folder();
        copy_all(folder.path(), copy.path());
        let path = copy.path().join(NAME);
        spoil_page(&path, page, page % 3);
        let (store, notices) = open_with(&path, limits).unwrap();
        if !notices.is_empty() {
            continue;
        }
        let mut damaged = 0;
        for n in 0..SESSIONS {
            let id = format!("session-{n}");
            match store.load(&id, 1000) {
                Ok(_) => {}
                Err(error @ StoreError::Damaged { .. }) => {
                    assert!(error.to_string().contains("restart the daemon"), "{error}");
                    damaged += 1;
                }
                Err(error) => panic!("page {page}: {error}"),
            }
        }
        drop(store);
        if damaged > 0 {
            met += 1;
            let (store, notices) = open_with(&path, limits).unwrap();
            assert!(notices[0].0.contains("was damaged"), "{notices:?}");
            let shown = contents(&store).unwrap();
            assert!(
                shown.len() * 4 > whole.len(),
                "page {page}: {}",
                shown.len()
            );
            drop(store);
            check_quiet(&path, numbers, limits);
        }
    }
    assert!(met > 10, "{met}");
}

#[test]
fn a_writer_that_meets_damage_stops_and_goes_on_after_the_next_start() {
    let (folder, _) = original(false);
    let path = folder.path().join(NAME);
    let limits = Limits {
        check_bytes: 0,
        ..Limits::default()
    };
    // The WAL is moved first, so that what is spoiled is what is read.
    let store = copilotd::store::open(&path).unwrap().0;
    drop(store);
    let pages = pages_of(folder.path());
    let (store, _) = open_with(&path, limits).unwrap();
    for page in 30..pages {
        spoil_page(&path, page, 1);
    }
    let mut pending = Vec::new();
    for n in 0..SESSIONS {
        let changes = vec![
            turn("new", "quagga"),
            tail("y"),
            copilotd::store::Operation::ClearTail,
        ];
        pending.push(
            store
                .submit(batch(&format!("session-{n}"), changes))
                .unwrap(),
        );
    }
    let mut health = store.watch_health();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime
        .block_on(health.wait_for(|h| *h != Health::Good))
        .unwrap();
    let Health::Failing { message, .. } = store.health() else {
        panic!("it was failing");
    };
    assert!(message.contains("restart the daemon"), "{message}");
    store.close();
    // Every one of them meets it, and none was acknowledged.
    for committed in pending {
        assert_eq!(committed.wait(), Err(StoreError::Closed));
    }
    let (store, notices) = open_with(&path, limits).unwrap();
    assert!(notices[0].0.contains("was damaged"), "{notices:?}");
    write(&store, "session-0", vec![turn("new", "quagga")]);
    assert_eq!(store.search("quagga", 10).unwrap().len(), 1);
}

fn check_quiet(path: &Path, numbers: u64, limits: Limits) {
    let (store, notices) = open_with(path, limits).unwrap();
    assert_eq!(notices, []);
    assert!(store.reserve_numbers(1).unwrap().start >= numbers);
}

#[test]
fn a_recovery_that_is_killed_at_any_step_is_finished_or_begun_again() {
    let (folder, numbers) = original(false);
    let whole = whole_of(folder.path());
    spoil_page(&folder.path().join(NAME), 5, 1);
    // What the steps leave, in their order: a half-written copy; a whole one; the damaged
    // file renamed, its WAL not yet.
    let recovered = fast_folder();
    copy_all(folder.path(), recovered.path());
    drop(copilotd::store::open(&recovered.path().join(NAME)).unwrap());
    let at = |folder: &TempDir, suffix: &str| folder.path().join(format!("{NAME}{suffix}"));

    let copy = fast_folder();
    copy_all(folder.path(), copy.path());
    std::fs::write(at(&copy, ".building"), "half").unwrap();
    std::fs::write(at(&copy, ".building-wal"), "half").unwrap();
    assert!(check(copy.path(), &whole, numbers, "half a copy").shown > 50);

    let copy = fast_folder();
    copy_all(folder.path(), copy.path());
    std::fs::copy(at(&recovered, ""), at(&copy, ".ready")).unwrap();
    assert!(check(copy.path(), &whole, numbers, "a whole copy").shown > 50);

    let copy = fast_folder();
    copy_all(folder.path(), copy.path());
    std::fs::copy(at(&recovered, ""), at(&copy, ".ready")).unwrap();
    std::fs::rename(at(&copy, ""), at(&copy, ".damaged-20250101T000000Z")).unwrap();
    std::fs::write(at(&copy, "-wal"), "orphan").unwrap();
    let (store, notices) = copilotd::store::open(&at(&copy, "")).unwrap();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(contents(&store).unwrap().len() > 50);
    assert!(store.reserve_numbers(1).unwrap().start >= numbers);
}
