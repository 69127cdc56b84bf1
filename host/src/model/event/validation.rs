//! Validates the attributes of all events, of any origin (CloudEvents 1.0, section 3.1).

use super::{Data, Event};
use crate::clock::Timestamp;
use crate::pattern::{MAX_LENGTH, is_forbidden};

/// The longest value of an attribute, in bytes. Events of 64 KiB must be accepted (CloudEvents 1.0.2, section 5), and a
/// single attribute may make up all of one.
pub const ATTRIBUTE_LIMIT: usize = 64 << 10;

/// An attribute, or the data, violates the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} `{name}` {what}", if name == "data" { "member" } else { "attribute" })]
pub struct AttributeError {
    /// The attribute's name.
    pub name: String,
    /// The fault.
    pub what: &'static str,
}

impl Event {
    /// Checks the values of the attributes. The names of extension attributes are checked where they are parsed.
    ///
    /// # Errors
    /// The first invalid value.
    pub fn check(&self) -> Result<(), AttributeError> {
        core("id", &self.id)?;
        core("source", &self.source)?;
        demand(
            "source",
            is_uri_reference(&self.source),
            "is not a URI reference (RFC 3986); percent-encode other characters",
        )?;
        check_type(&self.event_type)?;
        if let Some(time) = &self.time {
            core("time", time)?;
            demand("time", Timestamp::parse(time).is_some(), "is not a time in RFC 3339")?;
        }
        self.check_message()
    }

    /// Checks the values of the attributes that a plugin sets. The host sets the others.
    ///
    /// # Errors
    /// The first invalid value.
    pub fn check_message(&self) -> Result<(), AttributeError> {
        let given =
            [("subject", &self.subject), ("datacontenttype", &self.datacontenttype), ("dataschema", &self.dataschema)];
        for (name, value) in given {
            value.as_ref().map_or(Ok(()), |value| core(name, value))?;
        }
        for (name, value) in &self.extensions {
            text(name, value)?;
        }
        demand("data", self.data.as_ref().is_none_or(Data::is_shallow), "is nested deeper than 100 levels")?;
        demand(
            "dataschema",
            self.dataschema.as_deref().is_none_or(is_uri),
            "is not an absolute URI (RFC 3986); percent-encode other characters",
        )?;
        demand("datacontenttype", self.datacontenttype.as_deref().is_none_or(is_media_type), "is not a media type")
    }
}

/// Checks an event type: any string that CloudEvents allows, at most as long as a pattern.
///
/// # Errors
/// If it is invalid.
pub fn check_type(event_type: &str) -> Result<(), AttributeError> {
    core("type", event_type)?;
    demand("type", event_type.len() <= MAX_LENGTH, "is longer than 255 bytes")
}

/// Checks an attribute that an event must have, such as its id.
///
/// # Errors
/// If no event can have this value.
pub fn check_attribute(name: &str, value: &str) -> Result<(), AttributeError> {
    core(name, value)
}

fn demand(name: &str, holds: bool, what: &'static str) -> Result<(), AttributeError> {
    if holds { Ok(()) } else { Err(AttributeError { name: name.to_owned(), what }) }
}

/// Checks an attribute of the specification, which must not be empty.
fn core(name: &str, value: &str) -> Result<(), AttributeError> {
    demand(name, !value.is_empty(), "is empty")?;
    text(name, value)
}

fn text(name: &str, value: &str) -> Result<(), AttributeError> {
    demand(name, value.len() <= ATTRIBUTE_LIMIT, "is longer than 65536 bytes")?;
    let is_plain = match value.is_ascii() {
        true => !value.bytes().any(|byte| byte.is_ascii_control()),
        false => !value.chars().any(is_forbidden),
    };
    demand(name, is_plain, "has a control character or a noncharacter")
}

/// Whether a text is a URI reference (RFC 3986, section 4.1). Non-ASCII characters must be percent-encoded.
fn is_uri_reference(text: &str) -> bool {
    fluent_uri::UriRef::parse(text).is_ok()
}

/// Whether a text is a URI with a scheme (RFC 3986, section 3). A fragment is accepted, because schemas often have one.
fn is_uri(text: &str) -> bool {
    fluent_uri::Uri::parse(text).is_ok()
}

