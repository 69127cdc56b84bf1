//! What the host answered, as it wrote it: a value would round the numbers in the data of events.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::exact::exact;

/// An answer in JSON. It dereferences to a value, for what is not the data of events.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    text: String,
    value: Value,
}

impl Answer {
    /// Reads an answer. One without content, or that is not JSON, is null.
    pub(crate) fn read(text: &str) -> Self {
        let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
            return Self { text: "null".to_owned(), value: Value::Null };
        };
        // A number beyond a double fails to be a value.
        let value = serde_json::from_str(text).unwrap_or_else(|_| exact(raw));
        Self { text: text.to_owned(), value }
    }

    /// An answer of several, each under a name.
    pub(crate) fn of(parts: &[(&str, &RawValue)]) -> Self {
        let parts: std::collections::BTreeMap<_, _> = parts.iter().copied().collect();
        Self::read(&serde_json::to_string(&parts).unwrap_or_default())
    }

    /// One of its members, as it was written; null if there is none of that name.
    pub(crate) fn member(&self, name: &str) -> &RawValue {
        let members = serde_json::from_str::<Members<'_>>(&self.text).map(|Members(members)| members);
        let found = members.ok().and_then(|members| members.into_iter().find(|(key, _)| key == name));
        found.map_or(RawValue::NULL, |(_, member)| member)
    }
}

impl Deref for Answer {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// What a command prints: as a value, for tables, and indented, for people and programs.
pub(crate) trait Document {
    /// What tables are made of.
    fn value(&self) -> &Value;
    /// The whole of it, indented.
    fn indented(&self) -> String;
}

impl Document for Value {
    fn value(&self) -> &Value {
        self
    }

    fn indented(&self) -> String {
        format!("{self:#}")
    }
}

impl Document for Answer {
    fn value(&self) -> &Value {
        self
    }

    fn indented(&self) -> String {
        serde_json::from_str(&self.text).map_or_else(|_| self.text.clone(), indented)
    }
}

/// JSON with each member on a line of its own, but for the data of events, which stays as it is.
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

/// The items of an object or array: each with its name, if it has one, and whether it stays as it is.
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

/// The members of an object, in their order, also those that share a name.
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

    #[test]
    fn an_answer_is_indented_and_the_data_of_events_stays() {
        let data = r#"{"wei":123456789012345678901, "b":1,"a":0.10,"a":1e999}"#;
        let answer = Answer::read(&format!(
            r#"{{"events":[{{"position":1,"event":{{"specversion":"1.0","id":"\u00e4\n","data":{data}}}}}],"none":[],"empty":{{}}}}"#
        ));
        assert_eq!(answer["events"][0]["position"], 1);
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
        assert_eq!(answer.indented(), expected);
        assert_eq!(answer.member("none").get(), "[]");
        assert_eq!(answer.member("nothing").get(), "null");
    }

    #[test]
    fn an_answer_without_content_is_null() {
        assert_eq!(Answer::read("").indented(), "null");
        assert_eq!(*Answer::read("ready\n"), Value::Null);
    }
}
