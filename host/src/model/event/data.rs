//! The data of an event: its bytes, and whether they are JSON, text or binary.
//!
//! The kind is decided once, where an event enters the host, from the form of the data and its media type (CloudEvents
//! JSON format 1.0.2, section 3.1). It is never guessed from the bytes later.

use std::ops::Deref;

/// The payload of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    kind: Kind,
    bytes: Vec<u8>,
}

/// The kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JSON value, as written.
    Json,
    /// A text in UTF-8.
    Text,
    /// Bytes of any other kind.
    Binary,
}

/// How deep arrays and objects may be nested in JSON data. Other parsers have limits of some 128 levels, and an event
/// is often part of another document.
const DEPTH_LIMIT: usize = 100;
/// Media types of texts whose names do not show it.
const TEXTS: [&str; 12] = [
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/jsonl",
    "application/ndjson",
    "application/sql",
    "application/toml",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
];

impl Data {
    /// Data of a kind.
    #[must_use]
    pub fn new(kind: Kind, bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind, bytes: bytes.into() }
    }

    /// Whether JSON data is within the limit of nesting. Other data is never nested.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        self.kind != Kind::Json || is_shallow(&self.bytes)
    }

    /// JSON data.
    #[must_use]
    pub fn json(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Json, bytes)
    }

    /// Binary data.
    #[must_use]
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Binary, bytes)
    }

    /// Data of the kind that a media type declares.
    #[must_use]
    pub fn declared(media_type: &str, bytes: Vec<u8>) -> Self {
        Self::new(Kind::of(Some(media_type)), bytes)
    }

    /// Data that a plugin publishes. Without a media type it is JSON, as in CloudEvents. Bytes that are not JSON come
    /// from interfaces without media types, and are binary.
    #[must_use]
    pub fn published(media_type: Option<&str>, bytes: Vec<u8>) -> Self {
        match media_type {
            Some(media_type) => Self::declared(media_type, bytes),
            None if json_text(&bytes).is_some() => Self::json(bytes),
            None => Self::binary(bytes),
        }
    }

    /// Checks that data declared as JSON is JSON (RFC 8259).
    ///
    /// # Errors
    /// Why it is not.
    pub fn check_json(&self) -> Result<(), String> {
        match self.kind {
            Kind::Json => match serde_json::from_slice::<&serde_json::value::RawValue>(&self.bytes) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            Kind::Text | Kind::Binary => Ok(()),
        }
    }

    /// The kind of the data.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The media type implied by an event without one (JSON format, section 3.1.2; RFC 9110, section 8.3 for unknown
    /// bytes).
    #[must_use]
    pub fn implied_type(&self) -> &'static str {
        match self.kind {
            Kind::Json => "application/json",
            Kind::Text => "text/plain",
            Kind::Binary => "application/octet-stream",
        }
    }

    /// The form of the data in a JSON document.
    #[must_use]
    pub fn json_form(&self) -> JsonForm<'_> {
        let text = || std::str::from_utf8(&self.bytes).ok();
        match self.kind {
            Kind::Json => json_text(&self.bytes).map_or(JsonForm::Base64(&self.bytes), JsonForm::Value),
            Kind::Text => text().map_or(JsonForm::Base64(&self.bytes), JsonForm::Text),
            Kind::Binary => JsonForm::Base64(&self.bytes),
        }
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The form of data in a JSON document. Malformed JSON and text that is not UTF-8 can only be written in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm<'a> {
    /// The member `data`, a JSON value as written.
    Value(&'a str),
    /// The member `data`, a string.
    Text(&'a str),
    /// The member `data_base64`.
    Base64(&'a [u8]),
}

impl Kind {
    /// The kind that a media type declares. Without one, data is JSON (JSON format, section 3.1.1).
    #[must_use]
    pub fn of(media_type: Option<&str>) -> Self {
        match media_type {
            None => Self::Json,
            Some(media_type) if is_json(media_type) => Self::Json,
            Some(media_type) if is_text(media_type) => Self::Text,
            Some(_) => Self::Binary,
        }
    }

    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    /// Parses [`Kind::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Json, Self::Text, Self::Binary].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether a media type is JSON or based on JSON: `*/json` or `*/*+json` (JSON format, section 3.1.1). Case does not
/// matter.
#[must_use]
pub fn is_json(media_type: &str) -> bool {
    essence(media_type).split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Whether a media type declares text in UTF-8.
fn is_text(media_type: &str) -> bool {
    let essence = essence(media_type);
    let is_text = essence.starts_with("text/")
        || TEXTS.contains(&essence.as_str())
        || ["+xml", "+yaml"].iter().any(|suffix| essence.ends_with(suffix));
    is_text && charset(media_type).is_none_or(|charset| matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii"))
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn charset(media_type: &str) -> Option<String> {
    let mut parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches('"').to_ascii_lowercase())
}

/// The bytes as JSON text, if they are JSON (RFC 8259) and within the limit of nesting.
#[must_use]
pub fn json_text(bytes: &[u8]) -> Option<&str> {
    let value: &serde_json::value::RawValue = serde_json::from_slice(bytes).ok()?;
    is_shallow(bytes).then(|| value.get())
}

/// Whether JSON is within the limit of nesting.
fn is_shallow(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON format 1.0.2, section 3.1.1: `*/json` and `*/*+json`, without parameters and case.
    #[test]
    fn media_types_decide_the_kind() {
        let table: [(Option<&str>, Kind); 28] = [
            (None, Kind::Json),
            (Some("application/json"), Kind::Json),
            (Some("Application/JSON; charset=utf-8"), Kind::Json),
            (Some("text/json"), Kind::Json),
            (Some("foo/json"), Kind::Json),
            (Some("foo/json ;v=1"), Kind::Json),
            (Some("application/vnd.api+json"), Kind::Json),
            (Some("image/x+JSON"), Kind::Json),
            (Some("application/cloudevents+json"), Kind::Json),
            (Some("application/json-seq"), Kind::Binary),
            (Some("application/jsonp"), Kind::Binary),
            (Some("json/plain"), Kind::Binary),
            (Some("application/xml+json+zip"), Kind::Binary),
            (Some("text/plain"), Kind::Text),
            (Some("text/plain; charset=UTF-8"), Kind::Text),
            (Some("text/plain; format=flowed; Charset=\"us-ascii\""), Kind::Text),
            (Some("text/plain; charset=iso-8859-1"), Kind::Binary),
            (Some("text/csv"), Kind::Text),
            (Some("application/xml"), Kind::Text),
            (Some("image/svg+xml"), Kind::Text),
            (Some("application/yaml"), Kind::Text),
            (Some("application/x-www-form-urlencoded"), Kind::Text),
            (Some("application/x-protobuf"), Kind::Binary),
            (Some("application/octet-stream"), Kind::Binary),
            (Some("application/vnd.apache.thrift.binary"), Kind::Binary),
            (Some("application/cbor"), Kind::Binary),
            (Some("image/png"), Kind::Binary),
            (Some("multipart/form-data; boundary=x"), Kind::Binary),
        ];
        for (media_type, kind) in table {
            assert_eq!(Kind::of(media_type), kind, "{media_type:?}");
        }
    }

    #[test]
    fn only_bytes_that_cannot_be_written_change_the_form() {
        let table: [(Option<&str>, &[u8], JsonForm<'_>); 9] = [
            (None, br#"{"a": 1e999}"#, JsonForm::Value(r#"{"a": 1e999}"#)),
            (None, b"null", JsonForm::Value("null")),
            (Some("application/json"), b"{", JsonForm::Base64(b"{")),
            (Some("application/json"), b"", JsonForm::Base64(b"")),
            (Some("text/plain"), b"{}", JsonForm::Text("{}")),
            (Some("text/plain"), b"", JsonForm::Text("")),
            (Some("text/plain"), b"\xff", JsonForm::Base64(b"\xff")),
            (Some("application/x-protobuf"), b"\n\x05hello", JsonForm::Base64(b"\n\x05hello")),
            (Some("application/x-protobuf"), b"{}", JsonForm::Base64(b"{}")),
        ];
        for (media_type, bytes, expected) in table {
            assert_eq!(Data::new(Kind::of(media_type), bytes).json_form(), expected, "{media_type:?} {bytes:?}");
        }
    }

    #[test]
    fn deeply_nested_json_is_not_embedded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json_text(nested(DEPTH_LIMIT).as_bytes()).is_some());
        assert!(json_text(nested(DEPTH_LIMIT + 1).as_bytes()).is_none());
        let brackets_in_a_string = format!("[\"\\\"{}\"]", "[".repeat(DEPTH_LIMIT));
        assert!(json_text(brackets_in_a_string.as_bytes()).is_some());
    }
}
