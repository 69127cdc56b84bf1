//! Deliveries that are not handled yet, in memory.

use std::sync::Arc;

use crate::bus::DeadLetterId;
use crate::clock::Timestamp;
use crate::event::{LoggedEvent, Position};
use crate::subscription::Definition;

/// The value of the ordering key for an event. Deliveries with the same value keep their order.
pub(crate) type Key = Arc<str>;

/// A delivery that is not handled yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingDelivery {
    pub(crate) logged: LoggedEvent,
    pub(crate) key: Option<Key>,
    /// The number of attempts so far.
    pub(crate) attempts: u32,
    /// Whether it has a row in the store.
    pub(crate) has_row: bool,
    /// If the delivery is a redriven dead letter of a replay: that replay's dead letter.
    pub(crate) redriven_replay: Option<DeadLetterId>,
    /// Whether an operator has edited its data.
    pub(crate) is_edited: bool,
    /// If it was a dead letter before: when an operator redrove it.
    pub(crate) redriven_at: Option<Timestamp>,
}

impl PendingDelivery {
    pub(crate) fn new(logged: LoggedEvent, definition: &Definition) -> Self {
        let key = definition.ordering_key.as_ref().and_then(|key| key.of(&logged.event));
        Self { logged, key, attempts: 0, has_row: false, redriven_replay: None, is_edited: false, redriven_at: None }
    }
}

impl PendingDelivery {
    /// The data, if an operator has edited it.
    pub(crate) fn edited(&self) -> Option<&[u8]> {
        self.logged.event.data.as_deref().filter(|_| self.is_edited)
    }
}

/// A pending delivery that has no row, and needs one before the cursor may pass it.
#[derive(Clone, Debug)]
pub(crate) struct RowlessDelivery {
    pub(crate) delivery: PendingDelivery,
    /// Whether it waits for the turn of its ordering key.
    pub(crate) awaits_turn: bool,
}

/// The first row of a key, in the order of the log.
pub(crate) struct FirstRow {
    pub(crate) delivery: PendingDelivery,
    /// Whether it waits for its turn, and not for a time.
    pub(crate) awaits_turn: bool,
}

/// A dead letter that is a delivery again.
#[derive(Debug)]
pub(crate) struct RedrivenDelivery {
    pub(crate) position: Position,
    pub(crate) key: Option<Key>,
    /// Whether it waits for the turn of its ordering key.
    pub(crate) awaits_turn: bool,
    /// The source of its event. None if it was a dead letter of a replay.
    pub(crate) source: Option<String>,
}
