//! Deliveries that have a row: those before their subscription's cursor that are not handled.

use crate::bus::window::{Due, FirstRow, Key, PendingDelivery};
use crate::bus::{DeadLetterId, FailedAttempt, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;

/// A delivery's row.
#[derive(Clone, Copy, Debug)]
pub(in crate::bus) struct PendingRow<'a> {
    pub(in crate::bus) subscription: i64,
    pub(in crate::bus) position: Position,
    pub(in crate::bus) key: Option<&'a str>,
    pub(in crate::bus) attempts: u32,
    pub(in crate::bus) due: Due,
    pub(in crate::bus) redriven_replay: Option<DeadLetterId>,
    pub(in crate::bus) history: &'a [FailedAttempt],
    /// The data, if an operator has edited it.
    pub(in crate::bus) edited: Option<&'a [u8]>,
    pub(in crate::bus) redriven_at: Option<Timestamp>,
}

/// Selects rows of a subscription's deliveries.
pub(in crate::bus) struct PendingFilter<'a> {
    /// Only the row of this event.
    pub(in crate::bus) event: Option<Position>,
    /// Only those with this key.
    pub(in crate::bus) key: Option<&'a str>,
    /// Only those of events with these types.
    pub(in crate::bus) types: Option<&'a [i64]>,
}

/// Deliveries that have a row: those before their subscription's cursor that are not handled.
pub(in crate::bus) trait PendingRows {
    /// Inserts or replaces a delivery's row.
    fn put_pending(&self, row: &PendingRow<'_>) -> Result<(), StoreError>;

    /// Inserts a delivery's row unless there is one. Returns whether it did.
    fn add_pending(&self, row: &PendingRow<'_>) -> Result<bool, StoreError>;

    fn delete_pending(&self, subscription: i64, position: Position) -> Result<(), StoreError>;

    /// Whether a delivery has a row.
    fn has_pending(&self, subscription: i64, position: Position) -> Result<bool, StoreError>;

    /// Deletes all rows of a subscription, and returns their positions.
    fn delete_all_pending(&self, subscription: i64) -> Result<Vec<Position>, StoreError>;

    /// When the oldest event was stored for which the subscription has a row.
    fn oldest_pending(&self, subscription: i64) -> Result<Option<Timestamp>, StoreError>;

    /// The failed attempts of a delivery.
    fn history(&self, subscription: i64, position: Position) -> Result<Vec<FailedAttempt>, StoreError>;

    /// Rows that are due, in order.
    fn due_pending(&self, subscription: i64, now: Timestamp, limit: usize) -> Result<Vec<PendingDelivery>, StoreError>;

    /// The earliest due time after `now`. Rows that wait for their turn have none.
    fn next_pending_after(&self, subscription: i64, now: Timestamp) -> Result<Option<Due>, StoreError>;

    /// The first row of a key, in the order of the log.
    fn first_of_key(&self, subscription: i64, key: &str) -> Result<Option<FirstRow>, StoreError>;

    /// The keys that have rows.
    fn stored_keys(&self, subscription: i64) -> Result<Vec<Key>, StoreError>;

    fn count_pending(&self, subscription: i64) -> Result<u64, StoreError>;

    /// All rows of a subscription after a position, in order.
    fn all_pending(&self, subscription: i64, after: Position, limit: usize)
    -> Result<Vec<PendingDelivery>, StoreError>;

    /// Changes the key of a row. The row becomes due, so that its turn is determined again.
    fn rekey_pending(&self, subscription: i64, position: Position, key: Option<&str>) -> Result<(), StoreError>;

    /// Makes a subscription's rows that match the filter due now, if they are due later than `now`. Rows that wait for
    /// their turn are unchanged. Returns the number of changed rows.
    fn make_due(&self, subscription: i64, now: Timestamp, filter: &PendingFilter<'_>) -> Result<usize, StoreError>;

    /// Moves the due times of rows after the clock was set back, except for rows that wait for their turn.
    fn shift_pending(&self, now: Timestamp, by: std::time::Duration) -> Result<(), StoreError>;
}
