//! Dead letters: deliveries that are not retried any more.

use std::collections::BTreeMap;

use crate::bus::{BoxFuture, CommitError, DeadLetter, DeadLetterFilter, DeadLetterId, StoreError};
use crate::subscription::SubscriptionId;

/// The dead letters of all subscriptions.
pub trait DeadLetters {
    /// Turns up to `limit` dead letters into deliveries again, in the order of their events, and returns how many.
    /// Deliveries that share an ordering key with an open one wait for their turn.
    ///
    /// # Errors
    /// If the store refuses.
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Deletes up to `limit` dead letters, and returns how many. Ordering keys that they parked are released.
    ///
    /// # Errors
    /// If the store refuses.
    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Lists dead letters, oldest first, starting after `after`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// Counts dead letters.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Counts the dead letters of each subscription, including those of its replays. Subscriptions without dead
    /// letters are left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>>;
}
