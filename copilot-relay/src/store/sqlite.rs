//! The store of one relay: SQLite in WAL mode, all of it on one thread of its own.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use link_proto::ids::{DeviceId, MachineId};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use tokio::sync::{mpsc, oneshot};

use super::tickets::Tickets;
use super::{
    Admission, Admitted, Answer, Claimed, Device, Joining, Machine, Proof, Store, StoreError,
    Ticket, schema,
};
use crate::accounts::AccountId;
use crate::clock::Clock;
use crate::digest::TokenDigest;
use crate::limits::Limits;

/// Questions that may wait for the thread. When it is full, whoever asks waits.
const WAITING: usize = 256;

/// How long a machine may join once more without the token of its first time, unless that was used.
const UNUSED_TOKEN: Duration = Duration::from_secs(10 * 60);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A [`Store`] in one file.
#[derive(Debug)]
pub struct SqliteStore {
    /// Nothing once the store is being closed.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tickets: Arc<Mutex<Tickets>>,
    /// Machines that joined lately and have not used their token, and until when that counts. There are no more
    /// than may join.
    unused: Arc<Mutex<HashMap<MachineId, Instant>>>,
    clock: Clock,
}

impl SqliteStore {
    /// Opens `relay.db` in the data folder, which only its owner may read, or makes it.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer relay.
    pub fn open(data: &Path, clock: Clock, limits: &Limits) -> Result<Self, StoreError> {
        let path = data.join("relay.db");
        let mut connection = Connection::open(&path)?;
        // The folder is private already; this is for one that somebody made wider.
        let _ = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600));
        schema::prepare(&mut connection)?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut connection);
                }
            })
            .map_err(|_| StoreError::Closed)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            tickets: Arc::new(Mutex::new(Tickets::new(
                limits.tickets,
                limits.tickets_per_party,
                limits.ticket_lifetime,
            ))),
            unused: Arc::default(),
            clock,
        })
    }

    /// Does `work` on the thread of the database.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
            let (answer, answered) = oneshot::channel();
            let job: Job = Box::new(move |connection| {
                // Whoever asked may have gone; the work is done all the same.
                let _ = answer.send(work(connection));
            });
            jobs.send(job).await.map_err(|_| StoreError::Closed)?;
            Ok(answered.await.map_err(|_| StoreError::Closed)??)
        })
    }

    /// The same in one transaction.
    fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Answer<'_, T> {
        self.ask(move |connection| {
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // What was asked is done before the process ends.
            let _ = thread.join();
        }
    }
}

