//! Remote access as the host sees it: which sessions are there for paired devices, what those may
//! do, and why a session may not be reached from elsewhere. Knows no network; that is `link`.

mod github;
pub mod narrow;
pub mod refusal;
mod sessions;
mod status;

pub use sessions::RemoteSessions;
pub use status::{Link, LinkState, LinkStatus};
