//! Tells a canary whether state has changed since an event was stored. For each change of a plugin's state it records
//! an upper bound of the log's head at that moment: events after this position were stored after the change.
//!
//! The log of changes begins with the host. Earlier changes count as made at its start.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Position;
use crate::outcome::{StateRead, Version};

/// The maximum number of marks. Beyond that, neighbours are merged.
const MARKS: usize = 4_096;

/// Records when state changed.
#[derive(Debug)]
pub(super) struct StateChangeLog(Mutex<ChangeMarks>);

#[derive(Debug)]
struct ChangeMarks {
    /// The head of the log when the host started.
    start: Position,
    /// The marks, in order. Each has a version and a position. The mark applies to this version and to the later ones
    /// before the next mark: the position is an upper bound of the log's head when they were written.
    marks: Vec<(Version, Position)>,
    plugins: HashMap<String, LastChange>,
}

/// The head of the log when a plugin's state last changed.
#[derive(Clone, Copy, Debug)]
struct LastChange {
    any: Position,
    deletion: Position,
}

impl StateChangeLog {
    pub(super) fn new(start: Position) -> Self {
        Self(Mutex::new(ChangeMarks { start, marks: Vec::new(), plugins: HashMap::new() }))
    }

    /// Records a change that is about to be committed: a version, or None for a deletion. It must be recorded before
    /// the commit, so that the record exists when the change becomes visible.
    pub(super) fn note(&self, plugin: &str, version: Option<Version>, head: Position) {
        let mut changes = self.marks();
        let start = changes.start;
        let last = match changes.plugins.get_mut(plugin) {
            Some(last) => last,
            None => changes.plugins.entry(plugin.to_owned()).or_insert(LastChange { any: start, deletion: start }),
        };
        last.any = head;
        match version {
            None => last.deletion = head,
            Some(version) => changes.mark(version, head),
        }
    }

    /// An upper bound of the log's head at the time of the change that a read observed. Each event after this position
    /// was stored after the change.
    pub(super) fn changed_up_to(&self, plugin: &str, read: StateRead) -> Position {
        let changes = self.marks();
        let last = changes.plugins.get(plugin);
        match read {
            StateRead::Value(version) => changes.of_version(version),
            StateRead::Absence => last.map_or(changes.start, |last| last.deletion),
            StateRead::Listing => last.map_or(changes.start, |last| last.any),
        }
    }

    /// A panic can leave only numbers changed, so a poisoned lock is usable.
    fn marks(&self) -> MutexGuard<'_, ChangeMarks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChangeMarks {
    fn mark(&mut self, version: Version, head: Position) {
        if self.marks.last().is_some_and(|(_, marked)| *marked == head) {
            return;
        }
        if self.marks.len() >= MARKS {
            // Two marks become one, with the first version and the later position.
            let pairs = self.marks.chunks(2).filter_map(|pair| Some((pair.first()?.0, pair.last()?.1)));
            self.marks = pairs.collect();
        }
        self.marks.push((version, head));
    }

    fn of_version(&self, version: Version) -> Position {
        let after = self.marks.partition_point(|(marked, _)| marked.0 <= version.0);
        after.checked_sub(1).map_or(self.start, |index| self.marks[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_known_by_where_the_log_ended() {
        let log = StateChangeLog::new(Position(10));
        let of = |plugin: &str, read| log.changed_up_to(plugin, read).0;
        for read in [StateRead::Value(Version(5)), StateRead::Absence, StateRead::Listing] {
            assert_eq!(of("a", read), 10, "earlier changes count as made at the start");
        }
        log.note("a", Some(Version(100)), Position(12));
        log.note("a", Some(Version(101)), Position(12));
        log.note("a", Some(Version(102)), Position(20));
        log.note("a", None, Position(15));
        let versions = [5, 99, 100, 101, 102, 900].map(|version| of("a", StateRead::Value(Version(version))));
        assert_eq!(versions, [10, 10, 12, 12, 20, 20]);
        assert_eq!((of("a", StateRead::Absence), of("a", StateRead::Listing)), (15, 15));
        assert_eq!((of("b", StateRead::Absence), of("b", StateRead::Listing)), (10, 10));
    }

    #[test]
    fn many_changes_take_little_room_and_are_never_placed_too_early() {
        let log = StateChangeLog::new(Position(0));
        let many = 20 * MARKS as u64;
        for number in 1..=many {
            log.note("a", Some(Version(number)), Position(number));
        }
        assert!(log.marks().marks.len() <= MARKS);
        for number in (1..=many).step_by(97) {
            assert!(log.changed_up_to("a", StateRead::Value(Version(number))).0 >= number);
        }
        assert_eq!(log.changed_up_to("a", StateRead::Value(Version(many))).0, many, "recent changes are known exactly");
    }
}
