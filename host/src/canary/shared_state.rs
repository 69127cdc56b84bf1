//! The state that both generations of a canary read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Position;
use crate::outcome::{Listing, NextNumber, Outcome, Reads, SequenceError, StateError, StateRead, StateView, Version};
use crate::plugin::EventResult;

/// A snapshot of the state that several readers share. None of them sees later writes.
pub(super) struct SharedState {
    state: Arc<Mutex<Box<dyn StateView>>>,
    /// How many numbers this reader has drawn from each sequence. Both generations draw the numbers that would be
    /// reserved next, and the store reserves none.
    drawn: BTreeMap<String, u64>,
}

impl Clone for SharedState {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), drawn: BTreeMap::new() }
    }
}

impl SharedState {
    pub(super) fn new(state: Box<dyn StateView>) -> Self {
        Self { state: Arc::new(Mutex::new(state)), drawn: BTreeMap::new() }
    }

    /// Readers change nothing, so a poisoned lock is harmless.
    fn view(&self) -> MutexGuard<'_, Box<dyn StateView>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateView for SharedState {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        self.view().get(key)
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.view().keys(after, limit)
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        let drawn = self.drawn.get(sequence).copied().unwrap_or(0);
        self.drawn.insert(sequence.to_owned(), drawn + 1);
        let number = self.unreserved(sequence).map(|first| first + drawn);
        Box::pin(std::future::ready(number.map_err(|error| SequenceError::Failed(error.to_string()))))
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        self.view().unreserved(sequence)
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        self.view().changed_up_to(read)
    }
}

/// The state of one generation. Records what was read.
#[derive(Clone)]
pub(super) struct RecordingState {
    state: SharedState,
    seen: Arc<Mutex<Vec<StateRead>>>,
}

impl RecordingState {
    pub(super) fn new(state: SharedState) -> Self {
        Self { state, seen: Arc::default() }
    }

    /// Whether a handler may have read state that changed since an event was stored, for example by the handler's own
    /// first run. The effects of an acknowledged delivery list its reads. After a failure, every recorded read counts.
    pub(super) fn met_later(&self, handled: &EventResult, event: Position) -> bool {
        let Reads { keys, listing } = &handled.effects.reads;
        let seen = match handled.outcome {
            Outcome::Ack => {
                keys.values().copied().map(StateRead::from).chain(listing.map(|_| StateRead::Listing)).collect()
            }
            _ => self.seen().clone(),
        };
        seen.into_iter().any(|read| self.state.changed_up_to(read) >= event)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<StateRead>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateView for RecordingState {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        let (value, version) = self.state.get(key)?;
        self.seen().push(version.into());
        Ok((value, version))
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.seen().push(StateRead::Listing);
        self.state.keys(after, limit)
    }

    fn changed_up_to(&self, read: StateRead) -> Position {
        self.state.changed_up_to(read)
    }

    fn draw(&mut self, sequence: &str) -> NextNumber {
        self.state.draw(sequence)
    }

    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError> {
        self.state.unreserved(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cause, Effects, Failure};
    use crate::usage::Usage;

    /// Another value at each read.
    struct Moving(u64);

    impl StateView for Moving {
        fn get(&mut self, _: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
            self.0 += 1;
            Ok((None, Version(self.0)))
        }

        fn keys(&mut self, _: Option<&str>, _: usize) -> Result<(Vec<String>, Listing), StateError> {
            Ok((Vec::new(), Listing { count: self.0, newest: Version(0) }))
        }

        fn draw(&mut self, _: &str) -> NextNumber {
            Box::pin(std::future::ready(Err(SequenceError::Failed("a rehearsal draws nothing".to_owned()))))
        }

        fn unreserved(&mut self, _: &str) -> Result<u64, StateError> {
            Ok(40)
        }
    }

    #[tokio::test]
    async fn both_draw_the_same_numbers_and_the_store_loses_none() {
        let mut one = SharedState::new(Box::new(Moving(0)));
        let mut other = one.clone();
        for expected in [40, 41, 42] {
            assert_eq!(one.draw("orders").await.unwrap(), expected);
            assert_eq!(other.draw("orders").await.unwrap(), expected);
        }
        assert_eq!(one.draw("invoices").await.unwrap(), 40);
    }

    #[test]
    fn all_who_look_have_one_view() {
        let mut one = SharedState::new(Box::new(Moving(0)));
        let mut other = one.clone();
        assert_eq!(one.get("a").unwrap().1, Version(1));
        assert_eq!(other.get("a").unwrap().1, Version(2), "it is the same view that was asked before");
        assert_eq!(one.keys(None, 1).unwrap().1.count, 2);
    }

    /// A state in which the key's version is the position at which it was changed.
    struct Dated;

    impl StateView for Dated {
        fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
            Ok((None, Version(key.parse().unwrap())))
        }

        fn keys(&mut self, _: Option<&str>, _: usize) -> Result<(Vec<String>, Listing), StateError> {
            Ok((Vec::new(), Listing::default()))
        }

        fn draw(&mut self, _: &str) -> NextNumber {
            Box::pin(std::future::ready(Ok(1)))
        }

        fn unreserved(&mut self, _: &str) -> Result<u64, StateError> {
            Ok(1)
        }

        fn changed_up_to(&self, read: StateRead) -> Position {
            match read {
                StateRead::Value(version) => Position(version.0),
                StateRead::Absence => Position(50),
                StateRead::Listing => Position(100),
            }
        }
    }

    #[test]
    fn state_that_changed_after_the_event_is_inconclusive() {
        let (ack, retry) = (Outcome::Ack, Outcome::Reject(Failure { cause: Cause::Rejected, reason: String::new() }));
        // What is read, the event's position, and whether the handler may have met a later change.
        for (keys, lists, event, later) in [
            (&[][..], false, 1, false),
            (&["7"], false, 8, false),
            (&["7"], false, 7, true),
            (&["7"], false, 6, true),
            (&["7", "9"], false, 9, true),
            (&["0"], false, 51, false),
            (&["0"], false, 50, true),
            (&["7"], true, 100, true),
            (&["7"], true, 101, false),
        ] {
            for outcome in [&ack, &retry] {
                let mut watched = RecordingState::new(SharedState::new(Box::new(Dated)));
                let mut effects = Effects::default();
                for key in keys {
                    let (_, version) = watched.get(key).unwrap();
                    effects.reads.keys.insert((*key).to_owned(), version);
                }
                if lists {
                    effects.reads.listing = Some(watched.keys(None, 1).unwrap().1);
                }
                // A handler that fails has no effects, its reads among them.
                let effects = if *outcome == Outcome::Ack { effects } else { Effects::default() };
                let handled = EventResult { outcome: outcome.clone(), effects, usage: Usage::default() };
                assert_eq!(watched.met_later(&handled, Position(event)), later, "{keys:?} {lists} at {event}");
            }
        }
    }
}
