//! Durations in microseconds, and serde functions for durations as people write them: `200ms`, `5s`, `1m 30s`.

use std::time::Duration;

use serde::{Deserializer, Serializer};

/// A duration in a JSON Schema, as people write it.
#[derive(schemars::JsonSchema)]
#[schemars(inline, extend("pattern" = PATTERN, "examples" = ["500ms", "5s", "1h 30m"]))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct DurationText(String);

/// A duration in a JSON Schema that is not zero.
#[derive(schemars::JsonSchema)]
#[schemars(inline, extend("pattern" = PATTERN, "not" = { "pattern": "^[^1-9]*$" }, "examples" = ["500ms", "5s"]))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct PositiveDurationText(String);

/// The texts that `humantime` reads, except that a number may also be too large.
const PATTERN: &str = concat!(
    r"^(?:0|\s*(?:\d[\d\s]*(?:\.\s*\d[\d\s]*)?",
    "(?:nanos|nsec|ns|usec|us|\u{b5}s|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h",
    "|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)",
    r"\s*)+)$"
);

/// A duration in microseconds.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration as people write it.
#[must_use]
pub fn format(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match (duration.as_secs(), duration.subsec_nanos()) {
        // `humantime` would write months of 30.44 days.
        (seconds, 0) if seconds >= DAY && seconds % DAY == 0 => format!("{}d", seconds / DAY),
        _ => humantime::format_duration(duration).to_string(),
    }
}

/// Serializes a duration.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Deserializes a duration.
///
/// # Errors
/// If the text is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(DurationVisitor)
}

/// Reads a duration, and says what to write otherwise.
struct DurationVisitor;

impl serde::de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a duration such as \"10s\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text)
    }
}

fn parse<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(E::custom)
}

/// A duration as people write it, for `Option`.
struct DurationValue(Duration);

impl<'de> serde::Deserialize<'de> for DurationValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Serde functions for an optional duration.
pub mod option {
    use super::{Deserializer, Duration, DurationValue, Serializer};

    /// Serializes a duration, or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Deserializes a duration, or null.
    ///
    /// # Errors
    /// If the text is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        use serde::Deserialize as _;
        Ok(Option::<DurationValue>::deserialize(deserializer)?.map(|DurationValue(duration)| duration))
    }
}
