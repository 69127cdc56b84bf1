//! What other services answered to the requests of an invocation, if the host keeps it. It may contain secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

/// The URL of a request, and the response to it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedResponse {
    /// The URL. It has no user info, because requests with user info are refused.
    pub url: String,
    /// The headers of the response.
    pub headers: Vec<(String, String)>,
    /// The body of the response, as far as it was recorded.
    #[serde(with = "bytes")]
    pub body: Vec<u8>,
    /// How far the body was recorded.
    pub body_end: BodyEnd,
    /// The texts that stand for values of the plugin's configuration, by the name of the value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub placeholders: BTreeMap<String, String>,
    /// The memory that it takes.
    #[serde(skip)]
    pub memory: Reservation,
}

/// How far the body of a response was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyEnd {
    /// As far as the handler read it.
    #[default]
    Unread,
    /// To its end.
    Complete,
    /// Up to a limit.
    Truncated,
    /// Up to where the connection broke, or the response stalled.
    Failed,
}

/// The memory that recorded responses may take until they are written. Clones share it.
#[derive(Clone, Debug)]
pub struct ResponseMemory(Arc<AtomicUsize>);

impl ResponseMemory {
    /// A number of bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Reserves nothing yet.
    #[must_use]
    pub fn reservation(&self) -> Reservation {
        Reservation { memory: Some(self.clone()), bytes: 0 }
    }
}

/// A part of the memory. Dropping it gives the part back.
#[derive(Debug, Default)]
pub struct Reservation {
    memory: Option<ResponseMemory>,
    bytes: usize,
}

impl Reservation {
    /// Reserves more bytes. Returns whether there were enough.
    #[must_use]
    pub fn extend(&mut self, bytes: usize) -> bool {
        let Some(ResponseMemory(left)) = &self.memory else { return false };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(ResponseMemory(left)) = &self.memory {
            left.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Recorded responses are equal if their contents are.
impl PartialEq for Reservation {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Reservation {}

/// Bytes in JSON: a text if they are UTF-8, else in Base64.
mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Bytes<'a> {
        Text(std::borrow::Cow<'a, str>),
        Base64(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(bytes).map(|text| Bytes::Text(text.into()));
        text.unwrap_or_else(|_| Bytes::Base64(BASE64.encode(bytes))).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Bytes::deserialize(deserializer)? {
            Bytes::Text(text) => Ok(text.into_owned().into_bytes()),
            Bytes::Base64(text) => BASE64.decode(text).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let memory = ResponseMemory::new(10);
        let (mut one, mut other) = (memory.reservation(), memory.reservation());
        assert!(one.extend(4) && one.extend(4) && !other.extend(4) && other.extend(2));
        drop(one);
        assert!(other.extend(8) && !other.extend(1));
        assert!(!Reservation::default().extend(1));
    }

    #[test]
    fn a_recorded_response_is_kept_as_json() {
        for body in [&b"text"[..], &[0xff, 0x00]] {
            let response = RecordedResponse {
                url: "http://a/".to_owned(),
                headers: vec![("a".to_owned(), "b".to_owned())],
                body: body.to_owned(),
                body_end: BodyEnd::Truncated,
                ..RecordedResponse::default()
            };
            let json = serde_json::to_string(&response).unwrap();
            assert_eq!(serde_json::from_str::<RecordedResponse>(&json).unwrap(), response, "{json}");
        }
    }
}
