//! Where deliveries stand: in the window of their subscription, in a row, or in a part of the log that the subscription
//! has not examined.
//!
//! The window is read before the store, so no delivery is missed. A delivery that moves to the store between the two
//! reads is found in both. A delivery that moves to the window still has its row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine_state::EngineState;
use super::feed_state::FeedState;
use super::selection::Selection;
use super::store::{EventDeliveryRows, Rows, StoredDelivery};
use crate::bus::window::{Due, PAGE, PendingDelivery, Turn, Window, WindowDelivery};
use crate::bus::{
    DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryState, DeliveryStateKind, FeedId, StoreError,
};
use crate::clock::Timestamp;
use crate::event::{LoggedEvent, Position};
use crate::subscription::Definition;

/// The maximum number of deliveries, and of events that may be deliveries, that one page examines.
const EXAMINED_LIMIT: usize = 2_000;

/// A store and a time, for reports.
#[derive(Clone, Copy)]
struct Inspector<'a> {
    rows: &'a dyn Rows,
    shared: &'a EngineState,
    now: Timestamp,
}

/// Where the deliveries of an event stand.
pub(super) fn deliveries_of(
    rows: &dyn Rows,
    shared: &EngineState,
    position: Position,
) -> Result<Vec<DeliveryReport>, StoreError> {
    let inspector = Inspector { rows, shared, now: shared.clock.now() };
    let Some(logged) = rows.event_at(position)? else { return Ok(Vec::new()) };
    let subscriptions = shared.feeds();
    let views: Vec<_> = subscriptions.iter().map(|one| FeedView::new(one, shared, position)).collect();
    // A delivery that becomes a dead letter, or is redriven, is in one of the two tables at each moment.
    let EventDeliveryRows { pending, letters } = rows.delivery_rows(position)?;
    let mut reports = Vec::new();
    for (one, view) in subscriptions.iter().zip(views) {
        let Some(view) = view else { continue };
        let letters = letters.iter().filter(|letter| letter.subscription == one.number && one.replay.is_none());
        let (replayed, own): (Vec<_>, Vec<_>) = letters.partition(|letter| letter.replay);
        let found = match (&view.in_memory, pending.get(&one.number), own.first()) {
            (Some(found), _, _) => {
                Some((inspector.state_in_memory(one, found)?, DeliveryFlags::of(one, &found.delivery)))
            }
            (None, Some(row), _) => Some((inspector.state_of_row(one, row)?, DeliveryFlags::of(one, &row.delivery))),
            (None, None, Some(letter)) => {
                Some((DeliveryState::DeadLetter { number: letter.number }, DeliveryFlags::only_replayed(false)))
            }
            (None, None, None) => {
                let flags = DeliveryFlags::only_replayed(one.replay.is_some());
                inspector.state_without_row(one, &view, &logged)?.map(|state| (state, flags))
            }
        };
        reports.extend(found.map(|(state, flags)| inspector.report(one, &logged, state, flags)));
        let letters = replayed.into_iter().map(|letter| DeliveryState::DeadLetter { number: letter.number });
        reports.extend(letters.map(|state| inspector.report(one, &logged, state, DeliveryFlags::only_replayed(true))));
    }
    Ok(reports)
}

/// What a window shows of the delivery of one event, at one moment.
struct FeedView {
    definition: Arc<Definition>,
    selects_after: Position,
    /// The position up to which the log was examined.
    examined: Position,
    /// How many deliveries are ready before the event.
    ready: u64,
    in_memory: Option<WindowDelivery>,
}

impl FeedView {
    /// None if the feed was deleted.
    fn new(feed: &FeedState, shared: &EngineState, position: Position) -> Option<Self> {
        let window = feed.window();
        (!window.deleted).then(|| Self {
            definition: Arc::clone(&window.definition),
            selects_after: window.selects_after,
            examined: examined_up_to(&window, shared.head()),
            ready: window.ready_before(position),
            in_memory: window.in_memory_at(position),
        })
    }
}

