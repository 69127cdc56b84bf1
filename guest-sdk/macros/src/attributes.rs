//! Values of attributes, checked where they stand.

use std::time::Duration;

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitFloat, LitInt, LitStr, Result, Token};

/// The keys of a list, each of which may stand in it once.
#[derive(Default)]
pub(crate) struct Keys(Vec<String>);

impl Keys {
    /// Notes that a key stands here.
    pub(crate) fn once(&mut self, key: &Ident) -> Result<()> {
        let name = key.to_string();
        if self.0.contains(&name) {
            return Err(Error::new(key.span(), format!("`{name}` stands here twice")));
        }
        self.0.push(name);
        Ok(())
    }
}

/// What follows the equals sign.
pub(crate) fn value<T: Parse>(input: ParseStream<'_>) -> Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// The comma between two parts of a list, which may also stand after the last.
pub(crate) fn comma(input: ParseStream<'_>) -> Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}

/// A number above zero.
pub(crate) fn positive<N>(literal: &LitInt) -> Result<N>
where
    N: std::str::FromStr<Err: std::fmt::Display> + Default + PartialEq,
{
    let number = literal.base10_parse()?;
    if number == N::default() { Err(Error::new(literal.span(), "at least 1")) } else { Ok(number) }
}

/// A number of a range, in percent. It may have a point or not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
pub(crate) fn percent(input: ParseStream<'_>, range: std::ops::RangeInclusive<f64>, what: &str) -> Result<u32> {
    input.parse::<Token![=]>()?;
    let (number, span) = if input.peek(LitInt) {
        let literal: LitInt = input.parse()?;
        (literal.base10_parse::<f64>()?, literal.span())
    } else {
        let literal: LitFloat = input.parse()?;
        (literal.base10_parse::<f64>()?, literal.span())
    };
    if range.contains(&number) {
        return Ok((number * 100.0).round() as u32);
    }
    Err(Error::new(span, what))
}

/// An event type that is a pattern of itself: words with dots between them.
pub(crate) fn event_type(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    if text.len() <= LONGEST_TYPE && text.split('.').all(is_word) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        "an event type is words with dots between them, such as `user.registered`; a word has no white space, `*` or `>`",
    ))
}

/// The longest event type, and the longest pattern, in bytes.
const LONGEST_TYPE: usize = 255;

/// A pattern of event types.
pub(crate) fn pattern(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    let tokens: Vec<_> = text.split('.').collect();
    let last = tokens.len() - 1;
    let valid = |(index, token): (usize, &&str)| is_word(token) || *token == "*" || (*token == ">" && index == last);
    if text.len() <= LONGEST_TYPE && tokens.iter().enumerate().all(valid) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        "a pattern is words with dots between them, `*` for one word, and `>` at the end for one or more",
    ))
}

/// A word of an event type; the rules are in the contract's `subscription.pattern`.
fn is_word(word: &str) -> bool {
    let is_outside = |character: char| {
        let code = u32::from(character);
        let is_noncharacter = (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
        matches!(character, '*' | '>') || character.is_whitespace() || character.is_control() || is_noncharacter
    };
    !word.is_empty() && !word.contains(is_outside)
}

/// One word of letters, digits, `-` and `_`: a name that can be a part of an event type.
pub(crate) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
}

/// The name of an event's attribute: lower-case letters and digits.
pub(crate) fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
}

/// What keeps events in order: an attribute, or a JSON pointer (RFC 6901) into the data.
pub(crate) fn ordering_key(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    let escapes_are_whole = || text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if is_attribute(&text) || (text.starts_with('/') && escapes_are_whole()) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        "an ordering key is an attribute, such as `subject`, or a JSON pointer into the data, such as `/customer/id`",
    ))
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

/// Whether a text has the form of a time in RFC 3339. Whether the month has that day is the host's to say.
pub(crate) fn is_time(text: &str) -> bool {
    // Each digit of the form stands for the highest that its number may have.
    const FORM: &str = "9999-19-39T29:59:69";
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, most)| match most {
                b'0'..=b'9' => (b'0'..=most).contains(&byte),
                b'T' => matches!(byte, b'T' | b't'),
                _ => byte == most,
            })
    };
    let Some((moment, rest)) = text.split_at_checked(FORM.len()) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|character: char| character.is_ascii_digit()) => {
            fraction.trim_start_matches(|character: char| character.is_ascii_digit())
        }
        Some(_) => return false,
        None => rest,
    };
    fits(moment, FORM) && (matches!(zone, "Z" | "z") || fits(zone, "+29:59") || fits(zone, "-29:59"))
}

/// A cron expression. The macros count its fields; the host reads them.
pub(crate) fn cron(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    let fields = text.split_whitespace().count();
    if matches!(fields, 5 | 6) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        format!(
            "a cron expression has five fields (minute, hour, day, month, weekday), or six with seconds in front; \
             this has {fields}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_other_text() {
        for time in ["2026-03-01T09:00:00Z", "2026-03-01t09:00:00.25z", "2026-03-01T09:00:00+01:00"] {
            assert!(is_time(time), "{time}");
        }
        for text in [
            "",
            "tomorrow",
            "2026-03-01",
            "2026-03-01T09:00:00",
            "2026-03-01T09:00:00.Z",
            "2026-23-01T09:00:00Z",
            "2026-03-01 09:00:00Z",
        ] {
            assert!(!is_time(text), "{text}");
        }
    }
}
