//! What operators see of deliveries and cause trees.

use std::collections::BTreeMap;

use crate::bus::window::{Due, PendingDelivery};
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::event::{CauseTreeId, LoggedEvent, Position};

/// A delivery that has a row.
pub(in crate::bus) struct StoredDelivery {
    pub(in crate::bus) delivery: PendingDelivery,
    pub(in crate::bus) due: Due,
    /// The last failed attempt.
    pub(in crate::bus) last: Option<FailedAttempt>,
}

/// A dead letter of an event.
pub(in crate::bus) struct EventDeadLetter {
    pub(in crate::bus) number: DeadLetterId,
    pub(in crate::bus) subscription: i64,
    pub(in crate::bus) replay: bool,
}

/// The rows of an event.
pub(in crate::bus) struct EventDeliveryRows {
    /// Its deliveries, by subscription.
    pub(in crate::bus) pending: BTreeMap<i64, StoredDelivery>,
    /// Its dead letters, oldest first.
    pub(in crate::bus) letters: Vec<EventDeadLetter>,
}

/// What operators see of deliveries and cause trees.
pub(in crate::bus) trait InspectionRows {
    /// The event at a position.
    fn event_at(&self, position: Position) -> Result<Option<LoggedEvent>, StoreError>;

    /// The events of a cause tree after a position, in order.
    fn events_in_tree(
        &self,
        tree: &CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError>;

    /// The rows of an event, all from one moment: a delivery that becomes a dead letter, or is redriven, is in one of
    /// the two tables at each moment.
    fn delivery_rows(&self, position: Position) -> Result<EventDeliveryRows, StoreError>;

    /// The deliveries of a subscription that have rows, from a position on, in order.
    fn pending_from(&self, subscription: i64, from: Position, limit: usize) -> Result<Vec<StoredDelivery>, StoreError>;

    /// The position of the first row of a key, in the order of the log.
    fn first_position_of_key(&self, subscription: i64, key: &str) -> Result<Option<Position>, StoreError>;

    /// The oldest dead letter that parks a key.
    fn parking_letter(&self, subscription: i64, key: &str) -> Result<Option<DeadLetterId>, StoreError>;
}
