//! Deliveries that were given up.

use std::collections::BTreeMap;

use crate::bus::{BoxFuture, CommitError, DeadLetter, DeadLetterFilter, DeadLetterId, StoreError};
use crate::subscription::SubscriptionId;

/// The dead letters of all subscriptions.
pub trait DeadLetters {
    /// Turns dead letters into deliveries again, in the order of their events, at most `limit`, and returns how many.
    /// Those that share an ordering key with an open delivery wait for their turn.
    ///
    /// # Errors
    /// If the store refuses.
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Deletes dead letters, at most `limit`, and returns how many. Ordering keys that wait behind them go on.
    ///
    /// # Errors
    /// If the store refuses.
    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Dead letters in the order in which they died: those after one of them, or the first ones.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// How many dead letters there are.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// How many dead letters each subscription has, those of its replays among them. One without any is left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>>;
}
