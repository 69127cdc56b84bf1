//! The bus: a durable log of events, subscriptions with their cursors, retries, dead letters and
//! schedules, and the plugins' state.
//!
//! [`Bus`] says what every bus does; [`Embedded`] is the one that needs nothing installed. Its meaning is
//! written down as tests, in `suite`, which every implementation passes. The bus calls nobody: who wants a
//! delivery waits for it.

mod attempt;
mod catalogue;
mod counters;
mod dead_letter;
mod delivery;
mod embedded;
mod error;
mod group_commit;
mod holds;
mod ids;
mod replies;
mod store_url;
#[cfg(test)]
mod suite;
mod window;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Formatter};
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, Logged, Position};
use crate::outcome::{Effects, Publish, StateView};
use crate::pattern::Pattern;
use crate::schedule::Schedule;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};
pub use attempt::{AttemptRecord, Settlement};
pub use catalogue::{Catalogue, FeedEntry};
pub use dead_letter::{DeadLetter, DeadLetterFilter, FailedAttempt};
pub use delivery::{Claim, Delivery, DeliveryKind, HeldBack, Open, OpenThen, Overview, ReplayOverview, Settled, Then};
pub use embedded::Embedded;
pub use error::{CommitError, OpenError, OpenErrorKind, ProducerLimit, Reachability, StoreError, StoreErrorKind};
pub use ids::{DeadLetterId, FeedId};
pub use store_url::{StoreUrl, StoreUrlError};

/// What a method of the bus returns: the traits are used as objects, whose methods cannot be `async`.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a bus keeps, and how much of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many deliveries may wait for a subscription that says nothing else, before publishers are told
    /// to come back later.
    pub max_backlog: Option<u64>,
    /// How many bytes the events of the log may have, before publishers are told to come back later.
    pub max_log_bytes: Option<u64>,
    /// How many events of one plugin may wait, dead letters and delayed ones among them, before its handlers may not
    /// publish.
    pub max_plugin_backlog: u64,
    /// How many bytes the events of one plugin may have, before its handlers may not publish; half of what the log may
    /// have where nothing is said.
    pub max_plugin_log_bytes: Option<u64>,
    /// How many events of one producer from outside may wait for their time, before it is told to come back later.
    pub max_producer_delayed: u64,
    /// How many bytes the events of one producer from outside may have, before it is told to come back later; half of
    /// what the log may have where nothing is said.
    pub max_producer_log_bytes: Option<u64>,
    /// How many types the events of the log may have.
    pub max_types: usize,
    /// Which events are deleted.
    pub retention: Retention,
    /// Whether the ids of published events are the same in every store, and so can be foretold. Only for a store that
    /// nobody else publishes into, as that of a scenario.
    pub repeatable_ids: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_backlog: None,
            max_log_bytes: None,
            max_plugin_backlog: 100_000,
            max_plugin_log_bytes: None,
            max_producer_delayed: 100_000,
            max_producer_log_bytes: None,
            max_types: 10_000,
            retention: Retention::default(),
            repeatable_ids: false,
        }
    }
}

impl Settings {
    /// How many bytes the events of one plugin may have, if that is limited.
    #[must_use]
    pub fn plugin_log_bytes(&self) -> Option<u64> {
        self.max_plugin_log_bytes.or(self.max_log_bytes.map(|all| all / 2))
    }

    /// How many bytes the events of one producer from outside may have, if that is limited.
    #[must_use]
    pub fn producer_log_bytes(&self) -> Option<u64> {
        self.max_producer_log_bytes.or(self.max_log_bytes.map(|all| all / 2))
    }
}

/// Which events are deleted. Without a rule all are kept.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Those that were stored so long ago.
    pub max_age: Option<Duration>,
    /// The oldest ones, while the log has more bytes than this.
    pub max_bytes: Option<u64>,
    /// Whether they are deleted even if a subscription has not handled them yet. Those that wait for
    /// another attempt, and dead letters, stay in any case.
    pub past_cursors: bool,
}

impl Retention {
    /// Whether anything is ever deleted.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max_age.is_some() || self.max_bytes.is_some()
    }
}

/// A publisher's receipt: the event is durable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// The event's id.
    pub id: String,
    /// Whether an event with its source and id was there already, so that this one was not stored again.
    pub duplicate: bool,
}

/// A place in the list of events that enter the log later: behind one of them. Written as `MILLISECONDS-NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledCursor {
    /// When that event is due.
    pub due: Timestamp,
    /// What orders events that are due at the same time.
    pub number: i64,
}

impl Display for ScheduledCursor {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.due.0, self.number)
    }
}

impl FromStr for ScheduledCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts = text.split_once('-').and_then(|(due, number)| Some((due.parse().ok()?, number.parse().ok()?)));
        // Times in the store are signed.
        let parts = parts.filter(|(due, _)| i64::try_from(*due).is_ok());
        parts.map(|(due, number)| Self { due: Timestamp(due), number }).ok_or_else(|| CursorError(text.to_owned()))
    }
}

/// A text is not the cursor of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor of this list; pass the `next` of the page before")]
pub struct CursorError(String);

