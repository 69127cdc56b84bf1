//! The errors of a bus, independent of the engine.
//!
//! An engine's own error is the source of a [`StoreError`] or an [`OpenError`]. The rest of the host decides by the
//! kind alone.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::outcome::Cause;

/// The engine's own error.
type Source = Box<dyn Error + Send + Sync>;

/// A failure of the store, with the engine's message.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Source,
}

/// The kinds of store failures, by their consequence for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum StoreErrorKind {
    /// The store has no space left. Nothing was written. Reads still work; writes work again when there is space.
    Full,
    /// The store cannot be reached, or lacks a temporary resource such as a connection, a lock or a file descriptor.
    /// The request had no effect, and a later one may succeed.
    Unavailable,
    /// The store returned data that was never written to it. Reading on would deliver wrong events, or skip events.
    Damaged,
    /// The store was written by another version or another program, or cannot make commits durable.
    Incompatible,
    /// Any other failure. The content of the store is unknown, for example after a failed sync.
    Failed,
}

impl StoreErrorKind {
    /// Whether the process must end, because it can no longer tell what is stored.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        match self {
            Self::Full | Self::Unavailable => false,
            Self::Damaged | Self::Incompatible | Self::Failed => true,
        }
    }
}

impl StoreError {
    /// A failure with the engine's error as its source.
    pub fn new(kind: StoreErrorKind, source: impl Into<Source>) -> Self {
        Self { kind, source: source.into() }
    }

    /// The store contains data that Sandbus never writes.
    pub(in crate::bus) fn damaged(what: &str) -> Self {
        Self::new(StoreErrorKind::Damaged, format!("the store is damaged: {what}; restore it from a backup"))
    }

    /// The kind of the failure.
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

/// Whether the engine can reach its store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Reachability {
    /// The store can be reached, as far as the engine knows.
    Reachable,
    /// The store cannot be reached. Changes and reads are refused with [`StoreErrorKind::Unavailable`] until the
    /// engine, which keeps trying, reaches it again.
    Unreachable {
        /// The engine's message.
        reason: String,
    },
}

/// The bus could not be opened. The engine's message says what to do.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    source: Source,
}

/// Why the bus could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The store cannot be reached: a server does not answer, or a directory cannot be created.
    Unreachable,
    /// The store denies access to this user.
    Forbidden,
    /// The engine admits one process at a time, and another one has the store open.
    InUse,
    /// The host stopped while it waited for the lease of another host.
    Cancelled,
    /// The store was reached but cannot be used. A store of another version and settings that are not durable are
    /// [`StoreErrorKind::Incompatible`].
    Store(StoreErrorKind),
}

impl OpenError {
    /// An error with the engine's error as its source.
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

/// A limit on what one producer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ProducerLimit {
    /// Delayed events.
    Delayed,
    /// Bytes of its events.
    Bytes,
    /// Event types that it was the first to publish.
    Types,
}

impl ProducerLimit {
    /// The configuration key that sets the limit.
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
            Self::Delayed => "delayed events",
            Self::Bytes => "bytes of events",
            Self::Types => "event types that it introduced",
        })
    }
}

