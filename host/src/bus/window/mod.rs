//! How far one subscription has come, in memory: what is ready to be delivered, and what is claimed.
//!
//! The writer offers each event that it commits to the subscriptions that take it; while a subscription
//! keeps up, its deliveries come from memory. One that falls behind reads the log instead, from where the
//! offers stopped, until it has caught up. An idle subscription costs nothing.

mod committed;
mod delivery;
mod due;
mod ordering_keys;
mod pause;
mod publishers;
mod rate_limit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use delivery::{FirstRow, Gap, Key, PendingDelivery, RedrivenDelivery};
pub(crate) use due::Due;
pub(crate) use ordering_keys::OrderingKeys;
pub(crate) use pause::{Pause, StopReason};
pub(crate) use publishers::{CountReductions, PublisherCounts};
use rate_limit::RateLimit;

use crate::clock::Timestamp;
use crate::event::reserved::publishing_plugin;
use crate::event::{LoggedEvent, Position};
use crate::subscription::Definition;

/// How many events wait in memory for a subscription; the rest waits in the log.
pub(crate) const READY_LIMIT: usize = 256;
/// How many rows or events one read takes for a subscription, and how many deliveries one hold sets aside.
pub(crate) const PAGE: usize = 128;

/// What one subscription, or one replay, has ready and in flight.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) definition: Arc<Definition>,
    pub(crate) pause: Pause,
    /// Set when the subscription is deleted: claims on it are void.
    pub(crate) deleted: bool,
    /// The durable cursor.
    pub(crate) cursor: Position,
    /// Every event that it takes, up to here, has been put into `ready`.
    pub(crate) offered: Position,
    /// The last event that it takes and that was not put into `ready`; past `offered`, it is behind.
    pub(crate) missed: Position,
    /// Events past the cursor that nobody has claimed yet, in order.
    pub(crate) ready: VecDeque<PendingDelivery>,
    /// Deliveries with a row in the store that are due and unclaimed.
    pub(crate) due: VecDeque<PendingDelivery>,
    /// When the next row in the store is due that is neither claimed nor in `due`.
    pub(crate) next_due: Option<Due>,
    /// Deliveries in flight.
    pub(crate) claimed: BTreeMap<Position, PendingDelivery>,
    pub(crate) keys: OrderingKeys,
    /// How many deliveries are neither handled nor dead.
    pub(crate) backlog: u64,
    /// How many of them, and of the dead letters, are of events that plugins published. Counted are those after a
    /// position.
    pub(crate) publishers: PublisherCounts,
    pub(crate) counted_from: Position,
    /// How many events were deleted before they were handled, since the start.
    pub(crate) expired: u64,
    /// Set while a commit is on its way that changes what has been found: nothing is claimed meanwhile.
    pub(crate) frozen: bool,
    /// Whether rows are being made for what waits behind its ordering keys.
    pub(crate) spilling: bool,
    rate_limit: Option<RateLimit>,
    /// A read for it that is on its way, also when whoever asked for it has gone.
    read: Option<OngoingRead>,
}

/// What has happened since a read began, which does not show in what it finds.
#[derive(Debug, Default)]
struct OngoingRead {
    /// Deliveries whose rows were changed or deleted.
    settled: HashSet<Position>,
    /// Whether the rules have changed.
    is_void: bool,
}

/// What to do to get a delivery.
pub(crate) enum ClaimStep {
    /// Here it is.
    Deliver(PendingDelivery),
    /// Read the store first.
    Read,
    /// Have rows made for what waits behind its ordering keys, and read on.
    Spill,
    /// Wait for a wake-up, or until a time if there is one.
    Wait(Option<Timestamp>),
}

