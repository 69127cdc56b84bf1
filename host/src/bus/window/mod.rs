//! The delivery window of one subscription: the deliveries that are ready or claimed, in memory.
//!
//! The writer offers each committed event to the subscriptions that match it. While a subscription keeps up, its
//! deliveries come from memory. A subscription that falls behind reads the log from the point where the offers
//! stopped, until it has caught up. An idle subscription reads nothing from the store.

mod committed;
mod delivery;
mod due;
mod inspection;
mod ordering_keys;
mod pause;
mod plugin_counts;
mod rate_limit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use delivery::{FirstRow, Key, PendingDelivery, RedrivenDelivery, RowlessDelivery};
pub(crate) use due::Due;
pub(crate) use inspection::WindowDelivery;
pub(crate) use ordering_keys::{OrderingKeys, Turn};
pub use pause::NO_LONGER_DECLARED;
pub(crate) use pause::{Pause, PauseReason};
pub(crate) use plugin_counts::{CountReductions, PluginCounts};
use rate_limit::RateLimit;

use crate::clock::Timestamp;
use crate::event::reserved::publishing_plugin;
use crate::event::{LoggedEvent, Position};
use crate::subscription::Definition;

/// The maximum number of ready events in memory. The rest stays in the log.
pub(crate) const READY_LIMIT: usize = 256;
/// How many rows or events a read takes, and how many deliveries a spill moves.
pub(crate) const PAGE: usize = 128;

/// The deliveries of one subscription, or of one replay, that are ready or in flight.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) definition: Arc<Definition>,
    pub(crate) pause: Pause,
    /// Whether the subscription is deleted. Its claims are void.
    pub(crate) deleted: bool,
    /// The position after which the current definition selects events.
    pub(crate) selects_after: Position,
    /// The durable cursor.
    pub(crate) cursor: Position,
    /// The position up to which every matching event was put into `ready`.
    pub(crate) loaded_through: Position,
    /// The last matching event that was left in the log instead of put into `ready`. If it is after `loaded_through`,
    /// the subscription is behind.
    pub(crate) last_left_in_log: Position,
    /// Unclaimed deliveries that have no row, in order. Some may wait for their ordering keys.
    pub(crate) ready: VecDeque<PendingDelivery>,
    /// Unclaimed deliveries that have a row in the store and are due.
    pub(crate) due: VecDeque<PendingDelivery>,
    /// When the next row in the store is due, apart from those in `due` and `claimed`.
    pub(crate) next_due: Option<Due>,
    /// Deliveries in flight.
    pub(crate) claimed: BTreeMap<Position, PendingDelivery>,
    pub(crate) keys: OrderingKeys,
    /// The number of deliveries that are neither handled nor dead letters.
    pub(crate) backlog: u64,
    /// For each plugin, the number of pending deliveries and dead letters of its events. Events up to `counted_from`
    /// are not counted.
    pub(crate) plugin_counts: PluginCounts,
    pub(crate) counted_from: Position,
    /// The number of events that were deleted before they were handled, since the start.
    pub(crate) expired: u64,
    /// Set while a batch that affects claims is being committed. Nothing is claimed until the batch ends.
    pub(crate) frozen: bool,
    /// Whether deliveries that wait for their ordering keys are being spilled to the store.
    pub(crate) spilling: bool,
    rate_limit: Option<RateLimit>,
    /// The read in progress. It continues even if its requester is gone.
    read: Option<OngoingRead>,
}

/// Changes since a read began, which its result does not include.
#[derive(Debug, Default)]
struct OngoingRead {
    /// Deliveries whose rows were changed or deleted.
    settled: HashSet<Position>,
    /// Whether the definition has changed.
    is_void: bool,
}

/// The result of a try to claim a delivery: the delivery, or the next step to obtain one.
pub(crate) enum ClaimStep {
    /// This delivery is claimed.
    Claimed(PendingDelivery),
    /// Read the store first.
    Read,
    /// Spill the deliveries that wait for their ordering keys to the store, and read on.
    Spill,
    /// Wait for a wake-up, or until a time if there is one.
    Wait(Option<Timestamp>),
}

impl Window {
    /// A window for a subscription's events in the log after `cursor`, up to `last`.
    pub(crate) fn new(definition: Arc<Definition>, cursor: Position, last: Position, backlog: u64) -> Self {
        Self {
            definition,
            pause: Pause::default(),
            deleted: false,
            selects_after: cursor,
            cursor,
            loaded_through: cursor,
            last_left_in_log: last,
            ready: VecDeque::new(),
            due: VecDeque::new(),
            // The first read finds out when the rows of an earlier run are due.
            next_due: Some(Due::Now),
            claimed: BTreeMap::new(),
            keys: OrderingKeys::default(),
            backlog,
            plugin_counts: PluginCounts::default(),
            counted_from: last.max(cursor),
            expired: 0,
            frozen: false,
            spilling: false,
            rate_limit: None,
            read: None,
        }
    }

