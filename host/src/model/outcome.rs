//! The result of an invocation: an outcome, and the effects that are committed with it.
//!
//! The sandbox creates them and the bus commits them. Neither depends on the other.

use std::collections::BTreeMap;
use std::num::IntErrorKind;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::failure::{Cause, Failure};
use crate::clock::Timestamp;
use crate::event::{Event, Position};
use crate::subscription::{Definition, Start};

/// The outcome of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event is handled.
    Ack,
    /// The event should be handled again later.
    Retry {
        /// The delay; `None` leaves it to the retry policy.
        after: Option<Duration>,
        /// The reason.
        failure: Failure,
    },
    /// The event can never be handled.
    Reject(Failure),
}

/// The effects of an invocation. They all happen with the commit, or none does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Effects {
    /// Events to publish.
    pub publishes: Vec<Publish>,
    /// Ids of delayed events to cancel.
    pub cancels: Vec<String>,
    /// Changes of the plugin's state.
    pub writes: BTreeMap<String, Write>,
    /// The reads of the state. The commit checks that it has not changed.
    pub reads: Reads,
    /// Changes of the plugin's own subscriptions.
    pub subscriptions: Vec<SubscriptionChange>,
}

impl Effects {
    /// Whether a commit would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.cancels.is_empty() && self.writes.is_empty() && self.subscriptions.is_empty()
    }
}

/// The largest number of names of each kind in [`EffectNames`].
const MAX_NAMES: usize = 100;

/// The names in the effects of an invocation, without any data, for the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EffectNames {
    /// The first 100 events that it published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedName>,
    /// The first 100 keys of the state that it wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state_keys: Vec<String>,
    /// How many further events and keys there were.
    pub omitted: usize,
}

/// The name of a published event. Its source is that of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedName {
    /// The event's id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// When a delayed event enters the log.
    pub due: Option<Timestamp>,
}

impl EffectNames {
    /// The names in effects.
    #[must_use]
    pub fn of(effects: &Effects) -> Self {
        let Effects { publishes, writes, .. } = effects;
        let name = |publish: &Publish| PublishedName {
            id: publish.event.id.clone(),
            event_type: publish.event.event_type.clone(),
            due: publish.due,
        };
        Self {
            published: publishes.iter().take(MAX_NAMES).map(name).collect(),
            state_keys: writes.keys().take(MAX_NAMES).cloned().collect(),
            omitted: publishes.len().saturating_sub(MAX_NAMES) + writes.len().saturating_sub(MAX_NAMES),
        }
    }
}

/// An event to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Publish {
    /// The event.
    pub event: Event,
    /// When the event enters the log; `None` for immediately.
    pub due: Option<Timestamp>,
}

/// A change of one key of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// Sets the value.
    Set(Vec<u8>),
    /// Deletes the value.
    Delete,
    /// Adds to a decimal number. Concurrent additions are merged.
    Add(i64),
}

/// The reads of an invocation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reads {
    /// The keys, with their versions.
    pub keys: BTreeMap<String, Version>,
    /// The set of keys as a whole, if they were listed.
    pub listing: Option<Listing>,
}

/// The version of a key's value. Each write creates a new one. Zero means that there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version(pub u64);

/// Identifies a set of keys: the number of keys, and the version that created the newest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// How many keys there are.
    pub count: u64,
    /// The version that created the newest key.
    pub newest: Version,
}

/// A change of a plugin's own subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionChange {
    /// Creates a subscription, or replaces the definition of an existing one.
    Subscribe {
        /// Its name.
        name: String,
        /// Its definition.
        definition: Box<Definition>,
        /// Where it starts.
        start: Start,
    },
    /// Removes one.
    Unsubscribe {
        /// Its name.
        name: String,
    },
}

impl SubscriptionChange {
    /// The subscription's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Subscribe { name, .. } | Self::Unsubscribe { name } => name,
        }
    }
}

