//! Where deliveries are claimed.

use std::fmt::Debug;
use std::sync::Arc;

use crate::bus::{BoxFuture, Claim, FeedId, Overview, StoreError};
use crate::subscription::{Definition, SubscriptionId};

/// A subscription, or a replay of one, from which deliveries are claimed.
///
/// There is one claimer at a time in each host. The engine keeps the order within ordering keys, and claims no delivery
/// twice; how many claims are open at a time is up to the claimer.
pub trait SubscriptionFeed: Debug + Send + Sync {
    /// Its name, which no other subscription or replay ever gets.
    fn feed_id(&self) -> FeedId;

    /// Its identity; a replay's is its subscription's.
    fn id(&self) -> &SubscriptionId;

    /// Its rules.
    fn definition(&self) -> Arc<Definition>;

    /// Whether it is gone.
    fn is_deleted(&self) -> bool;

    /// What it looks like from outside, as of [`Overview::as_of`].
    fn overview(&self) -> Overview;

    /// Waits for a delivery and claims it. Nothing is lost or repeated if the wait is given up, nor if the
    /// claim is dropped without being settled: then it is delivered again as the same attempt.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn claim(&self) -> BoxFuture<'_, Result<Claim, StoreError>>;

    /// Claims a delivery if one is at hand. None does not mean that there is nothing to do: [`SubscriptionFeed::claim`] may find
    /// more in the store.
    fn try_claim(&self) -> Option<Claim>;
}
