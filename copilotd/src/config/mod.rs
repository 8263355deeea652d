//! The person's settings and the folders they trust.
//!
//! Owns reading `settings.json` and keeping it current, and `trusted-folders.json`. Nothing
//! here ever writes the settings file, and a file that could not be read is never overwritten.
//! What is wrong in a file is returned as [`Problem`]s, and what was right before stays.

mod json;
mod load;
mod settings;
mod trusted;
mod watcher;

pub use load::load;
pub use settings::{
    AgentSettings, LogLevel, MAX_SESSION_BYTES, OnResume, PermissionSettings, Problem,
    RemoteSettings, Settings, Severity,
};
pub use trusted::{TrustError, TrustedFolders};
pub use watcher::{Loaded, SettingsWatcher, start};
