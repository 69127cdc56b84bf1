//! The bounded queue in front of the writer, with room that is reserved for failures.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Entry;
use crate::clock::Timestamp;

/// The number of records that may wait.
const CAPACITY: usize = 16_384;
/// The room that only failures may use.
const RESERVED: usize = 4_096;

/// How much text of log lines may wait. Records that are added while more waits come without their log lines.
const LOG_BYTES: usize = 16 << 20;

/// The records that wait for the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Entry>>,
    /// The size of their log lines.
    log_bytes: usize,
    /// How many records have been added.
    added: u64,
    lost: Option<Loss>,
}

/// Records that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// When the first of them ended.
    pub(super) from: Timestamp,
    /// When the last of them ended.
    pub(super) until: Timestamp,
    /// How many there are.
    pub(super) count: u64,
}

impl Loss {
    pub(super) fn of(entries: &[Arc<Entry>]) -> Option<Self> {
        let (first, last) = (entries.first()?, entries.last()?);
        Some(Self { from: first.at(), until: last.at(), count: entries.len() as u64 })
    }

    /// This loss together with a later one.
    pub(super) fn and(self, later: Self) -> Self {
        Self { from: self.from.min(later.from), until: self.until.max(later.until), count: self.count + later.count }
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// Adds a record if there is room for it. Returns whether there was.
    pub(super) fn push(&self, entry: Arc<Entry>) -> bool {
        let room = if entry.is_failure() { CAPACITY } else { CAPACITY - RESERVED };
        let mut state = self.lock();
        if state.waiting.len() < room {
            state.log_bytes += entry.log().bytes();
            state.waiting.push_back(entry);
            state.added += 1;
            return true;
        }
        let loss = Loss { from: entry.at(), until: entry.at(), count: 1 };
        state.lost = Some(state.lost.map_or(loss, |lost| lost.and(loss)));
        false
    }

    /// Takes up to `limit` records, and the loss since the last call.
    pub(super) fn take(&self, limit: usize) -> (Vec<Arc<Entry>>, Option<Loss>) {
        let mut state = self.lock();
        let count = state.waiting.len().min(limit);
        let taken: Vec<_> = state.waiting.drain(..count).collect();
        state.log_bytes -= taken.iter().map(|entry| entry.log().bytes()).sum::<usize>();
        (taken, state.lost.take())
    }

    /// Whether there is room for log lines.
    pub(super) fn has_room_for_log(&self) -> bool {
        self.lock().log_bytes < LOG_BYTES
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How many records have been added since the start.
    pub(super) fn added(&self) -> u64 {
        self.lock().added
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{failed, handled};
    use super::*;
    use crate::usage::{LogLevel, LogLine};

    #[test]
    fn log_lines_have_room_of_their_own() {
        let queue = Queue::new();
        let verbose = |at: u64| {
            let mut entry = handled(at);
            entry.log_mut().lines = vec![LogLine { level: LogLevel::Info, message: "a".repeat(8 << 10) }];
            Arc::new(entry)
        };
        assert!((0..2_048).all(|at| queue.has_room_for_log() && queue.push(verbose(at))));
        assert!(!queue.has_room_for_log());
        queue.take(1);
        assert!(queue.has_room_for_log());
    }

    #[test]
    fn successes_leave_room_for_failures_and_losses_are_counted() {
        let queue = Queue::new();
        let accepted =
            |count: u64, entry: fn(u64) -> Entry| (0..count).filter(|at| queue.push(Arc::new(entry(*at)))).count();
        assert_eq!(accepted(20_000, handled), 12_288);
        assert_eq!(accepted(5_000, failed), 4_096);
        let (first, lost) = queue.take(1);
        assert_eq!(first, [Arc::new(handled(0))]);
        let expected =
            Loss { from: Timestamp(4_096), until: Timestamp(19_999), count: 20_000 - 12_288 + 5_000 - 4_096 };
        assert_eq!(lost, Some(expected));
        let (rest, lost) = queue.take(usize::MAX);
        assert_eq!((rest.len(), lost), (16_383, None));
    }
}
