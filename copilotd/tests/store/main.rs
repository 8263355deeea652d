//! The store, through its public face: what it keeps, and what it does with files that are
//! cut, damaged, foreign or in the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
mod harness;
