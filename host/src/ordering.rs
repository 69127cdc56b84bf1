//! What keeps events in order: a key, taken from each event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// Where an event's key is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OrderingKey {
    /// In an attribute.
    Attribute(String),
    /// In JSON data, at a JSON pointer (RFC 6901).
    Pointer(String),
}

/// A text names no place of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no ordering key; name an attribute, such as `subject`, or a place in the data by a JSON pointer, such as `/customer/id`"
)]
pub struct Invalid(String);

/// The longest name or pointer, in bytes.
const MAX_LENGTH: usize = 255;
/// Keys longer than this, in bytes, share the order of all that begin alike.
const MAX_KEY_LENGTH: usize = 512;

impl OrderingKey {
    /// Reads an attribute's name or a pointer.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        match text {
            _ if text.is_empty() || text.len() > MAX_LENGTH => Err(Invalid(text.chars().take(64).collect())),
            _ if text.starts_with('/') => Ok(Self::Pointer(text.to_owned())),
            _ if is_name => Ok(Self::Attribute(text.to_owned())),
            _ => Err(Invalid(text.to_owned())),
        }
    }

    /// An event's key. An event without one goes in no order.
    #[must_use]
    pub fn of(&self, event: &Event) -> Option<Arc<str>> {
        let key = match self {
            Self::Attribute(name) => event.attribute(name)?.to_owned(),
            Self::Pointer(pointer) => {
                let data: serde_json::Value = serde_json::from_slice(event.data.as_deref()?).ok()?;
                match data.pointer(pointer)? {
                    serde_json::Value::Null => return None,
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                }
            }
        };
        let end = (0..=MAX_KEY_LENGTH.min(key.len())).rev().find(|index| key.is_char_boundary(*index)).unwrap_or(0);
        Some(key[..end].into())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Attribute(text) | Self::Pointer(text) => text,
        }
    }
}

impl TryFrom<String> for OrderingKey {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
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

    #[test]
    fn keys_come_from_attributes_and_from_data() {
        let event = Event {
            subject: Some("a".into()),
            data: Some(br#"{"customer":{"id":7,"name":"x","none":null}}"#.to_vec()),
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
    fn long_keys_are_cut() {
        let event = Event { subject: Some("ä".repeat(1_000)), ..Event::default() };
        let key = OrderingKey::parse("subject").unwrap().of(&event).unwrap();
        assert_eq!(key.len(), MAX_KEY_LENGTH);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "a.b", "Subject", "$.customer"] {
            assert!(OrderingKey::parse(text).is_err(), "{text}");
        }
    }
}
