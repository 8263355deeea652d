//! Random batches against a model in memory, with restarts and kills in between.
//!
//! A kill is what the files hold at a random moment while the writer is at work.

use std::collections::BTreeMap;

use copilotd::store::{AuditFilter, Batch, Committed, Operation, ProcessRecord, Store};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::harness::{NAME, audit, copy_all, fast_folder, state, summary, tail, turn};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Session {
    state: Option<String>,
    summary: Option<(String, String)>,
    turns: Vec<(String, String)>,
    tail: Vec<String>,
}

/// What the store should hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    sessions: BTreeMap<String, Session>,
    processes: BTreeMap<u32, String>,
    audit: Vec<String>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) {
        for operation in &batch.operations {
            if let Operation::Delete = operation {
                self.sessions.remove(&batch.session);
                continue;
            }
            if let Operation::RecordProcess(record) = operation {
                self.processes.insert(record.pid, record.session.clone());
                continue;
            }
            if let Operation::Audit { record_json, .. } = operation {
                self.audit.push(record_json.clone());
                continue;
            }
            if let Operation::ForgetProcess { pid } = operation {
                self.processes.remove(pid);
                continue;
            }
            let session = self.sessions.entry(batch.session.clone()).or_default();
            match operation.clone() {
                Operation::PutState { state_json } => session.state = Some(state_json),
                Operation::PutSummary {
                    summary_json,
                    modified_at,
                    ..
                } => session.summary = Some((modified_at, summary_json)),
                Operation::AppendTail { action_json, .. } => session.tail.push(action_json),
                Operation::ClearTail => session.tail.clear(),
                Operation::CompleteTurn { turn_id, json, .. } => {
                    match session.turns.iter_mut().find(|(id, _)| *id == turn_id) {
                        Some(found) => found.1 = json,
                        None => session.turns.push((turn_id, json)),
                    }
                }
                Operation::RecordProcess(_)
                | Operation::ForgetProcess { .. }
                | Operation::Audit { .. }
                | Operation::Delete => unreachable!(),
            }
        }
    }

    /// The same, read from a store.
    fn read(store: &Store) -> Self {
        let mut model = Self::default();
        let summaries = store.summaries(None, 1000).unwrap();
        assert!(summaries.is_sorted_by(|a, b| (&a.modified_at, &a.id) > (&b.modified_at, &b.id)));
        let ids = summaries
            .iter()
            .map(|s| s.id.clone())
            .chain(store.unlisted().unwrap());
        for id in ids {
            let loaded = store.load(&id, 3).unwrap().unwrap();
            let mut turns = store
                .turns_before(&id, loaded.earlier_turns, usize::MAX)
                .unwrap();
            assert_eq!(turns.len() as u64, loaded.earlier_turns);
            turns.extend(loaded.turns);
            for (ordinal, turn) in turns.iter().enumerate() {
                assert_eq!(turn.ordinal, ordinal as u64);
                let found = store.turn_ordinal(&id, &turn.id).unwrap();
                assert_eq!(found, Some(turn.ordinal));
            }
            let summary = summaries.iter().find(|s| s.id == id);
            assert_eq!(loaded.summary_json, summary.map(|s| s.summary_json.clone()));
            model.sessions.insert(
                id,
                Session {
                    state: loaded.state_json,
                    summary: summary.map(|s| (s.modified_at.clone(), s.summary_json.clone())),
                    turns: turns.into_iter().map(|t| (t.id, t.json)).collect(),
                    tail: loaded.tail.into_iter().map(|t| t.action_json).collect(),
                },
            );
        }
        assert_eq!(store.check_audit().unwrap().problems, [""; 0]);
        let filter = AuditFilter::default();
        let (audit, _) = store.audit(&filter, usize::MAX, usize::MAX).unwrap();
        model.audit = audit.into_iter().map(|row| row.record_json).collect();
        for record in store.processes().unwrap() {
            model.processes.insert(record.pid, record.session);
        }
        model
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit(Batch),
    Wait,
    Numbers(u64),
    Reopen,
    Kill,
}

