//! What the host stores, and how much space is left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the host stores, and how much space is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StorageView {
    /// The absolute path of the data directory.
    pub directory: String,
    /// The space that events, subscriptions, dead letters and state take, in bytes.
    pub bus_bytes: u64,
    /// The space that the ledger takes, in bytes.
    pub ledger_bytes: u64,
    /// The space that the archived generations of plugins take, in bytes.
    pub archive_bytes: u64,
    /// The space that the host may still use on the file system of the directory, in bytes.
    pub free_bytes: u64,
    /// The size of that file system, in bytes.
    pub total_bytes: u64,
    /// The position of the oldest event in the log; null if the log is empty.
    pub first_position: Option<u64>,
    /// The position of the newest event in the log; null if the log is empty.
    pub last_position: Option<u64>,
    /// When the oldest event in the log was stored, in RFC 3339; null if the log is empty.
    #[schema(format = DateTime)]
    pub oldest_event_at: Option<String>,
}
