//! The bus: a durable log of events, subscriptions with their cursors, retries, dead letters and
//! schedules, and the plugins' state.
//!
//! [`contract`] says what every bus promises, and `conformance` tests it: every engine passes. [`Embedded`] is the engine that
//! needs nothing installed. Other engines share the delivery window, the ordering keys, the reply waiters and the group
//! commit, which lie beside it.

mod attempt;
mod catalogue;
mod claim;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod contract;
mod counters;
mod dead_letter;
mod delivery;
mod embedded;
mod endpoint_holds;
mod error;
mod future;
mod group_commit;
mod ids;
mod overview;
mod reply_waiters;
mod store_url;
mod window;

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, LoggedEvent};
use crate::schedule::Schedule;
pub use attempt::{AttemptRecord, Settlement};
pub use catalogue::{Catalogue, FeedEntry};
pub use claim::{Claim, ClaimHandle, OnHandleSettled, OnSettled, settle_in_task};
pub use contract::{Bus, DeadLetters, EventLog, Lifecycle, PluginState, SharedBus, SubscriptionFeed, Subscriptions};
pub use dead_letter::{DeadLetter, DeadLetterFilter, FailedAttempt};
pub use delivery::{Delivery, DeliveryKind, DeliveryStatus};
pub use embedded::Embedded;
#[cfg(any(test, feature = "conformance"))]
pub use embedded::EmbeddedEngine;
pub use error::{CommitError, OpenError, OpenErrorKind, ProducerLimit, Reachability, StoreError, StoreErrorKind};
pub use future::BoxFuture;
pub use ids::{DeadLetterId, FeedId};
pub use overview::{EndpointHold, Overview, ReplayOverview};
pub use store_url::{StoreUrl, StoreUrlError};

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
    pub delete_unhandled: bool,
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
pub struct PublishReceipt {
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
pub struct ScheduledEvent {
    /// Its place in the list.
    pub cursor: ScheduledCursor,
    /// When.
    pub due: Timestamp,
    /// The event.
    pub event: Event,
}

/// A schedule that a plugin declares.
#[derive(Clone, Debug)]
pub struct PluginSchedule {
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
pub struct Reply(tokio::sync::oneshot::Receiver<LoggedEvent>);

impl Reply {
    /// Waits for the reply. None if the bus closes before it comes. It waits as long as it takes.
    pub async fn wait(self) -> Option<LoggedEvent> {
        self.0.await.ok()
    }
}

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