fn operation(session: usize) -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => "[a-z ]{0,40}".prop_map(|text| state(&text)),
        3 => ("[a-z]{1,8}", 0..1000_usize).prop_map(|(title, minute)| summary(&title, minute)),
        4 => "[a-zé🦀]{0,60}".prop_map(|text| tail(&text)),
        1 => Just(Operation::ClearTail),
        4 => (0..12_u8, "[a-z ]{0,3000}").prop_map(|(n, text)| turn(&format!("t{n}"), &text)),
        1 => (1..6_u32).prop_map(move |pid| Operation::RecordProcess(ProcessRecord {
            session: format!("s{session}"),
            pid,
            group: pid,
            start_time: 7,
        })),
        1 => (1..6_u32).prop_map(|pid| Operation::ForgetProcess { pid }),
        2 => "[a-z]{0,20}".prop_map(|text| audit(&text, u64::MAX / 2)),
        1 => Just(Operation::Delete),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    (0..4_usize, any::<bool>()).prop_flat_map(|(session, durable)| {
        prop::collection::vec(operation(session), 0..5).prop_map(move |operations| Batch {
            session: format!("s{session}"),
            durable,
            operations,
        })
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => batch().prop_map(Step::Submit),
        2 => Just(Step::Wait),
        2 => (0..50_u64).prop_map(Step::Numbers),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

/// A store under test, what it should hold after each batch, and what was acknowledged.
struct Run {
    folder: TempDir,
    store: Option<Store>,
    /// The model after nothing, after the first batch, and so on.
    moments: Vec<Model>,
    pending: Vec<Committed>,
    acknowledged: usize,
    next_number: u64,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            folder: fast_folder(),
            store: None,
            moments: vec![Model::default()],
            pending: Vec::new(),
            acknowledged: 0,
            next_number: 1,
        };
        run.open();
        run
    }

    fn open(&mut self) {
        let (store, notices) = copilotd::store::open(&self.folder.path().join(NAME)).unwrap();
        assert_eq!(notices, []);
        self.store = Some(store);
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn wait(&mut self) {
        for committed in self.pending.drain(..) {
            committed.wait().unwrap();
            self.acknowledged += 1;
        }
    }

    fn check_latest(&self) {
        assert_eq!(Some(&Model::read(self.store())), self.moments.last());
    }

    fn go(&mut self, step: Step) {
        match step {
            Step::Submit(batch) => {
                let mut model = self.moments.last().unwrap().clone();
                model.apply(&batch);
                self.moments.push(model);
                self.pending.push(self.store().submit(batch).unwrap());
            }
            Step::Wait => {
                self.wait();
                self.check_latest();
            }
            Step::Numbers(count) => {
                let numbers = self.store().reserve_numbers(count).unwrap();
                assert!(numbers.start >= self.next_number);
                assert_eq!(numbers.end - numbers.start, count);
                self.next_number = numbers.end;
            }
            Step::Reopen => {
                self.store = None;
                self.wait();
                self.open();
                self.check_latest();
            }
            Step::Kill => self.kill(),
        }
    }

    /// Goes on with a copy of the files: everything acknowledged is there, and what is there
    /// is a moment of the history, never half a batch.
    fn kill(&mut self) {
        let copy = fast_folder();
        copy_all(self.folder.path(), copy.path());
        self.store = None;
        self.pending.clear();
        self.folder = copy;
        self.open();
        let found = Model::read(self.store());
        assert!(
            self.moments[self.acknowledged..].contains(&found),
            "not a moment of the history since what was acknowledged: {found:?}"
        );
        self.moments = vec![found];
        self.acknowledged = 0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_its_model_over_restarts_and_kills(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in steps {
            run.go(step);
        }
        run.go(Step::Wait);
        run.go(Step::Reopen);
    }
}