/// An event that enters the log later.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Its place in the list.
    pub cursor: ScheduledCursor,
    /// When.
    pub due: Timestamp,
    /// The event.
    pub event: Event,
}

/// A schedule that a plugin declares.
#[derive(Clone, Debug)]
pub struct Scheduling {
    /// The plugin.
    pub plugin: String,
    /// Its name there.
    pub name: String,
    /// Its rules.
    pub schedule: Schedule,
    /// When it is due again; none if never, or if the plugin no longer declares it.
    pub next: Option<Timestamp>,
}

/// A replay that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Replay {
    /// Its feed; none if there was nothing to replay.
    pub number: Option<FeedId>,
    /// How many events it has.
    pub events: u64,
}

/// Waits for a reply that was asked for before it could come.
#[derive(Debug)]
pub struct Reply(tokio::sync::oneshot::Receiver<Logged>);

impl Reply {
    /// Waits for the reply. None if the bus closes before it comes. It waits as long as it takes.
    pub async fn wait(self) -> Option<Logged> {
        self.0.await.ok()
    }
}

/// A bus, as those hold it who use it.
pub type SharedBus = Arc<dyn Bus>;

/// Opens the bus that an address selects, for a host with a data directory. Must be called in a tokio runtime.
///
/// # Errors
/// If the store cannot be reached or used.
pub fn open(url: &StoreUrl, data: &Path, clock: Clock, settings: Settings) -> Result<SharedBus, OpenError> {
    match url {
        StoreUrl::Directory(directory) => {
            Ok(Arc::new(Embedded::open(&StoreUrl::resolve(directory, data), clock, settings)?))
        }
    }
}

