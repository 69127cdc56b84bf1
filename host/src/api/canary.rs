//! How a new generation handles the past, compared with the one that runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How much of the past a canary handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanaryQuery {
    /// How many of the last deliveries both generations handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<usize>,
}

/// What a canary came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CanaryView {
    /// The plugin.
    pub plugin: String,
    /// The digest of the generation that runs.
    pub live: String,
    /// The digest of the new one.
    pub new: String,
    /// How many deliveries both handled.
    pub handled: usize,
    /// How many of them came out differently.
    pub different: usize,
    /// How many came out alike, and prove nothing: a handler saw state that may have changed since the event came.
    pub inconclusive: usize,
    /// The first of those that came out differently, in full.
    pub differences: Vec<DifferingDeliveryView>,
    /// Subscriptions that the new generation no longer declares.
    pub subscriptions_removed: Vec<String>,
    /// Subscriptions that only the new generation declares. They have no past.
    pub subscriptions_added: Vec<String>,
    /// How long a delivery took, in microseconds: the median.
    pub time_us: UsageView,
    /// How much linear memory a delivery had, in bytes: the most.
    pub memory_bytes: UsageView,
}

/// A quantity of both generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageView {
    /// Of the one that runs.
    pub live: u64,
    /// Of the new one.
    pub new: u64,
}

/// A delivery that came out differently.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DifferingDeliveryView {
    /// The event's id.
    pub event: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The subscription.
    pub subscription: String,
    /// Where it came out differently.
    pub differs: Vec<DifferenceView>,
}

/// A place where two outcomes differ. Its values are JSON that handlers have made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DifferenceView {
    /// Where, as in `published[0].data.message`.
    pub path: String,
    /// What the running generation has there; null if nothing.
    pub live: Option<Value>,
    /// What the new one has there; null if nothing.
    pub new: Option<Value>,
}
