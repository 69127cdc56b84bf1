//! The bus of another host.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::codec::Framed;
use tokio_util::task::AbortOnDropHandle;

use super::codec::{decode, encode, framing, receive_next, send_all};
use super::feed::RemoteFeed;
use super::identity::Advertisement;
use super::link::Link;
use super::mirror::Mirror;
use super::protocol::{
    Compacted, HEARTBEAT, Hello, Number, Request, ToClient, ToServer, VERSION, Welcome, WireDeclaration,
};
use super::state::RemoteState;
use crate::bus::{
    BoxFuture, Catalogue, CommitError, Compaction, DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterId,
    DeadLetters, DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryStateKind, EndpointHold,
    EventFilter, EventLog, EventPage, FeedId, GroupStatus, Inspection, Lifecycle, PendingReply, PluginSchedule,
    PluginState, PublishReceipt, Reachability, Replay, ReplayScope, ScheduledCursor, ScheduledEvent, Settings,
    StoreError, StoreExtent, SubscriptionFeed, Subscriptions,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{CauseTreeId, Event, LoggedEvent, Position};
use crate::outcome::{Effects, Publish, StateView};
use crate::pattern::Pattern;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

/// How long a connection may take, including TLS and the first update.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// How often deliveries that nobody has claimed are looked for.
const UNCLAIMED_INTERVAL: Duration = Duration::from_millis(50);

/// The bus of another host, over one connection. Once the connection is lost, it refuses everything. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(in crate::bus) struct RemoteBus(Arc<Client>);

#[derive(Debug)]
struct Client {
    link: Arc<Link>,
    mirror: Arc<Mirror>,
    replies: Arc<Replies>,
    clock: Clock,
    store_id: u64,
    _tasks: AbortOnDropHandle<()>,
}

/// The replies that this host expects.
type Replies = Mutex<HashMap<Number, oneshot::Sender<LoggedEvent>>>;

/// The other host cannot be reached or refuses.
#[derive(Debug, thiserror::Error)]
pub(in crate::bus) enum ConnectError {
    /// It does not listen, or the network fails.
    #[error("cannot connect to the active host at {0}: {1}")]
    Unreachable(String, std::io::Error),
    /// It does not answer in time.
    #[error("the active host at {0} does not answer")]
    NoAnswer(String),
    /// It refuses this host.
    #[error("the active host at {0} refuses this host: {1}")]
    Refused(String, String),
    /// The messages or the certificates are malformed.
    #[error("the connection to the active host at {0} failed: {1}")]
    Failed(String, String),
}

impl RemoteBus {
    /// Connects to the host that runs the engine, and waits until its feeds are known.
    ///
    /// # Errors
    /// If the host cannot be reached or refuses.
    pub(in crate::bus) async fn connect(host: &Advertisement, name: &str, clock: Clock) -> Result<Self, ConnectError> {
        let address = host.address.clone();
        let connected = tokio::time::timeout(CONNECT_TIME, Self::connect_now(host, name, clock)).await;
        connected.unwrap_or(Err(ConnectError::NoAnswer(address)))
    }

    async fn connect_now(host: &Advertisement, name: &str, clock: Clock) -> Result<Self, ConnectError> {
        let unreachable = |error| ConnectError::Unreachable(host.address.clone(), error);
        let failed = |error: &dyn std::fmt::Display| ConnectError::Failed(host.address.clone(), error.to_string());
        let stream = TcpStream::connect(&host.address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (tls, server) = host.connector().map_err(|error| failed(&error))?;
        let stream = tls.connect(server, stream).await.map_err(unreachable)?;
        let mut frames = Framed::new(stream, framing());
        let hello = Hello { version: VERSION.to_owned(), token: host.token.clone(), host: name.to_owned() };
        frames.send(encode(&hello).map_err(|error| failed(&error))?).await.map_err(unreachable)?;
        let welcome: Welcome = Self::receive(&mut frames, &host.address).await?;
        let store_id = match welcome {
            Welcome::Accepted { store_id } => store_id,
            Welcome::Refused(reason) => return Err(ConnectError::Refused(host.address.clone(), reason)),
        };
        let (outgoing, queued) = mpsc::unbounded_channel();
        let (link, mirror, replies) = (Arc::new(Link::new(outgoing)), Arc::new(Mirror::default()), Arc::default());
        // The first updates have all feeds and their progress.
        let mut updates = 0;
        while updates < 2 {
            if let ToClient::Update(update) = Self::receive(&mut frames, &host.address).await? {
                mirror.apply(update);
                updates += 1;
            }
        }
        let tasks = run(frames, queued, Arc::clone(&link), Arc::clone(&mirror), Arc::clone(&replies));
        let _tasks = AbortOnDropHandle::new(tokio::spawn(tasks));
        Ok(Self(Arc::new(Client { link, mirror, replies, clock, store_id, _tasks })))
    }

    async fn receive<T: DeserializeOwned>(
        frames: &mut Framed<impl AsyncRead + AsyncWrite + Unpin, tokio_util::codec::LengthDelimitedCodec>,
        address: &str,
    ) -> Result<T, ConnectError> {
        let failed = |error: &dyn std::fmt::Display| ConnectError::Failed(address.to_owned(), error.to_string());
        let frame = frames.next().await.ok_or_else(|| failed(&"it ended"))?.map_err(|error| failed(&error))?;
        decode(&frame).map_err(|error| failed(&error))
    }

    /// The same bus, whose overviews are always those of the engine.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) fn always_fresh(self) -> Self {
        self.0.link.be_always_fresh();
        self
    }

    /// Ends the connection without a word.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) fn cut_off(&self) {
        self.0.link.lose();
    }

    /// Waits until the connection is lost.
    pub(in crate::bus) async fn lost(&self) {
        self.0.link.lost().cancelled().await;
    }

    async fn change<T: DeserializeOwned>(&self, request: Request) -> Result<T, CommitError> {
        self.0.link.change(request).await
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, StoreError> {
        self.0.link.read(request).await
    }
}

/// Sends and receives until the connection ends, or nothing has come for some time.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    frames: Framed<S, tokio_util::codec::LengthDelimitedCodec>,
    mut queued: mpsc::UnboundedReceiver<ToServer>,
    link: Arc<Link>,
    mirror: Arc<Mirror>,
    replies: Arc<Replies>,
) {
    let (mut sink, mut stream) = frames.split();
    let sending = async {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let message = tokio::select! {
                message = queued.recv() => message,
                _ = heartbeat.tick() => Some(ToServer::Heartbeat),
            };
            if message.is_none() {
                return "it was closed".to_owned();
            }
            if let Err(reason) = send_all(&mut sink, message, || queued.try_recv().ok()).await {
                return reason;
            }
        }
    };
    let receiving = async {
        loop {
            match receive_next(&mut stream).await {
                Ok(message) => receive(message, &link, &mirror, &replies),
                Err(reason) => return reason,
            }
        }
    };
    let unclaimed = async {
        let mut interval = tokio::time::interval(UNCLAIMED_INTERVAL);
        loop {
            interval.tick().await;
            mirror.take_unclaimed().into_iter().for_each(|claim| link.post(ToServer::GiveBack { claim }));
        }
    };
    let reason: String = tokio::select! {
        reason = sending => reason,
        reason = receiving => reason,
        () = link.lost().cancelled() => "this host closed it".to_owned(),
        never = unclaimed => never,
    };
    tracing::debug!(reason, "the connection to the active host has ended");
    link.lose();
    mirror.reachability().send_replace(Reachability::Unreachable { reason });
    replies.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn receive(message: ToClient, link: &Link, mirror: &Mirror, replies: &Replies) {
    match message {
        ToClient::Answer { number, result } => link.answer(number, result.into()),
        ToClient::Delivery { feed, claim, delivery } => {
            if let Err(claim) = mirror.deliver(feed, claim, delivery) {
                link.post(ToServer::GiveBack { claim });
            }
        }
        ToClient::Reply { reply, logged } => {
            let waiting = replies.lock().unwrap_or_else(PoisonError::into_inner).remove(&reply);
            if let Some(sender) = waiting {
                // The client may have given up.
                drop(sender.send(logged));
            }
        }
        ToClient::Update(update) => {
            mirror.apply(update).into_iter().for_each(|claim| link.post(ToServer::GiveBack { claim }));
        }
        ToClient::Heartbeat => {}
        ToClient::Goodbye => {
            tracing::info!("the active host stops");
            link.finish();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.link.lose();
    }
}

impl EventLog for RemoteBus {
    fn publish(&self, events: Vec<Publish>) -> BoxFuture<'_, Result<Vec<PublishReceipt>, CommitError>> {
        Box::pin(self.change(Request::Publish(events)))
    }

    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(async move {
            if effects.is_empty() {
                return Ok(());
            }
            self.change(Request::Commit { plugin: plugin.to_owned(), effects: Box::new(effects) }).await
        })
    }

    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<PendingReply, CommitError> {
        let (sender, receiver) = oneshot::channel();
        let reply = self.0.link.next_number();
        let mut replies = self.0.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.retain(|number, sender| {
            let is_waiting = !sender.is_closed();
            if !is_waiting {
                self.0.link.post(ToServer::ForgetReply { reply: *number });
            }
            is_waiting
        });
        replies.insert(reply, sender);
        let event = Box::new(Event { data: None, ..event.clone() });
        // It arrives before the event, because the connection keeps the order.
        self.0.link.post(ToServer::ExpectReply { reply, event, pattern });
        Ok(PendingReply(receiver))
    }

    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> BoxFuture<'a, Result<bool, CommitError>> {
        Box::pin(self.change(Request::Cancel { source: source.to_owned(), id: id.to_owned() }))
    }

    fn scheduled(
        &self,
        after: Option<ScheduledCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ScheduledEvent>, StoreError>> {
        Box::pin(self.read(Request::Scheduled { after, limit }))
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<PluginSchedule>, StoreError>> {
        Box::pin(self.read(Request::Schedules))
    }

    fn head(&self) -> Position {
        self.0.link.refresh_for_test(None);
        self.0.mirror.head()
    }

    fn events(&self, before: Option<Position>, limit: usize) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(Request::Events { before, limit }))
    }

    fn events_with_id(&self, id: String) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(Request::EventsWithId(id)))
    }

    fn extent(&self) -> BoxFuture<'_, Result<StoreExtent, StoreError>> {
        Box::pin(self.read(Request::Extent))
    }

    fn compact(&self) -> BoxFuture<'_, Result<Compaction, CommitError>> {
        Box::pin(async {
            let Compacted { examined, deleted } = self.change(Request::Compact).await?;
            Ok(Compaction { examined, deleted })
        })
    }
}

