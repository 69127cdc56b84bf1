//! The bus of a host, whichever host runs the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::cluster_feed::ClusterFeed;
use super::shared::{Engine, NO_ACTIVE_HOST, Role, Shared};
use crate::bus::failure_watch::wait_for_failure;
use crate::bus::{
    BoxFuture, Catalogue, CommitError, Compaction, DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterId,
    DeadLetters, DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryStateKind, EndpointHold,
    EventFilter, EventLog, EventPage, FeedId, GroupStatus, Inspection, Lifecycle, PendingReply, PluginSchedule,
    PluginState, PublishReceipt, Reachability, Replay, ReplayScope, ScheduledCursor, ScheduledEvent, Settings,
    SharedBus, StoreError, StoreErrorKind, StoreExtent, SubscriptionFeed, Subscriptions,
};
use crate::clock::Timestamp;
use crate::event::{CauseTreeId, Event, LoggedEvent, Position};
use crate::outcome::{Effects, Listing, NextNumber, Publish, SequenceError, StateError, StateView, Version};
use crate::pattern::Pattern;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

/// When a change may succeed that was refused because no host runs the engine.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bus of a host in a cluster. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(in crate::bus) struct ClusterBus {
    pub(super) shared: Arc<Shared>,
    /// Joins the store, and gives up its role when the bus is closed.
    supervisor: Arc<Mutex<Option<AbortOnDropHandle<()>>>>,
}

impl ClusterBus {
    pub(super) fn new(shared: Arc<Shared>, supervisor: AbortOnDropHandle<()>) -> Self {
        Self { shared, supervisor: Arc::new(Mutex::new(Some(supervisor))) }
    }

    fn engine(&self) -> Option<Engine> {
        self.shared.engine().borrow().clone()
    }

    /// Makes a change with the engine. This host sees the change of the catalogue at once.
    async fn change<T, F>(&self, make: impl FnOnce(SharedBus) -> F) -> Result<T, CommitError>
    where
        F: Future<Output = Result<T, CommitError>>,
    {
        let Some(Engine { bus, .. }) = self.engine() else {
            return Err(CommitError::Unavailable { reason: NO_ACTIVE_HOST.to_owned(), retry_after: RETRY_AFTER });
        };
        let changed = make(Arc::clone(&bus)).await;
        if self.engine().is_some_and(|engine| Arc::ptr_eq(&engine.bus, &bus)) {
            self.shared.follow_catalogue(&bus);
        }
        changed
    }

    /// Reads with the engine.
    async fn read<T, F>(&self, read: impl FnOnce(SharedBus) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        match self.engine() {
            Some(Engine { bus, .. }) => read(bus).await,
            None => Err(StoreError::new(StoreErrorKind::Unavailable, NO_ACTIVE_HOST)),
        }
    }

    fn is_active(&self) -> bool {
        self.engine().is_some_and(|engine| engine.role == Role::Active)
    }
}

impl EventLog for ClusterBus {
    fn publish(&self, events: Vec<Publish>) -> BoxFuture<'_, Result<Vec<PublishReceipt>, CommitError>> {
        Box::pin(self.change(|bus| async move { bus.publish(events).await }))
    }

    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.commit(plugin, effects).await }))
    }

    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<PendingReply, CommitError> {
        match self.engine() {
            Some(Engine { bus, .. }) => bus.expect_reply(event, pattern),
            None => Err(CommitError::Unavailable { reason: NO_ACTIVE_HOST.to_owned(), retry_after: RETRY_AFTER }),
        }
    }

    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool, CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.cancel(source, id).await }))
    }

    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ScheduledEvent>, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.scheduled(after, limit).await }))
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<PluginSchedule>, StoreError>> {
        Box::pin(self.read(|bus| async move { bus.schedules().await }))
    }

    fn head(&self) -> Position {
        self.engine().map(|engine| engine.bus.head()).unwrap_or_default()
    }

    fn events(&self, before: Option<Position>, limit: usize) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.events(before, limit).await }))
    }

    fn events_with_id(&self, id: String) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(|bus| async move { bus.events_with_id(id).await }))
    }

    fn extent(&self) -> BoxFuture<'_, Result<StoreExtent, StoreError>> {
        Box::pin(self.read(|bus| async move { bus.extent().await }))
    }

    /// The active host deletes old events.
    fn compact(&self) -> BoxFuture<'_, Result<Compaction, CommitError>> {
        Box::pin(async {
            if !self.is_active() {
                return Ok(Compaction::default());
            }
            self.change(|bus| async move { bus.compact().await }).await
        })
    }
}

