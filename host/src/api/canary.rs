//! The result of running past events through a new build and the running generation.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The query of a canary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CanaryQuery {
    /// The number of recent deliveries to compare; 100 by default.
    #[param(minimum = 1, maximum = 10000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<usize>,
    /// Compare the deliveries of the event with this id instead of the most recent ones. They need not have been handled
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The source of the event. Required if events of several sources have the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Compare with the archived generation that has this digest, or a digest that begins like this, instead of the
    /// component in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
}

/// The result of a canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CanaryView {
    /// The name of the plugin.
    pub plugin: String,
    /// The digest of the running generation.
    pub running: String,
    /// The digest of the new build, or of the archived generation.
    pub new: String,
    /// The number of deliveries that both handled.
    pub handled: usize,
    /// The number of deliveries with different results.
    pub different: usize,
    /// The number of deliveries with equal results that are inconclusive: a handler read state that has changed since
    /// the event was stored.
    pub inconclusive: usize,
    /// The first deliveries with different results.
    pub differences: Vec<DifferingDeliveryView>,
    /// The subscriptions that only the running generation declares.
    pub subscriptions_removed: Vec<String>,
    /// The subscriptions that only the new build declares. They have no past deliveries.
    pub subscriptions_added: Vec<String>,
    /// The median time of a delivery in microseconds.
    pub time_us: MeasurementView,
    /// The largest linear memory of a delivery in bytes.
    pub memory_bytes: MeasurementView,
}

/// A measurement of both generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MeasurementView {
    /// Of the running generation.
    pub running: u64,
    /// Of the new build.
    pub new: u64,
}

/// A delivery with different results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DifferingDeliveryView {
    /// The event's id.
    pub event: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The subscription.
    pub subscription: String,
    /// The differences.
    pub differs: Vec<DifferenceView>,
}

/// A difference between two results. Its values are JSON from handlers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DifferenceView {
    /// The path of the difference, such as `published[0].data.message`.
    pub path: String,
    /// The value of the running generation; null if there is none.
    pub running: Option<Value>,
    /// The value of the new build; null if there is none.
    pub new: Option<Value>,
}
