//! What to do next about the link: desired state against actual state, as a pure function.
//!
//! There is no order of events to get wrong: whatever is the case, one step leads towards what is
//! wanted, and when there is none, something that is under way reports its end.

use std::time::Instant;

/// Which connection is meant: another relay or another token is another number.
pub(super) type Goal = u64;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No link.
    Nothing,
    /// A link to the relay of this machine's own.
    Own(Goal),
    /// A link to a relay elsewhere.
    Elsewhere(Goal),
}

/// The own relay, as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnRelay {
    /// It does not run.
    Stopped,
    /// It failed, and may be started again from then on.
    Failed(Instant),
    /// It was started and will say that it listens, or end.
    Starting,
    /// It listens; its end will be told.
    Running,
}

/// The connection to a relay, as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// There is none.
    Down,
    /// It failed, and may be tried again from then on.
    Failed(Instant),
    /// It is being made or lasts; its end will be told.
    Alive(Goal),
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until something changes.
    Rest,
    /// Nothing until then.
    Wait(Instant),
    /// Start the own relay.
    StartOwnRelay,
    /// End the own relay.
    StopOwnRelay,
    /// Connect.
    Dial(Goal),
    /// End the connection, or the wait for the next one.
    HangUp,
}

/// The next step.
pub(super) fn next(wanted: Wanted, own: OwnRelay, connection: Connection, now: Instant) -> Step {
    let goal = match wanted {
        Wanted::Nothing => None,
        Wanted::Own(goal) | Wanted::Elsewhere(goal) => Some(goal),
    };
    match connection {
        Connection::Alive(to) if Some(to) != goal => return Step::HangUp,
        Connection::Failed(_) if goal.is_none() => return Step::HangUp,
        _ => {}
    }
    match (wanted, own) {
        (Wanted::Own(_), OwnRelay::Stopped) => return Step::StartOwnRelay,
        (Wanted::Own(_), OwnRelay::Failed(until)) if until > now => return Step::Wait(until),
        (Wanted::Own(_), OwnRelay::Failed(_)) => return Step::StartOwnRelay,
        (Wanted::Own(_), OwnRelay::Starting) => return Step::Rest,
        (Wanted::Own(_), OwnRelay::Running) | (_, OwnRelay::Stopped) => {}
        (_, _) => return Step::StopOwnRelay,
    }
    match (goal, connection) {
        (None, _) | (_, Connection::Alive(_)) => Step::Rest,
        (Some(_), Connection::Failed(until)) if until > now => Step::Wait(until),
        (Some(goal), _) => Step::Dial(goal),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATER: Duration = Duration::from_secs(5);

    fn all(now: Instant) -> Vec<(Wanted, OwnRelay, Connection)> {
        let wanted = [
            Wanted::Nothing,
            Wanted::Own(1),
            Wanted::Own(2),
            Wanted::Elsewhere(1),
            Wanted::Elsewhere(2),
        ];
        let own = [
            OwnRelay::Stopped,
            OwnRelay::Failed(now),
            OwnRelay::Failed(now + LATER),
            OwnRelay::Starting,
            OwnRelay::Running,
        ];
        let connections = [
            Connection::Down,
            Connection::Failed(now),
            Connection::Failed(now + LATER),
            Connection::Alive(1),
            Connection::Alive(2),
        ];
        let mut all = Vec::new();
        for wanted in wanted {
            for own in own {
                all.extend(connections.map(|connection| (wanted, own, connection)));
            }
        }
        all
    }

    /// What the supervisor does, and what happens afterwards when all goes well.
    fn after(step: Step, own: &mut OwnRelay, connection: &mut Connection, now: &mut Instant) {
        match step {
            Step::Rest if *own == OwnRelay::Starting => *own = OwnRelay::Running,
            Step::Rest => {}
            Step::Wait(until) => *now = until,
            Step::StartOwnRelay => *own = OwnRelay::Starting,
            Step::StopOwnRelay => *own = OwnRelay::Stopped,
            Step::Dial(goal) => *connection = Connection::Alive(goal),
            Step::HangUp => *connection = Connection::Down,
        }
    }

    #[test]
    fn from_anywhere_a_few_steps_lead_to_what_is_wanted() {
        for (wanted, mut own, mut connection) in all(Instant::now()) {
            let begin = format!("{wanted:?} from {own:?} and {connection:?}");
            let mut now = Instant::now();
            for _ in 0..8 {
                let step = next(wanted, own, connection, now);
                after(step, &mut own, &mut connection, &mut now);
            }
            let reached = match wanted {
                Wanted::Nothing => own == OwnRelay::Stopped && connection == Connection::Down,
                Wanted::Own(goal) => {
                    own == OwnRelay::Running && connection == Connection::Alive(goal)
                }
                Wanted::Elsewhere(goal) => {
                    own == OwnRelay::Stopped && connection == Connection::Alive(goal)
                }
            };
            assert!(reached, "{begin}: {own:?}, {connection:?}");
            assert_eq!(next(wanted, own, connection, now), Step::Rest, "{begin}");
        }
    }

    #[test]
    fn rest_means_that_something_will_be_told() {
        let now = Instant::now();
        for (wanted, own, connection) in all(now) {
            let step = next(wanted, own, connection, now);
            let under_way = own == OwnRelay::Starting || matches!(connection, Connection::Alive(_));
            let idle = wanted == Wanted::Nothing
                && own == OwnRelay::Stopped
                && connection == Connection::Down;
            if step == Step::Rest {
                assert!(under_way || idle, "{wanted:?}, {own:?}, {connection:?}");
            }
            if let Step::Wait(until) = step {
                assert!(until > now, "{wanted:?}, {own:?}, {connection:?}");
            }
        }
    }

    #[test]
    fn the_steps() {
        let now = Instant::now();
        let later = now + LATER;
        use {Connection as C, OwnRelay as R, Wanted as W};
        for (wanted, own, connection, step) in [
            (W::Nothing, R::Stopped, C::Down, Step::Rest),
            (W::Nothing, R::Running, C::Alive(1), Step::HangUp),
            (W::Nothing, R::Running, C::Down, Step::StopOwnRelay),
            (W::Nothing, R::Failed(later), C::Down, Step::StopOwnRelay),
            (W::Own(1), R::Stopped, C::Down, Step::StartOwnRelay),
            (W::Own(1), R::Failed(later), C::Down, Step::Wait(later)),
            (W::Own(1), R::Failed(now), C::Down, Step::StartOwnRelay),
            (W::Own(1), R::Starting, C::Down, Step::Rest),
            (W::Own(1), R::Running, C::Down, Step::Dial(1)),
            (W::Own(1), R::Running, C::Failed(later), Step::Wait(later)),
            (W::Own(1), R::Running, C::Failed(now), Step::Dial(1)),
            (W::Own(2), R::Running, C::Alive(1), Step::HangUp),
            (W::Elsewhere(2), R::Running, C::Alive(1), Step::HangUp),
            (W::Elsewhere(2), R::Running, C::Down, Step::StopOwnRelay),
            (W::Elsewhere(2), R::Stopped, C::Failed(now), Step::Dial(2)),
            (W::Elsewhere(2), R::Stopped, C::Alive(2), Step::Rest),
        ] {
            let got = next(wanted, own, connection, now);
            assert_eq!(got, step, "{wanted:?}, {own:?}, {connection:?}");
        }
    }
}