/// A change was not committed. It had no effect, except possibly with [`CommitError::InDoubt`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum CommitError {
    /// The disk is full.
    #[error("the disk is full; nothing was stored")]
    DiskFull,
    /// The store cannot be reached.
    #[error("the store cannot be reached: {reason}; nothing was stored, try again later")]
    Unavailable {
        /// What the engine reports.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The store failed during the commit, and the host can no longer find out whether it took place: a sync failed, or
    /// another host has taken over. If only the connection broke, the engine finds out, and does not return this error.
    ///
    /// A publisher may send its events again: those that were stored are reported as duplicates. A claim must be
    /// dropped: the next host delivers the event again unless the settlement turns out to be stored.
    #[error(
        "the store failed during the commit, and the change may or may not be stored; it is safe to send events again, because stored ones are recognised as duplicates"
    )]
    InDoubt,
    /// The queue of changes is full.
    #[error("the bus is busy; try again")]
    Busy,
    /// The backlog of a subscription that matches the event has reached its limit.
    #[error("the backlog of the subscription `{0}` has reached its limit; nothing was stored, try again later")]
    BacklogFull(String),
    /// The log has reached its maximum size.
    #[error("the log has reached its limit of {0} bytes; nothing was stored, try again later")]
    LogFull(u64),
    /// A producer has reached one of its limits.
    #[error("this producer has reached its limit of {1} {0} (`{key}`); nothing was stored, try again later", key = .0.key())]
    ProducerFull(ProducerLimit, u64),
    /// Too many of a plugin's events are pending.
    #[error(
        "the plugin `{0}` has reached its limit of {1} events that are pending or dead letters (`max_plugin_backlog`); it publishes faster than its events are handled, or publishes to itself in an endless loop"
    )]
    PluginBacklogFull(String, u64),
    /// The events of a plugin have reached their maximum size.
    #[error(
        "the events of the plugin `{0}` have reached their limit of {1} bytes (`max_plugin_log_bytes`); let retention delete old events, or raise the limit"
    )]
    PluginLogFull(String, u64),
    /// The log has reached its maximum number of event types.
    #[error(
        "the log has reached its limit of {0} event types (`max_types`); publish events of an existing type, or raise the limit"
    )]
    TooManyTypes(usize),
    /// A plugin has introduced its maximum number of event types.
    #[error(
        "the plugin `{0}` has reached its limit of {1} event types that it introduced (half of `max_types`); publish events of an existing type"
    )]
    PluginTypesFull(String, usize),
    /// An event that a handler publishes has the source and the id of another event.
    #[error("another event from `{publisher}` already has the id `{id}`; the event was not published")]
    Collision {
        /// The source.
        publisher: String,
        /// The id.
        id: String,
    },
    /// The store has failed, or the bus is shutting down.
    #[error("the bus is closed: {0}")]
    Closed(String),
    /// Another invocation has changed state that this one had read.
    #[error("another invocation has changed `{0}` since it was read")]
    Conflict(String),
    /// An addition meets a value that is not a number, or a sum that is out of range.
    #[error("cannot add to `{0}`: its value is not a number, or the sum exceeds the range of a 64-bit integer")]
    NotANumber(String),
    /// The plugin has reached its maximum number of sequences.
    #[error("the plugin has reached its limit of {0} sequences")]
    TooManySequences(u64),
    /// All numbers of a sequence have been drawn.
    #[error("the sequence `{0}` is exhausted: it has reached the end of the range of a 64-bit integer")]
    SequenceExhausted(String),
    /// The plugin has reached its maximum number of dynamic subscriptions.
    #[error("the plugin has reached its limit of {0} subscriptions created at run time")]
    TooManySubscriptions(usize),
    /// The delivery was settled before, or its claim is lost.
    #[error("the delivery is no longer claimed: it was settled before, or its claim was lost")]
    NotClaimed,
    /// A dead letter cannot be redriven with edited data, because its event has another delivery to the subscription.
    #[error("the event has an open delivery to `{0}`; redrive it with edited data when that has ended")]
    DeliveryOpen(String),
    /// A subscription or a replay is to start at a position or time that the log has not reached.
    #[error(
        "the start {start} lies in the future, and the log has reached {reached}; to receive new events only, start with `now`"
    )]
    StartInFuture {
        /// The position or time.
        start: String,
        /// The position of the next event, or the current time.
        reached: String,
    },
    /// The named thing does not exist.
    #[error("there is no {0}")]
    NotFound(String),
}

impl CommitError {
    /// The cause of failure of an attempt whose effects cannot be committed. None if the attempt itself has not
    /// failed, and must run or be committed again.
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
            | Self::NotClaimed
            | Self::DeliveryOpen(_)
            | Self::NotFound(_) => None,
        }
    }

    /// How long to wait before the same change may succeed. None if that is not known, or if waiting does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        /// An operator must make space on the disk, or the host must start again. Neither is instantaneous.
        const RECOVERY: Duration = Duration::from_secs(1);
        match self {
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            Self::DiskFull | Self::InDoubt => Some(RECOVERY),
            _ => None,
        }
    }
}
