//! Parses CloudEvents 1.0 over HTTP (HTTP binding 1.0.2) in binary, structured and batched mode. Parsing is strict,
//! except where known senders do not percent-encode header values.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use axum::http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use base64::Engine as _;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::{AttributeError, Data, Event, Kind, is_extension_name, json_text};
use crate::problem::Problem;
use crate::server::MediaType;

/// How a request carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// One event in JSON.
    Structured,
    /// A JSON array of events.
    Batched,
}

/// The number of events after which parsing a batch yields the core. Otherwise threads that were woken on the same core
/// might wait for milliseconds although another core is idle.
const YIELD_AFTER: usize = 32;
/// The maximum number of events in a batch.
const BATCH_LIMIT: usize = 10_000;

impl Mode {
    /// The mode of a request (HTTP binding, section 3).
    ///
    /// # Errors
    /// A problem: 415 if the request has no events or its JSON is not UTF-8, 400 if its media type is malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let media_type = MediaType::of(headers)?;
        let mode = Self::from_media_type(media_type.as_ref().map(MediaType::essence).unwrap_or_default(), headers)?;
        match media_type {
            Some(media_type) if mode != Self::Binary || Kind::of(Some(media_type.essence())) == Kind::Json => {
                media_type.require_utf8().map(|()| mode)
            }
            _ => Ok(mode),
        }
    }

    fn from_media_type(media_type: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        match media_type {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batched),
            other if other.starts_with("application/cloudevents") => Err(unsupported(format!(
                "the event format {other} is not supported; send application/cloudevents+json"
            ))),
            _ if headers.keys().any(|name| name.as_str().starts_with("ce-")) => Ok(Self::Binary),
            _ => Err(unsupported(
                "the request is not a CloudEvent; send ce-id, ce-source, ce-type and ce-specversion headers, or application/cloudevents+json",
            )),
        }
    }
}

fn unsupported(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-cloudevent", detail)
}

fn invalid(detail: impl fmt::Display) -> Problem {
    Problem::bad_request("invalid-event", detail.to_string())
}

/// Parses the events of a request.
///
/// # Errors
/// The error, with the event's index in a batch.
pub(crate) fn parse(mode: Mode, headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<Event>, Problem> {
    match mode {
        Mode::Binary => binary(headers, body).map(|event| vec![event]).map_err(invalid),
        Mode::Structured => structured(&body).map(|event| vec![event]).map_err(invalid),
        Mode::Batched => batch(&body),
    }
}

fn batch(body: &[u8]) -> Result<Vec<Event>, Problem> {
    let items: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request("invalid-batch", format!("the batch is not a JSON array: {error}")))?;
    if items.len() > BATCH_LIMIT {
        let detail = format!("a batch is limited to {BATCH_LIMIT} events; this one has {}", items.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "batch-too-long", detail));
    }
    let parse = |(index, item): (usize, &&RawValue)| {
        if index % YIELD_AFTER == YIELD_AFTER - 1 {
            std::thread::yield_now();
        }
        structured(item.get().as_bytes()).map_err(|error| invalid(format!("event {index} of the batch: {error}")))
    };
    items.iter().enumerate().map(parse).collect()
}

/// An error in an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ParseError {
    #[error("it is not a JSON object: {0}")]
    Json(String),
    #[error("the attribute `{0}` is missing")]
    Missing(&'static str),
    #[error("the attribute `{0}` is given twice")]
    Repeated(String),
    #[error(transparent)]
    Value(#[from] AttributeError),
    #[error("`{0}` is not a valid attribute name; a name has 1 to 40 lower-case letters and digits")]
    Name(String),
    #[error("the specversion is `{0}`; this host supports 1.0")]
    Version(String),
    #[error("it has both `data` and `data_base64`")]
    DataAndBase64,
    #[error("`data_base64` is not base64")]
    Base64,
    #[error("the member `data` is nested deeper than 100 levels")]
    Depth,
    #[error(
        "`data` is UTF-8, because the JSON document is, but `datacontenttype` has another charset; omit the charset, or send the bytes as `data_base64`"
    )]
    Charset,
}

fn invalid_attribute(name: &str, what: &'static str) -> ParseError {
    ParseError::Value(AttributeError { name: name.to_owned(), what })
}

