//! What can go wrong with the bus, in terms that hold for every engine.
//!
//! An engine keeps its own errors to itself: they travel as the source of a [`StoreError`] or an [`OpenError`], whose
//! kind is all that other parts of the host decide by.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::outcome::Cause;

/// The engine's own error.
type Source = Box<dyn Error + Send + Sync>;

/// A failure of the store. Its message is the engine's.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Source,
}

/// What a failure of the store means for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The store has no room. Nothing was written, and reading goes on; writing works again once there is room.
    Full,
    /// The store cannot be reached now, or lacks a resource that comes back: a connection, a lock, a file descriptor.
    /// Nothing of the request has happened, and a later one may succeed.
    Unavailable,
    /// The store returned data that was never written to it. To read on would deliver or skip wrong events.
    Damaged,
    /// The store was written by another version, or lacks what durability needs.
    Incompatible,
    /// Any other failure. Nobody knows what the store holds, for example after a failed sync.
    Failed,
}

impl StoreErrorKind {
    /// Whether the host must end: it can no longer tell what is stored.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        match self {
            Self::Full | Self::Unavailable => false,
            Self::Damaged | Self::Incompatible | Self::Failed => true,
        }
    }
}

impl StoreError {
    /// An engine's error, and what it means for the host.
    pub fn new(kind: StoreErrorKind, source: impl Into<Source>) -> Self {
        Self { kind, source: source.into() }
    }

    /// What the failure means for the host.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl Display for StoreError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.source.fmt(formatter)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// Whether the engine reaches its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// It does, as far as it knows.
    Reachable,
    /// It does not. Changes and reads are refused with [`StoreErrorKind::Unavailable`] until it does again, which the
    /// engine finds out by itself.
    Unreachable {
        /// What the engine reports.
        reason: String,
    },
}

/// The bus could not be opened. The message is the engine's, and says what to do.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    source: Source,
}

/// Why the bus could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// No connection to the store: a server that does not answer, a directory that cannot be made.
    Unreachable,
    /// The store refuses this user.
    Forbidden,
    /// The engine admits one process at a time, and another one has the store open.
    InUse,
    /// The store was reached, and cannot be used. An engine or data of another version and settings that are not durable
    /// are [`StoreErrorKind::Incompatible`].
    Store(StoreErrorKind),
}

impl OpenError {
    /// An engine's error, and what kind it is of.
    pub fn new(kind: OpenErrorKind, source: impl Into<Source>) -> Self {
        Self { kind, source: source.into() }
    }

    /// Why the bus could not be opened.
    #[must_use]
    pub fn kind(&self) -> OpenErrorKind {
        self.kind
    }
}

impl Display for OpenError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.source.fmt(formatter)
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// What a producer from outside may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerLimit {
    /// Events that wait for their time.
    Delayed,
    /// Bytes of its events.
    Bytes,
    /// Event types that it was the first to publish.
    Types,
}

impl ProducerLimit {
    /// The key of the configuration that sets it.
    fn key(self) -> &'static str {
        match self {
            Self::Delayed => "max_producer_delayed",
            Self::Bytes => "max_producer_log_bytes",
            Self::Types => "half of max_types",
        }
    }
}

impl Display for ProducerLimit {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Delayed => "many delayed events",
            Self::Bytes => "many bytes of events",
            Self::Types => "many event types of its own",
        })
    }
}