/// What a report says of a delivery besides its state.
#[derive(Clone, Copy)]
struct DeliveryFlags {
    replayed: bool,
    redriven_at: Option<Timestamp>,
    edited: bool,
}

impl DeliveryFlags {
    /// The flags of a delivery that is not pending, or is only in the log. Only `replayed` can be set.
    fn only_replayed(replayed: bool) -> Self {
        Self { replayed, redriven_at: None, edited: false }
    }

    /// A pending delivery of a feed.
    fn of(feed: &FeedState, delivery: &PendingDelivery) -> Self {
        let replayed = feed.replay.is_some() || delivery.redriven_replay.is_some();
        Self { replayed, redriven_at: delivery.redriven_at, edited: delivery.is_edited }
    }
}

/// A page of the pending deliveries that match a filter.
pub(super) fn deliveries(
    rows: &dyn Rows,
    shared: &EngineState,
    filter: &DeliveryFilter,
    kind: Option<DeliveryStateKind>,
    after: Option<DeliveryCursor>,
    limit: usize,
) -> Result<DeliveryPage, StoreError> {
    let inspector = Inspector { rows, shared, now: shared.clock.now() };
    let mut feeds: Vec<_> = shared.feeds().iter().cloned().collect();
    feeds.sort_by_key(|feed| feed.number);
    let mut page = DeliveryPage::default();
    let mut examined = 0;
    for feed in feeds {
        let id = FeedId::new(feed.number);
        if after.is_some_and(|after| after.feed > id) || filter.subscription.as_ref().is_some_and(|id| *id != feed.id) {
            continue;
        }
        let mut after = after.filter(|after| after.feed == id).map_or(Position(0), |after| after.position);
        if let Some(event) = filter.event {
            after = after.max(Position(event.0.saturating_sub(1)));
        }
        let mut ahead = None;
        loop {
            if page.deliveries.len() >= limit || examined >= EXAMINED_LIMIT {
                page.next = Some(DeliveryCursor { feed: id, position: after });
                return Ok(page);
            }
            let Candidates { candidates, examined_up_to } = inspector.pending_after(&feed, after, kind, &mut ahead)?;
            let Some(last) = candidates.last().map(|(logged, _)| logged.position) else {
                let Some(position) = examined_up_to else { break };
                if filter.event.is_some_and(|event| event <= position) {
                    break;
                }
                (after, examined) = (position, examined + PAGE);
                continue;
            };
            for (logged, location) in candidates {
                (after, examined) = (logged.position, examined + 1);
                if let Some(report) = inspector.select(&feed, &logged, location, filter, kind)? {
                    page.deliveries.push(report);
                    if page.deliveries.len() >= limit {
                        break;
                    }
                }
            }
            if filter.event.is_some_and(|event| event <= last) {
                break;
            }
        }
    }
    Ok(page)
}

/// Pending deliveries, in order.
struct Candidates {
    candidates: Vec<(LoggedEvent, PendingLocation)>,
    /// If more of the log must be examined: the position up to which the list is complete.
    examined_up_to: Option<Position>,
}

/// A page of the part of the log that a feed has not examined.
struct Unread {
    /// The feed's events, each with the number of those before it.
    events: Vec<(u64, LoggedEvent)>,
    /// How far the page extends, unless it is the last one.
    through: Option<Position>,
}

/// The number of a feed's pending events in the unexamined part of the log up to a position.
type Ahead = Option<(Position, u64)>;

/// Where a pending delivery was found.
enum PendingLocation {
    Window(WindowDelivery),
    Row(StoredDelivery),
    /// In the part of the log that the subscription has not examined.
    Log {
        /// How many pending events are before it.
        ahead: u64,
    },
}

