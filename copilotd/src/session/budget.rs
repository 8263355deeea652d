//! How much of a session devices get: the newest of it, up to a number of bytes. Counted are turns
//! as they are stored and the content that they reference. What lies beyond is left out for
//! devices; nobody at the machine notices any of this.
//!
//! Nothing is counted before a device looks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use super::actor::Actor;
use crate::content::{ContentStore, ContentUri};
use crate::host::Shared;
use crate::store::Store;

/// Bytes of turns in one message to a device; one turn may be larger.
const MESSAGE_BYTES: u64 = 4 * 1024 * 1024;

/// What one turn costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// As JSON.
    turn_bytes: u64,
    /// The content it references.
    content_bytes: u64,
    /// That content: URIs without a range.
    contents: Vec<String>,
}

impl Cost {
    fn bytes(&self) -> u64 {
        self.turn_bytes + self.content_bytes
    }

    /// Of a turn as JSON.
    pub(super) fn of(session: &str, json: &str, contents: &ContentStore) -> Self {
        let names = references(session, json);
        let size = |name: &String| {
            let uri: ContentUri = name.parse().ok()?;
            contents.size(&uri).ok()
        };
        Self {
            turn_bytes: json.len() as u64,
            content_bytes: names.iter().filter_map(size).sum(),
            contents: names,
        }
    }
}

/// The content of this session that a JSON text names, each once.
fn references(session: &str, json: &str) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["copilot-content:/", "copilot-output:/"] {
        let prefix = format!("{kind}{session}/");
        for (at, _) in json.match_indices(&prefix) {
            let name = json[at..].split(['"', '?', '\\', ' ', ')']).next();
            let name = name.unwrap_or_default().to_owned();
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

/// The costs of the newest turns.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Oldest first.
    turns: VecDeque<Cost>,
    /// The place of the first of them among all turns.
    first: u64,
    /// What they may cost, with what runs.
    limit: u64,
}

impl Budget {
    /// What devices get when what runs costs `active` bytes: the newest turns that fit whole, and of
    /// the one before them the words and as much of the end of its content as is left. The newest
    /// turn is always there, however large.
    fn reach(&self, active: Option<u64>) -> Reach {
        let mut left = self.limit.saturating_sub(active.unwrap_or(0));
        let mut is_newest = active.is_none();
        let mut floor = self.first + self.turns.len() as u64;
        for cost in self.turns.iter().rev() {
            if let Some(rest) = left.checked_sub(cost.bytes()) {
                left = rest;
                floor -= 1;
            } else {
                let rest = left.checked_sub(cost.turn_bytes);
                let cut = rest.or(is_newest.then_some(0));
                floor -= u64::from(cut.is_some());
                return Reach { floor, cut };
            }
            is_newest = false;
        }
        Reach { floor, cut: None }
    }

    /// How many turns before `end` fit into one message, not going below `floor`.
    fn page(&self, floor: u64, end: u64, most: usize) -> usize {
        let mut left = MESSAGE_BYTES;
        let mut count = 0;
        for place in (floor..end).rev().take(most) {
            let at = place
                .checked_sub(self.first)
                .and_then(|at| usize::try_from(at).ok());
            let bytes = at
                .and_then(|at| self.turns.get(at))
                .map_or(0, |c| c.turn_bytes);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None if count > 0 => break,
                None => left = 0,
            }
            count += 1;
        }
        count
    }

    /// A turn ended.
    pub(super) fn push(&mut self, cost: Cost) {
        self.turns.push_back(cost);
        // What can never come back into the limit need not be remembered.
        while let Some(oldest) = self.turns.front()
            && self.turns.iter().skip(1).map(Cost::bytes).sum::<u64>() > self.limit
            && oldest.bytes() > 0
        {
            self.turns.pop_front();
            self.first += 1;
        }
    }

    /// How many bytes of the end of this content devices get, with what the running turn
    /// references; `None` when it is none of theirs. `size` says how many bytes a content has.
    fn end_of(
        &self,
        reach: Reach,
        name: &str,
        active: &Cost,
        size: impl Fn(&str) -> u64,
    ) -> Option<u64> {
        let has = |cost: &Cost| cost.contents.iter().any(|c| c == name);
        let skip = usize::try_from(reach.floor.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let mut visible = self.turns.iter().skip(skip);
        if let Some(left) = reach.cut
            && let Some(cost) = visible.next()
            && has(cost)
            && !visible.clone().any(has)
            && !has(active)
        {
            // What is referenced last is the newest.
            let after = cost.contents.iter().rev().take_while(|c| *c != name);
            let used: u64 = after.map(|name| size(name)).sum();
            return Some(left.saturating_sub(used));
        }
        (visible.any(has) || has(active)).then_some(self.limit)
    }
}

/// Counts the newest turns up to a limit, one at a time.
fn count(shared: &Shared, store: &Store, session: &str, total: u64, limit: u64) -> Budget {
    let mut budget = Budget {
        first: total,
        limit,
        ..Budget::default()
    };
    let mut bytes = 0;
    while budget.first > 0 && bytes <= limit {
        let Ok(stored) = store.turns_before(session, budget.first, 1) else {
            break;
        };
        let Some(turn) = stored.first() else { break };
        let cost = Cost::of(session, &turn.json, &shared.contents);
        bytes += cost.bytes();
        budget.turns.push_front(cost);
        budget.first -= 1;
    }
    budget
}

/// How far back devices can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reach {
    /// The place of the oldest turn.
    floor: u64,
    /// When that turn is not there whole: how many bytes of its content are.
    cut: Option<u64>,
}

