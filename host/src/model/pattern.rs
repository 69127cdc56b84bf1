//! Event types and the patterns that match them, which share one grammar.
//!
//! A pattern consists of words with dots between them. A word has at least one character, and no white space, `*`, `>`
//! or character that CloudEvents forbids in a string. The word `*` matches any one word, and `>` as the last word
//! matches one or more. A pattern has at most [`MAX_LENGTH`] bytes, and therefore at most [`MAX_WORDS`] words.
//!
//! An event type is any string that CloudEvents allows, with the same limit of its length. A type within the grammar is
//! also the pattern that matches only itself. A type outside the grammar, such as `a..b`, `order placed` or `a.*`, is
//! matched only by the pattern `>`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(description = "A pattern of event types, such as `order.placed`, `order.*` or `order.>`.")]
#[schemars(extend("pattern" = r"^(?:(?:\*|[^\s.*>]+)\.)*(?:\*|>|[^\s.*>]+)$", "maxLength" = MAX_LENGTH))]
pub struct Pattern(String);

/// The error for a text that is not a pattern: no event type could match it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a pattern of event types: {fault}; write words separated by dots, `*` for one word, and a final `>` for one or more"
)]
pub struct ParseError {
    /// The beginning of the text.
    text: String,
    fault: Fault,
}

/// The faults of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it has more than {MAX_LENGTH} bytes")]
    Length,
    #[error("a word is empty, and only `>` matches such types")]
    EmptyWord,
    #[error("it has white space, and only `>` matches such types")]
    WhiteSpace,
    #[error("it has a control character or a noncharacter, which no event type has")]
    Forbidden,
    #[error("`*` and `>` stand for whole words")]
    PartOfWord,
    #[error("`>` is not the last word")]
    RestInside,
}

/// The longest pattern, and the longest event type, in bytes.
pub const MAX_LENGTH: usize = 255;

/// The largest number of words of a pattern, which is as many one-character words as its length allows.
pub const MAX_WORDS: usize = MAX_LENGTH.div_ceil(2);

/// A word of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word<'a> {
    Plain(&'a str),
    /// `*`
    Any,
    /// `>`
    Rest,
}

/// The words of a pattern or of an event type.
fn words(text: &str) -> impl Iterator<Item = Result<Word<'_>, Fault>> {
    text.split('.').map(Word::read)
}

impl<'a> Word<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        match text {
            "" => Err(Fault::EmptyWord),
            "*" => Ok(Self::Any),
            ">" => Ok(Self::Rest),
            _ => text.chars().try_for_each(check).map(|()| Self::Plain(text)),
        }
    }
}

/// Checks a character of a plain word.
fn check(character: char) -> Result<(), Fault> {
    match character {
        '*' | '>' => Err(Fault::PartOfWord),
        _ if character.is_ascii_graphic() => Ok(()),
        // Checked before white space, because some control characters are white space.
        _ if is_forbidden(character) => Err(Fault::Forbidden),
        _ if character.is_whitespace() => Err(Fault::WhiteSpace),
        _ => Ok(()),
    }
}

