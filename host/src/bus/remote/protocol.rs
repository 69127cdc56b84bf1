//! The messages between two hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::{
    DeadLetterFilter, DeadLetterId, Delivery, DeliveryCursor, DeliveryFilter, DeliveryStateKind, EndpointHold,
    EventFilter, FeedEntry, FeedId, GroupStatus, Overview, Reachability, ReplayScope, ScheduledCursor, StoreError,
    StoreErrorKind,
};
use crate::clock::Timestamp;
use crate::event::{CauseTreeId, Event, LoggedEvent, Position};
use crate::outcome::{Effects, Publish, StateRead};
use crate::pattern::Pattern;
use crate::retry::Verdict;
use crate::schedule::Schedule;
use crate::subscription::{Definition, Start, SubscriptionId};

/// Identifies the protocol. Hosts of different versions of Sandbus do not work together; the older ones stand by.
pub(super) const VERSION: &str = concat!("sandbus/", env!("CARGO_PKG_VERSION"), "/1");

/// How often a host sends something, so that the other one knows that it is alive.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a host may be silent before the other one ends the connection. Shorter than a lease: a host that is cut off
/// ends its handlers before another one can take over.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The first message of the host that connects.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: String,
    /// The token that the engine's host has published in the store.
    pub(super) token: Vec<u8>,
    /// The name of the host, for people.
    pub(super) host: String,
}

/// The answer to [`Hello`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Welcome {
    Accepted { store_id: u64 },
    Refused(String),
}

/// Numbers a call, a claim, a reply or a view of the state within a connection.
pub(super) type Number = u64;

/// A message to the engine's host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToServer {
    /// Asks for an answer.
    Call { number: Number, request: Request },
    /// Asks for this many more deliveries of a feed.
    Grant { feed: FeedId, credits: u32 },
    /// Takes all credits for a feed back. Deliveries that are on their way stay claimed.
    Revoke { feed: FeedId },
    /// Gives a claim back.
    GiveBack { claim: Number },
    /// Expects a reply to an event, which is sent without its data.
    ExpectReply { reply: Number, event: Box<Event>, pattern: Pattern },
    /// Forgets a reply.
    ForgetReply { reply: Number },
    /// Ends a view of a plugin's state.
    CloseState { view: Number },
    /// Nothing. The host is alive.
    Heartbeat,
    /// The host stops, and takes no more deliveries.
    Goodbye,
}

/// A message from the engine's host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToClient {
    /// The answer to a call: a `Result` in the encoding of the messages.
    Answer { number: Number, result: Vec<u8> },
    /// A claimed delivery.
    Delivery { feed: FeedId, claim: Number, delivery: Arc<Delivery> },
    /// A reply that was expected.
    Reply { reply: Number, logged: LoggedEvent },
    /// What has changed in the engine's memory.
    Update(Update),
    /// Nothing. The host is alive.
    Heartbeat,
    /// The engine's host stops, and makes no more deliveries.
    Goodbye,
}

/// A change in the engine's memory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Update {
    /// New and changed feeds, and those that are gone.
    Catalogue { changed: Vec<Arc<FeedEntry>>, gone: Vec<FeedId>, drained: Option<BTreeSet<String>> },
    /// The progress of feeds.
    Progress { head: Position, feeds: Vec<(FeedId, Progress)> },
    /// Whether the store can be reached.
    Reachability(Reachability),
}

/// The part of an [`Overview`] that changes with each delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) as_of: Timestamp,
    paused: Option<String>,
    pub(super) endpoint_hold: Option<EndpointHold>,
    cursor: Position,
    backlog: u64,
    in_flight: usize,
    committing: usize,
    parked_keys: usize,
    expired: u64,
    next_due: Option<Timestamp>,
}

impl Default for Progress {
    /// The progress of a feed before its first update.
    fn default() -> Self {
        Self {
            as_of: Timestamp(0),
            paused: None,
            endpoint_hold: None,
            cursor: Position(0),
            backlog: 0,
            in_flight: 0,
            committing: 0,
            parked_keys: 0,
            expired: 0,
            next_due: None,
        }
    }
}

impl Progress {
    /// The progress in an overview.
    pub(super) fn of(overview: Overview) -> Self {
        let Overview { as_of, paused, endpoint_hold, cursor, backlog, in_flight, committing, .. } = overview;
        let Overview { parked_keys, expired, next_due, .. } = overview;
        Self { as_of, paused, endpoint_hold, cursor, backlog, in_flight, committing, parked_keys, expired, next_due }
    }

    /// Whether nothing has changed but the time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        *self == Self { as_of: self.as_of, ..other.clone() }
    }

    /// The feed is gone, with all that waited in it.
    pub(super) fn clear(&mut self) {
        (self.backlog, self.in_flight, self.committing, self.next_due) = (0, 0, 0, None);
    }

    /// The overview of a feed with this progress.
    pub(super) fn overview(self, entry: &FeedEntry, definition: Arc<Definition>) -> Overview {
        let Self { as_of, paused, endpoint_hold, cursor, backlog, in_flight, committing, .. } = self;
        let Self { parked_keys, expired, next_due, .. } = self;
        Overview {
            as_of,
            id: entry.id.clone(),
            dynamic: entry.dynamic,
            definition,
            paused,
            endpoint_hold,
            cursor,
            backlog,
            in_flight,
            committing,
            parked_keys,
            expired,
            next_due,
            replay: entry.replay,
        }
    }
}

