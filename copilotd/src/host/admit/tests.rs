//! What a client may do, action by action: tables of a state, what is dispatched, and what comes
//! of it.
//!
//! Every row is also tried by an agent's process and on another session's channels, which must
//! fail, and what a row admits must have an effect on the state by the real reducers.

mod config;
mod devices;
mod host_only;
mod messages;
mod permissions;
mod questions;
mod remote_access;
mod turns;
mod world;

use ahp_types::actions::StateAction;
use serde_json::{Value, json};

use super::{AGENT_MAY_ONLY_READ, Admitted, Rejection};
use world::World;

const SESSION: &str = "ahp-session:/11111111-1111-4111-8111-111111111111";
const CHAT: &str = "ahp-chat:/11111111-1111-4111-8111-111111111111";
const OTHERS_SESSION: &str = "ahp-session:/22222222-2222-4222-8222-222222222222";
const OTHERS_CHAT: &str = "ahp-chat:/22222222-2222-4222-8222-222222222222";
/// The host's clock.
const NOW: &str = "2030-01-02T03:04:05.678Z";

/// What it is about, the state, what is dispatched, what comes of it.
type Row = (&'static str, World, Value, Value);

/// Tries every row and reports all that went wrong.
fn check(rows: impl IntoIterator<Item = Row>) {
    let mut wrong = Vec::new();
    for (name, world, action, expected) in rows {
        let got = outcome(world.dispatch(&action));
        if got != expected {
            let short = |value: Value| value.to_string().chars().take(1000).collect::<String>();
            let (expected, got) = (short(expected), short(got));
            wrong.push(format!("{name}:\n  expected {expected}\n  got      {got}"));
        }
        if let Err(problem) = holds_for_all(&world, &action) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn holds_for_all(world: &World, action: &Value) -> Result<(), String> {
    if world.clone().by_an_agent().dispatch(action) != Err(AGENT_MAY_ONLY_READ.into()) {
        return Err("an agent's process may do it".into());
    }
    if world.clone().by_a_device().dispatch(action).is_ok() && world.dispatch(action).is_err() {
        return Err("a device may do what nobody else may".into());
    }
    for channel in [OTHERS_SESSION, OTHERS_CHAT, "ahp-root://", ""] {
        if world.dispatch_on(channel, action).is_ok() {
            return Err(format!("it goes through on the channel `{channel}`"));
        }
    }
    match world.dispatch(action) {
        Ok(admitted) => world.reduces(&admitted),
        Err(reason) if reason.chars().any(char::is_control) || reason.len() > 300 => {
            Err(format!("the reason is not one short line: {reason:?}"))
        }
        Err(_) => Ok(()),
    }
}

/// An admitted action as JSON: `{what the session is to do: the action}`, beside it the answer.
fn outcome(result: Result<Admitted, Rejection>) -> Value {
    match result {
        Ok(Admitted::Apply(action)) => json!({ "apply": action }),
        Ok(Admitted::StartTurn(action)) => json!({ "start turn": action }),
        Ok(Admitted::Pend(action)) => json!({ "pend": action }),
        Ok(Admitted::TakeBack(action)) => {
            json!({ "take back": StateAction::ChatPendingMessageRemoved(action) })
        }
        Ok(Admitted::Resume(action)) => json!({ "resume": action }),
        Ok(Admitted::Configure(action)) => json!({ "configure": action.config }),
        Ok(Admitted::Cancel(turn)) => json!({ "cancel": turn }),
        Ok(Admitted::Confirm { action, answer }) => {
            json!({"confirm": action, "answer": answer.to_json()})
        }
        Ok(Admitted::CompleteInput { action, answer }) => {
            json!({"complete": action, "answer": answer.to_json()})
        }
        Err(reason) => json!({ "rejected": reason }),
    }
}

fn rejected(reason: &str) -> Value {
    json!({ "rejected": reason })
}

/// The answer of this client, as it is remembered and shown.
fn my_answer(choice: &str) -> Value {
    json!({"name": "terminal pts/1", "trust": "local", "choice": choice, "at": NOW})
}

/// A person's message as the host words it.
fn message(text: &str) -> Value {
    json!({"text": text, "origin": {"kind": "user"}})
}

fn decode(action: &Value) -> StateAction {
    serde_json::from_value(action.clone()).unwrap()
}
