//! Ordering keys, which are taken from each event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{Event, is_attribute_name, json_text};
use crate::exact;

/// Where to find the key of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum OrderingKey {
    /// In an attribute.
    Attribute(String),
    /// In JSON data, at a JSON pointer (RFC 6901).
    Pointer(String),
}

/// The error for a text that is not an ordering key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an ordering key; name an attribute, such as `subject`, or a JSON pointer into the data, such as `/customer/id`"
)]
pub struct ParseError(String);

/// The longest name or pointer, in bytes.
const MAX_LENGTH: usize = 255;
/// The longest key, in bytes. Longer keys are truncated, so that those with the same beginning share an order.
const MAX_KEY_LENGTH: usize = 512;

impl OrderingKey {
    /// Parses the name of an attribute, or a JSON pointer.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        match Self::of_text(text) {
            Self::Pointer(_) if text.len() <= MAX_LENGTH && is_pointer(text) => Ok(Self::of_text(text)),
            Self::Attribute(_) if is_attribute_name(text) => Ok(Self::of_text(text)),
            _ => Err(ParseError(text.chars().take(64).collect())),
        }
    }

    fn of_text(text: &str) -> Self {
        if text.starts_with('/') { Self::Pointer(text.to_owned()) } else { Self::Attribute(text.to_owned()) }
    }

    /// The key of an event. An event without a key is not ordered.
    #[must_use]
    pub fn of(&self, event: &Event) -> Option<Arc<str>> {
        let key = match self {
            Self::Attribute(name) => event.attribute(name)?.to_owned(),
            Self::Pointer(pointer) => key_of(exact::resolve_pointer(json_text(event.data.as_deref()?)?, pointer)?)?,
        };
        let end = (0..=MAX_KEY_LENGTH.min(key.len())).rev().find(|index| key.is_char_boundary(*index)).unwrap_or(0);
        Some(key[..end].into())
    }

    /// The key as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Attribute(text) | Self::Pointer(text) => text,
        }
    }
}

/// Whether every `~` of a pointer begins an escape (RFC 6901, section 3).
fn is_pointer(text: &str) -> bool {
    text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// The key of a value in the data. Equal numbers are the same key, however they are written, and different ones never
/// are.
fn key_of(value: &RawValue) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'n' => None,
        b'"' => serde_json::from_str(text).ok(),
        b'-' | b'0'..=b'9' => Some(exact::number_text(text)),
        _ => Some(exact::value_text(value)),
    }
}

/// Reads a stored key. Earlier versions accepted names that no attribute can have.
impl From<String> for OrderingKey {
    fn from(text: String) -> Self {
        Self::of_text(&text)
    }
}

impl From<OrderingKey> for String {
    fn from(key: OrderingKey) -> Self {
        key.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;

    #[test]
    fn keys_come_from_attributes_and_from_data() {
        let event = Event {
            subject: Some("a".into()),
            data: Some(Data::json(*br#"{"customer":{"id":7,"name":"x","none":null}}"#)),
            ..Event::default()
        };
        let key = |text| OrderingKey::parse(text).unwrap().of(&event).map(|key| key.to_string());
        assert_eq!(key("subject").as_deref(), Some("a"));
        assert_eq!(key("partition"), None);
        assert_eq!(key("/customer/id").as_deref(), Some("7"));
        assert_eq!(key("/customer/name").as_deref(), Some("x"));
        assert_eq!(key("/customer/none"), None);
        assert_eq!(key("/nowhere"), None);
    }

    #[test]
    fn different_numbers_are_different_keys() {
        let key = |number: &str| {
            let event = Event { data: Some(Data::json(format!(r#"{{"id":{number}}}"#))), ..Event::default() };
            OrderingKey::parse("/id").unwrap().of(&event).unwrap()
        };
        let different =
            ["7", "7.5", "12345678901234567890123", "12345678901234567890124", "1e999", "0.30000000000000000001"];
        for (index, one) in different.iter().enumerate() {
            for other in &different[index + 1..] {
                assert_ne!(key(one), key(other));
                assert_ne!(key(&format!("[{one}]")), key(&format!("[{other}]")), "also inside other values");
            }
        }
        let equal: [&[&str]; 6] = [
            &["7", "7.0", "7e0", "7E+0", "70e-1", "0.7e1", "7.000"],
            &["100", "1e2", "1E2", "100.0", "0.1e3"],
            &["0", "-0", "0.0", "-0.0", "0e9", "0E-999999999999"],
            &["-7", "-7.0", "-70e-1"],
            &["1.5", "1.50", "15e-1"],
            &["12345678901234567890123", "1234567890123456789012.3e1", "12345678901234567890123.0"],
        ];
        for same in equal {
            for other in same {
                assert_eq!(key(same[0]), key(other));
                assert_eq!(key(&format!("[{}]", same[0])), key(&format!("[{other}]")), "also inside other values");
            }
        }
        assert_eq!((&*key("7.0"), &*key("[1e2]")), ("7", "[100]"), "integers have the same key as in earlier versions");
    }

    #[test]
    fn long_keys_are_truncated() {
        let event = Event { subject: Some("ä".repeat(1_000)), ..Event::default() };
        let key = OrderingKey::parse("subject").unwrap().of(&event).unwrap();
        assert_eq!(key.len(), MAX_KEY_LENGTH);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "a.b", "Subject", "$.customer", "data", "/a~2", "/~"] {
            assert!(OrderingKey::parse(text).is_err(), "{text}");
        }
    }
}