impl Store for SqliteStore {
    fn join(
        &self,
        account: AccountId,
        machine: Joining,
        token: TokenDigest,
        most: u32,
    ) -> Answer<'_, Admission> {
        let (at, now) = (Timestamp::now().as_millisecond(), self.clock.now());
        let unused = Arc::clone(&self.unused);
        self.change(move |db| {
            let Joining { id, name, proof } = machine;
            let known: Option<(i64, [u8; 32])> = db
                .prepare_cached("SELECT account, token FROM machine WHERE id = ?")?
                .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let mut unused = unused.lock().unwrap_or_else(PoisonError::into_inner);
            unused.retain(|_, until| *until > now);
            match known {
                Some((owner, _)) if owner != account.0 => return Ok(Admission::Taken),
                Some((_, current)) if proof == Proof::Token(Some(TokenDigest(current))) => {
                    db.prepare_cached("UPDATE machine SET name = ? WHERE id = ?")?
                        .execute(params![name, id.0])?;
                    return Ok(Admission::Again);
                }
                Some(_) if proof == Proof::Waived || unused.contains_key(&id) => {}
                Some(_) => return Ok(Admission::Taken),
                None => {
                    let machines: u32 = db
                        .prepare_cached("SELECT count(*) FROM machine WHERE account = ?")?
                        .query_row([account.0], |row| row.get(0))?;
                    if machines >= most {
                        return Ok(Admission::Full);
                    }
                    unused.insert(id, now + UNUSED_TOKEN);
                }
            }
            db.prepare_cached(
                "INSERT INTO machine (id, account, name, token, since_ms) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, token = excluded.token",
            )?
            .execute(params![id.0, account.0, name, token.0, at])?;
            Ok(Admission::Done)
        })
    }

    fn machine_by_token(&self, token: TokenDigest) -> Answer<'_, Option<Machine>> {
        let unused = Arc::clone(&self.unused);
        self.ask(move |db| {
            let machine = db
                .prepare_cached("SELECT id, account, name, since_ms FROM machine WHERE token = ?")?
                .query_row([token.0], machine_row)
                .optional()?;
            if let Some(machine) = &machine {
                let mut unused = unused.lock().unwrap_or_else(PoisonError::into_inner);
                unused.remove(&machine.id);
            }
            Ok(machine)
        })
    }

    fn machine(&self, machine: MachineId) -> Answer<'_, Option<Machine>> {
        self.ask(move |db| machine_with(db, machine))
    }

    fn seen(&self, machine: MachineId, name: String, at: Timestamp) -> Answer<'_, ()> {
        self.ask(move |db| {
            // All machines come at once after a restart; losing this in a crash harms nobody, so nobody
            // waits for the disk.
            db.pragma_update(None, "synchronous", "NORMAL")?;
            let written = db
                .prepare_cached("UPDATE machine SET name = ?, since_ms = ? WHERE id = ?")
                .and_then(|mut update| {
                    update.execute(params![name, at.as_millisecond(), machine.0])
                });
            db.pragma_update(None, "synchronous", "FULL")?;
            written.map(drop)
        })
    }

    fn remove_machine(&self, machine: MachineId) -> Answer<'_, Vec<Device>> {
        self.change(move |db| {
            let devices = db
                .prepare_cached("SELECT device, account FROM reach WHERE machine = ?")?
                .query_map([machine.0], device_row)?
                .collect::<Result<_, _>>()?;
            db.prepare_cached("DELETE FROM machine WHERE id = ?")?
                .execute([machine.0])?;
            forget_stranded(db)?;
            Ok(devices)
        })
    }

    fn admit(&self, admitted: Admitted, claim: TokenDigest, most: u32) -> Answer<'_, Admission> {
        let (tickets, now) = (Arc::clone(&self.tickets), self.clock.now());
        self.ask(move |db| {
            if machine_of(db, &admitted)?.is_none() {
                // It left in the meantime.
                return Ok(Admission::Taken);
            }
            let has_room = has_room(db, admitted.device, most)?
                && lock(&tickets).put(claim, Ticket::Claim(admitted), now);
            Ok(match has_room {
                true => Admission::Done,
                false => Admission::Full,
            })
        })
    }

    fn claim(
        &self,
        claim: TokenDigest,
        shown: Option<TokenDigest>,
        token: TokenDigest,
        most: u32,
    ) -> Answer<'_, Claimed> {
        let (tickets, now) = (Arc::clone(&self.tickets), self.clock.now());
        // On the thread of the database, as revoking is: whichever comes second sees the first.
        self.change(move |db| {
            let Some(Ticket::Claim(admitted)) = lock(&tickets).take(claim, now) else {
                return Ok(Claimed::Void);
            };
            let Some(machine) = machine_of(db, &admitted)? else {
                return Ok(Claimed::Void);
            };
            let Admitted { device, name, .. } = admitted;
            let is_proven = match shown {
                Some(shown) => device_of(db, shown)? == Some(device),
                None => false,
            };
            if !is_proven && reaches_another(db, device, machine.id)? {
                return Ok(Claimed::Unproven);
            }
            if !has_room(db, device, most)? {
                return Ok(Claimed::Full);
            }
            let_in(db, device, &name, machine.id)?;
            if is_proven {
                return Ok(Claimed::Known(device, machine));
            }
            db.prepare_cached("UPDATE device SET token = ? WHERE account = ? AND id = ?")?
                .execute(params![token.0, device.account.0, device.id.0])?;
            Ok(Claimed::New(device, machine))
        })
    }

    fn device_by_token(&self, token: TokenDigest) -> Answer<'_, Option<Device>> {
        self.ask(move |db| device_of(db, token))
    }

    fn reachable(&self, device: Device) -> Answer<'_, Vec<Machine>> {
        self.ask(move |db| {
            db.prepare_cached(
                "SELECT machine.id, machine.account, machine.name, machine.since_ms
                 FROM reach JOIN machine ON machine.id = reach.machine
                 WHERE reach.account = ? AND reach.device = ? ORDER BY machine.name, machine.id",
            )?
            .query_map(params![device.account.0, device.id.0], machine_row)?
            .collect()
        })
    }

    fn revoke(&self, machine: MachineId, device: DeviceId) -> Answer<'_, ()> {
        let tickets = Arc::clone(&self.tickets);
        self.change(move |db| {
            lock(&tickets).take_back(|a| a.machine == machine && a.device.id == device);
            db.prepare_cached("DELETE FROM reach WHERE machine = ? AND device = ?")?
                .execute(params![machine.0, device.0])?;
            forget_stranded(db)
        })
    }

    fn keep_only(&self, machine: MachineId, devices: Vec<DeviceId>) -> Answer<'_, Vec<DeviceId>> {
        let tickets = Arc::clone(&self.tickets);
        self.change(move |db| {
            lock(&tickets).take_back(|a| a.machine == machine && !devices.contains(&a.device.id));
            let had: Vec<Device> = db
                .prepare_cached("SELECT device, account FROM reach WHERE machine = ?")?
                .query_map([machine.0], device_row)?
                .collect::<Result<_, _>>()?;
            let lost: Vec<DeviceId> = had
                .into_iter()
                .map(|device| device.id)
                .filter(|id| !devices.contains(id))
                .collect();
            for device in &lost {
                db.prepare_cached("DELETE FROM reach WHERE machine = ? AND device = ?")?
                    .execute(params![machine.0, device.0])?;
            }
            forget_stranded(db)?;
            Ok(lost)
        })
    }

    fn remove_device(&self, device: Device) -> Answer<'_, ()> {
        self.change(move |db| {
            db.prepare_cached("DELETE FROM device WHERE account = ? AND id = ?")?
                .execute(params![device.account.0, device.id.0])
                .map(drop)
        })
    }

    fn put_ticket(&self, secret: TokenDigest, ticket: Ticket) -> Answer<'_, bool> {
        let kept = lock(&self.tickets).put(secret, ticket, self.clock.now());
        Box::pin(std::future::ready(Ok(kept)))
    }

    fn take_ticket(&self, secret: TokenDigest) -> Answer<'_, Option<Ticket>> {
        let taken = lock(&self.tickets).take(secret, self.clock.now());
        Box::pin(std::future::ready(Ok(taken)))
    }
}

