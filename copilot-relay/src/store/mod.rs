//! What a relay remembers: who joined, which device may reach which machine, when a machine was last here,
//! and the secrets that wait to be used once.
//!
//! Must never hold a token (only digests) or anything of a session: none of it ever gets here.

mod schema;
mod sqlite;
mod tickets;

use std::pin::Pin;

use jiff::Timestamp;
use link_proto::ids::{DeviceId, MachineId, PairingId};

use crate::accounts::AccountId;
use crate::digest::TokenDigest;

pub use sqlite::SqliteStore;

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the relay's database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database is of a newer relay.
    #[error(
        "the database was written by a newer copilot-relay (schema {found}, this one knows {known}); \
         start that version again"
    )]
    Newer {
        /// The schema in the file.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The thread of the database has ended.
    #[error("the relay's database is closed")]
    Closed,
}

/// An answer of the store, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A machine that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, for people.
    pub name: String,
    /// When it last came or went.
    pub since: Timestamp,
}

/// A device that has a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub account: AccountId,
}

/// What became of a machine that wants to join, or of a device that a machine admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is in.
    Done,
    /// It was in before, has proven that, and keeps its token.
    Again,
    /// The account has as many as it may have.
    Full,
    /// The id belongs to another account, or to a machine that this one has not proven to be.
    Taken,
}

/// What proves that a machine with a known id is that machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its token, when one was shown.
    Token(Option<TokenDigest>),
    /// Nothing needs to: whoever may join is always that machine.
    Waived,
}

/// A machine that wants to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Its id, as it says.
    pub id: MachineId,
    /// Its name, for people.
    pub name: String,
    /// That the id is its own.
    pub proof: Proof,
}

/// A device that a machine let in and that has yet to claim it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The machine.
    pub machine: MachineId,
    /// The device.
    pub device: Device,
    /// The device's name, for people.
    pub name: String,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The device reaches the machine, and has the new token.
    New(Device, Machine),
    /// The device reaches the machine, and keeps the token that it showed.
    Known(Device, Machine),
    /// The device reaches other machines, and did not show the token that it has there.
    Unproven,
    /// The account has as many devices as it may have.
    Full,
    /// It was used, is too old, or was taken back.
    Void,
}

/// What a secret that is used once was given out for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticket {
    /// A machine's socket.
    Machine(MachineId),
    /// A device's socket.
    Device(Device),
    /// A socket of somebody who has a pairing id.
    Pairing(PairingId),
    /// The access of a device that a machine has just admitted.
    Claim(Admitted),
}

/// What a relay remembers. The default is [`SqliteStore`].
///
/// What was answered `Ok` has happened and survives a crash, but for tickets, which may be forgotten: whoever
/// holds one asks for another.
pub trait Store: Send + Sync {
    /// A machine joins. `most` is how many an account may have.
    ///
    /// With its id somebody else would take its place and its devices' access, so one that is known has to prove
    /// that it is the same, and keeps its token. Where that is waived, and for some minutes as long as nobody has
    /// used the token that a new machine was given (for the answer with it may have been lost), it gets this one,
    /// and the old one is void.
    fn join(
        &self,
        account: AccountId,
        machine: Joining,
        token: TokenDigest,
        most: u32,
    ) -> Answer<'_, Admission>;

    /// The machine with this token.
    fn machine_by_token(&self, token: TokenDigest) -> Answer<'_, Option<Machine>>;

    /// The machine with this id.
    fn machine(&self, machine: MachineId) -> Answer<'_, Option<Machine>>;

    /// The machine came or went, and is called this. May be lost in a crash.
    fn seen(&self, machine: MachineId, name: String, at: Timestamp) -> Answer<'_, ()>;

    /// The machine leaves for good, with everybody's access to it. Says who had access.
    fn remove_machine(&self, machine: MachineId) -> Answer<'_, Vec<Device>>;

    /// The machine lets a device in, which has its access once it takes this claim: see [`claim`](Self::claim).
    /// `most` is how many devices an account may have.
    fn admit(&self, admitted: Admitted, claim: TokenDigest, most: u32) -> Answer<'_, Admission>;

    /// Takes a claim, once.
    ///
    /// Whoever has the claim has it from one machine, which decides about access to itself and to no other. So a
    /// device that reaches another machine has to show its token, and keeps it. Every other one gets `token`, and
    /// an older one is void.
    fn claim(
        &self,
        claim: TokenDigest,
        shown: Option<TokenDigest>,
        token: TokenDigest,
        most: u32,
    ) -> Answer<'_, Claimed>;

    /// The device with this token.
    fn device_by_token(&self, token: TokenDigest) -> Answer<'_, Option<Device>>;

    /// The machines that the device may reach.
    fn reachable(&self, device: Device) -> Answer<'_, Vec<Machine>>;

    /// The machine lets the device in no more, and what it has not claimed yet is void. A device without a
    /// machine is forgotten.
    fn revoke(&self, machine: MachineId, device: DeviceId) -> Answer<'_, ()>;

    /// The machine trusts these devices and no others, as with [`revoke`](Self::revoke); says who lost access.
    fn keep_only(&self, machine: MachineId, devices: Vec<DeviceId>) -> Answer<'_, Vec<DeviceId>>;

    /// The device is forgotten.
    fn remove_device(&self, device: Device) -> Answer<'_, ()>;

    /// Keeps what a secret is for until it is taken or expires. `false`: too many wait already.
    fn put_ticket(&self, secret: TokenDigest, ticket: Ticket) -> Answer<'_, bool>;

    /// What the secret was for, once.
    fn take_ticket(&self, secret: TokenDigest) -> Answer<'_, Option<Ticket>>;
}