/// What an invocation read of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateRead {
    /// A value with this version.
    Value(Version),
    /// That a key has no value.
    Absence,
    /// The set of keys.
    Listing,
}

impl From<Version> for StateRead {
    fn from(version: Version) -> Self {
        if version == Version(0) { Self::Absence } else { Self::Value(version) }
    }
}

/// A snapshot of a plugin's state.
pub trait StateView: Send {
    /// The value of a key, and its version.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError>;

    /// Up to `limit` keys after a key, in ascending order, and the identity of the set of keys.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError>;

    /// An upper bound of the log's head at the time of the change that the read observed. The true head may be lower,
    /// but never higher.
    fn changed_up_to(&self, _: StateRead) -> Position {
        Position(u64::MAX)
    }

    /// Draws the next number of a sequence. No one else gets this number, even if the invocation fails.
    fn draw(&mut self, sequence: &str) -> NextNumber;

    /// The first number of a sequence that is not reserved. This does not draw it.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError>;
}

/// The next number of a sequence. It may have to be reserved durably first.
pub type NextNumber = Pin<Box<dyn Future<Output = Result<u64, SequenceError>> + Send>>;

/// Why a sequence has no next number.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum SequenceError {
    /// The plugin has reached its limit of sequences.
    #[error("the plugin has reached its limit of {0} sequences")]
    TooMany(u64),
    /// Every number has been used.
    #[error("the sequence `{0}` has used all numbers of an i64")]
    Exhausted(String),
    /// The store failed.
    #[error("no number could be drawn from the sequence: {0}")]
    Failed(String),
}

/// The state cannot be read.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("the plugin's state cannot be read: {0}")]
pub struct StateError(pub String);

/// Why a delta cannot be added to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The value is not a decimal number.
    #[error("its value is not a number")]
    NotANumber,
    /// The value or the sum is out of the range of `i64`.
    #[error("its value or the sum is out of the range of i64")]
    OutOfRange,
}

/// Adds a delta to a value of the state. A missing value counts as zero.
///
/// # Errors
/// If the value is not a number, or the sum is out of range.
pub fn add(value: Option<&[u8]>, delta: i64) -> Result<i64, AddError> {
    let Some(bytes) = value else { return Ok(delta) };
    let text = std::str::from_utf8(bytes).map_err(|_| AddError::NotANumber)?;
    let number: i64 = text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => AddError::OutOfRange,
        _ => AddError::NotANumber,
    })?;
    number.checked_add(delta).ok_or(AddError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_decimal_numbers_in_range() {
        const MAX: &str = "9223372036854775807";
        const MIN: &str = "-9223372036854775808";
        for (value, delta, expected) in [
            (None, 5, Ok(5)),
            (None, i64::MIN, Ok(i64::MIN)),
            (Some("40"), 2, Ok(42)),
            (Some("-1"), 1, Ok(0)),
            (Some("007"), 1, Ok(8)),
            (Some("+7"), 1, Ok(8)),
            (Some(MAX), 0, Ok(i64::MAX)),
            (Some(MAX), 1, Err(AddError::OutOfRange)),
            (Some(MIN), -1, Err(AddError::OutOfRange)),
            (Some(MAX), i64::MIN, Ok(-1)),
            (Some("9223372036854775808"), -1, Err(AddError::OutOfRange)),
            (Some(""), 0, Err(AddError::NotANumber)),
            (Some(" 1"), 0, Err(AddError::NotANumber)),
            (Some("1.0"), 0, Err(AddError::NotANumber)),
            (Some("1e3"), 0, Err(AddError::NotANumber)),
            (Some("\"1\""), 0, Err(AddError::NotANumber)),
            (Some("null"), 0, Err(AddError::NotANumber)),
        ] {
            assert_eq!(add(value.map(str::as_bytes), delta), expected, "{value:?} + {delta}");
        }
        assert_eq!(add(Some(&[0xff]), 1), Err(AddError::NotANumber));
    }
}
