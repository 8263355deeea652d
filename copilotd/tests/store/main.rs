//! The store, through its public face: what it keeps, and what it does with files that are
//! cut, damaged, foreign or in the way, with kills and with a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod basics;
mod damage;
mod fixture;
mod harness;
mod history;
mod in_the_way;
mod kills;
mod load;
mod no_room;
mod speed;
