//! Events in JSON (CloudEvents JSON format 1.0.2, section 3), and in their stored form.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error as _;
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Event;
use super::data::{Data, JsonForm, Kind};
use crate::exact::exact;

/// An event in the JSON format. JSON data is embedded exactly as published: numbers, the order of members, repeated
/// members and white space are preserved.
#[derive(Clone, Copy, Debug)]
pub struct AsJson<'a>(&'a Event);

impl Event {
    /// The event in the JSON format, for embedding in a JSON document.
    #[must_use]
    pub fn as_json(&self) -> AsJson<'_> {
        AsJson(self)
    }

    /// The event as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every event can be written as JSON.
        serde_json::to_string(&self.as_json()).unwrap_or_default()
    }

    /// The event as a value for comparisons. Numbers beyond the precision of the `json` library are rounded, so this is
    /// not the form in which an event leaves the host.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        let text = self.to_json();
        serde_json::from_str(&text).unwrap_or_else(|_| {
            // JSON that a value cannot hold, such as 1e999, is compared as text.
            let mut value = Self { data: None, ..self.clone() }.to_value();
            value["data"] = self.data.as_deref().map(String::from_utf8_lossy).into();
            value
        })
    }

    /// The event as a value without rounding, for comparisons that must not miss a difference.
    #[must_use]
    pub fn to_exact_value(&self) -> serde_json::Value {
        let text = self.to_json();
        serde_json::from_str(&text).map(exact).unwrap_or_default()
    }
}

/// The value of an attribute in its original type (JSON format 1.0.2, section 2.2).
#[derive(Serialize)]
#[serde(untagged)]
enum Attribute<'a> {
    Boolean(bool),
    Integer(i32),
    Text(&'a str),
}

impl<'a> Attribute<'a> {
    fn of(value: &'a str, is_typed: bool) -> Self {
        match (is_typed, value.parse(), value.parse()) {
            (true, Ok(value), _) => Self::Boolean(value),
            (true, _, Ok(value)) => Self::Integer(value),
            _ => Self::Text(value),
        }
    }
}

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event) = self;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("specversion", "1.0")?;
        members.serialize_entry("id", &event.id)?;
        members.serialize_entry("source", &event.source)?;
        members.serialize_entry("type", &event.event_type)?;
        let optional = [
            ("subject", &event.subject),
            ("time", &event.time),
            ("datacontenttype", &event.datacontenttype),
            ("dataschema", &event.dataschema),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                members.serialize_entry(name, value)?;
            }
        }
        for (name, value) in &event.extensions {
            members.serialize_entry(name, &Attribute::of(value, event.typed.contains(name)))?;
        }
        match event.data.as_ref().map(Data::json_form) {
            None => {}
            Some(JsonForm::Value(json)) => {
                let raw: &RawValue = serde_json::from_str(json).map_err(S::Error::custom)?;
                members.serialize_entry("data", raw)?;
            }
            Some(JsonForm::Text(text)) => members.serialize_entry("data", text)?,
            Some(JsonForm::Base64(bytes)) => members.serialize_entry("data_base64", &BASE64_STANDARD.encode(bytes))?,
        }
        members.end()
    }
}

/// The kind of data to store besides the media type: `None` if the media type declares it.
pub(crate) fn stored_kind(media_type: Option<&str>, data: Option<&Data>) -> Option<&'static str> {
    let kind = data.map(Data::kind)?;
    (kind != Kind::of(media_type)).then(|| kind.as_str())
}

/// Restores stored data from its bytes, its media type, and its kind if the media type does not declare it.
pub(crate) fn stored_data(media_type: Option<&str>, kind: Option<&str>, bytes: Vec<u8>) -> Data {
    Data::new(kind.and_then(Kind::parse).unwrap_or_else(|| Kind::of(media_type)), bytes)
}

/// The stored form of an event that is due later.
#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    id: Cow<'a, str>,
    source: Cow<'a, str>,
    event_type: Cow<'a, str>,
    subject: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    datacontenttype: Option<Cow<'a, str>>,
    dataschema: Option<Cow<'a, str>>,
    extensions: Cow<'a, BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    typed: Cow<'a, BTreeSet<String>>,
    data: Option<StoredBytes<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_kind: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer: Option<Cow<'a, str>>,
}

/// Data: in base64 in formats that are text, such as JSON.
struct StoredBytes<'a>(Cow<'a, [u8]>);

impl Serialize for StoredBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.serialize_str(&BASE64_STANDARD.encode(&self.0)),
            false => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for StoredBytes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match deserializer.is_human_readable() {
            true => BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?,
            false => Vec::deserialize(deserializer)?,
        };
        Ok(Self(bytes.into()))
    }
}

