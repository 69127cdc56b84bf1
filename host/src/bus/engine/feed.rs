//! The feed of a subscription: claims, and their settlement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::DurableBus;
use super::command::{Command, SettleRequest};
use super::engine_state::EngineState;
use super::feed_state::{FeedState, SubmittedGuard};
use super::selection::Selection;
use super::store::Rows;
use crate::bus::group_commit::Closed;
use crate::bus::window::{ClaimStep, Due, PAGE, PendingDelivery};
use crate::bus::{
    BoxFuture, Claim, ClaimHandle, CommitError, DeadLetterId, Delivery, DeliveryKind, EventLog as _, FeedId,
    OnHandleSettled, Overview, SettledStatus, Settlement, StoreError, SubscriptionFeed,
};
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::{Definition, SubscriptionId};

#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) bus: DurableBus,
    pub(super) subscription: Arc<FeedState>,
}

impl SubscriptionFeed for Feed {
    fn feed_id(&self) -> FeedId {
        FeedId::new(self.subscription.number)
    }

    fn id(&self) -> &SubscriptionId {
        &self.subscription.id
    }

    fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.subscription.window().definition)
    }

    fn is_deleted(&self) -> bool {
        self.subscription.window().deleted
    }

    fn overview(&self) -> Overview {
        let subscription = &self.subscription;
        let window = subscription.window();
        let committing = subscription.committing().min(window.claimed.len());
        Overview {
            as_of: self.bus.shared.clock.now(),
            id: subscription.id.clone(),
            dynamic: subscription.dynamic,
            definition: Arc::clone(&window.definition),
            paused: window.pause.reason(),
            endpoint_hold: self.bus.shared.holds.of(&window.definition, self.bus.shared.clock.now()),
            cursor: window.cursor,
            backlog: window.backlog,
            in_flight: window.claimed.len() - committing,
            committing,
            parked_keys: window.keys.parked(),
            expired: window.expired,
            next_due: window.next_due.and_then(Due::time),
            replay: subscription.replay_overview(),
        }
    }

    fn claim(&self) -> BoxFuture<'_, Result<Claim, StoreError>> {
        Box::pin(self.next())
    }

    fn try_claim(&self) -> Option<Claim> {
        let now = self.bus.shared.clock.now();
        // The other steps are left to `claim`, which waits.
        match self.try_claim_in_memory(now) {
            ClaimStep::Claimed(delivery) => Some(delivery),
            ClaimStep::Read | ClaimStep::Spill | ClaimStep::Wait(_) => None,
        }
        .map(|delivery| self.claimed(delivery))
    }
}

impl Feed {
    /// Claims a delivery that is in memory, if there is one. While the endpoint is on hold, nothing is claimed.
    fn try_claim_in_memory(&self, now: Timestamp) -> ClaimStep {
        let mut window = self.subscription.window();
        if let Some(hold) = self.bus.shared.holds.of(&window.definition, now) {
            return ClaimStep::Wait(Some(hold.until));
        }
        if !self.bus.shared.is_shared() {
            return window.try_claim(now);
        }
        // The dispatchers of several hosts share the concurrency of a subscription. A serial delivery ends with its
        // commit, and others when their handler has ended.
        let committing = if window.definition.is_serial() { 0 } else { self.subscription.committing() };
        if window.claimed.len().saturating_sub(committing) >= window.definition.parallelism() {
            return ClaimStep::Wait(None);
        }
        let step = window.try_claim(now);
        if matches!(step, ClaimStep::Claimed(_)) {
            // A wake-up wakes one of the tasks that wait. There may be more deliveries for the others.
            self.subscription.wake.notify_one();
        }
        step
    }

    /// Counts a settlement that was submitted, until the returned value is dropped. Its handler has ended, so another
    /// host may start one.
    fn note_submitted(&self) -> SubmittedGuard {
        let submitted = self.subscription.note_submitted();
        if self.bus.shared.is_shared() {
            self.subscription.wake.notify_one();
        }
        submitted
    }

    /// Claims a delivery, reading the store if necessary. None if there is none.
    pub(super) async fn claim_now(&self) -> Result<Option<Claim>, StoreError> {
        loop {
            let step = self.try_claim_in_memory(self.bus.shared.clock.now());
            match step {
                ClaimStep::Claimed(delivery) => return Ok(Some(self.claimed(delivery))),
                ClaimStep::Read => self.read_backlog().await?,
                ClaimStep::Spill => {
                    let requested = self.request_spill().await;
                    // This cancels nothing and serves as a barrier: commands are applied in order, so its reply comes
                    // when the spill is done.
                    if !requested || self.bus.cancel("", "").await.is_err() {
                        return Ok(None);
                    }
                }
                ClaimStep::Wait(_) => return Ok(None),
            }
        }
    }