fn binary(headers: &HeaderMap, body: Vec<u8>) -> Result<Event, ParseError> {
    let mut attributes = Attributes::default();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let mut values = headers.get_all(name).iter();
        let (value, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(ParseError::Repeated(attribute.to_owned()));
        }
        let value = value.map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
        attributes.put(attribute, decode(attribute, value)?)?;
    }
    if let Some(content_type) = headers.get(CONTENT_TYPE) {
        let text = content_type.to_str().map_err(|_| invalid_attribute("datacontenttype", "is not ASCII"))?;
        attributes.put("datacontenttype", text.to_owned())?;
    }
    let media_type = attributes.core.get("datacontenttype").map(String::as_str);
    // Without a media type, the bytes cannot be interpreted.
    let data = (!body.is_empty()).then(|| match media_type {
        Some(media_type) => Data::declared(media_type, body),
        None => Data::binary(body),
    });
    attributes.into_event(data)
}

/// Decodes a header value (HTTP binding 1.0, section 3.1.3.2): removes the quotes that older senders add, and
/// percent-decodes once. Malformed escapes stay as they are, since not all senders encode.
fn decode(attribute: &str, value: &[u8]) -> Result<String, ParseError> {
    let value = unquoted(value);
    let decoded = percent_encoding::percent_decode(&value).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid_attribute(attribute, "is not UTF-8"))
}

/// Unquotes a quoted string (RFC 9110, section 5.6.4). Other values stay as they are.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return Cow::Borrowed(value);
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        let escaped = if *byte == b'\\' { bytes.next() } else { None };
        plain.push(*escaped.unwrap_or(byte));
    }
    Cow::Owned(plain)
}

