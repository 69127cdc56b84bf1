//! Events as they are published, stored and delivered: CloudEvents 1.0.

mod data;
mod ids;
mod json;
pub(crate) mod reserved;
mod trace;
mod validation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use data::{Data, JsonForm, Kind, is_json, json_text};
pub use ids::{IdKey, IdSeed};
pub use json::AsJson;
pub(crate) use json::{stored_data, stored_kind};
pub use trace::{mark_published, published_at, trace_of};
pub use validation::{ATTRIBUTE_LIMIT, AttributeError, check_attribute, check_type};

/// A position in the log. Positions increase with each event and are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// A CloudEvents 1.0 event. Its attributes were validated where it entered the host.
///
/// The serde implementation is the stored form. [`Event::to_json`] is the form for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Unique within its source.
    pub id: String,
    /// The source, a URI reference.
    pub source: String,
    /// The event type, such as `user.registered`.
    pub event_type: String,
    /// The subject.
    pub subject: Option<String>,
    /// The time of the occurrence, in RFC 3339.
    pub time: Option<String>,
    /// The media type of the data.
    pub datacontenttype: Option<String>,
    /// The schema of the data, a URI.
    pub dataschema: Option<String>,
    /// Extension attributes, in the string form that CloudEvents defines.
    pub extensions: BTreeMap<String, String>,
    /// The names of extension attributes that arrived as a JSON boolean or integer, and are written as such in JSON.
    pub typed: BTreeSet<String>,
    /// The payload.
    pub data: Option<Data>,
    /// The producer that published the event, for its share of the log. It is not an attribute and is never shown.
    pub producer: Option<String>,
}

/// The extension attributes that name the cause: the event that was being handled when this one was published. An id is
/// unique only within its source, so there are two.
pub const CAUSATION_ID: &str = "causationid";
/// See [`CAUSATION_ID`].
pub const CAUSATION_SOURCE: &str = "causationsource";
/// The extension attributes that name the cause tree: the id and the source of its first event. If a client waits for a
/// reply, the host assigns the id instead, and there is no source.
pub const CORRELATION_ID: &str = "correlationid";
/// See [`CORRELATION_ID`].
pub const CORRELATION_SOURCE: &str = "correlationsource";

/// The extension attribute that counts the events from the first one of the cause tree to this one.
pub const HOPS: &str = "hops";
/// The extension attribute of a delivery whose data an operator has edited.
pub const EDITED: &str = "sandbusedited";
/// The extension attributes of a trace (CloudEvents Distributed Tracing extension).
pub const TRACE: [&str; 2] = ["traceparent", "tracestate"];

impl Event {
    /// The value of an attribute, by its CloudEvents name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match name {
            "id" => Some(&self.id),
            "source" => Some(&self.source),
            "type" => Some(&self.event_type),
            "specversion" => Some("1.0"),
            "subject" => self.subject.as_deref(),
            "time" => self.time.as_deref(),
            "datacontenttype" => self.datacontenttype.as_deref(),
            "dataschema" => self.dataschema.as_deref(),
            extension => self.extensions.get(extension).map(String::as_str),
        }
    }

    /// How many events lead from the first one of the cause tree to this one.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.extensions.get(HOPS).and_then(|hops| hops.parse().ok()).unwrap_or(0)
    }

    /// The attributes that events inherit if they are published while this one is handled: the cause, the cause tree
    /// and the trace.
    #[must_use]
    pub fn inherited(&self) -> BTreeMap<String, String> {
        let tree = self.cause_tree();
        let mut inherited = BTreeMap::from([
            (CAUSATION_ID.to_owned(), self.id.clone()),
            (CAUSATION_SOURCE.to_owned(), self.source.clone()),
            (CORRELATION_ID.to_owned(), tree.id),
            (HOPS.to_owned(), self.hops().saturating_add(1).to_string()),
        ]);
        inherited.extend(tree.source.map(|source| (CORRELATION_SOURCE.to_owned(), source)));
        let [parent, state] = TRACE;
        let own = |name: &str| self.extensions.get(name);
        inherited.extend(own(parent).map(|value| (parent.to_owned(), value.clone())));
        let others = own(state).and_then(|value| trace::without_mark(value));
        inherited.extend(others.map(|others| (state.to_owned(), others)));
        inherited
    }

    /// The plugin or producer whose share of the log the event counts against. Events of operators count against none.
    #[must_use]
    pub(crate) fn holder(&self) -> Option<&str> {
        reserved::publishing_plugin(&self.source).or(self.producer.as_deref())
    }

    /// The approximate size in bytes: the attributes and the data.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let optional = [&self.subject, &self.time, &self.datacontenttype, &self.dataschema];
        self.id.len()
            + self.source.len()
            + self.event_type.len()
            + optional.into_iter().flatten().map(String::len).sum::<usize>()
            + self.extensions.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + self.data.as_deref().map_or(0, <[u8]>::len)
    }

    /// The cause tree of the event: the one that it names, or the one that it starts.
    #[must_use]
    pub fn cause_tree(&self) -> CauseTreeId {
        match self.extensions.get(CORRELATION_ID) {
            Some(id) => CauseTreeId { id: id.clone(), source: self.extensions.get(CORRELATION_SOURCE).cloned() },
            None => CauseTreeId { id: self.id.clone(), source: Some(self.source.clone()) },
        }
    }

    /// Starts a new cause tree with an id assigned by the host. Nobody can guess the id, and no other tree ever has it.
    /// A reply takes the id over from the event.
    pub fn start_cause_tree(&mut self, id: String) {
        self.extensions.insert(CORRELATION_ID.to_owned(), id);
        self.extensions.remove(CORRELATION_SOURCE);
    }

    /// Checks data that an operator gives a delivery of this event. It must be of the kind of the original data.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_data(&self, data: &[u8]) -> Result<(), String> {
        let data = self.edited(data.to_vec());
        data.check_json().map_err(|error| format!("the event's data is JSON, and the new data is not: {error}"))?;
        if !data.is_shallow() {
            return Err("the new data is nested too deeply".to_owned());
        }
        if data.kind() == Kind::Text && std::str::from_utf8(&data).is_err() {
            return Err("the event's data is text, and the new data is not UTF-8".to_owned());
        }
        Ok(())
    }

    /// The event as it is delivered if an operator has edited its data. Its attributes say so.
    #[must_use]
    pub fn with_edited_data(&self, data: Vec<u8>) -> Self {
        let mut edited = Self { data: Some(self.edited(data)), ..self.clone() };
        edited.extensions.insert(EDITED.to_owned(), "true".to_owned());
        edited.typed.insert(EDITED.to_owned());
        edited
    }

    /// Whether an operator has edited the data of this delivery.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        self.attribute(EDITED).is_some()
    }

    fn edited(&self, data: Vec<u8>) -> Data {
        let kind = self.data.as_ref().map_or_else(|| Kind::of(self.datacontenttype.as_deref()), Data::kind);
        Data::new(kind, data)
    }

    /// The media type of the data: the declared one, or else the implied one. `None` if there is neither a media type
    /// nor data.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.datacontenttype.as_deref().or_else(|| self.data.as_ref().map(Data::implied_type))
    }
}

