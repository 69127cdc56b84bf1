//! A bus that may have a fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandbus_host::bus::{
    BoxFuture, Catalogue, CommitError, Compaction, DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterId,
    DeadLetters, DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryState, DeliveryStateKind,
    EndpointHold, EventFilter, EventLog, EventPage, FeedId, GroupStatus, Inspection, Lifecycle, PendingReply,
    PluginSchedule, PluginState, PublishReceipt, Reachability, Replay, ReplayScope, ScheduledCursor, ScheduledEvent,
    SharedBus, StoreError, StoreExtent, SubscriptionFeed, Subscriptions,
};
use sandbus_host::clock::Timestamp;
use sandbus_host::event::{CauseTreeId, Event, LoggedEvent, Position};
use sandbus_host::outcome::{Effects, Publish, StateView};
use sandbus_host::pattern::Pattern;
use sandbus_host::subscription::{Declaration, Definition, Start, SubscriptionId};
use tokio::sync::watch;

use crate::Fault;
use crate::feed::{FaultyFeed, GivenBack};
use crate::state::FaultyView;

#[derive(Debug)]
pub(crate) struct FaultyBus {
    bus: SharedBus,
    fault: Option<Fault>,
    given_back: GivenBack,
    /// The last event for which a reply was requested.
    asked: Mutex<Option<Event>>,
}

impl FaultyBus {
    pub(crate) fn new(bus: SharedBus, fault: Option<Fault>) -> Self {
        Self { bus, fault, given_back: GivenBack::default(), asked: Mutex::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    async fn publish_wrongly(&self, mut events: Vec<Publish>) -> Result<Vec<PublishReceipt>, CommitError> {
        let unstored = |events: &[Publish]| -> Vec<PublishReceipt> {
            events.iter().map(|one| PublishReceipt { id: one.event.id.clone(), duplicate: false }).collect()
        };
        if self.has(Fault::AcknowledgesUnstored) {
            return Ok(unstored(&events));
        }
        if self.has(Fault::DeliversEarly) {
            events.iter_mut().for_each(|one| one.due = None);
        }
        let given = events.clone();
        let mut accepted = match self.bus.publish(events).await {
            Err(CommitError::Unavailable { .. }) if self.has(Fault::HidesOutages) => return Ok(unstored(&given)),
            accepted => accepted?,
        };
        if self.has(Fault::StoresDuplicates) {
            for (receipt, mut again) in accepted.iter_mut().zip(given).filter(|(receipt, _)| receipt.duplicate) {
                again.event.id.push_str(" again");
                self.bus.publish(vec![again]).await?;
                receipt.duplicate = false;
            }
        }
        Ok(accepted)
    }

    /// The reply of a change that is not made.
    fn pretend<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, CommitError>> {
        Box::pin(async { Ok(value) })
    }
}

impl EventLog for FaultyBus {
    fn publish(&self, events: Vec<Publish>) -> BoxFuture<'_, Result<Vec<PublishReceipt>, CommitError>> {
        Box::pin(self.publish_wrongly(events))
    }

    fn commit<'a>(&'a self, plugin: &'a str, mut effects: Effects) -> BoxFuture<'a, Result<(), CommitError>> {
        if let Some(fault) = self.fault {
            fault.alter_effects(&mut effects);
        }
        self.bus.commit(plugin, effects)
    }

    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<PendingReply, CommitError> {
        if self.has(Fault::RepliesToOthers) {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let another = asked.replace(event.clone());
            return self.bus.expect_reply(another.as_ref().unwrap_or(event), pattern);
        }
        self.bus.expect_reply(event, pattern)
    }

    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool, CommitError>> {
        if self.has(Fault::CancelsNothing) { Self::pretend(true) } else { self.bus.cancel(source, id) }
    }

    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ScheduledEvent>, StoreError>> {
        self.bus.scheduled(after, limit)
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<PluginSchedule>, StoreError>> {
        self.bus.schedules()
    }

    fn head(&self) -> Position {
        self.bus.head()
    }

    fn events(&self, before: Option<Position>, limit: usize) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        self.bus.events(before, limit)
    }

    fn events_with_id(&self, id: String) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        self.bus.events_with_id(id)
    }

    fn extent(&self) -> BoxFuture<'_, Result<StoreExtent, StoreError>> {
        Box::pin(async move {
            let extent = self.bus.extent().await?;
            Ok(if self.has(Fault::HidesOldEnd) { StoreExtent { oldest: extent.newest, ..extent } } else { extent })
        })
    }

    fn compact(&self) -> BoxFuture<'_, Result<Compaction, CommitError>> {
        self.bus.compact()
    }
}