/// Whether a CloudEvents String must not have a character: controls and noncharacters (CloudEvents 1.0.2, section 3.1).
#[must_use]
pub(crate) fn is_forbidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Whether an event type is within the grammar, so that patterns other than `>` can match it.
fn is_within_grammar(event_type: &str) -> bool {
    words(event_type).all(|word| matches!(word, Ok(Word::Plain(_))))
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// If no event type could match it: a word is empty, has white space, a forbidden character or a wildcard among
    /// other characters, `>` is not the last word, or the pattern is too long.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let invalid = |fault| ParseError { text: text.chars().take(MAX_LENGTH).collect(), fault };
        if text.len() > MAX_LENGTH {
            return Err(invalid(Fault::Length));
        }
        let mut words = words(text).peekable();
        while let Some(word) = words.next() {
            if word.map_err(invalid)? == Word::Rest && words.peek().is_some() {
                return Err(invalid(Fault::RestInside));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern that matches every event type.
    #[must_use]
    pub fn everything() -> Self {
        Self(">".to_owned())
    }

    /// Whether the pattern matches an event type.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        match self.matches_everything() {
            true => !event_type.is_empty(),
            false => is_within_grammar(event_type) && covers(&self.0, event_type),
        }
    }

    /// Whether the pattern matches every event type that another pattern matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }

    /// The only event type that the pattern matches, if it has no wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        is_within_grammar(&self.0).then_some(self.0.as_str())
    }

    /// Whether the pattern matches every event type.
    #[must_use]
    pub fn matches_everything(&self) -> bool {
        self.0 == ">"
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a pattern covers another one, or an event type within the grammar. A wildcard is covered only by one at
/// least as wide.
fn covers(pattern: &str, other: &str) -> bool {
    let mut others = words(other);
    for word in words(pattern) {
        match (word, others.next()) {
            (Ok(Word::Rest), Some(Ok(_))) => return true,
            (Ok(Word::Any), Some(Ok(Word::Plain(_) | Word::Any))) => {}
            (Ok(word), Some(Ok(other))) if word == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

impl TryFrom<String> for Pattern {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
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

    #[derive(Debug, Deserialize)]
    struct Table {
        patterns: Vec<String>,
        malformed: Vec<String>,
        matches: Vec<(String, String, bool)>,
    }

    /// The SDKs use the same table. CloudEvents 1.0.2, section 3.1.1: a type is a non-empty string.
    #[test]
    fn types_and_patterns_are_as_in_the_table() {
        let table: Table =
            serde_json::from_str(include_str!("../../../guest-sdk/conformance/event-types.json")).unwrap();
        for text in &table.patterns {
            assert_eq!(pattern(text).as_str(), text);
        }
        for text in &table.malformed {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
        for (text, event_type, expected) in &table.matches {
            assert_eq!(pattern(text).matches(event_type), *expected, "{text:?} and {event_type:?}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        for (text, expected) in [
            ("", "a word is empty, and only `>` matches such types"),
            ("a..b", "a word is empty"),
            ("a b", "it has white space, and only `>` matches such types"),
            ("a.\u{7}", "it has a control character"),
            ("a.\n", "it has a control character"),
            ("a.b*", "`*` and `>` stand for whole words"),
            ("a.>.b", "`>` is not the last word"),
            (&"a".repeat(256), "it has more than 255 bytes"),
        ] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("write words"), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_length_bounds_the_number_of_words() {
        let most = vec!["a"; MAX_WORDS].join(".");
        assert_eq!((most.len(), MAX_WORDS), (MAX_LENGTH, 128));
        assert!(pattern(&most).matches(&most));
        assert!(pattern(&vec!["*"; MAX_WORDS].join(".")).matches(&most));
        assert!(Pattern::parse(&vec!["a"; MAX_WORDS + 1].join(".")).is_err());
        // Bytes are counted, not characters.
        assert!(Pattern::parse(&"\u{e4}".repeat(127)).is_ok());
        assert!(Pattern::parse(&"\u{e4}".repeat(128)).is_err());
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

    /// Types within the grammar, in any script.
    fn plain_types() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(r"[^\s\p{C}.*>]{1,6}", 1..8)
    }

    /// Types that CloudEvents allows and that are outside the grammar.
    fn odd_types() -> impl Strategy<Value = String> {
        let any_script = (r"[^\p{C}]{0,5}", r"\.\.|[*> \u{a0}\u{2003}]", r"[^\p{C}]{0,5}");
        prop_oneof![
            r"[ab.*> \u{a0}\u{2003}]{1,9}".prop_filter("it is within the grammar", |text| !is_within_grammar(text)),
            any_script.prop_map(|(before, odd, after)| format!("{before}{odd}{after}")),
        ]
    }

    proptest! {
        /// An event type that matches a covered pattern also matches the covering one.
        #[test]
        fn covering_is_sound(wide in patterns(), narrow in patterns(), event_type in types()) {
            if wide.covers(&narrow) && narrow.matches(&event_type) {
                prop_assert!(wide.matches(&event_type));
            }
        }

        #[test]
        fn a_type_within_the_grammar_matches_its_patterns(words in plain_types()) {
            let event_type = words.join(".");
            let exact = pattern(&event_type);
            prop_assert_eq!(exact.exact(), Some(event_type.as_str()));
            prop_assert!(exact.matches(&event_type));
            for index in 0..words.len() {
                let mut changed = words.clone();
                changed[index] = "*".to_owned();
                prop_assert!(pattern(&changed.join(".")).matches(&event_type));
                changed.truncate(index);
                changed.push(">".to_owned());
                prop_assert!(pattern(&changed.join(".")).matches(&event_type));
            }
            let longer = format!("{event_type}.>");
            prop_assert!(!pattern(&longer).matches(&event_type), "`>` matches at least one word");
        }

        #[test]
        fn a_type_outside_the_grammar_matches_only_one_pattern(event_type in odd_types(), other in patterns()) {
            prop_assert!(Pattern::everything().matches(&event_type));
            prop_assert!(other.matches_everything() || !other.matches(&event_type));
            // Patterns that look like the type do not match it either.
            if let Ok(same) = Pattern::parse(&event_type) {
                prop_assert!(same.matches_everything() || !same.matches(&event_type));
            }
            for (index, _) in event_type.match_indices('.') {
                if let Ok(prefix) = Pattern::parse(&format!("{}.>", &event_type[..index])) {
                    prop_assert!(!prefix.matches(&event_type));
                }
            }
        }

        /// A text is a pattern if and only if some event type matches it.
        #[test]
        fn a_pattern_can_be_matched(text in r"[ab.*> ]{0,8}") {
            if let Ok(parsed) = Pattern::parse(&text) {
                let taken = text.replace('*', "a").replace('>', "b");
                prop_assert!(parsed.matches(&taken), "{}", taken);
            }
        }
    }
}
