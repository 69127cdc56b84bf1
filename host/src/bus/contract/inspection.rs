//! Where each event's deliveries stand, for operators.

use crate::bus::{
    BoxFuture, DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryStateKind, EventFilter, EventPage,
    StoreError,
};
use crate::event::{CauseTreeId, LoggedEvent, Position};

/// Shows where each event's deliveries stand.
///
/// Nothing here delays a commit or a claim, and no answer is a snapshot, because deliveries continue while the bus
/// reads. Each report has the time at which it was true ([`DeliveryReport::as_of`]), and these times may differ within
/// an answer. With several hosts, the deliveries that another host has claimed may be shown as they were one second
/// ago.
pub trait Inspection {
    /// Lists the events of a cause tree in the order of the log, starting after a position: the first event, and all
    /// that name the tree. Events that are scheduled are not in the log yet; events that retention has deleted are
    /// missing.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events_in_tree(
        &self,
        tree: CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>>;

    /// Reports where the deliveries of an event stand: one report for each subscription and each running replay that
    /// it concerns, and one for each dead letter of an earlier replay. The list is empty if there is no such event.
    ///
    /// An event concerns a subscription if the subscription has a delivery or a dead letter of the event, or if its
    /// current definition selects the event. A subscription that was created, or whose selection changed, after the
    /// event was stored is omitted unless it has a delivery or a dead letter of the event.
    /// [`DeliveryStateKind::Handled`] means that the subscription has nothing more to do for the event: its handler
    /// acknowledged it, its dead letter was dropped, or retention expired it.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn deliveries_of(&self, event: Position) -> BoxFuture<'_, Result<Vec<DeliveryReport>, StoreError>>;

    /// Lists the deliveries that are neither handled nor dead letters, by feed and then in the order of the log,
    /// starting after a cursor. A feed is a subscription or a running replay.
    ///
    /// The order of two deliveries never changes, so a delivery that is pending while all pages are read is listed
    /// once. A page examines a bounded number of deliveries: it may be short, or empty, although more follow. The last
    /// page has no cursor.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn deliveries(
        &self,
        filter: DeliveryFilter,
        kind: Option<DeliveryStateKind>,
        after: Option<DeliveryCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, StoreError>>;

    /// Searches the log, newest first, starting before a position or with the newest event.
    ///
    /// A page examines a bounded number of events: it may be short, or empty, although more follow. The last page has
    /// no cursor.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn search_events(
        &self,
        filter: EventFilter,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, StoreError>>;
}