fn lock(tickets: &Mutex<Tickets>) -> MutexGuard<'_, Tickets> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
}

fn machine_with(db: &Connection, id: MachineId) -> Result<Option<Machine>, rusqlite::Error> {
    db.prepare_cached("SELECT id, account, name, since_ms FROM machine WHERE id = ?")?
        .query_row([id.0], machine_row)
        .optional()
}

/// The machine that let a device in, unless it has left since.
fn machine_of(db: &Connection, admitted: &Admitted) -> Result<Option<Machine>, rusqlite::Error> {
    let machine = machine_with(db, admitted.machine)?;
    Ok(machine.filter(|machine| machine.account == admitted.device.account))
}

fn device_of(db: &Connection, token: TokenDigest) -> Result<Option<Device>, rusqlite::Error> {
    db.prepare_cached("SELECT id, account FROM device WHERE token = ?")?
        .query_row([token.0], device_row)
        .optional()
}

/// Whether the device's account knows it already or may have one more.
fn has_room(db: &Connection, device: Device, most: u32) -> Result<bool, rusqlite::Error> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM device WHERE account = ?1 AND id = ?2)
             OR (SELECT count(*) FROM device WHERE account = ?1) < ?3",
    )?
    .query_row(params![device.account.0, device.id.0, most], |row| {
        row.get(0)
    })
}

/// Whether the device reaches another machine than this one.
fn reaches_another(
    db: &Connection,
    device: Device,
    machine: MachineId,
) -> Result<bool, rusqlite::Error> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM reach WHERE account = ? AND device = ? AND machine <> ?)",
    )?
    .query_row(params![device.account.0, device.id.0, machine.0], |row| {
        row.get(0)
    })
}

