//! What the attributes of an event may be (CloudEvents 1.0, section 3.1), wherever it comes from.

use super::Event;
use crate::clock::Timestamp;

/// The longest value of an attribute, in bytes. Far above what anybody needs, and enough to keep an
/// attribute from being a way to store data.
const ATTRIBUTE_LIMIT: usize = 4_096;

/// An attribute that is not as the specification has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attribute `{name}` {what}")]
pub struct Unfit {
    /// The attribute's name.
    pub name: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Event {
    /// Checks the values of the attributes. The names of extensions are their reader's part.
    ///
    /// # Errors
    /// The first value that is not as it must be.
    pub fn check(&self) -> Result<(), Unfit> {
        for (name, value) in [("id", &self.id), ("source", &self.source), ("type", &self.event_type)] {
            core(name, value)?;
        }
        demand("source", is_uri_reference(&self.source), "is no URI reference")?;
        demand("type", !self.event_type.contains(char::is_whitespace), "has white space")?;
        if let Some(time) = &self.time {
            core("time", time)?;
            demand("time", Timestamp::parse(time).is_some(), "is no time in RFC 3339")?;
        }
        self.check_message()
    }

    /// Checks the values of those attributes that a plugin gives to what it publishes; the others are the host's.
    ///
    /// # Errors
    /// The first value that is not as it must be.
    pub fn check_message(&self) -> Result<(), Unfit> {
        let given =
            [("subject", &self.subject), ("datacontenttype", &self.datacontenttype), ("dataschema", &self.dataschema)];
        for (name, value) in given {
            value.as_ref().map_or(Ok(()), |value| core(name, value))?;
        }
        for (name, value) in &self.extensions {
            text(name, value)?;
        }
        let schema = self.dataschema.as_deref().is_none_or(|uri| is_uri_reference(uri) && uri.contains(':'));
        demand("dataschema", schema, "is no URI")?;
        demand("datacontenttype", self.datacontenttype.as_deref().is_none_or(is_media_type), "is no media type")
    }
}

fn demand(name: &str, holds: bool, what: &'static str) -> Result<(), Unfit> {
    if holds { Ok(()) } else { Err(Unfit { name: name.to_owned(), what }) }
}

/// An attribute that the specification names is not empty where it is given.
fn core(name: &str, value: &str) -> Result<(), Unfit> {
    demand(name, !value.is_empty(), "is empty")?;
    text(name, value)
}

fn text(name: &str, value: &str) -> Result<(), Unfit> {
    demand(name, value.len() <= ATTRIBUTE_LIMIT, "is longer than 4096 bytes")?;
    let is_plain = match value.is_ascii() {
        true => !value.bytes().any(|byte| byte.is_ascii_control()),
        false => !value.chars().any(is_forbidden),
    };
    demand(name, is_plain, "has a control character or a noncharacter")
}

/// Characters that a CloudEvents String must not have: controls and noncharacters.
fn is_forbidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Whether a text has only characters of a URI reference (RFC 3986, section 2), with escapes that are
/// whole. Characters beyond ASCII pass, as in an IRI, since senders do not always encode them.
fn is_uri_reference(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte) || !byte.is_ascii();
    let escapes = text
        .split('%')
        .skip(1)
        .all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    text.bytes().all(allowed) && escapes
}

/// Whether a text begins like a media type (RFC 2045, section 5.1): a type and a subtype of token
/// characters.
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
    fn attributes_that_others_would_refuse_are_named() {
        assert_eq!(event().check(), Ok(()));
        let unfit = |change: &dyn Fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            event.check().unwrap_err().to_string()
        };
        assert_eq!(unfit(&|event| event.subject = Some(String::new())), "the attribute `subject` is empty");
        let wrong = unfit(&|event| event.datacontenttype = Some("a/b\n".to_owned()));
        assert_eq!(wrong, "the attribute `datacontenttype` has a control character or a noncharacter");
        let wrong = unfit(&|event| event.datacontenttype = Some("json".to_owned()));
        assert_eq!(wrong, "the attribute `datacontenttype` is no media type");
        assert_eq!(unfit(&|event| event.dataschema = Some("x".to_owned())), "the attribute `dataschema` is no URI");
        let wrong = unfit(&|event| drop(event.extensions.insert("tenant".to_owned(), "a".repeat(4_097))));
        assert_eq!(wrong, "the attribute `tenant` is longer than 4096 bytes");
    }
}
