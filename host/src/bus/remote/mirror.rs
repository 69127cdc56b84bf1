//! What a host knows of the engine's memory: the feeds and their progress.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use super::feed::FeedMirror;
use super::protocol::{Number, Update};
use crate::bus::{Catalogue, Delivery, EndpointHold, FeedEntry, FeedId, Reachability};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::Target;

/// The engine's memory, as of the last update.
#[derive(Debug)]
pub(super) struct Mirror {
    head: AtomicU64,
    catalogue: watch::Sender<Arc<Catalogue>>,
    reachability: watch::Sender<Reachability>,
    feeds: RwLock<HashMap<FeedId, Arc<FeedMirror>>>,
    /// The holds of endpoints.
    holds: Mutex<HashMap<String, EndpointHold>>,
    /// The feeds with deliveries that nobody has claimed yet.
    buffered: Mutex<BTreeSet<FeedId>>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            head: AtomicU64::new(0),
            catalogue: watch::Sender::default(),
            reachability: watch::Sender::new(Reachability::Reachable),
            feeds: RwLock::default(),
            holds: Mutex::default(),
            buffered: Mutex::default(),
        }
    }
}

impl Mirror {
    pub(super) fn head(&self) -> Position {
        Position(self.head.load(Ordering::Acquire))
    }

    pub(super) fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.catalogue.subscribe()
    }

    pub(super) fn reachability(&self) -> &watch::Sender<Reachability> {
        &self.reachability
    }

    pub(super) fn feed(&self, feed: FeedId) -> Option<Arc<FeedMirror>> {
        self.feeds.read().unwrap_or_else(PoisonError::into_inner).get(&feed).cloned()
    }

    pub(super) fn hold(&self, endpoint: &str, now: Timestamp) -> Option<EndpointHold> {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        holds.get(endpoint).filter(|hold| hold.until > now).cloned()
    }

    pub(super) fn note_hold(&self, endpoint: String, hold: EndpointHold) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).insert(endpoint, hold);
    }

    /// Applies an update. Returns the claims to give back.
    pub(super) fn apply(&self, update: Update) -> Vec<Number> {
        match update {
            Update::Catalogue { changed, gone, drained } => return self.apply_catalogue(changed, &gone, drained),
            Update::Progress { head, feeds } => {
                self.head.store(head.0, Ordering::Release);
                for (feed, progress) in feeds {
                    let Some(feed) = self.feed(feed) else { continue };
                    if let (Target::Webhook(webhook), Some(hold)) = (&feed.definition().target, &progress.endpoint_hold)
                    {
                        self.note_hold(webhook.url.clone(), hold.clone());
                    }
                    feed.set_progress(progress);
                }
            }
            Update::Reachability(reachability) => drop(self.reachability.send_replace(reachability)),
        }
        Vec::new()
    }

    fn apply_catalogue(
        &self,
        changed: Vec<Arc<FeedEntry>>,
        gone: &[FeedId],
        drained: Option<BTreeSet<String>>,
    ) -> Vec<Number> {
        let mut feeds = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        for entry in changed {
            match feeds.get(&entry.feed) {
                Some(feed) => feed.redefine(entry),
                None => drop(feeds.insert(entry.feed, Arc::new(FeedMirror::new(entry)))),
            }
        }
        let unclaimed = gone.iter().filter_map(|feed| feeds.remove(feed)).flat_map(|feed| feed.delete()).collect();
        // A subscription comes before its replays.
        let sorted: BTreeMap<_, _> =
            feeds.values().map(|feed| feed.entry()).map(|entry| ((entry.id.clone(), entry.feed), entry)).collect();
        drop(feeds);
        self.catalogue.send_modify(|catalogue| {
            let drained = drained.unwrap_or_else(|| catalogue.drained.clone());
            *catalogue = Arc::new(Catalogue { feeds: sorted.into_values().collect(), drained });
        });
        unclaimed
    }

    /// Adds a delivery that has arrived. It gives the claim back if its feed is gone.
    pub(super) fn deliver(&self, feed: FeedId, claim: Number, delivery: Arc<Delivery>) -> Result<(), Number> {
        let Some(mirror) = self.feed(feed) else { return Err(claim) };
        self.buffered.lock().unwrap_or_else(PoisonError::into_inner).insert(feed);
        mirror.deliver(claim, delivery);
        Ok(())
    }

    /// The claims of deliveries that have arrived some time ago, and that nobody has claimed.
    pub(super) fn take_unclaimed(&self) -> Vec<Number> {
        let buffered = std::mem::take(&mut *self.buffered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut unclaimed = Vec::new();
        for feed in buffered {
            let Some(mirror) = self.feed(feed) else { continue };
            if mirror.take_unclaimed(&mut unclaimed) {
                self.buffered.lock().unwrap_or_else(PoisonError::into_inner).insert(feed);
            }
        }
        unclaimed
    }
}