/// What a device may have of a session now.
pub(super) struct Allowance {
    reach: Reach,
    active: Cost,
}

impl Allowance {
    /// The place of the oldest turn.
    pub(super) fn floor(&self) -> u64 {
        self.reach.floor
    }
}

impl Actor {
    /// What devices may have now. Counts first where that was not done yet.
    pub(super) async fn allowance(&mut self) -> Allowance {
        let limit = self.model.shared.settings().remote.max_session_bytes();
        if self.budget.as_ref().is_none_or(|b| b.limit != limit) {
            let (shared, session) = (Arc::clone(&self.model.shared), self.model.id.clone());
            let total = self.total_turns();
            let read = move |store: &Store| Ok(count(&shared, store, &session, total, limit));
            let counted = self
                .model
                .shared
                .read_store("count a session's bytes", read);
            self.budget = counted.await;
        }
        let json = serde_json::to_string(&self.model.chat.active_turn).unwrap_or_default();
        let works = self.model.chat.active_turn.is_some();
        let active = match works {
            true => Cost::of(&self.model.id, &json, &self.model.shared.contents),
            false => Cost::default(),
        };
        let active_bytes = works.then(|| active.bytes());
        let reach = self.budget.as_ref().map(|b| b.reach(active_bytes));
        // What could not be counted is not given.
        let nothing = || Reach {
            floor: self.total_turns(),
            cut: None,
        };
        Allowance {
            reach: reach.unwrap_or_else(nothing),
            active,
        }
    }

    /// How many turns before `end` a device gets at once.
    pub(super) fn page_for_device(&self, floor: u64, end: u64, most: usize) -> usize {
        self.budget.as_ref().map_or(0, |b| b.page(floor, end, most))
    }

    /// The part of a content that devices may read: its newest bytes, when it belongs to a turn
    /// that they get.
    pub(super) async fn readable(&mut self, uri: &ContentUri) -> Option<Range<u64>> {
        let allowance = self.allowance().await;
        let name = uri.without_range().to_string();
        let budget = self.budget.as_ref()?;
        let contents = &self.model.shared.contents;
        let size = |name: &str| {
            let uri: Option<ContentUri> = name.parse().ok();
            uri.and_then(|uri| contents.size(&uri).ok()).unwrap_or(0)
        };
        let end = budget.end_of(allowance.reach, &name, &allowance.active, size)?;
        let size = contents.size(uri).ok()?;
        Some(size.saturating_sub(end)..u64::MAX)
    }

    /// The note for devices about what they do not get; `None` when they get all.
    pub(super) fn left_out(&self, allowance: &Allowance) -> Option<Value> {
        let limit = self.budget.as_ref().map_or(0, |b| b.limit);
        let Reach { floor, cut } = allowance.reach;
        (floor > 0 || cut.is_some()).then(|| json!({"turns": floor, "limitBytes": limit}))
    }

    /// A turn ended, as JSON.
    pub(super) fn count_turn(&mut self, json: &str) {
        if let Some(budget) = &mut self.budget {
            budget.push(Cost::of(&self.model.id, json, &self.model.shared.contents));
        }
    }
}

