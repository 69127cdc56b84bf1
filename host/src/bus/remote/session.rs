//! One host that is connected to the engine's host: its claims, its views of the state, and the replies that it expects.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::protocol::{Number, ToClient};
use super::pump::Pump;
use super::updates::Updates;
use crate::bus::{BoxFuture, Claim, FeedId, SharedBus};
use crate::event::Event;
use crate::outcome::StateView;
use crate::pattern::Pattern;

/// A view of a plugin's state. One read at a time uses it.
pub(super) type SharedView = Arc<Mutex<Box<dyn StateView>>>;

/// A connected host. When it is dropped, its claims are given back.
pub(super) struct Session {
    pub(super) bus: SharedBus,
    outgoing: mpsc::Sender<ToClient>,
    claims: Mutex<Claims>,
    /// The number of calls that are being answered.
    calls: AtomicUsize,
    /// Notified when a claim or a call ends.
    work_ended: Notify,
    pumps: Mutex<HashMap<FeedId, Pump>>,
    views: Mutex<HashMap<Number, SharedView>>,
    replies: Mutex<HashMap<Number, AbortOnDropHandle<()>>>,
    updates: tokio::sync::Mutex<Updates>,
    /// Cancelled when no more deliveries are made.
    stopping: CancellationToken,
    /// The tasks that answer calls.
    tasks: TaskTracker,
}

