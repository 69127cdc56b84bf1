//! A response of the host as a typed value and as the original JSON. The value alone would round numbers in the data of
//! events, and lose members that this version does not know.

use std::fmt;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The result of a command: a value for people, and its JSON for programs.
#[derive(Clone, Debug)]
pub(crate) struct Response<T> {
    json: String,
    value: T,
}

impl<T: DeserializeOwned> Response<T> {
    /// Parses a response of the host. No content stands for null.
    pub(crate) fn read(text: String) -> anyhow::Result<Self> {
        let json = if text.is_empty() { "null".to_owned() } else { text };
        let value =
            serde_json::from_str(&json).context("cannot parse the response; is it a Sandbus host of this version?")?;
        Ok(Self { json, value })
    }

    /// Combines several responses, each under a name.
    pub(crate) fn of(parts: &[(&str, &RawValue)]) -> anyhow::Result<Self> {
        let parts: std::collections::BTreeMap<_, _> = parts.iter().copied().collect();
        Self::read(serde_json::to_string(&parts)?)
    }
}

impl<T: Serialize> Response<T> {
    /// A result of this process itself.
    pub(crate) fn local(value: T) -> anyhow::Result<Self> {
        Ok(Self { json: serde_json::to_string(&value)?, value })
    }
}

impl<T> Response<T> {
    /// The value.
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// The value alone.
    pub(crate) fn into_value(self) -> T {
        self.value
    }

    /// A member as written by the host; null if there is no such member.
    pub(crate) fn member(&self, name: &str) -> &RawValue {
        let members = serde_json::from_str::<Members<'_>>(&self.json).map(|Members(members)| members);
        let found = members.ok().and_then(|members| members.into_iter().find(|(key, _)| key == name));
        found.map_or(RawValue::NULL, |(_, member)| member)
    }

    /// The items of a list as written by the host.
    pub(crate) fn items(&self, name: &str) -> anyhow::Result<Vec<Box<RawValue>>> {
        serde_json::from_str(self.member(name).get()).with_context(|| format!("the response has no list `{name}`"))
    }

    /// The whole response, indented.
    pub(crate) fn indented(&self) -> String {
        serde_json::from_str(&self.json).map_or_else(|_| self.json.clone(), indented)
    }
}

/// JSON with one member per line. The data of events is left unchanged.
pub(crate) fn indented(json: &RawValue) -> String {
    let mut written = String::new();
    write(json, 0, &mut written);
    written
}

fn write(json: &RawValue, depth: usize, written: &mut String) {
    let text = json.get();
    if text.starts_with('{')
        && let Ok(Members(members)) = serde_json::from_str(text)
    {
        let is_event = members.iter().any(|(name, _)| name == "specversion");
        let members = members.iter().map(|(name, value)| (Some(name.as_str()), *value, is_event && name == "data"));
        write_items(['{', '}'], members.collect(), depth, written);
    } else if text.starts_with('[')
        && let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text)
    {
        write_items(['[', ']'], items.into_iter().map(|item| (None, item, false)).collect(), depth, written);
    } else {
        written.push_str(text);
    }
}

/// Writes the items of an object or array: each with its name, if any, and whether it is left unchanged.
fn write_items(brackets: [char; 2], items: Vec<(Option<&str>, &RawValue, bool)>, depth: usize, written: &mut String) {
    let line = |depth: usize, written: &mut String| {
        written.push('\n');
        written.extend(std::iter::repeat_n("  ", depth));
    };
    let [open, close] = brackets;
    written.push(open);
    let is_empty = items.is_empty();
    for (index, (name, value, verbatim)) in items.into_iter().enumerate() {
        if index > 0 {
            written.push(',');
        }
        line(depth + 1, written);
        if let Some(name) = name {
            written.push_str(&Value::from(name).to_string());
            written.push_str(": ");
        }
        match verbatim {
            true => written.push_str(value.get()),
            false => write(value, depth + 1, written),
        }
    }
    if !is_empty {
        line(depth, written);
    }
    written.push(close);
}

/// The members of an object in order, including duplicates.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{EventPage, NoContent};

    #[test]
    fn a_response_is_indented_and_the_data_of_events_stays() {
        let data = r#"{"wei":123456789012345678901, "b":1,"a":0.10,"a":1e999}"#;
        let response = Response::<EventPage>::read(format!(
            r#"{{"events":[{{"position":1,"event":{{"specversion":"1.0","id":"\u00e4\n","data":{data}}}}}],"none":[],"empty":{{}}}}"#
        ));
        let response = response.unwrap();
        assert_eq!(response.value().events[0].position, 1);
        let expected = format!(
            r#"{{
  "events": [
    {{
      "position": 1,
      "event": {{
        "specversion": "1.0",
        "id": "\u00e4\n",
        "data": {data}
      }}
    }}
  ],
  "none": [],
  "empty": {{}}
}}"#
        );
        assert_eq!(response.indented(), expected);
        assert_eq!(response.member("none").get(), "[]");
        assert_eq!(response.member("nothing").get(), "null");
    }

    #[test]
    fn a_response_without_content_is_null() {
        let response = Response::<NoContent>::read(String::new()).unwrap();
        assert_eq!((response.indented().as_str(), *response.value()), ("null", NoContent));
        let error = Response::<EventPage>::read("ready\n".to_owned()).unwrap_err();
        assert!(error.to_string().contains("is it a Sandbus host"), "{error}");
    }
}