impl Inspector<'_> {
    fn report(
        self,
        subscription: &FeedState,
        logged: &LoggedEvent,
        state: DeliveryState,
        DeliveryFlags { replayed, redriven_at, edited }: DeliveryFlags,
    ) -> DeliveryReport {
        DeliveryReport {
            as_of: self.now,
            feed: FeedId::new(subscription.number),
            subscription: subscription.id.clone(),
            replayed,
            logged: logged.clone(),
            state,
            redriven_at,
            edited,
        }
    }

    fn state_in_memory(self, subscription: &FeedState, found: &WindowDelivery) -> Result<DeliveryState, StoreError> {
        if found.is_claimed {
            return Ok(DeliveryState::InFlight { attempt: found.delivery.attempts + 1 });
        }
        self.state_of_turn(subscription, &found.delivery, found.turn)
    }

    fn state_of_row(self, subscription: &FeedState, row: &StoredDelivery) -> Result<DeliveryState, StoreError> {
        match row.due {
            Due::At(due) if due > self.now => {
                let last = row.last.clone();
                Ok(DeliveryState::Retrying { attempts: row.delivery.attempts, due, last })
            }
            Due::Now | Due::At(_) | Due::OnTurn => {
                let turn = subscription.window().turn_of(&row.delivery);
                self.state_of_turn(subscription, &row.delivery, turn)
            }
        }
    }

    /// The state of a delivery that waits for nothing but, possibly, its ordering key.
    fn state_of_turn(
        self,
        subscription: &FeedState,
        delivery: &PendingDelivery,
        turn: Turn,
    ) -> Result<DeliveryState, StoreError> {
        let Some(key) = &delivery.key else { return Ok(DeliveryState::Ready) };
        let number = subscription.number;
        let holder = match turn {
            Turn::Own => None,
            Turn::HeldBy(holder) => Some(holder),
            Turn::PassedOn => self.rows.first_position_of_key(number, key)?,
            Turn::Parked => {
                let letter = self.rows.parking_letter(number, key)?;
                // If there is no dead letter, the key was released after the window was read.
                return Ok(letter
                    .map_or(DeliveryState::Ready, |letter| DeliveryState::Parked { key: key.to_string(), letter }));
            }
        };
        let behind = holder.filter(|holder| *holder != delivery.logged.position);
        Ok(behind.map_or(DeliveryState::Ready, |behind| DeliveryState::BehindKey { key: key.to_string(), behind }))
    }

    /// The state of a delivery that is neither in memory nor in the store. None if the event does not concern the
    /// subscription.
    fn state_without_row(
        self,
        subscription: &FeedState,
        view: &FeedView,
        logged: &LoggedEvent,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let position = logged.position;
        let is_before_end = subscription.replay.is_none_or(|replay| position <= replay.until);
        if position <= view.selects_after
            || !is_before_end
            || !Selection::of(subscription, &view.definition).selects(logged)
        {
            return Ok(None);
        }
        if position <= view.examined {
            return Ok(Some(DeliveryState::Handled));
        }
        let selection = Selection::of(subscription, &view.definition);
        let unread = self.count(selection, view.examined, Position(position.0 - 1))?;
        Ok(Some(DeliveryState::NotReached { ahead: view.ready + unread }))
    }

    /// An upper bound of the number of selected events after a position, up to another one.
    fn count(self, selection: Selection<'_>, after: Position, until: Position) -> Result<u64, StoreError> {
        selection.count_by_type(self.rows, &self.shared.types(), after, until)
    }

    /// The next pending deliveries of a feed after a position, in order.
    fn pending_after(
        self,
        feed: &FeedState,
        after: Position,
        kind: Option<DeliveryStateKind>,
        ahead: &mut Ahead,
    ) -> Result<Candidates, StoreError> {
        let from = Position(after.0 + 1);
        let (definition, examined, ready, in_memory) = {
            let window = feed.window();
            if window.deleted {
                return Ok(Candidates { candidates: Vec::new(), examined_up_to: None });
            }
            let examined = examined_up_to(&window, self.shared.head());
            (Arc::clone(&window.definition), examined, window.ready.len() as u64, window.in_memory(from, PAGE))
        };
        let mut found = BTreeMap::new();
        let mut examined_up_to = None;
        if kind.is_none_or(|kind| kind == DeliveryStateKind::NotReached) {
            let Unread { events, through } = self.unread(feed, &definition, examined.max(after), examined, ahead)?;
            for (ahead, logged) in events {
                found.insert(logged.position, (logged, PendingLocation::Log { ahead: ready + ahead }));
            }
            examined_up_to = through;
        }
        for row in self.rows.pending_from(feed.number, from, PAGE)? {
            found.insert(row.delivery.logged.position, (row.delivery.logged.clone(), PendingLocation::Row(row)));
        }
        for one in in_memory {
            found.insert(one.delivery.logged.position, (one.delivery.logged.clone(), PendingLocation::Window(one)));
        }
        // Each part may continue after its page.
        Ok(Candidates { candidates: found.into_values().take(PAGE).collect(), examined_up_to })
    }

    /// A page of the log after a position that a feed has not examined.
    fn unread(
        self,
        feed: &FeedState,
        definition: &Definition,
        after: Position,
        examined: Position,
        ahead: &mut Ahead,
    ) -> Result<Unread, StoreError> {
        let last = feed.replay.map_or(self.shared.head(), |replay| replay.until);
        if after >= last {
            return Ok(Unread { events: Vec::new(), through: None });
        }
        let selection = Selection::of(feed, definition);
        let mut count = match *ahead {
            Some((position, count)) if position == after => count,
            _ => self.count(selection, examined, after)?,
        };
        let types = selection.types(&self.shared.types());
        let (events, through) = selection.read(self.rows, &types, after, last)?;
        let number = |logged| {
            count += 1;
            (count - 1, logged)
        };
        let events: Vec<_> = events.into_iter().map(number).collect();
        let end = events.last().map_or(through, |(_, logged)| logged.position);
        *ahead = Some((end, count));
        Ok(Unread { events, through: Some(through).filter(|through| *through < last) })
    }

    /// The report of a pending delivery, if it matches a filter.
    fn select(
        self,
        feed: &FeedState,
        logged: &LoggedEvent,
        location: PendingLocation,
        filter: &DeliveryFilter,
        kind: Option<DeliveryStateKind>,
    ) -> Result<Option<DeliveryReport>, StoreError> {
        let key = match &location {
            PendingLocation::Window(found) => found.delivery.key.clone(),
            PendingLocation::Row(row) => row.delivery.key.clone(),
            PendingLocation::Log { .. } => {
                let definition = Arc::clone(&feed.window().definition);
                definition.ordering_key.as_ref().and_then(|key| key.of(&logged.event))
            }
        };
        if filter.event.is_some_and(|event| event != logged.position)
            || filter.key.as_deref().is_some_and(|wanted| key.as_deref() != Some(wanted))
            || filter.pattern.as_ref().is_some_and(|pattern| !pattern.matches(&logged.event.event_type))
        {
            return Ok(None);
        }
        let (state, flags) = match location {
            PendingLocation::Window(found) => {
                (self.state_in_memory(feed, &found)?, DeliveryFlags::of(feed, &found.delivery))
            }
            PendingLocation::Row(row) => (self.state_of_row(feed, &row)?, DeliveryFlags::of(feed, &row.delivery)),
            PendingLocation::Log { ahead } => {
                (DeliveryState::NotReached { ahead }, DeliveryFlags::only_replayed(feed.replay.is_some()))
            }
        };
        Ok(kind.is_none_or(|kind| state.kind() == kind).then(|| self.report(feed, logged, state, flags)))
    }
}

/// The position up to which a feed has examined the log. While it keeps up, every event up to the head was offered.
fn examined_up_to(window: &Window, head: Position) -> Position {
    if window.is_behind() { window.loaded_through } else { window.loaded_through.max(head) }
}
