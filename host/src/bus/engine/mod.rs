//! The engine: everything that a bus does, on a store that knows only rows and transactions ([`store`]).
//!
//! One writer makes all changes of a host. It commits groups of changes in one transaction each, and replies after the
//! commit ([`writer`]). Readers have their own connections. The deliveries that are ready or in flight are in memory
//! ([`window`](super::window)); after a crash they are restored from the store.

mod background;
mod command;
mod engine_state;
mod feed;
mod feed_state;
mod inspection;
mod load;
mod searches;
mod selection;
mod sequences;
mod snapshot;
mod start;
mod state_changes;
pub(in crate::bus) mod store;
mod usage;
mod writer;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::failure_watch::wait_for_failure;
use super::group_commit::Queue;
use super::window::PauseReason;
use super::{
    BoxFuture, Catalogue, Claim, CommitError, Compaction, DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterId,
    DeadLetters, DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryStateKind, EndpointHold,
    EventFilter, EventLog, EventPage, FeedId, GroupStatus, IGNORED_DAYS, Inspection, Lifecycle, PendingReply,
    PluginSchedule, PluginState, PublishReceipt, Reachability, Replay, ReplayScope, ScheduledCursor, ScheduledEvent,
    StoreError, StoreErrorKind, StoreExtent, SubscriptionFeed, Subscriptions,
};
use crate::clock::Timestamp;
use crate::event::{CauseTreeId, Event, LoggedEvent, Position};
use crate::outcome::{Effects, Publish, StateView};
use crate::pattern::Pattern;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};
pub(in crate::bus) use command::Command;
use command::StoredPart;
pub(in crate::bus) use engine_state::EngineState;
use feed::Feed;
pub(in crate::bus) use feed_state::ReplayRange;
use snapshot::StateSnapshot;
pub(in crate::bus) use start::OpenedStore;
use store::Rows;

/// A handle on a bus whose events are in a store. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct DurableBus {
    shared: Arc<EngineState>,
    commands: Queue<Command>,
    resources: Arc<BusResources>,
}

/// Resources that are released with the last handle.
#[derive(Debug)]
struct BusResources {
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held while the bus exists, such as a lock that keeps other processes away from the store.
    _held: Box<dyn Any + Send + Sync>,
}

impl DurableBus {
    /// Appends due events to the log now, instead of within a second. For callers that move the clock.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn append_due(&self) -> Result<(), CommitError> {
        while self.shared.next_scheduled.borrow().is_some_and(|due| due <= self.shared.clock.now()) {
            self.commands.send(Command::AppendDue).await.map_err(|_| self.closed())?;
            // This cancels nothing and serves as a barrier: commands are applied in order, so its reply comes after the
            // commit of the due events.
            self.cancel("", "").await?;
        }
        Ok(())
    }

    /// Lets other hosts claim deliveries, too. From then on, the engine itself enforces the concurrency of subscriptions.
    pub(in crate::bus) fn share(&self) {
        self.shared.is_shared.store(true, Ordering::Relaxed);
    }

    /// The earliest time at which a retry, a scheduled event or a schedule is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let feeds = self.shared.feeds();
        let attempts = feeds.iter().filter_map(|feed| feed.window().next_due?.time());
        attempts.chain(*self.shared.next_scheduled.borrow()).min()
    }

    /// Claims a delivery if there is one now. Unlike [`SubscriptionFeed::try_claim`] it also looks in the store;
    /// unlike [`SubscriptionFeed::claim`] it does not wait.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn claim_now(&self, feed: FeedId) -> Result<Option<Claim>, StoreError> {
        let Some(subscription) = self.shared.find(feed) else { return Ok(None) };
        Feed { bus: self.clone(), subscription }.claim_now().await
    }

    async fn ask<T>(&self, command: impl FnOnce(command::ReplySender<T>) -> Command) -> Result<T, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| self.closed())?;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }

    fn closed(&self) -> CommitError {
        let failure = self.shared.failure.borrow().clone();
        CommitError::Closed(failure.unwrap_or_else(|| "it is shutting down".to_owned()))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            // Reading on after damage would skip or alter events.
            store::read_rows(&*shared.readers, read).inspect_err(|error| {
                shared.note_outage(error);
                if error.kind() == StoreErrorKind::Damaged {
                    shared.fail(error.to_string());
                }
            })
        });
        task.await.unwrap_or_else(|error| {
            Err(StoreError::new(StoreErrorKind::Failed, format!("a read did not finish: {error}")))
        })
    }
}

