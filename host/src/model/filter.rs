//! Filters of events by their attributes: the dialects of the CloudEvents Subscriptions API 1.0 (section 3.2.4.1) that
//! every implementation must support.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Event, is_attribute_name};

/// Filters that must all match. An empty list matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Filter>", into = "Vec<Filter>")]
pub struct Filters(Vec<Filter>);

/// One filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Filter {
    /// Each of these attributes has this value.
    Exact(BTreeMap<String, String>),
    /// Each of these attributes begins with this value.
    Prefix(BTreeMap<String, String>),
    /// Each of these attributes ends with this value.
    Suffix(BTreeMap<String, String>),
    /// All of these match.
    All(Vec<Filter>),
    /// At least one of these matches.
    Any(Vec<Filter>),
    /// This one does not match.
    Not(Box<Filter>),
}

/// Why filters are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is not a list of filters.
    #[error("malformed filters: {0}; write a JSON array such as [{{\"exact\":{{\"subject\":\"a\"}}}}]")]
    Malformed(String),
    /// There are too many filters, or they are nested too deeply.
    #[error("too many filters: at most {LIMIT} are allowed, nested at most {DEPTH} deep")]
    TooMany,
    /// A filter names an attribute that no event can have.
    #[error(
        "a filter names `{0}`, which is not an attribute; names of attributes have lower-case letters and digits, \
         such as `subject`, and `data` is not an attribute"
    )]
    NotAnAttribute(String),
    /// A filter is empty.
    #[error("a filter is empty; add an attribute with a value, or a filter")]
    Empty,
}

/// How many filters a subscription may have, including nested ones.
const LIMIT: usize = 256;
/// How deep filters may be nested.
const DEPTH: usize = 16;

impl Filters {
    /// Parses a JSON array of filters.
    ///
    /// # Errors
    /// If it is malformed or too large.
    pub fn parse(json: &str) -> Result<Self, ParseError> {
        let filters: Vec<Filter> =
            serde_json::from_str(json).map_err(|error| ParseError::Malformed(error.to_string()))?;
        Self::new(filters)
    }

    /// Creates filters from user input. Unlike filters stored by older versions, they must name attributes that an
    /// event can have.
    ///
    /// # Errors
    /// If there are too many, or one can never match.
    pub fn new(filters: Vec<Filter>) -> Result<Self, ParseError> {
        filters.iter().try_for_each(Filter::check_names)?;
        Self::try_from(filters)
    }

    /// Whether an event matches.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.0.iter().all(|filter| filter.matches(event))
    }

    /// Whether there are no filters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Filter>> for Filters {
    type Error = ParseError;

    fn try_from(filters: Vec<Filter>) -> Result<Self, ParseError> {
        let mut left = LIMIT;
        filters.iter().try_for_each(|filter| filter.check(DEPTH, &mut left))?;
        Ok(Self(filters))
    }
}

impl From<Filters> for Vec<Filter> {
    fn from(filters: Filters) -> Self {
        filters.0
    }
}

impl Filter {
    fn check_names(&self) -> Result<(), ParseError> {
        match self {
            Self::Exact(attributes) | Self::Prefix(attributes) | Self::Suffix(attributes) => {
                let unknown = attributes.keys().find(|name| !name.is_empty() && !is_attribute_name(name));
                unknown.map_or(Ok(()), |name| Err(ParseError::NotAnAttribute(name.chars().take(64).collect())))
            }
            Self::All(filters) | Self::Any(filters) => filters.iter().try_for_each(Self::check_names),
            Self::Not(filter) => filter.check_names(),
        }
    }