impl Subscriptions for FaultyBus {
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        mut declaration: Declaration,
    ) -> BoxFuture<'a, Result<Vec<SubscriptionId>, CommitError>> {
        if self.has(Fault::BreaksKeyOrder) {
            declaration.subscriptions.iter_mut().for_each(|(_, definition, _)| definition.ordering_key = None);
        }
        self.bus.declare(plugin, declaration)
    }

    fn withdraw<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<(), CommitError>> {
        if self.has(Fault::IgnoresWithdrawal) { Self::pretend(()) } else { self.bus.withdraw(plugin) }
    }

    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.has(Fault::StartsNowInsteadOfLater) {
            return Box::pin(async move {
                match self.bus.subscribe(id.clone(), definition.clone(), start).await {
                    Err(CommitError::StartInFuture { .. }) => self.bus.subscribe(id, definition, Start::Now).await,
                    subscribed => subscribed,
                }
            });
        }
        self.bus.subscribe(id, definition, start)
    }

    fn delete_subscription(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        self.bus.delete_subscription(id)
    }

    fn pause(&self, id: SubscriptionId, paused: bool) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.has(Fault::IgnoresPauses) { Self::pretend(()) } else { self.bus.pause(id, paused) }
    }

    fn retire(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        self.bus.retire(id)
    }

    fn hold_endpoint(&self, endpoint: String, hold: EndpointHold) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.has(Fault::IgnoresHolds) { Self::pretend(()) } else { self.bus.hold_endpoint(endpoint, hold) }
    }

    fn endpoint_hold(&self, endpoint: &str) -> Option<EndpointHold> {
        self.bus.endpoint_hold(endpoint)
    }

    fn replay(&self, id: SubscriptionId, mut scope: ReplayScope) -> BoxFuture<'_, Result<Replay, CommitError>> {
        if self.has(Fault::ReplaysNothing) {
            return Self::pretend(Replay { feed: None, events: 0 });
        }
        if self.has(Fault::ReplaysWithoutEnd) {
            scope.end = None;
        }
        self.bus.replay(id, scope)
    }

    fn stop_replays(&self, id: SubscriptionId) -> BoxFuture<'_, Result<usize, CommitError>> {
        self.bus.stop_replays(id)
    }

    fn retry_now(&self, filter: DeliveryFilter) -> BoxFuture<'_, Result<usize, CommitError>> {
        if self.has(Fault::RetriesLater) { Self::pretend(1) } else { self.bus.retry_now(filter) }
    }

    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> BoxFuture<'a, Result<(), CommitError>> {
        self.bus.drain(plugin, drained)
    }

    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.bus.catalogue()
    }

    fn feed(&self, feed: FeedId) -> Option<Arc<dyn SubscriptionFeed>> {
        let feed = self.bus.feed(feed)?;
        let (bus, given_back) = (Arc::clone(&self.bus), Arc::clone(&self.given_back));
        Some(Arc::new(FaultyFeed { feed, bus, fault: self.fault, given_back }))
    }

    fn oldest_unhandled(&self) -> BoxFuture<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>> {
        self.bus.oldest_unhandled()
    }
}

impl DeadLetters for FaultyBus {
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        if self.has(Fault::RedrivesNothing) { Self::pretend(0) } else { self.bus.redrive(filter, limit) }
    }

    fn redrive_edited(&self, number: DeadLetterId, data: Vec<u8>) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            if self.has(Fault::RedrivesUnedited) {
                let filter = DeadLetterFilter { number: Some(number), ..DeadLetterFilter::default() };
                return self.bus.redrive(filter, 1).await.map(drop);
            }
            self.bus.redrive_edited(number, data).await
        })
    }

    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        self.bus.drop_dead_letters(filter, limit)
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        self.bus.dead_letters(filter, after, limit)
    }

    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.bus.count_dead_letters(filter)
    }

    fn dead_letter_groups(
        &self,
        filter: DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, StoreError>> {
        Box::pin(async move {
            let mut groups = self.bus.dead_letter_groups(filter, status, limit).await?;
            if self.has(Fault::GroupsByCause) {
                groups.dedup_by(|one, other| one.cause == other.cause);
            }
            Ok(groups)
        })
    }

    fn set_group_status(
        &self,
        member: DeadLetterId,
        status: GroupStatus,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        // What is ignored does not recur.
        let resolves_for_good = self.has(Fault::ResolvesForGood) && status == GroupStatus::Resolved;
        let status = if resolves_for_good { GroupStatus::Ignored } else { status };
        self.bus.set_group_status(member, status, by)
    }

    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>> {
        self.bus.dead_letter_counts()
    }
}

impl PluginState for FaultyBus {
    fn state(&self, plugin: &str) -> Box<dyn StateView> {
        Box::new(FaultyView {
            view: self.bus.state(plugin),
            bus: Arc::clone(&self.bus),
            plugin: plugin.to_owned(),
            fault: self.fault,
        })
    }
}

impl Inspection for FaultyBus {
    fn events_in_tree(
        &self,
        tree: CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(async move {
            let mut events = self.bus.events_in_tree(tree, after, limit).await?;
            if self.has(Fault::ForgetsFirstOfTree) {
                events.retain(|logged| logged.event.hops() > 0);
            }
            Ok(events)
        })
    }

    fn deliveries_of(&self, event: Position) -> BoxFuture<'_, Result<Vec<DeliveryReport>, StoreError>> {
        Box::pin(async move {
            let mut reports = self.bus.deliveries_of(event).await?;
            for report in &mut reports {
                if self.has(Fault::ReportsWaitingAsReady) && report.state.kind() == DeliveryStateKind::BehindKey {
                    report.state = DeliveryState::Ready;
                }
            }
            Ok(reports)
        })
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        kind: Option<DeliveryStateKind>,
        after: Option<DeliveryCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, StoreError>> {
        Box::pin(async move {
            let kind = kind.filter(|_| !self.has(Fault::IgnoresStates));
            let mut page = self.bus.deliveries(filter, kind, after, limit).await?;
            if self.has(Fault::ListsOnePage) {
                page.next = None;
            }
            Ok(page)
        })
    }

    fn search_events(
        &self,
        mut filter: EventFilter,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        if self.has(Fault::IgnoresSubjects) {
            filter.subject = None;
        }
        self.bus.search_events(filter, before, limit)
    }
}

impl Lifecycle for FaultyBus {
    fn reachable(&self) -> watch::Receiver<Reachability> {
        self.bus.reachable()
    }

    fn set_limits(&self, settings: &sandbus_host::bus::Settings) {
        if !self.has(Fault::KeepsOldLimits) {
            self.bus.set_limits(settings);
        }
    }

    fn store_id(&self) -> u64 {
        self.bus.store_id()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        self.bus.failed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.bus.close()
    }
}
