//! Events in the log.

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Page;

/// A CloudEvent in the JSON format (CloudEvents JSON format 1.0.2), as the host has written it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventDocument(pub Box<RawValue>);

/// Members of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventSummary<'a> {
    /// Its id.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its data in JSON, as it was published. Data that is null is there.
    #[serde(borrow, deserialize_with = "deserialize_present")]
    pub data: Option<&'a RawValue>,
    /// Its data, if that is not text.
    pub data_base64: Option<String>,
}

fn deserialize_present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl EventDocument {
    /// The members that lists show; empty ones if it is no event.
    #[must_use]
    pub fn summary(&self) -> EventSummary<'_> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

/// An event in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventView {
    /// Its position. It grows with each event and is never used again.
    #[serde(default)]
    pub position: u64,
    /// When it was stored, in RFC 3339.
    #[serde(default)]
    pub stored_at: String,
    /// The event.
    pub event: EventDocument,
}

/// Which events to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// Only events before this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most this many; 50 if it is left out, and 1,000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A page of the log, the newest event first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventView>,
    /// The `before` of the page that follows; null on the last page.
    pub next: Option<u64>,
}

impl Page for EventPage {
    const CURSOR: &'static str = "before";
    const PATH: &'static str = "events";
    const ITEMS: &'static str = "events";

    fn next(&self) -> Option<String> {
        self.next.map(|next| next.to_string())
    }
}

/// The events with an id; sources may share one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventList {
    /// The events.
    pub events: Vec<EventView>,
}

/// What was published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishResult {
    /// A receipt for each event, in their order.
    pub accepted: Vec<ReceiptView>,
}

/// A receipt: the event is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiptView {
    /// The event's id.
    pub id: String,
    /// Whether an event with its source and id was there already, so that this one was not stored again.
    pub duplicate: bool,
}

/// What a compaction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompactionResult {
    /// How many events were deleted.
    pub deleted: usize,
}