    /// Limits the number of deliveries per second.
    pub(crate) fn rate_limited(mut self, per_second: Option<NonZeroU32>) -> Self {
        self.rate_limit = per_second.map(RateLimit::new);
        self
    }

    /// Whether the log has matching events that are not loaded yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.last_left_in_log > self.loaded_through
    }

    /// When the oldest delivery in memory was stored, whether it is claimed, ready, due, or waits for its ordering
    /// key.
    pub(crate) fn oldest_in_memory(&self) -> Option<Timestamp> {
        let waiting = self.claimed.values().chain(&self.due).chain(self.ready.front()).chain(self.keys.deferred());
        waiting.map(|delivery| delivery.logged.stored_at).min()
    }

    /// Adds an event that was just committed. Returns whether it is for this subscription.
    pub(crate) fn offer(&mut self, logged: &LoggedEvent) -> bool {
        // The event was published before the subscription was created, in the same commit.
        if logged.position <= self.cursor {
            return false;
        }
        self.backlog += 1;
        if self.is_behind() || self.ready.len() >= READY_LIMIT {
            self.last_left_in_log = logged.position;
        } else {
            self.ready.push_back(PendingDelivery::new(logged.clone(), &self.definition));
            self.loaded_through = logged.position;
        }
        true
    }

    /// The plugin that published an event, if its deliveries are counted.
    fn counted_publisher<'a>(&self, position: Position, source: &'a str) -> Option<&'a str> {
        publishing_plugin(source).filter(|_| position > self.counted_from)
    }

    /// Whether the log has events that are not loaded yet, and there is room for a page of them.
    pub(crate) fn wants_log(&self) -> bool {
        self.is_behind() && self.ready.len() + PAGE <= READY_LIMIT
    }

    /// Adds events that were read from the log: all matching ones after `loaded_through`, up to `through`.
    pub(crate) fn refill(&mut self, events: Vec<LoggedEvent>, through: Position) {
        let definition = Arc::clone(&self.definition);
        self.ready.extend(events.into_iter().map(|logged| PendingDelivery::new(logged, &definition)));
        self.loaded_through = self.loaded_through.max(through);
    }

    /// Begins a read. The caller must call [`Window::end_read`], even if the read fails.
    pub(crate) fn begin_read(&mut self) {
        self.read = Some(OngoingRead::default());
    }

    pub(crate) fn end_read(&mut self) {
        self.read = None;
    }

    /// Whether the result of the ongoing read is obsolete.
    pub(crate) fn is_read_void(&self) -> bool {
        self.read.as_ref().is_none_or(|read| read.is_void)
    }

    /// Makes the ongoing read obsolete, because the definition has changed.
    fn void_read(&mut self) {
        if let Some(read) = &mut self.read {
            read.is_void = true;
        }
    }

    /// Adds rows that a read has found, except those that are already in memory or were settled since the read began.
    pub(crate) fn take_due(&mut self, rows: Vec<PendingDelivery>) {
        let mut excluded: HashSet<Position> = self.rows_in_memory().collect();
        // A ready delivery may have just got its row. It becomes due when that commit is applied in memory.
        excluded.extend(self.ready.iter().map(|delivery| delivery.logged.position));
        excluded.extend(self.read.iter().flat_map(|read| &read.settled));
        self.due.extend(rows.into_iter().filter(|row| !excluded.contains(&row.logged.position)));
    }

    /// Adds the row that was read for a released key. If the commit that made the row is not applied yet, the key is
    /// read again.
    pub(crate) fn take_first_of_key(&mut self, key: &Key, first: Option<FirstRow>) {
        let position = first.as_ref().map(|first| first.delivery.logged.position);
        let is_ready = |position| self.ready.binary_search_by_key(&position, |one| one.logged.position).is_ok();
        if self.is_read_void() || position.is_some_and(is_ready) {
            return;
        }
        let next = self.keys.finish_load(key, first);
        self.due.extend(next.filter(|next| !self.claimed.contains_key(&next.logged.position)));
    }

    /// Ends a claim whose row has changed.
    fn end_claim(&mut self, position: Position) -> Option<PendingDelivery> {
        if let Some(read) = &mut self.read {
            read.settled.insert(position);
        }
        self.claimed.remove(&position)
    }

    /// Claims the next delivery, if there is one in memory. Retries that are due go before new events. A delivery with
    /// an ordering key waits until the earlier ones of its key are done.
    pub(crate) fn try_claim(&mut self, now: Timestamp) -> ClaimStep {
        if self.deleted || self.frozen || self.pause != Pause::default() {
            return ClaimStep::Wait(None);
        }
        if let Some(until) = self.rate_limit.as_ref().and_then(|rate_limit| rate_limit.wait(now)) {
            return ClaimStep::Wait(Some(until));
        }
        while let Some(delivery) = self.due.pop_front() {
            if self.keys.has_turn(&delivery) {
                return self.claim(delivery, now);
            }
            self.keys.defer(delivery);
        }
        if self.read.is_none() && (self.next_due.is_some_and(|due| due.has_come(now)) || self.keys.has_released()) {
            return ClaimStep::Read;
        }
        let next = self.ready.iter().position(|delivery| self.keys.has_turn(delivery));
        if let Some(delivery) = next.and_then(|index| self.ready.remove(index)) {
            return self.claim(delivery, now);
        }
        match () {
            () if self.read.is_some() => ClaimStep::Wait(None),
            () if self.wants_log() => ClaimStep::Read,
            // A spill that fails sends no wake-up.
            () if self.is_behind() && self.spilling => ClaimStep::Wait(Some(now.after(Duration::from_secs(1)))),
            () if self.is_behind() => ClaimStep::Spill,
            () => ClaimStep::Wait(self.next_due.and_then(Due::time)),
        }
    }

    fn claim(&mut self, delivery: PendingDelivery, now: Timestamp) -> ClaimStep {
        if let Some(rate_limit) = &mut self.rate_limit {
            rate_limit.step(now);
        }
        self.keys.take_turn(&delivery);
        self.claimed.insert(delivery.logged.position, delivery.clone());
        ClaimStep::Claimed(delivery)
    }

    /// Gives a claim back, to be delivered again as the same attempt.
    pub(crate) fn give_back(&mut self, position: Position) {
        let Some(delivery) = self.claimed.remove(&position) else { return };
        if delivery.has_row {
            self.due.push_front(delivery);
        } else {
            // Claims are taken from `ready` out of order. Inserting before the first later one restores the order.
            let index = self.ready.partition_point(|other| other.logged.position < position);
            self.ready.insert(index, delivery);
        }
    }

    /// The pending deliveries up to a position that have no row. They need one before the cursor may move there.
    /// Deliveries that are being settled are omitted.
    pub(crate) fn rowless_up_to(&self, to: Position, settled: &HashSet<Position>) -> Vec<RowlessDelivery> {
        let claimed = self
            .claimed
            .range(..=to)
            .map(|(_, delivery)| RowlessDelivery { delivery: delivery.clone(), awaits_turn: false });
        // Those that were given back or wait for their ordering keys stay behind when the cursor moves.
        let ready = self.ready.iter().take_while(|delivery| delivery.logged.position <= to);
        let ready = ready
            .map(|delivery| RowlessDelivery { delivery: delivery.clone(), awaits_turn: !self.keys.has_turn(delivery) });
        let rowless = claimed.chain(ready).filter(|one| !one.delivery.has_row);
        rowless.filter(|one| !settled.contains(&one.delivery.logged.position)).collect()
    }

    /// Removes ready events, except those to keep. If a removed event was claimed and given back, it still has the turn
    /// of its key, and releases it.
    fn retain_ready(&mut self, keeps: impl Fn(&PendingDelivery) -> bool) {
        let (kept, dropped) = std::mem::take(&mut self.ready).into_iter().partition::<VecDeque<_>, _>(keeps);
        self.ready = kept;
        for delivery in dropped {
            if let Some(key) = &delivery.key {
                self.keys.done(key, delivery.logged.position);
            }
        }
    }

    /// Notes when a row is due.
    pub(crate) fn note_row_due(&mut self, due: Due) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// The positions of deliveries in memory that may have rows in the store. A claimed one may be about to get a row.
    pub(crate) fn rows_in_memory(&self) -> impl Iterator<Item = Position> {
        let due = self.due.iter().map(|delivery| delivery.logged.position);
        let waiting = self.keys.deferred().map(|delivery| delivery.logged.position);
        due.chain(waiting).chain(self.claimed.keys().copied())
    }

    /// The position up to which the subscription no longer needs the log: up to there, each event either does not
    /// match, or its delivery is done or has a row.
    pub(crate) fn done_or_stored_through(&self, head: Position) -> Position {
        let examined = if self.is_behind() { self.loaded_through } else { head };
        let ready = self.ready.front().map(|delivery| delivery.logged.position);
        let claimed = self.claimed.iter().find(|(_, delivery)| !delivery.has_row).map(|(position, _)| *position);
        let first_without_row = ready.into_iter().chain(claimed).min();
        first_without_row.map_or(examined, |first| examined.min(Position(first.0 - 1)))
    }
}
