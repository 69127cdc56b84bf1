//! Values of attributes. Each is checked here, so that a mistake is reported at its own place in the source.

use std::time::Duration;

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitFloat, LitInt, LitStr, Result, Token};

/// The longest name of a subscription or a schedule, in bytes.
const MAX_NAME: usize = 128;

/// The longest event type, and the longest pattern, in bytes.
const MAX_TYPE: usize = 255;

/// The options of a list, each of which may be given once.
#[derive(Default)]
pub(crate) struct GivenOptions(Vec<String>);

impl GivenOptions {
    /// Records an option.
    pub(crate) fn add(&mut self, option: &Ident) -> Result<()> {
        let name = option.to_string();
        if self.0.contains(&name) {
            return Err(Error::new(option.span(), format!("`{name}` is given twice")));
        }
        self.0.push(name);
        Ok(())
    }
}

/// The error for an option that does not exist. `renamed` has options of earlier versions with their current names.
pub(crate) fn unknown_option(option: &Ident, options: &[&str], renamed: &[(&str, &str)]) -> Error {
    if let Some((_, name)) = renamed.iter().find(|(former, _)| option == former) {
        return Error::new(option.span(), format!("`{option}` is now called `{name}`"));
    }
    let names: Vec<_> = options.iter().map(|name| format!("`{name}`")).collect();
    Error::new(option.span(), format!("unknown option `{option}`; the options are {}", names.join(", ")))
}

/// The literal after the equals sign. The error for anything else shows `example`.
fn literal<T: Parse>(input: ParseStream<'_>, example: &str) -> Result<T> {
    if !input.peek(Token![=]) {
        return Err(input.error(format!("expected a value: `{example}`")));
    }
    input.parse::<Token![=]>()?;
    let span = input.span();
    input.parse().map_err(|_| Error::new(span, format!("expected a value such as in `{example}`")))
}

/// A text in quotes.
pub(crate) fn text(input: ParseStream<'_>, example: &str) -> Result<LitStr> {
    literal(input, example)
}

/// The content of the parentheses after an option such as `retry`.
pub(crate) fn parentheses<'a>(input: ParseStream<'a>, example: &str) -> Result<syn::parse::ParseBuffer<'a>> {
    let span = input.span();
    let content = || {
        let content;
        syn::parenthesized!(content in input);
        Ok(content)
    };
    content().map_err(|_: Error| Error::new(span, format!("expected parentheses: `{example}`")))
}

/// The comma between two parts of a list. It may also follow the last one.
pub(crate) fn comma(input: ParseStream<'_>) -> Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}

/// A whole number above zero.
pub(crate) fn positive<N>(input: ParseStream<'_>, example: &str) -> Result<N>
where
    N: std::str::FromStr<Err: std::fmt::Display> + Default + PartialEq,
{
    let literal: LitInt = literal(input, example)?;
    let number = literal.base10_parse()?;
    if number == N::default() { Err(Error::new(literal.span(), "must be at least 1")) } else { Ok(number) }
}

/// A number within a range, with or without a decimal point. The contract has it in percent.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
pub(crate) fn percent(input: ParseStream<'_>, range: std::ops::RangeInclusive<f64>, rule: &str) -> Result<u32> {
    input.parse::<Token![=]>()?;
    let span = input.span();
    let number = if input.peek(LitInt) {
        input.parse::<LitInt>()?.base10_parse::<f64>()?
    } else {
        input.parse::<LitFloat>().map_err(|_| Error::new(span, rule))?.base10_parse::<f64>()?
    };
    if range.contains(&number) {
        return Ok((number * 100.0).round() as u32);
    }
    Err(Error::new(span, rule))
}

/// An event type whose words are split at dots, so that it is also a pattern.
pub(crate) fn event_type(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    if text.len() <= MAX_TYPE && text.split('.').all(is_word) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        "an event type consists of words with dots between them, such as `user.registered`; a word has no white space, \
         `*` or `>`",
    ))
}

/// A pattern of event types.
pub(crate) fn pattern(literal: &LitStr) -> Result<String> {
    let text = literal.value();
    let tokens: Vec<_> = text.split('.').collect();
    let last = tokens.len() - 1;
    let valid = |(index, token): (usize, &&str)| is_word(token) || *token == "*" || (*token == ">" && index == last);
    if text.len() <= MAX_TYPE && tokens.iter().enumerate().all(valid) {
        return Ok(text);
    }
    Err(Error::new(
        literal.span(),
        "a pattern consists of words with dots between them; `*` stands for one word, and a final `>` for one or more",
    ))
}

/// Whether a text may be a word of an event type. The rules are in the contract's `subscription.pattern`.
fn is_word(word: &str) -> bool {
    let is_outside = |character: char| {
        let code = u32::from(character);
        let is_noncharacter = (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
        matches!(character, '*' | '>') || character.is_whitespace() || character.is_control() || is_noncharacter
    };
    !word.is_empty() && !word.contains(is_outside)
}

/// The name of a subscription or a schedule: the function's, unless the attribute gives another one. Errors call the
/// named thing `kind`.
pub(crate) fn name(given: Option<&LitStr>, function: &Ident, kind: &str) -> Result<String> {
    let (name, span) = match given {
        Some(literal) => (literal.value(), literal.span()),
        None => (syn::ext::IdentExt::unraw(function).to_string(), function.span()),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_plain) && !name.starts_with('-') {
        return Ok(name);
    }
    Err(Error::new(
        span,
        format!(
            "the name of a {kind} has letters from a to z, digits, `-` and `_`, at most {MAX_NAME}; set one with \
             `name = \"…\"`"
        ),
    ))
}

/// Whether a text may be the name of an event's attribute: lower-case letters and digits.
pub(crate) fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
}

/// The ordering key: an attribute, or a JSON pointer (RFC 6901) into the data.
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

/// A duration in milliseconds, such as `200ms`, `5s`, `1m` or `2h`.
pub(crate) fn duration(input: ParseStream<'_>, option: &str) -> Result<u64> {
    let rule =
        format!("a duration is a whole number with a unit in quotes: `{option} = \"5s\"`; units are ms, s, m and h");
    input.parse::<Token![=]>()?;
    let span = input.span();
    let text = input.parse::<LitStr>().map_err(|_| Error::new(span, &rule))?.value();
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
    length.ok_or_else(|| Error::new(span, rule))
}

/// Whether a text has the form of a time in RFC 3339. The host checks the day of the month.
pub(crate) fn is_time(text: &str) -> bool {
    // The maximum digit at each position.
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

/// A cron expression. The macro counts its fields; the host parses them.
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
             this one has {fields}"
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
