//! A subscription as its worker sees it: deliveries are claimed here, and settled or given back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::command::{Command, Ended};
use super::shared::Shared;
use super::subscription::Subscription;
use super::{Embedded, rows};
use crate::bus::group_commit::Closed;
use crate::bus::window::{PAGE, Step, Waiting};
use crate::bus::{
    Answer, Claim, CommitError, DeadLetterId, Delivery, DeliveryKind, EventLog as _, FeedId, Open, OpenThen, Overview,
    Settled, Settlement, StoreError, Subscribed,
};
use crate::clock::Timestamp;
use crate::event::{Logged, Position};
use crate::subscription::{Definition, SubscriptionId};

#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) bus: Embedded,
    pub(super) subscription: Arc<Subscription>,
}

impl Subscribed for Feed {
    fn feed_id(&self) -> FeedId {
        FeedId::new(self.subscription.number)
    }

    fn id(&self) -> &SubscriptionId {
        &self.subscription.id
    }

    fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.subscription.progress().definition)
    }

    fn is_deleted(&self) -> bool {
        self.subscription.progress().deleted
    }

    fn overview(&self) -> Overview {
        let subscription = &self.subscription;
        let progress = subscription.progress();
        let committing = subscription.committing().min(progress.claimed.len());
        Overview {
            as_of: self.bus.shared.clock.now(),
            id: subscription.id.clone(),
            dynamic: subscription.dynamic,
            definition: Arc::clone(&progress.definition),
            paused: progress.pause.reason(),
            held_back: self.bus.shared.holds.of(&progress.definition, self.bus.shared.clock.now()),
            cursor: progress.cursor,
            backlog: progress.backlog,
            in_flight: progress.claimed.len() - committing,
            committing,
            parked_keys: progress.keys.parked(),
            expired: progress.expired,
            next_due: progress.next_due.filter(|due| due.0 > 0),
            replay: subscription.replay_overview(),
        }
    }

    fn claim(&self) -> Answer<'_, Result<Claim, StoreError>> {
        Box::pin(self.next())
    }

    fn try_claim(&self) -> Option<Claim> {
        let now = self.bus.shared.clock.now();
        // Whatever else must be done for the next one is found, and done, by whoever waits for it.
        match self.step(now) {
            Step::Deliver(delivery) => Some(delivery),
            Step::Read | Step::Hold | Step::Wait(_) => None,
        }
        .map(|delivery| self.claimed(delivery))
    }
}

impl Feed {
    /// What to do for the next delivery. Of one whose endpoint is held back, nothing until then.
    fn step(&self, now: Timestamp) -> Step {
        let mut progress = self.subscription.progress();
        match self.bus.shared.holds.of(&progress.definition, now) {
            Some(hold) => Step::Wait(Some(hold.until)),
            None => progress.step(now),
        }
    }

    /// Claims what there is now, also what must be read from the store first; none if there is nothing.
    pub(super) async fn claim_now(&self) -> Result<Option<Claim>, StoreError> {
        loop {
            let step = self.step(self.bus.shared.clock.now());
            match step {
                Step::Deliver(delivery) => return Ok(Some(self.claimed(delivery))),
                Step::Read => self.read_backlog().await?,
                Step::Hold => {
                    let held = self.hold().await;
                    // Commands are applied in order: the answer to this one comes when it is done.
                    if !held || self.bus.cancel("", "").await.is_err() {
                        return Ok(None);
                    }
                }
                Step::Wait(_) => return Ok(None),
            }
        }
    }

