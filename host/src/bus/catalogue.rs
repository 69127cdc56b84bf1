//! Which subscriptions there are, as one value that is watched.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{FeedId, ReplayOverview};
use crate::subscription::{Definition, SubscriptionId};

/// The subscriptions and replays that there are at one moment, with their rules, and the plugins that are drained.
///
/// What one catalogue says belongs together: a subscription is never shown with rules of another moment. How far a
/// subscription has come is not part of it; [`SubscriptionFeed::overview`](super::Subscribed::overview) tells.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Ordered by the subscriptions' identities. A subscription comes before its replays.
    pub feeds: Vec<Arc<FeedEntry>>,
    /// The plugins to which nothing is delivered.
    pub drained: BTreeSet<String>,
}

/// A subscription, or a replay of one.
#[derive(Clone, Debug)]
pub struct FeedEntry {
    /// Its name as a feed.
    pub feed: FeedId,
    /// Its identity; a replay's is its subscription's.
    pub id: SubscriptionId,
    /// Whether it was made at run time.
    pub dynamic: bool,
    /// Its rules.
    pub definition: Arc<Definition>,
    /// What it replays, if it is a replay.
    pub replay: Option<ReplayOverview>,
}

impl Catalogue {
    /// The subscriptions, without their replays.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<FeedEntry>> {
        self.feeds.iter().filter(|entry| entry.replay.is_none())
    }

    /// The subscription of an identity.
    #[must_use]
    pub fn subscription(&self, id: &SubscriptionId) -> Option<&Arc<FeedEntry>> {
        self.subscriptions().find(|entry| entry.id == *id)
    }
}
