//! Patterns of event types: tokens split at dots, where `*` stands for one token and a last `>` for one
//! or more. Parsed once at the edge; afterwards nobody holds a bare string for one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// A text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no pattern of event types; it is of words split at dots, with `*` for one word and `>` at the end for all that follow, and has at most {MAX_LENGTH} bytes"
)]
pub struct Invalid(String);

/// The longest pattern, and the longest event type, in bytes.
pub(crate) const MAX_LENGTH: usize = 255;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If a token is empty, has white space or control characters, mixes a wildcard with text, or `>`
    /// is not the last one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut tokens = text.split('.').peekable();
        let mut valid = text.len() <= MAX_LENGTH;
        while let Some(token) = tokens.next() {
            valid &= match token {
                "*" => true,
                ">" => tokens.peek().is_none(),
                _ => is_word(token),
            };
        }
        if valid { Ok(Self(text.to_owned())) } else { Err(Invalid(text.chars().take(MAX_LENGTH).collect())) }
    }

    /// The pattern that takes every event type.
    #[must_use]
    pub fn everything() -> Self {
        Self(">".to_owned())
    }

    /// Whether it takes an event type.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        covers(&self.0, event_type)
    }

    /// Whether it takes every event type that another pattern takes.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }

    /// The single event type that it takes, if it has no wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        let wild = self.0.split('.').any(|token| token == "*" || token == ">");
        (!wild).then_some(self.0.as_str())
    }

    /// Whether it takes every event type.
    #[must_use]
    pub fn takes_everything(&self) -> bool {
        self.0 == ">"
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_word(token: &str) -> bool {
    let plain = |character: char| !character.is_whitespace() && !character.is_control() && !"*>".contains(character);
    !token.is_empty() && token.chars().all(plain)
}

/// The tokens of `other` may themselves be wildcards, which only a wildcard at least as wide covers.
fn covers(pattern: &str, other: &str) -> bool {
    let mut others = other.split('.');
    for token in pattern.split('.') {
        match (token, others.next()) {
            (">", Some(_)) => return true,
            ("*", Some(found)) if found != ">" => {}
            (token, Some(found)) if token == found => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

impl TryFrom<String> for Pattern {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["", ".", "a..b", "a.>.b", "a b", "a.b*", "a.\u{0}", ">.a"] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn wildcards_take_one_token_or_the_rest() {
        assert!(pattern("user.*").matches("user.registered"));
        assert!(!pattern("user.*").matches("user.registered.twice"));
        assert!(!pattern("user.*").matches("user"));
        assert!(pattern("user.>").matches("user.registered.twice"));
        assert!(!pattern("user.>").matches("user"));
        assert!(pattern(">").matches("anything"));
    }

    fn token() -> impl Strategy<Value = String> {
        prop_oneof![Just("*".to_owned()), "[ab]"]
    }

    fn patterns() -> impl Strategy<Value = Pattern> {
        (proptest::collection::vec(token(), 1..4), any::<bool>()).prop_map(|(mut tokens, open)| {
            if open {
                tokens.push(">".to_owned());
            }
            pattern(&tokens.join("."))
        })
    }

    fn types() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]", 1..6).prop_map(|tokens| tokens.join("."))
    }

    proptest! {
        /// What a covered pattern takes, the covering one takes as well.
        #[test]
        fn covering_is_sound(wide in patterns(), narrow in patterns(), event_type in types()) {
            if wide.covers(&narrow) && narrow.matches(&event_type) {
                prop_assert!(wide.matches(&event_type));
            }
        }

        #[test]
        fn a_type_is_an_exact_pattern_of_itself(event_type in types()) {
            let exact = pattern(&event_type);
            prop_assert_eq!(exact.exact(), Some(event_type.as_str()));
            prop_assert!(exact.matches(&event_type));
        }
    }
}
