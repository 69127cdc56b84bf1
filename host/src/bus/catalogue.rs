//! The set of subscriptions, as one value that can be watched.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{FeedId, ReplayOverview};
use crate::subscription::{Definition, SubscriptionId};

/// The subscriptions and replays at one moment, with their definitions, and the drained plugins.
///
/// A catalogue is consistent: it never pairs a subscription with a definition of another moment. Progress is not part
/// of it; see [`SubscriptionFeed::overview`](super::SubscriptionFeed::overview).
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The feeds, ordered by their subscriptions' identities. A subscription comes before its replays.
    pub feeds: Vec<Arc<FeedEntry>>,
    /// The drained plugins, to which nothing is delivered.
    pub drained: BTreeSet<String>,
}

/// A subscription, or a replay of one.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct FeedEntry {
    /// The identity of the feed.
    pub feed: FeedId,
    /// The subscription's identity.
    pub id: SubscriptionId,
    /// Whether the subscription was created at run time.
    pub dynamic: bool,
    /// The subscription's definition.
    pub definition: Arc<Definition>,
    /// The replay, if this is one.
    pub replay: Option<ReplayOverview>,
}

impl Catalogue {
    /// The subscriptions, without their replays.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<FeedEntry>> {
        self.feeds.iter().filter(|entry| entry.replay.is_none())
    }

    /// The subscription with an identity.
    #[must_use]
    pub fn subscription(&self, id: &SubscriptionId) -> Option<&Arc<FeedEntry>> {
        self.subscriptions().find(|entry| entry.id == *id)
    }
}