/// Whether a text begins with a type and a subtype, like a media type (RFC 2045, section 5.1).
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(plain)
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event { id: "1".to_owned(), source: "/s".to_owned(), event_type: "a.b".to_owned(), ..Event::default() }
    }

    #[test]
    fn invalid_attributes_are_named() {
        assert_eq!(event().check(), Ok(()));
        let unfit = |change: &dyn Fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            event.check().unwrap_err().to_string()
        };
        assert_eq!(unfit(&|event| event.subject = Some(String::new())), "the attribute `subject` is empty");
        let mut longest = event();
        longest.event_type = "a".repeat(255);
        assert_eq!(longest.check(), Ok(()));
        let wrong = unfit(&|event| event.event_type = "a".repeat(256));
        assert_eq!(wrong, "the attribute `type` is longer than 255 bytes");
        // CloudEvents 1.0.2, section 3.1.1: a type is any string that is not empty.
        for text in ["two words", "a..b", ".", " ", "a.*", ">", "a\u{a0}b", "\u{e4}.\u{1f980}", "https://a/b?c#d"] {
            assert_eq!(check_type(text), Ok(()), "{text:?}");
        }
        for text in ["", "a\n", "\u{0}", "a\u{7f}", "a\u{85}b", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"] {
            assert!(check_type(text).is_err(), "{text:?}");
        }
        let wrong = unfit(&|event| event.datacontenttype = Some("a/b\n".to_owned()));
        assert_eq!(wrong, "the attribute `datacontenttype` has a control character or a noncharacter");
        let wrong = unfit(&|event| event.datacontenttype = Some("json".to_owned()));
        assert_eq!(wrong, "the attribute `datacontenttype` is not a media type");
        let wrong = unfit(&|event| event.dataschema = Some("x".to_owned()));
        assert_eq!(
            wrong,
            "the attribute `dataschema` is not an absolute URI (RFC 3986); percent-encode other characters"
        );
        let nested = |depth: usize| Data::json(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        let deepest = Event { data: Some(nested(100)), ..event() };
        assert_eq!(deepest.check(), Ok(()));
        let wrong = unfit(&|event| event.data = Some(nested(101)));
        assert_eq!(wrong, "the member `data` is nested deeper than 100 levels");
        let wrong = unfit(&|event| drop(event.extensions.insert("tenant".to_owned(), "a".repeat(65_537))));
        assert_eq!(wrong, "the attribute `tenant` is longer than 65536 bytes");
    }

    /// RFC 3986, sections 3 and 4.1, and its examples in section 5.4.
    #[test]
    fn uris_are_those_of_rfc_3986() {
        let absolute = [
            "http://example.com",
            "https://user@example.com:8080/a/b?c=d#e",
            "http://[2001:db8::7]/c=GB?objectClass?one",
            "http://[::ffff:192.0.2.1]:80/",
            "http://[v1.fe:x]/",
            "urn:example:animal:ferret:nose",
            "mailto:John.Doe@example.com",
            "tag:example.com,2018:x",
            "file:///etc/fstab",
            "a:",
            "a+b-c.d:x",
            "http://example.com:/",
            "http://a/%7E",
            "http://a/b;c=1,2/..",
        ];
        let relative =
            ["/a", "//authority/path", "a/b", "./a:b", "../x", "#fragment", "?q", "a?b/c", ";p", "/a:b", "x@y", "%20"];
        let malformed = [
            "http://[bad",
            "http://b\u{fc}cher.example/",
            "/stra\u{df}e",
            "urn:\u{fc}",
            "#\u{e9}",
            "http://bad]",
            "http://[::1",
            "http://[1::2::3]/",
            "http://[::12345]/",
            "http://[fe80::1%25eth0]/",
            "http://[v1]/",
            "http://a:80a/",
            "http://a:b@c:d/",
            "http://a b/",
            "http://a/b c",
            "http://a/<b>",
            "http://a/{b}",
            "http://a/\\b",
            "http://a/b|c",
            "http://a/^",
            "http://a/`",
            "http://a/%",
            "http://a/%4",
            "http://a/%zz",
            "http://a/[b]",
            "http://a#b#c",
            "http://a?[",
            "1a:b",
            "a_b:c",
            ":a",
            "a b",
            "\"",
        ];
        for text in absolute {
            assert!(is_uri(text) && is_uri_reference(text), "{text}");
        }
        for text in relative {
            assert!(!is_uri(text) && is_uri_reference(text), "{text}");
        }
        for text in malformed {
            assert!(!is_uri(text) && !is_uri_reference(text), "{text}");
        }
    }
}