impl Subscriptions for RemoteBus {
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> BoxFuture<'a, Result<Vec<SubscriptionId>, CommitError>> {
        let Declaration { subscriptions, schedules, limits } = declaration;
        let declaration = WireDeclaration {
            subscriptions,
            schedules,
            waiting_events: limits.waiting_events,
            log_bytes: limits.log_bytes,
        };
        Box::pin(self.change(Request::Declare { plugin: plugin.to_owned(), declaration: Box::new(declaration) }))
    }

    fn withdraw<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(self.change(Request::Withdraw { plugin: plugin.to_owned() }))
    }

    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(Request::Subscribe { id, definition: Box::new(definition), start }))
    }

    fn delete_subscription(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(Request::DeleteSubscription(id)))
    }

    fn pause(&self, id: SubscriptionId, paused: bool) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(Request::Pause { id, paused }))
    }

    fn retire(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(Request::Retire(id)))
    }

    fn hold_endpoint(&self, endpoint: String, hold: EndpointHold) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let request = Request::HoldEndpoint { endpoint: endpoint.clone(), hold: hold.clone() };
            self.change::<()>(request).await?;
            self.0.mirror.note_hold(endpoint, hold);
            Ok(())
        })
    }

    fn endpoint_hold(&self, endpoint: &str) -> Option<EndpointHold> {
        self.0.mirror.hold(endpoint, self.0.clock.now())
    }

    fn replay(&self, id: SubscriptionId, scope: ReplayScope) -> BoxFuture<'_, Result<Replay, CommitError>> {
        Box::pin(self.change(Request::Replay { id, scope: Box::new(scope) }))
    }

    fn stop_replays(&self, id: SubscriptionId) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(Request::StopReplays(id)))
    }

    fn retry_now(&self, filter: DeliveryFilter) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(Request::RetryNow(filter)))
    }

    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> BoxFuture<'a, Result<(), CommitError>> {
        Box::pin(self.change(Request::Drain { plugin: plugin.to_owned(), drained }))
    }

    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.mirror.catalogue()
    }

    fn feed(&self, feed: FeedId) -> Option<Arc<dyn SubscriptionFeed>> {
        let mirror = self.0.mirror.feed(feed)?;
        Some(Arc::new(RemoteFeed::new(Arc::clone(&self.0.link), mirror)))
    }

    fn oldest_unhandled(&self) -> BoxFuture<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>> {
        Box::pin(async {
            let oldest: Vec<(FeedId, Timestamp)> = self.read(Request::OldestUnhandled).await?;
            Ok(oldest.into_iter().collect())
        })
    }
}