/// A durable event bus.
///
/// What every method promises: when it returns `Ok`, the change is durable; when it returns an error,
/// nothing of it has happened, unless it says otherwise.
pub trait Bus: Debug + Send + Sync + 'static {
    /// Publishes events, if there is room for all of them. An event whose source and id are in the log, or wait to
    /// enter it, is not stored again. Many are committed in parts, in their order: where the store fails in between,
    /// those before stay, and whoever publishes all of them again finds them to be duplicates.
    ///
    /// # Errors
    /// [`CommitError::Busy`], [`CommitError::BacklogFull`], [`CommitError::ProducerFull`] or [`CommitError::LogFull`] if there is no room
    /// for it now; otherwise if the store refuses.
    fn publish(&self, events: Vec<Publish>) -> Answer<'_, Result<Vec<Accepted>, CommitError>>;

    /// Commits the effects of an invocation that handles no delivery. There must be room for what it
    /// publishes, as with [`Bus::publish`].
    ///
    /// # Errors
    /// [`CommitError::Conflict`] if the invocation must run again; otherwise if the store refuses.
    fn commit<'a>(&'a self, plugin: &'a str, effects: Effects) -> Answer<'a, Result<(), CommitError>>;

    /// Begins to wait for a reply to an event: the first other one that matches the pattern, in the flow that
    /// the event begins or belongs to, and that enters the log from now on.
    ///
    /// # Errors
    /// [`CommitError::Busy`] if too many wait already.
    fn expect_reply(&self, event: &Event, pattern: Pattern) -> Result<Reply, CommitError>;

    /// Takes back an event that was to enter the log later. Returns whether it was there.
    ///
    /// # Errors
    /// If the store refuses.
    fn cancel<'a>(&'a self, source: &'a str, id: &'a str) -> Answer<'a, Result<bool, CommitError>>;

    /// Events that enter the log later, the next one first: those after a cursor, or the first ones without it.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scheduled(&self, after: Option<ScheduledCursor>, limit: usize)
    -> Answer<'_, Result<Vec<Scheduled>, StoreError>>;

    /// The schedules that plugins declare.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn schedules(&self) -> Answer<'_, Result<Vec<Scheduling>, StoreError>>;

    /// Takes over what a plugin's generation declares. Subscriptions that it no longer declares are paused,
    /// kept and returned; schedules that it no longer declares end. Those that it declares publish as long as this bus
    /// is open and the plugin is not withdrawn; when it is declared the next time, what they have missed is treated as
    /// they say.
    ///
    /// # Errors
    /// If the store refuses.
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> Answer<'a, Result<Vec<SubscriptionId>, CommitError>>;

    /// Lets the schedules of a plugin that no longer runs rest until it is declared again.
    ///
    /// # Errors
    /// If the store refuses.
    fn withdraw<'a>(&'a self, plugin: &'a str) -> Answer<'a, Result<(), CommitError>>;

    /// Makes a subscription, or gives the one of this name new rules.
    ///
    /// # Errors
    /// If the store refuses.
    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> Answer<'_, Result<(), CommitError>>;

    /// Deletes a subscription with its backlog, its replays and its dead letters.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    fn delete_subscription(&self, id: SubscriptionId) -> Answer<'_, Result<(), CommitError>>;

    /// Stops a subscription's deliveries, or lets them go on, also if its endpoint stopped them or holds them back.
    /// Those in flight come to their end.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    fn pause(&self, id: SubscriptionId, paused: bool) -> Answer<'_, Result<(), CommitError>>;

    /// Stops a subscription's deliveries because its endpoint wants none any more. They go on when it is resumed, or gets
    /// another endpoint.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    fn retire(&self, id: SubscriptionId) -> Answer<'_, Result<(), CommitError>>;

    /// Delivers nothing to an endpoint, by its address, until a time: of no subscription, and not after a restart
    /// either.
    ///
    /// # Errors
    /// If the store refuses.
    fn hold_back(&self, endpoint: String, hold: HeldBack) -> Answer<'_, Result<(), CommitError>>;

    /// Whether an endpoint is held back now.
    fn held_back(&self, endpoint: &str) -> Option<HeldBack>;

    /// Delivers history once more: the events from `start` up to the subscription's cursor, marked as
    /// replayed, beside the live ones, and at most so many in a second.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn replay(
        &self,
        id: SubscriptionId,
        start: Start,
        per_second: Option<NonZeroU32>,
    ) -> Answer<'_, Result<Replay, CommitError>>;

    /// Ends a subscription's replays. Returns how many there were.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn stop_replays(&self, id: SubscriptionId) -> Answer<'_, Result<usize, CommitError>>;

    /// Marks a plugin as drained, or no longer: nothing is delivered to one that is.
    ///
    /// # Errors
    /// If the store refuses.
    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> Answer<'a, Result<(), CommitError>>;

    /// Turns dead letters into deliveries again, in order, at most `limit`, and returns how many.
    ///
    /// # Errors
    /// If the store refuses.
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> Answer<'_, Result<usize, CommitError>>;

    /// Deletes dead letters, at most `limit`, and returns how many.
    ///
    /// # Errors
    /// If the store refuses.
    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> Answer<'_, Result<usize, CommitError>>;

    /// Dead letters in the order in which they died: those after one of them, or the first ones.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> Answer<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// How many dead letters there are.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn count_dead_letters(&self, filter: DeadLetterFilter) -> Answer<'_, Result<u64, StoreError>>;

    /// How many dead letters each subscription has, those of its replays among them. One without any is left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letter_counts(&self) -> Answer<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>>;

    /// Deletes events by the retention's rules, a bounded number at a time. Returns how many; zero means
    /// that there are none to delete now. The bus does so by itself from time to time.
    ///
    /// # Errors
    /// If the store refuses.
    fn compact(&self) -> Answer<'_, Result<usize, CommitError>>;

    /// A plugin's state as of the first read.
    fn state(&self, plugin: &str) -> Box<dyn StateView>;

    /// The subscriptions that there are, with their rules, and what is drained. A change is there before the call that
    /// made it returns.
    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>>;

    /// Whether nothing is delivered to a plugin now.
    fn is_drained(&self, plugin: &str) -> bool {
        self.catalogue().borrow().drained.contains(plugin)
    }

    /// A feed of the catalogue, from which deliveries are claimed. None if it is gone.
    fn feed(&self, feed: FeedId) -> Option<Arc<dyn Subscribed>>;

    /// When the oldest event was stored that a subscription or replay has neither handled nor buried, whatever it waits
    /// for: its turn, a retry, an ordering key that a dead letter parks, a plugin that does not run. A feed
    /// without a backlog is left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn oldest_unhandled(&self) -> Answer<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>>;

    /// The position of the newest event.
    fn head(&self) -> Position;

    /// The newest events, newest first: those before a position, or the very newest.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events(&self, before: Option<Position>, limit: usize) -> Answer<'_, Result<Vec<Logged>, StoreError>>;

    /// The events with an id; sources may share one.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn events_with_id(&self, id: String) -> Answer<'_, Result<Vec<Logged>, StoreError>>;

    /// Whether the store can be reached, for readiness and metrics. It changes both ways while the host runs, also when
    /// nobody asks anything of the bus; a change may show up to a second late.
    fn reachable(&self) -> watch::Receiver<Reachability>;

    /// Waits for the store to fail for good, and returns why. After that nothing is acknowledged any more, and the
    /// process must end: nobody knows what the store holds. An outage that passes is not a failure: see
    /// [`Bus::reachable`].
    fn failed(&self) -> Answer<'_, String>;

    /// Commits what waits, and ends.
    fn close(&self) -> Answer<'_, ()>;
}

/// A subscription, or a replay of one, from which deliveries are claimed. There is one claimer at a time.
pub trait Subscribed: Debug + Send + Sync {
    /// Its name as a feed, which no other subscription or replay ever gets.
    fn feed_id(&self) -> FeedId;

    /// Its identity; a replay's is its subscription's.
    fn id(&self) -> &SubscriptionId;

    /// Its rules.
    fn definition(&self) -> Arc<Definition>;

    /// Whether it is gone.
    fn is_deleted(&self) -> bool;

    /// What it looks like from outside.
    fn overview(&self) -> Overview;

    /// Waits for a delivery and claims it. Nothing is lost or repeated if the wait is given up, nor if the
    /// claim is dropped without being settled: then it is delivered again as the same attempt.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn claim(&self) -> Answer<'_, Result<Claim, StoreError>>;

    /// Claims a delivery if one is at hand.
    fn try_claim(&self) -> Option<Claim>;
}