impl Subscriptions for ClusterBus {
    /// The declarations of the active host count. Those of a member count once it becomes active.
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> BoxFuture<'a, Result<Vec<SubscriptionId>, CommitError>> {
        self.shared.note_declared(plugin, Some(declaration.clone()));
        Box::pin(async move {
            if !self.is_active() {
                return Ok(Vec::new());
            }
            self.change(|bus| async move { bus.declare(plugin, declaration).await }).await
        })
    }

    /// As for [`Self::declare`].
    fn withdraw<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<(), CommitError>> {
        self.shared.note_declared(plugin, None);
        Box::pin(async move {
            if !self.is_active() {
                return Ok(());
            }
            self.change(|bus| async move { bus.withdraw(plugin).await }).await
        })
    }

    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.subscribe(id, definition, start).await }))
    }

    fn delete_subscription(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(|bus| async move { bus.delete_subscription(id).await }))
    }

    fn pause(&self, id: SubscriptionId, paused: bool) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.pause(id, paused).await }))
    }

    fn retire(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(|bus| async move { bus.retire(id).await }))
    }

    fn hold_endpoint(&self, endpoint: String, hold: EndpointHold) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(|bus| async move { bus.hold_endpoint(endpoint, hold).await }))
    }

    fn endpoint_hold(&self, endpoint: &str) -> Option<EndpointHold> {
        self.engine()?.bus.endpoint_hold(endpoint)
    }

    fn replay(&self, id: SubscriptionId, scope: ReplayScope) -> BoxFuture<'_, Result<Replay, CommitError>> {
        Box::pin(self.change(|bus| async move { bus.replay(id, scope).await }))
    }

    fn stop_replays(&self, id: SubscriptionId) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(|bus| async move { bus.stop_replays(id).await }))
    }

    fn retry_now(&self, filter: DeliveryFilter) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(|bus| async move { bus.retry_now(filter).await }))
    }

    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.drain(plugin, drained).await }))
    }

    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.shared.catalogue.subscribe()
    }

    fn feed(&self, feed: FeedId) -> Option<Arc<dyn SubscriptionFeed>> {
        Some(Arc::new(ClusterFeed::new(&self.shared, feed)?))
    }

    fn oldest_unhandled(&self) -> BoxFuture<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>> {
        Box::pin(self.read(|bus| async move { bus.oldest_unhandled().await }))
    }
}

impl DeadLetters for ClusterBus {
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.redrive(filter, limit).await }))
    }

    fn redrive_edited(&self, number: DeadLetterId, data: Vec<u8>) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.redrive_edited(number, data).await }))
    }

    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.drop_dead_letters(filter, limit).await }))
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.dead_letters(filter, after, limit).await }))
    }

    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.read(|bus| async move { bus.count_dead_letters(filter).await }))
    }

    fn dead_letter_groups(
        &self,
        filter: DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.dead_letter_groups(filter, status, limit).await }))
    }

    fn set_group_status(
        &self,
        member: DeadLetterId,
        status: GroupStatus,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(move |bus| async move { bus.set_group_status(member, status, by).await }))
    }

    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>> {
        Box::pin(self.read(|bus| async move { bus.dead_letter_counts().await }))
    }
}

impl PluginState for ClusterBus {
    fn state(&self, plugin: &str) -> Box<dyn StateView> {
        self.engine().map_or_else(|| Box::new(NoState) as _, |engine| engine.bus.state(plugin))
    }
}

/// The state while no host is active.
struct NoState;

impl StateView for NoState {
    fn get(&mut self, _: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        Err(StateError(NO_ACTIVE_HOST.to_owned()))
    }

    fn keys(&mut self, _: Option<&str>, _: usize) -> Result<(Vec<String>, Listing), StateError> {
        Err(StateError(NO_ACTIVE_HOST.to_owned()))
    }

    fn draw(&mut self, _: &str) -> NextNumber {
        Box::pin(async { Err(SequenceError::Failed(NO_ACTIVE_HOST.to_owned())) })
    }

    fn unreserved(&mut self, _: &str) -> Result<u64, StateError> {
        Err(StateError(NO_ACTIVE_HOST.to_owned()))
    }
}

impl Inspection for ClusterBus {
    fn events_in_tree(
        &self,
        tree: CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.events_in_tree(tree, after, limit).await }))
    }

    fn deliveries_of(&self, event: Position) -> BoxFuture<'_, Result<Vec<DeliveryReport>, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.deliveries_of(event).await }))
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        kind: Option<DeliveryStateKind>,
        after: Option<DeliveryCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.deliveries(filter, kind, after, limit).await }))
    }

    fn search_events(
        &self,
        filter: EventFilter,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        Box::pin(self.read(move |bus| async move { bus.search_events(filter, before, limit).await }))
    }
}

impl Lifecycle for ClusterBus {
    fn reachable(&self) -> watch::Receiver<Reachability> {
        self.shared.reachability.subscribe()
    }

    fn set_limits(&self, settings: &Settings) {
        let mut known = self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner);
        *known = known.with_limits_of(settings);
        drop(known);
        if let Some(engine) = self.engine() {
            engine.bus.set_limits(settings);
        }
    }

    fn store_id(&self) -> u64 {
        *self.shared.store_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(wait_for_failure(self.shared.failure.subscribe()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shared.closing.cancel();
            let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(supervisor) = supervisor {
                // A panic of the supervisor was reported when it happened.
                drop(supervisor.await);
            }
        })
    }
}