impl DeadLetters for RemoteBus {
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(Request::Redrive { filter, limit }))
    }

    fn redrive_edited(&self, number: DeadLetterId, data: Vec<u8>) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(Request::RedriveEdited { number, data }))
    }

    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>> {
        Box::pin(self.change(Request::DropDeadLetters { filter, limit }))
    }

    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(self.read(Request::DeadLetters { filter, after, limit }))
    }

    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.read(Request::CountDeadLetters(filter)))
    }

    fn dead_letter_groups(
        &self,
        filter: DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, StoreError>> {
        Box::pin(self.read(Request::DeadLetterGroups { filter, status, limit }))
    }

    fn set_group_status(
        &self,
        member: DeadLetterId,
        status: GroupStatus,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.change(Request::SetGroupStatus { member, status, by }))
    }

    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>> {
        Box::pin(async {
            let counts: Vec<(SubscriptionId, u64)> = self.read(Request::DeadLetterCounts).await?;
            Ok(counts.into_iter().collect())
        })
    }
}

impl PluginState for RemoteBus {
    fn state(&self, plugin: &str) -> Box<dyn StateView> {
        Box::new(RemoteState::new(Arc::clone(&self.0.link), plugin.to_owned()))
    }
}

impl Inspection for RemoteBus {
    fn events_in_tree(
        &self,
        tree: CauseTreeId,
        after: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>> {
        Box::pin(self.read(Request::EventsInTree { tree, after, limit }))
    }

    fn deliveries_of(&self, event: Position) -> BoxFuture<'_, Result<Vec<DeliveryReport>, StoreError>> {
        Box::pin(self.read(Request::DeliveriesOf(event)))
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        kind: Option<DeliveryStateKind>,
        after: Option<DeliveryCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, StoreError>> {
        Box::pin(self.read(Request::Deliveries { filter, kind, after, limit }))
    }

    fn search_events(
        &self,
        filter: EventFilter,
        before: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'_, Result<EventPage, StoreError>> {
        Box::pin(self.read(Request::SearchEvents { filter, before, limit }))
    }
}

impl Lifecycle for RemoteBus {
    fn reachable(&self) -> watch::Receiver<Reachability> {
        self.0.mirror.reachability().subscribe()
    }

    /// The limits are those of the host that runs the engine.
    fn set_limits(&self, _: &Settings) {}

    fn store_id(&self) -> u64 {
        self.0.store_id
    }

    /// Never ends: after a lost connection, another host takes over.
    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(std::future::pending())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.link.post(ToServer::Goodbye);
            // The other host ends the connection.
            drop(tokio::time::timeout(GOODBYE_TIME, self.lost()).await);
            self.0.link.lose();
        })
    }
}