impl EventLog for DurableBus {
    fn publish(&self, events: Vec<Publish>) -> BoxFuture<'_, Result<Vec<PublishReceipt>, CommitError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let begin = Command::Publish { events: events.into_iter(), is_rest: false, part: 0, reply };
            self.commands.try_send(begin).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => CommitError::Busy,
                mpsc::error::TrySendError::Closed(_) => self.closed(),
            })?;
            let StoredPart { mut accepted, mut rest } = answer.await.unwrap_or_else(|_| Err(self.closed()))?;
            while rest.len() > 0 {
                let events = std::mem::take(&mut rest);
                let stored = self.ask(|reply| Command::Publish { events, is_rest: true, part: 0, reply }).await?;
                accepted.extend(stored.accepted);
                rest = stored.rest;
            }
            Ok(accepted)
        })
    }

    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(async move {
            // An invocation without effects commits nothing. Its reads are from one snapshot, which need not be the
            // newest.
            if effects.is_empty() {
                return Ok(());
            }
            let plugin = plugin.to_owned();
            self.ask(|reply| Command::Commit { plugin, effects: Box::new(effects), reply }).await
        })
    }

    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<PendingReply, CommitError> {
        self.shared.reply_waiters.expect(event, pattern)
    }

    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool, CommitError>> {
        let (source, id) = (source.to_owned(), id.to_owned());
        Box::pin(self.ask(|reply| Command::Cancel { source, id, reply }))
    }

    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ScheduledEvent>, StoreError>> {
        Box::pin(self.read(move |rows| rows.scheduled_events(after, limit)))
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<PluginSchedule>, StoreError>> {
        Box::pin(self.read(|rows| rows.schedules()))
    }

    fn head(&self) -> Position {
        self.shared.head()
    }

    fn events(&self, before: Option<Position>, limit: usize) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(move |rows| rows.events_before(before, limit)))
    }

    fn events_with_id(&self, id: String) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(move |rows| rows.events_with_id(&id)))
    }

    fn extent(&self) -> BoxFuture<'_, Result<StoreExtent, StoreError>> {
        let readers = Arc::clone(&self.shared.readers);
        Box::pin(self.read(move |rows| {
            let [oldest, newest] = rows.ends_of_log()?;
            Ok(StoreExtent { bytes: readers.size_bytes()?, oldest, newest })
        }))
    }

    fn compact(&self) -> BoxFuture<'_, Result<Compaction, CommitError>> {
        Box::pin(self.ask(|reply| Command::Compact { reply }))
    }
}

impl Subscriptions for DurableBus {
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> BoxFuture<'a, Result<Vec<SubscriptionId>, CommitError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.ask(|reply| Command::Declare { plugin, declaration, reply }))
    }

    fn withdraw<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<(), CommitError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.ask(|reply| Command::Withdraw { plugin, reply }))
    }

    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        let definition = Box::new(definition);
        Box::pin(self.ask(move |reply| Command::Subscribe { id, definition, start, reply }))
    }

    fn delete_subscription(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.ask(|reply| Command::Delete { id, reply }))
    }

    fn pause(&self, id: SubscriptionId, paused: bool) -> BoxFuture<'_, Result<(), CommitError>> {
        let reason = paused.then_some(PauseReason::Operator);
        Box::pin(self.ask(move |reply| Command::Pause { id, reason, reply }))
    }

    fn retire(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.ask(move |reply| Command::Pause { id, reason: Some(PauseReason::EndpointGone), reply }))
    }

    fn hold_endpoint(&self, endpoint: String, hold: EndpointHold) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.ask(move |reply| Command::HoldEndpoint { endpoint, hold, reply }))
    }

    fn endpoint_hold(&self, endpoint: &str) -> Option<EndpointHold> {
        self.shared.holds.get(endpoint, self.shared.clock.now())
    }

    fn replay(&self, id: SubscriptionId, scope: ReplayScope) -> BoxFuture<'_, Result<Replay, CommitError>> {
        let scope = Box::new(scope);
        Box::pin(self.ask(|reply| Command::Replay { id, scope, reply }))
    }

    fn stop_replays(&self, id: SubscriptionId) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(|reply| Command::StopReplays { id, reply }))
    }

    fn retry_now(&self, filter: DeliveryFilter) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(|reply| Command::RetryNow { filter, reply }))
    }

    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> BoxFuture<'a, Result<(), CommitError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.ask(move |reply| Command::Drain { plugin, drained, reply }))
    }

    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.shared.catalogue.subscribe()
    }

    fn feed(&self, feed: FeedId) -> Option<Arc<dyn SubscriptionFeed>> {
        let subscription = self.shared.find(feed)?;
        Some(Arc::new(Feed { bus: self.clone(), subscription }))
    }

    fn oldest_unhandled(&self) -> BoxFuture<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.read(move |rows| feed::oldest_unhandled(rows, &shared)))
    }
}

