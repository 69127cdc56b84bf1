//! The feeds of a cluster bus.

use std::sync::{Arc, Mutex, PoisonError};

use super::shared::{Engine, Shared};
use crate::bus::{BoxFuture, Claim, FeedId, Overview, StoreError, SubscriptionFeed};
use crate::subscription::{Definition, SubscriptionId};

/// A feed, whichever host runs the engine. Its number is that of the store, so it is the same in each engine.
#[derive(Debug)]
pub(super) struct ClusterFeed {
    shared: Arc<Shared>,
    feed: FeedId,
    id: SubscriptionId,
    current: Mutex<Current>,
}

/// The feed of the engine that was used last.
#[derive(Debug)]
struct Current {
    engine: u64,
    /// None if the engine has no such feed: it was deleted.
    feed: Option<Arc<dyn SubscriptionFeed>>,
    /// The last one that there was, for its definition and its overview.
    last: Arc<dyn SubscriptionFeed>,
}

impl ClusterFeed {
    /// The feed with a number. None without an engine, or if the engine does not have this feed.
    pub(super) fn new(shared: &Arc<Shared>, feed: FeedId) -> Option<Self> {
        let engine = shared.engine().borrow().clone()?;
        let found = engine.bus.feed(feed)?;
        let current = Current { engine: engine.number, feed: Some(Arc::clone(&found)), last: Arc::clone(&found) };
        Some(Self { shared: Arc::clone(shared), feed, id: found.id().clone(), current: Mutex::new(current) })
    }

    /// The engine's feed. None without an engine, or if the feed was deleted.
    fn current(&self) -> Option<Arc<dyn SubscriptionFeed>> {
        let Engine { bus, number, .. } = self.shared.engine().borrow().clone()?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.engine != number {
            current.engine = number;
            current.feed = bus.feed(self.feed);
            if let Some(feed) = &current.feed {
                current.last = Arc::clone(feed);
            }
        }
        current.feed.clone()
    }

    /// The engine's feed, or the one of the last engine.
    fn last(&self) -> Arc<dyn SubscriptionFeed> {
        let current = self.current();
        current.unwrap_or_else(|| Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).last))
    }
}

impl SubscriptionFeed for ClusterFeed {
    fn feed_id(&self) -> FeedId {
        self.feed
    }

    fn id(&self) -> &SubscriptionId {
        &self.id
    }

    fn definition(&self) -> Arc<Definition> {
        self.last().definition()
    }

    fn is_deleted(&self) -> bool {
        let has_engine = self.shared.engine().borrow().is_some();
        has_engine && self.current().is_none_or(|feed| feed.is_deleted())
    }

    fn overview(&self) -> Overview {
        self.last().overview()
    }

    fn claim(&self) -> BoxFuture<'_, Result<Claim, StoreError>> {
        Box::pin(async {
            let mut engine = self.shared.engine();
            loop {
                engine.borrow_and_update();
                // It lives as long as the bus, so the wait for a change cannot fail.
                let Some(feed) = self.current() else {
                    drop(engine.changed().await);
                    continue;
                };
                tokio::select! {
                    biased;
                    claim = feed.claim() => match claim {
                        Err(_) if engine.has_changed().unwrap_or(false) => {}
                        claim => return claim,
                    },
                    _ = engine.changed() => {}
                }
            }
        })
    }

    fn try_claim(&self) -> Option<Claim> {
        self.current()?.try_claim()
    }
}
