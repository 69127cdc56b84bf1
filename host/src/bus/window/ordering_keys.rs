//! Which ordering keys of a subscription are busy. A key is busy while an event of it is in flight, waits
//! for another attempt, or is a dead letter that parks it; later events of the key wait behind. Whose turn it
//! is keeps it until it is handled or dead, also if an earlier one is redriven meanwhile.
//!
//! What waits behind stays in the window of ready deliveries as long as there is room. Beyond that it gets
//! a row in the store, without a time at which it is due, and is read when its turn comes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::delivery::{FirstRow, Key, PendingDelivery};
use crate::event::Position;

/// The busy keys.
#[derive(Debug, Default)]
pub(crate) struct OrderingKeys {
    busy: HashMap<Key, KeyState>,
    /// Keys whose next event is to be read from the store.
    released: BTreeSet<Key>,
}

#[derive(Debug, Default)]
struct KeyState {
    /// The event whose turn it is; none while it is being read, or while the key is parked.
    head: Option<Position>,
    /// Rows that came due before their turn, in hand.
    waiting: BTreeMap<Position, PendingDelivery>,
    /// Whether the store may have rows of the key besides the one whose turn it is.
    has_rows: bool,
    /// Whether a dead letter keeps all others waiting.
    parked: bool,
}

impl OrderingKeys {
    /// The busy keys after a restart: those that have rows, of which the first is next, and those that a
    /// dead letter parks.
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

    /// Whether it is this delivery's turn.
    pub(crate) fn has_turn(&self, delivery: &PendingDelivery) -> bool {
        let busy = delivery.key.as_ref().and_then(|key| self.busy.get(key));
        busy.is_none_or(|busy| busy.head == Some(delivery.logged.position))
    }

    /// Notes that a delivery goes, or goes next.
    pub(crate) fn take_turn(&mut self, delivery: &PendingDelivery) {
        if let Some(key) = &delivery.key {
            self.busy.entry(Arc::clone(key)).or_default().head = Some(delivery.logged.position);
        }
    }

    /// Keeps a delivery in hand that came before its turn.
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

    /// Notes that a row is due next for its key, unless another one is before it.
    pub(crate) fn redriven(&mut self, key: &Key, position: Position) {
        let busy = self.busy.entry(Arc::clone(key)).or_default();
        if busy.parked || busy.head.is_none() {
            busy.parked = false;
            busy.head = Some(position);
            self.released.remove(key);
        }
    }

    /// Notes that a dead letter keeps all others of its key waiting.
    pub(crate) fn park(&mut self, key: &Key) {
        let busy = self.busy.entry(Arc::clone(key)).or_default();
        busy.parked = true;
        busy.head = None;
        self.released.remove(key);
    }

    /// Notes that an event is done: if it was its turn, the next one's has come.
    pub(crate) fn done(&mut self, key: &Key, position: Position) {
        if self.busy.get(key).is_some_and(|busy| busy.head == Some(position)) {
            self.release(key);
        }
    }

    /// Lets the next event of a key go that a dead letter parks.
    pub(crate) fn unpark(&mut self, key: &Key) {
        if self.busy.get(key).is_some_and(|busy| busy.parked) {
            self.release(key);
        }
    }

    /// Lets the next event of a key go. Which one that is, the store knows.
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

    /// The keys whose next event is to be read. Rows that they get from now on are not in what is read.
    pub(crate) fn begin_load(&mut self, limit: usize) -> Vec<Key> {
        let keys: Vec<_> = self.released.iter().take(limit).cloned().collect();
        for key in &keys {
            self.busy.entry(Arc::clone(key)).or_default().has_rows = false;
        }
        keys
    }

    /// Whether there are any.
    pub(crate) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// Takes what was read for a released key: its first row, whose turn has come. Returns it, unless it
    /// comes by itself when it is due.
    pub(crate) fn finish_load(&mut self, key: &Key, first: Option<FirstRow>) -> Option<PendingDelivery> {
        if !self.released.contains(key) {
            return None;
        }
        let busy = self.busy.get_mut(key)?;
        let Some(FirstRow { delivery, awaits_turn }) = first else {
            // One that has come meanwhile is read the next time.
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

    /// What is in hand before its turn.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = &PendingDelivery> {
        self.busy.values().flat_map(|busy| busy.waiting.values())
    }

    /// Whether a key is busy.
    pub(crate) fn is_busy(&self, key: &Key) -> bool {
        self.busy.contains_key(key)
    }

    /// How many keys wait behind a dead letter.
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
        PendingDelivery { logged, key: Some("k".into()), attempts: 0, has_row: true, redriven_replay: None }
    }

    #[test]
    fn a_row_that_comes_while_the_store_is_read_is_read_the_next_time() {
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
