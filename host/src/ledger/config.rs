//! The settings of the ledger.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recorded_response::ResponseMemory;

/// The memory for responses that are not written yet.
const RESPONSE_MEMORY_BYTES: usize = 64 << 20;

/// The settings of the ledger, `[ledger]` in `sandbus.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// Which attempts and requests are recorded.
    pub record: Recording,
    /// Attempts and requests that take this long are always recorded, unless `record` is `off`.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub slow: Duration,
    /// With sampling: how many successful ones are recorded per second before sampling begins.
    pub full_rate: u32,
    /// With sampling: one in this many successful ones is recorded beyond the full rate.
    pub one_in: NonZeroU32,
    /// Whether the records also have the URLs of the requests that handlers sent, and the responses.
    pub record_responses: bool,
    /// The age at which records are deleted.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub retain_for: Duration,
    /// The size of the ledger above which the oldest records are deleted.
    pub retain_bytes: u64,
    /// The age at which aggregates are deleted.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub retain_aggregates_for: Duration,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            record: Recording::Sampled,
            slow: Duration::from_secs(1),
            full_rate: 100,
            one_in: NonZeroU32::new(100).expect("100 is not zero"),
            record_responses: false,
            retain_for: Duration::from_hours(7 * 24),
            retain_bytes: 256 << 20,
            retain_aggregates_for: Duration::from_hours(90 * 24),
        }
    }
}

impl LedgerConfig {
    /// The memory for responses until they are written. None if they are not recorded.
    #[must_use]
    pub fn response_memory(&self) -> Option<ResponseMemory> {
        let is_recorded = self.record_responses && self.record != Recording::Off;
        is_recorded.then(|| ResponseMemory::new(RESPONSE_MEMORY_BYTES))
    }
}

/// Which attempts and requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Recording {
    /// All of them.
    All,
    /// Failures, slow ones, and a sample of the others: all of them up to a rate, and one in n beyond it.
    Sampled,
    /// None of them. Aggregates are still recorded.
    Off,
}
