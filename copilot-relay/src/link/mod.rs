//! Link sockets: what machines and devices say on them, over a websocket or by long poll.
//!
//! [`Session`] knows what a message means; [`websocket`] and [`poll`] only carry it. Nothing here looks into a
//! sealed message.

pub mod poll;
mod session;
pub mod websocket;

pub use poll::Polls;
pub use session::{Ended, Session, Who};