/// The identity of a cause tree: a first event and all events that it led to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CauseTreeId {
    /// The id of the first event, or an id assigned by the host.
    pub id: String,
    /// The source of the first event, within which the id is unique; `None` if the host assigned the id.
    pub source: Option<String>,
}

/// Whether a text may name an extension attribute: lower-case letters and digits (CloudEvents 1.0, section 3.1), at
/// most twice the length that the specification recommends.
#[must_use]
pub fn is_extension_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let core = ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema", "data"];
    (1..=40).contains(&name.len()) && name.bytes().all(plain) && !core.contains(&name)
}

/// Whether a text may name an attribute: one of the specification, or an extension attribute.
#[must_use]
pub fn is_attribute_name(name: &str) -> bool {
    let core = ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema"];
    core.contains(&name) || is_extension_name(name)
}

/// An event with its position in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// The position.
    pub position: Position,
    /// When it was stored.
    pub stored_at: crate::clock::Timestamp,
    /// The event.
    pub event: Arc<Event>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source and id identify an event (CloudEvents 1.0, section 3.1.1), and also causes and cause trees.
    #[test]
    fn causes_and_cause_trees_are_identified_by_source_and_id() {
        let event = |source: &str, extensions: &[(&str, &str)]| Event {
            id: "1".into(),
            source: source.into(),
            extensions: extensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Event::default()
        };
        let (alice, bob) = (event("/alice", &[]), event("/bob", &[]));
        assert_ne!(alice.cause_tree(), bob.cause_tree());
        let caused =
            |cause: &Event| Event { id: "2".into(), extensions: cause.inherited(), ..event("/plugins/p", &[]) };
        assert_eq!(caused(&alice).cause_tree(), alice.cause_tree());
        assert_eq!(caused(&caused(&alice)).cause_tree(), alice.cause_tree());
        assert_ne!(caused(&alice).cause_tree(), caused(&bob).cause_tree());
        let inherited = alice.inherited();
        let names = [CAUSATION_ID, CAUSATION_SOURCE, CORRELATION_ID, CORRELATION_SOURCE, HOPS];
        assert_eq!(names.map(|name| inherited[name].as_str()), ["1", "/alice", "1", "/alice", "1"]);

        let mut asked = event("/alice", &[(CORRELATION_SOURCE, "/bob")]);
        asked.start_cause_tree("f".to_owned());
        assert_eq!(asked.cause_tree(), CauseTreeId { id: "f".into(), source: None });
        assert_eq!(caused(&asked).cause_tree(), asked.cause_tree());
        let of_that_name = Event { id: "f".into(), ..event("/alice", &[]) };
        assert_ne!(of_that_name.cause_tree(), asked.cause_tree(), "an event with that id is not part of the tree");
    }
}
