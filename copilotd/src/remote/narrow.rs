//! What a paired device may ask of the host: allow-lists over methods and actions. Pure; whether a
//! session is there for a device at all is decided before.
//!
//! A device may watch, prompt, answer, switch the mode and stop. It may not make anything allowed
//! for longer than a session, trust a folder, or touch what belongs to the machine.

use ahp_types::actions::StateAction;

use crate::agent::questions::TRUST;
use crate::host::identity::Trust;

/// The methods of a device.
const METHODS: [&str; 11] = [
    "initialize",
    "reconnect",
    "subscribe",
    "unsubscribe",
    "listSessions",
    "createSession",
    "fetchTurns",
    "resourceRead",
    "dispatchAction",
    "completions",
    "ping",
];

/// The keys of a session's config that a device may set.
const CONFIG: [&str; 1] = ["mode"];

/// The choices of a permission that a device may take: none of them outlives the session.
const CHOICES: [&str; 4] = ["allow-once", "allow-session", "deny", "deny-with-words"];

/// Why a device may not do what it asked for.
pub const NOT_FROM_A_DEVICE: &str = "this cannot be done from a paired device, only at the machine";

/// Why the question about a folder has no answer from elsewhere.
pub const TRUST_IS_LOCAL: &str =
    "whether a folder is trusted can only be answered at the machine; the turn can be cancelled";

/// Whether a connection of this trust may call a method that this host has.
pub fn may_call(trust: Trust, method: &str) -> bool {
    trust != Trust::Remote || METHODS.contains(&method)
}

/// Whether a device may set this key of a session's config.
pub fn may_configure(key: &str) -> bool {
    CONFIG.contains(&key)
}

/// Whether a device may send an action at all. What it may send is then admitted like anybody's.
///
/// # Errors
/// Why not, for the person who holds the device.
pub fn may_dispatch(action: &StateAction) -> Result<(), String> {
    use StateAction as A;
    let local = |allowed: bool, why: &str| if allowed { Ok(()) } else { Err(why.to_owned()) };
    match action {
        A::ChatTurnStarted(_)
        | A::ChatTurnCancelled(_)
        | A::ChatTurnResume(_)
        | A::ChatPendingMessageSet(_)
        | A::ChatPendingMessageRemoved(_)
        | A::ChatQueuedMessagesReordered(_)
        | A::ChatDraftChanged(_)
        | A::ChatIsReadChanged(_)
        | A::ChatIsArchivedChanged(_)
        | A::SessionIsReadChanged(_)
        | A::SessionIsArchivedChanged(_)
        | A::SessionTitleChanged(_) => Ok(()),
        A::ChatToolCallConfirmed(a) => match &a.selected_option_id {
            Some(choice) => local(CHOICES.contains(&choice.as_str()), NOT_FROM_A_DEVICE),
            // The first approval of a list may be one that lasts.
            None => local(!a.approved, "name the choice that is taken"),
        },
        A::ChatInputCompleted(a) => local(a.request_id != TRUST, TRUST_IS_LOCAL),
        A::ChatInputAnswerChanged(a) => local(a.request_id != TRUST, TRUST_IS_LOCAL),
        A::SessionConfigChanged(a) => {
            let mode_only = a.config.keys().all(|key| may_configure(key));
            local(mode_only && a.replace != Some(true), NOT_FROM_A_DEVICE)
        }
        _ => Err(NOT_FROM_A_DEVICE.into()),
    }
}
