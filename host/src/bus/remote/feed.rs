//! The feeds of a remote bus.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::claim::RemoteClaim;
use super::link::{Link, LinkError};
use super::protocol::{Number, Progress, ToServer};
use crate::bus::{
    BoxFuture, Claim, Delivery, FeedEntry, FeedId, Overview, StoreError, StoreErrorKind, SubscriptionFeed,
};
use crate::subscription::{Definition, SubscriptionId};

/// The largest number of deliveries that a host asks for in advance.
const MAX_CREDITS: u32 = 128;
/// A delivery that waits for longer than this shows that too many were asked for.
const SLOW: Duration = Duration::from_millis(10);
/// A delivery that nobody has claimed after this time is given back.
const UNCLAIMED_AFTER: Duration = Duration::from_millis(100);

/// What a host knows of a feed, and the deliveries that have arrived.
#[derive(Debug)]
pub(super) struct FeedMirror {
    entry: RwLock<Arc<FeedEntry>>,
    progress: Mutex<Progress>,
    buffer: Mutex<Buffer>,
    /// Wakes a task that waits for a delivery.
    arrived: Notify,
    /// Cancelled when the subscription is deleted, or the replay ends.
    deleted: CancellationToken,
}

/// The deliveries that have arrived and that nobody has claimed yet.
#[derive(Debug)]
struct Buffer {
    ready: VecDeque<Arrived>,
    /// The number of deliveries that were asked for and that have not arrived.
    credits: u32,
    /// The number of callers that wait for a delivery.
    waiters: u32,
    /// How many deliveries a caller that does not wait wants in advance. It doubles while there are too few, and is
    /// halved when they wait.
    window: u32,
}

#[derive(Debug)]
struct Arrived {
    claim: Number,
    delivery: Arc<Delivery>,
    at: Instant,
}

impl FeedMirror {
    pub(super) fn new(entry: Arc<FeedEntry>) -> Self {
        Self {
            entry: RwLock::new(entry),
            progress: Mutex::default(),
            buffer: Mutex::new(Buffer { ready: VecDeque::new(), credits: 0, waiters: 0, window: 1 }),
            arrived: Notify::new(),
            deleted: CancellationToken::new(),
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self) -> Arc<FeedEntry> {
        Arc::clone(&self.entry.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.entry.read().unwrap_or_else(PoisonError::into_inner).definition)
    }

    pub(super) fn redefine(&self, entry: Arc<FeedEntry>) {
        *self.entry.write().unwrap_or_else(PoisonError::into_inner) = entry;
    }

    pub(super) fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// The feed is gone. Nothing waits in it any more.
    ///
    /// Returns the claims of deliveries that nobody has claimed here.
    pub(super) fn delete(&self) -> Vec<Number> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.deleted.cancel();
        self.arrived.notify_waiters();
        self.buffer().ready.drain(..).map(|arrived| arrived.claim).collect()
    }

    pub(super) fn deliver(&self, claim: Number, delivery: Arc<Delivery>) {
        let mut buffer = self.buffer();
        buffer.credits = buffer.credits.saturating_sub(1);
        buffer.ready.push_back(Arrived { claim, delivery, at: Instant::now() });
        drop(buffer);
        self.arrived.notify_one();
    }

    /// Takes the claims of deliveries that have waited for too long. Returns whether others wait.
    pub(super) fn take_unclaimed(&self, unclaimed: &mut Vec<Number>) -> bool {
        let mut buffer = self.buffer();
        while let Some(arrived) = buffer.ready.pop_front_if(|arrived| arrived.at.elapsed() >= UNCLAIMED_AFTER) {
            buffer.window = 1;
            unclaimed.push(arrived.claim);
        }
        !buffer.ready.is_empty()
    }
}

impl Buffer {
    fn take(&mut self) -> Option<Arrived> {
        let arrived = self.ready.pop_front()?;
        if arrived.at.elapsed() > SLOW {
            self.window = (self.window / 2).max(1);
        }
        Some(arrived)
    }

    /// How many more deliveries to ask for, so that each waiting caller gets one.
    fn ask_for_waiters(&mut self) -> u32 {
        let credits = self.waiters.saturating_sub(self.credits);
        self.credits += credits;
        credits
    }

