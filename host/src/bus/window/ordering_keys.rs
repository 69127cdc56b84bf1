//! The busy ordering keys of a subscription.
//!
//! A key is busy while one of its events is in flight, waits for a retry, or is a dead letter that parks it. Later
//! events of the key wait. The event at the head of a key keeps its turn until it is handled or dead-lettered, even
//! if an earlier event is redriven in the meantime.
//!
//! Waiting deliveries stay in the window while there is room. Beyond that, they are spilled to rows in the store. A
//! spilled row has no due time: it is read when its turn comes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::delivery::{FirstRow, Key, PendingDelivery};
use crate::event::Position;

/// The busy keys.
#[derive(Debug, Default)]
pub(crate) struct OrderingKeys {
    busy: HashMap<Key, KeyState>,
    /// Keys whose next event must be read from the store.
    released: BTreeSet<Key>,
}

/// Which event has the turn of an ordering key, as seen from one of the key's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// This event has the turn, or no event has it.
    Own,
    /// Another event has the turn.
    HeldBy(Position),
    /// A dead letter parks the key.
    Parked,
    /// The turn passes to the first event of the key, which is being read.
    PassedOn,
}

#[derive(Debug, Default)]
struct KeyState {
    /// The event that has the turn. None while it is being read, or while the key is parked.
    head: Option<Position>,
    /// Deliveries that were read before their turn.
    waiting: BTreeMap<Position, PendingDelivery>,
    /// Whether the store may have rows of the key besides that of the head.
    has_rows: bool,
    /// Whether a dead letter parks the key.
    parked: bool,
}

impl OrderingKeys {
    /// The busy keys after a restart: `stored` keys have rows, and their first row gets the turn; `parked` keys are
    /// parked by a dead letter.
    pub(crate) fn restore(stored: Vec<Key>, parked: Vec<Key>) -> Self {
        let mut keys = Self::default();
        for key in stored {
            keys.note_row(&key);
        }
        for key in parked {
            keys.park(&key);
        }
        keys
    }

    /// Which event has the turn of a key, as seen from the key's event at a position.
    pub(crate) fn turn(&self, key: &Key, position: Position) -> Turn {
        match self.busy.get(key) {
            None => Turn::Own,
            Some(busy) if busy.head == Some(position) => Turn::Own,
            Some(KeyState { head: Some(head), .. }) => Turn::HeldBy(*head),
            Some(busy) if busy.parked => Turn::Parked,
            Some(_) => Turn::PassedOn,
        }
    }

    /// Whether it is this delivery's turn.
    pub(crate) fn has_turn(&self, delivery: &PendingDelivery) -> bool {
        let busy = delivery.key.as_ref().and_then(|key| self.busy.get(key));
        busy.is_none_or(|busy| busy.head == Some(delivery.logged.position))
    }

    /// Gives a delivery its key's turn.
    pub(crate) fn take_turn(&mut self, delivery: &PendingDelivery) {
        if let Some(key) = &delivery.key {
            self.busy.entry(Arc::clone(key)).or_default().head = Some(delivery.logged.position);
        }
    }

    /// Keeps a delivery in memory that was read before its turn.
    pub(crate) fn defer(&mut self, delivery: PendingDelivery) {
        if let Some(busy) = delivery.key.as_ref().and_then(|key| self.busy.get_mut(key)) {
            busy.has_rows = true;
            busy.waiting.insert(delivery.logged.position, delivery);
        }
    }

    /// Notes that a row waits for its turn.
    pub(crate) fn note_row(&mut self, key: &Key) {
        let busy = self.busy.entry(Arc::clone(key)).or_default();
        busy.has_rows = true;
        if busy.head.is_none() && !busy.parked {
            self.released.insert(Arc::clone(key));
        }
    }

    /// Gives a redriven delivery its key's turn, unless another one has it.
    pub(crate) fn redriven(&mut self, key: &Key, position: Position) {
        let busy = self.busy.entry(Arc::clone(key)).or_default();
        if busy.parked || busy.head.is_none() {
            busy.parked = false;
            busy.head = Some(position);
            self.released.remove(key);
        }
    }

