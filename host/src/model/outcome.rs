//! What comes out of an invocation: an outcome, and the effects that are committed with it.
//!
//! The sandbox makes these and the bus commits them; neither knows the other.

use std::collections::BTreeMap;
use std::num::IntErrorKind;
use std::pin::Pin;
use std::time::Duration;

pub use super::failure::{Cause, Failure};
use crate::clock::Timestamp;
use crate::event::{Event, Position};
use crate::subscription::{Definition, Start};

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Handled.
    Ack,
    /// To be tried again, for a reason.
    Retry {
        /// When; the retry policy decides if there is none.
        after: Option<Duration>,
        /// Why.
        failure: Failure,
    },
    /// Never to succeed.
    Reject(Failure),
}

/// What an invocation asked for. It happens with the commit or not at all.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Events to publish.
    pub publishes: Vec<Publish>,
    /// Ids of events that were to be published later and are not.
    pub cancels: Vec<String>,
    /// Changes of the plugin's state.
    pub writes: BTreeMap<String, Write>,
    /// What the invocation has read of the state, which must still be so.
    pub reads: Reads,
    /// Changes of the plugin's own subscriptions.
    pub subscriptions: Vec<SubscriptionChange>,
}

impl Effects {
    /// Whether committing them would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.cancels.is_empty() && self.writes.is_empty() && self.subscriptions.is_empty()
    }
}

/// An event to publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// The event.
    pub event: Event,
    /// When it enters the log; with the commit if there is none.
    pub due: Option<Timestamp>,
}

/// A change of one key of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A new value.
    Set(Vec<u8>),
    /// No value.
    Delete,
    /// An addition to a decimal number, which merges with others.
    Add(i64),
}

/// What an invocation has read of the state.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// The keys, with the versions that they had.
    pub keys: BTreeMap<String, Version>,
    /// The set of keys as a whole, if they were listed.
    pub listing: Option<Listing>,
}

/// A version of a key's value. Each write makes a new one; zero is the absence of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(pub u64);

/// What tells whether a set of keys has changed: how many there are, and the version in which the newest
/// was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many keys there are.
    pub count: u64,
    /// The version in which the newest key was made.
    pub newest: Version,
}

/// A change of a plugin's own subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// Makes one, or gives one of this name new rules.
    Subscribe {
        /// Its name.
        name: String,
        /// Its rules.
        definition: Box<Definition>,
        /// Where it begins.
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

/// What somebody saw of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A value, of this version.
    Value(Version),
    /// That a key has none.
    Absence,
    /// The set of keys.
    Listing,
}

impl From<Version> for Observation {
    fn from(version: Version) -> Self {
        if version == Version(0) { Self::Absence } else { Self::Value(version) }
    }
}

/// A plugin's state, as of one moment.
pub trait StateView: Send {
    /// The value of a key, and its version.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError>;

    /// Up to `limit` keys after a key, in ascending order, and what tells whether the set has changed.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError>;

    /// A position of the log beyond which no event came before the change that made what was seen. It may be too late,
    /// and is never too early.
    fn changed_up_to(&self, _: Observation) -> Position {
        Position(u64::MAX)
    }

    /// Draws the next number of a sequence, which nobody else is given, whatever becomes of the invocation.
    fn draw(&mut self, sequence: &str) -> NextNumber;

    /// The first number of a sequence that nobody has reserved. It is only looked at.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn unreserved(&mut self, sequence: &str) -> Result<u64, StateError>;
}

/// A number of a sequence that is being drawn: it may have to be reserved on the disk first.
pub type NextNumber = Pin<Box<dyn Future<Output = Result<u64, SequenceError>> + Send>>;

/// A sequence gives no number.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SequenceError {
    /// The plugin has as many sequences as it may.
    #[error("a plugin may have {0} sequences, and this one has them")]
    TooMany(u64),
    /// Every number has been given away.
    #[error("the sequence `{0}` has come to the end of the range of i64")]
    Exhausted(String),
    /// The store refuses.
    #[error("the sequence gives no number: {0}")]
    Failed(String),
}

/// The state cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the plugin's state cannot be read: {0}")]
pub struct StateError(pub String);

/// Why a value and a delta have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The value is not a decimal number.
    #[error("its value is not a number")]
    NotANumber,
    /// The value, or the sum, passes the range of `i64`.
    #[error("its value or the sum passes the range of i64")]
    OutOfRange,
}

/// The sum of a state's value and a delta. An absent value counts as zero.
///
/// # Errors
/// If there is no such sum.
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
