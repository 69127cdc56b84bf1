//! Dead letters.

use std::collections::BTreeMap;

use crate::bus::{DeadLetter, DeadLetterFilter, DeadLetterId, FailedAttempt, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::SubscriptionId;

/// A delivery that becomes a dead letter.
pub(in crate::bus) struct NewDeadLetter<'a> {
    pub(in crate::bus) subscription: i64,
    pub(in crate::bus) position: Position,
    pub(in crate::bus) key: Option<&'a str>,
    pub(in crate::bus) parks: bool,
    pub(in crate::bus) replay: bool,
    pub(in crate::bus) history: &'a [FailedAttempt],
    pub(in crate::bus) now: Timestamp,
    /// The data, if an operator has edited it.
    pub(in crate::bus) edited: Option<&'a [u8]>,
}

/// A dead letter that was removed to be redriven or dropped.
pub(in crate::bus) struct TakenDeadLetter {
    pub(in crate::bus) number: i64,
    pub(in crate::bus) subscription: i64,
    pub(in crate::bus) position: Position,
    pub(in crate::bus) key: Option<String>,
    pub(in crate::bus) parks: bool,
    pub(in crate::bus) replay: bool,
    pub(in crate::bus) edited: Option<Vec<u8>>,
}

/// Dead letters.
pub(in crate::bus) trait DeadLetterRows {
    /// Inserts a dead letter, and returns its number.
    fn insert_dead_letter(&self, letter: &NewDeadLetter<'_>) -> Result<DeadLetterId, StoreError>;

    /// Dead letters in order, starting after one of them.
    fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, StoreError>;

    /// The number of dead letters of each subscription, with one scan of the table.
    fn dead_letter_counts(&self) -> Result<BTreeMap<SubscriptionId, u64>, StoreError>;

    /// Removes dead letters, those of the oldest events first.
    fn take_dead_letters(&self, filter: &DeadLetterFilter, limit: usize) -> Result<Vec<TakenDeadLetter>, StoreError>;

    /// Deletes all dead letters of a subscription, and returns the positions of their events.
    fn delete_dead_letters(&self, subscription: i64) -> Result<Vec<Position>, StoreError>;

    /// Whether a dead letter parks a key.
    fn is_parked(&self, subscription: i64, key: &str) -> Result<bool, StoreError>;

    /// Releases the keys that dead letters of a subscription park, and returns them. The dead letters stay.
    fn release_parked(&self, subscription: i64) -> Result<Vec<String>, StoreError>;

    /// The parked keys of a subscription.
    fn parked_keys(&self, subscription: i64) -> Result<Vec<String>, StoreError>;
}
