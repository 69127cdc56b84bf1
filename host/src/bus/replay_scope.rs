//! What a replay delivers.

use std::num::NonZeroU32;

use super::EventFilter;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::subscription::Start;

/// What a replay delivers, and how fast: from a part of the log, the events that the subscription selects and the
/// filter matches.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct ReplayScope {
    /// Where it starts.
    pub start: Start,
    /// Where it ends. Without an end, or with one after the subscription's cursor, it ends at the cursor.
    pub end: Option<ReplayEnd>,
    /// Selects events. The replay delivers only those that match.
    pub filter: EventFilter,
    /// The maximum number of deliveries per second.
    pub per_second: Option<NonZeroU32>,
}

/// Where a replay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ReplayEnd {
    /// With the event at a position. If there is none, with the last event before it.
    Position(Position),
    /// Before the first event stored at or after a time.
    Time(Timestamp),
}

impl ReplayScope {
    /// All events from a start on.
    #[must_use]
    pub fn from_start(start: Start) -> Self {
        Self { start, ..Self::default() }
    }

    /// One event.
    #[must_use]
    pub fn event(position: Position) -> Self {
        let end = Some(ReplayEnd::Position(position));
        Self { start: Start::Position(position), end, ..Self::default() }
    }
}