/// The device reaches the machine from now on.
fn let_in(
    db: &Connection,
    device: Device,
    name: &str,
    machine: MachineId,
) -> Result<(), rusqlite::Error> {
    db.prepare_cached(
        "INSERT INTO device (account, id, name) VALUES (?, ?, ?)
         ON CONFLICT (account, id) DO UPDATE SET name = excluded.name",
    )?
    .execute(params![device.account.0, device.id.0, name])?;
    db.prepare_cached(
        "INSERT INTO reach (account, device, machine) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )?
    .execute(params![device.account.0, device.id.0, machine.0])
    .map(drop)
}

/// Devices that reach no machine are of no use to anybody, and their tokens are dead.
fn forget_stranded(db: &Connection) -> Result<(), rusqlite::Error> {
    db.prepare_cached(
        "DELETE FROM device WHERE NOT EXISTS
         (SELECT 1 FROM reach WHERE reach.account = device.account AND reach.device = device.id)",
    )?
    .execute([])
    .map(drop)
}

fn machine_row(row: &Row<'_>) -> Result<Machine, rusqlite::Error> {
    Ok(Machine {
        id: MachineId(row.get(0)?),
        account: AccountId(row.get(1)?),
        name: row.get(2)?,
        since: Timestamp::from_millisecond(row.get(3)?).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

fn device_row(row: &Row<'_>) -> Result<Device, rusqlite::Error> {
    Ok(Device {
        id: DeviceId(row.get(0)?),
        account: AccountId(row.get(1)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId(1);
    const OTHER: AccountId = AccountId(2);

    fn machine(n: u8) -> MachineId {
        MachineId([n; 16])
    }

    fn device(n: u8) -> DeviceId {
        DeviceId([n; 16])
    }

    fn token(n: u8) -> TokenDigest {
        TokenDigest([n; 32])
    }

    fn open(data: &Path) -> SqliteStore {
        SqliteStore::open(data, Clock::manual(), &Limits::default()).unwrap()
    }

    async fn join(store: &SqliteStore, account: AccountId, n: u8, secret: u8) -> Admission {
        join_with(store, account, n, secret, Proof::Token(None)).await
    }

    async fn join_with(
        store: &SqliteStore,
        account: AccountId,
        n: u8,
        secret: u8,
        proof: Proof,
    ) -> Admission {
        let machine = Joining {
            id: machine(n),
            name: format!("m{n}"),
            proof,
        };
        let joined = store.join(account, machine, token(secret), 2);
        joined.await.unwrap()
    }

    fn account_device(n: u8) -> Device {
        Device {
            id: device(n),
            account: ACCOUNT,
        }
    }

    /// The machine lets a device in, of which there may be one. Its claim is always the same.
    async fn admit(store: &SqliteStore, n: u8, d: u8) -> Admission {
        let admitted = Admitted {
            machine: machine(n),
            device: account_device(d),
            name: "phone".to_owned(),
        };
        store.admit(admitted, token(100), 1).await.unwrap()
    }

    /// Takes that claim, showing a token, and offering another.
    async fn claim(store: &SqliteStore, shown: Option<u8>, new: u8) -> Claimed {
        let claimed = store.claim(token(100), shown.map(token), token(new), 1);
        claimed.await.unwrap()
    }

    /// The machines that a device reaches.
    async fn reach(store: &SqliteStore, device: Device) -> Vec<u8> {
        let machines = store.reachable(device).await.unwrap();
        machines.iter().map(|m| m.id.0[0]).collect()
    }

    #[tokio::test]
    async fn machines_join_up_to_the_limit_and_again_with_what_proves_that_they_are_the_same() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        assert_eq!(join(&store, ACCOUNT, 1, 1).await, Admission::Done);
        assert_eq!(join(&store, ACCOUNT, 2, 2).await, Admission::Done);
        assert_eq!(join(&store, ACCOUNT, 3, 3).await, Admission::Full);
        assert_eq!(join(&store, OTHER, 1, 4).await, Admission::Taken);
        // The answer to its first time may have been lost, until its token is used.
        assert_eq!(join(&store, ACCOUNT, 1, 5).await, Admission::Done);
        assert_eq!(store.machine_by_token(token(1)).await.unwrap(), None);
        assert!(store.machine_by_token(token(5)).await.unwrap().is_some());
        let again = |proof| join_with(&store, ACCOUNT, 1, 6, proof);
        for wrong in [None, Some(token(1)), Some(token(2))] {
            assert_eq!(again(Proof::Token(wrong)).await, Admission::Taken);
        }
        let own = Proof::Token(Some(token(5)));
        assert_eq!(again(own).await, Admission::Again);
        assert!(store.machine_by_token(token(5)).await.unwrap().is_some());
        assert_eq!(again(Proof::Waived).await, Admission::Done);
        assert_eq!(store.machine_by_token(token(5)).await.unwrap(), None);
        // One that was never heard of again is no more open for ever.
        store.clock.advance(UNUSED_TOKEN);
        assert_eq!(join(&store, ACCOUNT, 2, 7).await, Admission::Taken);
        drop(store);
        // Another process.
        let store = open(data.path());
        let known = store.machine_by_token(token(6)).await.unwrap().unwrap();
        assert_eq!((known.id, known.name.as_str()), (machine(1), "m1"));
        store
            .seen(machine(1), "tower".to_owned(), Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        let known = store.machine(machine(1)).await.unwrap().unwrap();
        assert_eq!(
            (known.name.as_str(), known.since),
            ("tower", Timestamp::UNIX_EPOCH)
        );
    }

    #[tokio::test]
    async fn a_device_reaches_what_admitted_it_until_it_is_revoked() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        join(&store, ACCOUNT, 1, 1).await;
        join(&store, ACCOUNT, 2, 2).await;
        let phone = account_device(7);
        assert_eq!(admit(&store, 9, 7).await, Admission::Taken, "no machine 9");
        assert_eq!(admit(&store, 1, 7).await, Admission::Done);
        assert!(
            reach(&store, phone).await.is_empty(),
            "not before the claim"
        );
        assert!(
            matches!(claim(&store, None, 9).await, Claimed::New(d, m) if d == phone && m.id == machine(1))
        );
        assert_eq!(claim(&store, None, 8).await, Claimed::Void, "once");
        assert_eq!(admit(&store, 2, 8).await, Admission::Full);
        assert_eq!(admit(&store, 2, 7).await, Admission::Done, "known");
        assert!(
            matches!(claim(&store, Some(9), 8).await, Claimed::Known(d, m) if d == phone && m.id == machine(2))
        );
        assert_eq!(store.device_by_token(token(9)).await.unwrap(), Some(phone));
        assert_eq!(reach(&store, phone).await, [1, 2]);
        store.revoke(machine(1), device(7)).await.unwrap();
        assert_eq!(reach(&store, phone).await, [2]);
        assert!(store.device_by_token(token(9)).await.unwrap().is_some());
        // The last machine: the device is forgotten, its token is dead.
        assert_eq!(
            store.keep_only(machine(2), vec![device(3)]).await.unwrap(),
            [device(7)]
        );
        assert_eq!(store.device_by_token(token(9)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_machine_gives_out_no_token_of_a_device_that_another_one_knows() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        join(&store, ACCOUNT, 1, 1).await;
        join(&store, ACCOUNT, 2, 2).await;
        let phone = account_device(7);
        admit(&store, 1, 7).await;
        claim(&store, None, 9).await;
        // Without a token, and with those of somebody else.
        for shown in [None, Some(1), Some(3)] {
            admit(&store, 2, 7).await;
            assert_eq!(claim(&store, shown, 8).await, Claimed::Unproven);
        }
        assert_eq!(store.device_by_token(token(8)).await.unwrap(), None);
        assert_eq!(store.device_by_token(token(9)).await.unwrap(), Some(phone));
        assert_eq!(reach(&store, phone).await, [1]);
        // The one machine that it reaches may: it could have revoked the device before.
        admit(&store, 1, 7).await;
        assert!(matches!(claim(&store, None, 8).await, Claimed::New(..)));
        assert_eq!(store.device_by_token(token(9)).await.unwrap(), None);
        assert_eq!(store.device_by_token(token(8)).await.unwrap(), Some(phone));
    }

    #[tokio::test]
    async fn a_claim_is_void_once_its_machine_trusts_the_device_no_more() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        join(&store, ACCOUNT, 1, 1).await;
        admit(&store, 1, 7).await;
        store.revoke(machine(1), device(7)).await.unwrap();
        assert_eq!(claim(&store, None, 9).await, Claimed::Void);
        admit(&store, 1, 7).await;
        store.keep_only(machine(1), vec![device(8)]).await.unwrap();
        assert_eq!(claim(&store, None, 9).await, Claimed::Void);
        admit(&store, 1, 7).await;
        store.remove_machine(machine(1)).await.unwrap();
        assert_eq!(claim(&store, None, 9).await, Claimed::Void);
        join(&store, ACCOUNT, 1, 1).await;
        admit(&store, 1, 7).await;
        store.keep_only(machine(1), vec![device(7)]).await.unwrap();
        assert!(matches!(claim(&store, None, 9).await, Claimed::New(..)));
    }

    #[tokio::test]
    async fn devices_that_are_admitted_at_once_are_counted_when_they_claim() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        join(&store, ACCOUNT, 1, 1).await;
        let admitted = |n| Admitted {
            machine: machine(1),
            device: account_device(n),
            name: "phone".to_owned(),
        };
        for n in [7, 8] {
            let kept = store.admit(admitted(n), token(100 + n), 1).await.unwrap();
            assert_eq!(kept, Admission::Done);
        }
        let claim = |n| store.claim(token(100 + n), None, token(n), 1);
        assert!(matches!(claim(7).await.unwrap(), Claimed::New(..)));
        assert_eq!(claim(8).await.unwrap(), Claimed::Full);
        assert!(reach(&store, account_device(8)).await.is_empty());
    }

    #[tokio::test]
    async fn a_machine_that_leaves_takes_the_access_to_it_along() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        join(&store, ACCOUNT, 1, 1).await;
        let phone = account_device(7);
        admit(&store, 1, 7).await;
        claim(&store, None, 9).await;
        assert_eq!(store.remove_machine(machine(1)).await.unwrap(), [phone]);
        assert_eq!(store.machine_by_token(token(1)).await.unwrap(), None);
        assert!(store.reachable(phone).await.unwrap().is_empty());
    }
}
