//! The bus: a durable log of events, subscriptions with their cursors, retries, dead letters, schedules, and the
//! plugins' state.
//!
//! [`contract`] defines what every bus promises, and `conformance` tests it. `engine` keeps these promises on a store
//! of rows and transactions. There are two stores: `embedded` is an SQLite file, and `postgres` is a schema of a
//! database.

mod attempt;
mod catalogue;
mod claim;
mod cluster;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod contract;
mod counters;
mod crash_point;
mod dead_letter;
mod delivery;
mod embedded;
mod endpoint_holds;
mod engine;
mod error;
mod extent;
mod failure_watch;
mod future;
mod group_commit;
mod host_name;
mod ids;
mod inspection;
mod lease_wait;
mod migration;
mod notification;
mod overview;
mod postgres;
mod remote;
mod replay_scope;
mod reply_waiters;
mod store_url;
mod transfer;
mod window;

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use self::cluster::ClusterBus;
use self::postgres::ClusterSchema;
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, LoggedEvent};
use crate::schedule::Schedule;
pub use attempt::{AttemptRecord, Settlement};
pub use catalogue::{Catalogue, FeedEntry};
pub use claim::{Claim, ClaimHandle, OnHandleSettled, OnSettled, settle_in_task};
pub use cluster::Membership;
pub use contract::{
    Bus, DeadLetters, EventLog, IGNORED_DAYS, Inspection, Lifecycle, PluginState, SharedBus, SubscriptionFeed,
    Subscriptions,
};
pub use crash_point::{CommitMoment, Crash, CrashPoint};
pub use dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterGroup, FailedAttempt, FailureKind, GroupStatus};
pub use delivery::{Delivery, DeliveryKind, SettledStatus};
#[cfg(any(test, feature = "conformance"))]
pub use embedded::EmbeddedFixture;
pub use embedded::{
    StoreCopy, check_store_copy, copy_closed_store, copy_store, has_store, new_copy_file, open as open_embedded,
};
pub use engine::DurableBus;
pub use error::{CommitError, OpenError, OpenErrorKind, ProducerLimit, Reachability, StoreError, StoreErrorKind};
pub use extent::{EventPlace, StoreExtent};
pub use future::BoxFuture;
pub use ids::{DeadLetterId, FeedId};
pub use inspection::{
    DeliveryCursor, DeliveryFilter, DeliveryPage, DeliveryReport, DeliveryState, DeliveryStateKind, EventFilter,
    EventPage,
};
pub use lease_wait::LeaseWait;
pub use migration::{CopiedTable, MigrationError, migrate};
pub use notification::DEAD_LETTER_TYPE;
pub use overview::{EndpointHold, Overview, ReplayOverview};
pub use postgres::{PluginFileRow, PluginFiles, PostgresUrl, PostgresUrlError};
#[cfg(any(test, feature = "conformance"))]
pub use remote::RemoteFixture;
pub use replay_scope::{ReplayEnd, ReplayScope};
pub use store_url::{StoreUrl, StoreUrlError};
pub use window::NO_LONGER_DECLARED;

/// The limits and the retention of a bus.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The backlog at which publishers are refused, for subscriptions that do not set their own limit.
    pub max_backlog: Option<u64>,
    /// The size of the log, in bytes, at which publishers are refused.
    pub max_log_bytes: Option<u64>,
    /// The number of unhandled deliveries of a plugin's events at which its handlers can no longer publish. Dead
    /// letters and delayed events count, too.
    pub max_plugin_backlog: u64,
    /// The size of a plugin's events, in bytes, at which its handlers can no longer publish. Defaults to half of
    /// `max_log_bytes`.
    pub max_plugin_log_bytes: Option<u64>,
    /// The maximum number of delayed events of one producer. Further ones are refused.
    pub max_producer_delayed: u64,
    /// The size of a producer's events, in bytes, at which its further events are refused. Defaults to half of
    /// `max_log_bytes`.
    pub max_producer_log_bytes: Option<u64>,
    /// The maximum number of event types in the log.
    pub max_types: usize,
    /// Which events are deleted.
    pub retention: Retention,
    /// Whether the ids of published events are the same in every store, and therefore predictable. Only for a store
    /// that nobody else publishes to, such as a scenario's.
    pub repeatable_ids: bool,
    /// Where the bus crashes. Only for scenarios.
    pub crash_point: Option<Arc<CrashPoint>>,
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
            crash_point: None,
        }
    }
}

impl Settings {
    /// These settings with the limits and the retention of others.
    fn with_limits_of(&self, others: &Self) -> Self {
        Self { repeatable_ids: self.repeatable_ids, crash_point: self.crash_point.clone(), ..others.clone() }
    }

    /// The limit on the size of one plugin's events, if there is one.
    #[must_use]
    pub fn plugin_log_bytes(&self) -> Option<u64> {
        self.max_plugin_log_bytes.or(self.max_log_bytes.map(|all| all / 2))
    }

