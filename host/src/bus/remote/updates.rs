//! What a host has been told of the engine's memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::protocol::{Progress, Update};
use crate::bus::{Catalogue, FeedEntry, FeedId, Reachability, SharedBus};
use crate::event::Position;

/// What a host has been told.
#[derive(Debug, Default)]
pub(super) struct Updates {
    catalogue: Option<Arc<Catalogue>>,
    entries: HashMap<FeedId, Arc<FeedEntry>>,
    drained: BTreeSet<String>,
    head: Position,
    progress: HashMap<FeedId, Progress>,
    reachability: Option<Reachability>,
}

impl Updates {
    /// What has changed in the catalogue. The first update has all of it.
    pub(super) fn of_catalogue(&mut self, bus: &SharedBus) -> Option<Update> {
        let catalogue = Arc::clone(&bus.catalogue().borrow());
        if self.catalogue.as_ref().is_some_and(|known| Arc::ptr_eq(known, &catalogue)) {
            return None;
        }
        let present: HashSet<_> = catalogue.feeds.iter().map(|entry| entry.feed).collect();
        let gone: Vec<_> = self.entries.keys().filter(|feed| !present.contains(feed)).copied().collect();
        for feed in &gone {
            self.entries.remove(feed);
            self.progress.remove(feed);
        }
        // The engine keeps the entries that have not changed.
        let is_new =
            |entry: &&Arc<FeedEntry>| self.entries.get(&entry.feed).is_none_or(|known| !Arc::ptr_eq(known, entry));
        let changed: Vec<_> = catalogue.feeds.iter().filter(is_new).cloned().collect();
        self.entries.extend(changed.iter().map(|entry| (entry.feed, Arc::clone(entry))));
        let drained = (self.drained != catalogue.drained).then(|| catalogue.drained.clone());
        self.drained.clone_from(&catalogue.drained);
        self.catalogue = Some(catalogue);
        Some(Update::Catalogue { changed, gone, drained })
    }

    /// The head and the progress of one feed.
    pub(super) fn of_feed(&mut self, bus: &SharedBus, feed: FeedId) -> Option<Update> {
        let (head, progress) = (bus.head(), Progress::of(bus.feed(feed)?.overview()));
        self.progress.insert(feed, progress.clone());
        Some(Update::Progress { head, feeds: vec![(feed, progress)] })
    }

    /// The head, and the feeds whose progress has changed. The first update has all of them. None if nothing has changed,
    /// unless it is `forced`.
    pub(super) fn of_progress(&mut self, bus: &SharedBus, forced: bool) -> Option<Update> {
        let (head, mut feeds) = (bus.head(), Vec::new());
        for feed in self.entries.keys() {
            let Some(overview) = bus.feed(*feed).map(|feed| feed.overview()) else { continue };
            let progress = Progress::of(overview);
            if self.progress.get(feed).is_none_or(|known| !known.is_like(&progress)) {
                self.progress.insert(*feed, progress.clone());
                feeds.push((*feed, progress));
            }
        }
        let is_news = forced || self.head != head || !feeds.is_empty();
        self.head = head;
        is_news.then_some(Update::Progress { head, feeds })
    }

    /// Whether the store can be reached, if that has changed.
    pub(super) fn of_reachability(&mut self, bus: &SharedBus) -> Option<Update> {
        let reachability = bus.reachable().borrow().clone();
        if self.reachability.as_ref() == Some(&reachability) {
            return None;
        }
        self.reachability = Some(reachability.clone());
        Some(Update::Reachability(reachability))
    }
}
