//! How the engine's values are written to columns, the same in every store.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::bus::GroupStatus;
use crate::bus::window::{Due, PauseReason};
use crate::clock::Timestamp;
use crate::event::reserved::publishing_plugin;
use crate::event::{Event, LoggedEvent, Position, stored_data, stored_kind};

/// The member of the column `extensions` with the kind of the data. No extension attribute can have this name.
const DATA_KIND: &str = "data_kind";
/// The member of the same column with the names of the attributes that are JSON booleans or integers.
const TYPED: &str = "json_typed";
/// The member of the same column with the producer of the event.
const PRODUCER: &str = "held_for";

/// The column `due` of a row that waits for the turn of its ordering key. Zero stands for a row that is due now.
pub(in crate::bus) const ON_TURN: i64 = i64::MAX;

/// The columns of an event.
pub(in crate::bus) struct EventColumns {
    pub(in crate::bus) position: u64,
    pub(in crate::bus) event_type: String,
    pub(in crate::bus) id: String,
    pub(in crate::bus) source: String,
    pub(in crate::bus) subject: Option<String>,
    pub(in crate::bus) time: Option<String>,
    pub(in crate::bus) datacontenttype: Option<String>,
    pub(in crate::bus) dataschema: Option<String>,
    /// See [`encode_extensions`].
    pub(in crate::bus) extensions: Option<String>,
    pub(in crate::bus) data: Option<Vec<u8>>,
    pub(in crate::bus) stored_at: u64,
}

impl EventColumns {
    /// The event.
    ///
    /// # Errors
    /// If the extensions are not the JSON that [`encode_extensions`] writes.
    pub(in crate::bus) fn decode(self) -> Result<LoggedEvent, serde_json::Error> {
        let mut extensions: BTreeMap<String, String> =
            self.extensions.map_or_else(|| Ok(BTreeMap::new()), |text| serde_json::from_str(&text))?;
        let typed = extensions.remove(TYPED).unwrap_or_default();
        let producer = extensions.remove(PRODUCER);
        let kind = extensions.remove(DATA_KIND);
        let event = Event {
            event_type: self.event_type,
            id: self.id,
            source: self.source,
            subject: self.subject,
            time: self.time,
            dataschema: self.dataschema,
            extensions,
            typed: typed.split_whitespace().map(str::to_owned).collect(),
            data: self.data.map(|bytes| stored_data(self.datacontenttype.as_deref(), kind.as_deref(), bytes)),
            datacontenttype: self.datacontenttype,
            producer,
        };
        let (position, stored_at) = (Position(self.position), Timestamp(self.stored_at));
        Ok(LoggedEvent { position, stored_at, event: Arc::new(event) })
    }
}

/// The extension attributes in JSON, with the names of those that are not strings, the kind of the data if its media
/// type does not declare it, and the producer.
pub(in crate::bus) fn encode_extensions(event: &Event) -> Option<String> {
    let kind = stored_kind(event.datacontenttype.as_deref(), event.data.as_ref());
    if kind.is_none() && event.typed.is_empty() && event.producer.is_none() {
        return (!event.extensions.is_empty()).then(|| to_json(&event.extensions));
    }
    let mut members = event.extensions.clone();
    members.extend(kind.map(|kind| (DATA_KIND.to_owned(), kind.to_owned())));
    members.extend(event.producer.clone().map(|producer| (PRODUCER.to_owned(), producer)));
    if !event.typed.is_empty() {
        let names: Vec<_> = event.typed.iter().map(String::as_str).collect();
        members.insert(TYPED.to_owned(), names.join(" "));
    }
    Some(to_json(&members))
}

/// An event, with the data that an operator has edited for a delivery of it.
pub(in crate::bus) fn with_edited_data(logged: LoggedEvent, edited: Option<Vec<u8>>) -> LoggedEvent {
    match edited {
        None => logged,
        Some(data) => LoggedEvent { event: Arc::new(logged.event.with_edited_data(data)), ..logged },
    }
}

/// The holder of an event, against whose usage it counts.
pub(in crate::bus) fn holder(source: &str, producer: Option<String>) -> Option<String> {
    publishing_plugin(source).map(str::to_owned).or(producer)
}

/// A value of the bus's own types in JSON.
pub(in crate::bus) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the bus's own types have string keys and cannot fail to be written")
}

/// A number for a signed column.
pub(in crate::bus) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The column `due`.
pub(in crate::bus) fn encode_due(due: Due) -> i64 {
    match due {
        Due::Now => 0,
        Due::At(time) => signed(time.0),
        Due::OnTurn => ON_TURN,
    }
}

pub(in crate::bus) fn decode_due(column: i64) -> Due {
    match column {
        0 => Due::Now,
        ON_TURN => Due::OnTurn,
        time => Due::At(Timestamp(u64::try_from(time).unwrap_or(0))),
    }
}

/// The number that stands for the reason of a pause.
pub(in crate::bus) fn encode_pause_reason(reason: Option<PauseReason>) -> i64 {
    match reason {
        None => 0,
        Some(PauseReason::Operator) => 1,
        Some(PauseReason::EndpointGone) => 2,
    }
}

pub(in crate::bus) fn decode_pause_reason(number: i64) -> Option<PauseReason> {
    match number {
        0 => None,
        2 => Some(PauseReason::EndpointGone),
        _ => Some(PauseReason::Operator),
    }
}

/// The number that stands for the status of a group of dead letters.
pub(in crate::bus) const fn encode_group_status(status: GroupStatus) -> i64 {
    match status {
        GroupStatus::Open => 0,
        GroupStatus::Resolved => 1,
        GroupStatus::Ignored => 2,
    }
}

/// None if no status has the number.
pub(in crate::bus) fn decode_group_status(number: i64) -> Option<GroupStatus> {
    match number {
        0 => Some(GroupStatus::Open),
        1 => Some(GroupStatus::Resolved),
        2 => Some(GroupStatus::Ignored),
        _ => None,
    }
}
