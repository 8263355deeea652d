//! The store of one relay: SQLite in WAL mode, all of it on one thread of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use link_proto::ids::{DeviceId, MachineId};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use tokio::sync::{mpsc, oneshot};

use super::tickets::Tickets;
use super::{Admission, Answer, Device, Machine, Store, StoreError, Ticket, schema};
use crate::accounts::AccountId;
use crate::clock::Clock;
use crate::digest::TokenDigest;
use crate::limits::Limits;

/// Questions that may wait for the thread. When it is full, whoever asks waits.
const WAITING: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A [`Store`] in one file.
#[derive(Debug)]
pub struct SqliteStore {
    /// Nothing once the store is being closed.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tickets: Mutex<Tickets>,
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
            tickets: Mutex::new(Tickets::new(limits.tickets, limits.ticket_lifetime)),
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
        machine: MachineId,
        name: String,
        token: TokenDigest,
        most: u32,
    ) -> Answer<'_, Admission> {
        let now = Timestamp::now().as_millisecond();
        self.change(move |db| {
            let owner: Option<i64> = db
                .prepare_cached("SELECT account FROM machine WHERE id = ?")?
                .query_row([machine.0], |row| row.get(0))
                .optional()?;
            match owner {
                Some(owner) if owner != account.0 => return Ok(Admission::Taken),
                Some(_) => {}
                None => {
                    let machines: u32 = db
                        .prepare_cached("SELECT count(*) FROM machine WHERE account = ?")?
                        .query_row([account.0], |row| row.get(0))?;
                    if machines >= most {
                        return Ok(Admission::Full);
                    }
                }
            }
            db.prepare_cached(
                "INSERT INTO machine (id, account, name, token, since_ms) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, token = excluded.token",
            )?
            .execute(params![machine.0, account.0, name, token.0, now])?;
            Ok(Admission::Done)
        })
    }

    fn machine_by_token(&self, token: TokenDigest) -> Answer<'_, Option<Machine>> {
        self.ask(move |db| {
            db.prepare_cached("SELECT id, account, name, since_ms FROM machine WHERE token = ?")?
                .query_row([token.0], machine_row)
                .optional()
        })
    }

    fn machine(&self, machine: MachineId) -> Answer<'_, Option<Machine>> {
        self.ask(move |db| {
            db.prepare_cached("SELECT id, account, name, since_ms FROM machine WHERE id = ?")?
                .query_row([machine.0], machine_row)
                .optional()
        })
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

    fn admit(
        &self,
        machine: MachineId,
        device: DeviceId,
        name: String,
        most: u32,
    ) -> Answer<'_, Admission> {
        self.change(move |db| {
            let Some(account) = account_of(db, machine)? else {
                // It left in the meantime.
                return Ok(Admission::Taken);
            };
            let (known, devices): (bool, u32) = db
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM device WHERE account = ?1 AND id = ?2),
                            (SELECT count(*) FROM device WHERE account = ?1)",
                )?
                .query_row(params![account, device.0], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            if !known && devices >= most {
                return Ok(Admission::Full);
            }
            db.prepare_cached(
                "INSERT INTO device (account, id, name) VALUES (?, ?, ?)
                 ON CONFLICT (account, id) DO UPDATE SET name = excluded.name",
            )?
            .execute(params![account, device.0, name])?;
            db.prepare_cached(
                "INSERT INTO reach (account, device, machine) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![account, device.0, machine.0])?;
            Ok(Admission::Done)
        })
    }

    fn set_device_token(&self, device: Device, token: TokenDigest) -> Answer<'_, bool> {
        self.change(move |db| {
            let changed = db
                .prepare_cached("UPDATE device SET token = ? WHERE account = ? AND id = ?")?
                .execute(params![token.0, device.account.0, device.id.0])?;
            Ok(changed == 1)
        })
    }

    fn device_by_token(&self, token: TokenDigest) -> Answer<'_, Option<Device>> {
        self.ask(move |db| {
            db.prepare_cached("SELECT id, account FROM device WHERE token = ?")?
                .query_row([token.0], device_row)
                .optional()
        })
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
        self.change(move |db| {
            db.prepare_cached("DELETE FROM reach WHERE machine = ? AND device = ?")?
                .execute(params![machine.0, device.0])?;
            forget_stranded(db)
        })
    }

    fn keep_only(&self, machine: MachineId, devices: Vec<DeviceId>) -> Answer<'_, Vec<DeviceId>> {
        self.change(move |db| {
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
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = tickets.put(secret, ticket, self.clock.now());
        Box::pin(std::future::ready(Ok(kept)))
    }

    fn take_ticket(&self, secret: TokenDigest) -> Answer<'_, Option<Ticket>> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = tickets.take(secret, self.clock.now());
        Box::pin(std::future::ready(Ok(taken)))
    }
}