    async fn next(&self) -> Result<Claim, StoreError> {
        loop {
            // Registered before the check, so that no wake-up in between is missed.
            let mut woken = std::pin::pin!(self.subscription.wake.notified());
            woken.as_mut().enable();
            let now = self.bus.shared.clock.now();
            let step = self.try_claim_in_memory(now);
            match step {
                ClaimStep::Claimed(delivery) => return Ok(self.claimed(delivery)),
                ClaimStep::Read => self.read_backlog().await?,
                ClaimStep::Spill => {
                    if !self.request_spill().await {
                        std::future::pending::<()>().await;
                    }
                    // A spill fails on a full disk, and is requested again.
                    drop(tokio::time::timeout(Duration::from_secs(1), woken).await);
                }
                ClaimStep::Wait(until) => {
                    // Checks again at least once a second while something is due later, because the clock may be set.
                    let wait = until.map_or(Duration::from_hours(1), |until| {
                        until.since(now).clamp(Duration::from_millis(1), Duration::from_secs(1))
                    });
                    tokio::select! {
                        () = woken => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Requests a spill of the deliveries that wait for their ordering keys. Returns whether the bus still exists.
    async fn request_spill(&self) -> bool {
        let Some(permit) = self.bus.commands.reserve().await else { return false };
        self.subscription.window().spilling = true;
        permit.send(Command::Spill { subscription: Arc::clone(&self.subscription) });
        true
    }

    fn claimed(&self, delivery: PendingDelivery) -> Claim {
        let subscription = &self.subscription;
        let position = delivery.logged.position;
        let redriven = delivery.redriven_replay.map_or(0, DeadLetterId::number);
        let ids = self.bus.shared.ids.delivery(&delivery.logged, subscription.number, redriven);
        let kind = match (&subscription.replay, delivery.redriven_replay) {
            (Some(_), _) => DeliveryKind::Replay(FeedId::new(subscription.number)),
            (None, None) => DeliveryKind::Regular,
            (None, Some(letter)) => DeliveryKind::RedrivenReplay(letter),
        };
        let delivery = Delivery {
            logged: delivery.logged,
            subscription: subscription.id.clone(),
            is_dynamic: subscription.dynamic,
            attempt: delivery.attempts + 1,
            kind,
            redriven_at: delivery.redriven_at,
            ids,
        };
        Claim::new(delivery, Box::new(FeedClaim { from: self.clone(), position, is_in_flight: true }))
    }

    /// Reads rows that are due, and events from the log if the subscription is behind. A read is completed even if its
    /// requester is gone, and the next read begins only after that.
    async fn read_backlog(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.bus.shared);
        self.subscription.window().begin_read();
        let guard = ReadGuard(Arc::clone(&self.subscription));
        self.bus
            .read(move |rows| {
                read_released(rows, &guard.0)?;
                read_due_rows(rows, &shared, &guard.0)?;
                read_log(rows, &shared, &guard.0)
            })
            .await
    }
}

/// Ends a read when it is dropped.
struct ReadGuard(Arc<FeedState>);

impl Drop for ReadGuard {
    fn drop(&mut self) {
        self.0.window().end_read();
        self.0.wake.notify_one();
    }
}

/// When the oldest pending event of each subscription was stored.
pub(super) fn oldest_unhandled(
    rows: &dyn Rows,
    shared: &EngineState,
) -> Result<BTreeMap<FeedId, Timestamp>, StoreError> {
    let mut oldest = BTreeMap::new();
    for subscription in shared.feeds().iter() {
        if let Some(stored_at) = oldest_of(rows, shared, subscription)? {
            oldest.insert(FeedId::new(subscription.number), stored_at);
        }
    }
    Ok(oldest)
}

fn oldest_of(rows: &dyn Rows, shared: &EngineState, subscription: &FeedState) -> Result<Option<Timestamp>, StoreError> {
    if subscription.window().backlog == 0 {
        return Ok(None);
    }
    // Rows are before the cursor, and the window's deliveries are before the unread part of the log.
    let in_store = rows.oldest_pending(subscription.number)?;
    loop {
        let (in_memory, unread) = {
            let window = subscription.window();
            (window.oldest_in_memory(), window.is_behind())
        };
        match in_memory.into_iter().chain(in_store).min() {
            None if unread => read_log(rows, shared, subscription)?,
            oldest => return Ok(oldest),
        }
    }
}

/// Reads the next event of the keys that were released.
fn read_released(rows: &dyn Rows, subscription: &FeedState) -> Result<(), StoreError> {
    let keys = subscription.window().keys.begin_load(PAGE);
    for key in keys {
        let first = rows.first_of_key(subscription.number, &key)?;
        subscription.window().take_first_of_key(&key, first);
    }
    Ok(())
}

fn read_due_rows(rows: &dyn Rows, shared: &EngineState, subscription: &FeedState) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let limit = {
        let mut window = subscription.window();
        if !window.next_due.is_some_and(|due| due.has_come(now)) {
            return Ok(());
        }
        window.next_due = None;
        PAGE + window.rows_in_memory().count() + window.ready.len()
    };
    let read = || -> Result<_, StoreError> {
        let due = rows.due_pending(subscription.number, now, limit)?;
        let all = due.len() < limit;
        let next = if all { rows.next_pending_after(subscription.number, now)? } else { Some(Due::Now) };
        Ok((due, next))
    };
    // Rows that could not be read are still due.
    let (due, next) = read().inspect_err(|_| subscription.window().note_row_due(Due::Now))?;

    let mut window = subscription.window();
    if window.is_read_void() {
        window.note_row_due(Due::Now);
        return Ok(());
    }
    window.take_due(due);
    if let Some(next) = next {
        window.note_row_due(next);
    }
    Ok(())
}

fn read_log(rows: &dyn Rows, shared: &EngineState, subscription: &FeedState) -> Result<(), StoreError> {
    let (loaded_through, definition) = {
        let window = subscription.window();
        if !window.wants_log() {
            return Ok(());
        }
        (window.loaded_through, Arc::clone(&window.definition))
    };
    // The head is read first, then the types, then the log. So every event up to the head has been offered, and its
    // type is known.
    let head = subscription.replay.map_or(shared.head(), |replay| replay.until);
    let selection = Selection::of(subscription, &definition);
    let types = selection.types(&shared.types());
    let (events, through) = selection.read(rows, &types, loaded_through, head)?;
    let mut window = subscription.window();
    if window.definition.selects_and_orders_like(&definition) && window.loaded_through == loaded_through {
        window.refill(events, through);
    }
    Ok(())
}

/// The engine's side of a claim.
#[derive(Debug)]
struct FeedClaim {
    from: Feed,
    position: Position,
    is_in_flight: bool,
}

impl ClaimHandle for FeedClaim {
    fn settle(&mut self, settlement: Settlement) -> BoxFuture<'_, Result<SettledStatus, CommitError>> {
        Box::pin(async move {
            if !self.is_in_flight {
                return Err(CommitError::NotClaimed);
            }
            let subscription = Arc::clone(&self.from.subscription);
            let _committing = self.from.note_submitted();
            let request = Box::new(SettleRequest { subscription, position: self.position, settlement });
            let settled = self
                .from
                .bus
                .ask(|reply| Command::Settle { request, reply: Box::new(move |settled| drop(reply.send(settled))) })
                .await;
            if matches!(settled, Ok(_) | Err(CommitError::NotClaimed)) {
                self.is_in_flight = false;
            }
            settled
        })
    }

    /// One host owns the store, so a claim is lost only when its subscription or replay is deleted.
    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.from.subscription.deletion.cancelled())
    }

    fn settle_then(mut self: Box<Self>, settlement: Settlement, then: OnHandleSettled) {
        if !self.is_in_flight {
            return then(self, Err(CommitError::NotClaimed));
        }
        let bus = self.from.bus.clone();
        let subscription = Arc::clone(&self.from.subscription);
        let committing = self.from.note_submitted();
        let request = Box::new(SettleRequest { subscription, position: self.position, settlement });
        let reply = Box::new(move |settled| {
            drop(committing);
            if matches!(settled, Ok(_) | Err(CommitError::NotClaimed)) {
                self.is_in_flight = false;
            }
            then(self, settled);
        });
        let sent = bus.commands.blocking_send(Command::Settle { request, reply });
        if let Err(Closed(Command::Settle { reply, .. })) = sent {
            reply(Err(bus.closed()));
        }
    }
}

impl Drop for FeedClaim {
    fn drop(&mut self) {
        if self.is_in_flight {
            self.from.subscription.window().give_back(self.position);
            self.from.subscription.wake.notify_one();
        }
    }
}