#[derive(Default)]
struct Claims {
    last: Number,
    /// None while a claim is being settled.
    held: HashMap<Number, Option<Claim>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(super) fn new(
        bus: SharedBus,
        outgoing: mpsc::Sender<ToClient>,
        stopping: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            bus,
            outgoing,
            claims: Mutex::default(),
            calls: AtomicUsize::new(0),
            work_ended: Notify::new(),
            pumps: Mutex::default(),
            views: Mutex::default(),
            replies: Mutex::default(),
            updates: tokio::sync::Mutex::default(),
            stopping,
            tasks,
        }
    }

    /// Sends a message. Waits while the queue is full.
    pub(super) async fn send(&self, message: ToClient) {
        // The connection has ended if nobody receives.
        drop(self.outgoing.send(message).await);
    }

    /// Sends what has changed in the catalogue.
    pub(super) async fn send_catalogue(&self) {
        let mut updates = self.updates.lock().await;
        if let Some(update) = updates.of_catalogue(&self.bus) {
            self.end_pumps();
            self.send(ToClient::Update(update)).await;
        }
    }

    /// Sends the progress of the feeds, if it has changed or if that is `forced`.
    pub(super) async fn send_progress(&self, forced: bool) {
        let mut updates = self.updates.lock().await;
        let (progress, reachability) = (updates.of_progress(&self.bus, forced), updates.of_reachability(&self.bus));
        for update in progress.into_iter().chain(reachability) {
            self.send(ToClient::Update(update)).await;
        }
    }

    /// Sends the progress of one feed, or of all.
    pub(super) async fn send_progress_of(&self, feed: Option<FeedId>) {
        let Some(feed) = feed else { return self.send_progress(true).await };
        let mut updates = self.updates.lock().await;
        if let Some(update) = updates.of_feed(&self.bus, feed) {
            self.send(ToClient::Update(update)).await;
        }
    }

    /// Ends the pumps of feeds that are gone.
    fn end_pumps(&self) {
        locked(&self.pumps).retain(|feed, _| self.bus.feed(*feed).is_some_and(|feed| !feed.is_deleted()));
    }

    /// Answers a call in a task of its own.
    pub(super) fn answer(self: &Arc<Self>, number: Number, result: impl Future<Output = Bytes> + Send + 'static) {
        let session = Arc::clone(self);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(async move {
            let result = result.await.to_vec();
            // A host sees its own changes at once.
            session.send_catalogue().await;
            session.send(ToClient::Answer { number, result }).await;
            session.calls.fetch_sub(1, Ordering::Relaxed);
            session.work_ended.notify_one();
        });
    }

    /// Gives a claim back. One that is being settled is given back if its settlement fails.
    pub(super) fn give_back(&self, claim: Number) {
        let claim = locked(&self.claims).held.remove(&claim);
        drop(claim);
        self.work_ended.notify_one();
    }

    /// Forgets a reply.
    pub(super) fn forget_reply(&self, reply: Number) {
        locked(&self.replies).remove(&reply);
    }

    /// Ends a view of a plugin's state.
    pub(super) fn close_state(&self, view: Number) {
        locked(&self.views).remove(&view);
    }

    /// Takes the credits for a feed back.
    pub(super) fn revoke(&self, feed: FeedId) {
        locked(&self.pumps).remove(&feed);
    }

    /// Grants credits for a feed.
    pub(super) fn grant(self: &Arc<Self>, feed: FeedId, credits: u32) {
        if self.stopping.is_cancelled() {
            return;
        }
        let Some(source) = self.bus.feed(feed) else { return };
        let mut pumps = locked(&self.pumps);
        let pump = pumps.entry(feed).or_insert_with(|| {
            let session = Arc::downgrade(self);
            let deliver = move |claim| -> BoxFuture<'static, ()> {
                let session = session.upgrade();
                Box::pin(async move {
                    if let Some(session) = session {
                        session.deliver(feed, claim).await;
                    }
                })
            };
            Pump::start(source, self.stopping.clone(), Box::new(deliver))
        });
        pump.grant(credits);
    }

    /// Sends the reply to an event when it arrives.
    pub(super) fn expect_reply(self: &Arc<Self>, reply: Number, event: &Event, pattern: Pattern) {
        // The limits on replies are those of all hosts together. A host whose request is over them gets no reply.
        let Ok(pending) = self.bus.expect_reply(event, pattern) else { return };
        let session = Arc::downgrade(self);
        let waiting = tokio::spawn(async move {
            let Some(logged) = pending.wait().await else { return };
            if let Some(session) = session.upgrade() {
                locked(&session.replies).remove(&reply).map(AbortOnDropHandle::detach);
                session.send(ToClient::Reply { reply, logged }).await;
            }
        });
        locked(&self.replies).insert(reply, AbortOnDropHandle::new(waiting));
    }

    /// Sends a delivery that was claimed for the host. If the future is dropped, the claim is given back.
    pub(super) async fn deliver(&self, feed: FeedId, claim: Claim) {
        // The connection has ended if nobody receives.
        let Ok(permit) = self.outgoing.reserve().await else { return };
        let delivery = Arc::clone(claim.delivery());
        let number = {
            let mut claims = locked(&self.claims);
            claims.last += 1;
            let number = claims.last;
            claims.held.insert(number, Some(claim));
            number
        };
        permit.send(ToClient::Delivery { feed, claim: number, delivery });
    }

    /// Takes a claim to settle it. None if it was settled before, or given back.
    pub(super) fn take_claim(&self, number: Number) -> Option<Claim> {
        locked(&self.claims).held.get_mut(&number)?.take()
    }

    /// Puts a claim back that is still in flight, unless the host has given it back.
    pub(super) fn put_back(&self, number: Number, claim: Claim) {
        if let Some(held) = locked(&self.claims).held.get_mut(&number) {
            *held = Some(claim);
        }
    }

    /// Ends a claim that is settled.
    pub(super) fn end_claim(&self, number: Number) {
        locked(&self.claims).held.remove(&number);
        self.work_ended.notify_one();
    }

    /// The number of claims of the host.
    pub(super) fn claims(&self) -> usize {
        locked(&self.claims).held.len()
    }

    /// Gives all claims back, because the host has left. Those that are being settled end with their commit.
    pub(super) fn end(&self) {
        self.stopping.cancel();
        locked(&self.pumps).clear();
        let held = std::mem::take(&mut locked(&self.claims).held);
        drop(held);
        locked(&self.replies).clear();
        locked(&self.views).clear();
        self.work_ended.notify_one();
    }

    /// Waits until the host has no claims, and all its calls are answered.
    pub(super) async fn wait_until_idle(&self) {
        while self.claims() > 0 || self.calls.load(Ordering::Relaxed) > 0 {
            self.work_ended.notified().await;
        }
    }

    /// A view of a plugin's state. It begins with its first read.
    pub(super) fn view(&self, number: Number, plugin: &str) -> SharedView {
        let mut views = locked(&self.views);
        Arc::clone(views.entry(number).or_insert_with(|| Arc::new(Mutex::new(self.bus.state(plugin)))))
    }
}

impl Debug for Session {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("claims", &self.claims()).finish_non_exhaustive()
    }
}