fn account_of(db: &Connection, machine: MachineId) -> Result<Option<i64>, rusqlite::Error> {
    db.prepare_cached("SELECT account FROM machine WHERE id = ?")?
        .query_row([machine.0], |row| row.get(0))
        .optional()
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
        store
            .join(account, machine(n), format!("m{n}"), token(secret), 2)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn machines_join_up_to_the_limit_and_again_with_a_new_token() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        assert_eq!(join(&store, ACCOUNT, 1, 1).await, Admission::Done);
        assert_eq!(join(&store, ACCOUNT, 2, 2).await, Admission::Done);
        assert_eq!(join(&store, ACCOUNT, 3, 3).await, Admission::Full);
        assert_eq!(join(&store, OTHER, 1, 4).await, Admission::Taken);
        assert_eq!(join(&store, ACCOUNT, 1, 5).await, Admission::Done);
        assert_eq!(store.machine_by_token(token(1)).await.unwrap(), None);
        drop(store);
        // Another process.
        let store = open(data.path());
        let known = store.machine_by_token(token(5)).await.unwrap().unwrap();
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
        let phone = Device {
            id: device(7),
            account: ACCOUNT,
        };
        let admit = |n, d| store.admit(machine(n), device(d), "phone".to_owned(), 1);
        assert_eq!(admit(9, 7).await.unwrap(), Admission::Taken, "no machine 9");
        assert_eq!(admit(1, 7).await.unwrap(), Admission::Done);
        assert_eq!(admit(2, 7).await.unwrap(), Admission::Done, "known");
        assert_eq!(admit(2, 8).await.unwrap(), Admission::Full);
        assert!(store.set_device_token(phone, token(9)).await.unwrap());
        assert_eq!(store.device_by_token(token(9)).await.unwrap(), Some(phone));
        let reach = async || {
            let machines = store.reachable(phone).await.unwrap();
            machines.iter().map(|m| m.id.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(reach().await, [1, 2]);
        store.revoke(machine(1), device(7)).await.unwrap();
        assert_eq!(reach().await, [2]);
        assert!(store.device_by_token(token(9)).await.unwrap().is_some());
        // The last machine: the device is forgotten, its token is dead.
        assert_eq!(
            store.keep_only(machine(2), vec![device(3)]).await.unwrap(),
            [device(7)]
        );
        assert_eq!(store.device_by_token(token(9)).await.unwrap(), None);
        assert!(!store.set_device_token(phone, token(9)).await.unwrap());
    }

    #[tokio::test]
    async fn a_machine_that_leaves_takes_the_access_to_it_along() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        join(&store, ACCOUNT, 1, 1).await;
        let phone = Device {
            id: device(7),
            account: ACCOUNT,
        };
        store
            .admit(machine(1), device(7), "phone".to_owned(), 5)
            .await
            .unwrap();
        assert_eq!(store.remove_machine(machine(1)).await.unwrap(), [phone]);
        assert_eq!(store.machine_by_token(token(1)).await.unwrap(), None);
        assert!(store.reachable(phone).await.unwrap().is_empty());
    }
}
