//! The real binary, spoken to as a client does.

mod harness;
mod provider;
mod sessions;
