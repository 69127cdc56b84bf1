//! Event types, and patterns that match them. The rules are in the contract's `subscription.pattern`.

/// Whether a pattern matches a type. Only `>` matches a type that does not consist of words with dots between them.
pub(crate) fn matches(pattern: &str, event_type: &str) -> bool {
    if pattern == ">" {
        return !event_type.is_empty();
    }
    let mut types = event_type.split('.');
    if !types.clone().all(is_word) {
        return false;
    }
    for token in pattern.split('.') {
        match (token, types.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(found)) if token == found => {}
            _ => return false,
        }
    }
    types.next().is_none()
}

/// Whether a text is a pattern.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn is_pattern(text: &str) -> bool {
    let (words, last) = text.rsplit_once('.').map_or((None, text), |(words, last)| (Some(words), last));
    text.len() <= 255
        && (matches!(last, "*" | ">") || is_word(last))
        && words.into_iter().flat_map(|words| words.split('.')).all(|word| word == "*" || is_word(word))
}

fn is_word(text: &str) -> bool {
    let is_outside = |character: char| {
        let code = u32::from(character);
        let is_noncharacter = (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
        matches!(character, '*' | '>') || character.is_whitespace() || character.is_control() || is_noncharacter
    };
    !text.is_empty() && !text.contains(is_outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host and the other SDKs read the same table.
    #[test]
    fn types_and_patterns_are_as_in_the_table() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../conformance/event-types.json")).unwrap();
        let texts = |name: &str| table[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
        for text in texts("patterns") {
            assert!(is_pattern(text), "{text:?}");
        }
        for text in texts("malformed") {
            assert!(!is_pattern(text), "{text:?}");
        }
        for row in table["matches"].as_array().unwrap() {
            let (pattern, event_type) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            assert_eq!(matches(pattern, event_type), row[2].as_bool().unwrap(), "{pattern:?} and {event_type:?}");
        }
    }

    #[test]
    fn a_pattern_has_at_most_255_bytes() {
        assert!(is_pattern(&vec!["a"; 128].join(".")));
        assert!(!is_pattern(&"\u{e4}".repeat(128)));
    }
}