    async fn next(&self) -> Result<Claim, StoreError> {
        loop {
            // Registered before looking, so that no wake-up between looking and waiting is missed.
            let mut woken = std::pin::pin!(self.subscription.wake.notified());
            woken.as_mut().enable();
            let now = self.bus.shared.clock.now();
            let step = self.step(now);
            match step {
                Step::Deliver(delivery) => return Ok(self.claimed(delivery)),
                Step::Read => self.read_backlog().await?,
                Step::Hold => {
                    if !self.hold().await {
                        std::future::pending::<()>().await;
                    }
                    // On a full disk nothing comes of it; then it is asked for again.
                    drop(tokio::time::timeout(Duration::from_secs(1), woken).await);
                }
                Step::Wait(until) => {
                    // Once a second at least while something is due later: the clock may be set.
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

    /// Has rows made for what waits behind its ordering keys, once at a time. Returns whether the bus is still there.
    async fn hold(&self) -> bool {
        let Some(place) = self.bus.commands.reserve().await else { return false };
        self.subscription.progress().holding = true;
        place.send(Command::Hold { subscription: Arc::clone(&self.subscription) });
        true
    }

    fn claimed(&self, delivery: Waiting) -> Claim {
        let subscription = &self.subscription;
        let position = delivery.logged.position;
        let redriven = delivery.redriven_replay.map_or(0, DeadLetterId::number);
        let ids = self.bus.shared.ids.delivery(&delivery.logged, subscription.number, redriven);
        let kind = match (&subscription.replay, delivery.redriven_replay) {
            (Some(_), _) => DeliveryKind::Replay(FeedId::new(subscription.number)),
            (None, None) => DeliveryKind::Live,
            (None, Some(letter)) => DeliveryKind::RedrivenReplay(letter),
        };
        let delivery = Delivery {
            logged: delivery.logged,
            subscription: subscription.id.clone(),
            is_dynamic: subscription.dynamic,
            attempt: delivery.attempts + 1,
            kind,
            ids,
        };
        Claim::new(delivery, Box::new(Held { from: self.clone(), position, open: true }))
    }

    /// Reads rows that are due, and events from the log if the subscription is behind. The read comes to
    /// its end also when nobody waits for it any more; until then no other one begins.
    async fn read_backlog(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.bus.shared);
        self.subscription.progress().begin_read();
        let reading = Reading(Arc::clone(&self.subscription));
        self.bus
            .read(move |connection| {
                read_released(connection, &reading.0)?;
                read_due_rows(connection, &shared, &reading.0)?;
                read_log(connection, &shared, &reading.0)
            })
            .await
    }
}

/// A read on its way.
struct Reading(Arc<Subscription>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.progress().end_read();
        self.0.wake.notify_one();
    }
}

/// When the oldest unhandled event of each subscription was stored.
pub(super) fn oldest_unhandled(
    connection: &Connection,
    shared: &Shared,
) -> Result<BTreeMap<FeedId, Timestamp>, StoreError> {
    let mut oldest = BTreeMap::new();
    for subscription in shared.subscriptions().iter() {
        if let Some(stored_at) = oldest_of(connection, shared, subscription)? {
            oldest.insert(FeedId::new(subscription.number), stored_at);
        }
    }
    Ok(oldest)
}

fn oldest_of(
    connection: &Connection,
    shared: &Shared,
    subscription: &Subscription,
) -> Result<Option<Timestamp>, StoreError> {
    if subscription.progress().backlog == 0 {
        return Ok(None);
    }
    // Rows lie before the cursor, and the window of ready deliveries before what is still unread in the log.
    let in_store = rows::oldest_pending(connection, subscription.number)?;
    loop {
        let (in_memory, unread) = {
            let progress = subscription.progress();
            (progress.oldest_in_memory(), progress.is_behind())
        };
        match in_memory.into_iter().chain(in_store).min() {
            None if unread => read_log(connection, shared, subscription)?,
            oldest => return Ok(oldest),
        }
    }
}

/// Reads the next event of keys whose turn has come.
fn read_released(connection: &Connection, subscription: &Subscription) -> Result<(), StoreError> {
    let keys = subscription.progress().keys.begin_load(PAGE);
    for key in keys {
        let first = rows::first_of_key(connection, subscription.number, &key)?;
        subscription.progress().take_first(&key, first);
    }
    Ok(())
}

fn read_due_rows(connection: &Connection, shared: &Shared, subscription: &Subscription) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let limit = {
        let mut progress = subscription.progress();
        if progress.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        progress.next_due = None;
        PAGE + progress.in_hand().count() + progress.ready.len()
    };
    let read = || -> Result<_, StoreError> {
        let rows = rows::due_pending(connection, subscription.number, now, limit)?;
        let all = rows.len() < limit;
        let next = if all { rows::next_pending_after(connection, subscription.number, now)? } else { Some(now) };
        Ok((rows, next))
    };
    // What could not be read is still due.
    let (rows, next) = read().inspect_err(|_| subscription.progress().row_is_due(now))?;

    let mut progress = subscription.progress();
    if progress.read_is_void() {
        progress.row_is_due(now);
        return Ok(());
    }
    progress.take_due(rows);
    if let Some(next) = next {
        progress.row_is_due(next);
    }
    Ok(())
}

fn read_log(connection: &Connection, shared: &Shared, subscription: &Subscription) -> Result<(), StoreError> {
    let (offered, definition) = {
        let progress = subscription.progress();
        if !progress.wants_log() {
            return Ok(());
        }
        (progress.offered, Arc::clone(&progress.definition))
    };
    // The head before the types, and both before the log: whatever is read was offered and has its type.
    let head = subscription.replay.map_or(shared.head(), |replay| replay.until);
    let types = shared.types().matching(&definition.pattern);
    let (events, through) = read_taken(connection, &definition, &types, offered, head)?;
    let mut progress = subscription.progress();
    if progress.definition.selects_like(&definition) && progress.offered == offered {
        progress.refill(events, through);
    }
    Ok(())
}

/// A page of the events that a definition takes, after a position, up to another one; and how far the page
/// goes.
fn read_taken(
    connection: &Connection,
    definition: &Definition,
    types: &[i64],
    after: Position,
    until: Position,
) -> Result<(Vec<Logged>, Position), StoreError> {
    /// With more types than this, reading the log as a whole beats asking for each type.
    const TYPES_LIMIT: usize = 16;
    let mut events = if types.len() > TYPES_LIMIT || definition.pattern.takes_everything() {
        rows::events_after(connection, after, PAGE)?
    } else {
        let mut found = Vec::new();
        for number in types {
            found.extend(rows::events_of_type(connection, *number, after, PAGE)?);
        }
        found.sort_by_key(|logged| logged.position);
        found
    };
    let complete = events.len() < PAGE;
    events.truncate(PAGE);
    let through = if complete { until } else { events.last().map_or(until, |last| last.position) }.min(until);
    events.retain(|logged| logged.position <= through && definition.takes(&logged.event));
    Ok((events, through))
}

/// A claim's hold on its delivery.
#[derive(Debug)]
struct Held {
    from: Feed,
    position: Position,
    open: bool,
}

impl Open for Held {
    fn settle(&mut self, settlement: Settlement) -> Answer<'_, Result<Settled, CommitError>> {
        Box::pin(async move {
            if !self.open {
                return Err(CommitError::NotOpen);
            }
            let subscription = Arc::clone(&self.from.subscription);
            let _committing = subscription.commits();
            let attempt = Box::new(Ended { subscription, position: self.position, settlement });
            let settled = self
                .from
                .bus
                .ask(|reply| Command::Settle { attempt, reply: Box::new(move |settled| drop(reply.send(settled))) })
                .await;
            if matches!(settled, Ok(_) | Err(CommitError::NotOpen)) {
                self.open = false;
            }
            settled
        })
    }

    /// The store is this host's alone: a claim is lost only with its subscription or replay.
    fn lost(&self) -> Answer<'_, ()> {
        Box::pin(self.from.subscription.gone.cancelled())
    }

    fn settle_then(mut self: Box<Self>, settlement: Settlement, then: OpenThen) {
        if !self.open {
            return then(self, Err(CommitError::NotOpen));
        }
        let bus = self.from.bus.clone();
        let subscription = Arc::clone(&self.from.subscription);
        let committing = subscription.commits();
        let attempt = Box::new(Ended { subscription, position: self.position, settlement });
        let reply = Box::new(move |settled| {
            drop(committing);
            if matches!(settled, Ok(_) | Err(CommitError::NotOpen)) {
                self.open = false;
            }
            then(self, settled);
        });
        let sent = bus.commands.blocking_send(Command::Settle { attempt, reply });
        if let Err(Closed(Command::Settle { reply, .. })) = sent {
            reply(Err(bus.closed()));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.open {
            self.from.subscription.progress().give_back(self.position);
            self.from.subscription.wake.notify_one();
        }
    }
}
