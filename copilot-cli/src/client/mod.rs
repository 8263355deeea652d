//! The client half of AHP over the local socket: connect (and start the daemon
//! when none runs), requests and their replies, the mirrored state, reconnection.
//!
//! Never applies anything that the host did not publish, and knows no terminal.

mod attached;
mod commands;
mod config;
mod connection;
mod contents;
mod devices;
mod identity;
mod meta;
mod mirror;
mod remote;
mod requests;
mod rpc;
mod start;
mod summaries;
mod uris;

pub use attached::{Attached, Resumed, Update};
pub use commands::Command;
pub use connection::{Client, ClientError, Event};
pub use contents::read_content;
pub use identity::Identity;
pub use meta::{Answered, Todo, TodoStatus};
pub use mirror::Mirror;
pub use requests::{
    Answer, ChoiceError, OpenRequest, Permission, Question, find_request, open_requests,
    resolve_choice,
};
pub use rpc::RpcError;
pub use start::{connect, connect_running};
pub use summaries::{ResolveError, list_sessions, newest_in, resolve};
pub use uris::{
    ROOT, chat_uri, file_uri, new_session_uri, path_of_file_uri, session_id, session_uri, short_id,
};

pub(crate) use config::{
    MODES, allows_all, asks_nothing, is_unattended, mode, next_mode, set_remote, switch_allow_all,
    switch_mode,
};
pub(crate) use devices::{Device, devices, remote_status};
pub(crate) use meta::{
    cancelling, clients, confinement, needs_someone, session_answer, state_words, summary_closed,
    summary_state, text as meta_text, todos, tool_answer, tool_meta,
};
pub(crate) use remote::{Remote, because, refusal, remote};
pub(crate) use requests::{
    DENY_WITH_WORDS, SUGGEST, is_plan, question_id, question_label, question_message,
    question_required, user_message, value_of,
};
pub(crate) use start::daemon_path;
pub(crate) use uris::short_path;

#[cfg(test)]
pub(crate) use mirror::tests as mirror_tests;