    /// Parks a key behind a dead letter.
    pub(crate) fn park(&mut self, key: &Key) {
        let busy = self.busy.entry(Arc::clone(key)).or_default();
        busy.parked = true;
        busy.head = None;
        self.released.remove(key);
    }

    /// Notes that an event is done. If it had the turn, the next one gets it.
    pub(crate) fn done(&mut self, key: &Key, position: Position) {
        if self.busy.get(key).is_some_and(|busy| busy.head == Some(position)) {
            self.release(key);
        }
    }

    /// Releases a parked key.
    pub(crate) fn unpark(&mut self, key: &Key) {
        if self.busy.get(key).is_some_and(|busy| busy.parked) {
            self.release(key);
        }
    }

    /// Passes the turn to the key's next event, which is read from the store.
    fn release(&mut self, key: &Key) {
        let Some(busy) = self.busy.get_mut(key) else { return };
        busy.parked = false;
        busy.head = None;
        if busy.has_rows || self.released.contains(key) {
            self.released.insert(Arc::clone(key));
        } else {
            self.busy.remove(key);
        }
    }

    /// The keys whose next event must be read. The result of the read may lack rows that are added to the keys
    /// meanwhile.
    pub(crate) fn begin_load(&mut self, limit: usize) -> Vec<Key> {
        let keys: Vec<_> = self.released.iter().take(limit).cloned().collect();
        for key in &keys {
            self.busy.entry(Arc::clone(key)).or_default().has_rows = false;
        }
        keys
    }

    /// Whether there are keys whose next event must be read.
    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// Takes the row that was read for a released key, and gives it the turn. Returns the delivery, unless the row
    /// has a time at which it is due.
    pub(crate) fn finish_load(&mut self, key: &Key, first: Option<FirstRow>) -> Option<PendingDelivery> {
        if !self.released.contains(key) {
            return None;
        }
        let busy = self.busy.get_mut(key)?;
        let Some(FirstRow { delivery, awaits_turn }) = first else {
            // If a row was added during the read, the next read finds it.
            if !busy.has_rows {
                self.released.remove(key);
                self.busy.remove(key);
            }
            return None;
        };
        self.released.remove(key);
        let position = delivery.logged.position;
        (busy.head, busy.has_rows) = (Some(position), true);
        busy.waiting.remove(&position).or_else(|| awaits_turn.then_some(delivery))
    }

    /// The deliveries in memory that were read before their turn.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = &PendingDelivery> {
        self.busy.values().flat_map(|busy| busy.waiting.values())
    }

    /// Whether a key is busy.
    pub(crate) fn is_busy(&self, key: &Key) -> bool {
        self.busy.contains_key(key)
    }

    /// The number of parked keys.
    pub(crate) fn parked(&self) -> usize {
        self.busy.values().filter(|busy| busy.parked).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Event, LoggedEvent};

    fn delivery(position: u64) -> PendingDelivery {
        let logged =
            LoggedEvent { position: Position(position), stored_at: Timestamp(0), event: Arc::new(Event::default()) };
        PendingDelivery {
            logged,
            key: Some("k".into()),
            attempts: 0,
            has_row: true,
            redriven_replay: None,
            redriven_at: None,
            is_edited: false,
        }
    }

    #[test]
    fn a_row_that_is_added_during_a_read_is_found_by_the_next_one() {
        let (mut keys, key) = (OrderingKeys::default(), Key::from("k"));
        keys.take_turn(&delivery(1));
        keys.note_row(&key);
        keys.done(&key, Position(1));
        assert_eq!(keys.begin_load(10), [Arc::clone(&key)]);
        keys.note_row(&key);
        assert!(keys.finish_load(&key, None).is_none(), "it was not there yet");
        assert_eq!(keys.begin_load(10), [Arc::clone(&key)]);
        let next = keys.finish_load(&key, Some(FirstRow { delivery: delivery(2), awaits_turn: true }));
        assert_eq!(next.map(|next| next.logged.position), Some(Position(2)));
        keys.done(&key, Position(2));
        assert_eq!(keys.begin_load(10), [Arc::clone(&key)]);
        assert!(keys.finish_load(&key, None).is_none());
        assert!(!keys.is_busy(&key) && !keys.has_released());
    }
}
