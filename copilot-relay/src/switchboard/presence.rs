//! Which machines a device's socket sees.
//!
//! The list comes from the store some time after the socket has joined; what changes in between is remembered
//! and applied to it, so that neither a revocation nor an admission can be missed.

use std::collections::{HashMap, HashSet};

use link_proto::control::MachineEntry;
use link_proto::ids::MachineId;

use super::SocketId;
use crate::store::Machine;

/// A machine that is connected.
#[derive(Debug)]
pub(super) struct Online {
    pub(super) socket: SocketId,
    pub(super) machine: Machine,
}

/// What a device's socket may reach.
#[derive(Debug)]
pub(super) enum Reach {
    /// The store was not heard yet: what was gained and lost since.
    Loading(HashMap<MachineId, Option<Machine>>),
    /// These.
    Known(HashSet<MachineId>),
}

impl Reach {
    pub(super) fn loading() -> Self {
        Self::Loading(HashMap::new())
    }

    pub(super) fn has(&self, machine: MachineId) -> bool {
        matches!(self, Self::Known(known) if known.contains(&machine))
    }

    /// Whether it is known to be nothing.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Known(known) if known.is_empty())
    }

    /// `true` when the device sees it from now on and did not before.
    pub(super) fn gain(&mut self, machine: &Machine) -> bool {
        match self {
            Self::Loading(changes) => {
                changes.insert(machine.id, Some(machine.clone()));
                false
            }
            Self::Known(known) => known.insert(machine.id),
        }
    }

    /// `true` when the device saw it until now.
    pub(super) fn lose(&mut self, machine: MachineId) -> bool {
        match self {
            Self::Loading(changes) => {
                changes.insert(machine, None);
                false
            }
            Self::Known(known) => known.remove(&machine),
        }
    }

    /// The store's list has come; what the device sees of it.
    pub(super) fn settle(&mut self, mut machines: Vec<Machine>) -> Vec<Machine> {
        if let Self::Loading(changes) = self {
            machines.retain(|machine| !changes.contains_key(&machine.id));
            machines.extend(changes.drain().filter_map(|(_, gained)| gained));
        }
        *self = Self::Known(machines.iter().map(|machine| machine.id).collect());
        machines
    }
}

/// A machine as a device sees it.
pub(super) fn entry(machine: &Machine, online: bool) -> MachineEntry {
    MachineEntry {
        machine_id: machine.id,
        name: machine.name.clone(),
        online,
        since: machine.since.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::accounts::AccountId;

    fn machine(n: u8) -> Machine {
        Machine {
            id: MachineId([n; 16]),
            account: AccountId(1),
            name: format!("m{n}"),
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_changes_while_the_store_answers_is_not_missed() {
        let mut reach = Reach::loading();
        assert!(!reach.lose(machine(1).id));
        assert!(!reach.gain(&machine(3)));
        assert!(!reach.has(machine(2).id), "nothing is reached before");
        assert!(!reach.is_nothing());
        // The store was asked before any of it happened.
        let seen = reach.settle(vec![machine(1), machine(2)]);
        assert_eq!(seen, [machine(2), machine(3)]);
        assert!(!reach.has(machine(1).id) && reach.has(machine(2).id));
        assert!(reach.lose(machine(2).id) && reach.lose(machine(3).id));
        assert!(reach.is_nothing());
    }

    #[test]
    fn an_entry_has_its_time_in_rfc_3339() {
        assert_eq!(entry(&machine(1), true).since, "1970-01-01T00:00:00Z");
    }
}