impl DeadLetters for DurableBus {
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(move |reply| Command::Redrive { filter, limit, reply }))
    }

    fn redrive_edited(&self, number: DeadLetterId, data: Vec<u8>) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.ask(move |reply| Command::RedriveEdited { number, data, reply }))
    }

    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.ask(move |reply| Command::DropDeadLetters { filter, limit, reply }))
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(self.read(move |rows| rows.dead_letters(&filter, after, limit)))
    }

    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.read(move |rows| rows.count_dead_letters(&filter)))
    }

    fn dead_letter_groups(
        &self,
        filter: DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, StoreError>> {
        Box::pin(self.read(move |rows| rows.dead_letter_groups(&filter, status, limit)))
    }

    fn set_group_status(
        &self,
        member: DeadLetterId,
        status: GroupStatus,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        let ignored_before = self.shared.clock.now().before(Duration::from_hours(24 * IGNORED_DAYS));
        Box::pin(async move {
            // Only this method adds marks of groups, so it is enough that it also deletes the stale ones. If they
            // cannot be read, the next change deletes them.
            let stale = self.read(move |rows| rows.stale_group_marks(ignored_before)).await;
            let stale = stale.unwrap_or_default();
            self.ask(|reply| Command::SetGroupStatus { member, status, by, stale, reply }).await
        })
    }

    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>> {
        Box::pin(self.read(|rows| rows.dead_letter_counts()))
    }
}

impl PluginState for DurableBus {
    fn state(&self, plugin: &str) -> Box<dyn StateView> {
        Box::new(StateSnapshot::new(Arc::clone(&self.shared), self.commands.clone(), plugin.to_owned()))
    }
}

impl Inspection for DurableBus {
    fn events_in_tree(
        &self,
        tree: CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(move |rows| rows.events_in_tree(&tree, after, limit)))
    }

    fn deliveries_of(&self, event: Position) -> BoxFuture<'_, Result<Vec<DeliveryReport>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.read(move |rows| inspection::deliveries_of(rows, &shared, event)))
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        kind: Option<DeliveryStateKind>,
        after: Option<DeliveryCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.read(move |rows| inspection::deliveries(rows, &shared, &filter, kind, after, limit)))
    }

    fn search_events(
        &self,
        filter: EventFilter,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.read(move |rows| searches::search(rows, &shared, &filter, before, limit)))
    }
}

impl Lifecycle for DurableBus {
    fn reachable(&self) -> watch::Receiver<Reachability> {
        self.shared.reachable.subscribe()
    }

    fn set_limits(&self, settings: &super::Settings) {
        self.shared.settings.store(Arc::new(self.shared.settings.load().with_limits_of(settings)));
    }

    fn store_id(&self) -> u64 {
        self.shared.store_id
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(wait_for_failure(self.shared.failure.subscribe()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.commands.send(Command::Close).await.is_err() {
                return;
            }
            let thread = self.resources.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // A panic of the writer was reported when it happened.
                drop(tokio::task::spawn_blocking(move || drop(thread.join())).await);
            }
        })
    }
}
