//! The injected clock: all code reads the time from a [`Clock`], so that tests can control it.

mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The longest delay of an event or a retry: a hundred years, as [`crate::duration`] reads them.
pub const MAX_DELAY: Duration = Duration::from_secs(100 * 31_557_600);

/// A delay is longer than [`MAX_DELAY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the longest delay is a hundred years (100y)")]
pub struct DelayTooLong;

/// Checks that a delay is not longer than [`MAX_DELAY`]. Delays that are not checked, such as products of a retry
/// policy, are capped at it.
///
/// # Errors
/// If the delay is longer.
pub fn check_delay(delay: Duration) -> Result<Duration, DelayTooLong> {
    if delay > MAX_DELAY { Err(DelayTooLong) } else { Ok(delay) }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// The same time in milliseconds.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp(self.0 / 1_000_000)
    }
}

impl Timestamp {
    /// The time after a delay.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time before a duration; the beginning of 1970 at the earliest.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time elapsed since an earlier time; zero if that is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Parses exactly RFC 3339, section 5.6, as the Timestamp type of CloudEvents 1.0 requires. A time before 1970
    /// becomes the beginning of 1970. A leap second may end any month in UTC, and counts as the next second.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text::parse(text)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text::write(*self, formatter)
    }
}

/// Serde functions for a [`Timestamp`] in RFC 3339.
pub mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::Timestamp;

    /// Serializes a timestamp.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(timestamp)
    }

    /// Deserializes a timestamp.
    ///
    /// # Errors
    /// If it is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not a time in RFC 3339")))
    }
}

/// The source of the current time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The operating system.
    #[default]
    System,
    /// A clock that a test or a scenario sets.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A manual clock, which shows this time until it is set.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(start.0)))
    }

    /// The current time.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "reads the system's clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
            }
            Self::Manual(time) => Timestamp(time.load(Ordering::Relaxed)),
        }
    }

    /// The current time, for the times of spans, which need more than milliseconds.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "reads the system's clock")]
    pub fn unix_nanos(&self) -> UnixNanos {
        match self {
            Self::System => {
                let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                UnixNanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
            }
            Self::Manual(_) => UnixNanos(self.now().0.saturating_mul(1_000_000)),
        }
    }

    /// Advances a manual clock. Has no effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }

    /// Sets a manual clock. Has no effect on the system's clock.
    pub fn set(&self, now: Timestamp) {
        if let Self::Manual(time) = self {
            time.store(now.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_delay_is_100y_in_human_form() {
        assert_eq!(humantime::parse_duration("100y").unwrap(), MAX_DELAY);
    }

    #[test]
    fn timestamps_are_written_and_read_as_rfc_3339() {
        let timestamp = Timestamp(1_893_456_000_123);
        assert_eq!(timestamp.to_string(), "2030-01-01T00:00:00.123Z");
        assert_eq!(Timestamp::parse("2030-01-01T01:00:00.123+01:00"), Some(timestamp));
        assert_eq!(Timestamp::parse("2030-01-01"), None);
        assert_eq!(Timestamp::parse("2030-01-01T00:00:00Z[Europe/Zurich]"), None);
    }
}