/// A change was not committed. Nothing of it has happened, except after [`CommitError::InDoubt`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full.
    #[error("the disk is full; nothing was stored")]
    DiskFull,
    /// The store cannot be reached now.
    #[error("the store cannot be reached now: {reason}; nothing was stored, try again later")]
    Unavailable {
        /// What the engine reports.
        reason: String,
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// The connection to the store broke during the commit, and the engine could not find out in time whether it was
    /// committed. An engine resolves such a commit by itself, and answers this only when its patience ends.
    ///
    /// A publisher may send its events again: those that are stored are duplicates. A claim must be dropped: the engine
    /// delivers the event again unless it turns out to be settled.
    #[error(
        "the connection to the store broke, and it is not known whether the change was stored; events may be sent again, since those that are stored are recognised"
    )]
    InDoubt,
    /// More changes wait for the disk than the bus holds.
    #[error("the bus is busy; try again")]
    Busy,
    /// A subscription that takes the event has as many deliveries waiting as it may.
    #[error("the subscription `{0}` has as many events waiting as it may; nothing was stored, try again later")]
    BacklogFull(String),
    /// The log has as many bytes as it may.
    #[error("the log has reached its limit of {0} bytes; nothing was stored, try again later")]
    LogFull(u64),
    /// A producer from outside holds as much as one may.
    #[error("this producer has as {0} as one may have, {1} (`{key}`); nothing was stored, try again later", key = .0.key())]
    ProducerFull(ProducerLimit, u64),
    /// As many of a plugin's events wait as may.
    #[error(
        "the plugin `{0}` has {1} events that wait or are dead letters, and may have no more (`max_plugin_backlog`); it publishes faster than its events are handled, or for itself without end"
    )]
    PluginBacklogFull(String, u64),
    /// The events of a plugin have as many bytes as they may.
    #[error(
        "the events of the plugin `{0}` have the {1} bytes that they may have (`max_plugin_log_bytes`); delete old ones by the retention's rules, or raise the limit"
    )]
    PluginLogFull(String, u64),
    /// There are as many types of events as may be.
    #[error(
        "there are events of {0} types, and may be of no more (`max_types`); publish events of a type that is known"
    )]
    TooManyTypes(usize),
    /// A plugin was the first to publish as many types of events as it may.
    #[error(
        "the plugin `{0}` has introduced {1} types of events, and may introduce no more (half of `max_types`); publish events of a type that is known"
    )]
    PluginTypesFull(String, usize),
    /// An event that a handler publishes has the source and the id of another one.
    #[error(
        "an event from `{publisher}` with the id `{id}` is there already, and is not the one that was to be published"
    )]
    Collision {
        /// The source.
        publisher: String,
        /// The id.
        id: String,
    },
    /// The store has failed or the bus is shutting down.
    #[error("the bus takes no more changes: {0}")]
    Closed(String),
    /// Another invocation has changed what this one had read.
    #[error("another invocation changed `{0}` meanwhile")]
    Conflict(String),
    /// An addition meets a value that is not a number, or a sum out of range.
    #[error("`{0}` cannot be added to: its value is not a number, or the sum passes the range of i64")]
    NotANumber(String),
    /// The plugin has as many sequences as it may have.
    #[error("a plugin may have {0} sequences, and this one has them")]
    TooManySequences(u64),
    /// Every number of a sequence has been given away.
    #[error("the sequence `{0}` has come to the end of the range of i64")]
    SequenceExhausted(String),
    /// The plugin has as many subscriptions as it may make.
    #[error("a plugin may make {0} subscriptions at run time, and this one has them")]
    TooManySubscriptions(usize),
    /// The delivery was settled before, or its subscription is gone.
    #[error("the delivery is no longer open")]
    NotOpen,
    /// A subscription or a replay is to start at a position or a time that the log has not reached.
    #[error(
        "the start {start} lies in the future, and the log has reached {reached}; to receive new events only, start with `now`"
    )]
    StartInFuture {
        /// The position or time.
        start: String,
        /// The position of the next event, or the time of the clock.
        reached: String,
    },
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
}

impl CommitError {
    /// The cause of failure of an attempt whose handler asked for what cannot be done. None if the attempt has not
    /// failed by that, but has to be made or committed again.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::NotANumber(_)
            | Self::TooManySubscriptions(_)
            | Self::TooManySequences(_)
            | Self::SequenceExhausted(_)
            | Self::StartInFuture { .. } => Some(Cause::Rejected),
            Self::PluginBacklogFull(..)
            | Self::PluginLogFull(..)
            | Self::PluginTypesFull(..)
            | Self::TooManyTypes(_) => Some(Cause::Limit),
            Self::Collision { .. } => Some(Cause::Collision),
            Self::DiskFull
            | Self::Unavailable { .. }
            | Self::InDoubt
            | Self::Busy
            | Self::BacklogFull(_)
            | Self::LogFull(_)
            | Self::ProducerFull(..)
            | Self::Closed(_)
            | Self::Conflict(_)
            | Self::NotOpen
            | Self::NotFound(_) => None,
        }
    }

    /// How long to wait before the same change may succeed; none if there is no use in waiting for the store.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        /// A disk gets room by hand, or when the retention's rules delete events.
        const FULL: Duration = Duration::from_secs(1);
        match self {
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            Self::DiskFull | Self::InDoubt => Some(FULL),
            _ => None,
        }
    }
}