    fn check(&self, depth: usize, left: &mut usize) -> Result<(), ParseError> {
        let inner = depth.checked_sub(1).ok_or(ParseError::TooMany)?;
        *left = left.checked_sub(1).ok_or(ParseError::TooMany)?;
        match self {
            Self::Exact(attributes) | Self::Prefix(attributes) | Self::Suffix(attributes) => {
                let complete = !attributes.is_empty()
                    && attributes.iter().all(|(name, value)| !name.is_empty() && !value.is_empty());
                if complete { Ok(()) } else { Err(ParseError::Empty) }
            }
            Self::All(filters) | Self::Any(filters) if filters.is_empty() => Err(ParseError::Empty),
            Self::All(filters) | Self::Any(filters) => filters.iter().try_for_each(|one| one.check(inner, left)),
            Self::Not(filter) => filter.check(inner, left),
        }
    }

    /// Whether an event matches. A comparison with a missing attribute is false.
    fn matches(&self, event: &Event) -> bool {
        let each = |attributes: &BTreeMap<String, String>, compare: fn(&str, &str) -> bool| {
            attributes.iter().all(|(name, value)| event.attribute(name).is_some_and(|found| compare(found, value)))
        };
        match self {
            Self::Exact(attributes) => each(attributes, |found, value| found == value),
            Self::Prefix(attributes) => each(attributes, |found, value| found.starts_with(value)),
            Self::Suffix(attributes) => each(attributes, |found, value| found.ends_with(value)),
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: "1".into(),
            source: "/shop/eu".into(),
            event_type: "order.placed".into(),
            subject: Some("order-7".into()),
            extensions: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
            ..Event::default()
        }
    }

    fn passes(json: &str) -> bool {
        Filters::parse(json).unwrap().matches(&event())
    }

    #[test]
    fn every_dialect_compares() {
        assert!(passes("[]"));
        assert!(passes(r#"[{"exact":{"type":"order.placed","region":"eu"}}]"#));
        assert!(!passes(r#"[{"exact":{"type":"order.placed","region":"us"}}]"#));
        assert!(passes(r#"[{"prefix":{"source":"/shop/"}},{"suffix":{"subject":"-7"}}]"#));
        assert!(!passes(r#"[{"prefix":{"source":"/shop/"}},{"suffix":{"subject":"-8"}}]"#));
        assert!(passes(r#"[{"any":[{"exact":{"subject":"x"}},{"not":{"exact":{"region":"us"}}}]}]"#));
        assert!(!passes(r#"[{"all":[{"exact":{"region":"eu"}},{"exact":{"subject":"x"}}]}]"#));
    }

    #[test]
    fn a_missing_attribute_matches_only_a_negation() {
        assert!(!passes(r#"[{"prefix":{"dataschema":"a"}}]"#));
        assert!(passes(r#"[{"not":{"prefix":{"dataschema":"a"}}}]"#));
    }

    #[test]
    fn malformed_filters_are_refused() {
        for json in
            ["{}", r#"[{"like":{"type":"a"}}]"#, r#"[{"exact":{}}]"#, r#"[{"any":[]}]"#, r#"[{"exact":{"type":""}}]"#]
        {
            assert!(Filters::parse(json).is_err(), "{json}");
        }
        for name in ["Tenant", "data", "a-b", "a.b", "ä", " subject", "sub ject", "ce-type", "a".repeat(41).as_str()] {
            for json in [
                format!(r#"[{{"exact":{{"{name}":"x"}}}}]"#),
                format!(r#"[{{"any":[{{"prefix":{{"type":"a"}}}},{{"suffix":{{"{name}":"x"}}}}]}}]"#),
                format!(r#"[{{"not":{{"all":[{{"exact":{{"{name}":"x"}}}}]}}}}]"#),
            ] {
                assert_eq!(Filters::parse(&json), Err(ParseError::NotAnAttribute(name.to_owned())), "{json}");
            }
        }
        let deep = format!("[{}{}{}]", r#"{"not":"#.repeat(20), r#"{"exact":{"type":"a"}}"#, "}".repeat(20));
        assert_eq!(Filters::parse(&deep), Err(ParseError::TooMany));
    }
}
