//! How far the log reaches, and how much space the store takes.

use crate::clock::Timestamp;
use crate::event::Position;

/// How far the log reaches, and how much space the store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoreExtent {
    /// The space that the store takes, in bytes, including what it uses for itself. An estimate.
    pub bytes: u64,
    /// The oldest event in the log; `None` if the log is empty.
    pub oldest: Option<EventPlace>,
    /// The newest event in the log; `None` if the log is empty.
    pub newest: Option<EventPlace>,
}

/// Where an event is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventPlace {
    /// Its position.
    pub position: Position,
    /// When it was stored.
    pub stored_at: Timestamp,
}
