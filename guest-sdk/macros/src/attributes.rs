//! Values of attributes, checked where they stand.

use std::time::Duration;

use syn::{Error, LitStr, Result};

/// An event type: tokens of letters, digits, `-` and `_`, split at dots.
pub(crate) fn event_type(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    if text.split('.').all(is_token) {
        return Ok(text);
    }
    Err(Error::new(literal.span(), "an event type is of words split at dots, such as `user.registered`"))
}

/// A pattern of event types.
pub(crate) fn pattern(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    let tokens: Vec<_> = text.split('.').collect();
    let last = tokens.len() - 1;
    let valid = |(index, token): (usize, &&str)| is_token(token) || *token == "*" || (*token == ">" && index == last);
    if tokens.iter().enumerate().all(valid) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        "a pattern is of words split at dots, with `*` for one word and `>` at the end for all that follow",
    ))
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
}

/// A length of time in milliseconds, such as `200ms`, `5s`, `1m` or `2h`.
pub(crate) fn milliseconds(literal: &LitStr) -> Result<u64> {
    let text = literal.value();
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(1)),
        "s" => Some(Duration::from_secs(1)),
        "m" => Some(Duration::from_secs(60)),
        "h" => Some(Duration::from_secs(3600)),
        _ => None,
    };
    let count = digits.trim().parse::<u32>().ok();
    let length = unit.zip(count).and_then(|(unit, count)| u64::try_from((unit * count).as_millis()).ok());
    length.ok_or_else(|| {
        Error::new(literal.span(), "a length of time is a whole number and a unit: `200ms`, `5s`, `1m` or `2h`")
    })
}
