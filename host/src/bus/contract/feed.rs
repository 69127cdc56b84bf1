//! Feeds, from which deliveries are claimed.

use std::fmt::Debug;
use std::sync::Arc;

use crate::bus::{BoxFuture, Claim, FeedId, Overview, StoreError};
use crate::subscription::{Definition, SubscriptionId};

/// The deliveries of a subscription, or of a replay of one.
///
/// Each host has one claimer per feed. The engine keeps the order within ordering keys and never claims a delivery
/// twice; the claimer decides how many deliveries are in flight at a time.
pub trait SubscriptionFeed: Debug + Send + Sync {
    /// The feed's identity, which is never used for another subscription or replay.
    fn feed_id(&self) -> FeedId;

    /// The subscription's identity; for a replay, that of the subscription it replays.
    fn id(&self) -> &SubscriptionId;

    /// The subscription's definition.
    fn definition(&self) -> Arc<Definition>;

    /// Whether the subscription or replay was deleted.
    fn is_deleted(&self) -> bool;

    /// The feed's state as of [`Overview::as_of`].
    fn overview(&self) -> Overview;

    /// Waits for a delivery and claims it. The future may be dropped: no delivery is lost or repeated. An unsettled
    /// claim may be dropped, too: its event is delivered again as the same attempt.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn claim(&self) -> BoxFuture<'_, Result<Claim, StoreError>>;

    /// Claims a delivery that is ready in memory. None does not mean that there are no deliveries:
    /// [`SubscriptionFeed::claim`] also looks in the store.
    fn try_claim(&self) -> Option<Claim>;
}
