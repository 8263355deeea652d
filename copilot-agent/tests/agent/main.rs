//! The real binary, spoken to as a client does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "everything here is a test, also what is not marked as one"
)]

mod harness;
mod provider;
mod sessions;
