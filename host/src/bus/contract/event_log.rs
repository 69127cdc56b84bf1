//! Events: publishing them now or later, reading them, and waiting for replies.

use crate::bus::{
    BoxFuture, CommitError, Compaction, PendingReply, PluginSchedule, PublishReceipt, ScheduledCursor, ScheduledEvent,
    StoreError, StoreExtent,
};
use crate::event::{Event, LoggedEvent, Position};
use crate::outcome::{Effects, Publish};
use crate::pattern::Pattern;

/// The log of events, and the events that are scheduled to enter it.
///
/// The log has one order, that of its positions. Every host sees the same order.
pub trait EventLog {
    /// Publishes events, if there is room for all of them.
    ///
    /// An event is not stored again while one with its source and id is in the log or scheduled. Deduplication has no
    /// time window. A long list of events may be committed in parts, in order: if the store fails in between, the first
    /// parts stay. If the publisher sends the list again, the receipts mark these events as duplicates.
    ///
    /// # Errors
    /// [`CommitError::Busy`], [`CommitError::BacklogFull`], [`CommitError::LogFull`] or another limit's error if
    /// there is no room now; otherwise if the store refuses.
    fn publish(&self, events: Vec<Publish>) -> BoxFuture<'_, Result<Vec<PublishReceipt>, CommitError>>;

    /// Commits the effects of an invocation that does not handle a delivery, in one transaction. There must be room
    /// for the events that it publishes, as with [`EventLog::publish`].
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the invocation must run again; otherwise if the store refuses.
    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> BoxFuture<'a, Result<(), CommitError>>;

    /// Starts to wait for the reply to an event: the first other event that matches the pattern, belongs to the same
    /// cause tree, and enters the log from now on, through any host.
    ///
    /// The notification of a dead letter is never a reply.
    ///
    /// Call it before the event is published, so that no reply can be missed. The number of waiters per host is
    /// bounded.
    ///
    /// # Errors
    /// [`CommitError::Busy`] if there are too many waiters.
    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<PendingReply, CommitError>;

    /// Cancels a scheduled event. Returns whether it existed.
    ///
    /// # Errors
    /// If the store refuses.
    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool, CommitError>>;

    /// Lists scheduled events, earliest first, starting after a cursor.
    ///
    /// An event enters the log once, independently of the number of hosts, and never before it is due. The delay
    /// after that depends on the load.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ScheduledEvent>, StoreError>>;

    /// Lists the schedules that plugins declare. Each tick of a schedule publishes one event, independently of the
    /// number of hosts.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn schedules(&self) -> BoxFuture<'_, Result<Vec<PluginSchedule>, StoreError>>;

    /// The position of the newest event that this host has seen. A host has seen its own events when the publish
    /// returns; it may see another host's event up to one second late.
    fn head(&self) -> Position;

    /// Lists events, newest first, starting before a position or with the newest one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events(&self, before: Option<Position>, limit: usize) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>>;

    /// Lists the events with an id. Events of different sources may share one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events_with_id(&self, id: String) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>>;

    /// How far the log reaches, and how much space the store takes. Reading it may take a while, and delays no commit.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn extent(&self) -> BoxFuture<'_, Result<StoreExtent, StoreError>>;

    /// Deletes events by the retention rules, a bounded number at a time. If a call examines no events, the deletion is
    /// complete. The bus also does this periodically.
    ///
    /// # Errors
    /// If the store refuses.
    fn compact(&self) -> BoxFuture<'_, Result<Compaction, CommitError>>;
}