/// The settlement of a claim. The engine's host has the delivery, and the other host keeps the rest of the record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Settled {
    pub(super) claim: Number,
    pub(super) verdict: Verdict,
    pub(super) digest: Option<Arc<str>>,
    pub(super) took: Duration,
    pub(super) effects: Option<(Arc<str>, Effects)>,
}

/// A method of the contract with its arguments. Its comment is the type of its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    // Changes: the error is a `CommitError`.
    /// `SettledStatus`
    Settle(Box<Settled>),
    /// `Vec<PublishReceipt>`
    Publish(Vec<Publish>),
    /// `()`
    Commit { plugin: String, effects: Box<Effects> },
    /// `bool`
    Cancel { source: String, id: String },
    /// `()`
    Subscribe { id: SubscriptionId, definition: Box<Definition>, start: Start },
    /// `()`
    DeleteSubscription(SubscriptionId),
    /// `()`
    Pause { id: SubscriptionId, paused: bool },
    /// `()`
    Retire(SubscriptionId),
    /// `()`
    HoldEndpoint { endpoint: String, hold: EndpointHold },
    /// `Replay`
    Replay { id: SubscriptionId, scope: Box<ReplayScope> },
    /// `usize`
    StopReplays(SubscriptionId),
    /// `usize`
    RetryNow(DeliveryFilter),
    /// `()`
    Drain { plugin: String, drained: bool },
    /// `Vec<SubscriptionId>`
    Declare { plugin: String, declaration: Box<WireDeclaration> },
    /// `()`
    Withdraw { plugin: String },
    /// `Compacted`
    Compact,
    /// `usize`
    Redrive { filter: DeadLetterFilter, limit: usize },
    /// `()`
    RedriveEdited { number: DeadLetterId, data: Vec<u8> },
    /// `usize`
    DropDeadLetters { filter: DeadLetterFilter, limit: usize },
    /// `()`
    SetGroupStatus { member: DeadLetterId, status: GroupStatus, by: String },

    // Reads: the error is a `ReadFailure`.
    /// `Vec<ScheduledEvent>`
    Scheduled { after: Option<ScheduledCursor>, limit: usize },
    /// `Vec<PluginSchedule>`
    Schedules,
    /// `Vec<LoggedEvent>`
    Events { before: Option<Position>, limit: usize },
    /// `Vec<LoggedEvent>`
    EventsWithId(String),
    /// `StoreExtent`
    Extent,
    /// `Vec<(FeedId, Timestamp)>`
    OldestUnhandled,
    /// `Vec<DeadLetter>`
    DeadLetters { filter: DeadLetterFilter, after: Option<DeadLetterId>, limit: usize },
    /// `u64`
    CountDeadLetters(DeadLetterFilter),
    /// `Vec<DeadLetterGroup>`
    DeadLetterGroups { filter: DeadLetterFilter, status: Option<GroupStatus>, limit: usize },
    /// `Vec<(SubscriptionId, u64)>`
    DeadLetterCounts,
    /// `Vec<LoggedEvent>`
    EventsInTree { tree: CauseTreeId, after: Option<Position>, limit: usize },
    /// `Vec<DeliveryReport>`
    DeliveriesOf(Position),
    /// `DeliveryPage`
    Deliveries { filter: DeliveryFilter, kind: Option<DeliveryStateKind>, after: Option<DeliveryCursor>, limit: usize },
    /// `EventPage`
    SearchEvents { filter: EventFilter, before: Option<Position>, limit: usize },
    /// Sends the updates of the catalogue and of one feed, or of all, before its answer, which is `()`.
    Refresh(Option<FeedId>),

    // A plugin's state: the error is a `StateError`, or a `SequenceError`.
    /// Reads in a view, which begins with its first read.
    State { view: Number, plugin: String, read: StateRequest },
    /// `u64`
    Draw { plugin: String, sequence: String },
}

impl Request {
    /// Whether a handler that runs already needs the call to end.
    pub(super) fn ends_work(&self) -> bool {
        matches!(self, Self::Settle(_) | Self::State { .. } | Self::Draw { .. })
    }
}

/// A read of a plugin's state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum StateRequest {
    /// `(Option<Vec<u8>>, Version)`
    Get(String),
    /// `(Vec<String>, Listing)`
    Keys { after: Option<String>, limit: usize },
    /// `Position`
    ChangedUpTo(StateRead),
    /// `u64`
    Unreserved(String),
}

/// A plugin's declaration.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireDeclaration {
    pub(super) subscriptions: Vec<(String, Definition, Start)>,
    pub(super) schedules: Vec<(String, Schedule)>,
    pub(super) waiting_events: Option<u64>,
    pub(super) log_bytes: Option<u64>,
}

/// A step of the deletion of old events.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Compacted {
    pub(super) examined: usize,
    pub(super) deleted: usize,
}

/// A read that failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReadFailure {
    kind: StoreErrorKind,
    message: String,
}

impl From<StoreError> for ReadFailure {
    fn from(error: StoreError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl From<ReadFailure> for StoreError {
    fn from(ReadFailure { kind, message }: ReadFailure) -> Self {
        Self::new(kind, message)
    }
}