impl Window {
    /// A subscription that begins after its cursor.
    pub(crate) fn new(definition: Arc<Definition>, cursor: Position, last: Position, backlog: u64) -> Self {
        Self {
            definition,
            pause: Pause::default(),
            deleted: false,
            cursor,
            offered: cursor,
            missed: last,
            ready: VecDeque::new(),
            due: VecDeque::new(),
            // Rows that an earlier run left are due at once or later: the first read finds out.
            next_due: Some(Due::Now),
            claimed: BTreeMap::new(),
            keys: OrderingKeys::default(),
            backlog,
            publishers: PublisherCounts::default(),
            counted_from: last.max(cursor),
            expired: 0,
            frozen: false,
            spilling: false,
            rate_limit: None,
            read: None,
        }
    }

    /// Bounds the deliveries in a second.
    pub(crate) fn rate_limited(mut self, per_second: Option<NonZeroU32>) -> Self {
        self.rate_limit = per_second.map(RateLimit::new);
        self
    }

    /// Whether the log holds events for it that were not offered.
    pub(crate) fn is_behind(&self) -> bool {
        self.missed > self.offered
    }

    /// When the oldest delivery in memory was stored: one that is claimed, ready or due, or waits behind its ordering key.
    pub(crate) fn oldest_in_memory(&self) -> Option<Timestamp> {
        let waiting = self.claimed.values().chain(&self.due).chain(self.ready.front()).chain(self.keys.deferred());
        waiting.map(|delivery| delivery.logged.stored_at).min()
    }

    /// Takes an event that was just committed. Returns whether it is for this subscription.
    pub(crate) fn offer(&mut self, logged: &LoggedEvent) -> bool {
        // It was published before the subscription was made, in the same commit.
        if logged.position <= self.cursor {
            return false;
        }
        self.backlog += 1;
        if self.is_behind() || self.ready.len() >= READY_LIMIT {
            self.missed = logged.position;
        } else {
            self.ready.push_back(PendingDelivery::new(logged.clone(), &self.definition));
            self.offered = logged.position;
        }
        true
    }

