//! Events in the log, and the results of publishing and compaction.

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::{Page, schemas};
use crate::pattern::Pattern;

/// An event in the CloudEvents JSON format 1.0.2, as written by the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventDocument(pub Box<RawValue>);

impl PartialSchema for EventDocument {
    fn schema() -> RefOr<Schema> {
        schemas::event()
    }
}

impl ToSchema for EventDocument {}

impl Default for EventDocument {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

/// The members of an event that lists show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventSummary<'a> {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its original data in JSON. Data that is `null` is present.
    #[serde(borrow, deserialize_with = "deserialize_present")]
    pub data: Option<&'a RawValue>,
    /// Its binary data.
    pub data_base64: Option<String>,
}

fn deserialize_present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl EventDocument {
    /// The members that lists show; empty if the JSON is not an event.
    #[must_use]
    pub fn summary(&self) -> EventSummary<'_> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

/// An event in the log.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its position. Positions increase and are never reused.
    #[serde(default)]
    pub position: u64,
    /// When it was stored, in RFC 3339.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub stored_at: String,
    /// The event.
    pub event: EventDocument,
}

/// The events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only events of this type, or pattern of types.
    #[param(value_type = Option<schemas::Pattern>)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Only events with this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only events with this subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Only events stored at this time or later, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(format = DateTime)]
    pub since: Option<String>,
    /// Only events stored before this time, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(format = DateTime)]
    pub until: Option<String>,
    /// Only events of the cause trees with this correlation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Only events whose ids begin with this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
    /// Only events before this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The `next` of the previous page, which had the same conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The size of the page, up to 1,000; 50 by default.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The events to replay: those that meet all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventSelection {
    /// Only events of this type, or pattern of types.
    #[schema(value_type = Option<schemas::Pattern>)]
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Only events with this source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only events with this subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Only events of the cause trees with this correlation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Only events whose ids begin with this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
}

/// A page of the log, newest event first. It may have fewer events than asked for, although more pages follow.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventView>,
    /// The `after` of the next page; null on the last page.
    pub next: Option<String>,
}

impl Page for EventPage {
    const PATH: &'static str = "events";
    const ITEMS: &'static str = "events";

    fn next(&self) -> Option<String> {
        self.next.clone()
    }
}

/// The events with an id. Several sources may use the same id.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EventList {
    /// The events.
    pub events: Vec<EventView>,
}

/// The result of publishing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PublishResult {
    /// A receipt for each event, in the order of the request.
    pub accepted: Vec<ReceiptView>,
}

/// A receipt for an event, which is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ReceiptView {
    /// The event's id.
    pub id: String,
    /// Whether the log already has an event with the same source and id, so that this one was not stored.
    pub duplicate: bool,
}

/// The result of a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CompactionResult {
    /// The number of deleted events.
    pub deleted: usize,
}
