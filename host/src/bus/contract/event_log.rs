//! Events: published now or later, read, and answered.

use crate::bus::{
    BoxFuture, CommitError, PluginSchedule, PublishReceipt, Reply, ScheduledCursor, ScheduledEvent, StoreError,
};
use crate::event::{Event, LoggedEvent, Position};
use crate::outcome::{Effects, Publish};
use crate::pattern::Pattern;

/// The log of events, and those that enter it later.
///
/// The log is in one order, that of its positions. Every host sees the same order.
pub trait EventLog {
    /// Publishes events, if there is room for all of them.
    ///
    /// An event whose source and id are in the log, or wait to enter it, is not stored again. That holds as long as the
    /// event is there, not for a window of time. Many events may be committed in parts, in their order: if the store fails
    /// in between, the first parts stay. A publisher that sends all of them again finds those to be duplicates.
    ///
    /// # Errors
    /// [`CommitError::Busy`], [`CommitError::BacklogFull`] or [`CommitError::LogFull`] if there is no room
    /// for it now; otherwise if the store refuses.
    fn publish(&self, events: Vec<Publish>) -> BoxFuture<'_, Result<Vec<PublishReceipt>, CommitError>>;

    /// Commits the effects of an invocation that handles no delivery, in one transaction. There must be room for what it
    /// publishes, as with [`EventLog::publish`].
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the invocation must run again; otherwise if the store refuses.
    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> BoxFuture<'a, Result<(), CommitError>>;

    /// Begins to wait for a reply to an event: the first other one that matches the pattern, in the flow that
    /// the event begins or belongs to, and that enters the log from now on, through whichever host.
    ///
    /// Call it before the event is published: then no reply is too early. The number of waiters is bounded on each host.
    ///
    /// # Errors
    /// [`CommitError::Busy`] if too many wait already.
    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<Reply, CommitError>;

    /// Takes back an event that was to enter the log later. Returns whether it was there.
    ///
    /// # Errors
    /// If the store refuses.
    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool, CommitError>>;

    /// Events that enter the log later, the next one first: those after a cursor, or the first ones without it.
    ///
    /// An event enters once, whatever the number of hosts, and never before it is due; how late depends on the load.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ScheduledEvent>, StoreError>>;

    /// The schedules that plugins declare. Each time of a schedule publishes one event, whatever the number of hosts.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn schedules(&self) -> BoxFuture<'_, Result<Vec<PluginSchedule>, StoreError>>;

    /// The position of the newest event that this host has seen. What this host published is seen when the publish
    /// returns; another host's event may be seen up to a second late.
    fn head(&self) -> Position;

    /// The newest events, newest first: those before a position, or the very newest.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events(&self, before: Option<Position>, limit: usize) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>>;

    /// The events with an id; sources may share one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events_with_id(&self, id: String) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>>;

    /// Deletes events by the retention's rules, a bounded number at a time. Returns how many; zero means
    /// that there are none to delete now. The bus does so by itself from time to time.
    ///
    /// # Errors
    /// If the store refuses.
    fn compact(&self) -> BoxFuture<'_, Result<usize, CommitError>>;
}