    /// How many more deliveries to ask for in advance.
    fn ask_in_advance(&mut self, was_empty: bool) -> u32 {
        if was_empty {
            self.window = (self.window * 2).min(MAX_CREDITS);
        }
        let expected = self.credits + u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        if expected > self.window / 2 {
            return 0;
        }
        let credits = self.window - expected;
        self.credits += credits;
        credits
    }
}

/// A feed of a remote bus.
#[derive(Clone, Debug)]
pub(super) struct RemoteFeed {
    link: Arc<Link>,
    mirror: Arc<FeedMirror>,
    id: SubscriptionId,
    feed: FeedId,
}

impl RemoteFeed {
    pub(super) fn new(link: Arc<Link>, mirror: Arc<FeedMirror>) -> Self {
        let entry = mirror.entry();
        Self { link, id: entry.id.clone(), feed: entry.feed, mirror }
    }

    fn grant(&self, credits: u32) {
        if credits > 0 {
            self.link.post(ToServer::Grant { feed: self.feed, credits });
        }
    }

    fn claimed(&self, Arrived { claim, delivery, .. }: Arrived) -> Claim {
        let handle = RemoteClaim::new(Arc::clone(&self.link), self.mirror.deleted.clone(), claim);
        Claim::shared(delivery, Box::new(handle))
    }
}

/// A caller that waits for a delivery. If it gives up, the last one takes the credits back.
struct Waiter<'a> {
    feed: &'a RemoteFeed,
    has_delivery: bool,
}

impl<'a> Waiter<'a> {
    fn new(feed: &'a RemoteFeed) -> Self {
        feed.mirror.buffer().waiters += 1;
        Self { feed, has_delivery: false }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut buffer = self.feed.mirror.buffer();
        buffer.waiters -= 1;
        if !self.has_delivery && buffer.waiters == 0 && buffer.credits > 0 {
            buffer.credits = 0;
            self.feed.link.post(ToServer::Revoke { feed: self.feed.feed });
        }
    }
}

impl SubscriptionFeed for RemoteFeed {
    fn feed_id(&self) -> FeedId {
        self.feed
    }

    fn id(&self) -> &SubscriptionId {
        &self.id
    }

    fn definition(&self) -> Arc<Definition> {
        self.mirror.definition()
    }

    fn is_deleted(&self) -> bool {
        self.mirror.deleted.is_cancelled()
    }

    fn overview(&self) -> Overview {
        self.link.refresh_for_test(Some(self.feed));
        let progress = self.mirror.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entry = self.mirror.entry();
        progress.overview(&entry, Arc::clone(&entry.definition))
    }

    fn claim(&self) -> BoxFuture<'_, Result<Claim, StoreError>> {
        Box::pin(async {
            let mut waiter = Waiter::new(self);
            loop {
                let mut arrived = std::pin::pin!(self.mirror.arrived.notified());
                arrived.as_mut().enable();
                let (taken, credits) = {
                    let mut buffer = self.mirror.buffer();
                    match buffer.take() {
                        Some(taken) => (Some(taken), 0),
                        None => (None, buffer.ask_for_waiters()),
                    }
                };
                if let Some(taken) = taken {
                    waiter.has_delivery = true;
                    return Ok(self.claimed(taken));
                }
                self.grant(credits);
                tokio::select! {
                    () = arrived => {}
                    () = self.link.lost().cancelled() => {
                        return Err(StoreError::new(StoreErrorKind::Unavailable, LinkError::NotSent));
                    }
                }
            }
        })
    }

    /// Callers that do not wait come again soon, so some deliveries are asked for in advance.
    fn try_claim(&self) -> Option<Claim> {
        let is_serial = self.mirror.definition().is_serial();
        let (taken, credits) = {
            let mut buffer = self.mirror.buffer();
            let taken = buffer.take();
            let credits = if is_serial { 0 } else { buffer.ask_in_advance(taken.is_none()) };
            (taken, credits)
        };
        self.grant(credits);
        taken.map(|taken| self.claimed(taken))
    }
}