fn is_empty(names: &BTreeSet<String>) -> bool {
    names.is_empty()
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = StoredEvent {
            id: self.id.as_str().into(),
            source: self.source.as_str().into(),
            event_type: self.event_type.as_str().into(),
            subject: self.subject.as_deref().map(Cow::Borrowed),
            time: self.time.as_deref().map(Cow::Borrowed),
            datacontenttype: self.datacontenttype.as_deref().map(Cow::Borrowed),
            dataschema: self.dataschema.as_deref().map(Cow::Borrowed),
            extensions: Cow::Borrowed(&self.extensions),
            typed: Cow::Borrowed(&self.typed),
            data: self.data.as_deref().map(|data| StoredBytes(data.into())),
            data_kind: stored_kind(self.datacontenttype.as_deref(), self.data.as_ref()).map(Cow::Borrowed),
            producer: self.producer.as_deref().map(Cow::Borrowed),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredEvent::deserialize(deserializer)?;
        let data = stored.data.map(|StoredBytes(bytes)| {
            stored_data(stored.datacontenttype.as_deref(), stored.data_kind.as_deref(), bytes.into_owned())
        });
        Ok(Self {
            id: stored.id.into_owned(),
            source: stored.source.into_owned(),
            event_type: stored.event_type.into_owned(),
            subject: stored.subject.map(Cow::into_owned),
            time: stored.time.map(Cow::into_owned),
            datacontenttype: stored.datacontenttype.map(Cow::into_owned),
            dataschema: stored.dataschema.map(Cow::into_owned),
            extensions: stored.extensions.into_owned(),
            typed: stored.typed.into_owned(),
            data,
            producer: stored.producer.map(Cow::into_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(media_type: Option<&str>, data: Option<Data>) -> Event {
        Event {
            id: "1".into(),
            source: "/s".into(),
            event_type: "t".into(),
            datacontenttype: media_type.map(str::to_owned),
            data,
            ..Event::default()
        }
    }

    #[test]
    fn json_data_is_written_unchanged() {
        for data in [
            r#"{"wei":123456789012345678901,"b":1,"a":0.10}"#,
            r#"{"a":1,"a":2}"#,
            "[1e999, -0, 1.0]",
            "{ \"a\" :\t1 }",
            "null",
            r#""\ud83d\ude00""#,
        ] {
            let written = event(None, Some(Data::json(data))).to_json();
            assert!(written.ends_with(&format!(r#","data":{data}}}"#)), "{written}");
        }
    }

    #[test]
    fn data_of_every_kind_has_its_member() {
        let member = |media_type, data| {
            let written = event(media_type, Some(data)).to_value();
            (written["data"].clone(), written["data_base64"].clone())
        };
        let (absent, text) = (serde_json::Value::Null, |text: &str| serde_json::Value::from(text));
        assert_eq!(member(None, Data::binary(*b"{}")), (absent.clone(), text("e30=")));
        assert_eq!(member(Some("text/plain"), Data::new(Kind::Text, *b"hello")), (text("hello"), absent.clone()));
        assert_eq!(member(Some("application/json"), Data::json(*b"{")), (absent, text("ew==")));
        assert!(!event(None, None).to_json().contains("data"));
    }

    #[test]
    fn the_store_keeps_the_kind_of_data() {
        for (media_type, data) in [
            (None, None),
            (None, Some(Data::json(*b"null"))),
            (None, Some(Data::binary(*b"{}"))),
            (Some("application/json"), Some(Data::binary(*b"{}"))),
            (Some("text/plain"), Some(Data::binary(*b"x"))),
            (Some("text/plain"), Some(Data::new(Kind::Text, Vec::new()))),
            (Some("application/x-protobuf"), Some(Data::new(Kind::Text, *b"x"))),
            (Some("application/xml"), Some(Data::json(*b"{}"))),
        ] {
            let event = event(media_type, data);
            let stored = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&stored).unwrap(), event, "{stored}");
        }
    }

    #[test]
    fn attributes_keep_their_types() {
        let mut event = event(None, None);
        for (name, value) in [("a", "10"), ("b", "true"), ("c", "10"), ("d", "true"), ("e", "-2147483648")] {
            event.extensions.insert(name.to_owned(), value.to_owned());
        }
        event.typed = ["a", "b", "e"].map(str::to_owned).into();
        let written = event.to_json();
        assert!(written.ends_with(r#""a":10,"b":true,"c":"10","d":"true","e":-2147483648}"#), "{written}");
        let stored = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&stored).unwrap(), event);
    }

    /// Written by a version without kinds.
    #[test]
    fn a_stored_event_without_a_kind_is_still_read() {
        let stored = r#"{"id":"1","source":"/s","event_type":"t","subject":null,"time":null,"datacontenttype":null,
            "dataschema":null,"extensions":{},"data":"e30="}"#;
        assert_eq!(serde_json::from_str::<Event>(stored).unwrap(), event(None, Some(Data::json(*b"{}"))));
    }
}