    /// The plugin that published the event of a delivery that is counted as its own.
    fn counted_publisher<'a>(&self, position: Position, source: &'a str) -> Option<&'a str> {
        publishing_plugin(source).filter(|_| position > self.counted_from)
    }

    /// Whether a page of the log has room.
    pub(crate) fn wants_log(&self) -> bool {
        self.is_behind() && self.ready.len() + PAGE <= READY_LIMIT
    }

    /// Takes events that were read from the log: all that it takes after `offered`, up to `through`.
    pub(crate) fn refill(&mut self, events: Vec<LoggedEvent>, through: Position) {
        let definition = Arc::clone(&self.definition);
        self.ready.extend(events.into_iter().map(|logged| PendingDelivery::new(logged, &definition)));
        self.offered = self.offered.max(through);
    }

    /// Begins a read. It must be ended, whatever becomes of it.
    pub(crate) fn begin_read(&mut self) {
        self.read = Some(OngoingRead::default());
    }

    pub(crate) fn end_read(&mut self) {
        self.read = None;
    }

    /// Whether what a read has found means nothing any more.
    pub(crate) fn is_read_void(&self) -> bool {
        self.read.as_ref().is_none_or(|read| read.is_void)
    }

    /// Notes that the rules have changed.
    fn void_read(&mut self) {
        if let Some(read) = &mut self.read {
            read.is_void = true;
        }
    }

    /// Takes rows that a read has found, but for those that are in hand, or were settled since it began.
    pub(crate) fn take_due(&mut self, rows: Vec<PendingDelivery>) {
        let mut known: HashSet<Position> = self.rows_in_memory().collect();
        // A row of one of these has just been made. It comes to be due when the commit that made it is seen.
        known.extend(self.ready.iter().map(|delivery| delivery.logged.position));
        known.extend(self.read.iter().flat_map(|read| &read.settled));
        self.due.extend(rows.into_iter().filter(|row| !known.contains(&row.logged.position)));
    }

    /// Takes what was read for a released key, unless a commit is on its way that has just made the row: then it is read
    /// once more.
    pub(crate) fn take_first_of_key(&mut self, key: &Key, first: Option<FirstRow>) {
        let position = first.as_ref().map(|first| first.delivery.logged.position);
        let is_ready = |position| self.ready.binary_search_by_key(&position, |one| one.logged.position).is_ok();
        if self.is_read_void() || position.is_some_and(is_ready) {
            return;
        }
        let next = self.keys.finish_load(key, first);
        self.due.extend(next.filter(|next| !self.claimed.contains_key(&next.logged.position)));
    }

    /// Ends a claim, whose row is changed.
    fn end_claim(&mut self, position: Position) -> Option<PendingDelivery> {
        if let Some(read) = &mut self.read {
            read.settled.insert(position);
        }
        self.claimed.remove(&position)
    }

    /// Takes the next delivery. Those that wait for another attempt and are due go before new ones; with
    /// an ordering key nothing goes before an earlier one of its key is done.
    pub(crate) fn next_step(&mut self, now: Timestamp) -> ClaimStep {
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
            // If nothing comes of that, nobody says so.
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
        ClaimStep::Deliver(delivery)
    }

    /// Gives a claim back, to be delivered again as the same attempt.
    pub(crate) fn give_back(&mut self, position: Position) {
        let Some(delivery) = self.claimed.remove(&position) else { return };
        if delivery.has_row {
            self.due.push_front(delivery);
        } else {
            // Only what was claimed is taken out of `ready`: order is restored by going back in front of
            // the first later one.
            let index = self.ready.partition_point(|other| other.logged.position < position);
            self.ready.insert(index, delivery);
        }
    }

    /// The open deliveries up to a position that have no row yet: they need one if the cursor goes there.
    /// Those that are being settled are left out.
    pub(crate) fn gaps(&self, to: Position, settled: &HashSet<Position>) -> Vec<Gap> {
        let claimed =
            self.claimed.range(..=to).map(|(_, delivery)| Gap { delivery: delivery.clone(), awaits_turn: false });
        // What was given back, or waits behind its key, may lie before the cursor.
        let ready = self.ready.iter().take_while(|delivery| delivery.logged.position <= to);
        let ready =
            ready.map(|delivery| Gap { delivery: delivery.clone(), awaits_turn: !self.keys.has_turn(delivery) });
        let open = claimed.chain(ready).filter(|gap| !gap.delivery.has_row);
        open.filter(|gap| !settled.contains(&gap.delivery.logged.position)).collect()
    }

    /// Lets go of events that are ready, but for those that are to be kept. One that was given back had its key's turn.
    fn retain_ready(&mut self, keeps: impl Fn(&PendingDelivery) -> bool) {
        let (kept, dropped) = std::mem::take(&mut self.ready).into_iter().partition::<VecDeque<_>, _>(keeps);
        self.ready = kept;
        for delivery in dropped {
            if let Some(key) = &delivery.key {
                self.keys.done(key, delivery.logged.position);
            }
        }
    }

    /// Notes that a row is due at a time.
    pub(crate) fn note_row_due(&mut self, due: Due) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// What is in hand and has a row in the store, as positions.
    pub(crate) fn rows_in_memory(&self) -> impl Iterator<Item = Position> {
        let due = self.due.iter().map(|delivery| delivery.logged.position);
        let waiting = self.keys.deferred().map(|delivery| delivery.logged.position);
        due.chain(waiting).chain(self.claimed.keys().copied())
    }

    /// Everything up to here that has no row is done, or is nothing that it takes.
    pub(crate) fn safe_floor(&self, head: Position) -> Position {
        let offered = if self.is_behind() { self.offered } else { head };
        let ready = self.ready.front().map(|delivery| delivery.logged.position);
        let claimed = self.claimed.iter().find(|(_, delivery)| !delivery.has_row).map(|(position, _)| *position);
        let open = ready.into_iter().chain(claimed).min();
        open.map_or(offered, |open| offered.min(Position(open.0 - 1)))
    }
}