/// The members of a JSON event, with `data` as written. Repeated names are an error.
struct Members(BTreeMap<String, Box<RawValue>>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.insert(name.clone(), value).is_some() {
                        return Err(serde::de::Error::custom(format!("`{name}` is given twice")));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn structured(json: &[u8]) -> Result<Event, ParseError> {
    let Members(mut members) = serde_json::from_slice(json).map_err(|error| ParseError::Json(error.to_string()))?;
    let data = members.remove("data");
    let data_base64 = members.remove("data_base64").filter(|data| data.get() != "null");
    let mut attributes = Attributes::default();
    for (name, value) in members {
        if let Some(text) = attribute_text(&name, &value)? {
            let is_typed = !value.get().starts_with('"');
            attributes.put(&name, text)?;
            attributes.typed.extend(is_typed.then_some(name));
        }
    }
    let declares_json = Kind::of(attributes.core.get("datacontenttype").map(String::as_str)) == Kind::Json;
    // In JSON data, null is a value. For other media types it means that there is no data.
    let data = data.filter(|data| declares_json || data.get() != "null");
    let data = match (data, data_base64) {
        (Some(_), Some(_)) => return Err(ParseError::DataAndBase64),
        (None, None) => None,
        (Some(data), None) => Some(json_or_text(&data, declares_json)?),
        (None, Some(text)) => {
            let text: String = serde_json::from_str(text.get()).map_err(|_| ParseError::Base64)?;
            Some(Data::binary(base64::prelude::BASE64_STANDARD.decode(text).map_err(|_| ParseError::Base64)?))
        }
    };
    let declared = attributes.core.get("datacontenttype").and_then(|text| MediaType::parse(text));
    if data.as_ref().is_some_and(|data| data.kind() != Kind::Binary) && declared.is_some_and(|it| !it.is_utf8()) {
        return Err(ParseError::Charset);
    }
    attributes.into_event(data)
}

/// Reads `data` (JSON format 1.0.2, section 3.1.2): a JSON value as written, or the content of a string if the media
/// type is not JSON. A value that is not a string remains JSON.
fn json_or_text(data: &RawValue, declares_json: bool) -> Result<Data, ParseError> {
    let json = data.get();
    if !declares_json && json.starts_with('"') {
        let text: String = serde_json::from_str(json).map_err(|error| ParseError::Json(error.to_string()))?;
        return Ok(Data::new(Kind::Text, text));
    }
    // Data that is nested too deeply for parsers must not be stored.
    json_text(json.as_bytes()).map(Data::json).ok_or(ParseError::Depth)
}

/// The text of an attribute value (CloudEvents 1.0, section 3.1): strings, booleans and 32-bit integers. Null means
/// that the attribute is not set.
fn attribute_text(name: &str, value: &RawValue) -> Result<Option<String>, ParseError> {
    use serde_json::Value;
    let wrong = || invalid_attribute(name, "is not a string, boolean or 32-bit integer");
    let core = CORE.contains(&name);
    match serde_json::from_str(value.get()).map_err(|_| wrong())? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(value) if !core => Ok(Some(value.to_string())),
        Value::Number(number) if !core => {
            let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
            number.map(|number| Some(number.to_string())).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

/// The attributes that the specification defines.
const CORE: [&str; 8] = ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema"];

#[derive(Default)]
struct Attributes {
    core: BTreeMap<&'static str, String>,
    extensions: BTreeMap<String, String>,
    /// The names of the attributes that are JSON booleans or integers.
    typed: BTreeSet<String>,
}

impl Attributes {
    fn put(&mut self, name: &str, value: String) -> Result<(), ParseError> {
        let before = match CORE.iter().find(|core| **core == name) {
            Some(core) => self.core.insert(core, value),
            None if !is_extension_name(name) => return Err(ParseError::Name(name.chars().take(64).collect())),
            None => self.extensions.insert(name.to_owned(), value),
        };
        before.map_or(Ok(()), |_| Err(ParseError::Repeated(name.to_owned())))
    }

    fn required(&mut self, name: &'static str) -> Result<String, ParseError> {
        self.core.remove(name).ok_or(ParseError::Missing(name))
    }

    fn into_event(mut self, data: Option<Data>) -> Result<Event, ParseError> {
        let specversion = self.required("specversion")?;
        if specversion != "1.0" {
            return Err(ParseError::Version(specversion));
        }
        let event = Event {
            id: self.required("id")?,
            source: self.required("source")?,
            event_type: self.required("type")?,
            subject: self.core.remove("subject"),
            time: self.core.remove("time"),
            datacontenttype: self.core.remove("datacontenttype"),
            dataschema: self.core.remove("dataschema"),
            extensions: self.extensions,
            typed: self.typed,
            data,
            producer: None,
        };
        event.check()?;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    const REQUIRED: [(&str, &str); 4] =
        [("ce-id", "1"), ("ce-source", "/shop"), ("ce-type", "order.placed"), ("ce-specversion", "1.0")];

    #[test]
    fn binary_mode_takes_attributes_from_headers() {
        let mut pairs = REQUIRED.to_vec();
        pairs.extend([("ce-subject", "Z%C3%BCrich 100%"), ("ce-tenant", "a"), ("content-type", "text/plain")]);
        let event = binary(&headers(&pairs), b"hello".to_vec()).unwrap();
        assert_eq!(event.subject.as_deref(), Some("Zürich 100%"));
        assert_eq!(event.extensions["tenant"], "a");
        assert_eq!(event.datacontenttype.as_deref(), Some("text/plain"));
        assert_eq!(event.data.as_deref(), Some(&b"hello"[..]));
    }

    #[test]
    fn quoted_values_mean_what_is_in_their_quotes() {
        for (written, meant) in [
            (r#""a b""#, "a b"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (r#""%22a%22""#, r#""a""#),
            (r#"a "b""#, r#"a "b""#),
            (r#"""#, r#"""#),
            (r#""a\""#, r#"a\"#),
        ] {
            let mut pairs = REQUIRED.to_vec();
            pairs.push(("ce-subject", written));
            assert_eq!(binary(&headers(&pairs), Vec::new()).unwrap().subject.as_deref(), Some(meant), "{written}");
        }
    }

    #[test]
    fn binary_mode_refuses_what_is_malformed() {
        let with = |name, value| {
            let mut pairs = REQUIRED.to_vec();
            pairs.push((name, value));
            binary(&headers(&pairs), Vec::new())
        };
        assert_eq!(with("ce-id", "2"), Err(ParseError::Repeated("id".into())));
        assert_eq!(with("ce-subject", "%ff"), Err(invalid_attribute("subject", "is not UTF-8")));
        assert_eq!(with("ce-subject", "%c0%80"), Err(invalid_attribute("subject", "is not UTF-8")));
        assert_eq!(with("ce-subject", "\"\""), Err(invalid_attribute("subject", "is empty")));
        assert!(matches!(with("ce-my_name", "x"), Err(ParseError::Name(_))));
        assert!(matches!(with("ce-time", "yesterday"), Err(ParseError::Value(..))));
        let missing = headers(&REQUIRED[1..]);
        assert_eq!(binary(&missing, Vec::new()), Err(ParseError::Missing("id")));
    }

    #[test]
    fn structured_mode_keeps_data_as_it_was_written() {
        let json = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","n":5,"data":{"b": 1.0,  "a":12345678901234567890123}}"#;
        let event = structured(json).unwrap();
        assert_eq!(event.data.as_deref(), Some(&br#"{"b": 1.0,  "a":12345678901234567890123}"#[..]));
        assert_eq!(event.extensions["n"], "5");
        assert!(event.to_json().contains(r#""n":5,"#), "{}", event.to_json());
    }

    /// JSON format 1.0.2, section 3.1: the data is unchanged, for any bytes.
    #[test]
    fn data_has_the_kind_that_it_came_with() {
        use Kind::{Binary, Json, Text};
        type Expected = Option<(Kind, &'static [u8])>;
        let table: [(&str, Expected); 17] = [
            ("", None),
            (r#","data":null"#, Some((Json, b"null"))),
            (r#","datacontenttype":"application/json","data":null"#, Some((Json, b"null"))),
            (r#","datacontenttype":"text/plain","data":null"#, None),
            (r#","data_base64":null"#, None),
            (r#","data":"{}""#, Some((Json, br#""{}""#))),
            (r#","data":[1e999,-0, 1.0]"#, Some((Json, b"[1e999,-0, 1.0]"))),
            (r#","datacontenttype":"foo/json","data":"x""#, Some((Json, br#""x""#))),
            (r#","datacontenttype":"text/plain","data":"{}""#, Some((Text, b"{}"))),
            (r#","datacontenttype":"text/plain","data":"""#, Some((Text, b""))),
            (r#","datacontenttype":"application/xml","data":{"a": 1}"#, Some((Json, br#"{"a": 1}"#))),
            (r#","datacontenttype":"application/x-protobuf","data":"x""#, Some((Text, b"x"))),
            (r#","data_base64":"eyAieHl6IjogMTIzIH0=""#, Some((Binary, br#"{ "xyz": 123 }"#))),
            (r#","data_base64":"/wD/""#, Some((Binary, b"\xff\x00\xff"))),
            (r#","data_base64":"""#, Some((Binary, b""))),
            (r#","datacontenttype":"application/json","data_base64":"e30=""#, Some((Binary, b"{}"))),
            (r#","datacontenttype":"text/plain","data_base64":"eA==""#, Some((Binary, b"x"))),
        ];
        for (members, expected) in table {
            let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#);
            let event = structured(json.as_bytes()).unwrap();
            let expected = expected.map(|(kind, bytes)| Data::new(kind, bytes));
            assert_eq!(event.data, expected, "{members}");
            assert_eq!(structured(event.to_json().as_bytes()).unwrap(), event, "{members}");
        }
    }

    #[test]
    fn bytes_without_a_media_type_are_binary() {
        let event = binary(&headers(&REQUIRED), b"{}".to_vec()).unwrap();
        assert_eq!((event.data, event.datacontenttype), (Some(Data::binary(*b"{}")), None));
    }

    #[test]
    fn structured_mode_refuses_what_is_malformed() {
        let event = |extra: &str| {
            structured(format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{extra}}}"#).as_bytes())
        };
        assert!(event("").is_ok());
        assert!(event(r#","subject":null"#).is_ok());
        assert!(event(r#","id":"2""#).is_err());
        assert!(event(r#","time":5"#).is_err());
        assert!(event(r#","x":1.5"#).is_err());
        assert!(event(r#","x":{}"#).is_err());
        assert!(event(r#","X":"1""#).is_err());
        assert!(event(r#","subject":"""#).is_err());
        assert!(event(r#","data":1,"data_base64":"YQ==""#).is_err());
        assert!(event(r#","data_base64":"?""#).is_err());
        assert!(event(r#","dataschema":"schema""#).is_err());
        let latin = r#","datacontenttype":"text/plain; charset=iso-8859-1""#;
        assert_eq!(event(&format!(r#"{latin},"data":"x""#)), Err(ParseError::Charset));
        assert!(event(&format!(r#"{latin},"data_base64":"/A==""#)).is_ok());
        assert_eq!(event(r#","datacontenttype":"a/json; charset=utf-16","data":1"#), Err(ParseError::Charset));
        assert!(event(&format!(r#","data":{}1{}"#, "[".repeat(10_000), "]".repeat(10_000))).is_err());
        assert!(structured(br#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#).is_err());
        assert!(structured(b"[]").is_err());
    }

    #[test]
    fn modes_are_told_by_media_type_without_case() {
        let mode = |media_type| Mode::of(&headers(&[("content-type", media_type)]));
        assert_eq!(mode("Application/CloudEvents+JSON; charset=utf-8").unwrap(), Mode::Structured);
        assert_eq!(mode("application/cloudevents-batch+json").unwrap(), Mode::Batched);
        assert!(mode("application/json").is_err());
        assert_eq!(Mode::of(&headers(&[("ce-id", "1")])).unwrap(), Mode::Binary);
    }

    /// RFC 8259, section 8.1: JSON is UTF-8. RFC 9110, section 8.3: one media type, possibly with parameters.
    #[test]
    fn json_in_another_charset_is_refused_and_other_data_passes() {
        let mode = |media_type: &str| {
            let mode = Mode::of(&headers(&[("ce-id", "1"), ("content-type", media_type)]));
            mode.map_err(|problem| (problem.status().as_u16(), problem.code()))
        };
        for (media_type, expected) in [
            ("application/cloudevents+json; charset=us-ascii", Ok(Mode::Structured)),
            ("application/cloudevents+json; charset=iso-8859-1", Err((415, "unsupported-charset"))),
            ("application/cloudevents-batch+json; charset=UTF-16", Err((415, "unsupported-charset"))),
            ("application/json; charset=UTF-8", Ok(Mode::Binary)),
            ("application/json; charset=utf-16", Err((415, "unsupported-charset"))),
            ("application/vnd.a+json; charset=\"latin1\"", Err((415, "unsupported-charset"))),
            ("text/plain; charset=iso-8859-1", Ok(Mode::Binary)),
            ("application/xml; charset=utf-16", Ok(Mode::Binary)),
            ("", Err((400, "invalid-content-type"))),
            ("json", Err((400, "invalid-content-type"))),
            ("application/json; charset", Err((400, "invalid-content-type"))),
            ("application/json, text/plain", Err((400, "invalid-content-type"))),
        ] {
            assert_eq!(mode(media_type), expected, "{media_type:?}");
        }
        let twice = headers(&[("ce-id", "1"), ("content-type", "text/plain"), ("content-type", "text/plain")]);
        assert_eq!(Mode::of(&twice).unwrap_err().code(), "repeated-header");
    }

    #[test]
    fn a_batch_names_its_bad_event() {
        let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
        let problem = batch(format!("[{good},{{}}]").as_bytes()).unwrap_err();
        assert_eq!(problem.code(), "invalid-event");
        assert_eq!(batch(b"[]").unwrap(), []);
        let long = format!("[{}{good}]", format!("{good},").repeat(BATCH_LIMIT));
        assert_eq!(batch(long.as_bytes()).unwrap_err().status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    proptest! {
        /// No input makes the parser panic, and every accepted event survives writing and reading.
        #[test]
        fn accepted_events_survive_a_round_trip(id in "[ -~]{1,8}", subject in "\\PC{1,8}", data in proptest::option::of(".*")) {
            let json = serde_json::json!({
                "specversion": "1.0", "id": id, "source": "/s", "type": "t", "subject": subject, "data": data,
            });
            if let Ok(event) = structured(json.to_string().as_bytes()) {
                let again = structured(event.to_json().as_bytes()).unwrap();
                prop_assert_eq!(again, event);
            }
        }

        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(structured(&body));
            drop(batch(&body));
        }
    }
}
