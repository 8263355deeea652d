//! The person's settings, those of whoever manages the machine, the folders that are trusted and
//! what is approved for a repository.
//!
//! Owns reading `settings.json` and `managed-settings.json` and keeping them current, and
//! `trusted-folders.json` and `approvals.json`. Nothing here ever writes settings, and a file that could not be read is never overwritten.
//! What is wrong in a file is returned as [`Problem`]s, and what was right before stays.

mod approvals;
mod folders;
mod json;
mod load;
mod managed;
mod repository;
mod settings;
mod trusted;
mod watcher;

pub use approvals::{ApprovalError, Approvals};
pub use load::load;
pub use managed::{Managed, managed_file, managed_folder, start_managed};
pub use repository::Repository;
pub use settings::{
    AgentSettings, AuditSettings, AutopilotSettings, KeepRecords, LogLevel, MAX_SESSION_BYTES,
    OnResume, PermissionSettings, Problem, RemoteSettings, Settings, Severity,
};
pub use trusted::{TrustError, TrustedFolders};
pub use watcher::{Loaded, SettingsWatcher, start};