    /// The limit on the size of one producer's events, if there is one.
    #[must_use]
    pub fn producer_log_bytes(&self) -> Option<u64> {
        self.max_producer_log_bytes.or(self.max_log_bytes.map(|all| all / 2))
    }
}

/// Which events are deleted. Without a rule, all of them are kept.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Delete events that were stored longer ago than this.
    pub max_age: Option<Duration>,
    /// Delete the oldest events while the log is larger than this.
    pub max_bytes: Option<u64>,
    /// Whether events are deleted even if a subscription has not handled them. Events with a pending retry and dead
    /// letters are kept in any case.
    pub delete_unhandled: bool,
}

impl Retention {
    /// Whether any events are ever deleted.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max_age.is_some() || self.max_bytes.is_some()
    }
}

/// A publisher's receipt: the event is durable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PublishReceipt {
    /// The event's id.
    pub id: String,
    /// Whether an event with this source and id was already stored. This one was not stored again.
    pub duplicate: bool,
}

/// A step of the deletion of old events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// The number of events that the step examined. Some may stay, because deliveries or dead letters need them.
    pub examined: usize,
    /// The number of events that it deleted.
    pub deleted: usize,
}

/// A position in the list of scheduled events, after one of them. Written as `MILLISECONDS-NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ScheduledCursor {
    /// When that event is due.
    pub due: Timestamp,
    /// Orders events that are due at the same time.
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

/// The error for a text that is not a cursor of the list of scheduled events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor of this list; pass the `next` of the previous page")]
pub struct CursorError(String);

/// An event that enters the log later.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ScheduledEvent {
    /// Its position in the list of scheduled events.
    pub cursor: ScheduledCursor,
    /// When it is due.
    pub due: Timestamp,
    /// The event.
    pub event: Event,
}

/// A schedule that a plugin declares.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PluginSchedule {
    /// The plugin.
    pub plugin: String,
    /// The schedule's name, unique within its plugin.
    pub name: String,
    /// The schedule.
    pub schedule: Schedule,
    /// When it is due next. None if it never is, or if the plugin no longer declares it.
    pub next: Option<Timestamp>,
}

/// A replay that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Replay {
    /// The replay's feed. None if there was nothing to replay.
    pub feed: Option<FeedId>,
    /// The number of events to replay.
    pub events: u64,
}

/// A reply that has been requested, and may arrive later.
#[derive(Debug)]
pub struct PendingReply(tokio::sync::oneshot::Receiver<LoggedEvent>);

impl PendingReply {
    /// Waits for the reply, without a time limit. None if the bus closes first.
    pub async fn wait(self) -> Option<LoggedEvent> {
        self.0.await.ok()
    }
}

/// How long a cancelled wait may take to end.
const CANCEL_GRACE_PERIOD: Duration = Duration::from_secs(3);

/// Opens the bus that a URL selects, for a host with a data directory. A host with a membership shares the work of the
/// other hosts. Must be called in a tokio runtime.
///
/// # Errors
/// If the store cannot be reached or used, or the wait for another host's lease is cancelled.
pub async fn open(
    url: &StoreUrl,
    data: &Path,
    clock: Clock,
    settings: Settings,
    wait: LeaseWait,
    membership: Option<Membership>,
) -> Result<SharedBus, OpenError> {
    match (url, membership) {
        (StoreUrl::Postgres(url), Some(membership)) => {
            let store = Arc::new(ClusterSchema::new(url, data, clock.clone()));
            let cancelled = wait.cancelled();
            let open = Box::pin(ClusterBus::open(store, membership, clock, settings));
            match cancelled.run_until_cancelled(open).await {
                Some(opened) => Ok(Arc::new(opened?)),
                None => Err(OpenError::new(OpenErrorKind::Cancelled, "the host was stopped")),
            }
        }
        (StoreUrl::Directory(directory), _) => {
            Ok(Arc::new(open_embedded(&StoreUrl::resolve(directory, data), clock, settings)?))
        }
        (StoreUrl::Postgres(url), None) => {
            let (url, data, cancelled) = (url.clone(), data.to_owned(), wait.cancelled());
            let open = tokio::task::spawn_blocking(move || postgres::open(&url, &data, clock, settings, &wait));
            let opened = tokio::select! {
                opened = open => opened,
                // The thread may wait for a database that hangs. It holds nothing that must be given back.
                () = async { cancelled.cancelled().await; tokio::time::sleep(CANCEL_GRACE_PERIOD).await } => {
                    return Err(OpenError::new(OpenErrorKind::Cancelled, "the host was stopped"));
                }
            };
            let aborted = |error: tokio::task::JoinError| {
                OpenError::new(OpenErrorKind::Store(StoreErrorKind::Failed), format!("the start of the bus: {error}"))
            };
            Ok(Arc::new(opened.map_err(aborted)??))
        }
    }
}