/// The chat's `_meta` key of [`Actor::left_out`].
pub(super) const LEFT_OUT: &str = "copilot.leftOut";

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: u64, first: u64, costs: &[u64]) -> Budget {
        let cost = |bytes: &u64| Cost {
            turn_bytes: *bytes,
            ..Cost::default()
        };
        Budget {
            turns: costs.iter().map(cost).collect(),
            first,
            limit,
        }
    }

    #[test]
    fn the_newest_turns_that_fit_are_given() {
        for (limit, first, costs, active, floor) in [
            (100, 0, &[30, 30, 30][..], None, 0),
            (89, 0, &[30, 30, 30], None, 1),
            (89, 7, &[30, 30, 30], None, 8),
            (100, 0, &[30, 30, 30], Some(10), 0),
            (100, 0, &[30, 30, 30], Some(11), 1),
            (100, 0, &[30, 30, 30], Some(1000), 3),
            (100, 0, &[30, 30, 1000], None, 2),
            (100, 0, &[1000, 30], None, 1),
            (0, 0, &[30], None, 0),
            (100, 5, &[], None, 5),
        ] {
            let budget = budget(limit, first, costs);
            assert_eq!(
                budget.reach(active).floor,
                floor,
                "{limit} {costs:?} {active:?}"
            );
        }
    }

    #[test]
    fn the_turn_that_does_not_fit_whole_keeps_its_words_and_the_end_of_its_content() {
        let cost = |turn_bytes, contents: &[(&str, u64)]| Cost {
            turn_bytes,
            content_bytes: contents.iter().map(|(_, bytes)| bytes).sum(),
            contents: contents
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        };
        let sizes = [("old", 10), ("flood", 200), ("after", 30), ("new", 20)];
        let size = |name: &str| {
            sizes
                .iter()
                .find(|(n, _)| *n == name)
                .map_or(0, |(_, b)| *b)
        };
        let budget = Budget {
            turns: VecDeque::from([
                cost(5, &sizes[..1]),
                cost(10, &sizes[1..3]),
                cost(10, &sizes[3..]),
            ]),
            first: 0,
            limit: 100,
        };
        let end_of = |name, active: &Cost| {
            let reach = budget.reach(None);
            budget.end_of(reach, name, active, size)
        };
        let reach = Reach {
            floor: 1,
            cut: Some(60),
        };
        assert_eq!(budget.reach(None), reach);
        let nothing = Cost::default();
        assert_eq!(end_of("new", &nothing), Some(100));
        assert_eq!(end_of("after", &nothing), Some(60));
        assert_eq!(end_of("flood", &nothing), Some(30));
        assert_eq!(end_of("old", &nothing), None);
        assert_eq!(end_of("unknown", &nothing), None);
        // What the running turn references is there as well.
        assert_eq!(end_of("old", &cost(1, &sizes[..1])), Some(100));
    }

    #[test]
    fn turns_that_can_never_be_given_again_are_forgotten() {
        let mut budget = budget(100, 0, &[60, 60]);
        let cost = |turn_bytes| Cost {
            turn_bytes,
            ..Cost::default()
        };
        budget.push(cost(60));
        assert_eq!((budget.first, budget.turns.len()), (1, 2));
        budget.push(cost(1));
        assert_eq!(
            (budget.first, budget.turns.len(), budget.reach(None).floor),
            (1, 3, 2)
        );
        budget.push(cost(500));
        assert_eq!(
            (
                budget.first + budget.turns.len() as u64,
                budget.reach(None).floor
            ),
            (5, 4)
        );
    }

    #[test]
    fn a_message_holds_what_fits_and_at_least_one_turn() {
        let mebi = 1024 * 1024;
        let budget = budget(1000 * mebi, 10, &[mebi, mebi, mebi, mebi, 9 * mebi, mebi]);
        for (floor, end, most, page) in [
            (10, 16, 30, 1),
            (10, 15, 30, 1),
            (10, 14, 30, 4),
            (12, 14, 30, 2),
            (10, 14, 3, 3),
            (10, 10, 30, 0),
        ] {
            assert_eq!(budget.page(floor, end, most), page, "{floor}..{end}");
        }
    }

    #[test]
    fn references_are_found_once_each_and_only_of_this_session() {
        let json = r#"{"a":"copilot-output:/s/call%201?from=0&to=9","b":"copilot-output:/s/call%201",
            "c":"copilot-content:/s/00ff","d":"copilot-content:/other/00ff","e":"see copilot-content:/s/11 (here)"}"#;
        assert_eq!(
            references("s", json),
            [
                "copilot-content:/s/00ff",
                "copilot-content:/s/11",
                "copilot-output:/s/call%201"
            ]
        );
    }
}
